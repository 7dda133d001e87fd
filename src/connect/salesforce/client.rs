//! One signed-in call, with the quota and one new sign-in after a 401.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::auth::SignIn;
use super::identity::Identity;
use super::limits::{Budget, Lane, QUOTA_WAIT};
use super::settings::{RefreshTokenVault, Settings};
use super::wire::{self, Failure};
use crate::connect::crm::{Probe, Quota};
use crate::connect::error::ConnectError;
use crate::connect::http::{Answer, Call, Http, Purpose, Token, TokenCache};
use crate::domain::clock::{Clock, Randomness};
use crate::domain::secret::SecretString;
use crate::domain::time::Timestamp;

/// One call, without its session.
#[derive(Debug)]
pub(super) struct Request {
    method: &'static str,
    purpose: Purpose,
    path: String,
    body: Body,
    headers: Vec<(&'static str, String)>,
    lane: Lane,
}

#[derive(Debug)]
enum Body {
    None,
    Json(Json),
}

impl Request {
    /// Reads; `path` is absolute on the organisation's host, encoded.
    pub(super) fn get(path: String) -> Self {
        Self {
            method: "GET",
            purpose: Purpose::Read,
            path,
            body: Body::None,
            headers: Vec::new(),
            lane: Lane::Foreground,
        }
    }

    /// Changes something.
    pub(super) fn write(method: &'static str, path: String, body: Json) -> Self {
        Self { method, purpose: Purpose::Write, body: Body::Json(body), ..Self::get(path) }
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Stops at the reserve for people.
    pub(super) fn in_background(mut self) -> Self {
        self.lane = Lane::Background;
        self
    }
}

/// When an answer was made, as far as we can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// The server's clock, whole seconds.
    pub(super) date: Option<Timestamp>,
    /// How long the call took: what was read may be this much older.
    pub(super) elapsed: Duration,
}

/// An answer with its moment.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer.
    pub(super) answer: Answer,
    /// When.
    pub(super) moment: Moment,
    purpose: Purpose,
}

/// The calls to one organisation.
pub(super) struct Client {
    settings: Arc<Settings>,
    http: Arc<Http>,
    tokens: TokenCache<SignIn>,
    budget: Budget,
    server_ahead_millis: Mutex<Option<i64>>,
    calls: AtomicU64,
    randomness: Arc<dyn Randomness>,
}

impl Client {
    /// Sets up the client; nothing is called.
    pub(super) fn new(
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        vault: Option<Arc<dyn RefreshTokenVault>>,
    ) -> Result<Self, String> {
        let http = Arc::new(Http::new(&settings.http, clock)?);
        let sign_in = SignIn::new(settings.clone(), http.clone(), vault)?;
        Ok(Self {
            budget: Budget::new(settings.people_reserve, settings.hard_reserve),
            tokens: TokenCache::new(sign_in),
            server_ahead_millis: Mutex::new(None),
            calls: AtomicU64::new(0),
            settings,
            http,
            randomness,
        })
    }

    /// The settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Calls made, sign-ins included.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed) + self.tokens.source().calls()
    }

    /// `/services/data/vXX.0` followed by `rest`.
    pub(super) fn data(&self, rest: &str) -> String {
        format!("{}{rest}", self.settings.data_path())
    }

    /// Sends a call and returns its answer whatever its status, but for sessions and limits.
    pub(super) async fn send(&self, request: &Request) -> Result<Reply, ConnectError> {
        self.budget.admit(request.lane, self.http.clock().now())?;
        let token = self.tokens.token().await?;
        let reply = self.exchange(request, &token).await?;
        if reply.answer.status != 401 {
            return Ok(reply);
        }
        // A call that got 401 was not carried out, so even a write may be sent again.
        self.tokens.refused(&token).await;
        let token = self.tokens.token().await?;
        let reply = self.exchange(request, &token).await?;
        if reply.answer.status == 401 {
            self.tokens.refused(&token).await;
            return Err(reply.failure(self).class());
        }
        Ok(reply)
    }

    /// Sends a call and returns the JSON of its success.
    pub(super) async fn json(&self, request: &Request) -> Result<(Json, Moment), ConnectError> {
        let reply = self.send(request).await?;
        self.success(&reply)
    }

    /// The JSON of an answer that is a success.
    pub(super) fn success(&self, reply: &Reply) -> Result<(Json, Moment), ConnectError> {
        if !reply.answer.is_success() {
            return Err(self.refused(reply));
        }
        let json = reply.answer.json().ok_or_else(|| reply.failure_without_body().class())?;
        Ok((json, reply.moment))
    }

    /// The class of an answer that is no success; a spent quota closes the gate for everything.
    pub(super) fn refused(&self, reply: &Reply) -> ConnectError {
        let class = reply.failure(self).class();
        if let ConnectError::Throttled(wait) = &class {
            self.http.close_gate((*wait).min(QUOTA_WAIT));
        }
        class
    }

    async fn exchange(&self, request: &Request, token: &Token) -> Result<Reply, ConnectError> {
        let base = token.instance.as_ref().unwrap_or(&self.settings.url);
        let url = base.join(&request.path).map_err(|_| unsendable(&request.path))?;
        let mut call = match request.purpose {
            Purpose::Read => Call::read(request.method, url),
            Purpose::Write => Call::write(request.method, url),
        };
        call = call
            .bearer(&token.secret)
            .header("sforce-call-options", format!("client={}", self.settings.client_name));
        for (name, value) in &request.headers {
            call = call.header(name, value.clone());
        }
        if let Body::Json(json) = &request.body {
            call = call.json(json);
        }
        self.timed(call, request.purpose).await
    }

    async fn timed(&self, call: Call, purpose: Purpose) -> Result<Reply, ConnectError> {
        let before = self.http.clock().now();
        let answer = self.http.send(call).await;
        // While the gate is closed nothing is sent.
        let sent = !matches!(answer, Err(ConnectError::Throttled(_)));
        self.calls.fetch_add(u64::from(sent), Ordering::Relaxed);
        let answer = answer.map_err(|error| match (purpose, error) {
            // The answer to a write was too long to be read: it may have landed.
            (Purpose::Write, ConnectError::Broken(text)) => ConnectError::Unknown(text),
            (_, error) => error,
        })?;
        let now = self.http.clock().now();
        self.budget.note(answer.header("sforce-limit-info"), now);
        let moment = Moment { date: answer.date(), elapsed: now.since(before) };
        if let Some(date) = moment.date {
            let mut ahead = self.server_ahead_millis.lock().unwrap_or_else(PoisonError::into_inner);
            *ahead = Some(ahead_by(*ahead, date.as_millis() - now.as_millis()));
        }
        Ok(Reply { answer, moment, purpose })
    }

    /// Sends a SOAP envelope that carries the session itself; `envelope` is given the session.
    pub(super) async fn soap(
        &self,
        path: &str,
        action: &'static str,
        envelope: &(dyn Fn(&SecretString) -> String + Sync),
    ) -> Result<Reply, ConnectError> {
        self.budget.admit(Lane::Foreground, self.http.clock().now())?;
        let token = self.tokens.token().await?;
        let base = token.instance.as_ref().unwrap_or(&self.settings.url);
        let url = base.join(path).map_err(|_| unsendable(path))?;
        let call = Call::write("POST", url)
            .header("soapaction", format!("\"{action}\""))
            .body("text/xml; charset=UTF-8", envelope(&token.secret));
        self.timed(call, Purpose::Write).await
    }

    /// A session for a protocol that is not HTTP/1.1.
    #[cfg(feature = "pubsub")]
    pub(super) async fn session(&self) -> Result<Token, ConnectError> {
        self.tokens.token().await
    }

    /// Forgets a session that was refused there.
    #[cfg(feature = "pubsub")]
    pub(super) async fn session_refused(&self, token: &Token) {
        self.tokens.refused(token).await;
    }

    /// The clock that calls go by.
    #[cfg(feature = "pubsub")]
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.http.clock()
    }

    /// Forgets the session, so that the next call signs in afresh.
    pub(super) async fn forget_session(&self) {
        self.tokens.forget().await;
    }

    /// Who we are; signs in if that has not happened yet.
    pub(super) async fn identity(&self) -> Result<Identity, ConnectError> {
        if let Some(identity) = self.tokens.source().identity() {
            return Ok(identity);
        }
        self.tokens.token().await?;
        self.tokens
            .source()
            .identity()
            .ok_or_else(|| ConnectError::Broken("the sign-in told no identity".to_owned()))
    }

    /// Signs in and looks at the list of resources, which tells the clock, the quota and whether
    /// the version is served.
    pub(super) async fn probe(&self) -> Result<Probe, ConnectError> {
        let (_, moment) = self.json(&Request::get(self.data("/"))).await?;
        let identity = self.identity().await?;
        Ok(Probe {
            organization_id: identity.organization_id,
            user_id: identity.user_id,
            server_time: moment.date,
            budget: self.budget.usage(),
        })
    }

    /// Where the daily quota stands.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.budget.quota()
    }

    /// The server's clock now, at most a second behind; our own before the first answer.
    pub(super) fn server_now(&self) -> Timestamp {
        let ahead = *self.server_ahead_millis.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_millis(self.http.clock().now().as_millis() + ahead.unwrap_or(0))
    }

    /// The earlier of the server's clock and ours: what has happened by then is past on both. One
    /// answer of a gateway whose clock is ahead cannot lead past changes.
    pub(super) fn safe_now(&self) -> Timestamp {
        self.server_now().min(self.now())
    }

    /// Waits, a little longer by chance so that many waiters do not come back in one moment.
    pub(super) async fn wait(&self, duration: Duration) {
        let jitter = Duration::from_millis(50).mul_f64(self.randomness.unit());
        self.http.clock().sleep(duration + jitter).await;
    }

    /// Our own clock.
    pub(super) fn now(&self) -> Timestamp {
        self.http.clock().now()
    }

    /// Waits for those who are about to ask something.
    pub(super) async fn gather(&self, wait: Duration) {
        self.http.clock().sleep(wait).await;
    }

    fn quota_left(&self) -> Option<bool> {
        self.budget.usage().map(|(used, allowed)| used < allowed)
    }
}

impl Reply {
    /// What is known about an answer that is no success.
    pub(super) fn failure(&self, client: &Client) -> Failure {
        let body = self.answer.json().unwrap_or(Json::Null);
        Failure {
            purpose: self.purpose,
            status: self.answer.status,
            errors: wire::errors(&body),
            quota_left: self.answer.header("sforce-limit-info").and_then(|_| client.quota_left()),
            retry_after: self.answer.retry_after(client.http.clock().now()),
        }
    }

    /// Whether the answer is a failure with this error code.
    pub(super) fn has_code(&self, client: &Client, code: &str) -> bool {
        let failure = self.failure(client);
        !self.answer.is_success() && failure.errors.iter().any(|error| error.code == code)
    }

    /// A success whose body is not what was promised.
    fn failure_without_body(&self) -> Failure {
        Failure {
            purpose: self.purpose,
            status: self.answer.status,
            errors: Vec::new(),
            quota_left: None,
            retry_after: None,
        }
    }
}

/// How far the server's clock is ahead of ours, in milliseconds, after one more observation.
///
/// The server tells whole seconds, so each observation is up to a second too small: the largest is
/// the best, until one falls more than a second below it, which means that a clock was set.
fn ahead_by(known: Option<i64>, observed: i64) -> i64 {
    match known {
        Some(known) if (0..1000).contains(&(known - observed)) => known,
        _ => observed,
    }
}

fn unsendable(path: &str) -> ConnectError {
    let shown: String = path.chars().take(80).collect();
    ConnectError::Broken(format!("`{shown}` is no address"))
}

#[cfg(test)]
mod tests {
    use super::ahead_by;

    #[test]
    fn the_servers_clock_is_known_better_than_it_is_told() {
        let table = [
            (None, -400, -400, "the first observation"),
            (Some(-400), -900, -400, "cut to the second more than before"),
            (Some(-400), -100, -100, "cut less: closer to the truth"),
            (Some(-100), -1100, -1100, "a whole second less: a clock was set"),
            (Some(-100), 60_000, 60_000, "a clock was set the other way"),
        ];
        for (known, observed, expected, why) in table {
            assert_eq!(ahead_by(known, observed), expected, "{why}");
        }
    }
}
