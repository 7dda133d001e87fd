//! One call with its limits.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use url::Url;

use super::address;
use crate::connect::error::ConnectError;
use crate::domain::clock::Clock;
use crate::domain::time::Timestamp;

/// Limits of one system and principal.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Deadline of one whole call.
    pub timeout: Duration,
    /// Most calls per second, on average.
    pub per_second: NonZeroU32,
    /// Calls that may be made at once after a rest.
    pub burst: NonZeroU32,
    /// Most calls in flight.
    pub in_flight: usize,
    /// Longest body taken, after decompression, in bytes.
    pub body_bytes: usize,
    /// PEM certificates trusted in place of the public roots, for a staging system.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(100),
            // 19 a second and 300 at once stay within 6,000 in 300 seconds.
            per_second: NonZeroU32::new(19).unwrap_or(NonZeroU32::MIN),
            burst: NonZeroU32::new(300).unwrap_or(NonZeroU32::MIN),
            in_flight: 8,
            body_bytes: 64 << 20,
            ca_pem: None,
        }
    }
}

/// Whether a call changes anything: decides what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing changes; a lost answer is [`ConnectError::Unavailable`].
    Read,
    /// Something may change; a lost answer is [`ConnectError::Unknown`].
    Write,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    method: &'static str,
    url: Url,
    headers: Vec<(&'static str, String)>,
    bearer: Option<SecretString>,
    body: Option<Bytes>,
    purpose: Purpose,
}

impl Call {
    /// A call that reads.
    #[must_use]
    pub fn read(method: &'static str, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), bearer: None, body: None, purpose: Purpose::Read }
    }

    /// A call that may change something.
    #[must_use]
    pub fn write(method: &'static str, url: Url) -> Self {
        Self { purpose: Purpose::Write, ..Self::read(method, url) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a bearer token; refused for an address that is not safe.
    #[must_use]
    pub fn bearer(mut self, token: &SecretString) -> Self {
        self.bearer = Some(token.clone());
        self
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(self, json: &serde_json::Value) -> Self {
        self.body("application/json", json.to_string())
    }

    /// Sends a form.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            form.append_pair(name, value);
        }
        self.body("application/x-www-form-urlencoded", form.finish())
    }

    /// Sends a body of the given content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push(("content-type", content_type.to_owned()));
        self.body = Some(body.into());
        self
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, decompressed.
    pub body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `None` if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The system's clock, from the `Date` header.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(Timestamp::parse_http_date)
    }

    /// The wait that the answer asks for, see [`retry_after`].
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        self.header("retry-after").and_then(|value| retry_after(value, now))
    }
}

/// The longest wait that is kept: 15 minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Reads a `Retry-After` value as a wait measured from `now`.
///
/// Takes whole seconds or an HTTP date (RFC 9110 section 10.2.3); a date in the past is the shortest
/// wait. Clamped to 1 second to 15 minutes. `None` for anything else, when the caller backs off by
/// itself.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => Timestamp::parse_http_date(value)?.since(now),
    };
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// The client of one system and principal.
pub struct Http {
    client: reqwest::Client,
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    in_flight: Semaphore,
    body_bytes: usize,
    closed_until: Mutex<Timestamp>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// Builds the client.
    ///
    /// # Errors
    ///
    /// A sentence if the certificates of `ca_pem` cannot be read or TLS cannot be set up.
    pub fn new(settings: &HttpSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        // The second call in a process changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("cosell-sync/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &settings.ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| format!("the certificates cannot be read: {error}"))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self {
            client,
            limiter: RateLimiter::direct_with_clock(
                Quota::per_second(settings.per_second).allow_burst(settings.burst),
                MonotonicClock,
            ),
            in_flight: Semaphore::new(settings.in_flight.max(1)),
            body_bytes: settings.body_bytes,
            closed_until: Mutex::new(Timestamp::from_millis(0)),
            clock,
        })
    }

    /// Sends one call and reads its whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Throttled`] while the gate is closed; [`ConnectError::Unavailable`] if nothing
    /// can have changed; [`ConnectError::Unknown`] if a write got no answer;
    /// [`ConnectError::Broken`] for a body over the cap or an address that may not get a token.
    pub async fn send(&self, call: Call) -> Result<Answer, ConnectError> {
        if call.bearer.is_some() && !address::is_safe(&call.url) {
            return Err(ConnectError::Broken(format!("no token is sent to {}", origin(&call.url))));
        }
        self.pass_gate()?;
        self.wait_for_rate().await;
        let _permit = self
            .in_flight
            .acquire()
            .await
            .map_err(|_| ConnectError::Unavailable("the client was closed".to_owned()))?;
        self.pass_gate()?;
        self.exchange(call).await
    }

    /// Closes the gate of the whole principal for `wait`: no call is made before.
    pub fn close_gate(&self, wait: Duration) {
        let until = self.clock.now().plus(wait);
        let mut closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = until.max(*closed);
    }

    /// The clock that this client goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn pass_gate(&self) -> Result<(), ConnectError> {
        let closed = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = closed.since(self.clock.now());
        // More than can have been asked for: our clock was set back.
        if left.is_zero() || left > LONGEST_WAIT {
            Ok(())
        } else {
            Err(ConnectError::Throttled(left))
        }
    }

    async fn wait_for_rate(&self) {
        while let Err(not_yet) = self.limiter.check() {
            let wait = not_yet.wait_time_from(MonotonicClock.now());
            self.clock.sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    async fn exchange(&self, call: Call) -> Result<Answer, ConnectError> {
        let purpose = call.purpose;
        let place = origin(&call.url);
        let request = self.request(call)?;
        let response = request.send().await.map_err(|error| lost(purpose, &place, &error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.body(response).await.map_err(|lost_body| match lost_body {
            LostBody::TooLong => ConnectError::Broken(format!(
                "{place} answered more than {} bytes",
                self.body_bytes
            )),
            LostBody::Transport(error) => lost(purpose, &place, &error),
        })?;
        Ok(Answer { status, body, headers })
    }

    fn request(&self, call: Call) -> Result<reqwest::RequestBuilder, ConnectError> {
        let broken = |what: &str| ConnectError::Broken(format!("{what} cannot be sent"));
        let method = reqwest::Method::from_bytes(call.method.as_bytes())
            .map_err(|_| broken("the method"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value).map_err(|_| broken(name))?;
            headers.append(HeaderName::from_static(name), value);
        }
        let mut request = self.client.request(method, call.url).headers(headers);
        if let Some(token) = &call.bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        Ok(request)
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, LostBody> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(LostBody::Transport)? {
            if body.len() + chunk.len() > self.body_bytes {
                return Err(LostBody::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

enum LostBody {
    TooLong,
    Transport(reqwest::Error),
}

/// Scheme, host and port: enough to know who it was, without secrets of a path or query.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Sorts a transport fault: a connection that was never made changed nothing.
fn lost(purpose: Purpose, place: &str, error: &reqwest::Error) -> ConnectError {
    let kind = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "cannot be reached"
    } else {
        "broke off"
    };
    let text = format!("{place} {kind}");
    if purpose == Purpose::Write && !error.is_connect() {
        ConnectError::Unknown(text)
    } else {
        ConnectError::Unavailable(text)
    }
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::retry_after;
    use crate::domain::time::Timestamp;

    #[test]
    fn every_form_of_retry_after_is_read_and_clamped() {
        let now = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let secs = |secs| Some(Duration::from_secs(secs));
        let table = [
            ("7", secs(7), "seconds"),
            ("0", secs(1), "never hammer"),
            ("315360000", secs(900), "ten years are clamped"),
            ("Tue, 01 Sep 2026 10:00:30 GMT", secs(30), "a date"),
            ("Tue, 01 Sep 2026 09:00:00 GMT", secs(1), "a date in the past"),
            ("-1", None, "negative"),
            ("soon", None, "garbage"),
        ];
        for (value, expected, why) in table {
            assert_eq!(retry_after(value, now), expected, "{value}: {why}");
        }
    }
}
