//! The door with sources of its own making: what it counts, records and takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use cosell_sync::connect::webhook::{Delivery, Hint, Refused, WebhookSource};
use cosell_sync::domain::clock::Clock;
use cosell_sync::domain::id::AccountName;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::ingress::{Door, Entrance, Tally};
use cosell_sync::store::memory::MemoryStore;
use cosell_sync::store::{AuditQuery, Store};

/// Stands still.
struct Still;

#[async_trait::async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    async fn sleep(&self, _duration: std::time::Duration) {}
}

/// Takes everything but the body `junk`.
struct Genuine;

#[async_trait::async_trait]
impl WebhookSource for Genuine {
    async fn accept(
        &self,
        _headers: &[(String, String)],
        _query: Option<&str>,
        body: &Bytes,
    ) -> Result<Delivery, Refused> {
        if body.starts_with(b"junk") {
            return Err(Refused::NotAnEvent("the body is not JSON".to_owned()));
        }
        let hints = vec![Hint::Unused { event: "test".to_owned() }];
        Ok(Delivery { hints, fingerprint: "0".to_owned(), answer: None })
    }
}

/// What was counted, by system and status.
#[derive(Default)]
struct Counted(Mutex<BTreeMap<(String, u16), u64>>);

impl Tally for Counted {
    fn answered(&self, system: &str, status: u16) {
        *self.0.lock().expect("a lock").entry((system.to_owned(), status)).or_default() += 1;
    }
}

struct Place {
    store: Arc<MemoryStore>,
    counted: Arc<Counted>,
    router: axum::Router,
}

impl Place {
    /// A door with one entrance for each system.
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let counted = Arc::new(Counted::default());
        let entrances = ["partner-center", "dynamics365", "salesforce"].map(|system| {
            let source = Arc::new(Genuine);
            let entrance = Entrance { source, path_secret: None, relay: None };
            (system.to_owned(), AccountName::new("contoso"), entrance)
        });
        let door = Door::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::new(Still),
            Arc::new(Notify::new()),
            Arc::clone(&counted) as Arc<dyn Tally>,
            entrances.into(),
        );
        Self { store, counted, router: Arc::new(door).router() }
    }

    async fn send(&self, path: &str, kind: &str, body: &str) -> u16 {
        let request = Request::post(path).header("content-type", kind);
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer").status().as_u16()
    }

    fn counted(&self) -> Vec<(String, u16, u64)> {
        let counted = self.counted.0.lock().expect("a lock");
        counted.iter().map(|((system, status), count)| (system.clone(), *status, *count)).collect()
    }
}

#[tokio::test]
async fn a_stranger_cannot_choose_what_is_counted() {
    let place = Place::new();
    for number in 0..5_000 {
        for path in [
            format!("/webhooks/odd-{number}/contoso"),
            format!("/webhooks/partner-center/odd/{number}"),
        ] {
            assert_eq!(place.send(&path, "application/json", "{}").await, 404, "{path}");
        }
    }
    let own = place.send("/webhooks/partner-center/contoso", "application/json", "{}").await;
    assert_eq!(own, 200);
    let expected = [("partner-center".to_owned(), 200, 1), ("unknown".to_owned(), 404, 10_000)];
    assert_eq!(place.counted(), expected);
}

#[tokio::test]
async fn the_trail_names_the_sender_and_each_delivery_once() {
    let place = Place::new();
    for _ in 0..3 {
        for (path, kind) in [
            ("/webhooks/partner-center/contoso", "application/json"),
            ("/webhooks/dynamics365/contoso", "application/json"),
            ("/webhooks/salesforce/contoso", "text/xml"),
        ] {
            assert_eq!(place.send(path, kind, "junk").await, 400, "{path}");
        }
    }
    let everything = AuditQuery { limit: 100, ..AuditQuery::default() };
    let entries = place.store.audit(&everything).await.expect("the trail");
    let mut actors: Vec<String> = entries.into_iter().map(|entry| entry.entry.actor).collect();
    actors.sort();
    assert_eq!(actors, ["dynamics365", "partner_center", "salesforce"]);
}

#[tokio::test]
async fn every_system_has_its_content_type() {
    let place = Place::new();
    let table = [
        ("partner-center", "application/json; charset=utf-8", 200),
        ("partner-center", "text/xml", 415),
        ("dynamics365", "application/json", 200),
        ("dynamics365", "text/xml", 415),
        ("salesforce", "text/xml; charset=UTF-8", 200),
        ("salesforce", "application/json", 415),
        ("salesforce", "text/xml; charset=latin1", 415),
    ];
    for (system, kind, expected) in table {
        let status = place.send(&format!("/webhooks/{system}/contoso"), kind, "{}").await;
        assert_eq!(status, expected, "{system} {kind}");
    }
}

#[tokio::test]
async fn dataverse_may_send_longer_bodies() {
    let place = Place::new();
    let table = [
        ("partner-center", 64, 200, "as long as may be"),
        ("partner-center", 65, 413, "nothing of theirs is that long"),
        ("dynamics365", 256, 200, "the platform strips what is longer"),
        ("dynamics365", 257, 413, "so nobody sends this"),
        ("salesforce", 65, 413, "nothing of theirs is that long"),
    ];
    for (system, kibibytes, expected, why) in table {
        let kind = if system == "salesforce" { "text/xml" } else { "application/json" };
        let body = " ".repeat(kibibytes * 1024);
        let status = place.send(&format!("/webhooks/{system}/contoso"), kind, &body).await;
        assert_eq!(status, expected, "{system} {kibibytes} KiB: {why}");
    }
}
