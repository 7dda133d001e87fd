//! The slot, validation events, signed deliveries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value as Json, json};

use super::super::{DeliveryFaults, DeliveryReport, InvitationAnswer, JsonCasing};
use super::{World, invitation, loopback, replace};
use crate::connect::sandbox::{Serving, serve};

const SLOT: &str = "/webhooks/v1/registration";
const REFERRAL_EVENTS: [&str; 5] = [
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
    "test-created",
];

/// What arrived at a receiver.
type Inbox = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that answers each delivery with `status`.
async fn receiver(status: StatusCode) -> (Serving, Inbox) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let inbox = Inbox::default();
    let arrived = inbox.clone();
    let router = Router::new().route(
        "/hook",
        post(async move |headers: HeaderMap, body: Bytes| {
            arrived.lock().expect("the inbox").push((headers, body));
            status
        }),
    );
    (serve(router, loopback()).await.expect("a port"), inbox)
}

async fn register(world: &World, receiver: &Serving, ms_header: bool) {
    let body = json!({
        "WebhookUrl": format!("{}/hook", receiver.url()),
        "WebhookEvents": REFERRAL_EVENTS,
        "SignatureTokenToMsSignatureHeader": ms_header,
    });
    let answer = world.call("POST", SLOT, &[], &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

fn event_names(inbox: &Inbox) -> Vec<String> {
    let arrived = inbox.lock().expect("the inbox");
    arrived
        .iter()
        .map(|(_, body)| {
            let json: Json = serde_json::from_slice(body).expect("JSON");
            json["EventName"].as_str().expect("a name").to_owned()
        })
        .collect()
}

#[tokio::test]
async fn the_slot_is_one_for_all() {
    let world = World::new();
    let body = json!({ "webhookUrl": "https://a.example/hook", "webhookEvents": ["test-created"] });
    assert_eq!(world.get(SLOT).await.status, StatusCode::NOT_FOUND, "none yet");
    assert_eq!(world.call("PUT", SLOT, &[], &body).await.status, StatusCode::NOT_FOUND);
    let created = world.call("POST", SLOT, &[], &body).await;
    assert_eq!(created.status, StatusCode::OK, "any casing is read");
    assert_eq!(created.json()["WebhookUrl"], "https://a.example/hook");
    assert_eq!(world.call("POST", SLOT, &[], &body).await.status, StatusCode::CONFLICT);
    let theirs = json!({ "WebhookUrl": "https://b.example/", "WebhookEvents": [] });
    world.sandbox.set_slot(&theirs).expect("a registration");
    assert_eq!(world.get(SLOT).await.json()["WebhookUrl"], "https://b.example/", "stolen");
    assert_eq!(world.call("PUT", SLOT, &[], &body).await.status, StatusCode::OK);
    assert_eq!(world.get(SLOT).await.json()["WebhookEvents"], json!(["test-created"]));
    for (wrong, why) in [
        (json!({ "WebhookUrl": "nowhere", "WebhookEvents": [] }), "not an address"),
        (json!({ "WebhookUrl": "https://a.example", "WebhookEvents": ["made-up"] }), "no event"),
        (json!([]), "not an object"),
    ] {
        assert_eq!(world.call("PUT", SLOT, &[], &wrong).await.status.as_u16(), 400, "{why}");
    }
    assert_eq!(world.call("DELETE", SLOT, &[], &Json::Null).await.status.as_u16(), 405);
    let events = world.get(&format!("{SLOT}/events")).await.json();
    for event in REFERRAL_EVENTS {
        assert!(events.as_array().expect("events").contains(&json!(event)), "{event}");
    }
    world.sandbox.clear_slot();
    world.sandbox.set_options(|options| options.empty_slot_as_null = true);
    let answer = world.get(SLOT).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "null"));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "fetches one file from loopback")]
async fn a_delivery_verifies_against_the_root_and_a_changed_byte_does_not() {
    for (by_intermediate, ms_header) in [(false, true), (true, false)] {
        let world = World::with(|options| options.certificate_from_intermediate = by_intermediate);
        let serving = world.sandbox.serve(loopback()).await.expect("a port");
        let (receiver, inbox) = receiver(StatusCode::ACCEPTED).await;
        register(&world, &receiver, ms_header).await;
        let id = world.sandbox.seed_incoming(json!({}));
        let report = world.sandbox.deliver().await;
        assert_eq!(report, DeliveryReport { delivered: 1, ..DeliveryReport::default() });

        let (headers, body) = inbox.lock().expect("the inbox").pop().expect("a delivery");
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (style, other) = if ms_header {
            ("x-ms-signature", "authorization")
        } else {
            ("authorization", "x-ms-signature")
        };
        assert_eq!(header(other), None);
        assert_eq!(header("x-ms-signature-algorithm"), Some("rsa-sha256"));
        let signature = header(style).and_then(|value| value.strip_prefix("Signature "));
        let signature = STANDARD.decode(signature.expect("a signature")).expect("base64");
        let url = header("x-ms-certificate-url").expect("an address");
        assert!(url.starts_with(&serving.url()) && url.ends_with(".cer"), "{url}");
        let leaf = reqwest::get(url).await.expect("an answer").bytes().await.expect("a body");

        let leaf = CertificateDer::from(leaf.to_vec());
        let leaf = webpki::EndEntityCert::try_from(&leaf).expect("a certificate");
        let root = CertificateDer::from_pem_slice(world.sandbox.ca_pem().as_bytes()).expect("PEM");
        let anchor = webpki::anchor_from_trusted_cert(&root).expect("an anchor");
        let between = world.sandbox.intermediates_pem();
        let between = CertificateDer::from_pem_slice(between.as_bytes()).expect("PEM");
        let between = if by_intermediate { vec![between] } else { Vec::new() };
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &between,
            UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .expect("it chains to the root");
        let algorithm = webpki::ring::RSA_PKCS1_2048_8192_SHA256;
        leaf.verify_signature(algorithm, &body, &signature).expect("signed over the raw bytes");
        let mut changed = body.to_vec();
        *changed.last_mut().expect("a byte") ^= 1;
        assert!(leaf.verify_signature(algorithm, &changed, &signature).is_err());

        let json: Json = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json["EventName"], "referral-created");
        assert_eq!(json["ResourceName"], "referral");
        let uri = format!("https://api.partnercenter.microsoft.com/engagements/v1/referrals/{id}");
        assert_eq!(json["ResourceUri"], uri);
        let changed = json["ResourceChangeUtcDate"].as_str().expect("text");
        assert!(changed.ends_with("+00:00"), "{changed}");
    }
}

#[tokio::test]
async fn own_writes_echo_and_microsofts_record_is_related() {
    let world = World::new();
    let (receiver, inbox) = receiver(StatusCode::OK).await;
    register(&world, &receiver, true).await;
    let (id, engagement) = world.deal(true).await;
    world.patch(&id, &json!([replace("/details/notes", json!("x"))])).await;
    world.create(&invitation(&engagement)).await;
    world.sandbox.answer_invitation(&engagement, InvitationAnswer::Decline).expect("invited");
    world.sandbox.deliver().await;
    assert_eq!(
        event_names(&inbox),
        [
            "referral-created",
            "referral-updated",
            "related-referral-created",
            "related-referral-updated",
        ]
    );
    let audit = world.get("/v1/auditrecords").await.json();
    let operations: Vec<&str> = audit["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["operationType"].as_str().expect("text"))
        .collect();
    assert_eq!(
        operations,
        [
            "create_referral",
            "update_referral",
            "create_related_referral",
            "update_related_referral",
        ]
    );
}

#[tokio::test]
async fn an_event_is_tried_ten_times_then_parked() {
    let world = World::new();
    let (receiver, inbox) = receiver(StatusCode::SERVICE_UNAVAILABLE).await;
    register(&world, &receiver, true).await;
    world.sandbox.seed_incoming(json!({}));
    let mut reports = Vec::new();
    for _ in 0..12 {
        reports.push(world.sandbox.deliver().await);
    }
    assert_eq!(inbox.lock().expect("the inbox").len(), 10);
    let parked: Vec<usize> = reports.iter().map(|report| report.parked).collect();
    assert_eq!(parked, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!((world.sandbox.pending_events(), world.sandbox.parked_events().len()), (0, 1));
}

#[tokio::test]
async fn deliveries_go_wrong_when_told_to() {
    let world = World::new();
    let (receiver, inbox) = receiver(StatusCode::OK).await;
    register(&world, &receiver, true).await;
    let id = world.sandbox.seed_incoming(json!({}));
    world.sandbox.edit_as_person(&id, json!({ "name": "x" })).expect("open");
    let faults = DeliveryFaults { duplicate: true, reorder: true, ..DeliveryFaults::default() };
    world.sandbox.set_delivery_faults(faults);
    world.sandbox.deliver().await;
    assert_eq!(
        event_names(&inbox),
        ["referral-updated", "referral-updated", "referral-created", "referral-created"]
    );
    let drop_one = DeliveryFaults { drop_next: 1, ..DeliveryFaults::default() };
    world.sandbox.set_delivery_faults(drop_one);
    world.sandbox.edit_as_microsoft(&id, json!({ "name": "y" })).expect("known");
    assert_eq!(world.sandbox.pending_events(), 0, "lost");
    world.sandbox.edit_as_microsoft(&id, json!({ "name": "z" })).expect("known");
    assert_eq!(world.sandbox.pending_events(), 1, "the next one is not");

    let right = world.sandbox.signed(b"body");
    assert_eq!(right, world.sandbox.signed(b"body"), "PKCS#1 v1.5 is deterministic");
    let wrong = DeliveryFaults { wrong_signature: true, ..DeliveryFaults::default() };
    world.sandbox.set_delivery_faults(wrong);
    assert_ne!(world.sandbox.signed(b"body"), right);
}

#[tokio::test]
async fn no_foreign_host_is_ever_called() {
    let world = World::new();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let theirs = json!({
        "WebhookUrl": "https://hook.contoso.example/", "WebhookEvents": ["referral-created"],
    });
    world.sandbox.set_slot(&theirs).expect("a registration");
    world.sandbox.seed_incoming(json!({}));
    assert_eq!(world.sandbox.deliver().await.failed, 1);
}

#[tokio::test]
async fn validation_events_are_two_a_minute_and_tell_what_happened() {
    let world = World::new();
    let path = format!("{SLOT}/validationEvents");
    let none = world.call("POST", &path, &[], &Json::Null).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND, "nothing is registered");
    let (receiver, inbox) = receiver(StatusCode::NO_CONTENT).await;
    register(&world, &receiver, true).await;
    let asked = world.call("POST", &path, &[], &Json::Null).await.json();
    let id = asked["correlationId"].as_str().expect("an id").to_owned();
    let result = format!("{path}/{id}");
    assert_eq!(world.get(&result).await.json()["status"], "inProgress");
    world.sandbox.deliver().await;
    let json = world.get(&result).await.json();
    assert_eq!(json["status"], "completed");
    assert_eq!(json["results"][0]["responseCode"], "NoContent", "a status name");
    assert_eq!(event_names(&inbox), ["test-created"]);

    world.sandbox.set_options(|options| options.bare_correlation_id = true);
    assert!(world.call("POST", &path, &[], &Json::Null).await.json().is_string());
    let third = world.call("POST", &path, &[], &Json::Null).await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.header("retry-after"), Some("60"));
    assert_eq!(third.json()["statusCode"], 429, "the gateway's shape");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.call("POST", &path, &[], &Json::Null).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(7 * 86_400));
    assert_eq!(world.get(&result).await.status, StatusCode::NOT_FOUND, "kept for 7 days");
}

#[tokio::test]
async fn webhook_names_come_in_three_casings() {
    let table = [
        (JsonCasing::Pascal, "EventName", "ResourceUri"),
        (JsonCasing::Camel, "eventName", "resourceUri"),
        (JsonCasing::Mixed, "eventName", "ResourceUri"),
    ];
    for (casing, event, uri) in table {
        let world = World::with(|options| options.webhook_casing = casing);
        let id = world.sandbox.seed_incoming(json!({}));
        let body = world.sandbox.event_body("referral-updated", &id);
        let body: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body[event], "referral-updated", "{casing:?}: {body}");
        assert!(body[uri].is_string(), "{casing:?}: {body}");
        assert_eq!(body["partnerId"].is_string(), casing == JsonCasing::Camel, "{body}");
    }
}

#[tokio::test]
async fn in_the_background_events_arrive_by_themselves() {
    let world = World::new();
    let (sent, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let router = Router::new().route(
        "/hook",
        post(async move |body: Bytes| {
            sent.send(body).expect("the test listens");
        }),
    );
    let receiver = serve(router, loopback()).await.expect("a port");
    register(&world, &receiver, true).await;
    let _delivering = world.sandbox.deliver_in_background(Duration::from_millis(1));
    world.sandbox.seed_incoming(json!({}));
    let body = arrived.recv().await.expect("a delivery");
    assert!(String::from_utf8_lossy(&body).contains("referral-created"));
}
