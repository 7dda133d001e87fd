//! Every part of the program, built and not yet started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::mapping_start::{Begun, of_the_disk, of_the_disk_or_kept};
use super::mappings::MappingFiles;
use super::secrets::SignInState;
use super::slot::Slots;
use super::{AppError, account_name, systems};
use crate::config::{AccountConfig, Config};
use crate::connect::salesforce::Salesforce;
use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError};
use crate::sync::account::{Account, Surroundings};
use crate::sync::feeds::{Feed, Poller};
use crate::sync::listen::Listener;
use crate::telemetry::metrics::Metrics;

/// The parts that the running program and its admin interface share.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// Store, clock, chance.
    pub around: Surroundings,
    /// The accounts.
    pub accounts: Vec<Arc<Account>>,
    /// The feeds.
    pub pollers: Vec<Arc<Poller>>,
    /// The streams of events beside the feeds.
    pub listeners: Vec<Arc<Listener>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Notified when the inbox got something.
    pub wake: Arc<Notify>,
    /// When the program was started; `None` if it only looks at the store.
    pub started: Option<Timestamp>,
    /// The mapping files of each account.
    pub(super) mappings: MappingFiles,
    /// What was last seen of the webhook registrations.
    pub(super) slots: Slots,
    /// The client of each account's Salesforce organisation: one for the worker and the door.
    salesforce: BTreeMap<AccountName, Arc<Salesforce>>,
    /// How each account is signed in at Partner Center.
    pub(super) sign_ins: BTreeMap<AccountName, SignInState>,
}

impl Parts {
    /// Builds every part; starts nothing and calls no remote system. An account whose mapping files
    /// are bad begins with the version that was in use last.
    ///
    /// # Errors
    ///
    /// [`AppError`] with what to do about it.
    pub async fn build(
        config: &Config,
        around: Surroundings,
        running: bool,
    ) -> Result<Self, AppError> {
        let mut begun = BTreeMap::new();
        for name in config.accounts.keys() {
            let files = of_the_disk_or_kept(config, around.store.as_ref(), name).await?;
            begun.insert(account_name(name), files);
        }
        Self::assemble(config, around, running, begun)
    }

    /// Builds every part with the mapping files that were chosen for each account.
    fn assemble(
        config: &Config,
        around: Surroundings,
        running: bool,
        mut begun: BTreeMap<AccountName, Begun>,
    ) -> Result<Self, AppError> {
        let wake = Arc::new(Notify::new());
        let mut accounts = Vec::new();
        let mut pollers = Vec::new();
        let mut salesforce = BTreeMap::new();
        let mut sign_ins = BTreeMap::new();
        let files = MappingFiles::default();
        for (name, settings) in &config.accounts {
            let own = account_name(name);
            let mappings = begun.remove(&own).map(|begun| files.begin_with(&own, begun));
            let mappings = mappings.unwrap_or_default();
            let secret = systems::partner_center_secret(config, &own, &settings.partner_center)?;
            let partner_center =
                systems::partner_center_client(config, &own, &settings.partner_center, &around)?;
            let signed_in = SignInState::new(Arc::clone(&partner_center), secret);
            sign_ins.insert(own.clone(), signed_in);
            let client = settings
                .salesforce
                .as_ref()
                .map(|crm| systems::salesforce_client(config, &own, crm, &around).map(Arc::new));
            let client = client.transpose()?;
            let account = systems::account(
                config,
                name,
                settings,
                &mappings,
                partner_center,
                client.as_ref(),
                &around,
            )?;
            let account = Arc::new(account);
            salesforce.extend(client.map(|client| (own, client)));
            account.name_mappings(&files.state(&account).version);
            let feeds = feeds_of(&account, settings).into_iter();
            pollers.extend(feeds.map(|(feed, every)| {
                let (account, wake) = (Arc::clone(&account), Arc::clone(&wake));
                Arc::new(Poller::new(around.clone(), account, feed, every, wake))
            }));
            accounts.push(account);
        }
        let beside = |feed| Listener::beside(&around, feed, &wake).map(Arc::new);
        Ok(Self {
            listeners: pollers.iter().filter_map(beside).collect(),
            config: Arc::new(config.clone()),
            started: running.then(|| around.clock.now()),
            around,
            mappings: files,
            accounts,
            pollers,
            metrics: Arc::default(),
            wake,
            slots: Slots::default(),
            salesforce,
            sign_ins,
        })
    }

    /// The account of that name.
    pub(super) fn account(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| account.name == *name)
    }

    /// The settings of an account.
    pub(super) fn settings(&self, name: &AccountName) -> Option<&AccountConfig> {
        self.config.accounts.get(name.as_str())
    }

    /// What a person types about an account; the account is named where there are several.
    pub(super) fn command(&self, account: &AccountName, words: &str) -> String {
        let account = Some(account).filter(|_| self.accounts.len() > 1);
        let account = account.map(|name| format!(" --account {name}")).unwrap_or_default();
        format!("cosell-sync {words}{account}")
    }

    /// The feeds of an account.
    pub(super) fn pollers_of<'p>(
        &'p self,
        name: &'p AccountName,
    ) -> impl Iterator<Item = &'p Arc<Poller>> + 'p {
        self.pollers.iter().filter(move |poller| poller.account().name == *name)
    }

    /// The streams of events of an account.
    pub(super) fn listeners_of<'p>(
        &'p self,
        name: &'p AccountName,
    ) -> impl Iterator<Item = &'p Arc<Listener>> + 'p {
        self.listeners.iter().filter(move |listener| listener.account().name == *name)
    }
}

/// Builds every part as a start would and drops it again: no store is opened, nothing is called.
///
/// # Errors
///
/// What would keep the program from starting.
pub fn rehearse(config: &Config) -> Result<(), AppError> {
    let store: Arc<dyn Store> = Arc::new(crate::store::memory::MemoryStore::default());
    let mut begun = BTreeMap::new();
    for name in config.accounts.keys() {
        begun.insert(account_name(name), of_the_disk(config, name)?);
    }
    let parts = Parts::assemble(config, super::surroundings(store), false, begun)?;
    entrances(&parts).map(drop)
}

/// Opens the store of a configuration.
///
/// # Errors
///
/// [`AppError::Store`] if it is in use, or cannot be read.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, AppError> {
    let path: &Path = &config.store.path;
    let path = config.path(path);
    let opened =
        tokio::task::spawn_blocking(move || crate::store::sled::SledStore::open(&path)).await;
    let store = opened
        .map_err(|error| StoreError::Failed(format!("the store could not be opened: {error}")))??;
    Ok(Arc::new(store))
}

/// Rebuilds the store of a configuration from a backup; the number of rows. What was there before is
/// kept beside it.
///
/// # Errors
///
/// [`AppError::Store`] if it is in use, or the backup is not whole.
pub async fn restore_store(config: &Config, from: &Path) -> Result<u64, AppError> {
    let (from, path) = (from.to_owned(), config.path(&config.store.path));
    let restored =
        tokio::task::spawn_blocking(move || crate::store::sled::restore(&from, &path)).await;
    let rows = restored
        .map_err(|error| StoreError::Failed(format!("the store was not restored: {error}")))??;
    Ok(rows)
}

/// Moves the store of a configuration aside, so that the next start begins an empty one; where it is
/// now, if there was one.
///
/// # Errors
///
/// [`AppError::Store`] if it is in use, or the disk fails.
pub async fn set_store_aside(config: &Config) -> Result<Option<PathBuf>, AppError> {
    let path = config.path(&config.store.path);
    let moved = tokio::task::spawn_blocking(move || crate::store::sled::set_aside(&path)).await;
    let moved = moved
        .map_err(|error| StoreError::Failed(format!("the store was not moved: {error}")))??;
    Ok(moved)
}

/// Every feed of an account with how often it is read.
fn feeds_of(account: &Account, settings: &AccountConfig) -> Vec<(Feed, Duration)> {
    let mut feeds =
        vec![(Feed::PartnerCenter, Duration::from_secs(settings.partner_center.reconcile_secs))];
    for part in &account.crms {
        let every = match part.name() {
            CrmName::Dynamics365 => settings.dynamics365.as_ref().map(|crm| crm.poll_secs),
            CrmName::Salesforce => settings.salesforce.as_ref().map(|crm| crm.poll_secs),
        };
        let every = Duration::from_secs(every.unwrap_or(30));
        for kind in part.kinds() {
            if kind == RecordKind::Opportunity || account.behaviour.leads {
                feeds.push((Feed::Crm(part.name(), kind), every));
            }
        }
    }
    feeds
}

/// The doors of every account.
pub(super) fn entrances(
    parts: &Parts,
) -> Result<Vec<(String, AccountName, crate::ingress::Entrance)>, AppError> {
    let mut entrances = Vec::new();
    for (name, settings) in &parts.config.accounts {
        let salesforce = parts.salesforce.get(&account_name(name));
        let own = systems::entrances(
            &parts.config,
            name,
            settings,
            salesforce,
            &parts.around,
            &parts.metrics,
        )?;
        debug_assert!(own.iter().all(|(_, account, _)| *account == account_name(name)));
        entrances.extend(own);
    }
    Ok(entrances)
}
