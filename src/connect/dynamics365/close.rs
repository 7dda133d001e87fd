//! Ends opportunities and leads by the platform's own actions, so that repeating them is harmless.

use serde_json::{Map, Value as Json, json};

use super::Dynamics365;
use super::batch;
use super::body::{Body, Occasion};
use super::client::{Request, rows, text};
use super::metadata::Table;
use super::odata::{guid, refuse};
use super::records::{ALWAYS, landed, row_address};
use super::select::{Selection, columns};
use super::wire::{self, Condition};
use crate::connect::error::ConnectError;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::{Close, Fields, Record, Shape, Version};

/// `statecode` of an open opportunity or lead.
const OPEN: i64 = 0;
/// `statecode` of a won opportunity or a qualified lead.
const WON: i64 = 1;
/// `statecode` of a lost opportunity or a disqualified lead.
const LOST: i64 = 2;

/// A row that is to be ended, as it was found.
enum Before {
    Open(Record),
    Done(Record),
}

impl Dynamics365 {
    pub(super) async fn close_record(
        &self,
        record: &Record,
        expect: &Version,
        close: &Close,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let kind = record.key.kind;
        if kind == RecordKind::Lead && close.won {
            return Err(refuse(&["statecode"], "a lead is not won, it is qualified"));
        }
        let (table, selection) = self.plan(kind, shape).await?;
        let address = row_address(&table, &record.key.id)?;
        let state = if close.won { WON } else { LOST };
        let target = (kind, &*table, &selection, address.as_str());
        let now = match self.look(target, state, close.status).await? {
            Before::Open(now) => now,
            Before::Done(now) => return Ok(now),
        };
        if now.version != *expect {
            return Err(ConnectError::Stale);
        }
        self.check_status(&table.name, state, close.status).await?;
        let sent = columns(fields.keys().map(String::as_str));
        let table = self.metadata.table_with(&self.client, &table.name, sent).await?;
        let mut body = self.writer().body(&table, Occasion::Update, fields).await?;
        let writes = if kind == RecordKind::Lead {
            body.json.insert("statecode".to_owned(), json!(LOST));
            body.json.insert("statuscode".to_owned(), json!(close.status));
            vec![self.patch(&address, expect, &body)?]
        } else {
            self.closing(&address, &record.key.id, (expect, &body), close)?
        };
        let read =
            Request::get(self.client.url(&format!("{address}?{}", selection.query(ALWAYS)))?);
        let row = batch::write_then_read(&self.client, &*self.randomness, &writes, &read)
            .await
            .map_err(|error| self.write_failed(error, &body, fields))?;
        landed(selection.record(kind, &table, &row))
    }

    /// Looks at a row that is to be ended.
    async fn look(
        &self,
        (kind, table, selection, address): (RecordKind, &Table, &Selection, &str),
        state: i64,
        status: i64,
    ) -> Result<Before, ConnectError> {
        let extra = ["modifiedon", "statecode", "statuscode"];
        let row = self.client.get(&format!("{address}?{}", selection.query(&extra))).await?;
        let now = selection.record(kind, table, &row)?;
        let code = |name: &str| row.get(name).and_then(Json::as_i64);
        match (code("statecode"), code("statuscode")) {
            (Some(OPEN), _) => Ok(Before::Open(now)),
            // An earlier try whose answer was lost: a second closing activity must not be made.
            (Some(found), Some(reason)) if found == state && reason == status => {
                Ok(Before::Done(now))
            }
            (Some(found), reason) => Err(closed_otherwise(table, found, reason)),
            (None, _) => Err(ConnectError::Broken("a row without its state".to_owned())),
        }
    }

    fn patch(&self, address: &str, expect: &Version, body: &Body) -> Result<Request, ConnectError> {
        let url = self.client.url(address)?;
        let condition = Condition::IfMatch(expect.0.clone());
        Ok(Request::write("PATCH", url, &Json::Object(body.json.clone())).on(condition).tagged())
    }

    /// The change set of a close: token and audit line first, since a closed row is read-only.
    fn closing(
        &self,
        address: &str,
        id: &RecordId,
        (expect, body): (&Version, &Body),
        close: &Close,
    ) -> Result<Vec<Request>, ConnectError> {
        let mut activity = Map::new();
        activity.insert("subject".to_owned(), json!(close.subject));
        // Only the relative form is accepted everywhere.
        activity
            .insert("opportunityid@odata.bind".to_owned(), json!(format!("/opportunities({id})")));
        if let Some(description) = &close.description {
            activity.insert("description".to_owned(), json!(description));
        }
        if let Some(value) = close.actual_value {
            let number = value.normalize().to_string().parse::<serde_json::Number>();
            let number = number.map_err(|_| refuse(&["actualvalue"], "not an amount"))?;
            activity.insert("actualrevenue".to_owned(), Json::Number(number));
        }
        if let Some(date) = close.actual_date {
            activity.insert("actualend".to_owned(), json!(format!("{date}T00:00:00Z")));
        }
        let action = if close.won { "WinOpportunity" } else { "LoseOpportunity" };
        let json = json!({"Status": close.status, "OpportunityClose": activity});
        let mut writes = Vec::new();
        if !body.json.is_empty() {
            writes.push(self.patch(address, expect, body)?);
        }
        writes.push(Request::write("POST", self.client.url(action)?, &json).tagged());
        Ok(writes)
    }

    /// Refuses a status that does not belong to the state, before anything is written.
    async fn check_status(&self, table: &str, state: i64, status: i64) -> Result<(), ConnectError> {
        let valid = self.statuses.of_state(&self.client, (table, state), status).await?;
        if valid.contains(&status) {
            return Ok(());
        }
        let message = format!(
            "{status} is not a status that ends a row of {table} this way; the environment has \
             {valid:?}: correct the stages of the mapping"
        );
        Err(refuse(&["statuscode"], message))
    }

    pub(super) async fn qualify_lead(
        &self,
        lead: &Record,
        status: &str,
    ) -> Result<Option<RecordId>, ConnectError> {
        let Ok(status) = status.parse::<i64>() else {
            return Err(refuse(&["statuscode"], format!("`{status}` is not a status code")));
        };
        let table = self.metadata.table(&self.client, "lead").await?;
        let address = row_address(&table, &lead.key.id)?;
        let row = self
            .client
            .get(&format!(
                "{address}?$select=statecode,_customerid_value,_parentaccountid_value,\
                 _parentcontactid_value,_transactioncurrencyid_value&$expand=\
                 customerid_account($select=accountid),customerid_contact($select=contactid)"
            ))
            .await?;
        match row.get("statecode").and_then(Json::as_i64) {
            Some(OPEN) => {}
            Some(WON) => return self.qualified(&lead.key.id).await,
            Some(state) => return Err(closed_otherwise(&table, state, None)),
            None => return Err(ConnectError::Broken("a lead without its state".to_owned())),
        }
        self.check_status("lead", WON, status).await?;
        let url = self.client.url(&format!("{address}/Microsoft.Dynamics.CRM.QualifyLead"))?;
        let request = Request::write("POST", url, &qualification(&row, status)).tagged();
        let answer = self.client.send(&request).await?;
        let made = wire::exact_json(&answer.body).as_ref().and_then(opportunity_of);
        match made {
            Some(id) => Ok(Some(id)),
            // It landed, whatever the answer looks like.
            None => self.qualified(&lead.key.id).await.map_err(|error| match error {
                ConnectError::Rejected(_) => error,
                other => ConnectError::Unknown(other.to_string()),
            }),
        }
    }

    /// The opportunity that a qualified lead became; `None` if a person qualified it without one.
    async fn qualified(&self, lead: &RecordId) -> Result<Option<RecordId>, ConnectError> {
        let address = format!(
            "opportunities?$select=opportunityid&$filter=_originatingleadid_value%20eq%20{lead}\
             &$top=2"
        );
        let json = self.client.get(&address).await?;
        let mut ids: Vec<String> =
            rows(&json)?.iter().filter_map(|row| guid(text(row, "opportunityid"))).collect();
        if ids.len() > 1 {
            return Err(ConnectError::Ambiguous(ids));
        }
        Ok(ids.pop().map(RecordId::new))
    }
}

fn closed_otherwise(table: &Table, state: i64, status: Option<i64>) -> ConnectError {
    let status = status.map_or_else(String::new, |status| format!(", status {status}"));
    refuse(
        &["statecode"],
        format!(
            "the {} is already closed (state {state}{status}) and is not reopened: reopen it in \
             Dynamics 365 or discard this change",
            table.name
        ),
    )
}

/// Only an opportunity is made: accounts and contacts are matched elsewhere.
fn qualification(row: &Json, status: i64) -> Json {
    let mut json = json!({
        "CreateAccount": false,
        "CreateContact": false,
        "CreateOpportunity": true,
        "Status": status,
    });
    let typed = |table: &str, id: String| {
        let key = format!("{table}id");
        json!({"@odata.type": format!("Microsoft.Dynamics.CRM.{table}"), key: id})
    };
    let id = |pointer: &str| row.pointer(pointer).and_then(Json::as_str).and_then(guid);
    if let Some(id) = id("/_transactioncurrencyid_value") {
        json["OpportunityCurrencyId"] = typed("transactioncurrency", id);
    }
    let account = id("/_parentaccountid_value").or_else(|| id("/customerid_account/accountid"));
    let contact = id("/_parentcontactid_value").or_else(|| id("/customerid_contact/contactid"));
    if let Some(id) = account {
        json["OpportunityCustomerId"] = typed("account", id);
    } else if let Some(id) = contact {
        json["OpportunityCustomerId"] = typed("contact", id);
    }
    json
}

/// The opportunity among the rows an action made.
fn opportunity_of(json: &Json) -> Option<RecordId> {
    let made = json.get("value")?.as_array()?;
    made.iter()
        .find(|row| text(row, "@odata.type").ends_with(".opportunity"))
        .and_then(|row| guid(text(row, "opportunityid")))
        .map(RecordId::new)
}
