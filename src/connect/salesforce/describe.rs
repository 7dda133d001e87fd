//! The live schema: types, lengths, what may be written. Drives every conversion.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::Mutex as AsyncMutex;

use super::client::{Client, Request};
use super::{soql, wire};
use crate::connect::crm::{FieldSchema, TableSchema};
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// A schema younger than this is not read again for a field it lacks.
const FRESH: Duration = Duration::from_secs(60);

/// One stage of an opportunity, as the admin defined it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stage {
    /// The value written to a record.
    pub api_name: String,
    /// The label people see.
    pub master_label: String,
    /// Whether a record in it is closed.
    pub is_closed: bool,
    /// Whether a record in it is won.
    pub is_won: bool,
}

/// One field as described.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Field {
    /// API name.
    pub(super) name: String,
    /// For people.
    pub(super) label: Option<String>,
    /// Salesforce's type.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Longest text.
    pub(super) length: Option<u32>,
    scale: Option<u32>,
    nillable: bool,
    createable: bool,
    updateable: bool,
    defaulted_on_create: bool,
    /// Whether it is an external id.
    pub(super) external_id: bool,
    /// Whether no two rows may hold the same value.
    pub(super) unique: bool,
    picklist_values: Option<Vec<Choice>>,
    /// Tables it may point to.
    pub(super) reference_to: Option<Vec<String>>,
    /// Its name in a path to fields of the row it points to.
    pub(super) relationship_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Choice {
    value: String,
    label: Option<String>,
    active: bool,
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    #[serde(default)]
    replicateable: bool,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
    fields: Vec<Field>,
    #[serde(rename = "childRelationships", default)]
    ways_down: Vec<Json>,
}

/// A way from one row to the many that point to it.
#[derive(Debug)]
pub(super) struct WayDown {
    /// Its name in a query.
    pub(super) name: String,
    /// The table of those rows.
    pub(super) table: String,
    /// Their field that points back.
    pub(super) field: String,
}

impl WayDown {
    /// `None` for a way without a name, which cannot be asked for. All of it becomes part of queries.
    fn read(json: &Json) -> Option<Self> {
        let name = |member: &str| {
            let text = json.get(member).and_then(Json::as_str);
            text.filter(|text| soql::is_name(text)).map(str::to_owned)
        };
        Some(Self {
            name: name("relationshipName")?,
            table: name("childSObject")?,
            field: name("field")?,
        })
    }
}

/// One table as described.
#[derive(Debug)]
pub(super) struct Table {
    /// API name.
    pub(super) name: String,
    /// Whether we may create its rows.
    pub(super) createable: bool,
    /// Whether we may edit its rows.
    pub(super) updateable: bool,
    replicateable: bool,
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    by_relation: HashMap<String, usize>,
    ways_down: Vec<WayDown>,
    read: Timestamp,
}

impl Table {
    fn new(described: Described, read: Timestamp) -> Self {
        let mut by_name = HashMap::new();
        let mut by_relation = HashMap::new();
        for (at, field) in described.fields.iter().enumerate() {
            by_name.insert(field.name.to_ascii_lowercase(), at);
            if let Some(relation) = &field.relationship_name {
                by_relation.insert(relation.to_ascii_lowercase(), at);
            }
        }
        Self {
            ways_down: described.ways_down.iter().filter_map(WayDown::read).collect(),
            name: described.name,
            createable: described.createable,
            updateable: described.updateable,
            replicateable: described.replicateable,
            fields: described.fields,
            by_name,
            by_relation,
            read,
        }
    }

    /// One with nothing but these ways down, given as way, table and field.
    #[cfg(test)]
    pub(super) fn of(ways: &[(&str, &str, &str)]) -> Self {
        let way = |(name, table, field): &(&str, &str, &str)| WayDown {
            name: (*name).to_owned(),
            table: (*table).to_owned(),
            field: (*field).to_owned(),
        };
        Self {
            name: "Opportunity".to_owned(),
            createable: true,
            updateable: true,
            replicateable: true,
            fields: Vec::new(),
            by_name: HashMap::new(),
            by_relation: HashMap::new(),
            ways_down: ways.iter().map(way).collect(),
            read: Timestamp::from_millis(0),
        }
    }

    /// A field by its API name, in any case.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(&name.to_ascii_lowercase()).and_then(|at| self.fields.get(*at))
    }

    /// The lookup field behind the first part of a path (`Account` of `Account.Name`).
    pub(super) fn relation(&self, name: &str) -> Option<&Field> {
        self.by_relation.get(&name.to_ascii_lowercase()).and_then(|at| self.fields.get(*at))
    }

    /// The way down that a path begins with, and the rest of the path (`OpportunityLineItems` and
    /// `Product2.Name` of `OpportunityLineItems.Product2.Name`).
    pub(super) fn list<'p>(&self, path: &'p str) -> Option<(&WayDown, &'p str)> {
        let (name, rest) = path.split_once('.')?;
        let way = self.ways_down.iter().find(|way| way.name.eq_ignore_ascii_case(name))?;
        Some((way, rest)).filter(|_| self.relation(name).is_none())
    }

    /// Whether a field or path exists as far as this table tells.
    pub(super) fn knows(&self, path: &str) -> bool {
        soql::is_path(path)
            && match path.split_once('.') {
                None => self.field(path).is_some(),
                Some((relation, _)) => {
                    self.relation(relation).is_some() || self.list(path).is_some()
                }
            }
    }

    fn related(&self) -> Vec<String> {
        let above = self.fields.iter().filter_map(|field| field.relationship_name.clone());
        above.chain(self.ways_down.iter().map(|way| way.name.clone())).collect()
    }

    fn schema(&self) -> TableSchema {
        TableSchema {
            table: self.name.clone(),
            fields: self.fields.iter().map(Field::schema).collect(),
            keys: self.fields.iter().filter(|field| field.external_id).map(name_of).collect(),
            tracks_changes: self.replicateable,
            related: Some(self.related()),
        }
    }
}

fn name_of(field: &Field) -> String {
    field.name.clone()
}

impl Field {
    /// The seam's word for the type.
    fn seam_kind(&self) -> &'static str {
        match self.kind.as_str() {
            "textarea" if self.length.is_some_and(|length| length > 255) => "long_text",
            "string" | "textarea" | "email" | "phone" | "encryptedstring" => "text",
            "url" => "url",
            "currency" => "money",
            "double" | "percent" => "decimal",
            "int" | "long" => "integer",
            "boolean" => "boolean",
            "date" => "date",
            "datetime" => "instant",
            "picklist" | "multipicklist" | "combobox" => "option",
            "reference" => "lookup",
            "id" => "id",
            _ => "other",
        }
    }

    fn schema(&self) -> FieldSchema {
        let kind = self.seam_kind();
        let number = matches!(kind, "money" | "decimal");
        let choices = self.picklist_values.as_deref().unwrap_or_default();
        FieldSchema {
            name: self.name.clone(),
            label: self.label.clone().unwrap_or_default(),
            kind: kind.to_owned(),
            max_length: self.length.filter(|length| *length > 0),
            precision: self.scale.filter(|_| number),
            creatable: self.createable,
            updatable: self.updateable,
            required: self.createable && !self.nillable && !self.defaulted_on_create,
            options: choices
                .iter()
                .filter(|choice| choice.active)
                .map(|choice| {
                    let label = choice.label.clone().unwrap_or_else(|| choice.value.clone());
                    (choice.value.clone(), label)
                })
                .collect(),
            targets: self.reference_to.clone().unwrap_or_default(),
        }
    }
}

/// The schemas read so far.
pub(super) struct Schemas {
    client: Arc<Client>,
    known: Mutex<HashMap<String, Arc<Table>>>,
    loading: AsyncMutex<()>,
}

impl Schemas {
    /// Nothing is read yet.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, known: Mutex::new(HashMap::new()), loading: AsyncMutex::new(()) }
    }

    fn cached(&self, name: &str) -> Option<Arc<Table>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&name.to_ascii_lowercase()).cloned()
    }

    /// The schema of a table, read once.
    pub(super) async fn table(&self, name: &str) -> Result<Arc<Table>, ConnectError> {
        if let Some(table) = self.cached(name) {
            return Ok(table);
        }
        let _one_reader = self.loading.lock().await;
        match self.cached(name) {
            Some(table) => Ok(table),
            None => self.read(name).await,
        }
    }

    /// The schema of a table, in which all `paths` exist.
    ///
    /// A field that was added since the schema was read is found by reading it again, at most once a
    /// minute.
    pub(super) async fn table_with(
        &self,
        name: &str,
        paths: &[String],
    ) -> Result<Arc<Table>, ConnectError> {
        let table = self.table(name).await?;
        let missing = |table: &Table| paths.iter().find(|path| !table.knows(path)).cloned();
        let Some(absent) = missing(&table) else {
            return Ok(table);
        };
        if is_fresh(table.read, self.client.now()) {
            return Err(unknown_field(&table.name, &absent));
        }
        let _one_reader = self.loading.lock().await;
        let table = match self.cached(name) {
            Some(fresh) if fresh.read != table.read => fresh,
            _ => self.read(name).await?,
        };
        match missing(&table) {
            Some(absent) => Err(unknown_field(&table.name, &absent)),
            None => Ok(table),
        }
    }

    /// Whether every step of a path can be read. A field that was hidden and is not any more is found
    /// within a minute, as [`Schemas::table_with`] finds it.
    pub(super) async fn shows(&self, table: &str, path: &str) -> Result<bool, ConnectError> {
        let (mut name, mut rest) = (table.to_owned(), path);
        loop {
            let table = match self.table_with(&name, &[rest.to_owned()]).await {
                Ok(table) => table,
                Err(ConnectError::Rejected(_) | ConnectError::NotFound(_)) => return Ok(false),
                Err(error) => return Err(error),
            };
            let Some((step, further)) = rest.split_once('.') else { return Ok(true) };
            let above = table.relation(step).and_then(|field| field.reference_to.as_deref());
            let below = table.list(rest).map(|(way, _)| std::slice::from_ref(&way.table));
            // Where rows of several tables may stand, only a query tells.
            let Some([next]) = above.or(below) else { return Ok(true) };
            (name, rest) = (next.clone(), further);
        }
    }

    /// Forgets all schemas: the server contradicts one, and does not say which.
    pub(super) fn forget_all(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets a schema that the server contradicts.
    pub(super) fn forget(&self, name: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&name.to_ascii_lowercase());
    }

    async fn read(&self, name: &str) -> Result<Arc<Table>, ConnectError> {
        if !soql::is_name(name) {
            return Err(wire::refused_here("INVALID_TYPE", format!("`{name}` is no table"), ""));
        }
        let request = Request::get(self.client.data(&format!("/sobjects/{name}/describe")));
        let (json, _) = self.client.json(&request).await?;
        let described: Described = serde_json::from_value(json)
            .map_err(|error| ConnectError::Broken(format!("the schema of {name}: {error}")))?;
        let table = Arc::new(Table::new(described, self.client.now()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_ascii_lowercase(), table.clone());
        Ok(table)
    }

    /// The schema as the seam has it, always read afresh; the stages are those of the organisation.
    pub(super) async fn describe(&self, name: &str) -> Result<TableSchema, ConnectError> {
        let table = {
            let _one_reader = self.loading.lock().await;
            self.read(name).await?
        };
        let mut schema = table.schema();
        if name == "Opportunity" {
            let stages = self.stages().await?;
            let field = schema.fields.iter_mut().find(|field| field.name == "StageName");
            if let Some(field) = field {
                field.options =
                    stages.into_iter().map(|stage| (stage.api_name, stage.master_label)).collect();
            }
        }
        Ok(schema)
    }

    /// The active stages, in the organisation's order.
    pub(super) async fn stages(&self) -> Result<Vec<Stage>, ConnectError> {
        let soql = "SELECT ApiName, MasterLabel, IsClosed, IsWon FROM OpportunityStage \
                    WHERE IsActive = TRUE ORDER BY SortOrder";
        let (rows, _) = self.client.query(soql).await?;
        serde_json::from_value(Json::Array(rows))
            .map_err(|error| ConnectError::Broken(format!("the stages: {error}")))
    }
}

/// Whether a schema that was read then need not be read again now. One that was read by a clock that
/// was ahead must be.
fn is_fresh(read: Timestamp, now: Timestamp) -> bool {
    read <= now && now.since(read) < FRESH
}

fn unknown_field(table: &str, path: &str) -> ConnectError {
    wire::refused_here(
        "INVALID_FIELD",
        format!(
            "{table} has no field `{path}` that the integration user may see; create it or grant it \
             (`provision`), or correct the mapping"
        ),
        path,
    )
}

#[cfg(test)]
mod tests {
    use super::{FRESH, is_fresh};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_schema_is_fresh_for_a_minute_of_a_clock_that_goes_forward() {
        let read = Timestamp::from_millis(1_000_000);
        let second = std::time::Duration::from_secs(1);
        let table = [
            (read, true, "this very moment"),
            (read.plus(FRESH).minus(second), true, "within the minute"),
            (read.plus(FRESH), false, "after it"),
            (read.minus(second), false, "the clock was ahead"),
        ];
        for (now, expected, why) in table {
            assert_eq!(is_fresh(read, now), expected, "{why}");
        }
    }
}
