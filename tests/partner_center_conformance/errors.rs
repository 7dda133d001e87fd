//! Every status that the reference lists (2.7, 6) in every shape of an error body, and every code in
//! each place where it may stand: what the client makes of them.

use std::time::Duration;

use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::partner_center_seam::PartnerCenter;
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::id::ReferralId;
use cosell_sync::domain::referral::Referral;
use serde_json::{Value as Json, json};

use crate::{World, deal};

/// Each status, and what it means on a read and on a write when the code says nothing.
const STATUSES: [(u16, &str, &str); 24] = [
    (400, "Rejected", "Rejected"),
    (401, "Unauthorized", "Unauthorized"),
    (403, "Rejected", "Rejected"),
    (404, "nothing", "NotFound"),
    (405, "Rejected", "Rejected"),
    (406, "Rejected", "Rejected"),
    (408, "Unavailable", "Unknown"),
    // On a create it is there already: the caller looks for it.
    (409, "Rejected", "Exists"),
    (410, "nothing", "NotFound"),
    (411, "Rejected", "Rejected"),
    (412, "Stale", "Stale"),
    (413, "Rejected", "Rejected"),
    (415, "Rejected", "Rejected"),
    (416, "Rejected", "Rejected"),
    (422, "Rejected", "Rejected"),
    (423, "Unavailable", "Unavailable"),
    (429, "Throttled", "Throttled"),
    (500, "Unavailable", "Unknown"),
    (501, "Unavailable", "Unknown"),
    (502, "Unavailable", "Unknown"),
    (503, "Unavailable", "Unknown"),
    (504, "Unavailable", "Unknown"),
    (507, "Unavailable", "Unknown"),
    (509, "Throttled", "Throttled"),
];

/// Every shape of a body, with a code that nobody knows.
fn shapes() -> Vec<(String, &'static str)> {
    let new = "somethingNew";
    let inner = |name: &str| {
        json!({ "error": {
        "code": new, "message": "m", "target": "referral",
        name: { "code": new, "message": "n", name: { "code": new, "message": "o" } },
    } })
    };
    let center =
        |code: Json| json!({ "code": code, "description": "d", "data": [], "source": "s" });
    let gateway = "Rate limit is exceeded. Try again in 57 seconds.";
    [
        (json!({ "error": { "code": new, "message": "m" } }), "the referrals host"),
        (inner("innerError"), "with inner errors"),
        (inner("innererror"), "with inner errors in the other spelling"),
        (center(json!(new)), "the other host"),
        (center(json!(123_456)), "the other host, the code a number"),
        (json!({ "statusCode": 429, "message": gateway }), "the gateway"),
        (json!({ "error": "invalid_grant", "error_description": "AADSTS1: x" }), "the sign-in"),
        (json!({ "error": null }), "an error that is null"),
        (json!([1]), "JSON that is no object"),
        (Json::Null, "null"),
    ]
    .map(|(body, name)| (body.to_string(), name))
    .into_iter()
    .chain([
        (String::new(), "empty"),
        ("<html><body>Service Unavailable</body></html>".to_owned(), "a page"),
        ("{\"error\":{\"code\":".to_owned(), "cut off"),
    ])
    .collect()
}

fn class(outcome: Result<Option<Referral>, ConnectError>) -> String {
    match outcome {
        Ok(answer) => (if answer.is_none() { "nothing" } else { "an answer" }).to_owned(),
        Err(error) => {
            assert!(!error.to_string().contains("<html"), "no page in a message: {error}");
            let text = format!("{error:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        }
    }
}

impl World {
    /// What the client makes of this answer to a read, and to a write.
    async fn outcomes(&self, status: u16, body: &str) -> [String; 2] {
        let effect = FaultEffect::Answer {
            status,
            retry_after: None,
            content_type: "application/json".to_owned(),
            body: body.to_owned(),
        };
        // A refused token is renewed once: the second answer decides.
        let add = |method: &str| {
            let fault = Fault::once(method, "/referrals", effect.clone());
            self.sandbox.faults().add(Fault { times: 2, ..fault });
        };
        let settle = || {
            self.sandbox.faults().clear();
            self.clock.advance(Duration::from_secs(60));
        };
        let id = ReferralId::parse("11111111-2222-4333-8444-555555555555").expect("an id");
        add("GET");
        let read = class(self.client.referral(&id).await);
        settle();
        add("POST");
        let write = class(self.client.create(&deal("crm-1")).await.map(Some));
        settle();
        [read, write]
    }
}

#[tokio::test]
async fn every_status_means_the_same_in_every_shape() {
    let world = World::new(|_| ()).await;
    let shapes = shapes();
    let mut tried = 0;
    for (status, read, write) in STATUSES {
        for (body, shape) in &shapes {
            let seen = world.outcomes(status, body).await;
            // What no service of Microsoft's has written says nothing of a referral.
            let is_foreign = !body.is_empty() && !body.starts_with('{') || shape == &"cut off";
            let expected = match status {
                404 | 410 if is_foreign => ["Unavailable", "Unknown"],
                _ => [read, write],
            };
            assert_eq!(seen, expected, "{status}, {shape}: {body}");
            tried += 1;
        }
    }
    assert_eq!(tried, 24 * 13, "statuses of both hosts, shapes");
    assert!(world.sandbox.referrals().is_empty(), "nothing was made by any of them");
}

/// Each code (2.7, 1.6, 7.2) and what it means with a status that says nothing by itself.
const CODES: [(&str, &str, &str); 15] = [
    ("accessDenied", "Rejected", "2.7"),
    ("generalException", "Rejected", "2.7: by its status"),
    ("invalidRequest", "Rejected", "2.7"),
    ("itemNotFound", "NotFound", "2.7"),
    ("preconditionFailed", "Stale", "2.7"),
    ("resourceModified", "Stale", "2.7"),
    ("serviceNotAvailable", "Rejected", "2.7: by its status"),
    ("unauthenticated", "Unauthorized", "2.7"),
    ("unAuthorized", "Unauthorized", "2.7, the sample's own"),
    ("insufficent_claims", "Unauthorized", "1.6, as the page spells it"),
    ("900308", "Rejected", "1.6: privileges"),
    ("900309", "Unauthorized", "1.6: Conditional Access"),
    ("900329", "Unauthorized", "1.6: the application alone"),
    ("900421", "Unauthorized", "1.6: MFA"),
    ("3000", "NotFound", "7.2: a PartnerID"),
];

#[tokio::test]
async fn every_code_is_found_wherever_it_stands() {
    let world = World::new(|_| ()).await;
    for (code, expected, why) in CODES {
        let upper = code.to_ascii_uppercase();
        let mut bodies = vec![
            json!({ "error": { "code": code, "message": "m" } }),
            json!({ "error": { "code": upper, "message": "m" } }),
            json!({ "error": {
                "code": "somethingNew", "message": "m",
                "innerError": { "code": "newer", "message": "n", "innerError": { "code": code } },
            } }),
            json!({ "error": {
                "code": "somethingNew", "message": "m", "innererror": { "code": code },
            } }),
            json!({ "code": code, "description": "d", "data": [], "source": "s" }),
        ];
        if let Ok(number) = code.parse::<u64>() {
            bodies.push(json!({ "code": number, "description": "d", "data": [], "source": "s" }));
        }
        for body in bodies {
            let [read, write] = world.outcomes(403, &body.to_string()).await;
            let on_read = if expected == "NotFound" { "nothing" } else { expected };
            assert_eq!((read.as_str(), write.as_str()), (on_read, expected), "{why}: {body}");
        }
    }
}
