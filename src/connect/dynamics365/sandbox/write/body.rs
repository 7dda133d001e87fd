//! The body of a create or update, taken apart by the columns of the table.

use serde_json::{Map, Value as Json, json};

use super::convert::convert;
use crate::connect::dynamics365::sandbox::call::{Key, segment};
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{Kind, Table, Target};
use crate::connect::dynamics365::sandbox::state::State;

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Values by logical name; `Null` clears.
    pub(super) values: Map<String, Json>,
    /// Rows to create first, whose id goes into a lookup: lookup, table, body.
    pub(super) parents: Vec<(String, String, Map<String, Json>)>,
    /// Rows to create afterwards: table, lookup that points back, body.
    pub(super) children: Vec<(String, String, Map<String, Json>)>,
}

impl State {
    /// Takes `body` apart. Unknown names are refused; columns that this operation may not write
    /// are left out without a word.
    pub(super) fn read_body(
        &self,
        table: &Table,
        body: &Map<String, Json>,
        creating: bool,
        platform: bool,
    ) -> Result<Changes, Problem> {
        let mut changes = Changes::default();
        for (name, value) in body {
            if let Some(navigation) = name.strip_suffix("@odata.bind") {
                self.read_bind(table, navigation, value, &mut changes)?;
            } else if name.contains('@') {
                // Annotations of a value, `@odata.type` and the like, say nothing new.
            } else if let Some(column) =
                table.columns.get(name).filter(|column| !matches!(column.kind, Kind::Lookup(_)))
            {
                let writable = if creating { column.creatable } else { column.updatable };
                let state = matches!(column.kind, Kind::State(_)) && !creating;
                if writable || platform || state {
                    changes.values.insert(name.clone(), convert(table, column, value)?);
                }
            } else {
                read_navigation(table, name, value, &mut changes)?;
            }
        }
        Ok(changes)
    }

    fn read_bind(
        &self,
        table: &Table,
        navigation: &str,
        value: &Json,
        changes: &mut Changes,
    ) -> Result<(), Problem> {
        let (column, target) = table
            .navigation(navigation)
            .ok_or_else(|| Problem::undeclared(&table.set, navigation))?;
        let reference = match value {
            Json::Null => Json::Null,
            Json::String(address) => self.resolve(table, target, address)?,
            _ => {
                return Err(Problem::payload(&table.set, "An entity reference link must be text."));
            }
        };
        changes.values.insert(column.logical.clone(), reference);
        Ok(())
    }

    fn resolve(&self, table: &Table, target: &Target, address: &str) -> Result<Json, Problem> {
        let path = match address.split_once("://") {
            None => address.trim_start_matches('/'),
            Some((_, rest)) => {
                let after = rest.split_once("/api/data/v9.2/").map(|(_, path)| path);
                after.ok_or_else(|| {
                    Problem::payload(&table.set, "The absolute URI must contain the service route.")
                })?
            }
        };
        let path = path.strip_prefix("api/data/v9.2/").unwrap_or(path);
        let segment = segment(path)?;
        let set = self.schema.by_set(&segment.name);
        let set = set.ok_or_else(|| Problem::no_segment(&segment.name))?;
        if set.logical != target.table {
            let inner = format!("'{}' does not accept '{}'.", target.navigation, segment.name);
            return Err(Problem::payload(&table.set, &inner));
        }
        let id = match &segment.key {
            Some(Key::Id(id)) => id.clone(),
            Some(Key::Alternate(pairs)) => {
                self.find_by_key(set, pairs)?.ok_or_else(|| Problem::no_row_by_key(&set.logical))?
            }
            _ => return Err(Problem::payload(&table.set, "A link must name one row.")),
        };
        if self.data.row(&set.logical, &id).is_none() {
            return Err(Problem::no_row(&set.logical, &id));
        }
        Ok(reference(&set.logical, &id))
    }
}

fn read_navigation(
    table: &Table,
    name: &str,
    value: &Json,
    changes: &mut Changes,
) -> Result<(), Problem> {
    if let Some((column, target)) = table.navigation(name) {
        match value {
            Json::Null => {
                changes.values.insert(column.logical.clone(), Json::Null);
                return Ok(());
            }
            Json::Object(body) => {
                let parent = (column.logical.clone(), target.table.clone(), body.clone());
                changes.parents.push(parent);
                return Ok(());
            }
            _ => {}
        }
    }
    if table.selectable(name).is_some() {
        let message = "CRM do not support direct update of Entity Reference properties, Use \
                       Navigation properties instead.";
        return Err(Problem::payload(&table.set, message));
    }
    let collection = table.collections.iter().find(|(navigation, _, _)| navigation == name);
    let (Some((_, child, lookup)), Json::Array(rows)) = (collection, value) else {
        return Err(Problem::undeclared(&table.set, name));
    };
    for row in rows {
        let Json::Object(body) = row else {
            return Err(Problem::payload(&table.set, "A start object was expected."));
        };
        changes.children.push((child.clone(), lookup.clone(), body.clone()));
    }
    Ok(())
}

/// The value of a lookup.
pub(in super::super) fn reference(table: &str, id: &str) -> Json {
    json!({"table": table, "id": id})
}

/// Table and id of a lookup's value.
pub(in super::super) fn target_of(value: &Json) -> Option<(&str, &str)> {
    Some((value.get("table")?.as_str()?, value.get("id")?.as_str()?))
}
