//! Everything the emulator remembers.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::chance::Chance;
use super::options::{Fraction, Options};
use super::token::Tokens;
use super::webhook::Webhook;
use crate::connect::sandbox::SandboxClock;
use crate::domain::clock::Randomness;
use crate::domain::time::Timestamp;

/// A request that reached the emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query as sent, percent-encoded; empty if there was none.
    pub query: String,
    /// What the emulator answered, or the fault's status if a fault stopped the request first.
    pub status: u16,
    /// Whether the request was worked on, rather than stopped by a fault.
    pub landed: bool,
    /// Whether it had `If-Match`.
    pub if_match: bool,
}

/// One referral.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// As emitted, without the decorations of one answer.
    pub(super) json: Map<String, Json>,
    /// Reads left that answer 404.
    pub(super) lag: u32,
}

impl Stored {
    pub(super) fn text(&self, name: &str) -> &str {
        self.json.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    pub(super) fn is_microsofts(&self) -> bool {
        self.text("organizationId").eq_ignore_ascii_case("msft")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.text("status") == "Closed"
    }

    /// Whether it is a lead of either sort (reference 4.1): Independent, and from Microsoft or from
    /// nobody.
    pub(super) fn is_lead(&self) -> bool {
        let from = &self.json.get("inviteContext").cloned().unwrap_or_default()["invitedBy"];
        let from = from["organizationId"].as_str().unwrap_or_default();
        let microsofts = from.eq_ignore_ascii_case("msft");
        self.text("type") == "Independent"
            && match self.text("qualification") {
                "Direct" => microsofts || from.is_empty(),
                "SalesQualified" | "MarketingQualified" => microsofts,
                _ => false,
            }
    }

    /// Whether it is a lead of the marketplace.
    pub(super) fn is_marketplace_lead(&self) -> bool {
        self.is_lead() && self.text("qualification") == "Direct"
    }

    pub(super) fn consented_to_sharing(&self) -> bool {
        self.json
            .get("consent")
            .and_then(|consent| consent.get("consentToShareReferralWithMicrosoftSellers"))
            .and_then(Json::as_bool)
            .unwrap_or(false)
    }
}

/// The whole emulated tenant.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) clock: SandboxClock,
    pub(super) chance: Chance,
    pub(super) referrals: Vec<Stored>,
    pub(super) tokens: Tokens,
    pub(super) webhook: Webhook,
    pub(super) log: Vec<LoggedRequest>,
    pub(super) audit: Vec<Json>,
    pub(super) base_url: String,
    ticks: u32,
}

impl State {
    pub(super) fn new(options: Options, clock: SandboxClock) -> Self {
        Self {
            chance: Chance::new(options.seed),
            options,
            clock,
            referrals: Vec::new(),
            tokens: Tokens::default(),
            webhook: Webhook::default(),
            log: Vec::new(),
            audit: Vec::new(),
            base_url: "https://3psostorageacct.blob.core.windows.net".to_owned(),
            ticks: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time now, as the service writes it. Later calls never give an earlier text, even if the
    /// clock stands still.
    pub(super) fn stamp(&mut self) -> String {
        self.ticks = (self.ticks + 1) % 10_000;
        let now = self.now();
        let seven = format!("{:03}{:04}", now.as_millis().rem_euclid(1000), self.ticks);
        let fraction = match self.options.fraction {
            Fraction::Varied => seven.trim_end_matches('0').to_owned(),
            Fraction::Fixed(digits) => format!("{seven}00").chars().take(digits.into()).collect(),
        };
        let whole = now.to_string();
        let whole = whole.split('.').next().unwrap_or_default().to_owned();
        if fraction.is_empty() { format!("{whole}Z") } else { format!("{whole}.{fraction}Z") }
    }

    /// A new concurrency token, with its inner quotes (reference 2.4).
    pub(super) fn etag(&self) -> String {
        let bits = self.chance.bits();
        format!("\"{:08x}-0000-0100-0000-{:08x}0000\"", bits >> 32, bits & 0xffff_ffff)
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.referrals.iter().position(|stored| stored.text("id").eq_ignore_ascii_case(id))
    }

    /// The referrals of one engagement.
    pub(super) fn engagement<'state>(
        &'state self,
        id: &'state str,
    ) -> impl Iterator<Item = &'state Stored> {
        self.referrals
            .iter()
            .filter(move |stored| stored.text("engagementId").eq_ignore_ascii_case(id))
    }

    /// Adds a finished referral and raises its event.
    pub(super) fn insert(&mut self, mut json: Map<String, Json>) {
        let stamp = self.stamp();
        json.insert("eTag".to_owned(), json!(self.etag()));
        json.insert("createdDateTime".to_owned(), json!(stamp));
        json.insert("updatedDateTime".to_owned(), json!(stamp));
        let lag = self.options.lag_reads;
        self.referrals.push(Stored { json, lag });
        self.announce(self.referrals.len() - 1, "created", "create");
    }

    /// Replaces a referral's content, as one write: new token, new time, one event.
    pub(super) fn write(&mut self, at: usize, mut json: Map<String, Json>) {
        let stamp = self.stamp();
        json.insert("eTag".to_owned(), json!(self.etag()));
        json.insert("updatedDateTime".to_owned(), json!(stamp));
        if let Some(stored) = self.referrals.get_mut(at) {
            note_times(&stored.json, &mut json, &stamp);
            stored.json = json;
            self.announce(at, "updated", "update");
        }
    }

    fn announce(&mut self, at: usize, event: &str, operation: &str) {
        let Some(stored) = self.referrals.get(at) else { return };
        let (id, microsofts) = (stored.text("id").to_owned(), stored.is_microsofts());
        let stamp = stored.text("updatedDateTime").to_owned();
        let prefix = if microsofts { "related-" } else { "" };
        let infix = if microsofts { "related_" } else { "" };
        let audit_id = self.chance.guid();
        let record = json!({
            "id": audit_id,
            "partnerId": self.options.organization_id,
            "customerId": null,
            "customerName": null,
            "userPrincipalName": self.options.user_email,
            "applicationId": self.options.client_id,
            "resourceType": "referral",
            "resourceOldValue": null,
            "resourceNewValue": id,
            "operationType": format!("{operation}_{infix}referral"),
            "operationDate": self.now().to_string(),
            "operationStatus": "succeeded",
            "customizedData": [{ "key": "referralId", "value": id }],
            "attributes": { "objectType": "AuditRecord" },
        });
        self.audit.push(record);
        let (name, now) = (format!("{prefix}referral-{event}"), self.now());
        self.webhook.raise(&name, &id, &audit_id, &stamp, now);
    }

    /// Closes what nobody answered for 14 days (reference 4.2).
    pub(super) fn expire(&mut self) {
        const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);
        let now = self.now();
        for at in 0..self.referrals.len() {
            let Some(stored) = self.referrals.get(at) else { continue };
            let created = Timestamp::parse(stored.text("createdDateTime")).unwrap_or(now);
            if stored.text("status") != "New" || now < created.plus(ANSWER_WITHIN) {
                continue;
            }
            let mut json = stored.json.clone();
            json.insert("status".to_owned(), json!("Closed"));
            json.insert("substatus".to_owned(), json!("Expired"));
            if stored.is_lead()
                && let Some(profile) = json.get_mut("customerProfile")
            {
                profile["team"] = json!([]);
            }
            self.write(at, json);
        }
    }
}

/// Fills the times that follow from a change of status.
fn note_times(before: &Map<String, Json>, after: &mut Map<String, Json>, stamp: &str) {
    for (status, time) in [("Active", "acceptedDateTime"), ("Closed", "closedDateTime")] {
        let is =
            |json: &Map<String, Json>| json.get("status").and_then(Json::as_str) == Some(status);
        if !is(before) && is(after) {
            after.insert(time.to_owned(), json!(stamp));
        }
    }
}
