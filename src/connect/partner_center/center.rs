//! The api.partnercenter family: the webhook slot, test events, partner profiles.

use serde_json::{Map, Value as Json, json};
use url::Url;

use super::client::Client;
use super::referrals::broken;
use super::settings::Family;
use super::slot::without_secrets;
use super::wire;
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::address::encode;
use crate::connect::http::{Answer, Call, Purpose};
use crate::connect::partner_center_seam::{MpnProfile, ValidationResult, WebhookSlot};

const REGISTRATION: &str = "webhooks/v1/registration";
const VALIDATION: &str = "webhooks/v1/registration/validationEvents";

impl Client {
    /// The tenant's registration; 404, null and an empty object mean that there is none.
    pub(super) async fn read_slot(&self) -> Result<Option<WebhookSlot>, ConnectError> {
        match self.center_read(self.center_url(REGISTRATION)?).await {
            Err(ConnectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(answer) => slot(&answer),
        }
    }

    /// Writes the registration: POST if there is none, PUT otherwise. Nothing guards the write at
    /// the service, so it is looked at right before, and right after.
    pub(super) async fn write_slot(
        &self,
        wanted: &WebhookSlot,
        seen: Option<&str>,
    ) -> Result<WebhookSlot, ConnectError> {
        let there = self.read_slot().await?;
        if let Some(there) = &there
            && there.url != wanted.url
            && seen != Some(there.url.as_str())
        {
            return Err(taken(there));
        }
        let method = if there.is_some() { "PUT" } else { "POST" };
        let written = match self.send_slot(method, wanted).await {
            Err(ConnectError::NotFound(_)) if method == "PUT" => {
                self.send_slot("POST", wanted).await?
            }
            Err(ConnectError::Rejected(refusal)) if method == "POST" && refusal.status == 409 => {
                if let Some(foreign) = self.read_slot().await?.filter(|slot| slot.url != wanted.url)
                {
                    return Err(taken(&foreign));
                }
                self.send_slot("PUT", wanted).await?
            }
            other => other?,
        };
        match self.read_slot().await {
            Ok(Some(held)) if held.url != wanted.url => Err(taken(&held)),
            Ok(Some(held)) => Ok(held),
            // It was taken; that it cannot be read again right now changes nothing about it. Only an
            // answer that is not the service's proves nothing.
            Ok(None) | Err(_) => Ok(slot(&written)?.unwrap_or_else(|| wanted.clone())),
        }
    }

    async fn send_slot(
        &self,
        method: &'static str,
        wanted: &WebhookSlot,
    ) -> Result<Answer, ConnectError> {
        let url = self.center_url(REGISTRATION)?;
        let body = json!({
            "WebhookUrl": wanted.url,
            "WebhookEvents": wanted.events,
            "SignatureTokenToMsSignatureHeader": wanted.signature_in_ms_header,
        });
        self.exchange(Family::Center, Purpose::Write, || {
            Call::write(method, url.clone()).json(&body)
        })
        .await
    }

    /// Asks for a test event; the answer is an object or a bare string.
    pub(super) async fn ask_for_validation(&self) -> Result<String, ConnectError> {
        let url = self.center_url(VALIDATION)?;
        let answer = self
            .exchange_apart(Family::Center, Purpose::Write, || {
                Call::write("POST", url.clone()).body("application/json", "")
            })
            .await?;
        let id = match wire::parse(&answer.body)? {
            Json::String(id) => Some(id),
            json => lower(json).and_then(|fields| text(&fields, "correlationid")),
        };
        id.ok_or_else(|| broken("a test event without a correlation id"))
    }

    /// What became of a test event.
    pub(super) async fn read_validation(
        &self,
        correlation_id: &str,
    ) -> Result<ValidationResult, ConnectError> {
        let id = encode(correlation_id);
        if id.trim_matches('.').is_empty() {
            return Err(broken("no usable correlation id"));
        }
        let answer = self.center_read(self.center_url(&format!("{VALIDATION}/{id}"))?).await?;
        let fields = lower(wire::parse(&answer.body)?)
            .ok_or_else(|| broken("a test result that is not an object"))?;
        let attempts = fields.get("results").and_then(Json::as_array).cloned().unwrap_or_default();
        Ok(ValidationResult {
            status: text(&fields, "status").unwrap_or_else(|| "unknown".to_owned()),
            callback_url: text(&fields, "callbackurl"),
            attempts: attempts.into_iter().filter_map(lower).map(|fields| line(&fields)).collect(),
        })
    }

    /// Looks a PartnerID up.
    pub(super) async fn read_mpn_profile(
        &self,
        mpn_id: Option<&str>,
    ) -> Result<Option<MpnProfile>, ConnectError> {
        let mut url = self.center_url("v1/profiles/mpn")?;
        if let Some(id) = mpn_id {
            url.set_query(Some(&format!("mpnId={}", encode(id))));
        }
        match self.center_read(url).await {
            Err(ConnectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(answer) => {
                let fields = lower(wire::parse(&answer.body)?)
                    .ok_or_else(|| broken("a profile that is not an object"))?;
                Ok(Some(MpnProfile {
                    partner_name: text(&fields, "partnername").unwrap_or_default(),
                    mpn_id: text(&fields, "mpnid").unwrap_or_default(),
                }))
            }
        }
    }

    async fn center_read(&self, url: Url) -> Result<Answer, ConnectError> {
        self.exchange(Family::Center, Purpose::Read, || Call::read("GET", url.clone())).await
    }

    fn center_url(&self, path: &str) -> Result<Url, ConnectError> {
        self.settings.webhooks_url.join(path).map_err(|_| {
            ConnectError::Broken("the address of api.partnercenter cannot be used".to_owned())
        })
    }
}

fn slot(answer: &Answer) -> Result<Option<WebhookSlot>, ConnectError> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let Some(fields) = lower(wire::parse(&answer.body)?) else { return Ok(None) };
    let Some(url) = text(&fields, "webhookurl") else { return Ok(None) };
    let events = fields.get("webhookevents").and_then(Json::as_array);
    Ok(Some(WebhookSlot {
        url,
        events: events
            .map(|events| events.iter().filter_map(Json::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        signature_in_ms_header: fields
            .get("signaturetokentomssignatureheader")
            .and_then(Json::as_bool)
            .unwrap_or(false),
        last_modified: text(&fields, "lastmodifiedtimestamp"),
    }))
}

/// The registration was written by another tool in the meantime. Its address is shown without what
/// may hold a secret.
fn taken(theirs: &WebhookSlot) -> ConnectError {
    let address = without_secrets(&theirs.url);
    ConnectError::Exists(Refusal {
        code: "slotTaken".to_owned(),
        message: format!("another tool has just registered {address}"),
        ..Refusal::default()
    })
}

/// One attempt for people: `OK at 2026-05-01T10:00:00`.
fn line(fields: &Map<String, Json>) -> String {
    let parts = ["responsecode", "responsemessage", "systemerror", "datetimeutc"];
    let words: Vec<String> = parts
        .iter()
        .filter_map(|name| text(fields, name))
        .map(|word| word.chars().filter(|letter| !letter.is_control()).take(200).collect())
        .collect();
    words.join(" ")
}

/// An object with its names in lower case: the contract and its swagger file disagree on case.
fn lower(json: Json) -> Option<Map<String, Json>> {
    let Json::Object(fields) = json else { return None };
    Some(fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
}

/// Text that is not empty, or a number as text.
fn text(fields: &Map<String, Json>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
