//! Faults, surprises, and the small interfaces.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::super::Fraction;
use super::super::filter::instant;
use super::{REFERRALS, World, loopback, replace};
use crate::connect::sandbox::{Fault, FaultEffect};
use crate::domain::time::Timestamp;

#[tokio::test]
async fn throttling_has_the_gateways_body_and_does_not_land() {
    let world = World::new();
    world.sandbox.throttle(REFERRALS, 2, Duration::from_secs(57));
    for _ in 0..2 {
        let answer = world.create(&super::deal()).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.header("retry-after"), Some("57"));
        let message = "Rate limit is exceeded. Try again in 57 seconds.";
        assert_eq!(answer.json(), json!({ "statusCode": 429, "message": message }));
    }
    assert_eq!(world.sandbox.write_count(), 0);
    assert_eq!(world.create(&super::deal()).await.status, StatusCode::OK);
    assert_eq!(world.sandbox.write_count(), 1);
}

#[tokio::test]
async fn unavailable_comes_with_and_without_a_wait() {
    let world = World::new();
    for wait in [Some("3".to_owned()), None] {
        let effect = FaultEffect::Answer {
            status: 503,
            retry_after: wait.clone(),
            content_type: "text/html".to_owned(),
            body: "<html>busy</html>".to_owned(),
        };
        world.sandbox.faults().add(Fault::once("GET", "/referrals", effect));
        let answer = world.get(REFERRALS).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), wait.as_deref());
        assert_eq!(answer.header("content-type"), Some("text/html"));
    }
    assert!(!world.sandbox.request_log().iter().any(|request| request.landed));
}

#[tokio::test]
async fn a_write_can_land_without_an_answer() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new();
    let (id, _) = world.deal(true).await;
    let serving = world.sandbox.serve(loopback()).await.expect("a port");
    world.sandbox.faults().add(Fault::once("PATCH", &id, FaultEffect::ApplyThenDrop));
    let token = world.sandbox.access_token(super::REFERRALS_AUDIENCE);
    let answer = reqwest::Client::new()
        .patch(format!("{}{REFERRALS}/{id}", serving.url()))
        .bearer_auth(token)
        .json(&json!([replace("/details/notes", json!("landed"))]))
        .send()
        .await;
    assert!(answer.is_err(), "the connection was closed");
    assert_eq!(world.stored(&id)["details"]["notes"], "landed");
    let last = world.sandbox.request_log().pop().expect("a request");
    assert!(last.landed && last.status == 204, "{last:?}");
}

#[tokio::test]
async fn errors_can_be_pages_and_answers_can_surprise() {
    let world = World::with(|options| {
        options.html_errors = true;
        options.surprises = true;
    });
    let answer = world.get(&format!("{REFERRALS}/nothing")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text.starts_with("<html>"), "{}", answer.text);
    world.sandbox.seed_incoming(json!({}));
    let item = world.get(REFERRALS).await.json()["value"][0].clone();
    assert_eq!(item["quality"], "Platinum", "a word that no list has");
    assert!(item["futureProgram"].is_array(), "a field that no list has");
}

#[tokio::test]
async fn timestamps_vary_in_length_and_never_go_back() {
    let world = World::new();
    let stamps: Vec<String> = (0..12)
        .map(|_| {
            let id = world.sandbox.seed_incoming(json!({}));
            world.stored(id.as_str())["updatedDateTime"].as_str().expect("text").to_owned()
        })
        .collect();
    assert!(stamps.iter().all(|stamp| Timestamp::parse(stamp) == Some(world.clock.now())));
    let lengths: std::collections::BTreeSet<usize> = stamps.iter().map(String::len).collect();
    assert!(lengths.len() > 1, "six and seven digits: {stamps:?}");
    let moments: Vec<_> = stamps.iter().map(|stamp| instant(stamp)).collect();
    assert!(moments.is_sorted_by(|earlier, later| earlier < later), "{stamps:?}");
    for (digits, expected) in [(0, "2026-09-01T10:00:00Z"), (3, "2026-09-01T10:00:00.120Z")] {
        world.sandbox.set_options(|options| options.fraction = Fraction::Fixed(digits));
        let id = world.sandbox.seed_incoming(json!({}));
        assert_eq!(world.stored(id.as_str())["updatedDateTime"], expected);
    }
}

#[tokio::test]
async fn partner_ids_are_looked_up() {
    let world = World::new();
    let own = world.get("/v1/profiles/mpn").await.json();
    assert_eq!((&own["mpnId"], &own["partnerName"]), (&json!("1234567"), &json!("Contoso")));
    let other = world.get("/v1/profiles/mpn?mpnId=7654321").await.json();
    assert_eq!(other["partnerName"], "Fabrikam");
    let none = world.get("/v1/profiles/mpn?mpnId=1").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!((&none.json()["code"], &none.json()["source"]), (&json!(3000), &json!("PartnerFD")));
}

#[tokio::test]
async fn audit_records_have_pages_and_a_horizon() {
    let world = World::new();
    for _ in 0..3 {
        world.sandbox.seed_incoming(json!({}));
    }
    let first = world.get("/v1/auditrecords?size=2").await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let token = first["links"]["next"]["headers"][0]["value"].as_str().expect("a token");
    let path = format!("/v1{}", first["links"]["next"]["uri"].as_str().expect("an address"));
    let next = world.call("GET", &path, &[("ms-continuationtoken", token)], &Json::Null).await;
    assert_eq!(next.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(next.json()["links"]["next"], Json::Null);
    let old = world.get("/v1/auditrecords?startDate=2026-01-01").await;
    assert_eq!(old.status, StatusCode::BAD_REQUEST, "older than 90 days");
    world.clock.advance(Duration::from_secs(40 * 86_400));
    let later = world.get("/v1/auditrecords?startDate=2026-08-31").await.json();
    assert_eq!(later["totalCount"], 6, "the three and their expiry");
}

#[tokio::test]
async fn answers_carry_ids_and_the_emulated_time() {
    let world = World::new();
    let headers = [("client-request-id", "c1"), ("ms-correlationid", "c2")];
    let answer = world.call("GET", REFERRALS, &headers, &Json::Null).await;
    assert_eq!(answer.header("client-request-id"), Some("c1"));
    assert!(answer.header("request-id").is_some());
    assert_eq!(answer.header("date"), Some("Tue, 01 Sep 2026 10:00:00 GMT"));
    let answer = world.call("GET", "/v1/profiles/mpn", &headers, &Json::Null).await;
    assert_eq!(answer.header("ms-correlationid"), Some("c2"));
}
