//! What the admin interface asks of the running program beyond its store.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::domain::secret::SecretString;
use crate::domain::time::Timestamp;
use crate::mapping::rule::ParkedRow;
use crate::mapping::{DiffReport, PreviewLine};
use crate::store::{LedgerLine, StoreError};

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

    /// The mappings in use.
    fn mappings(&self) -> Vec<MappingView>;

    /// What a mapping makes of one live referral or record; writes nothing.
    async fn preview(
        &self,
        account: &AccountName,
        subject: &PreviewSubject,
    ) -> Result<Vec<PreviewLine>, OperationError>;

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
    /// kept with the version.
    async fn reload_mappings(
        &self,
        account: &AccountName,
        who: &str,
        why: Option<&str>,
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
    /// `ok`, `starting`, `paused` (breaker open) or `refused` (credentials).
    pub state: String,
    /// Why credentials were last refused.
    pub refusal: Option<String>,
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

/// Whether the mapping files on the disk are those in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MappingState {
    /// Version in use, over all files of the account.
    pub version: String,
    /// Why the files on the disk are not in use; `None` if they are.
    pub rejected: Option<String>,
    /// Rows that are left out because of what the CRMs have or let us write.
    pub parked: Vec<ParkedField>,
}

/// A row of a mapping that is left out, while the others are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedField {
    /// The CRM.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// Which row, what stands in its way and what to do.
    #[serde(flatten)]
    pub row: ParkedRow,
}

/// Work that was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Deals that will be compared.
    pub deals: u64,
    /// Feeds that are read from the start.
    pub feeds: u64,
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

/// A mapping in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingView {
    /// The account.
    pub account: AccountName,
    /// The CRM.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// The file.
    pub file: String,
    /// Its version.
    pub version: String,
    /// Rows in use, after optional fields that the CRM lacks were dropped.
    pub fields: usize,
}

/// What to preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewSubject {
    /// The CRM whose mapping is meant.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// A referral: what it writes to the CRM.
    pub referral: Option<String>,
    /// A record of the CRM: what it writes to Partner Center.
    pub record: Option<String>,
}

/// What a changed mapping would write differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MappingDiff {
    /// The CRM.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// Linked deals of this kind; the report is about the samples among them.
    pub linked: usize,
    /// What keeps it from being compared.
    pub note: Option<String>,
    /// The differences.
    pub report: DiffReport,
}

/// A version of the mapping files of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingVersion {
    /// The version.
    pub version: String,
    /// Since when it was in use.
    pub since: Timestamp,
    /// Who brought it: `files`, or who rolled back.
    pub who: String,
    /// Why: what the person gave, or the new lines `# why:` of the files.
    #[serde(default)]
    pub why: Option<String>,
    /// Lines added and removed against the version before, at most 200.
    pub changes: Vec<String>,
}
