//! A CRM record as a connector hands it over, and what is written to one.

use serde::{Deserialize, Serialize};

use super::id::{RecordId, RecordKey};
use super::time::Timestamp;

/// Field names to JSON values.
///
/// In a [`Record`] the map is flat: a field of a related record is named by a dotted path
/// (`Account.Name`, `transactioncurrencyid.isocurrencycode`). Values are in one form whatever the
/// vendor: dates `YYYY-MM-DD`, instants RFC 3339 with `Z`, numbers as JSON numbers, empty as null.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// What a system calls the version of a record: an etag, a modification stamp. Opaque: only
/// equality means something. Sent back exactly as received.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

/// One record of a CRM, as read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which record.
    pub key: RecordKey,
    /// The version to make a write conditional on.
    pub version: Version,
    /// When the system says it was last modified, by its own clock.
    pub modified: Timestamp,
    /// The fields asked for, flat.
    pub fields: Fields,
}

/// What to read of a record: chosen by the mapping, so that only mapped fields are ever asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Fields by flat name; a dotted path reads a field of a related record.
    pub fields: Vec<String>,
    /// The field that holds the referral id: external id in Salesforce, alternate key in Dataverse.
    pub referral_field: String,
    /// The check box by which a seller shares the record.
    pub sync_field: String,
    /// The field that holds the sync token, where the CRM has one.
    pub token_field: Option<String>,
}

/// A lookup value in a write: which row the field is to point to.
///
/// In a write the value of a lookup field is the JSON of this: `{"table": "account", "id": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Logical name of the related table, for example `account` or `Account`.
    pub table: String,
    /// Id of the related row.
    pub id: RecordId,
}

/// How a closing action ends a record, in the CRM's own codes; from the mapping's stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Won, or not.
    pub won: bool,
    /// The status (reason) code the CRM is to hold afterwards; Dataverse `statuscode`.
    pub status: i64,
    /// Subject of the closing activity, for people.
    pub subject: String,
    /// Longer text, for example the reason given at Partner Center.
    pub description: Option<String>,
    /// Actual value in major units, where known.
    pub actual_value: Option<rust_decimal::Decimal>,
    /// Actual date of closing, where known.
    pub actual_date: Option<super::time::Date>,
}
