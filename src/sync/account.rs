//! One account while it runs: its systems, its mappings, its settings.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};

use super::breaker::Breaker;
use crate::connect::crm::Crm;
use crate::connect::error::ConnectError;
use crate::connect::partner_center_seam::PartnerCenter;
use crate::domain::clock::{Clock, Randomness};
use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::merge::share::Sharing;
use crate::merge::view::Settings;
use crate::store::Store;

/// Rows of so many names are looked for and made at a time, in each CRM.
const ROW_LOCKS: usize = 64;

/// What all accounts share.
#[derive(Clone)]
pub struct Surroundings {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub randomness: Arc<dyn Randomness>,
}

/// One account.
pub struct Account {
    /// Its name in the configuration.
    pub name: AccountName,
    /// Partner Center.
    pub partner_center: Arc<dyn PartnerCenter>,
    /// The CRMs, the primary one first.
    pub crms: Vec<CrmPart>,
    /// How to merge.
    pub settings: Settings,
    /// How to share.
    pub sharing: Sharing,
    /// How the daemon behaves.
    pub behaviour: Behaviour,
    /// Opens when Partner Center fails again and again.
    pub breaker: Breaker,
}

/// How the daemon behaves for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Leads are kept in step too.
    pub leads: bool,
    /// Missing accounts and contacts are made for arriving deals.
    pub create_missing: bool,
    /// Everything is planned and recorded, nothing is written.
    pub shadow: bool,
    /// A referral that names a record that is not here is held instead of created.
    pub hold_foreign_reference: bool,
    /// How often Microsoft's own record is looked at while it has not answered: the list shows our
    /// referrals only, so an event that was never delivered is found no other way.
    pub related_check: Duration,
    /// How long a list may lag behind a write: after a create whose answer was lost, nothing is
    /// looked for, and so nothing created again, before this has passed.
    pub list_lag: Duration,
    /// How long a referral that cannot be read yet is tried again before it is ignored.
    pub not_found_patience: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            leads: true,
            create_missing: true,
            shadow: false,
            hold_foreign_reference: false,
            related_check: Duration::from_secs(300),
            list_lag: Duration::from_secs(5),
            not_found_patience: Duration::from_secs(600),
        }
    }
}

/// One CRM of an account.
pub struct CrmPart {
    /// The system.
    pub crm: Arc<dyn Crm>,
    /// Opens when it fails again and again.
    pub breaker: Breaker,
    ready: AtomicBool,
    rows: [Mutex<()>; ROW_LOCKS],
    mappings: ArcSwap<Vec<Arc<Mapping>>>,
    version: ArcSwap<String>,
}

impl CrmPart {
    /// A CRM with its mappings.
    pub fn new(crm: Arc<dyn Crm>, mappings: Vec<Arc<Mapping>>) -> Self {
        Self {
            crm,
            breaker: Breaker::default(),
            ready: AtomicBool::new(false),
            rows: std::array::from_fn(|_| Mutex::new(())),
            mappings: ArcSwap::from_pointee(mappings),
            version: ArcSwap::default(),
        }
    }

    /// Whether a call may be made now. None is, before the live schema was compared with the
    /// mappings: a field that is not there would spoil every read.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Throttled`] with the wait.
    pub fn pass(&self, now: Timestamp) -> Result<(), ConnectError> {
        if !self.ready.load(Ordering::Acquire) {
            return Err(ConnectError::Throttled(Duration::from_secs(1)));
        }
        self.breaker.pass(now)
    }

    /// Opens the way: the mappings fit the live schema.
    pub fn be_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether the way is open: the live schema was compared with the mappings.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether it answers just now, as far as is known.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.is_ready() && !self.breaker.is_failing()
    }

    /// Waits for the turn to look for a row of `table` that says `wanted`, and to make it if there is
    /// none: two deals of one new customer that arrive together must not make it twice.
    pub(super) async fn turn(&self, table: &str, wanted: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (table, wanted.to_lowercase()).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % ROW_LOCKS as u64).unwrap_or(0);
        self.rows[place].lock().await
    }

    /// Which CRM.
    #[must_use]
    pub fn name(&self) -> CrmName {
        self.crm.name()
    }

    /// The mapping for a kind of record; `None` if that kind is not mapped.
    #[must_use]
    pub fn mapping(&self, kind: RecordKind) -> Option<Arc<Mapping>> {
        self.mappings.load().iter().find(|mapping| mapping.kind() == kind).cloned()
    }

    /// The kinds of record that are mapped.
    #[must_use]
    pub fn kinds(&self) -> Vec<RecordKind> {
        self.mappings.load().iter().map(|mapping| mapping.kind()).collect()
    }

    /// Puts new mappings in the place of the old ones. Tries under way finish with the old.
    pub fn replace_mappings(&self, mappings: Vec<Arc<Mapping>>) {
        self.mappings.store(Arc::new(mappings));
    }
}

impl Account {
    /// Says which version of the mapping files is in use, for the trail.
    pub fn name_mappings(&self, version: &str) {
        for part in &self.crms {
            part.version.store(Arc::new(version.to_owned()));
        }
    }

    /// The version of the mapping files in use, as the history lists it; empty if none was told.
    #[must_use]
    pub fn mapping_version(&self) -> Arc<String> {
        self.crms.first().map(|part| part.version.load_full()).unwrap_or_default()
    }
}

impl Account {
    /// The part for a CRM.
    #[must_use]
    pub fn part(&self, crm: CrmName) -> Option<&CrmPart> {
        self.crms.iter().find(|part| part.name() == crm)
    }
}
