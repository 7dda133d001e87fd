//! What is known of the three systems without asking them: fields, types, who may write them.
//!
//! Source: the reference pages on Partner Center (section 3), Dynamics 365 (2.3 to 2.6) and
//! Salesforce (3). A CRM can have columns of its own, which are recognised by their name.

mod dynamics365;
mod partner_center;
mod salesforce;

use super::rule::FieldKind;
use crate::domain::id::{CrmName, RecordKind};

pub(crate) use partner_center::{LIST_ITEMS, ReferralField, referral_field, referral_names};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Text.
    Text,
    /// An amount.
    Money,
    /// A number with a fraction.
    Decimal,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// A date without a time.
    Date,
    /// A moment.
    Instant,
    /// One of a set of codes.
    Option,
    /// A list of objects.
    List,
    /// A pointer to another row.
    Lookup,
}

impl Holds {
    /// For messages.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Money => "an amount",
            Self::Decimal => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "yes or no",
            Self::Date => "a date",
            Self::Instant => "an instant",
            Self::Option => "an option",
            Self::List => "a list",
            Self::Lookup => "a lookup",
        }
    }

    /// Whether a row of type `kind` can hold this without a step that changes its form.
    pub(crate) fn fits(self, kind: FieldKind) -> bool {
        use FieldKind as K;
        match self {
            Self::Text => matches!(kind, K::Text | K::Option),
            Self::Money => matches!(kind, K::Money | K::Decimal),
            Self::Decimal => matches!(kind, K::Decimal | K::Money),
            Self::Integer => matches!(kind, K::Integer | K::Decimal),
            Self::Boolean => matches!(kind, K::Boolean | K::Option),
            Self::Date => kind == K::Date,
            Self::Instant => kind == K::Instant,
            Self::Option => matches!(kind, K::Option | K::Text),
            Self::List => kind == K::List,
            Self::Lookup => false,
        }
    }
}

/// A standard column of a CRM table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Logical (API) name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) holds: Holds,
    /// Longest text in characters; 0 if it does not apply.
    pub(crate) length: usize,
    /// Settable when the row is made.
    pub(crate) create: bool,
    /// Settable afterwards.
    pub(crate) update: bool,
}

/// A column that may be written.
const fn column(name: &'static str, holds: Holds, length: usize) -> Column {
    Column { name, holds, length, create: true, update: true }
}

/// A column that only the system writes.
const fn read_only(name: &'static str, holds: Holds) -> Column {
    Column { name, holds, length: 0, create: false, update: false }
}

/// A column that may be written, but not when the row is made.
const fn update_only(name: &'static str, holds: Holds) -> Column {
    Column { name, holds, length: 0, create: false, update: true }
}

/// What a record's field is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    /// A standard column.
    Standard(&'static Column),
    /// A standard column of a related row.
    Related {
        /// The column.
        column: &'static Column,
        /// Whether writing it finds the row by this attribute.
        finds: bool,
    },
    /// A column of the customer's own, by its name.
    Custom,
    /// Neither.
    Unknown,
}

/// What `field`, dotted for a related row, is in the table behind `kind`.
pub(crate) fn record_field(crm: CrmName, kind: RecordKind, field: &str) -> Known {
    let Some((lookup, rest)) = field.split_once('.') else {
        return match standard(columns(crm, kind), field) {
            Some(column) => Known::Standard(column),
            None if is_custom(crm, field) => Known::Custom,
            None => Known::Unknown,
        };
    };
    let mut known = related(crm).iter().chain(lists(crm, kind));
    let Some((_, table)) = known.find(|(name, _)| *name == lookup) else {
        let custom = is_custom(crm, lookup) || lookup.ends_with("__r");
        return if custom && is_name(rest) { Known::Custom } else { Known::Unknown };
    };
    match standard(table_columns(crm, table), rest) {
        Some(column) => Known::Related { column, finds: *table == "transactioncurrency" },
        None if is_custom(crm, rest.rsplit('.').next().unwrap_or(rest)) => Known::Custom,
        None => Known::Unknown,
    }
}

/// The columns of opportunity or lead.
pub(crate) fn columns(crm: CrmName, kind: RecordKind) -> &'static [Column] {
    match (crm, kind) {
        (CrmName::Dynamics365, RecordKind::Opportunity) => dynamics365::OPPORTUNITY,
        (CrmName::Dynamics365, RecordKind::Lead) => dynamics365::LEAD,
        (CrmName::Salesforce, RecordKind::Opportunity) => salesforce::OPPORTUNITY,
        (CrmName::Salesforce, RecordKind::Lead) => salesforce::LEAD,
    }
}

/// The columns of another table; empty for one that is not known.
pub(crate) fn table_columns(crm: CrmName, table: &str) -> &'static [Column] {
    match crm {
        CrmName::Dynamics365 => dynamics365::table(table),
        CrmName::Salesforce => salesforce::table(table),
    }
}

/// The tables a `[[related]]` row may name.
pub(crate) fn tables(crm: CrmName) -> &'static [&'static str] {
    match crm {
        CrmName::Dynamics365 => &["account", "contact"],
        CrmName::Salesforce => &["Account", "Contact"],
    }
}

/// Lookups that a dotted field may follow, with the table behind each.
pub(crate) fn related(crm: CrmName) -> &'static [(&'static str, &'static str)] {
    match crm {
        CrmName::Dynamics365 => dynamics365::RELATED,
        CrmName::Salesforce => salesforce::RELATED,
    }
}

/// Ways to the rows below a record that a dotted field may take, with the table behind each.
fn lists(crm: CrmName, kind: RecordKind) -> &'static [(&'static str, &'static str)] {
    match (crm, kind) {
        (CrmName::Salesforce, RecordKind::Opportunity) => salesforce::LISTS,
        _ => &[],
    }
}

/// Columns that a new record cannot do without.
pub(crate) fn required(crm: CrmName, kind: RecordKind) -> &'static [&'static str] {
    match (crm, kind) {
        (CrmName::Dynamics365, RecordKind::Opportunity) => &["name"],
        (CrmName::Dynamics365, RecordKind::Lead) => &["subject", "lastname"],
        (CrmName::Salesforce, RecordKind::Opportunity) => &["Name", "CloseDate"],
        (CrmName::Salesforce, RecordKind::Lead) => &["LastName", "Company"],
    }
}

/// Every name that could have been meant by a field of a record.
pub(crate) fn field_names(crm: CrmName, kind: RecordKind) -> Vec<String> {
    let mut names: Vec<String> =
        columns(crm, kind).iter().map(|column| column.name.to_owned()).collect();
    for (lookup, table) in related(crm).iter().chain(lists(crm, kind)) {
        let columns = table_columns(crm, table).iter();
        names.extend(columns.map(|column| format!("{lookup}.{}", column.name)));
    }
    names
}

/// The column named `name`.
pub(crate) fn standard(columns: &'static [Column], name: &str) -> Option<&'static Column> {
    columns.iter().find(|column| column.name == name)
}

/// Whether `name` is a column of the customer's own: `prefix_name` in Dynamics 365, `Name__c` in
/// Salesforce.
pub(crate) fn is_custom(crm: CrmName, name: &str) -> bool {
    match crm {
        CrmName::Dynamics365 => {
            let prefix = name.split('_').next().unwrap_or_default();
            is_name(name)
                && name.contains('_')
                && (2..=8).contains(&prefix.len())
                && !name.starts_with("address1_")
                && !name.starts_with("address2_")
                && name.chars().all(|letter| !letter.is_uppercase())
        }
        CrmName::Salesforce => is_name(name) && name.len() > 3 && name.ends_with("__c"),
    }
}

/// Whether `name` holds only what an API name may hold, so that it can stand in a query.
pub(crate) fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    name.len() <= 100
        && first.is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
