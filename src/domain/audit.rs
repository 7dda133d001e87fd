//! The local trail: one entry for each thing that happened, chained by hashes.

use serde::{Deserialize, Serialize};

use super::id::{AccountName, DealId};
use super::time::Timestamp;
use super::value::Value;

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A notice became durable.
    Received,
    /// A record was read afresh.
    Fetched,
    /// Both sides were merged.
    Merged,
    /// Something was written to a system.
    Wrote,
    /// A system refused.
    Refused,
    /// A try failed and will be repeated.
    Retried,
    /// The deal waits for a person.
    Held,
    /// A person, or a change, released it.
    Resumed,
    /// Both sides had changed one field; one value lost.
    Conflict,
    /// A deal was linked, adopted, moved or ended.
    Linked,
    /// Settings, credentials or mappings changed.
    Configured,
    /// Shadow mode: would have been written.
    WouldWrite,
    /// A person did something in the console or on the command line.
    Operated,
    /// Personal data of earlier entries was erased.
    Redacted,
    /// Something needs attention: a deadline, a stolen slot, an expiring secret.
    Alerted,
}

/// One field of an entry, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Canonical field name: the referral path, or the CRM field of a row without one.
    pub field: String,
    /// Value before.
    pub before: Value,
    /// Value after.
    pub after: Value,
}

/// An entry before the trail has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// When it happened.
    pub at: Timestamp,
    /// The account.
    pub account: AccountName,
    /// The deal, where there is one.
    pub deal: Option<DealId>,
    /// What sort of thing.
    pub kind: AuditKind,
    /// Which system or person: `partner_center`, `dynamics365`, `salesforce`, `daemon`, a user name.
    pub actor: String,
    /// One plain sentence.
    pub summary: String,
    /// What caused it: a notice id, a mapping version, a deadline.
    pub cause: Option<String>,
    /// Fields before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Request ids to quote to a vendor's support.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_ids: Vec<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// Lower-case hex SHA-256 over the previous entry's hash and this entry.
    pub hash: String,
    /// What happened.
    #[serde(flatten)]
    pub entry: NewEntry,
}
