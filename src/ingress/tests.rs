use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::{Door, Entrance, Tally};
use crate::connect::webhook::{Delivery, Hint, Refused, WebhookSource};
use crate::domain::clock::Clock;
use crate::domain::id::AccountName;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::memory::MemoryStore;

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
    _store: Arc<MemoryStore>,
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
        Self { _store: store, counted, router: Arc::new(door).router() }
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
