//! Closing opportunities and qualifying leads: the actions that change a state for good.

use serde_json::{Map, Value as Json, json};

use super::call::{Answer, Call, Key};
use super::problem::Problem;
use super::schema::Table;
use super::state::{Actor, State};
use super::webhook::Change;
use super::write::target_of;

/// Which way an opportunity is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `WinOpportunity`.
    Won,
    /// `LoseOpportunity`.
    Lost,
}

impl Ending {
    fn state(self) -> i64 {
        match self {
            Self::Won => 1,
            Self::Lost => 2,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Won => "Win",
            Self::Lost => "Lose",
        }
    }
}

impl State {
    /// `POST WinOpportunity` or `LoseOpportunity`.
    pub(super) fn end_opportunity(
        &mut self,
        ending: Ending,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let table = self.table("opportunity")?;
        let status = required_integer(body, "Status")?;
        let Some(Json::Object(close)) = body.get("OpportunityClose") else {
            return Err(Problem::invalid("Required parameter 'OpportunityClose' is missing."));
        };
        let mut close = close.clone();
        // Competitors are not emulated; a real organisation takes the link.
        close.remove("competitorid@odata.bind");
        close.entry("subject").or_insert_with(|| json!("Opportunity Close"));
        let status = status_in(&table, ending.state(), status)?;
        let activity = self.create("opportunityclose", None, &close, &actor.as_platform())?;
        let activity = self
            .data
            .row("opportunityclose", &activity)
            .cloned()
            .ok_or_else(|| Problem::no_row("opportunityclose", &activity))?;
        let link = activity.values.get("opportunityid").and_then(target_of);
        let (_, id) = link.ok_or_else(|| Problem::invalid("'opportunityid' is missing."))?;
        let row =
            self.data.row("opportunity", id).ok_or_else(|| Problem::no_row("opportunity", id))?;
        if row.values.get("statecode") != Some(&json!(0)) {
            return Err(Problem::invalid("The opportunity has already been closed."));
        }
        let today = json!(self.clock.now().date().to_string());
        let ended = activity.values.get("actualend").and_then(Json::as_str);
        let ended = ended.and_then(|end| end.get(..10)).map(|date| json!(date));
        let value =
            activity.values.get("actualrevenue").or_else(|| row.values.get("estimatedvalue"));
        let changes = json!({
            "statecode": ending.state(),
            "statuscode": status,
            "actualclosedate": ended.unwrap_or(today),
            "actualvalue": value.cloned(),
        });
        self.platform_update("opportunity", id, &changes, actor)?;
        let done = json!({"statecode": 1, "statuscode": 2});
        self.platform_update("opportunityclose", &activity.id, &done, actor)?;
        let sent = ["statecode".to_owned(), "statuscode".to_owned()];
        let change = Change { message: ending.message(), table: &table, id, sent: &sent };
        self.announce(&change, actor);
        Ok(())
    }

    /// A change that the platform itself makes.
    pub(super) fn platform_update(
        &mut self,
        table: &str,
        id: &str,
        changes: &Json,
        actor: &Actor,
    ) -> Result<(), Problem> {
        let changes = changes.as_object().cloned().unwrap_or_default();
        self.update(table, id, &changes, &actor.as_platform())
    }

    /// `POST leads(…)/Microsoft.Dynamics.CRM.QualifyLead`; returns the rows made, as table and id.
    pub(super) fn qualify_lead(
        &mut self,
        id: &str,
        body: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<Vec<(String, String)>, Problem> {
        let table = self.table("lead")?;
        let account = required_boolean(body, "CreateAccount")?;
        let contact = required_boolean(body, "CreateContact")?;
        let opportunity = required_boolean(body, "CreateOpportunity")?;
        let status = status_in(&table, 1, required_integer(body, "Status")?)?;
        let row = self.data.row("lead", id).ok_or_else(|| Problem::no_row("lead", id))?;
        if row.values.get("statecode") != Some(&json!(0)) {
            return Err(Problem::invalid("The lead is already closed."));
        }
        let lead = row.values.clone();
        let mut made = Vec::new();
        let (mut account_id, mut contact_id) = self.parents_of_lead(&lead);
        if account {
            account_id = Some(self.account_of_lead(&lead, actor)?);
            made.extend(account_id.clone().map(|id| ("account".to_owned(), id)));
        }
        if contact {
            let parent = account_id.clone().filter(|_| account);
            contact_id = Some(self.contact_of_lead(&lead, parent.as_deref(), actor)?);
            made.extend(contact_id.clone().map(|id| ("contact".to_owned(), id)));
        }
        if let (true, true, Some(account), Some(contact)) =
            (account, contact, &account_id, &contact_id)
        {
            let primary = json!({"primarycontactid@odata.bind": format!("/contacts({contact})")});
            self.platform_update("account", account, &primary, actor)?;
        }
        if opportunity {
            let (account, contact) = (account_id.as_deref(), contact_id.as_deref());
            let deal = self.opportunity_of_lead(id, &lead, body, account, contact, actor)?;
            made.push(("opportunity".to_owned(), deal));
        }
        let mut changes = json!({"statecode": 1, "statuscode": status});
        bind(&mut changes, "parentaccountid", "accounts", account_id.as_deref());
        bind(&mut changes, "parentcontactid", "contacts", contact_id.as_deref());
        self.platform_update("lead", id, &changes, actor)?;
        let sent = ["statecode".to_owned(), "statuscode".to_owned()];
        self.announce(&Change { message: "QualifyLead", table: &table, id, sent: &sent }, actor);
        Ok(made)
    }

    fn parents_of_lead(&self, lead: &Map<String, Json>) -> (Option<String>, Option<String>) {
        let parent = |name: &str| lead.get(name).and_then(target_of).map(|(_, id)| id.to_owned());
        (parent("parentaccountid"), parent("parentcontactid"))
    }

    fn account_of_lead(
        &mut self,
        lead: &Map<String, Json>,
        actor: &Actor,
    ) -> Result<String, Problem> {
        let mut body = Map::new();
        let name = lead.get("companyname").or_else(|| lead.get("fullname"));
        body.insert("name".to_owned(), name.cloned().unwrap_or(Json::Null));
        let same = ["telephone1", "emailaddress1", "websiteurl", "numberofemployees", "revenue"];
        copy(lead, &mut body, &same);
        copy_address(lead, &mut body);
        self.create("account", None, &body, actor)
    }

    fn contact_of_lead(
        &mut self,
        lead: &Map<String, Json>,
        account: Option<&str>,
        actor: &Actor,
    ) -> Result<String, Problem> {
        let mut body = Map::new();
        let same =
            ["firstname", "lastname", "jobtitle", "emailaddress1", "telephone1", "mobilephone"];
        copy(lead, &mut body, &same);
        copy_address(lead, &mut body);
        let mut body = Json::Object(body);
        bind(&mut body, "parentcustomerid_account", "accounts", account);
        self.create("contact", None, body.as_object().unwrap_or(&Map::new()), actor)
    }

    fn opportunity_of_lead(
        &mut self,
        id: &str,
        lead: &Map<String, Json>,
        request: &Map<String, Json>,
        account: Option<&str>,
        contact: Option<&str>,
        actor: &Actor,
    ) -> Result<String, Problem> {
        let mut body = Map::new();
        copy(lead, &mut body, &["description", "estimatedclosedate", "budgetamount"]);
        for (theirs, ours) in [("subject", "name"), ("estimatedamount", "estimatedvalue")] {
            if let Some(value) = lead.get(theirs) {
                body.insert(ours.to_owned(), value.clone());
            }
        }
        let mut body = Json::Object(body);
        bind(&mut body, "originatingleadid", "leads", Some(id));
        bind(&mut body, "parentaccountid", "accounts", account);
        bind(&mut body, "parentcontactid", "contacts", contact);
        let given = |member: &str, key: &str| {
            request.get(member).and_then(|value| value.get(key)).and_then(Json::as_str)
        };
        let customer_account = given("OpportunityCustomerId", "accountid").or(account);
        let customer_contact = given("OpportunityCustomerId", "contactid").or(contact);
        if customer_account.is_some() {
            bind(&mut body, "customerid_account", "accounts", customer_account);
        } else {
            bind(&mut body, "customerid_contact", "contacts", customer_contact);
        }
        let currency = lead.get("transactioncurrencyid").and_then(target_of).map(|(_, id)| id);
        let currency = given("OpportunityCurrencyId", "transactioncurrencyid").or(currency);
        bind(&mut body, "transactioncurrencyid", "transactioncurrencies", currency);
        self.create("opportunity", None, body.as_object().unwrap_or(&Map::new()), actor)
    }

    /// Answers `QualifyLead`.
    pub(super) fn qualify_answer(&mut self, call: &Call, key: &Key) -> Result<Answer, Problem> {
        let Key::Id(id) = key else { return Err(Problem::query("A lead id is needed.")) };
        let actor = self.actor(call)?;
        let body = call.object()?;
        let made = self.atomically(|state| state.qualify_lead(id, &body, &actor))?;
        let rows: Vec<Json> = made
            .iter()
            .map(|(table, id)| {
                let key = format!("{table}id");
                json!({"@odata.type": format!("#Microsoft.Dynamics.CRM.{table}"), key: id})
            })
            .collect();
        let context = format!("{}/$metadata#Collection(mscrm.crmbaseentity)", call.root);
        Ok(Answer::json(200, json!({"@odata.context": context, "value": rows}).to_string()))
    }
}

fn copy(from: &Map<String, Json>, to: &mut Map<String, Json>, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name) {
            to.insert((*name).to_owned(), value.clone());
        }
    }
}

fn copy_address(from: &Map<String, Json>, to: &mut Map<String, Json>) {
    for (name, value) in from.iter().filter(|(name, _)| name.starts_with("address1_")) {
        to.insert(name.clone(), value.clone());
    }
}

/// Points `navigation` to a row of `set`, if there is an `id`.
pub(super) fn bind(body: &mut Json, navigation: &str, set: &str, id: Option<&str>) {
    if let (Some(id), Json::Object(body)) = (id, body) {
        body.insert(format!("{navigation}@odata.bind"), json!(format!("/{set}({id})")));
    }
}

fn required_integer(body: &Map<String, Json>, name: &str) -> Result<i64, Problem> {
    let value = body.get(name).and_then(Json::as_i64);
    value.ok_or_else(|| Problem::invalid(format!("Required parameter '{name}' is missing.")))
}

/// A parameter that an action cannot do without.
pub(super) fn required_boolean(body: &Map<String, Json>, name: &str) -> Result<bool, Problem> {
    let value = body.get(name).and_then(Json::as_bool);
    value.ok_or_else(|| Problem::invalid(format!("Required parameter '{name}' is missing.")))
}

/// Checks that a status reason belongs to `state`; -1 means its default.
fn status_in(table: &Table, state: i64, status: i64) -> Result<i64, Problem> {
    let column = table.columns.get("statuscode");
    let mut reasons =
        column.into_iter().flat_map(|c| c.options()).filter(|option| option.state == Some(state));
    let found = reasons.find(|option| status == -1 || option.value == status);
    found.map(|option| option.value).ok_or_else(|| {
        let message = format!(
            "{status} is not a valid status code for state code {state} of {}.",
            table.logical
        );
        Problem::new(400, "0x80048408", message)
    })
}
