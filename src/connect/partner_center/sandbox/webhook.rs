//! The webhook slot, the queue of events and the validation events (reference 5).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as FromState};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::answer::Refusal;
use super::options::JsonCasing;
use super::state::State;
use super::{PartnerCenterSandbox, casing};
use crate::domain::clock::Randomness;
use crate::domain::time::Timestamp;

/// Every event name in the catalogue.
const EVENTS: &[&str] = &[
    "azure-fraud-event-detected",
    "dap-admin-relationship-approved",
    "dap-admin-relationship-terminated",
    "granular-admin-relationship-approved",
    "granular-admin-relationship-terminated",
    "invoice-ready",
    "new-commerce-migration-completed",
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
    "reseller-relationship-accepted-by-customer",
    "subscription-updated",
    "test-created",
    "usagerecords-thresholdExceeded",
];

/// The one registration of the tenant.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) ms_header: bool,
    properties: Json,
    modified: String,
}

/// An event on its way.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) body: String,
    pub(super) attempts: u32,
    pub(super) validation: Option<String>,
    /// Not before this.
    pub(super) due: Timestamp,
}

/// A validation event and what became of it.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) status: &'static str,
    pub(super) url: String,
    pub(super) results: Vec<Json>,
    asked: Timestamp,
}

/// What a delivery does wrong, on demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryFaults {
    /// Send every event twice.
    pub duplicate: bool,
    /// Send what is waiting in reverse order.
    pub reorder: bool,
    /// Lose this many of the next events.
    pub drop_next: u32,
    /// Hold every new event back for this long by the emulated clock, in seconds.
    pub delay_secs: u64,
    /// Sign other bytes than those that are sent.
    pub wrong_signature: bool,
}

/// The webhook side of the tenant.
#[derive(Debug, Default)]
pub(super) struct Webhook {
    pub(super) slot: Option<Slot>,
    pub(super) queue: VecDeque<Event>,
    pub(super) parked: Vec<Event>,
    pub(super) validations: BTreeMap<String, Validation>,
    pub(super) faults: DeliveryFaults,
    pub(super) casing: Option<JsonCasing>,
    pub(super) partner_id: String,
    pub(super) wake: std::sync::Arc<tokio::sync::Notify>,
    asked: Vec<Timestamp>,
}

impl Webhook {
    /// Queues an event about a referral, if the slot asks for it.
    pub(super) fn raise(
        &mut self,
        name: &str,
        id: &str,
        audit_id: &str,
        stamp: &str,
        now: Timestamp,
    ) {
        let wanted = self
            .slot
            .as_ref()
            .is_some_and(|slot| slot.events.iter().any(|event| event.eq_ignore_ascii_case(name)));
        if !wanted {
            return;
        }
        if self.faults.drop_next > 0 {
            self.faults.drop_next -= 1;
            return;
        }
        let body = self.body(name, id, Some(audit_id), stamp);
        let due = now.plus(Duration::from_secs(self.faults.delay_secs));
        self.queue.push_back(Event { body, attempts: 0, validation: None, due });
        self.wake.notify_one();
    }

    /// The body of an event about a referral.
    pub(super) fn body(&self, name: &str, id: &str, audit_id: Option<&str>, stamp: &str) -> String {
        let uri = format!("https://api.partnercenter.microsoft.com/engagements/v1/referrals/{id}");
        self.any_body(name, &uri, "referral", audit_id, stamp)
    }

    fn any_body(
        &self,
        name: &str,
        uri: &str,
        resource: &str,
        audit_id: Option<&str>,
        stamp: &str,
    ) -> String {
        let audit = audit_id.map(|id| {
            format!("https://api.partnercenter.microsoft.com/auditactivity/v1/auditrecords/{id}")
        });
        let mut body = json!({
            "EventName": name,
            "ResourceUri": uri,
            "ResourceName": resource,
            "AuditUri": audit,
            "ResourceChangeUtcDate": stamp.replace('Z', "+00:00"),
        });
        let style = self.casing.unwrap_or(JsonCasing::Pascal);
        if style == JsonCasing::Camel {
            body["PartnerId"] = json!(self.partner_id);
        }
        recase(body, style).to_string()
    }
}

/// Writes the names of an object in the casing that is asked for.
fn recase(json: Json, style: JsonCasing) -> Json {
    let Json::Object(fields) = json else { return json };
    let first = |name: &str, upper: bool| {
        let mut letters = name.chars();
        let head = letters.next().unwrap_or_default();
        let head = if upper { head.to_ascii_uppercase() } else { head.to_ascii_lowercase() };
        format!("{head}{}", letters.as_str())
    };
    let renamed = fields.into_iter().enumerate().map(|(at, (name, value))| {
        let name = match style {
            JsonCasing::Pascal => name,
            JsonCasing::Camel => first(&name, false),
            JsonCasing::Mixed => first(&name, at % 2 == 0),
        };
        (name, value)
    });
    Json::Object(renamed.collect::<Map<String, Json>>())
}

impl Slot {
    /// Reads a registration in any casing.
    pub(super) fn parse(json: &Json, stamp: String) -> Option<Self> {
        let url = casing::lookup(json, "WebhookUrl")?.as_str()?.to_owned();
        let parsed = url::Url::parse(&url).ok()?;
        let events = casing::lookup(json, "WebhookEvents")?.as_array()?;
        let events: Vec<String> =
            events.iter().map(|event| event.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        let known = |event: &String| EVENTS.iter().any(|name| name.eq_ignore_ascii_case(event));
        let ms_header = casing::lookup(json, "SignatureTokenToMsSignatureHeader")
            .and_then(Json::as_bool)
            .unwrap_or(false);
        let properties = casing::lookup(json, "properties").cloned().unwrap_or_default();
        let valid = matches!(parsed.scheme(), "http" | "https") && events.iter().all(known);
        valid.then_some(Self { url, events, ms_header, properties, modified: stamp })
    }

    pub(super) fn json(&self, state: &State) -> Json {
        let body = json!({
            "SubscriberId": state.options.tenant_id,
            "WebhookUrl": self.url,
            "WebhookEvents": self.events,
            "SignatureTokenToMsSignatureHeader": self.ms_header,
            "Properties": self.properties,
            "lastModifiedTimestamp": self.modified,
        });
        recase(body, state.options.webhook_casing)
    }
}

fn not_registered() -> Refusal {
    Refusal::api(404, "600001", "There is no registration for this tenant.")
}

pub(super) async fn events() -> axum::Json<Json> {
    axum::Json(json!(EVENTS))
}

pub(super) async fn get_slot(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
) -> Result<axum::Json<Json>, Refusal> {
    let state = sandbox.lock();
    match &state.webhook.slot {
        Some(slot) => Ok(axum::Json(slot.json(&state))),
        None if state.options.empty_slot_as_null => Ok(axum::Json(Json::Null)),
        None => Err(not_registered()),
    }
}

pub(super) async fn post_slot(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    body: Bytes,
) -> Result<axum::Json<Json>, Refusal> {
    let mut state = sandbox.lock();
    if state.webhook.slot.is_some() {
        return Err(Refusal::api(409, "600002", "A registration exists already; use PUT."));
    }
    write_slot(&mut state, &body)
}

pub(super) async fn put_slot(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    body: Bytes,
) -> Result<axum::Json<Json>, Refusal> {
    let mut state = sandbox.lock();
    if state.webhook.slot.is_none() {
        return Err(not_registered());
    }
    write_slot(&mut state, &body)
}

fn write_slot(state: &mut State, body: &Bytes) -> Result<axum::Json<Json>, Refusal> {
    let stamp = state.stamp();
    let slot = serde_json::from_slice(body)
        .ok()
        .and_then(|json| Slot::parse(&json, stamp))
        .ok_or_else(|| Refusal::api(400, "600003", "The registration is not valid."))?;
    let answer = slot.json(state);
    state.webhook.slot = Some(slot);
    Ok(axum::Json(answer))
}

/// `POST /registration/validationEvents`: two a minute.
pub(super) async fn ask_validation(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
) -> Result<axum::Json<Json>, Refusal> {
    let mut state = sandbox.lock();
    let slot = state.webhook.slot.clone().ok_or_else(not_registered)?;
    if !slot.events.iter().any(|event| event.eq_ignore_ascii_case("test-created")) {
        return Err(Refusal::api(400, "600004", "The event test-created is not registered."));
    }
    let (now, minute) = (state.now(), Duration::from_secs(60));
    state.webhook.asked.retain(|asked| now < asked.plus(minute));
    if let [first, _, ..] = state.webhook.asked.as_slice() {
        return Err(Refusal::throttled(first.plus(minute).since(now).as_secs().max(1)));
    }
    state.webhook.asked.push(now);
    let id = state.chance.guid();
    let stamp = state.stamp();
    let uri = format!("http://localhost:16722/webhooks/v1/registration/validationEvents/{id}");
    let body = state.webhook.any_body("test-created", &uri, "test", None, &stamp);
    let validation =
        Validation { status: "inProgress", url: slot.url, results: Vec::new(), asked: now };
    state.webhook.validations.insert(id.clone(), validation);
    let event = Event { body, attempts: 0, validation: Some(id.clone()), due: now };
    state.webhook.queue.push_back(event);
    state.webhook.wake.notify_one();
    let bare = state.options.bare_correlation_id;
    Ok(axum::Json(if bare { json!(id) } else { json!({ "correlationId": id }) }))
}

/// `GET /registration/validationEvents/{id}`: kept for seven days.
pub(super) async fn validation(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(id): Path<String>,
) -> Response {
    let state = sandbox.lock();
    let kept = Duration::from_secs(7 * 86_400);
    let known = state.webhook.validations.get(&id);
    let Some(known) = known.filter(|known| state.now() < known.asked.plus(kept)) else {
        return Refusal::api(404, "600005", "There is no such validation event.").into_response();
    };
    let body = json!({
        "correlationId": id,
        "partnerId": state.options.organization_id,
        "status": known.status,
        "callbackUrl": known.url,
        "results": known.results,
    });
    (StatusCode::OK, axum::Json(body)).into_response()
}
