//! Each line of the reference's checklist, over real HTTP or on the router.

mod faults;
mod list;
mod patch;
mod sign_in;
mod webhook;

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use super::{Options, PARTNER_CENTER_AUDIENCE, PartnerCenterSandbox, REFERRALS_AUDIENCE};
use crate::connect::sandbox::SandboxClock;
use crate::domain::id::{EngagementId, ReferralId};
use crate::domain::time::Timestamp;

pub(super) const REFERRALS: &str = "/v1.0/engagements/referrals";

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Json {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An emulator with a clock that stands still, and a signed-in caller.
pub(super) struct World {
    pub(super) sandbox: PartnerCenterSandbox,
    pub(super) clock: SandboxClock,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let start = Timestamp::parse("2026-09-01T10:00:00.120Z").expect("an instant");
        let clock = SandboxClock::frozen(start);
        let mut options = Options::default();
        change(&mut options);
        Self { sandbox: PartnerCenterSandbox::new(options, clock.clone()), clock }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.sandbox.router().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A call with the right token for its path and further headers.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Json,
    ) -> Answer {
        let audience =
            if path.starts_with("/v1.0/") { REFERRALS_AUDIENCE } else { PARTNER_CENTER_AUDIENCE };
        let token = self.sandbox.access_token(audience);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request.body(Body::from(body)).expect("a request")).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], &Json::Null).await
    }

    pub(super) async fn create(&self, body: &Json) -> Answer {
        self.call("POST", REFERRALS, &[], body).await
    }

    pub(super) async fn patch(&self, id: &str, operations: &Json) -> Answer {
        let prefer = [("prefer", "return=representation")];
        self.call("PATCH", &format!("{REFERRALS}/{id}"), &prefer, operations).await
    }

    /// An own deal, shared with Microsoft or not; its id and engagement.
    pub(super) async fn deal(&self, shared: bool) -> (String, EngagementId) {
        let mut body = deal();
        body["consent"]["consentToShareReferralWithMicrosoftSellers"] = json!(shared);
        let answer = self.create(&body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let json = answer.json();
        let text = |name: &str| json[name].as_str().expect("text").to_owned();
        (text("id"), EngagementId::new(text("engagementId")))
    }

    pub(super) fn stored(&self, id: &str) -> Json {
        self.sandbox.referral(&ReferralId::new(id)).expect("a referral")
    }
}

/// A complete create request for an own deal.
pub(super) fn deal() -> Json {
    json!({
        "name": "Adventure Works data platform",
        "externalReferenceId": "crm-42",
        "type": "Shared",
        "qualification": "SalesQualified",
        "status": "New",
        "substatus": "Pending",
        "customerProfile": {
            "name": "Adventure Works",
            "address": { "addressLine1": "2 Side Street", "city": "Bergen", "country": "NO" },
            "team": [member("buyer@adventure-works.example")],
        },
        "consent": {
            "consentToToShareInfoWithOthers": true,
            "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": true,
        },
        "details": {
            "notes": "n", "dealValue": 50_000, "currency": "USD",
            "closingDateTime": "2026-12-31T00:00:00Z",
            "requirements": {
                "solutions": [{ "id": "SOL-00001-XYZ", "type": "Name" }],
                "additionalRequirements": {
                    "attributes": [{ "type": "CustomerMarketplaceIntent", "id": "HaveNotDecided" }],
                },
            },
        },
        "team": [member("seller@contoso.example")],
        "target": [{ "type": "SolutionProfile", "id": "SOL-00001-XYZ" }],
    })
}

/// An invitation to Microsoft in an engagement.
pub(super) fn invitation(engagement: &EngagementId) -> Json {
    let mut body = deal();
    body["engagementId"] = json!(engagement.as_str());
    body["target"] = json!([{ "type": "BusinessProfileLocation", "id": "msft" }]);
    body["inviteContext"] =
        json!({ "notes": "Please help.", "assistanceRequestCode": "QuotesOrLicensing" });
    body
}

pub(super) fn member(email: &str) -> Json {
    json!({ "firstName": "A", "lastName": "B", "phoneNumber": "5550100", "email": email })
}

pub(super) fn replace(path: &str, value: Json) -> Json {
    json!({ "op": "replace", "path": path, "value": value })
}

pub(super) fn add(path: &str, value: Json) -> Json {
    json!({ "op": "add", "path": path, "value": value })
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
