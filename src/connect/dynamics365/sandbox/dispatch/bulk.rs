//! `CreateMultiple`, `UpdateMultiple`, `UpsertMultiple`: all rows or none.

use serde_json::{Map, Value as Json, json};

use crate::connect::dynamics365::sandbox::call::{Answer, Call, Key, segment};
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::Table;
use crate::connect::dynamics365::sandbox::state::{Actor, State};

impl State {
    /// Runs a collection-bound action.
    pub(super) fn bulk(
        &mut self,
        call: &Call,
        table: &Table,
        action: &str,
    ) -> Result<Answer, Problem> {
        let name = action
            .strip_prefix("Microsoft.Dynamics.CRM.")
            .ok_or_else(|| Problem::query("Request message has unresolved parameters."))?;
        let actor = self.actor(call)?;
        let targets = targets(call, table)?;
        match name {
            "CreateMultiple" => {
                let ids = self.atomically(|state| {
                    let create = |body| state.create(&table.logical, None, body, &actor);
                    targets.iter().map(create).collect::<Result<Vec<_>, _>>()
                })?;
                let context = format!(
                    "{}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse",
                    call.root
                );
                let body = json!({"@odata.context": context, "Ids": ids});
                Ok(Answer::json(200, body.to_string()))
            }
            "UpdateMultiple" => {
                self.atomically(|state| {
                    targets.iter().try_for_each(|body| state.update_one(table, body, &actor))
                })?;
                Ok(Answer::no_content())
            }
            "UpsertMultiple" => {
                self.atomically(|state| {
                    targets.iter().try_for_each(|body| state.upsert_one(table, body, &actor))
                })?;
                Ok(Answer::no_content())
            }
            _ => Err(Problem::not_emulated(action)),
        }
    }

    fn update_one(
        &mut self,
        table: &Table,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let id = body.get(&table.primary_id).and_then(Json::as_str);
        let id = id.ok_or_else(|| Problem::invalid("Each target needs its primary key."))?;
        let id = id.to_ascii_lowercase();
        let mut body = body.clone();
        body.remove(&table.primary_id);
        self.update(&table.logical, &id, &body, actor)
    }

    fn upsert_one(
        &mut self,
        table: &Table,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let by_id = body.get(&table.primary_id).and_then(Json::as_str).map(str::to_ascii_lowercase);
        let key = match (body.get("@odata.id").and_then(Json::as_str), by_id) {
            (Some(address), _) => segment(address.rsplit('/').next().unwrap_or(address))?.key,
            (None, id) => id.map(Key::Id),
        };
        let key = key.ok_or_else(|| Problem::invalid("Each target needs a key."))?;
        let mut body = body.clone();
        match (self.locate(table, &key)?, key) {
            (Some(id), _) => {
                body.remove(&table.primary_id);
                self.update(&table.logical, &id, &body, actor)
            }
            (None, Key::Id(id)) => self.create(&table.logical, Some(&id), &body, actor).map(drop),
            (None, Key::Alternate(pairs)) => {
                for (name, value) in pairs {
                    // Observed: the key in both places breaks the creating path only.
                    if body.insert(name, json!(value)).is_some() {
                        let message = "An unexpected error occurred.";
                        return Err(Problem::new(400, "0x80040216", message));
                    }
                }
                self.create(&table.logical, None, &body, actor).map(drop)
            }
            (None, Key::Empty) => Err(Problem::invalid("Each target needs a key.")),
        }
    }
}

fn targets(call: &Call, table: &Table) -> Result<Vec<Map<String, Json>>, Problem> {
    let body = call.object()?;
    let Some(Json::Array(targets)) = body.get("Targets") else {
        return Err(Problem::invalid("Required parameter 'Targets' is missing."));
    };
    let kind = format!("Microsoft.Dynamics.CRM.{}", table.logical);
    targets
        .iter()
        .map(|target| match target {
            Json::Object(body)
                if body
                    .get("@odata.type")
                    .and_then(Json::as_str)
                    .is_some_and(|given| given.trim_start_matches('#') == kind) =>
            {
                Ok(body.clone())
            }
            _ => Err(Problem::payload(&table.set, "Each target needs its '@odata.type'.")),
        })
        .collect()
}
