//! Passes deliveries that say nothing to us on to another tool, as they came.
//!
//! * The address comes from the configuration, never from a delivery.
//! * Best effort: nothing is repeated, and what comes faster than it can be passed on is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use url::Url;

use crate::connect::http::{Call, Http, HttpSettings};
use crate::domain::clock::Clock;
use crate::ingress::Relay;
use crate::telemetry::metrics::Metrics;

/// Deliveries on their way at once; the next one is dropped.
const MOST_IN_FLIGHT: usize = 16;
/// How long one may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest answer read.
const ANSWER_BYTES: usize = 64 << 10;
/// What the other tool needs to check the signature over the raw body.
const PASSED_ON: [&str; 4] =
    ["authorization", "x-ms-signature", "x-ms-certificate-url", "x-ms-signature-algorithm"];

/// Passes deliveries of one account on to one address.
pub(super) struct HttpRelay {
    account: String,
    address: Url,
    http: Http,
    places: Semaphore,
    metrics: Arc<Metrics>,
}

impl HttpRelay {
    /// A relay to `address`.
    ///
    /// # Errors
    ///
    /// A sentence if TLS cannot be set up.
    pub(super) fn new(
        account: &str,
        address: &Url,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let settings = HttpSettings {
            timeout: DEADLINE,
            in_flight: MOST_IN_FLIGHT,
            body_bytes: ANSWER_BYTES,
            ..HttpSettings::default()
        };
        Ok(Self {
            account: account.to_owned(),
            address: address.clone(),
            http: Http::new(&settings, clock)?,
            places: Semaphore::new(MOST_IN_FLIGHT),
            metrics,
        })
    }

    /// Sends one delivery; the word is how it went.
    async fn send(&self, headers: &[(String, String)], body: Bytes) -> &'static str {
        let Ok(_place) = self.places.try_acquire() else {
            tracing::warn!("A delivery was not passed on: {MOST_IN_FLIGHT} are on their way");
            return "dropped";
        };
        let content_type = text(headers, "content-type").unwrap_or("application/json");
        let mut call = Call::write("POST", self.address.clone()).body(content_type, body);
        for name in PASSED_ON {
            if let Some(value) = text(headers, name) {
                call = call.header(name, value);
            }
        }
        match self.http.send(call).await {
            Ok(answer) if answer.is_success() => "passed_on",
            Ok(answer) => {
                tracing::warn!("A delivery that was passed on was answered {}", answer.status);
                "refused"
            }
            Err(fault) => {
                tracing::warn!("A delivery could not be passed on: {fault}");
                "failed"
            }
        }
    }
}

#[async_trait::async_trait]
impl Relay for HttpRelay {
    async fn pass_on(&self, headers: Vec<(String, String)>, body: Bytes) {
        let outcome = self.send(&headers, body).await;
        self.metrics.relayed(&self.account, outcome);
    }
}

/// The first header of that name.
fn text<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let same = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
    headers.iter().find(same).map(|(_, value)| value.as_str())
}
