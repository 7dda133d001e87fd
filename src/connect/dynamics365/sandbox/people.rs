//! What people do in the organisation, under a user id that is not the application's.

use serde_json::{Map, Value as Json, json};

use super::control::{Dynamics365Sandbox, SandboxRefusal};
use super::lifecycle::Ending;
use super::problem::Problem;
use super::state::{Actor, State};

impl Dynamics365Sandbox {
    /// Adds an account. `fields` is a Web API body; a missing `name` is filled in.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the row.
    pub fn seed_account(&self, fields: &Json) -> Result<String, SandboxRefusal> {
        self.create_as_person("account", &with_default(fields, "name", "Contoso"))
    }

    /// Adds a contact. `fields` is a Web API body; a missing `lastname` is filled in.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the row.
    pub fn seed_contact(&self, fields: &Json) -> Result<String, SandboxRefusal> {
        self.create_as_person("contact", &with_default(fields, "lastname", "Buyer"))
    }

    /// Adds an opportunity. `fields` is a Web API body; a missing `name` is filled in.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the row.
    pub fn seed_opportunity(&self, fields: &Json) -> Result<String, SandboxRefusal> {
        self.create_as_person("opportunity", &with_default(fields, "name", "Opportunity"))
    }

    /// Adds a lead. `fields` is a Web API body; a missing `subject` is filled in.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the row.
    pub fn seed_lead(&self, fields: &Json) -> Result<String, SandboxRefusal> {
        self.create_as_person("lead", &with_default(fields, "subject", "Lead"))
    }

    /// A person adds a row to a table (logical name) and gets its id. `fields` is a Web API body.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the row.
    pub fn create_as_person(&self, table: &str, fields: &Json) -> Result<String, SandboxRefusal> {
        let body = object(fields);
        self.as_person(|state, actor| state.create(table, None, &body, actor))
    }

    /// A person changes a row. `fields` is a Web API body.
    ///
    /// # Errors
    ///
    /// If the organisation refuses the change.
    pub fn edit_as_person(
        &self,
        table: &str,
        id: &str,
        fields: &Json,
    ) -> Result<(), SandboxRefusal> {
        let body = object(fields);
        self.as_person(|state, actor| state.update(table, id, &body, actor))
    }

    /// A person deletes a row.
    ///
    /// # Errors
    ///
    /// If the organisation refuses to.
    pub fn delete_as_person(&self, table: &str, id: &str) -> Result<(), SandboxRefusal> {
        self.as_person(|state, actor| state.delete(table, id, actor))
    }

    /// A person wins an opportunity with its default reason.
    ///
    /// # Errors
    ///
    /// If it is not there or not open.
    pub fn win_as_person(&self, id: &str) -> Result<(), SandboxRefusal> {
        self.end_as_person(Ending::Won, id, -1)
    }

    /// A person loses an opportunity with its default reason (Canceled).
    ///
    /// # Errors
    ///
    /// If it is not there or not open.
    pub fn lose_as_person(&self, id: &str) -> Result<(), SandboxRefusal> {
        self.end_as_person(Ending::Lost, id, -1)
    }

    /// A person qualifies a lead with a new account, contact and opportunity, and gets the id of
    /// the opportunity.
    ///
    /// # Errors
    ///
    /// If the lead is not there or not open.
    pub fn qualify_as_person(&self, id: &str) -> Result<String, SandboxRefusal> {
        let opportunity = self.qualify(id, true)?;
        opportunity.ok_or_else(|| Problem::invalid("No opportunity was made.").into())
    }

    /// A person qualifies a lead and unticks the opportunity.
    ///
    /// # Errors
    ///
    /// If the lead is not there or not open.
    pub fn qualify_alone_as_person(&self, id: &str) -> Result<(), SandboxRefusal> {
        self.qualify(id, false).map(drop)
    }

    fn qualify(&self, id: &str, with_opportunity: bool) -> Result<Option<String>, SandboxRefusal> {
        let body = object(&json!({
            "CreateAccount": true,
            "CreateContact": true,
            "CreateOpportunity": with_opportunity,
            "Status": 3,
        }));
        let made = self.as_person(|state, actor| state.qualify_lead(id, &body, actor))?;
        Ok(made.into_iter().find(|(table, _)| table == "opportunity").map(|(_, id)| id))
    }

    /// A person merges `subordinate` into `target`, both rows of `table` (lead, account, contact).
    ///
    /// # Errors
    ///
    /// If one is not there, was merged already, or the table cannot be merged.
    pub fn merge_as_person(
        &self,
        table: &str,
        target: &str,
        subordinate: &str,
    ) -> Result<(), SandboxRefusal> {
        let entity = |id: &str| {
            let kind = format!("Microsoft.Dynamics.CRM.{table}");
            json!({ "@odata.type": kind, format!("{table}id"): id })
        };
        let body = object(&json!({
            "Target": entity(target),
            "Subordinate": entity(subordinate),
            "PerformParentingChecks": false,
        }));
        self.as_person(|state, actor| state.merge(&body, actor))
    }

    fn end_as_person(&self, ending: Ending, id: &str, status: i64) -> Result<(), SandboxRefusal> {
        let body = object(&json!({
            "Status": status,
            "OpportunityClose": {"opportunityid@odata.bind": format!("/opportunities({id})")},
        }));
        self.as_person(|state, actor| state.end_opportunity(ending, &body, actor))
    }

    fn as_person<T>(
        &self,
        work: impl FnOnce(&mut State, &Actor) -> Result<T, Problem>,
    ) -> Result<T, SandboxRefusal> {
        let done = self.with(|state| {
            let actor = Actor::user(&state.ids.person);
            state.atomically(|state| work(state, &actor))
        });
        self.wake_deliveries();
        Ok(done?)
    }
}

fn object(fields: &Json) -> Map<String, Json> {
    fields.as_object().cloned().unwrap_or_default()
}

fn with_default(fields: &Json, name: &str, value: &str) -> Json {
    let mut body = object(fields);
    body.entry(name).or_insert_with(|| json!(value));
    Json::Object(body)
}
