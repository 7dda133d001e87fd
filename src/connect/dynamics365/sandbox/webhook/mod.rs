//! Webhooks: which steps a change concerns, what is sent, and what becomes of it.

mod payload;
mod post;

use serde_json::{Value as Json, json};

use super::data::Row;
use super::problem::Problem;
use super::schema::Table;
use super::state::{Actor, State};
use super::write::{reference, target_of};
use payload::Event;
pub(super) use post::post;

/// What happened to a row.
pub(super) struct Change<'a> {
    /// Message name: `Create`, `Update`, `Delete`, `Win`, `Lose`, `QualifyLead`.
    pub(super) message: &'static str,
    pub(super) table: &'a Table,
    pub(super) id: &'a str,
    /// Columns that the request named.
    pub(super) sent: &'a [String],
}

/// One webhook call that waits to be sent.
#[derive(Debug, Clone)]
pub(super) struct WebhookCall {
    /// Address with the authentication query.
    pub(super) url: String,
    /// Headers besides the content type.
    pub(super) headers: Vec<(String, String)>,
    /// JSON body.
    pub(super) body: String,
    /// The step that asked for it.
    pub(super) step: String,
    /// Name of the message, for the failure row.
    pub(super) message: &'static str,
    /// Correlation id, for the failure row.
    pub(super) correlation: String,
}

impl State {
    /// Queues a call for each enabled step that the change concerns.
    pub(super) fn announce(&mut self, change: &Change<'_>, actor: &Actor) {
        let steps: Vec<Row> = self
            .data
            .rows("sdkmessageprocessingstep")
            .filter(|step| self.concerns(step, change))
            .map(|step| Row::clone(step))
            .collect();
        if steps.is_empty() {
            return;
        }
        let Some(row) = self.data.row(&change.table.logical, change.id).cloned() else { return };
        let correlation = self.data.next_guid();
        for step in steps {
            let operation = self.data.next_guid();
            let event = Event {
                state: self,
                change,
                row: &row,
                actor,
                step: &step,
                correlation: &correlation,
                operation: &operation,
            };
            let call = event.call();
            self.data.webhooks.extend(call);
        }
    }

    fn concerns(&self, step: &Row, change: &Change<'_>) -> bool {
        let text = |name: &str| step.values.get(name).and_then(Json::as_str);
        let linked = |name: &str| {
            let (table, id) = step.values.get(name).and_then(target_of)?;
            self.data.row(table, id)
        };
        let message = linked("sdkmessageid").and_then(|row| row.values.get("name"));
        let table =
            linked("sdkmessagefilterid").and_then(|row| row.values.get("primaryobjecttypecode"));
        let columns = text("filteringattributes").filter(|_| change.message == "Update");
        step.values.get("statecode") == Some(&json!(0))
            && message == Some(&json!(change.message))
            && table.is_none_or(|table| *table == json!(change.table.logical))
            && columns.is_none_or(|columns| {
                columns
                    .split(',')
                    .any(|column| change.sent.iter().any(|sent| sent == column.trim()))
            })
    }

    /// Refuses a webhook or step that the platform would refuse.
    pub(super) fn check_webhook(&self, table: &Table, row: &Row) -> Result<(), Problem> {
        let number = |name: &str| row.values.get(name).and_then(Json::as_i64);
        if table.logical == "serviceendpoint" && number("contract") == Some(8) {
            let url = row.values.get("url").and_then(Json::as_str).unwrap_or_default();
            let url = url::Url::parse(url)
                .map_err(|_| Problem::invalid("The webhook needs an absolute 'url'."))?;
            let odd = !matches!(url.port_or_known_default(), Some(80 | 443));
            if odd && self.options.refuse_odd_webhook_ports {
                return Err(Problem::invalid("Only ports 80 and 443 are allowed for webhooks."));
            }
            if !matches!(number("authtype"), Some(4..=6)) {
                return Err(Problem::invalid("The 'authtype' of a webhook is 4, 5 or 6."));
            }
        }
        if table.logical == "sdkmessageprocessingstep" {
            if number("mode") == Some(1) && number("stage") != Some(40) {
                return Err(Problem::invalid("An asynchronous step must be in stage 40."));
            }
            if number("mode") == Some(0) {
                return Err(Problem::not_emulated("synchronous steps"));
            }
        }
        Ok(())
    }

    /// Writes down what became of a call.
    pub(super) fn record_outcome(&mut self, call: &WebhookCall, failure: Option<&str>) {
        let step = self.data.row("sdkmessageprocessingstep", &call.step).cloned();
        let deletes = step
            .as_ref()
            .is_some_and(|step| step.values.get("asyncautodelete") == Some(&json!(true)));
        if failure.is_none() && deletes {
            return;
        }
        let id = self.data.next_guid();
        let stamp = self.stamp();
        let values = json!({
            "name": step.as_ref().and_then(|step| step.values.get("name")),
            "messagename": call.message,
            "message": failure,
            "correlationid": call.correlation,
            "owningextensionid": reference("sdkmessageprocessingstep", &call.step),
            "statecode": 3,
            "statuscode": if failure.is_some() { 31 } else { 30 },
            "createdon": stamp,
            "modifiedon": stamp,
        });
        let values = values.as_object().cloned().unwrap_or_default();
        self.data.put("asyncoperation", Row { id, version: 0, values });
    }
}
