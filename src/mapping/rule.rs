//! What a compiled mapping says about fields, stages and control fields, for the merge to follow.

use serde::{Deserialize, Serialize};

use crate::domain::deal::Values;
use crate::domain::record::Fields;
use crate::domain::stage::Stage;

/// The rule for one field, compiled from one `[[field]]` row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldRule {
    /// Canonical name: the dotted path in the referral, or the CRM field of a row without one.
    pub name: String,
    /// Words for people: `Deal value`. From the row's `label`, else made from the name.
    pub label: String,
    /// Dotted path in the referral; `None` for a formula to the CRM.
    pub referral: Option<String>,
    /// Field of the record, dotted for a field of a related record; `None` for a formula to Partner
    /// Center.
    pub crm: Option<String>,
    /// How values are compared.
    pub kind: FieldKind,
    /// Which way values travel.
    pub direction: Direction,
    /// Sent when the other side is created.
    pub on_create: bool,
    /// Sent when the other side is changed.
    pub on_update: bool,
    /// Who wins when both sides changed it.
    pub conflict: Policy,
    /// Fields with one group name are merged as one: the side that wins one wins all.
    pub group: Option<String>,
    /// An emptied value is not sent to Partner Center; each side keeps what it has.
    pub required: bool,
    /// Where the row stands, for `why` and errors: `dynamics365-opportunity.toml:41`.
    pub place: String,
}

/// The canonical type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Text, compared trimmed.
    Text,
    /// An amount, compared at its currency's precision.
    Money,
    /// A decimal number.
    Decimal,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// A date without a time.
    Date,
    /// A moment.
    Instant,
    /// One of a closed set of codes.
    Option,
    /// A list told apart by identity.
    List,
}

/// Which way a field travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// From the referral to the record.
    ToCrm,
    /// From the record to the referral.
    ToPartnerCenter,
}

impl Direction {
    /// Whether values travel to the record.
    #[must_use]
    pub fn to_crm(self) -> bool {
        self != Self::ToPartnerCenter
    }

    /// Whether values travel to the referral.
    #[must_use]
    pub fn to_partner_center(self) -> bool {
        self != Self::ToCrm
    }
}

/// Who wins when both sides changed a field to different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Partner Center's value stays.
    PartnerCenter,
    /// The CRM's value stays.
    Crm,
    /// The value of the record that was modified later, by the systems' own stamps; too close
    /// together is [`Policy::Ask`].
    Newest,
    /// A person decides: the link is held.
    Ask,
}

impl Policy {
    /// The word used in mapping files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerCenter => "partner_center",
            Self::Crm => "crm",
            Self::Newest => "newest",
            Self::Ask => "ask",
        }
    }
}

/// One side of a deal in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SideValues {
    /// Values by canonical field name. A field that could not be read is absent.
    pub values: Values,
    /// Fields that could not be read, with the reason: they are parked, the others flow.
    pub problems: Vec<FieldProblem>,
}

/// Why one field could not be converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Canonical field name.
    pub field: String,
    /// What is wrong with which value, in plain words.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// A row that is not used because the CRM does not have its field, or does not let us write it. The
/// other rows are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedRow {
    /// Canonical field name.
    pub field: String,
    /// Words for people.
    pub label: String,
    /// The field of the record that stands in the way.
    pub crm_field: String,
    /// The row expects this: it has `optional_field = true`.
    pub optional: bool,
    /// What stands in the way, in plain words.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// Where the row stands.
    pub place: String,
}

/// When a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The target is being created.
    Create,
    /// The target exists.
    Update,
}

/// The control fields of a record: names from `[control]`. Only the first three must exist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Control {
    /// Holds the referral id; the record's unique key.
    pub referral_id: String,
    /// The check box *Sync with Partner Center*.
    pub sync: String,
    /// The seller's audit trail.
    pub audit: String,
    /// Longest audit text in characters; whole entries are kept below it.
    pub audit_length: usize,
    /// A link to the referral for people.
    pub link: Option<String>,
    /// Template of that link with `{referral_id}` and `{engagement_id}`.
    pub link_template: Option<String>,
    /// *How can Microsoft help?*
    pub help: Option<String>,
    /// Option codes or labels of help, each with the assistance code of Partner Center.
    pub help_codes: Vec<(String, String)>,
    /// Solution ids of the deal.
    pub solutions: Option<String>,
    /// *Visibility*: whether Microsoft's sellers may see the deal.
    pub visibility: Option<String>,
    /// Microsoft's own number of the deal.
    pub microsoft_id: Option<String>,
    /// The sync token.
    pub token: Option<String>,
    /// The seller's check mark.
    pub status: Option<String>,
    /// What the status field holds for `in_sync`, `waiting`, `needs_attention`, `paused`, `closed`;
    /// the words themselves where a row is missing.
    pub status_values: Vec<(String, serde_json::Value)>,
}

impl Control {
    /// The fields that a record may lack, as far as they are named.
    pub fn optional(&self) -> impl Iterator<Item = &String> {
        let all = [
            &self.link,
            &self.help,
            &self.solutions,
            &self.visibility,
            &self.microsoft_id,
            &self.token,
            &self.status,
        ];
        all.into_iter().flatten()
    }
}

/// What a record's stage field says about the deal, from `[[stage]]` rows; the first that fits wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageRule {
    /// The canonical stage.
    pub stage: Stage,
    /// Field values by which the stage is recognised, all of them; empty if the stage is only
    /// written and never recognised.
    pub when: Fields,
    /// Field values to write to bring a record into this stage; empty if it cannot be written so.
    pub write: Fields,
    /// The closing action that brings a record into this stage, with the status code to ask for.
    pub close: Option<CloseRule>,
    /// Where the row stands: `dynamics365-opportunity.toml:41`.
    pub place: String,
}

impl StageRule {
    /// Whether the row says how to bring a record into its stage.
    #[must_use]
    pub fn sets(&self) -> bool {
        !self.write.is_empty() || self.close.is_some()
    }
}

/// A closing action of the CRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRule {
    /// Win or lose.
    pub won: bool,
    /// Status code to ask for.
    pub status: i64,
}

/// How a lookup to another table is found, and what is made when nothing is found; from
/// `[[related]]` rows. Used when a record is created for an arriving deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelatedRule {
    /// `account` or `contact`, for people.
    pub name: String,
    /// Lookup fields of the record that are to point to the row found.
    pub fields: Vec<String>,
    /// Logical name of the other table.
    pub table: String,
    /// How a row is recognised.
    pub by: Match,
    /// Fields of a new row: field name and dotted referral path (`customerProfile.team.0.email`
    /// takes the first item of a list).
    pub create: Vec<(String, String)>,
    /// Lookup fields of the new row that point to an earlier related row, with its name.
    pub create_links: Vec<(String, String)>,
}

/// How a row of another table is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Match {
    /// Same name and same postal code, by the rules of the account match.
    NameAndPostalCode {
        /// Field of the name in the other table, and its referral path.
        name: (String, String),
        /// Field of the postal code, and its referral path.
        postal_code: (String, String),
    },
    /// One field equal, without case; for example the e-mail address of a contact.
    Equal {
        /// Field in the other table, and the referral path of the value.
        field: (String, String),
    },
}
