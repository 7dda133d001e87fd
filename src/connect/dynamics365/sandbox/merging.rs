//! Merging two rows: one goes on with everything that pointed to the other, which is deactivated.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::call::{Answer, Call};
use super::lifecycle::{bind, required_boolean};
use super::problem::Problem;
use super::schema::{Kind, Table};
use super::state::{Actor, State};
use super::write::target_of;

/// The lookup from a row that is gone to the one that goes on.
const MASTER: &str = "masterid";
/// Whether a row is gone.
const MERGED: &str = "merged";

impl State {
    /// Answers `POST Merge`.
    pub(super) fn merge_answer(&mut self, call: &Call) -> Result<Answer, Problem> {
        let (body, actor) = (call.object()?, self.actor(call)?);
        let (table, _) = self.typed(&body, "Target")?;
        self.check_right(call, &table, "Write")?;
        self.atomically(|state| state.merge(&body, &actor))?;
        Ok(Answer::no_content())
    }

    /// Merges `Subordinate` into `Target`. Only what `UpdateContent` names is written to the target.
    pub(super) fn merge(&mut self, body: &Map<String, Json>, actor: &Actor) -> Result<(), Problem> {
        let (table, target) = self.typed(body, "Target")?;
        let (other, subordinate) = self.typed(body, "Subordinate")?;
        required_boolean(body, "PerformParentingChecks")?;
        if table.logical != other.logical || !table.columns.contains_key(MERGED) {
            let message = format!("The entity '{}' cannot be merged so.", table.logical);
            return Err(Problem::invalid(message));
        }
        if target == subordinate {
            return Err(Problem::invalid("A record cannot be merged with itself."));
        }
        for id in [&target, &subordinate] {
            let row = self.data.row(&table.logical, id);
            let row = row.ok_or_else(|| Problem::no_row(&table.logical, id))?;
            if row.values.get(MERGED) == Some(&json!(true)) {
                return Err(Problem::invalid("The record has been merged already."));
            }
        }
        self.move_references(&table, &subordinate, &target, actor)?;
        if let Some(Json::Object(content)) = body.get("UpdateContent") {
            let mut content = content.clone();
            content.remove("@odata.type");
            self.update(&table.logical, &target, &content, actor)?;
        }
        let mut end = json!({ MERGED: true });
        for name in ["statecode", "statuscode"] {
            let options = table.columns.get(name).map(|column| column.options());
            end[name] = json!(options.and_then(|options| options.last()).map(|last| last.value));
        }
        bind(&mut end, MASTER, &table.set, Some(&target));
        self.platform_update(&table.logical, &subordinate, &end, actor)
    }

    /// The table and the id of a typed parameter.
    fn typed(&self, body: &Map<String, Json>, name: &str) -> Result<(Arc<Table>, String), Problem> {
        let missing = || Problem::invalid(format!("Required parameter '{name}' is missing."));
        let entity = body.get(name).and_then(Json::as_object).ok_or_else(missing)?;
        let kind = entity.get("@odata.type").and_then(Json::as_str).unwrap_or_default();
        let logical = kind.trim_start_matches('#').strip_prefix("Microsoft.Dynamics.CRM.");
        let table = self.table(logical.ok_or_else(missing)?)?;
        let id = entity.get(&table.primary_id).and_then(Json::as_str).ok_or_else(missing)?;
        Ok((table, id.to_ascii_lowercase()))
    }

    /// What pointed to `from` points to `to`, closed rows included.
    fn move_references(
        &mut self,
        table: &Table,
        from: &str,
        to: &str,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let children: Vec<Arc<Table>> = self.schema.tables().cloned().collect();
        for child in children {
            for column in child.columns.values().filter(|column| column.logical != MASTER) {
                let Kind::Lookup(targets) = &column.kind else { continue };
                let Some(way) = targets.iter().find(|way| way.table == table.logical) else {
                    continue;
                };
                let here = Some((table.logical.as_str(), from));
                let rows = self.data.rows(&child.logical);
                let ids: Vec<String> = rows
                    .filter(|row| row.values.get(&column.logical).and_then(target_of) == here)
                    .map(|row| row.id.clone())
                    .collect();
                for id in ids {
                    let mut change = json!({});
                    bind(&mut change, &way.navigation, &table.set, Some(to));
                    self.platform_update(&child.logical, &id, &change, actor)?;
                }
            }
        }
        Ok(())
    }
}
