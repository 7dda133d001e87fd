//! The environment's own description of its tables, cached.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::try_join;
use serde_json::Value as Json;

use super::client::{Client, rows, text};
use super::odata::{is_name, refuse, text_literal};
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// A column.
#[derive(Debug, Clone, Default)]
pub(super) struct Attribute {
    /// Logical name.
    pub(super) name: String,
    /// Name as written when it was made.
    pub(super) schema_name: String,
    /// `String`, `Money`, `Lookup`, ...
    pub(super) kind: String,
    /// Label for people.
    pub(super) label: String,
    pub(super) custom: bool,
    pub(super) readable: bool,
    pub(super) creatable: bool,
    pub(super) updatable: bool,
    pub(super) required: bool,
}

impl Attribute {
    /// Whether it points to a row.
    pub(super) fn is_lookup(&self) -> bool {
        matches!(self.kind.as_str(), "Lookup" | "Customer" | "Owner")
    }

    /// The name it has in `$select` and in answers.
    pub(super) fn wire_name(&self) -> String {
        if self.is_lookup() { format!("_{}_value", self.name) } else { self.name.clone() }
    }
}

/// A way from a lookup column to one table; the name is case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Navigation {
    pub(super) attribute: String,
    pub(super) target: String,
    pub(super) name: String,
}

/// An alternate key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// `Pending`, `InProgress`, `Active` or `Failed`.
    pub(super) status: String,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// Name of its rows in addresses.
    pub(super) set: String,
    /// Primary key column.
    pub(super) id: String,
    pub(super) tracks_changes: bool,
    pub(super) attributes: BTreeMap<String, Attribute>,
    navigations: Vec<Navigation>,
    pub(super) keys: Vec<Key>,
    read_at: Timestamp,
}

impl Table {
    /// The ways from a lookup column. An owner is taken for a user.
    pub(super) fn navigations(&self, attribute: &Attribute) -> Vec<Navigation> {
        if attribute.kind == "Owner" {
            return vec![Navigation {
                attribute: attribute.name.clone(),
                target: "systemuser".to_owned(),
                name: attribute.name.clone(),
            }];
        }
        self.navigations.iter().filter(|way| way.attribute == attribute.name).cloned().collect()
    }

    /// A way by its own name, for a mapping that names it instead of the column.
    pub(super) fn navigation(&self, name: &str) -> Option<&Navigation> {
        self.navigations.iter().find(|way| way.name == name)
    }

    /// Name of the way from `attribute` to `target`, to write with; `None` if it cannot point there.
    pub(super) fn way_to(&self, attribute: &Attribute, target: &str) -> Option<String> {
        if attribute.kind == "Owner" {
            return matches!(target, "systemuser" | "team").then(|| attribute.name.clone());
        }
        let mut known = self.navigations(attribute).into_iter();
        known.find(|way| way.target == target).map(|way| way.name)
    }

    /// The column, or a refusal that names it.
    pub(super) fn attribute(&self, name: &str) -> Result<&Attribute, ConnectError> {
        self.attributes.get(name).ok_or_else(|| {
            let table = &self.name;
            refuse(
                &[name],
                format!(
                    "the table {table} has no column `{name}`: correct the mapping or run \
                     `cosell-sync provision`"
                ),
            )
        })
    }

    /// Whether `column` alone is a key whose index works.
    pub(super) fn has_key(&self, column: &str) -> bool {
        self.keys.iter().any(|key| key.columns == [column] && key.status == "Active")
    }
}

/// Reference sections 2.3 and 3.6: columns that point to several tables name the table, custom ways
/// have the case of the schema name, those of the system are lower case.
fn by_rule(attribute: &Attribute, target: &str, targets: usize) -> String {
    let base = if attribute.custom { &attribute.schema_name } else { &attribute.name };
    if attribute.kind == "Customer" || targets > 1 {
        format!("{base}_{target}")
    } else {
        base.clone()
    }
}

/// The tables seen so far.
#[derive(Debug)]
pub(super) struct Metadata {
    tables: Mutex<HashMap<String, Arc<Table>>>,
    children: Mutex<HashMap<(String, String), Child>>,
    age: Duration,
}

/// The table whose rows point back along a way, if there is such a way, and when it was read.
type Child = (Option<String>, Timestamp);

/// A column that is missing is looked for afresh, but not more often than this.
pub(super) const RECHECK: Duration = Duration::from_secs(60);

impl Metadata {
    /// An empty cache that believes what it read for `age`.
    pub(super) fn new(age: Duration) -> Self {
        Self { tables: Mutex::default(), children: Mutex::default(), age }
    }

    /// The table behind a way from one row to many, such as `product_opportunities`.
    pub(super) async fn child(
        &self,
        client: &Client,
        table: &str,
        way: &str,
    ) -> Result<Option<String>, ConnectError> {
        if !is_name(way) {
            return Ok(None);
        }
        let key = (table.to_owned(), way.to_owned());
        let known = self.children.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((child, read_at)) = known {
            let age = if child.is_some() { self.age } else { RECHECK };
            if is_younger(read_at, client.now(), age) {
                return Ok(child);
            }
        }
        let address = format!(
            "{}/OneToManyRelationships?$select=ReferencingEntity,\
             ReferencedEntityNavigationPropertyName\
             &$filter=ReferencedEntityNavigationPropertyName%20eq%20{}",
            definition(table)?,
            text_literal(way)
        );
        let json = client.find(&address).await?.unwrap_or_default();
        // The name of a way is case-sensitive, a filter is not.
        let ways = json.get("value").and_then(Json::as_array).into_iter().flatten();
        let mut ways =
            ways.filter(|one| text(one, "ReferencedEntityNavigationPropertyName") == way);
        let child = ways.next().map(|one| text(one, "ReferencingEntity").to_owned());
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.insert(key, (child.clone(), client.now()));
        Ok(child)
    }

    /// A table, from the cache if it is fresh.
    pub(super) async fn table(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<Arc<Table>, ConnectError> {
        self.table_younger_than(client, name, self.age).await
    }

    /// A table that surely has `columns`, if the environment has them: a cached copy without one of
    /// them is read again.
    pub(super) async fn table_with(
        &self,
        client: &Client,
        name: &str,
        mut columns: impl Iterator<Item = &str>,
    ) -> Result<Arc<Table>, ConnectError> {
        let table = self.table(client, name).await?;
        if columns.all(|column| table.attributes.contains_key(column)) {
            return Ok(table);
        }
        self.table_younger_than(client, name, RECHECK).await
    }

    /// A table in which a missing key or a switched-off feed has just been looked for.
    pub(super) async fn recent(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<Arc<Table>, ConnectError> {
        self.table_younger_than(client, name, RECHECK).await
    }

    /// Forgets everything: after provisioning.
    pub(super) fn forget(&self) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.children.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn table_younger_than(
        &self,
        client: &Client,
        name: &str,
        age: Duration,
    ) -> Result<Arc<Table>, ConnectError> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(table) = known
            && is_younger(table.read_at, client.now(), age)
        {
            return Ok(table);
        }
        let table = Arc::new(read(client, name).await?);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(name.to_owned(), Arc::clone(&table));
        Ok(table)
    }
}

/// Whether something read then is younger than `age` now. What was read by a clock that was ahead is
/// not: it would stay young for as long as that clock was ahead.
pub(super) fn is_younger(read_at: Timestamp, now: Timestamp, age: Duration) -> bool {
    read_at <= now && now.since(read_at) < age
}

/// The address of a table's definition.
pub(super) fn definition(table: &str) -> Result<String, ConnectError> {
    if is_name(table) {
        Ok(format!("EntityDefinitions(LogicalName={})", text_literal(table)))
    } else {
        Err(refuse(&[], format!("`{table}` cannot be the name of a table")))
    }
}

async fn read(client: &Client, name: &str) -> Result<Table, ConnectError> {
    let base = definition(name)?;
    let entity_address = format!(
        "{base}?$select=LogicalName,EntitySetName,PrimaryIdAttribute,MetadataId,ChangeTrackingEnabled"
    );
    let attributes_address = format!(
        "{base}/Attributes?$select=LogicalName,SchemaName,AttributeType,IsCustomAttribute,\
         IsValidForRead,IsValidForCreate,IsValidForUpdate,RequiredLevel,DisplayName"
    );
    let keys_address =
        format!("{base}/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus");
    let read_at = client.now();
    let (entity, attributes, ways, keys) = try_join!(
        client.get(&entity_address),
        client.get(&attributes_address),
        navigations(client, &base),
        client.get(&keys_address),
    )
    .map_err(|error| missing_table(error, name))?;
    let set = text(&entity, "EntitySetName");
    let id = text(&entity, "PrimaryIdAttribute");
    if !is_name(set) || !is_name(id) {
        return Err(ConnectError::Broken(format!("the definition of {name} is incomplete")));
    }
    let attributes: BTreeMap<String, Attribute> = rows(&attributes)?
        .iter()
        .map(|json| (text(json, "LogicalName").to_owned(), attribute(json)))
        .collect();
    Ok(Table {
        name: name.to_owned(),
        set: set.to_owned(),
        id: id.to_owned(),
        tracks_changes: flag(&entity, "ChangeTrackingEnabled"),
        navigations: ways.named_by(&attributes),
        attributes,
        keys: rows(&keys)?.iter().map(key).collect(),
        read_at,
    })
}

/// The ways of a table's lookups, or where their names are not told, the tables they point to.
enum Ways {
    Told(Vec<Navigation>),
    Targets(Vec<(String, String)>),
}

impl Ways {
    fn named_by(self, attributes: &BTreeMap<String, Attribute>) -> Vec<Navigation> {
        match self {
            Self::Told(ways) => ways,
            Self::Targets(targets) => targets
                .iter()
                .cloned()
                .filter_map(|(attribute, target)| {
                    let count = targets.iter().filter(|(name, _)| *name == attribute).count();
                    let name = by_rule(attributes.get(&attribute)?, &target, count);
                    Some(Navigation { attribute, target, name })
                })
                .collect(),
        }
    }
}

/// Relationships name the ways exactly. An environment that does not show them shows the targets of
/// its lookups, and the rules of naming do the rest.
async fn navigations(client: &Client, base: &str) -> Result<Ways, ConnectError> {
    let address = format!(
        "{base}/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,\
         ReferencingEntityNavigationPropertyName"
    );
    match client.get(&address).await {
        Ok(json) => return Ok(Ways::Told(rows(&json)?.iter().map(navigation).collect())),
        Err(ConnectError::Rejected(_) | ConnectError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let address = format!(
        "{base}/Attributes/Microsoft.Dynamics.CRM.LookupAttributeMetadata?$select=LogicalName,Targets"
    );
    let json = client.get(&address).await?;
    let mut ways = Vec::new();
    for lookup in rows(&json)? {
        let targets = lookup.get("Targets").and_then(Json::as_array);
        for target in targets.into_iter().flatten().filter_map(Json::as_str) {
            ways.push((text(lookup, "LogicalName").to_owned(), target.to_owned()));
        }
    }
    Ok(Ways::Targets(ways))
}

/// A table that is not there needs a person; a row that is not there does not.
fn missing_table(error: ConnectError, name: &str) -> ConnectError {
    match error {
        ConnectError::NotFound(mut refusal) => {
            refusal.message = format!("the environment has no table `{name}`");
            ConnectError::Rejected(refusal)
        }
        other => other,
    }
}

/// A boolean, plain or as a managed property (`{"Value": true}`).
pub(super) fn flag(json: &Json, name: &str) -> bool {
    let value = json.get(name);
    value.and_then(|value| value.get("Value").unwrap_or(value).as_bool()).unwrap_or(false)
}

/// The label of a metadata object in the reader's language, else in any.
pub(super) fn label(json: &Json) -> String {
    json.pointer("/UserLocalizedLabel/Label")
        .or_else(|| json.pointer("/LocalizedLabels/0/Label"))
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn attribute(json: &Json) -> Attribute {
    let required = json.pointer("/RequiredLevel/Value").and_then(Json::as_str);
    Attribute {
        name: text(json, "LogicalName").to_owned(),
        schema_name: text(json, "SchemaName").to_owned(),
        kind: text(json, "AttributeType").to_owned(),
        label: json.get("DisplayName").map(label).unwrap_or_default(),
        custom: flag(json, "IsCustomAttribute"),
        readable: flag(json, "IsValidForRead"),
        creatable: flag(json, "IsValidForCreate"),
        updatable: flag(json, "IsValidForUpdate"),
        required: matches!(required, Some("SystemRequired" | "ApplicationRequired")),
    }
}

fn navigation(json: &Json) -> Navigation {
    Navigation {
        attribute: text(json, "ReferencingAttribute").to_owned(),
        target: text(json, "ReferencedEntity").to_owned(),
        name: text(json, "ReferencingEntityNavigationPropertyName").to_owned(),
    }
}

fn key(json: &Json) -> Key {
    let columns = json.get("KeyAttributes").and_then(Json::as_array);
    Key {
        name: text(json, "LogicalName").to_owned(),
        columns: columns
            .into_iter()
            .flatten()
            .filter_map(|column| column.as_str().map(str::to_owned))
            .collect(),
        status: text(json, "EntityKeyIndexStatus").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attribute, by_rule, is_younger};
    use crate::domain::time::Timestamp;

    #[test]
    fn what_a_clock_that_was_ahead_has_read_is_not_young() {
        let (read_at, age) = (Timestamp::from_millis(1_000_000), Duration::from_secs(60));
        let second = Duration::from_secs(1);
        let table = [
            (read_at, true, "this very moment"),
            (read_at.plus(age).minus(second), true, "within its age"),
            (read_at.plus(age), false, "after it"),
            (read_at.minus(second), false, "the clock was ahead"),
        ];
        for (now, expected, why) in table {
            assert_eq!(is_younger(read_at, now, age), expected, "{why}");
        }
    }

    #[test]
    fn ways_are_named_by_the_platforms_rules() {
        let column = |name: &str, kind: &str, custom: bool| Attribute {
            name: name.to_lowercase(),
            schema_name: name.to_owned(),
            kind: kind.to_owned(),
            custom,
            ..Attribute::default()
        };
        let table = [
            (column("ParentAccountId", "Lookup", false), 1, "parentaccountid", "lower case"),
            (column("pc_Solution", "Lookup", true), 1, "pc_Solution", "as it was made"),
            (column("CustomerId", "Customer", false), 2, "customerid_account", "names its table"),
            (column("ParentCustomerId", "Lookup", false), 2, "parentcustomerid_account", "several"),
            (column("pc_Partner", "Lookup", true), 2, "pc_Partner_account", "several, custom"),
        ];
        for (attribute, targets, expected, why) in table {
            assert_eq!(by_rule(&attribute, "account", targets), expected, "{why}");
        }
    }
}
