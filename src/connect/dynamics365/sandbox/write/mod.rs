//! Creating, changing and deleting rows, with everything the platform does on the way.

mod body;
mod convert;
mod keys;
mod lines;

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

pub(super) use body::{reference, target_of};
pub(super) use convert::decimal;

use super::data::Row;
use super::problem::Problem;
use super::schema::{Kind, Table};
use super::state::{Actor, State};
use super::webhook::Change;

impl State {
    /// A table by logical name.
    pub(super) fn table(&self, logical: &str) -> Result<Arc<Table>, Problem> {
        let table = self.schema.table(logical).cloned();
        table.ok_or_else(|| Problem::invalid(format!("The entity '{logical}' was not found.")))
    }

    /// Creates a row and returns its id. An id in `body` wins over `id`.
    pub(super) fn create(
        &mut self,
        logical: &str,
        id: Option<&str>,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<String, Problem> {
        let table = self.table(logical)?;
        let mut changes = self.read_body(&table, body, true, actor.platform)?;
        for (lookup, parent, body) in std::mem::take(&mut changes.parents) {
            let id = self.create(&parent, None, &body, actor)?;
            changes.values.insert(lookup, reference(&parent, &id));
        }
        let chosen = changes.values.remove(&table.primary_id);
        let chosen = chosen.as_ref().and_then(Json::as_str).or(id).map(str::to_owned);
        let id = chosen.unwrap_or_else(|| self.data.next_guid());
        if self.data.row(logical, &id).is_some() {
            let message = "Cannot insert duplicate key.";
            return Err(Problem::new(412, "0x80040237", message));
        }
        let sent: Vec<String> = changes.values.keys().cloned().collect();
        let mut row = Row { id: id.clone(), version: 0, values: Map::new() };
        self.stamp_new(&table, &mut row, &mut changes.values, actor);
        apply(&mut row, changes.values);
        complete(&table, &mut row);
        self.check_row(&table, &row)?;
        self.total(&mut row, &table);
        self.data.put(logical, row);
        for (child, lookup, mut body) in changes.children {
            let bind = self.bind_name(&child, &lookup, logical)?;
            body.insert(format!("{bind}@odata.bind"), json!(format!("/{}({id})", table.set)));
            self.create(&child, None, &body, actor)?;
        }
        self.announce(&Change { message: "Create", table: &table, id: &id, sent: &sent }, actor);
        self.total_parent(&table, &id, actor)?;
        Ok(id)
    }

    fn bind_name(&self, child: &str, lookup: &str, target: &str) -> Result<String, Problem> {
        let child = self.table(child)?;
        let column = child.columns.get(lookup);
        let targets = column.map(|column| &column.kind);
        let Some(Kind::Lookup(targets)) = targets else {
            return Err(Problem::undeclared(&child.set, lookup));
        };
        let found = targets.iter().find(|candidate| candidate.table == target);
        found
            .map(|target| target.navigation.clone())
            .ok_or_else(|| Problem::undeclared(&child.set, lookup))
    }

    /// Changes a row. Equal values still give it a new version.
    pub(super) fn update(
        &mut self,
        logical: &str,
        id: &str,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let table = self.table(logical)?;
        let current = self.data.row(logical, id).ok_or_else(|| Problem::no_row(logical, id))?;
        let mut row = Row::clone(current);
        let mut changes = self.read_body(&table, body, false, actor.platform)?;
        for (lookup, parent, body) in std::mem::take(&mut changes.parents) {
            let id = self.create(&parent, None, &body, actor)?;
            changes.values.insert(lookup, reference(&parent, &id));
        }
        if !actor.platform {
            let still = &self.options.writable_when_closed;
            check_state(&table, &row, &mut changes.values, still)?;
        }
        let sent: Vec<String> = changes.values.keys().cloned().collect();
        self.stamp_change(&mut row, actor);
        apply(&mut row, changes.values);
        complete(&table, &mut row);
        self.check_row(&table, &row)?;
        self.total(&mut row, &table);
        self.data.put(logical, row);
        self.announce(&Change { message: "Update", table: &table, id, sent: &sent }, actor);
        self.total_parent(&table, id, actor)
    }

    /// Deletes a row. An account or contact that opportunities still name stays.
    pub(super) fn delete(&mut self, logical: &str, id: &str, actor: &Actor) -> Result<(), Problem> {
        let table = self.table(logical)?;
        if self.data.row(logical, id).is_none() {
            return Err(Problem::no_row(logical, id));
        }
        let children: Vec<(String, String)> = table
            .collections
            .iter()
            .map(|(_, child, lookup)| (child.clone(), lookup.clone()))
            .collect();
        for (child, lookup) in children {
            let points_here = |row: &&Arc<Row>| {
                row.values.get(&lookup).and_then(target_of) == Some((logical, id))
            };
            let ids: Vec<String> =
                self.data.rows(&child).filter(points_here).map(|row| row.id.clone()).collect();
            if !ids.is_empty() && child == "opportunity" {
                let message = "The object you tried to delete is associated with another object \
                               and cannot be deleted.";
                return Err(Problem::new(405, "0x80040227", message));
            }
            for child_id in ids {
                self.data.remove(&child, &child_id);
            }
        }
        self.announce(&Change { message: "Delete", table: &table, id, sent: &[] }, actor);
        let parent = self.parent_of_line(&table, id);
        self.data.remove(logical, id);
        match parent {
            Some(parent) => self.recompute(&parent, actor),
            None => Ok(()),
        }
    }

    fn stamp_new(
        &self,
        table: &Table,
        row: &mut Row,
        values: &mut Map<String, Json>,
        actor: &Actor,
    ) {
        let back_dated = values.get("overriddencreatedon").cloned();
        self.stamp_change(row, actor);
        let user = reference("systemuser", &actor.user);
        row.values
            .insert("createdon".to_owned(), back_dated.unwrap_or_else(|| json!(self.stamp())));
        row.values.insert("createdby".to_owned(), user.clone());
        if table.columns.contains_key("ownerid") {
            row.values.insert("ownerid".to_owned(), user);
        }
        if table.columns.contains_key("transactioncurrencyid") {
            let parent = values.get("opportunityid").and_then(target_of);
            let parent = parent.and_then(|(table, id)| self.data.row(table, id));
            let theirs = parent.and_then(|row| row.values.get("transactioncurrencyid").cloned());
            let ours = || reference("transactioncurrency", &self.ids.currency);
            row.values.insert("transactioncurrencyid".to_owned(), theirs.unwrap_or_else(ours));
        }
        for column in table.columns.values() {
            let default = match &column.kind {
                Kind::State(options) => options.first().map(|option| json!(option.value)),
                Kind::Status(options) => options.first().map(|option| json!(option.value)),
                Kind::Boolean(..) => Some(json!(false)),
                _ => None,
            };
            if let Some(default) = default {
                row.values.insert(column.logical.clone(), default);
            }
        }
        // Only a status reason of the first state may be chosen; any other is dropped silently.
        let first = table.columns.get("statuscode").is_some_and(|column| {
            let wanted = values.get("statuscode").and_then(Json::as_i64);
            column.options().iter().any(|o| Some(o.value) == wanted && o.state == Some(0))
        });
        if !first && !actor.platform {
            values.remove("statuscode");
        }
    }

    fn stamp_change(&self, row: &mut Row, actor: &Actor) {
        row.values.insert("modifiedon".to_owned(), json!(self.stamp()));
        row.values.insert("modifiedby".to_owned(), reference("systemuser", &actor.user));
        match &actor.on_behalf {
            Some(user) => {
                row.values.insert("modifiedonbehalfby".to_owned(), reference("systemuser", user))
            }
            None => row.values.remove("modifiedonbehalfby"),
        };
    }

    fn check_row(&self, table: &Table, row: &Row) -> Result<(), Problem> {
        for column in table.columns.values().filter(|column| column.required) {
            if !row.values.contains_key(&column.logical) {
                let message = format!("Required field '{}' is missing.", column.logical);
                return Err(Problem::new(400, "0x80040200", message));
            }
        }
        let amounts = table.columns.values().any(|column| {
            matches!(column.kind, Kind::Money { .. }) && row.values.contains_key(&column.logical)
        });
        if amounts && !row.values.contains_key("transactioncurrencyid") {
            let message = "The currency is required when a money column holds a value.";
            return Err(Problem::new(400, "0x80048cfb", message));
        }
        self.check_unique(table, row)?;
        self.check_line_currency(table, row)?;
        self.check_webhook(table, row)?;
        self.check_form(table, row)
    }

    fn check_line_currency(&self, table: &Table, row: &Row) -> Result<(), Problem> {
        if table.logical != "opportunityproduct" {
            return Ok(());
        }
        let parent = row.values.get("opportunityid").and_then(target_of);
        let parent = parent.and_then(|(table, id)| self.data.row(table, id));
        let theirs = parent.and_then(|parent| parent.values.get("transactioncurrencyid"));
        if theirs.is_some() && theirs != row.values.get("transactioncurrencyid") {
            let message = "The currency of the record does not match the currency of its parent.";
            return Err(Problem::new(400, "0x80048cea", message));
        }
        Ok(())
    }
}

/// Refuses what the state of a row forbids; completes a change of state with its default reason. A
/// closed row takes the columns of `still` only.
fn check_state(
    table: &Table,
    row: &Row,
    values: &mut Map<String, Json>,
    still: &[String],
) -> Result<(), Problem> {
    let (Some(state_column), Some(status_column)) =
        (table.columns.get("statecode"), table.columns.get("statuscode"))
    else {
        return Ok(());
    };
    let now = row.values.get("statecode").and_then(Json::as_i64).unwrap_or(0);
    let wanted = values.get("statecode").and_then(Json::as_i64).unwrap_or(now);
    if table.logical == "opportunity" && wanted != 0 && wanted != now {
        let name = state_column.options().iter().find(|option| option.value == wanted);
        let name = name.map_or("that", |option| option.label.as_str());
        let message = format!(
            "This message can not be used to set the state of opportunity to {name}. In order to \
             set state of opportunity to {name}, use the {} message instead.",
            if wanted == 1 { "WinOpportunity" } else { "LoseOpportunity" }
        );
        return Err(Problem::new(400, "0x80100005", message));
    }
    let sales = matches!(table.logical.as_str(), "opportunity" | "lead");
    if sales && now != 0 && wanted == now && !values.keys().all(|name| still.contains(name)) {
        let message =
            format!("The {} is closed and read-only; reactivate it first.", table.logical);
        return Err(Problem::new(400, "0x80040203", message));
    }
    let reasons = status_column.options();
    match values.get("statuscode").and_then(Json::as_i64) {
        Some(reason) => {
            let fits = reasons.iter().any(|o| o.value == reason && o.state == Some(wanted));
            if !fits {
                let message = format!(
                    "{reason} is not a valid status code for state code {wanted} of {}.",
                    table.logical
                );
                return Err(Problem::new(400, "0x80048408", message));
            }
        }
        None if wanted != now => {
            let default = reasons.iter().find(|option| option.state == Some(wanted));
            if let Some(default) = default {
                values.insert("statuscode".to_owned(), json!(default.value));
            }
        }
        None => {}
    }
    Ok(())
}

fn apply(row: &mut Row, values: Map<String, Json>) {
    for (name, value) in values {
        if value.is_null() {
            row.values.remove(&name);
        } else {
            row.values.insert(name, value);
        }
    }
}

/// Computes what the platform computes: full names, base amounts, line amounts.
fn complete(table: &Table, row: &mut Row) {
    if table.columns.contains_key("firstname") {
        let parts =
            ["firstname", "lastname"].map(|name| row.values.get(name).and_then(Json::as_str));
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        row.values.insert("fullname".to_owned(), json!(name));
    }
    if table.has_money() && table.columns.contains_key("exchangerate") {
        row.values.insert("exchangerate".to_owned(), json!(1));
    }
    let bases: Vec<String> = table
        .columns
        .keys()
        .filter_map(|name| name.strip_suffix("_base").map(str::to_owned))
        .collect();
    for name in bases {
        let base = format!("{name}_base");
        match row.values.get(&name).cloned() {
            Some(amount) => row.values.insert(base, amount),
            None => row.values.remove(&base),
        };
    }
    if table.logical == "serviceendpoint" {
        let set = row.values.contains_key("authvalue");
        row.values.insert("isauthvalueset".to_owned(), json!(set));
    }
    if table.logical == "opportunityproduct" {
        lines::complete(row);
    }
}
