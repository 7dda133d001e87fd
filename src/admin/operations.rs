//! What the admin interface asks of the running program beyond its store.

mod mapping;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::deal::Deal;
use crate::domain::id::{AccountName, CrmName, DealId, RecordKey, RecordKind};
use crate::domain::secret::SecretString;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::store::{LedgerLine, StoreError};

pub use mapping::{
    MappingDiff, MappingPreview, MappingState, MappingVersion, MappingView, ParkedField,
    PreviewSubject,
};

/// Why an operation was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperationError {
    /// Nothing of that name.
    #[error("{what} {fix}")]
    NotFound {
        /// What is wrong.
        what: String,
        /// What to do.
        fix: String,
    },
    /// It must not be done now.
    #[error("{what} {fix}")]
    Refused {
        /// What is wrong.
        what: String,
        /// What to do.
        fix: String,
    },
    /// A remote system refused or did not answer.
    #[error("{what} {fix}")]
    Outside {
        /// What is wrong.
        what: String,
        /// What to do.
        fix: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that needs the connectors, the feeds or the mapping files.
#[async_trait]
pub trait Operations: Send + Sync {
    /// The accounts, in the order of their names.
    fn accounts(&self) -> Vec<AccountName>;

    /// Tells the worker that the inbox got something.
    fn wake(&self);

    /// How everything is doing; asks no remote system.
    async fn status(&self) -> Result<Status, OperationError>;

    /// Counters and gauges as Prometheus reads them.
    async fn metrics(&self) -> String;

    /// Compares every deal, and lists Partner Center from the start.
    async fn reconcile(
        &self,
        account: Option<&AccountName>,
        who: &str,
    ) -> Result<Queued, OperationError>;

    /// Ties a deal to another record, in its own lane. Refused at once where the record is not there,
    /// not mapped or another deal's.
    async fn relink(
        &self,
        deal: &Deal,
        record: &RecordKey,
        who: &str,
    ) -> Result<(), OperationError>;

    /// What shadow mode planned for at most `limit` deals, beside what the systems hold now.
    async fn shadow_report(
        &self,
        account: &AccountName,
        limit: usize,
    ) -> Result<ShadowReport, OperationError>;

    /// What a first load would find; reads the systems, changes nothing.
    async fn preview_backfill(&self, account: &AccountName) -> Result<Forecast, OperationError>;

    /// Reads everything from the start. Goes on after a restart.
    async fn backfill(
        &self,
        account: &AccountName,
        who: &str,
    ) -> Result<BackfillProgress, OperationError>;

    /// How far a first load is; `None` if none was begun.
    async fn backfill_progress(
        &self,
        account: &AccountName,
    ) -> Result<Option<BackfillProgress>, OperationError>;

    /// The tenant's webhook registration.
    async fn webhook(&self, account: &AccountName) -> Result<WebhookView, OperationError>;

    /// Registers our address; another tool's is replaced only with `take_over`.
    async fn register_webhook(
        &self,
        account: &AccountName,
        take_over: bool,
        who: &str,
    ) -> Result<WebhookView, OperationError>;

    /// Asks Partner Center for a test event and tells what became of it.
    async fn test_webhook(&self, account: &AccountName) -> Result<WebhookTest, OperationError>;

    /// Checks the live systems against configuration and mappings.
    async fn doctor(&self) -> Result<Vec<Finding>, OperationError>;

    /// Plans, and with `apply` makes, what the CRMs lack.
    async fn provision(
        &self,
        account: Option<&AccountName>,
        apply: bool,
        who: &str,
    ) -> Result<Vec<ProvisionLine>, OperationError>;

    /// The mapping rows of an account that are left out now.
    fn parked(&self, account: &AccountName) -> Vec<ParkedField>;

    /// The mappings in use.
    fn mappings(&self) -> Vec<MappingView>;

    /// What a mapping makes of one live referral or record; writes nothing.
    async fn preview(
        &self,
        account: &AccountName,
        subject: &PreviewSubject,
    ) -> Result<MappingPreview, OperationError>;

    /// What the `new` mapping files would write differently from the `old` ones, over linked deals.
    /// Either is an absolute folder, a version of the history, or `in-use`.
    async fn diff_mappings(
        &self,
        account: &AccountName,
        old: &str,
        new: &str,
        samples: usize,
    ) -> Result<Vec<MappingDiff>, OperationError>;

    /// Versions of the mapping files that were in use, newest first.
    async fn mapping_history(
        &self,
        account: &AccountName,
    ) -> Result<Vec<MappingVersion>, OperationError>;

    /// Uses the mapping files on the disk now, if they are good; tells why not otherwise. `why` is
    /// kept with the version. `confirmed` names the version that is wanted however much it writes.
    async fn reload_mappings(
        &self,
        account: &AccountName,
        who: &str,
        why: Option<&str>,
        confirmed: Option<&str>,
    ) -> Result<MappingState, OperationError>;

    /// Puts the files of an earlier version back in place and uses them.
    async fn roll_back_mappings(
        &self,
        account: &AccountName,
        version: &str,
        who: &str,
        why: Option<&str>,
    ) -> Result<MappingVersion, OperationError>;

    /// Keeps the refresh token of a completed sign-in at Partner Center, sealed.
    async fn keep_login(
        &self,
        account: &AccountName,
        token: SecretString,
        who: &str,
    ) -> Result<(), OperationError>;

    /// Tries a client secret, or a certificate with its key, at Partner Center without using it.
    async fn test_credential(
        &self,
        account: &AccountName,
        staged: SecretString,
    ) -> Result<CredentialTest, OperationError>;
}

/// What a staged credential is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialTest {
    /// Whether the token endpoint took it.
    pub works: bool,
    /// What was found, in one sentence without secrets.
    pub what: String,
    /// What to do next.
    pub fix: Option<String>,
}

/// How everything is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Since when it runs; `None` if it does not run and the store is read directly.
    pub started: Option<Timestamp>,
    /// The time of this answer.
    pub now: Timestamp,
    /// Dead letters: deals and events that wait for a person.
    pub needs_you: u64,
    /// What else needs attention, one sentence each.
    pub alerts: Vec<String>,
    /// The accounts.
    pub accounts: Vec<AccountStatus>,
    /// Counts of notices per source.
    pub ledger: Vec<LedgerLine>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// Its name.
    pub name: AccountName,
    /// Plans and records everything, writes nothing.
    pub shadow: bool,
    /// Its systems.
    pub systems: Vec<SystemStatus>,
    /// Its feeds.
    pub feeds: Vec<FeedStatus>,
    /// Its webhook registration when it was last looked at.
    pub webhook: Option<WebhookView>,
    /// Days until the refresh token dies unused, where known.
    pub credential_days_left: Option<u32>,
    /// The mapping files.
    pub mappings: MappingState,
}

/// One remote system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemStatus {
    /// `partner_center`, `dynamics365` or `salesforce`.
    pub name: String,
    /// `ok`, `starting`, `paused` (it fails, or its quota is nearly used up) or `refused`
    /// (credentials).
    pub state: String,
    /// Why credentials were last refused.
    pub refusal: Option<String>,
    /// What is used up and what to do, where its quota is nearly used up.
    pub rest: Option<String>,
    /// Since when its quota is nearly used up.
    pub resting_since: Option<Timestamp>,
    /// Seconds until the next call is allowed; 0 if it is now.
    pub retry_in_secs: u64,
}

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// Its name, for example `salesforce/opportunity`.
    pub name: String,
    /// When it was last read to its end.
    pub last_success: Option<Timestamp>,
    /// Seconds since then; `None` before the first time.
    pub lag_secs: Option<u64>,
    /// Why the last poll failed; `None` if it did not.
    pub fault: Option<String>,
    /// Notices it has put into the inbox since the start.
    pub notices: u64,
}

/// Work that was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Deals that will be compared.
    pub deals: u64,
    /// Feeds that are read from the start.
    pub feeds: u64,
}

/// What shadow mode planned, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowReport {
    /// The account.
    pub account: AccountName,
    /// Deals for which something was planned.
    pub deals: u64,
    /// Values that somebody has written just as planned.
    pub as_planned: u64,
    /// Values that somebody has written otherwise.
    pub differs: u64,
    /// Values that nobody has written yet.
    pub not_yet: u64,
    /// Records that would have been made and that nobody has made.
    pub to_create: u64,
    /// The values, one by one.
    pub items: Vec<ShadowLine>,
}

/// One planned value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowLine {
    /// The deal.
    pub deal: DealId,
    /// `partner_center`, `dynamics365` or `salesforce`: where it would have been written.
    pub system: String,
    /// Canonical field name; `stage` for the stage.
    pub field: String,
    /// The value of the newest plan.
    pub planned: Value,
    /// What the system holds now.
    pub held: Value,
    /// `as_planned`, `differs` or `not_yet`.
    pub outcome: String,
}

/// What a first load would find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// One line for each feed.
    pub feeds: Vec<ForecastLine>,
}

/// What one feed would bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastLine {
    /// The feed.
    pub feed: String,
    /// Records that it shows.
    pub seen: u64,
    /// Of these, records that concern us and are not in step.
    pub concern: u64,
    /// Of those, records whose other side is there already: they are tied to it, not made.
    pub matched: u64,
    /// Whether there are more than were counted.
    pub at_least: bool,
}

/// How far a first load is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillProgress {
    /// When it was begun.
    pub started: Timestamp,
    /// Feeds read to their end since then.
    pub feeds_done: u64,
    /// Feeds in all.
    pub feeds: u64,
    /// Notices that wait to be worked on, without what the daemon gave itself.
    pub waiting: u64,
    /// Notices worked off since it was begun, without what the daemon gave itself.
    pub worked: u64,
    /// Of these, so many a minute on average.
    pub a_minute: u64,
    /// Seconds until what waits is worked off at that rate; `None` while nothing is known.
    pub secs_left: Option<u64>,
    /// Whether everything was read and worked on.
    pub finished: bool,
}

/// The webhook registration of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookView {
    /// `ours`, `incomplete` (ours, but events or header differ), `foreign`, `none`, `unknown`.
    pub owner: String,
    /// The registered address without its secrets.
    pub url: Option<String>,
    /// The address that should be registered, without its secrets.
    pub wanted: Option<String>,
    /// Registered events.
    pub events: Vec<String>,
    /// When this was looked at.
    pub checked: Timestamp,
    /// What to do; `None` if all is well.
    pub fix: Option<String>,
}

/// What became of a test event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTest {
    /// Its id.
    pub correlation_id: String,
    /// `completed`, or another word while it is under way.
    pub status: String,
    /// One line for each attempt of delivery.
    pub attempts: Vec<String>,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The account; `None` for the program itself.
    pub account: Option<AccountName>,
    /// `store`, `partner_center`, `webhook`, `dynamics365`, `salesforce`.
    pub area: String,
    /// How it is.
    pub level: Level,
    /// What was found, in one sentence.
    pub what: String,
    /// What to do; `None` where nothing is.
    pub fix: Option<String>,
}

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Advice,
    /// Does not work.
    Problem,
}

/// One step of provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionLine {
    /// The account.
    pub account: AccountName,
    /// The CRM.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// What.
    pub what: String,
    /// `present`, `created`, `would create`, `waiting` or `advice`.
    pub outcome: String,
}
