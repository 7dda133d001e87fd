//! From an address to what it means.

mod batch;
mod bulk;
mod property;
mod row;

use serde_json::json;

use super::call::{Answer, Call, Key};
use super::lifecycle::Ending;
use super::problem::Problem;
use super::query::Options;
use super::schema::Table;
use super::state::{Actor, LoggedRequest, State};

impl State {
    /// Answers one request, whether it came by itself or in a batch.
    pub(super) fn handle(&mut self, call: &Call) -> Answer {
        self.answered += 1;
        let request = format!("{:08x}", self.answered);
        let answer = self.dispatch(call).unwrap_or_else(|problem| problem.answer());
        answer
            .with("OData-Version", "4.0")
            .with("REQ_ID", request.clone())
            .with("x-ms-service-request-id", request)
            .with("x-ms-dop-hint", self.options.parallelism_hint.to_string())
            .with("x-ms-ratelimit-burst-remaining-xrm-requests", "5999")
            .with("x-ms-ratelimit-time-remaining-xrm-requests", "1,199.00")
    }

    /// Writes a request into the log.
    pub(super) fn log(&mut self, method: &str, path: &str, status: u16) {
        self.log.push(LoggedRequest { method: method.to_owned(), path: path.to_owned(), status });
    }

    fn dispatch(&mut self, call: &Call) -> Result<Answer, Problem> {
        let Some(first) = call.path.first() else {
            let context = format!("{}/$metadata", call.root);
            let body = json!({"@odata.context": context, "value": []});
            return Ok(Answer::json(200, body.to_string()));
        };
        let method = call.method.as_str();
        match (method, first.name.as_str()) {
            ("GET", "WhoAmI") => Ok(self.who_am_i(call)),
            ("POST", "$batch") => self.batch(call),
            ("POST", "WinOpportunity") => self.end(call, Ending::Won),
            ("POST", "LoseOpportunity") => self.end(call, Ending::Lost),
            ("POST", "Merge") => self.merge_answer(call),
            ("POST", "PublishXml" | "PublishAllXml") => self.publish(call),
            ("POST", "ReactivateEntityKey") => self.reactivate_key(call),
            (_, "EntityDefinitions") => self.definitions(call),
            (_, "$metadata" | "GlobalOptionSetDefinitions" | "RelationshipDefinitions") => {
                Err(Problem::not_emulated(&first.name))
            }
            _ => {
                let table = self.schema.by_set(&first.name).cloned();
                let table = table.ok_or_else(|| Problem::no_segment(&first.name))?;
                self.set(call, &table, first.key.as_ref())
            }
        }
    }

    /// Who a call acts as; `MSCRMCallerID` names another user.
    pub(super) fn actor(&self, call: &Call) -> Result<Actor, Problem> {
        if call.header("callerobjectid").is_some() {
            return Err(Problem::not_emulated("CallerObjectId"));
        }
        let mut actor = Actor::user(&call.user);
        actor.tag = call.option("tag").map(str::to_owned);
        if let Some(other) = call.header("mscrmcallerid") {
            let other = other.to_ascii_lowercase();
            if self.data.row("systemuser", &other).is_none() {
                return Err(Problem::no_row("systemuser", &other));
            }
            actor.on_behalf = Some(std::mem::replace(&mut actor.user, other));
        }
        Ok(actor)
    }

    fn who_am_i(&self, call: &Call) -> Answer {
        let body = json!({
            "@odata.context":
                format!("{}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", call.root),
            "BusinessUnitId": self.ids.business_unit,
            "UserId": call.user,
            "OrganizationId": self.ids.organization,
        });
        Answer::json(200, body.to_string())
    }

    fn end(&mut self, call: &Call, ending: Ending) -> Result<Answer, Problem> {
        let (body, actor) = (call.object()?, self.actor(call)?);
        let table = self.table("opportunity")?;
        self.check_right(call, &table, "Write")?;
        self.atomically(|state| state.end_opportunity(ending, &body, &actor))?;
        Ok(Answer::no_content())
    }

    fn set(&mut self, call: &Call, table: &Table, key: Option<&Key>) -> Result<Answer, Problem> {
        let second = call.path.get(1).map(|segment| segment.name.as_str());
        let method = call.method.as_str();
        let right = self.right_for(call, table, key)?;
        self.check_right(call, table, right)?;
        match (key, method, second) {
            (None, "GET", None) => self.list(call, table, None),
            (None, "POST", None) => self.create_row(call, table),
            (None, "GET", Some("$count")) => self.count(call, table),
            (None, "POST", Some(action)) => self.bulk(call, table, action),
            (None, ..) => Err(Problem::method_not_allowed()),
            (Some(key), "GET", None) => self.get_row(call, table, key),
            (Some(key), "PATCH", None) => self.patch_row(call, table, key),
            (Some(key), "DELETE", None) => self.delete_row(call, table, key),
            (Some(_), _, None) => Err(Problem::method_not_allowed()),
            (Some(key), "POST", Some("Microsoft.Dynamics.CRM.QualifyLead"))
                if table.logical == "lead" =>
            {
                self.qualify_answer(call, key)
            }
            (Some(key), "GET", Some("Microsoft.Dynamics.CRM.RetrieveUserPrivileges"))
                if table.logical == "systemuser" =>
            {
                self.user_privileges(call, key)
            }
            (Some(_), "POST", Some("QualifyLead")) => {
                Err(Problem::query("Request message has unresolved parameters."))
            }
            (Some(key), _, Some(name)) => self.property(call, table, key, name),
        }
    }

    fn count(&self, call: &Call, table: &Table) -> Result<Answer, Problem> {
        let options = Options::read(call.query.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
        let count = if options.delta_token.is_some() {
            self.count_changes(table, &options)?
        } else {
            self.matching(table, &options, None)?.len().min(5000)
        };
        // A byte order mark comes first.
        let mut answer = Answer::json(200, format!("\u{feff}{count}"));
        answer.headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        Ok(answer)
    }
}
