//! Tables, columns and keys as data: everything else asks this module instead of knowing names.

mod column;
mod cosell;
mod customers;
mod platform;
mod sales;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use column::{Choice, Column, Kind, Target};
pub(super) use cosell::{connector_columns, cosell_columns, own_text};

/// One table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Logical name.
    pub(super) logical: String,
    /// Entity set name; never derived from the logical name.
    pub(super) set: String,
    /// Column that holds the primary key.
    pub(super) primary_id: String,
    /// Column that holds the name for people.
    pub(super) primary_name: String,
    /// Id of the definition.
    pub(super) metadata_id: String,
    /// Columns by logical name.
    pub(super) columns: BTreeMap<String, Column>,
    /// Collection-valued navigation: name, child table, lookup column of the child.
    pub(super) collections: Vec<(String, String, String)>,
    /// Alternate keys.
    pub(super) keys: Vec<AlternateKey>,
    /// Whether the change feed works.
    pub(super) tracks_changes: bool,
    /// Row version at the last change of this definition; older delta tokens are expired.
    pub(super) changed_at: u64,
}

/// An alternate key of a table.
#[derive(Debug, Clone)]
pub(super) struct AlternateKey {
    /// Schema name as given.
    pub(super) schema_name: String,
    /// Id of the definition.
    pub(super) metadata_id: String,
    /// Columns, in order.
    pub(super) columns: Vec<String>,
    /// How far its index is.
    pub(super) index: KeyIndex,
}

/// How far the index of an alternate key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyIndex {
    /// Ready after this many more reads of its status.
    Polls(u32),
    /// Ready at this moment, in milliseconds since 1970.
    At(i64),
    /// Usable.
    Active,
    /// Rows with equal values stopped it.
    Failed,
}

impl Table {
    fn new(logical: &str, set: &str, primary_name: &str, columns: Vec<Column>) -> Self {
        let primary_id = match logical {
            "opportunityclose" => "activityid".to_owned(),
            "systemform" => "formid".to_owned(),
            _ => format!("{logical}id"),
        };
        let mut all = vec![
            Column::new(&primary_id, Kind::Guid).create_only(),
            Column::new("createdon", Kind::Instant).read_only(),
            Column::new("modifiedon", Kind::Instant).read_only(),
            Column::new("versionnumber", Kind::Big).read_only(),
            Column::lookup("createdby", &[("systemuser", "createdby")]).read_only(),
            Column::lookup("modifiedby", &[("systemuser", "modifiedby")]).read_only(),
            Column::lookup("modifiedonbehalfby", &[("systemuser", "modifiedonbehalfby")])
                .read_only(),
            Column::new("overriddencreatedon", Kind::Instant).create_only(),
            Column::new(
                "importsequencenumber",
                Kind::Integer(i64::from(i32::MIN), i64::from(i32::MAX)),
            )
            .create_only(),
        ];
        all.extend(columns);
        Self {
            logical: logical.to_owned(),
            set: set.to_owned(),
            primary_id,
            primary_name: primary_name.to_owned(),
            metadata_id: super::state::stable_guid("table", logical),
            columns: all.into_iter().map(|c| (c.logical.clone(), c.owned_by(logical))).collect(),
            collections: Vec::new(),
            keys: Vec::new(),
            tracks_changes: false,
            changed_at: 0,
        }
    }

    fn with_collection(mut self, navigation: &str, child: &str, lookup: &str) -> Self {
        self.collections.push((navigation.to_owned(), child.to_owned(), lookup.to_owned()));
        self
    }

    /// The lookup column and target behind a navigation property; names are case-sensitive.
    pub(super) fn navigation(&self, name: &str) -> Option<(&Column, &Target)> {
        self.columns.values().find_map(|column| {
            let Kind::Lookup(targets) = &column.kind else { return None };
            targets.iter().find(|target| target.navigation == name).map(|target| (column, target))
        })
    }

    /// The column that a query names: `name`, or `_parentaccountid_value` for a lookup.
    pub(super) fn selectable(&self, name: &str) -> Option<&Column> {
        let lookup = name
            .strip_prefix('_')
            .and_then(|rest| rest.strip_suffix("_value"))
            .and_then(|logical| self.columns.get(logical))
            .filter(|column| matches!(column.kind, Kind::Lookup(_)));
        lookup.or_else(|| {
            self.columns.get(name).filter(|column| !matches!(column.kind, Kind::Lookup(_)))
        })
    }

    /// Whether any column holds money, so that a row needs a currency.
    pub(super) fn has_money(&self) -> bool {
        self.columns.values().any(|column| matches!(column.kind, Kind::Money { .. }))
    }
}

/// All tables of one organisation.
#[derive(Debug, Clone)]
pub(super) struct Schema(BTreeMap<String, Arc<Table>>);

impl Schema {
    /// The tables of an organisation as it is delivered.
    pub(super) fn delivered() -> Self {
        let tables =
            sales::tables().into_iter().chain(customers::tables()).chain(platform::tables());
        Self(tables.map(|table| (table.logical.clone(), Arc::new(table))).collect())
    }

    /// A table by logical name.
    pub(super) fn table(&self, logical: &str) -> Option<&Arc<Table>> {
        self.0.get(logical)
    }

    /// A table by logical name, to change it.
    pub(super) fn table_mut(&mut self, logical: &str) -> Option<&mut Table> {
        self.0.get_mut(logical).map(Arc::make_mut)
    }

    /// A table by entity set name.
    pub(super) fn by_set(&self, set: &str) -> Option<&Arc<Table>> {
        self.0.values().find(|table| table.set == set)
    }

    /// All tables by logical name.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.0.values()
    }
}
