//! What lies below one row: a property, a linked row, a list of children, a link.

use serde_json::{Map, Value as Json, json};

use crate::connect::dynamics365::sandbox::call::{Answer, Call, Key};
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::query::Options;
use crate::connect::dynamics365::sandbox::schema::{Column, Table};
use crate::connect::dynamics365::sandbox::state::State;
use crate::connect::dynamics365::sandbox::write::target_of;

impl State {
    /// Whatever `name` is on the row behind `key`.
    pub(super) fn property(
        &mut self,
        call: &Call,
        table: &Table,
        key: &Key,
        name: &str,
    ) -> Result<Answer, Problem> {
        let row = self.existing(table, key)?;
        let third = call.path.get(2).map(|segment| segment.name.as_str());
        if let Some(column) = table.selectable(name) {
            return self.column(call, table, &row, column, third);
        }
        if let Some((column, target)) = table.navigation(name) {
            return match (call.method.as_str(), third) {
                ("GET", None) => {
                    let held = row.values.get(&column.logical).and_then(target_of);
                    let held = held.filter(|(held, _)| *held == target.table);
                    let Some((other, id)) = held else { return Ok(Answer::no_content()) };
                    let other = self.table(other)?;
                    self.get_row(call, &other, &Key::Id(id.to_owned()))
                }
                ("PUT", Some("$ref")) => {
                    let body = call.object()?;
                    let address = body.get("@odata.id").cloned().unwrap_or(Json::Null);
                    self.change(call, table, &row, &format!("{name}@odata.bind"), address)
                }
                ("DELETE", Some("$ref")) => {
                    self.change(call, table, &row, &format!("{name}@odata.bind"), Json::Null)
                }
                _ => Err(Problem::method_not_allowed()),
            };
        }
        let collection = table.collections.iter().find(|(navigation, _, _)| navigation == name);
        let (_, child, lookup) = collection.ok_or_else(|| Problem::no_segment(name))?;
        match (call.method.as_str(), third) {
            ("GET", None) => {
                let child = self.table(child)?;
                self.list(call, &child, Some((lookup, &table.logical, &row.id)))
            }
            ("GET", Some("$count")) => {
                let options =
                    Options::read(call.query.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
                let child = self.table(child)?;
                let within = Some((lookup.as_str(), table.logical.as_str(), row.id.as_str()));
                let count = self.matching(&child, &options, within)?.len();
                Ok(Answer::json(200, format!("\u{feff}{count}")))
            }
            _ => Err(Problem::not_emulated("writing below a collection")),
        }
    }

    fn column(
        &mut self,
        call: &Call,
        table: &Table,
        row: &Row,
        column: &Column,
        third: Option<&str>,
    ) -> Result<Answer, Problem> {
        match (call.method.as_str(), third) {
            ("GET", None | Some("$value")) => {
                let value = row.values.get(&column.logical).cloned().unwrap_or(Json::Null);
                let value = target_of(&value).map(|(_, id)| json!(id)).unwrap_or(value);
                if value.is_null() {
                    return Ok(Answer::no_content());
                }
                if third.is_some() {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    return Ok(Answer::json(200, text));
                }
                let name = column.wire_name();
                let context = format!("{}/$metadata#{}({})/{name}", call.root, table.set, row.id);
                let body = json!({"@odata.context": context, "value": value});
                Ok(Answer::json(200, body.to_string()))
            }
            ("PUT", None) => {
                let value = call.object()?.get("value").cloned().unwrap_or(Json::Null);
                self.change(call, table, row, &column.logical, value)
            }
            ("DELETE", None) => self.change(call, table, row, &column.logical, Json::Null),
            _ => Err(Problem::method_not_allowed()),
        }
    }

    fn change(
        &mut self,
        call: &Call,
        table: &Table,
        row: &Row,
        name: &str,
        value: Json,
    ) -> Result<Answer, Problem> {
        self.check_version(call, table, &row.id)?;
        let actor = self.actor(call)?;
        let body = Map::from_iter([(name.to_owned(), value)]);
        self.atomically(|state| state.update(&table.logical, &row.id, &body, &actor))?;
        Ok(Answer::no_content())
    }
}
