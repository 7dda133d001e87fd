//! The body of a webhook call: a `RemoteExecutionContext` in the WCF flavour of JSON.

use serde_json::{Value as Json, json};

use super::{Change, WebhookCall};
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::schema::{Column, Kind};
use crate::connect::dynamics365::sandbox::state::{Actor, State};
use crate::connect::dynamics365::sandbox::write::target_of;
use crate::domain::time::Timestamp;

const CONTRACTS: &str = "http://schemas.microsoft.com/xrm/2011/Contracts";

/// Everything one body is made of.
pub(super) struct Event<'a> {
    pub(super) state: &'a State,
    pub(super) change: &'a Change<'a>,
    pub(super) row: &'a Row,
    pub(super) actor: &'a Actor,
    pub(super) step: &'a Row,
    pub(super) correlation: &'a str,
    pub(super) operation: &'a str,
}

impl Event<'_> {
    /// The call; `None` if the endpoint of the step is gone.
    pub(super) fn call(&self) -> Option<WebhookCall> {
        let (table, id) = self.step.values.get("eventhandler").and_then(target_of)?;
        let endpoint = self.state.data.row(table, id)?;
        let url = endpoint.values.get("url")?.as_str()?;
        let secret = endpoint.values.get("authvalue").and_then(Json::as_str).unwrap_or_default();
        let kind = endpoint.values.get("authtype").and_then(Json::as_i64);
        let (url, mut headers) = authenticate(url, kind, secret)?;
        let table = &self.change.table.logical;
        headers.extend([
            ("x-ms-dynamics-organization".to_owned(), "sandbox.crm.dynamics.com".to_owned()),
            ("x-ms-dynamics-entity-name".to_owned(), table.clone()),
            ("x-ms-dynamics-request-name".to_owned(), self.change.message.to_owned()),
            ("x-ms-correlation-request-id".to_owned(), self.correlation.to_owned()),
        ]);
        let mut body = self.context();
        if body.to_string().len() > self.state.options.webhook_body_limit {
            if let Json::Object(members) = &mut body {
                let heavy =
                    ["ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"];
                heavy.iter().for_each(|name| drop(members.remove(*name)));
            }
            headers.push(("x-ms-dynamics-msg-size-exceeded".to_owned(), "true".to_owned()));
        }
        Some(WebhookCall {
            url,
            headers,
            body: body.to_string(),
            step: self.step.id.clone(),
            message: self.change.message,
            correlation: self.correlation.to_owned(),
        })
    }

    fn context(&self) -> Json {
        let ids = &self.state.ids;
        let millis = self.state.clock.now().as_millis();
        let name = self.state.name_of(&self.change.table.logical, self.change.id);
        let image = json!({"key": "AsynchronousStepPrimaryName", "value": name});
        let shared = self.actor.tag.as_ref().map(|tag| json!({"key": "tag", "value": tag}));
        json!({
            "BusinessUnitId": ids.business_unit,
            "CorrelationId": self.correlation,
            "Depth": 1,
            "InitiatingUserId": self.actor.user,
            "InputParameters": self.input(),
            "IsExecutingOffline": false,
            "IsInTransaction": false,
            "IsOfflinePlayback": false,
            "IsolationMode": 1,
            "MessageName": self.change.message,
            "Mode": 1,
            "OperationCreatedOn": format!("/Date({millis}+0000)/"),
            "OperationId": self.operation,
            "OrganizationId": ids.organization,
            "OrganizationName": "sandbox",
            "OutputParameters": [],
            "OwningExtension": {
                "Id": self.step.id,
                "LogicalName": "sdkmessageprocessingstep",
                "KeyAttributes": [],
                "Name": self.step.values.get("name"),
                "RowVersion": null,
            },
            "ParentContext": null,
            "PostEntityImages": [image],
            "PreEntityImages": [],
            "PrimaryEntityId": self.change.id,
            "PrimaryEntityName": self.change.table.logical,
            "RequestId": self.operation,
            "SecondaryEntityName": "none",
            "SharedVariables": shared.into_iter().collect::<Vec<_>>(),
            "Stage": 40,
            "UserId": self.actor.user,
        })
    }

    fn input(&self) -> Json {
        let table = &self.change.table.logical;
        match self.change.message {
            "Create" | "Update" => json!([{"key": "Target", "value": self.entity()}]),
            "QualifyLead" => json!([{"key": "LeadId", "value": link(table, self.change.id)}]),
            "Delete" => json!([{"key": "Target", "value": link(table, self.change.id)}]),
            _ => {
                let status = self.row.values.get("statuscode").and_then(Json::as_i64);
                json!([{"key": "Status", "value": option(status)}])
            }
        }
    }

    /// The columns of the request and those that the platform stamps.
    fn entity(&self) -> Json {
        let table = self.change.table;
        let stamped = ["modifiedon", "modifiedby"];
        let names = self.change.sent.iter().map(String::as_str).chain(stamped);
        let attributes: Vec<Json> = names
            .filter_map(|name| table.columns.get(name))
            .filter(|column| column.readable)
            .map(|column| json!({"key": column.logical, "value": self.attribute(column)}))
            .chain([json!({"key": table.primary_id, "value": self.change.id})])
            .collect();
        json!({
            "__type": format!("Entity:{CONTRACTS}"),
            "Attributes": attributes,
            "EntityState": null,
            "FormattedValues": [],
            "Id": self.change.id,
            "KeyAttributes": [],
            "LogicalName": table.logical,
            "RelatedEntities": [],
            "RowVersion": null,
        })
    }

    fn attribute(&self, column: &Column) -> Json {
        let Some(value) = self.row.values.get(&column.logical) else { return Json::Null };
        if let Some((table, id)) = target_of(value) {
            return link(table, id);
        }
        match &column.kind {
            Kind::Choice(_) | Kind::State(_) | Kind::Status(_) => option(value.as_i64()),
            Kind::Money { .. } => json!({"__type": format!("Money:{CONTRACTS}"), "Value": value}),
            Kind::Date | Kind::Instant => {
                let text = value.as_str().unwrap_or_default();
                let midnight = format!("{text}T00:00:00Z");
                let moment = Timestamp::parse(text).or_else(|| Timestamp::parse(&midnight));
                json!(format!("/Date({})/", moment.map_or(0, Timestamp::as_millis)))
            }
            _ => value.clone(),
        }
    }
}

fn link(table: &str, id: &str) -> Json {
    json!({
        "__type": format!("EntityReference:{CONTRACTS}"),
        "Id": id,
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": null,
        "RowVersion": null,
    })
}

fn option(value: Option<i64>) -> Json {
    json!({"__type": format!("OptionSetValue:{CONTRACTS}"), "Value": value})
}

type Headers = Vec<(String, String)>;

/// Puts the secret where the kind of authentication wants it: 4 the query as `code`, 5 headers,
/// 6 the query.
fn authenticate(url: &str, kind: Option<i64>, secret: &str) -> Option<(String, Headers)> {
    let mut url = url::Url::parse(url).ok()?;
    let mut headers = Vec::new();
    match kind {
        Some(4) => {
            url.query_pairs_mut().append_pair("code", secret);
        }
        Some(5) => headers = settings(secret),
        _ => {
            for (name, value) in settings(secret) {
                url.query_pairs_mut().append_pair(&name, &value);
            }
        }
    }
    Some((url.to_string(), headers))
}

/// Reads `<settings><setting name="…" value="…" /></settings>`.
fn settings(xml: &str) -> Headers {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut pairs = Vec::new();
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Empty(tag) | quick_xml::events::Event::Start(tag))
                if tag.name().as_ref() == "setting" =>
            {
                let value = |name: &str| {
                    let attribute = tag.try_get_attribute(name).ok()??;
                    quick_xml::escape::unescape(&attribute.value).ok().map(|text| text.into_owned())
                };
                if let (Some(name), Some(value)) = (value("name"), value("value")) {
                    pairs.push((name, value));
                }
            }
            Ok(quick_xml::events::Event::Eof) | Err(_) => return pairs,
            Ok(_) => {}
        }
    }
}
