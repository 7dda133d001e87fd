//! Reference 5: the one slot, validation events, and deliveries with everything that goes wrong.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cosell_sync::connect::sandbox::{Serving, serve};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Page, REFERRALS, SLOT, deal, invitation, replace, text};

const EVENTS: [&str; 5] = [
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
    "test-created",
];

type Arrivals = UnboundedReceiver<(HeaderMap, Bytes)>;

/// Something that takes events and answers with `status`.
async fn receiver(status: StatusCode) -> (Serving, Arrivals) {
    let (sent, arrived) = unbounded_channel();
    let hook = post(async move |headers: HeaderMap, body: Bytes| {
        // The test may have seen enough and gone.
        let _ = sent.send((headers, body));
        status
    });
    let free = "127.0.0.1:0".parse().expect("an address");
    (serve(Router::new().route("/hook", hook), free).await.expect("served"), arrived)
}

async fn register(page: &Page, receiver: &Serving, ms_header: bool) {
    let body = json!({
        "WebhookUrl": format!("{}/hook", receiver.url()),
        "WebhookEvents": EVENTS,
        "SignatureTokenToMsSignatureHeader": ms_header,
    });
    let answer = page.call("POST", SLOT, &[], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn next(arrivals: &mut Arrivals) -> (HeaderMap, Json) {
    let (headers, body) = arrivals.recv().await.expect("an event");
    (headers, serde_json::from_slice(&body).expect("JSON"))
}

async fn next_name(arrivals: &mut Arrivals) -> String {
    text(&next(arrivals).await.1, "EventName")
}

#[tokio::test]
async fn the_slot_is_one_for_all_and_nobody_can_empty_it() {
    let page = Page::open().await;
    let body = json!({ "webhookUrl": "https://a.example/hook", "webhookEvents": EVENTS });
    assert_eq!(page.get(SLOT).await.status, 404, "none");
    assert_eq!(page.call("PUT", SLOT, &[], &body).await.status, 404, "none to replace");
    let made = page.call("POST", SLOT, &[], &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    for name in ["SubscriberId", "WebhookUrl", "lastModifiedTimestamp"] {
        assert!(made.json()[name].is_string(), "{name}: {}", made.text);
    }
    assert_eq!(made.json()["SignatureTokenToMsSignatureHeader"], false, "the default");
    assert_eq!(page.call("POST", SLOT, &[], &body).await.status, 409, "one exists");
    let theirs =
        json!({ "WebhookUrl": "https://tool.example/", "WebhookEvents": ["invoice-ready"] });
    page.act("PUT", "/partner-center/slot", theirs).await;
    assert_eq!(page.get(SLOT).await.json()["WebhookUrl"], "https://tool.example/", "stolen");
    assert_eq!(page.call("PUT", SLOT, &[], &body).await.status, 200, "taken back");
    let held = page.act("GET", "/partner-center/slot", Json::Null).await;
    assert_eq!(held["WebhookUrl"], "https://a.example/hook");
    assert_eq!(page.call("DELETE", SLOT, &[], &Json::Null).await.status, 405, "no DELETE");
    for wrong in [
        json!({ "WebhookUrl": "nowhere", "WebhookEvents": [] }),
        json!({ "WebhookUrl": "https://a.example/", "WebhookEvents": ["made-up"] }),
        json!({ "WebhookUrl": "https://a.example/" }),
        json!([]),
    ] {
        assert_eq!(page.call("PUT", SLOT, &[], &wrong).await.status, 400, "{wrong}");
        let by_hand = page.control("PUT", "/partner-center/slot", &wrong).await;
        assert_eq!(by_hand.status, 422, "{wrong}");
    }
    let events = page.get(&format!("{SLOT}/events")).await.json();
    for event in EVENTS {
        assert!(events.as_array().expect("a list").contains(&json!(event)), "{event}");
    }
    page.act("DELETE", "/partner-center/slot", Json::Null).await;
    assert_eq!(page.control("GET", "/partner-center/slot", &Json::Null).await.status, 404);
    page.set(json!({ "empty_slot_as_null": true })).await;
    let none = page.get(SLOT).await;
    assert_eq!((none.status, none.text.as_str()), (200, "null"), "the other reading");
}

#[tokio::test]
async fn validation_events_need_test_created_and_come_twice_a_minute() {
    let page = Page::open().await;
    let path = format!("{SLOT}/validationEvents");
    assert_eq!(page.call("POST", &path, &[], &Json::Null).await.status, 404, "no registration");
    let without =
        json!({ "WebhookUrl": "http://127.0.0.1:9/", "WebhookEvents": ["referral-created"] });
    page.act("PUT", "/partner-center/slot", without).await;
    assert_eq!(page.call("POST", &path, &[], &Json::Null).await.status, 400, "needs test-created");
    page.act("DELETE", "/partner-center/slot", Json::Null).await;
    let (receiver, mut arrivals) = receiver(StatusCode::OK).await;
    register(&page, &receiver, true).await;
    let asked = page.call("POST", &path, &[], &Json::Null).await.json();
    let result = format!("{path}/{}", text(&asked, "correlationId"));
    let (_, event) = next(&mut arrivals).await;
    assert_eq!(
        (&event["EventName"], &event["ResourceName"]),
        (&json!("test-created"), &json!("test"))
    );
    assert!(event["AuditUri"].is_null(), "{event}");
    let seen = loop {
        let seen = page.get(&result).await.json();
        if seen["status"] == "completed" {
            break seen;
        }
    };
    assert_eq!(seen["results"][0]["responseCode"], "OK");
    assert!(!text(&seen["results"][0], "dateTimeUtc").ends_with('Z'), "no zone: {seen}");
    for name in ["correlationId", "partnerId", "callbackUrl"] {
        assert!(seen[name].is_string(), "{name}: {seen}");
    }
    page.set(json!({ "bare_correlation_id": true })).await;
    assert!(page.call("POST", &path, &[], &Json::Null).await.json().is_string());
    let third = page.call("POST", &path, &[], &Json::Null).await;
    assert_eq!((third.status, &third.json()["statusCode"]), (429, &json!(429)));
    assert!(third.header("retry-after").is_some());
    page.advance(61).await;
    assert_eq!(page.call("POST", &path, &[], &Json::Null).await.status, 200);
    page.advance(8 * 86_400).await;
    assert_eq!(page.get(&result).await.status, 404, "kept for 7 days");
}

#[tokio::test]
async fn own_records_and_microsofts_raise_their_own_events_with_signed_bodies() {
    let page = Page::open().await;
    let (receiver, mut arrivals) = receiver(StatusCode::NO_CONTENT).await;
    register(&page, &receiver, true).await;
    let own = page.made(&deal("co-sell")).await;
    let id = text(&own, "id");
    let (headers, event) = next(&mut arrivals).await;
    assert_eq!(event["EventName"], "referral-created");
    assert_eq!(event["ResourceName"], "referral");
    let uri = format!("https://api.partnercenter.microsoft.com/engagements/v1/referrals/{id}");
    assert_eq!(event["ResourceUri"], uri);
    let audit = "https://api.partnercenter.microsoft.com/auditactivity/v1/auditrecords/";
    assert!(text(&event, "AuditUri").starts_with(audit), "{event}");
    assert!(text(&event, "ResourceChangeUtcDate").ends_with("+00:00"), "{event}");
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert!(header("x-ms-signature").is_some_and(|value| value.starts_with("Signature ")));
    assert_eq!(header("authorization"), None);
    assert_eq!(header("x-ms-signature-algorithm"), Some("rsa-sha256"));
    let certificate = header("x-ms-certificate-url").expect("an address").to_owned();
    assert!(certificate.ends_with("/cert/pcnotifications-dispatch.microsoft.com.cer"));
    let file = page.send(page.http.get(certificate)).await;
    assert_eq!(file.status, 200);
    page.patch(&id, json!([replace("/details/notes", json!("x"))])).await;
    assert_eq!(next_name(&mut arrivals).await, "referral-updated", "an echo of our own write");
    page.made(&invitation(&own)).await;
    assert_eq!(next_name(&mut arrivals).await, "related-referral-created");
    let path = format!("/partner-center/engagements/{}/answer", text(&own, "engagementId"));
    page.act("POST", &path, json!({ "answer": "accept" })).await;
    assert_eq!(next_name(&mut arrivals).await, "related-referral-updated");
    let by_default = json!({
        "WebhookUrl": format!("{}/hook", receiver.url()), "WebhookEvents": EVENTS,
    });
    page.call("PUT", SLOT, &[], &by_default).await;
    page.arrives(json!({})).await;
    let (headers, _) = next(&mut arrivals).await;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert!(header("authorization").is_some_and(|value| value.starts_with("Signature ")));
    assert_eq!(header("x-ms-signature"), None);
}

#[tokio::test]
async fn names_of_events_come_in_three_casings() {
    for (casing, names, partner) in [
        ("pascal", ["EventName", "ResourceUri"], false),
        ("camel", ["eventName", "resourceUri"], true),
        ("mixed", ["eventName", "ResourceUri"], false),
    ] {
        let page = Page::with(json!({ "webhook_casing": casing })).await;
        let (receiver, mut arrivals) = receiver(StatusCode::OK).await;
        register(&page, &receiver, true).await;
        page.arrives(json!({})).await;
        let (_, event) = next(&mut arrivals).await;
        for name in names {
            assert!(event[name].is_string(), "{casing}: {event}");
        }
        assert_eq!(event["partnerId"].is_string(), partner, "{casing}: {event}");
    }
}

#[tokio::test]
async fn an_event_is_tried_ten_times_and_then_given_up() {
    let page = Page::open().await;
    let (receiver, mut arrivals) = receiver(StatusCode::SERVICE_UNAVAILABLE).await;
    register(&page, &receiver, true).await;
    page.arrives(json!({})).await;
    let mut bodies = Vec::new();
    for _ in 0..10 {
        bodies.push(next(&mut arrivals).await.1);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same event");
    let state = loop {
        let state = page.act("GET", "/partner-center/deliveries", Json::Null).await;
        if state["waiting"] == 0 {
            break state;
        }
    };
    assert_eq!(state["given_up"].as_array().map(Vec::len), Some(1));
    assert!(arrivals.try_recv().is_err(), "not an eleventh time");
}

#[tokio::test]
async fn deliveries_are_doubled_reordered_dropped_delayed_and_forged() {
    let page = Page::open().await;
    let (receiver, mut arrivals) = receiver(StatusCode::OK).await;
    register(&page, &receiver, true).await;
    let faults = async |faults: Json| page.act("PUT", "/partner-center/deliveries", faults).await;

    faults(json!({ "duplicate": true })).await;
    page.arrives(json!({})).await;
    let (_, first) = next(&mut arrivals).await;
    assert_eq!(next(&mut arrivals).await.1, first, "twice");

    faults(json!({ "drop_next": 1 })).await;
    page.arrives(json!({})).await;
    let second = page.arrives(json!({})).await;
    let (_, event) = next(&mut arrivals).await;
    assert!(text(&event, "ResourceUri").ends_with(&second), "the first one was lost");

    faults(json!({ "delay_secs": 3600, "reorder": true })).await;
    let early = page.arrives(json!({})).await;
    let late = page.arrives(json!({})).await;
    let waiting = page.act("GET", "/partner-center/deliveries", Json::Null).await;
    assert_eq!(waiting["waiting"], 2, "held back: {waiting}");
    assert_eq!(waiting["faults"]["delay_secs"], 3600, "{waiting}");
    assert!(arrivals.try_recv().is_err());
    page.advance(3600).await;
    for id in [&late, &early] {
        let (_, event) = next(&mut arrivals).await;
        assert!(text(&event, "ResourceUri").ends_with(id.as_str()), "the later one first");
    }

    let signature = |headers: &HeaderMap| headers["x-ms-signature"].clone();
    faults(json!({ "duplicate": true, "wrong_signature": true })).await;
    page.arrives(json!({})).await;
    let (forged, _) = next(&mut arrivals).await;
    next(&mut arrivals).await;
    faults(json!({ "wrong_signature": true })).await;
    page.arrives(json!({})).await;
    let (again, _) = next(&mut arrivals).await;
    assert_eq!(signature(&forged), signature(&again), "of other bytes than those sent");
    let unknown = page.control("PUT", "/partner-center/deliveries", &json!({ "lose": 1 })).await;
    assert_eq!(unknown.status, 422, "a fault that does not exist");
    let list = page.get(REFERRALS).await.json();
    assert_eq!(list["value"].as_array().map(Vec::len), Some(7), "none of it touched the referrals");
}
