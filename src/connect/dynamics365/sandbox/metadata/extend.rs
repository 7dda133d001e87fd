//! New columns and keys, changed definitions, publishing.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::connect::dynamics365::sandbox::call::{Answer, Call};
use crate::connect::dynamics365::sandbox::options::KeyActivation;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{
    AlternateKey, Choice, Column, KeyIndex, Kind, Table,
};
use crate::connect::dynamics365::sandbox::state::{State, stable_guid};
use crate::connect::dynamics365::sandbox::write::target_of;

/// The most keys of a table, and columns of a key.
const KEY_LIMITS: (usize, usize) = (10, 16);

impl State {
    /// `POST …/Attributes`.
    pub(super) fn add_column(&mut self, call: &Call, table: &Table) -> Result<Answer, Problem> {
        let body = call.object()?;
        let schema_name = text(&body, "SchemaName")?;
        self.check_prefix(call, schema_name)?;
        let mut column = Column::new(schema_name, kind(&body)?);
        if table.columns.contains_key(&column.logical) {
            let message = format!(
                "An attribute with the specified name {schema_name} already exists for entity {}.",
                table.logical
            );
            return Err(Problem::new(400, "0x80047013", message));
        }
        column.custom = true;
        column.label = label_text(body.get("DisplayName")).unwrap_or(schema_name).to_owned();
        column.metadata_id = stable_guid(&table.logical, &column.logical);
        let id = column.metadata_id.clone();
        self.install(&table.logical, [column]);
        Ok(Answer::no_content().with(
            "OData-EntityId",
            format!(
                "{}/EntityDefinitions(LogicalName='{}')/Attributes({id})",
                call.root, table.logical
            ),
        ))
    }

    /// Adds columns; outstanding delta tokens of the table expire.
    pub(in super::super) fn install(
        &mut self,
        table: &str,
        columns: impl IntoIterator<Item = Column>,
    ) {
        let version = self.data.next_version();
        let Some(definition) = self.schema.table_mut(table) else { return };
        definition.changed_at = version;
        for mut column in columns {
            column.metadata_id = stable_guid(table, &column.logical);
            definition.columns.insert(column.logical.clone(), column);
        }
    }

    /// A name must begin with the prefix of the solution's publisher, or with that of any
    /// publisher if the call names no solution.
    fn check_prefix(&self, call: &Call, schema_name: &str) -> Result<(), Problem> {
        let prefix_of = |id: &str| {
            let publisher = self.data.row("publisher", id)?;
            publisher.values.get("customizationprefix")?.as_str().map(str::to_owned)
        };
        let fits = |prefix: &str| {
            schema_name
                .to_ascii_lowercase()
                .starts_with(&format!("{}_", prefix.to_ascii_lowercase()))
        };
        let allowed = match call.header("mscrm.solutionuniquename") {
            Some(name) => {
                let solution = self
                    .data
                    .rows("solution")
                    .find(|row| row.values.get("uniquename").and_then(Json::as_str) == Some(name));
                let solution = solution.ok_or_else(|| {
                    let message = format!("The solution '{name}' was not found.");
                    Problem::new(404, "0x80040217", message)
                })?;
                let publisher = solution.values.get("publisherid").and_then(target_of);
                publisher.and_then(|(_, id)| prefix_of(id)).is_some_and(|prefix| fits(&prefix))
            }
            None => {
                let mut publishers = self.data.rows("publisher");
                publishers.any(|row| prefix_of(&row.id).is_some_and(|prefix| fits(&prefix)))
            }
        };
        if allowed {
            return Ok(());
        }
        let message =
            format!("The schema name '{schema_name}' must begin with a publisher's prefix.");
        Err(Problem::new(400, "0x8004701e", message))
    }

    /// `PUT …/Attributes(…)`: label and length.
    pub(super) fn put_column(
        &mut self,
        call: &Call,
        table: &Table,
        column: &Column,
    ) -> Result<Answer, Problem> {
        let body = call.object()?;
        let mut column = column.clone();
        if let Some(label) = label_text(body.get("DisplayName")) {
            label.clone_into(&mut column.label);
        }
        let length =
            body.get("MaxLength").and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        if let (Kind::Text(max, _) | Kind::Memo(max), Some(length)) = (&mut column.kind, length) {
            *max = length;
        }
        self.install(&table.logical, [column]);
        Ok(Answer::no_content())
    }

    /// `DELETE …/Attributes(…)`: only customers' columns, and none that a key needs.
    pub(super) fn remove_column(
        &mut self,
        table: &Table,
        column: &Column,
    ) -> Result<Answer, Problem> {
        let needed = table.keys.iter().any(|key| key.columns.contains(&column.logical));
        if !column.custom || needed {
            let message = format!("The attribute '{}' cannot be deleted.", column.logical);
            return Err(Problem::new(405, "0x80040227", message));
        }
        let version = self.data.next_version();
        if let Some(definition) = self.schema.table_mut(&table.logical) {
            definition.columns.remove(&column.logical);
            definition.changed_at = version;
        }
        Ok(Answer::no_content())
    }

    /// `PUT EntityDefinitions(…)`: turns change tracking on. It cannot be turned off again.
    pub(super) fn put_table(&mut self, call: &Call, table: &Table) -> Result<Answer, Problem> {
        let body = call.object()?;
        if body.get("LogicalName").and_then(Json::as_str) != Some(&table.logical) {
            return Err(Problem::invalid("A PUT carries the whole definition."));
        }
        match (table.tracks_changes, body.get("ChangeTrackingEnabled").and_then(Json::as_bool)) {
            (true, Some(false)) => Err(Problem::invalid("Change tracking cannot be turned off.")),
            (_, wanted) => {
                if let Some(definition) = self.schema.table_mut(&table.logical) {
                    definition.tracks_changes |= wanted == Some(true);
                }
                Ok(Answer::no_content())
            }
        }
    }

    /// `POST …/Keys`.
    pub(super) fn add_key(&mut self, call: &Call, table: &Table) -> Result<Answer, Problem> {
        let body = call.object()?;
        let schema_name = text(&body, "SchemaName")?.to_owned();
        self.check_prefix(call, &schema_name)?;
        let names = body.get("KeyAttributes").and_then(Json::as_array).cloned().unwrap_or_default();
        let columns: Vec<String> =
            names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        let (most_keys, most_columns) = KEY_LIMITS;
        let usable = |name: &String| {
            table.columns.get(name).is_some_and(|column| {
                !matches!(column.kind, Kind::Memo(_) | Kind::Boolean(..) | Kind::Money { .. })
            })
        };
        if columns.is_empty() || columns.len() > most_columns || !columns.iter().all(usable) {
            return Err(Problem::invalid("The attributes of the key are not valid."));
        }
        let lower = schema_name.to_ascii_lowercase();
        let taken = table
            .keys
            .iter()
            .any(|key| key.schema_name.to_ascii_lowercase() == lower || key.columns == columns);
        if taken || table.keys.len() >= most_keys {
            let message = "An entity key with this name or these attributes already exists, or \
                           the table has ten keys.";
            return Err(Problem::new(400, "0x80060890", message));
        }
        let id =
            self.install_key(&table.logical, &schema_name, columns, self.options.key_activation);
        Ok(Answer::no_content().with(
            "OData-EntityId",
            format!("{}/EntityDefinitions(LogicalName='{}')/Keys({id})", call.root, table.logical),
        ))
    }

    /// Adds a key and returns its id.
    pub(in super::super) fn install_key(
        &mut self,
        table: &str,
        schema_name: &str,
        columns: Vec<String>,
        activation: KeyActivation,
    ) -> String {
        let metadata_id = stable_guid(&format!("{table} key"), schema_name);
        for column in &columns {
            self.data.add_index(table, column);
        }
        let index = match activation {
            KeyActivation::Immediate => KeyIndex::Polls(0),
            KeyActivation::AfterPolls(polls) => KeyIndex::Polls(polls),
            KeyActivation::After(wait) => KeyIndex::At(self.clock.now().plus(wait).as_millis()),
        };
        let key = AlternateKey {
            schema_name: schema_name.to_owned(),
            metadata_id: metadata_id.clone(),
            columns,
            index,
        };
        if let Some(definition) = self.schema.table_mut(table) {
            definition.keys.retain(|other| other.metadata_id != key.metadata_id);
            definition.keys.push(key);
        }
        self.settle_keys();
        metadata_id
    }

    /// Counts one look at the keys of a table.
    pub(super) fn poll_keys(&mut self, table: &str) {
        let Some(table) = self.schema.table_mut(table) else { return };
        for key in &mut table.keys {
            if let KeyIndex::Polls(left) = &mut key.index {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// Finishes the indexes that are due: usable, or failed where rows already collide.
    pub(in super::super) fn settle_keys(&mut self) {
        let now = self.clock.now().as_millis();
        let due: Vec<(Arc<Table>, AlternateKey)> = self
            .schema
            .tables()
            .flat_map(|table| table.keys.iter().map(move |key| (table, key)))
            .filter(|(_, key)| match key.index {
                KeyIndex::Polls(left) => left == 0,
                KeyIndex::At(at) => at <= now,
                KeyIndex::Active | KeyIndex::Failed => false,
            })
            .map(|(table, key)| (table.clone(), key.clone()))
            .collect();
        for (table, key) in due {
            let collides =
                self.data.rows(&table.logical).any(|row| self.twin(&table, &key, row).is_some());
            let index = if collides { KeyIndex::Failed } else { KeyIndex::Active };
            let definition = self.schema.table_mut(&table.logical);
            let keys = definition.into_iter().flat_map(|table| table.keys.iter_mut());
            keys.filter(|other| other.metadata_id == key.metadata_id)
                .for_each(|other| other.index = index);
        }
    }

    /// `POST ReactivateEntityKey`.
    pub(in super::super) fn reactivate_key(&mut self, call: &Call) -> Result<Answer, Problem> {
        let body = call.object()?;
        let (table, name) =
            (text(&body, "EntityLogicalName")?, text(&body, "EntityKeyLogicalName")?);
        let keys = self.schema.table_mut(table).into_iter().flat_map(|table| table.keys.iter_mut());
        let mut found = false;
        for key in keys.filter(|key| key.schema_name.eq_ignore_ascii_case(name)) {
            key.index = KeyIndex::Polls(0);
            found = true;
        }
        if !found {
            return Err(Problem::new(404, "0x80040217", "Could not find the entity key."));
        }
        self.settle_keys();
        Ok(Answer::no_content())
    }

    /// `POST PublishXml` and `PublishAllXml`. New columns work at once, so there is nothing to do
    /// but to check the request.
    pub(in super::super) fn publish(&mut self, call: &Call) -> Result<Answer, Problem> {
        let all = call.path.first().is_some_and(|segment| segment.name == "PublishAllXml");
        if !all && !text(&call.object()?, "ParameterXml")?.contains("<importexportxml>") {
            return Err(Problem::invalid("'ParameterXml' is not an importexportxml document."));
        }
        Ok(Answer::no_content())
    }
}

fn text<'a>(body: &'a Map<String, Json>, name: &str) -> Result<&'a str, Problem> {
    let value = body.get(name).and_then(Json::as_str);
    value.ok_or_else(|| Problem::invalid(format!("Required member '{name}' is missing.")))
}

fn label_text(label: Option<&Json>) -> Option<&str> {
    label?.pointer("/LocalizedLabels/0/Label")?.as_str()
}

fn kind(body: &Map<String, Json>) -> Result<Kind, Problem> {
    let name = text(body, "@odata.type")?;
    let length = |most: usize| {
        let length = body.get("MaxLength").and_then(Json::as_u64);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let fits = length.filter(|length| (1..=most).contains(length));
        fits.ok_or_else(|| Problem::new(400, "0x80044331", "The MaxLength is not valid."))
    };
    let short = name.trim_start_matches('#').strip_prefix("Microsoft.Dynamics.CRM.");
    match short.and_then(|name| name.strip_suffix("AttributeMetadata")) {
        Some("String") => {
            let format = body.get("FormatName").and_then(|format| format.get("Value"));
            let format = match format.and_then(Json::as_str) {
                None | Some("Text") => "Text",
                Some(url) if url.eq_ignore_ascii_case("url") => "Url",
                Some("Email") => "Email",
                Some(_) => return Err(Problem::not_emulated("this text format")),
            };
            Ok(Kind::Text(length(4000)?, format))
        }
        Some("Memo") => Ok(Kind::Memo(length(1_048_576)?)),
        Some("Boolean") => {
            let option = |name: &str, default: &str| {
                let label = body.get("OptionSet").and_then(|set| set.get(name));
                let label = label_text(label.and_then(|option| option.get("Label")));
                label.unwrap_or(default).to_owned()
            };
            Ok(Kind::Boolean(option("FalseOption", "No"), option("TrueOption", "Yes")))
        }
        Some("Picklist") => options(body),
        Some("Integer") => Ok(Kind::Integer(i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("Decimal") => {
            let precision = body.get("Precision").and_then(Json::as_u64).unwrap_or(2);
            let fits = u32::try_from(precision).ok().filter(|precision| *precision <= 10);
            let wrong = || Problem::new(400, "0x80044331", "The Precision is not valid.");
            fits.map(Kind::Decimal).ok_or_else(wrong)
        }
        Some("DateTime") => {
            let date_only = body.get("Format").and_then(Json::as_str) == Some("DateOnly");
            Ok(if date_only { Kind::Date } else { Kind::Instant })
        }
        Some("Money") => Ok(Kind::Money { min: 0, max: 1_000_000_000_000, precision: 2 }),
        _ => Err(Problem::not_emulated("this type of column")),
    }
}

fn options(body: &Map<String, Json>) -> Result<Kind, Problem> {
    let set = body.get("OptionSet").cloned().unwrap_or(json!({}));
    if set.get("IsGlobal") == Some(&json!(true)) {
        return Err(Problem::not_emulated("global option sets"));
    }
    let options = set.get("Options").and_then(Json::as_array).cloned().unwrap_or_default();
    let read = |option: &Json| {
        let value = option.get("Value").and_then(Json::as_i64)?;
        let label = label_text(option.get("Label"))?.to_owned();
        Some(Choice { value, label, state: None })
    };
    let choices: Option<Vec<Choice>> = options.iter().map(read).collect();
    let choices =
        choices.ok_or_else(|| Problem::invalid("An option needs 'Value' and 'Label'."))?;
    let distinct: std::collections::BTreeSet<i64> = choices.iter().map(|c| c.value).collect();
    if distinct.len() == choices.len() {
        Ok(Kind::Choice(choices))
    } else {
        Err(Problem::invalid("Two options have the same value."))
    }
}
