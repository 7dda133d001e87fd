//! `EntityDefinitions`: tables, columns and keys, read and extended.

mod describe;
mod extend;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::call::{Answer, Call, Key, Segment};
use super::problem::Problem;
use super::query::{JsonSubject, Options, Subject, meets, order};
use super::schema::{AlternateKey, Column, Table};
use super::state::State;

impl State {
    /// Whatever lies below `EntityDefinitions`.
    pub(super) fn definitions(&mut self, call: &Call) -> Result<Answer, Problem> {
        self.settle_keys();
        if call.method == "PATCH" {
            return Err(Problem::new(
                405,
                "0x80060888",
                "Operation not supported on EntityMetadata",
            ));
        }
        let first = call.path.first().and_then(|segment| segment.key.as_ref());
        let Some(key) = first else {
            if call.method != "GET" {
                return Err(Problem::not_emulated("creating tables"));
            }
            let tables: Vec<Json> =
                self.schema.tables().map(|table| describe::table(table)).collect();
            return collection(call, "EntityDefinitions", tables);
        };
        let table = self.defined(key)?;
        let second = call.path.get(1);
        match (call.method.as_str(), second.map(|segment| segment.name.as_str())) {
            ("GET", None) => {
                let mut definition = describe::table(&table);
                let expanded = Options::read(pairs(call))?.expand;
                for (name, _) in &expanded {
                    let inside = match name.as_str() {
                        "Attributes" => table.columns.values().map(describe::column).collect(),
                        "Keys" => table.keys.iter().map(|key| describe::key(&table, key)).collect(),
                        _ => return Err(Problem::not_emulated(name)),
                    };
                    if let Json::Object(members) = &mut definition {
                        members.insert(name.clone(), Json::Array(inside));
                    }
                }
                single(call, "EntityDefinitions", definition)
            }
            ("PUT", None) => self.put_table(call, &table),
            (_, Some("Attributes")) => self.attributes(call, &table, second),
            (_, Some("Keys")) => self.keys(call, &table, second),
            ("GET", Some("OneToManyRelationships")) => {
                let set = format!("EntityDefinitions('{}')/OneToManyRelationships", table.logical);
                collection(call, &set, describe::children(&table))
            }
            ("GET", Some(name)) => property(&describe::table(&table), name),
            _ => Err(Problem::method_not_allowed()),
        }
    }

    fn defined(&self, key: &Key) -> Result<Arc<Table>, Problem> {
        let (found, name) = match key {
            Key::Id(id) => (self.schema.tables().find(|table| table.metadata_id == *id), id),
            Key::Alternate(pairs) => match &pairs[..] {
                [(name, value)] if name == "LogicalName" => (self.schema.table(value), value),
                _ => return Err(Problem::query("A table is named by LogicalName or id.")),
            },
            Key::Empty => return Err(Problem::query("A table is named by LogicalName or id.")),
        };
        found.cloned().ok_or_else(|| {
            let message = format!("Could not find an entity with name '{name}'.");
            Problem::new(404, "0x80040217", message)
        })
    }

    fn attributes(
        &mut self,
        call: &Call,
        table: &Table,
        segment: Option<&Segment>,
    ) -> Result<Answer, Problem> {
        let third = call.path.get(2).map(|segment| segment.name.as_str());
        let cast = third.and_then(|name| name.strip_prefix("Microsoft.Dynamics.CRM."));
        let key = segment.and_then(|segment| segment.key.as_ref());
        let set = format!("EntityDefinitions('{}')/Attributes", table.logical);
        match (call.method.as_str(), key) {
            ("GET", None) => {
                let columns = table.columns.values().filter(|column| {
                    cast.is_none_or(|cast| describe::metadata_type(column) == cast)
                });
                collection(call, &set, columns.map(describe::column).collect())
            }
            ("POST", None) => self.add_column(call, table),
            (method, Some(key)) => {
                let column = find_column(table, key)?;
                if cast.is_some_and(|cast| describe::metadata_type(column) != cast) {
                    return Err(no_column(&column.logical));
                }
                let rest = call.path.get(if cast.is_some() { 3 } else { 2 });
                match (method, rest.map(|segment| segment.name.as_str())) {
                    ("GET", None) => single(call, &set, describe::column(column)),
                    ("GET", Some(name)) => property(&describe::column(column), name),
                    ("PUT", None) => self.put_column(call, table, column),
                    ("DELETE", None) => self.remove_column(table, column),
                    _ => Err(Problem::method_not_allowed()),
                }
            }
            _ => Err(Problem::method_not_allowed()),
        }
    }

    fn keys(
        &mut self,
        call: &Call,
        table: &Table,
        segment: Option<&Segment>,
    ) -> Result<Answer, Problem> {
        let set = format!("EntityDefinitions('{}')/Keys", table.logical);
        let key = segment.and_then(|segment| segment.key.as_ref());
        match (call.method.as_str(), key) {
            ("GET", None) => {
                let keys = table.keys.iter().map(|key| describe::key(table, key)).collect();
                self.poll_keys(&table.logical);
                collection(call, &set, keys)
            }
            ("POST", None) => self.add_key(call, table),
            ("GET", Some(key)) => {
                let key = describe::key(table, find_key(table, key)?);
                self.poll_keys(&table.logical);
                single(call, &set, key)
            }
            ("DELETE", Some(key)) => {
                let gone = find_key(table, key)?.metadata_id.clone();
                if let Some(table) = self.schema.table_mut(&table.logical) {
                    table.keys.retain(|key| key.metadata_id != gone);
                }
                Ok(Answer::no_content())
            }
            _ => Err(Problem::method_not_allowed()),
        }
    }
}

fn find_column<'a>(table: &'a Table, key: &Key) -> Result<&'a Column, Problem> {
    let (found, name) = match key {
        Key::Id(id) => {
            (table.columns.values().find(|column| column.metadata_id == *id), id.as_str())
        }
        Key::Alternate(pairs) => match &pairs[..] {
            [(name, value)] if name == "LogicalName" => (table.columns.get(value), value.as_str()),
            _ => return Err(Problem::query("A column is named by LogicalName or id.")),
        },
        Key::Empty => return Err(Problem::query("A column is named by LogicalName or id.")),
    };
    found.ok_or_else(|| no_column(name))
}

fn no_column(name: &str) -> Problem {
    Problem::new(404, "0x80040217", format!("Could not find an attribute with name '{name}'."))
}

fn find_key<'a>(table: &'a Table, key: &Key) -> Result<&'a AlternateKey, Problem> {
    let found = match key {
        Key::Id(id) => table.keys.iter().find(|key| key.metadata_id == *id),
        Key::Alternate(pairs) => pairs.first().and_then(|(_, value)| {
            table.keys.iter().find(|key| key.schema_name.to_ascii_lowercase() == *value)
        }),
        Key::Empty => None,
    };
    found.ok_or_else(|| Problem::new(404, "0x80040217", "Could not find the entity key."))
}

fn pairs(call: &Call) -> impl Iterator<Item = (&str, &str)> {
    call.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Answers a list of definitions; it is never paged.
fn collection(call: &Call, set: &str, mut all: Vec<Json>) -> Result<Answer, Problem> {
    let options = Options::read(pairs(call))?;
    let mut problem = None;
    all.retain(|item| {
        let met =
            options.filter.as_ref().map_or(Ok(true), |filter| meets(filter, &JsonSubject(item)));
        met.unwrap_or_else(|refused| {
            problem = Some(refused);
            false
        })
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    for (path, down) in options.order.iter().rev() {
        let value = |item: &Json| JsonSubject(item).value(path).unwrap_or(Json::Null);
        all.sort_by(|left, right| {
            let order = order(&value(left), &value(right));
            if *down { order.reverse() } else { order }
        });
    }
    all.truncate(options.top.unwrap_or(usize::MAX));
    let value: Vec<Json> = all.into_iter().map(|item| select(item, &options)).collect();
    let context = format!("{}/$metadata#{set}", call.root);
    Ok(Answer::json(200, json!({"@odata.context": context, "value": value}).to_string()))
}

fn single(call: &Call, set: &str, definition: Json) -> Result<Answer, Problem> {
    let options = Options::read(pairs(call))?;
    let mut definition = select(definition, &options);
    if let Json::Object(members) = &mut definition {
        let context = format!("{}/$metadata#{set}/$entity", call.root);
        members.insert("@odata.context".to_owned(), json!(context));
    }
    Ok(Answer::json(200, definition.to_string()))
}

/// Keeps the selected and the expanded members, the id and the type.
fn select(definition: Json, options: &Options) -> Json {
    let (Some(names), Json::Object(mut members)) = (&options.select, definition.clone()) else {
        return definition;
    };
    let expanded = |name: &str| options.expand.iter().any(|(expanded, _)| expanded == name);
    members.retain(|name, _| {
        name == "MetadataId"
            || name == "@odata.type"
            || names.iter().any(|wanted| wanted == name)
            || expanded(name)
    });
    Json::Object(members)
}

fn property(definition: &Json, name: &str) -> Result<Answer, Problem> {
    let value = definition.get(name).ok_or_else(|| Problem::no_segment(name))?;
    let body = if value.is_object() { value.clone() } else { json!({"value": value}) };
    Ok(Answer::json(200, body.to_string()))
}
