//! The composition root: a configuration in, running parts out.
//!
//! * Owns: which part gets which other part, the start, the soft stop.
//! * May use: everything. Nothing but `cli` and `main` uses it.

pub mod clock;
mod schema;
mod systems;
mod vault;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::domain::clock::{Clock, Randomness};
use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::ingress::Door;
use crate::listen::{self, Bounds};
use crate::mapping::{Mapping, Problems, load_directory};
use crate::store::{Store, StoreError};
use crate::sync::account::{Account, Surroundings};
use crate::sync::feeds::{Feed, Poller};
use crate::sync::retry::Policy;
use crate::sync::worker::Worker;
use crate::telemetry::metrics::Metrics;

/// Why the program cannot start or must end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting cannot work; the text says which and how to fix it.
    #[error("{0}")]
    Settings(String),
    /// The mapping files have problems.
    #[error("{0}")]
    Mappings(Problems),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener cannot be opened.
    #[error("{what} {address} cannot be opened: {error}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

/// The running program.
pub struct App {
    /// What all parts share.
    pub around: Surroundings,
    /// The accounts.
    pub accounts: Vec<Arc<Account>>,
    /// The feeds.
    pub pollers: Vec<Arc<Poller>>,
    /// The claim loop.
    pub worker: Arc<Worker>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where webhooks arrive.
    pub public_address: SocketAddr,
    /// Where the admin interface listens.
    pub admin_address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<Notify>,
    stop_within: Duration,
}

impl App {
    /// Opens the store, builds every part and starts them.
    ///
    /// # Errors
    ///
    /// [`AppError`] with what to do about it.
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        let store = open_store(&config.path(&config.store.path)).await?;
        let around = Surroundings {
            store,
            clock: Arc::new(clock::SystemClock),
            randomness: Arc::new(clock::SystemRandomness::default()),
        };
        Self::start_with(config, around).await
    }

    /// As [`App::start`], in given surroundings.
    ///
    /// # Errors
    ///
    /// As [`App::start`].
    pub async fn start_with(config: &Config, around: Surroundings) -> Result<Self, AppError> {
        let wake = Arc::new(Notify::new());
        let metrics = Arc::new(Metrics::default());
        let mut accounts = Vec::new();
        let mut pollers = Vec::new();
        let mut entrances = Vec::new();
        for (name, settings) in &config.accounts {
            let mappings = load_mappings(&config.path(&settings.sync.mappings))?;
            let account = Arc::new(systems::account(config, name, settings, &mappings, &around)?);
            for (feed, every) in feeds_of(&account, settings) {
                let poller = Poller::new(
                    around.clone(),
                    Arc::clone(&account),
                    feed,
                    every,
                    Arc::clone(&wake),
                );
                pollers.push(Arc::new(poller));
            }
            entrances.extend(systems::entrances(config, name, settings, &around)?);
            accounts.push(account);
        }
        let worker = Arc::new(Worker::new(
            around.clone(),
            accounts.clone(),
            Policy::default(),
            usize::try_from(config.server.lanes).unwrap_or(16),
            Arc::clone(&wake),
        ));
        let door = Door::new(
            Arc::clone(&around.store),
            Arc::clone(&around.clock),
            wake,
            metrics.clone(),
            entrances,
        );
        let public = bind("the public listener", config.server.listen).await?;
        let admin = bind("the admin listener", config.admin.listen).await?;
        let app = Self {
            public_address: address_of(&public, config.server.listen),
            admin_address: address_of(&admin, config.admin.listen),
            around,
            accounts,
            pollers,
            worker,
            metrics,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failed: Arc::new(Notify::new()),
            stop_within: Duration::from_secs(config.server.stop_secs),
        };
        app.spawn(public, Arc::new(door).router(), admin);
        Ok(app)
    }

    fn spawn(&self, public: TcpListener, door: axum::Router, admin: TcpListener) {
        let stop = &self.stop;
        self.tasks.spawn(listen::serve(public, door, Bounds::default(), stop.clone()));
        let health = axum::Router::new();
        self.tasks.spawn(listen::serve(admin, health, Bounds::default(), stop.clone()));
        let (worker, failed) = (Arc::clone(&self.worker), Arc::clone(&self.failed));
        let stop_worker = stop.clone();
        self.tasks.spawn(async move {
            if let Err(error) = worker.run(stop_worker).await {
                tracing::error!("The worker ended: {error}");
                failed.notify_one();
            }
        });
        for account in &self.accounts {
            let refine = schema::refine(
                Arc::clone(account),
                self.around.clone(),
                self.pollers.clone(),
                stop.clone(),
            );
            self.tasks.spawn(refine);
        }
        for poller in &self.pollers {
            let (poller, failed, stop) =
                (Arc::clone(poller), Arc::clone(&self.failed), stop.clone());
            self.tasks.spawn(async move {
                if let Err(error) = poller.run(stop).await {
                    tracing::error!("A feed ended: {error}");
                    failed.notify_one();
                }
            });
        }
        self.tasks.close();
    }

    /// Ends when every feed has been read once: from then on changes arrive without delay.
    pub async fn ready(&self) {
        while self.pollers.iter().any(|poller| poller.health().last_success.is_none()) {
            self.around.clock.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends when the store has failed: the process must end and start again.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }

    /// Stops softly: takes nothing new, finishes what it holds, within its limit. What is cut off
    /// continues after the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(self.stop_within, self.tasks.wait()).await.is_err() {
            tracing::warn!("The stop took too long; what was cut off goes on after the next start");
        }
    }
}

async fn open_store(path: &Path) -> Result<Arc<dyn Store>, AppError> {
    let path = path.to_owned();
    let opened =
        tokio::task::spawn_blocking(move || crate::store::sled::SledStore::open(&path)).await;
    let store = opened
        .map_err(|error| AppError::Settings(format!("the store could not be opened: {error}")))??;
    Ok(Arc::new(store))
}

/// The compiled mapping files of a folder.
fn load_mappings(folder: &Path) -> Result<Vec<Arc<Mapping>>, AppError> {
    let mappings = load_directory(folder).map_err(AppError::Mappings)?;
    Ok(mappings.into_iter().map(Arc::new).collect())
}

/// Every feed of an account with how often it is read.
fn feeds_of(account: &Account, settings: &crate::config::AccountConfig) -> Vec<(Feed, Duration)> {
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

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|error| AppError::Listen { what, address, error })
}

fn address_of(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

/// The name of an account, as a type.
pub(crate) fn account_name(name: &str) -> AccountName {
    AccountName::new(name)
}

/// The clock and chance of an ordinary process.
#[must_use]
pub fn ordinary() -> (Arc<dyn Clock>, Arc<dyn Randomness>) {
    (Arc::new(clock::SystemClock), Arc::new(clock::SystemRandomness::default()))
}
