//! What must survive: the inbox, the deals with their bases, cursors, the audit trail, sealed
//! secrets.
//!
//! * Owns: the trait [`Store`] with its laws, and its implementations (`sled`, `memory`).
//! * May use: `domain`. Never the mapping, the merge, the outside or the worker.
//! * What must change together travels in one [`Commit`]; there is no transaction handle.

mod engine;
pub mod memory;
pub mod seal;
#[cfg(feature = "store-sled")]
pub mod sled;
mod verbs;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::audit::{AuditEntry, NewEntry};
use crate::domain::deal::Deal;
use crate::domain::hold::Hold;
use crate::domain::id::{AccountName, DealId, EngagementId, NoticeId, RecordKey, ReferralId};
use crate::domain::notice::{Done, NewNotice, Notice, Source, Subject};
use crate::domain::time::Timestamp;

/// The store. About a dozen verbs, each an intent of a caller, none a table.
///
/// Laws, run as one suite against every implementation: enqueue is idempotent and durable when it
/// returns; one lane for each deal; a commit is all or nothing; what was claimed and not committed
/// comes back after a restart; the audit trail is append-only, gapless and chained; the ledger
/// balances after any crash.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes notices durable, with the cursors that they let move, and returns how many were fresh.
    ///
    /// A notice whose dedupe key is known is skipped. Durable (on the disk) when this returns.
    /// A notice of [`Source::Operator`] ends the wait of its lane for the next retry.
    async fn enqueue(
        &self,
        notices: Vec<NewNotice>,
        cursors: Vec<CursorMove>,
        entries: Vec<NewEntry>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Takes at most `limit` lanes that have a notice due at `now`, none of which is claimed.
    ///
    /// A lane is a deal, or a subject that no deal is known for. Every waiting notice of the lane
    /// comes along, so that many notices of one deal are one try. The claim lasts until the next
    /// [`Store::commit`] or [`Store::give_back`] of that lane, or the end of the process.
    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<Claim>, StoreError>;

    /// Gives a lane back untouched: a soft stop.
    async fn give_back(&self, lane: &Lane) -> Result<(), StoreError>;

    /// When the earliest waiting notice of an unclaimed lane is due; `None` if nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Applies everything in `commit`, or nothing. Durable when this returns.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// One deal.
    async fn deal(&self, id: &DealId) -> Result<Option<Deal>, StoreError>;

    /// The deal that holds a referral, a record or an engagement of an account.
    async fn deal_by(
        &self,
        account: &AccountName,
        key: &DealKey,
    ) -> Result<Option<Deal>, StoreError>;

    /// Deals of an account in the order of their ids, after `after`, at most `limit`.
    async fn deals(
        &self,
        account: Option<&AccountName>,
        after: Option<&DealId>,
        limit: usize,
    ) -> Result<Vec<Deal>, StoreError>;

    /// Where a feed stands.
    async fn cursor(&self, account: &AccountName, feed: &str)
    -> Result<Option<String>, StoreError>;

    /// Dead letters, oldest first.
    async fn dead_letters(
        &self,
        account: Option<&AccountName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Releases a dead letter: back into the inbox, or done. Returns whether there was one.
    async fn release(
        &self,
        id: &NoticeId,
        release: Release,
        entry: NewEntry,
    ) -> Result<bool, StoreError>;

    /// One dead letter.
    async fn dead_letter(&self, id: &NoticeId) -> Result<Option<DeadLetter>, StoreError>;

    /// Notices that wait, oldest first, at most `limit`.
    async fn waiting(&self, limit: usize) -> Result<Vec<Notice>, StoreError>;

    /// Entries of the audit trail, newest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;

    /// Walks the whole chain and returns the number of entries, or where it breaks.
    async fn verify_audit(&self) -> Result<Verification, StoreError>;

    /// Erases the field values and summary of entries about a deal, by a redaction that keeps the
    /// chain valid. Returns how many entries it covered.
    async fn redact_audit(&self, deal: &DealId, entry: NewEntry) -> Result<usize, StoreError>;

    /// Counts of notices, per source.
    async fn ledger(&self) -> Result<Vec<LedgerLine>, StoreError>;

    /// A small named value (a sealed token, a setting chosen at run time).
    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores a small named value, durable when this returns; `None` removes it.
    async fn keep_note(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), StoreError>;

    /// Names and values of the notes whose name starts with `prefix`.
    async fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Writes everything to `path` as gzip-compressed JSON Lines, complete and synced when this
    /// returns; the number of lines written.
    async fn export(&self, path: &std::path::Path) -> Result<u64, StoreError>;

    /// Whether the store takes writes.
    async fn health(&self) -> Result<(), StoreError>;
}

/// What one lane is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The account.
    pub account: AccountName,
    /// The deal, or the subject that no deal is known for.
    pub subject: Subject,
}

/// A lane that is being worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The lane.
    pub lane: Lane,
    /// Every notice that waits in it, oldest first.
    pub notices: Vec<Notice>,
    /// The deal, if one is known.
    pub deal: Option<Deal>,
}

/// How a deal is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DealKey {
    /// By our own referral, or Microsoft's.
    Referral(ReferralId),
    /// By a linked record.
    Record(RecordKey),
    /// By its engagement.
    Engagement(EngagementId),
}

/// Everything that one try leaves behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The deal as it now is; replaces the stored one and its indexes.
    pub deal: Option<Deal>,
    /// What becomes of the lane's notices. `None` keeps the lane claimed: the try goes on (an
    /// intent before a write).
    pub ending: Option<Ending>,
    /// Work for later, of this deal or another.
    pub notices: Vec<NewNotice>,
    /// Cursors that move.
    pub cursors: Vec<CursorMove>,
    /// What happened.
    pub entries: Vec<NewEntry>,
    /// Names of small values that are needed no more.
    pub forget: Vec<String>,
    /// When.
    pub now: Option<Timestamp>,
}

/// What becomes of a claimed lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The lane; released by this commit.
    pub lane: Lane,
    /// The notices that were worked on. Others that arrived meanwhile stay.
    pub notices: Vec<NoticeId>,
    /// What becomes of them.
    pub fate: Fate,
}

/// What becomes of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The newest ended this way; older ones of the lane, and its earlier dead letters, count as
    /// superseded.
    Done(Done),
    /// Tried again, not before `at`.
    Retry {
        /// When.
        at: Timestamp,
        /// Whether this used up a try.
        counts: bool,
        /// Why, for `status` and `why`.
        reason: String,
    },
    /// Moved to the dead-letter list: one dead letter for the lane, the newest notice; older ones,
    /// and earlier dead letters of the lane, count as superseded. A later notice of the lane is
    /// worked on all the same: it may be the repair.
    Held(Hold),
}

/// A feed that moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorMove {
    /// The account.
    pub account: AccountName,
    /// The feed's name, for example `dynamics365/opportunity`.
    pub feed: String,
    /// Where it now stands; `None` forgets it.
    pub cursor: Option<String>,
}

/// A notice that waits for a person, or for a later change that repairs what it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The notice.
    pub notice: Notice,
    /// Why it waits.
    pub hold: Hold,
    /// Since when.
    pub held: Timestamp,
}

impl DeadLetter {
    /// The deal it is about, so that the deal's story tells who released it; `None` if there is none
    /// yet.
    ///
    /// # Errors
    ///
    /// As [`Store::deal_by`].
    pub async fn deal(&self, store: &dyn Store) -> Result<Option<DealId>, StoreError> {
        deal_of(&self.notice.notice, store).await
    }
}

/// The deal that a notice is about; `None` if there is none yet.
///
/// # Errors
///
/// As [`Store::deal_by`].
pub async fn deal_of(notice: &NewNotice, store: &dyn Store) -> Result<Option<DealId>, StoreError> {
    let key = match &notice.subject {
        Subject::Deal(id) => return Ok(Some(id.clone())),
        Subject::Referral(id) => DealKey::Referral(id.clone()),
        Subject::Record(key) => DealKey::Record(key.clone()),
        Subject::Unusable(_) => return Ok(None),
    };
    Ok(store.deal_by(&notice.account, &key).await?.map(|deal| deal.id))
}

/// What a person decided about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// Back into the inbox with a clean count of tries.
    Retry,
    /// Done, as ignored.
    Discard,
}

/// Which audit entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Only of this account.
    pub account: Option<AccountName>,
    /// Only of this deal.
    pub deal: Option<DealId>,
    /// Only of this kind.
    pub kind: Option<crate::domain::audit::AuditKind>,
    /// Only from this moment on.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// Only entries with a smaller number: the next page.
    pub before: Option<u64>,
    /// Most entries to return.
    pub limit: usize,
}

/// What walking the audit chain showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Entries walked.
    pub entries: u64,
    /// Number of the first entry that does not fit the chain; `None` if all do.
    pub broken_at: Option<u64>,
    /// Hash of the last entry.
    pub head: String,
}

/// The counts of one source: accepted = applied + superseded + ignored + waiting + held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The source.
    pub source: Source,
    /// Fresh notices that became durable.
    pub accepted: u64,
    /// Done: the deal was brought in step.
    pub applied: u64,
    /// Done: covered by a later notice.
    pub superseded: u64,
    /// Done: nothing to do.
    pub ignored: u64,
    /// In the inbox.
    pub waiting: u64,
    /// On the dead-letter list.
    pub held: u64,
}

impl LedgerLine {
    /// Whether every accepted notice is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.accepted == self.applied + self.superseded + self.ignored + self.waiting + self.held
    }
}

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The directory is locked by another process.
    #[error("the store at {0} is in use by another process")]
    Locked(String),
    /// The store is empty or older than its marker: restore from an export.
    #[error(
        "the store at {path} is behind its marker ({found} of {expected} commits); restore it with `cosell-sync restore FILE`, or where there is no backup with `restore --rebuild`"
    )]
    BehindMarker {
        /// Where.
        path: String,
        /// Commits found.
        found: u64,
        /// Commits the marker promises.
        expected: u64,
    },
    /// Written by a newer version of this program.
    #[error(
        "the store has schema {found}, this program knows up to {known}; run the newer version"
    )]
    NewerSchema {
        /// Found.
        found: u32,
        /// Known.
        known: u32,
    },
    /// The disk, or sled, failed. The process must end and start again.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A stored value could not be read back.
    #[error("a stored value is damaged: {0}")]
    Damaged(String),
}
