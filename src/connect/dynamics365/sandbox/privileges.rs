//! What the application user may do: privileges by table, listed and enforced.

use serde_json::{Value as Json, json};

use super::call::{Answer, Call, Key};
use super::problem::Problem;
use super::schema::Table;
use super::state::{State, stable_guid};

/// The kinds of rights that every table has.
pub(super) const RIGHTS: &[&str] =
    &["Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share"];

/// The name of a privilege: `prvReadOpportunity`. Users are named `User`.
pub(super) fn privilege_name(table: &Table, right: &str) -> String {
    let mut letters = table.logical.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    let name = if table.logical == "systemuser" { "User" } else { name.as_str() };
    format!("prv{right}{name}")
}

impl State {
    /// `GET systemusers(…)/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()`.
    pub(super) fn user_privileges(&self, call: &Call, key: &Key) -> Result<Answer, Problem> {
        let table = self.table("systemuser")?;
        let known = matches!(key, Key::Id(id) if self.data.row(&table.logical, id).is_some());
        if !known {
            return Err(Problem::no_row("systemuser", "of that id"));
        }
        let ours = matches!(key, Key::Id(id) if *id == self.ids.application_user);
        let names = self
            .schema
            .tables()
            .flat_map(|table| RIGHTS.iter().map(move |right| privilege_name(table, right)));
        let held: Vec<Json> = names
            .filter(|name| !(ours && self.options.withheld_privileges.contains(name)))
            .map(|name| {
                let basic = ours && self.options.basic_privileges.contains(&name);
                json!({
                    "Depth": if basic { "Basic" } else { "Global" },
                    "PrivilegeId": stable_guid("privilege", &name),
                    "BusinessUnitId": self.ids.business_unit,
                    "PrivilegeName": name,
                })
            })
            .collect();
        let context = format!(
            "{}/$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse",
            call.root
        );
        let body = json!({"@odata.context": context, "RolePrivileges": held});
        Ok(Answer::json(200, body.to_string()))
    }

    /// Refuses what the caller has no right to.
    pub(super) fn check_right(
        &self,
        call: &Call,
        table: &Table,
        right: &str,
    ) -> Result<(), Problem> {
        let name = privilege_name(table, right);
        let tracked = right == "Read" && call.preferences().track_changes;
        let too_shallow = tracked && self.options.basic_privileges.contains(&name);
        if !too_shallow && !self.options.withheld_privileges.contains(&name) {
            return Ok(());
        }
        let message = format!(
            "Principal user (Id={}, type=8) is missing {name} privilege on entity '{}'.",
            call.user, table.logical
        );
        Err(Problem::new(403, "0x80040220", message))
    }

    /// The right that a request to a table or row needs.
    pub(super) fn right_for(
        &self,
        call: &Call,
        table: &Table,
        key: Option<&Key>,
    ) -> Result<&'static str, Problem> {
        let second = call.path.get(1).map_or("", |segment| segment.name.as_str());
        Ok(match (call.method.as_str(), key) {
            ("GET", _) => "Read",
            ("DELETE", Some(_)) if second.is_empty() => "Delete",
            ("PATCH", Some(key)) if self.locate(table, key)?.is_none() => "Create",
            ("POST", None) if second.is_empty() || second.ends_with(".CreateMultiple") => "Create",
            _ => "Write",
        })
    }
}
