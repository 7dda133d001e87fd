//! One row: read, create, change or create, delete.

use serde_json::{Map, Value as Json, json};

use crate::connect::dynamics365::sandbox::call::{Answer, Call, Key};
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::query::{Options, etag};
use crate::connect::dynamics365::sandbox::schema::{Kind, Table};
use crate::connect::dynamics365::sandbox::state::State;

impl State {
    /// The row behind a key, or `None` if it does not exist.
    pub(in super::super) fn locate(
        &self,
        table: &Table,
        key: &Key,
    ) -> Result<Option<String>, Problem> {
        match key {
            Key::Id(id) => Ok(self.data.row(&table.logical, id).map(|row| row.id.clone())),
            Key::Alternate(pairs) => match &pairs[..] {
                [(name, id)] if *name == table.primary_id => {
                    let row = self.data.row(&table.logical, &id.to_ascii_lowercase());
                    Ok(row.map(|row| row.id.clone()))
                }
                _ => self.find_by_key(table, pairs),
            },
            Key::Empty => Err(Problem::query("Bad Request - Error in query syntax.")),
        }
    }

    /// The row behind a key; its absence is a 404.
    pub(super) fn existing(&self, table: &Table, key: &Key) -> Result<Row, Problem> {
        let id = self.locate(table, key)?.ok_or_else(|| missing(table, key))?;
        let row = self.data.row(&table.logical, &id);
        row.map(|row| Row::clone(row)).ok_or_else(|| missing(table, key))
    }

    pub(super) fn get_row(&self, call: &Call, table: &Table, key: &Key) -> Result<Answer, Problem> {
        let row = self.existing(table, key)?;
        let mut options = Options::read(call.query.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
        options.root.clone_from(&call.root);
        let preferences = call.preferences();
        let plain = options.expand.is_empty() && preferences.annotations.is_none();
        if plain && call.header("if-none-match") == Some(etag(row.version).as_str()) {
            return Ok(Answer { status: 304, headers: Vec::new(), body: Vec::new() });
        }
        let annotations = preferences.annotations.as_deref();
        let text = self.render(table, &row, &options, annotations, Some(&entity(call, table)))?;
        let answer = Answer::json(200, text).with("ETag", etag(row.version));
        Ok(match annotations {
            Some(names) => {
                answer.with("Preference-Applied", format!("odata.include-annotations=\"{names}\""))
            }
            None => answer,
        })
    }

    pub(super) fn create_row(&mut self, call: &Call, table: &Table) -> Result<Answer, Problem> {
        let (body, actor) = (call.object()?, self.actor(call)?);
        let id = self.atomically(|state| state.create(&table.logical, None, &body, &actor))?;
        let address = format!("{}/{}({id})", call.root, table.set);
        self.written(call, table, &id, 201, &address)
    }

    /// `PATCH`: a change, or a create if there is no such row and no `If-Match`.
    pub(super) fn patch_row(
        &mut self,
        call: &Call,
        table: &Table,
        key: &Key,
    ) -> Result<Answer, Problem> {
        let mut body = call.object()?;
        let actor = self.actor(call)?;
        let found = self.locate(table, key)?;
        let address = format!("{}{}", call.root, call.raw_path);
        let Some(id) = found else {
            if call.header("if-match").is_some() {
                return Err(missing(table, key));
            }
            let id = match key {
                Key::Id(id) => Some(id.as_str()),
                _ => None,
            };
            key_into_body(table, key, &mut body);
            let id = self.atomically(|state| state.create(&table.logical, id, &body, &actor))?;
            return self.written(call, table, &id, 201, &address);
        };
        if call.header("if-none-match") == Some("*") {
            return Err(Problem::exists());
        }
        self.check_version(call, table, &id)?;
        body.remove(&table.primary_id);
        if let Key::Alternate(pairs) = key {
            body.retain(|name, _| !pairs.iter().any(|(column, _)| column == name));
        }
        self.atomically(|state| state.update(&table.logical, &id, &body, &actor))?;
        self.written(call, table, &id, 200, &address)
    }

    pub(super) fn delete_row(
        &mut self,
        call: &Call,
        table: &Table,
        key: &Key,
    ) -> Result<Answer, Problem> {
        let row = self.existing(table, key)?;
        self.check_version(call, table, &row.id)?;
        let actor = self.actor(call)?;
        self.atomically(|state| state.delete(&table.logical, &row.id, &actor))?;
        Ok(Answer::no_content())
    }

    /// Refuses a write whose `If-Match` names another version.
    pub(super) fn check_version(
        &self,
        call: &Call,
        table: &Table,
        id: &str,
    ) -> Result<(), Problem> {
        let Some(wanted) = call.header("if-match").filter(|wanted| *wanted != "*") else {
            return Ok(());
        };
        let row =
            self.data.row(&table.logical, id).ok_or_else(|| Problem::no_row(&table.logical, id))?;
        if wanted == etag(row.version) { Ok(()) } else { Err(Problem::version_mismatch()) }
    }

    /// Answers a write: 204 with `OData-EntityId`, or the row if the caller asked for it.
    fn written(
        &self,
        call: &Call,
        table: &Table,
        id: &str,
        status: u16,
        address: &str,
    ) -> Result<Answer, Problem> {
        if !call.preferences().representation {
            let location = call.header("x-batch-part").is_some();
            let answer = Answer::no_content().with("OData-EntityId", address);
            return Ok(if location { answer.with("Location", address) } else { answer });
        }
        let row =
            self.data.row(&table.logical, id).ok_or_else(|| Problem::no_row(&table.logical, id))?;
        let mut options = Options::read(call.query.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
        if status == 200 {
            options.expand.clear();
        }
        let preferences = call.preferences();
        let annotations = preferences.annotations.as_deref();
        let text = self.render(table, row, &options, annotations, Some(&entity(call, table)))?;
        Ok(Answer::json(status, text)
            .with("Preference-Applied", "return=representation")
            .with("ETag", etag(row.version)))
    }
}

pub(super) fn missing(table: &Table, key: &Key) -> Problem {
    match key {
        Key::Id(id) => Problem::no_row(&table.logical, id),
        _ => Problem::no_row_by_key(&table.logical),
    }
}

fn entity(call: &Call, table: &Table) -> String {
    format!("{}/$metadata#{}/$entity", call.root, table.set)
}

/// Puts the key of the address into a new row, unless the body says otherwise.
fn key_into_body(table: &Table, key: &Key, body: &mut Map<String, Json>) {
    let Key::Alternate(pairs) = key else { return };
    for (name, text) in pairs {
        let Some(column) = table.columns.get(name) else {
            continue;
        };
        let value = match column.kind {
            Kind::Text(..) | Kind::Memo(_) | Kind::Date | Kind::Instant | Kind::Guid => json!(text),
            _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        body.entry(name.clone()).or_insert(value);
    }
}
