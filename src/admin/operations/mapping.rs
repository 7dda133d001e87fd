//! What is asked and told about mapping files.

use serde::{Deserialize, Serialize};

use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::domain::time::Timestamp;
use crate::mapping::rule::{Occasion, ParkedRow};
use crate::mapping::{DiffReport, PreviewLine};

/// Whether the mapping files on the disk are those in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MappingState {
    /// Version in use, over all files of the account.
    pub version: String,
    /// Why the files on the disk are not in use; `None` if they are.
    pub rejected: Option<String>,
    /// Rows that are left out because of what the CRMs have or let us write.
    pub parked: Vec<ParkedField>,
    /// Records whose stage these files read as another one than was agreed on, counted when they are
    /// taken into use: nothing is sent for them.
    #[serde(default)]
    pub restaged: usize,
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
    /// Show what is written when the other side is made, though it may be there.
    pub new: bool,
}

/// What a mapping makes of one referral or record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MappingPreview {
    /// Whether the other side is made or changed: made where nothing is linked yet.
    pub occasion: Occasion,
    /// Field by field.
    pub items: Vec<PreviewLine>,
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
