//! One request to the Web API: token, headers, limits, and errors by their code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use url::Url;

use super::auth::Entra;
use super::limits::{Budget, Parallelism};
use super::odata;
use super::settings::Settings;
use super::wire::{self, Condition, Failure};
use crate::connect::crm::Quota;
use crate::connect::error::ConnectError;
use crate::connect::http::{Answer, Call, Http, Purpose, Token, TokenCache};
use crate::domain::clock::{Clock, Randomness};
use crate::domain::time::Timestamp;

/// The mark of our own writes.
pub(super) const TAG: &str = "cosell-sync";

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: Url,
    pub(super) purpose: Purpose,
    pub(super) condition: Condition,
    /// Preferences, sent as one header.
    pub(super) prefer: Vec<String>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Content type and body.
    pub(super) body: Option<(String, Bytes)>,
    /// How many operations it counts for: the parts of a batch count one by one.
    pub(super) operations: u64,
}

impl Request {
    /// A request that changes nothing.
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: "GET",
            url,
            purpose: Purpose::Read,
            condition: Condition::None,
            prefer: Vec::new(),
            headers: Vec::new(),
            body: None,
            operations: 1,
        }
    }

    /// A request that may change something.
    pub(super) fn write(method: &'static str, url: Url, json: &Json) -> Self {
        Self {
            method,
            purpose: Purpose::Write,
            body: Some(("application/json".to_owned(), Bytes::from(json.to_string()))),
            ..Self::get(url)
        }
    }

    /// Adds a preference.
    pub(super) fn prefer(mut self, preference: impl Into<String>) -> Self {
        self.prefer.push(preference.into());
        self
    }

    /// Marks a write of a row as ours: plug-ins and webhooks find the mark in the shared variables.
    pub(super) fn tagged(mut self) -> Self {
        self.url.query_pairs_mut().append_pair("tag", TAG);
        self
    }

    /// Makes it conditional.
    pub(super) fn on(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The headers besides authorization, content type and length, also for a part of a batch.
    pub(super) fn own_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.headers.clone();
        match &self.condition {
            Condition::IfMatch(version) => headers.push(("if-match", version.clone())),
            Condition::IfNoneMatch => headers.push(("if-none-match", "*".to_owned())),
            // The literal word keeps caches on the way from answering.
            Condition::None if self.method == "GET" => {
                headers.push(("if-none-match", "null".to_owned()));
            }
            Condition::None => {}
        }
        if !self.prefer.is_empty() {
            headers.push(("prefer", self.prefer.join(",")));
        }
        headers
    }

    fn call(&self, token: &Token) -> Call {
        let new = if self.purpose == Purpose::Read { Call::read } else { Call::write };
        let mut call = new(self.method, self.url.clone())
            .bearer(&token.secret)
            .header("accept", "application/json")
            .header("odata-version", "4.0")
            .header("odata-maxversion", "4.0");
        for (name, value) in self.own_headers() {
            call = call.header(name, value);
        }
        match &self.body {
            Some((content_type, body)) => call.body(content_type, body.clone()),
            None => call,
        }
    }
}

/// Speaks to one environment as one application user.
pub(super) struct Client {
    http: Http,
    tokens: TokenCache<Entra>,
    api: Url,
    budget: Budget,
    parallelism: Parallelism,
    throttles: AtomicU32,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("api", &self.api.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds it; nothing is sent yet.
    pub(super) fn new(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, String> {
        let api = Url::parse(&format!("{}/api/data/v9.2/", settings.root()?))
            .map_err(|error| format!("the Dynamics 365 address cannot be used: {error}"))?;
        Ok(Self {
            http: Http::new(&settings.http, Arc::clone(&clock))?,
            tokens: TokenCache::new(Entra::new(settings, clock, randomness)?),
            api,
            budget: Budget::new(
                settings.daily_budget - settings.daily_reserve,
                settings.ledger.clone(),
            ),
            parallelism: Parallelism::new(settings.http.in_flight),
            throttles: AtomicU32::new(0),
        })
    }

    /// The Web API's root, with a trailing slash.
    pub(super) fn api(&self) -> &Url {
        &self.api
    }

    /// Requests of the last day and how many may be made.
    pub(super) fn budget(&self) -> (u64, u64) {
        self.budget.state()
    }

    /// Where our own daily budget stands.
    pub(super) fn quota(&self) -> Quota {
        self.budget.quota(self.now())
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        self.http.clock().now()
    }

    /// Waits on the clock of this client.
    pub(super) async fn sleep(&self, wait: Duration) {
        self.http.clock().sleep(wait).await;
    }

    /// An address below the root; `rest` is already encoded.
    pub(super) fn url(&self, rest: &str) -> Result<Url, ConnectError> {
        odata::address(&self.api, rest)
    }

    /// Sends a request; anything but a 2xx is an error by its class.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, ConnectError> {
        let answer = self.exchange(request).await?;
        if answer.is_success() { Ok(answer) } else { Err(self.failed(request, &answer)) }
    }

    /// Sends a request and hands over whatever was answered, after one token refresh on a 401.
    pub(super) async fn exchange(&self, request: &Request) -> Result<Answer, ConnectError> {
        self.budget.spend(request.operations, self.now()).await?;
        let _place = self.parallelism.enter().await;
        let token = self.tokens.token().await?;
        let mut answer = self.once(request, &token).await?;
        if answer.status == 401 {
            // Refused at the door: nothing was done, so sending it again is safe.
            self.tokens.refused(&token).await;
            let fresh = self.tokens.token().await?;
            answer = self.once(request, &fresh).await?;
        }
        if answer.is_success() {
            self.throttles.store(0, Ordering::Relaxed);
            let hint = answer.header("x-ms-dop-hint").and_then(|hint| hint.trim().parse().ok());
            self.parallelism.good(hint);
        }
        Ok(answer)
    }

    async fn once(&self, request: &Request, token: &Token) -> Result<Answer, ConnectError> {
        self.http.send(request.call(token)).await.map_err(|error| match (request.purpose, error) {
            // An answer that cannot be taken is still an answer: the write may have landed.
            (Purpose::Write, ConnectError::Broken(what)) => ConnectError::Unknown(what),
            (_, error) => error,
        })
    }

    /// Sorts an error answer and closes the gate if it asks for a wait.
    pub(super) fn failed(&self, request: &Request, answer: &Answer) -> ConnectError {
        let request_id = ["x-ms-service-request-id", "req_id"]
            .into_iter()
            .find_map(|name| answer.header(name))
            .map(str::to_owned);
        let failure = Failure {
            status: answer.status,
            body: answer.body.to_vec(),
            wait: answer.retry_after(self.http.clock().now()),
            request_id,
        };
        self.sort(request.purpose, &request.condition, &failure)
    }

    /// As [`Client::failed`], for a part of a batch.
    pub(super) fn sort(
        &self,
        purpose: Purpose,
        condition: &Condition,
        failure: &Failure,
    ) -> ConnectError {
        let earlier = self.throttles.load(Ordering::Relaxed);
        let backoff = Duration::from_secs(1 << (earlier + 1).min(9));
        let error = wire::classify(purpose, condition, failure, backoff);
        if let ConnectError::Throttled(wait) = &error {
            self.throttles.fetch_add(1, Ordering::Relaxed);
            self.http.close_gate(*wait);
            if wire::is_too_many_at_once(failure) {
                self.parallelism.shrink();
            }
        }
        error
    }

    /// Reads JSON.
    pub(super) async fn read(&self, request: &Request) -> Result<Json, ConnectError> {
        let answer = self.send(request).await?;
        wire::exact_json(&answer.body)
            .ok_or_else(|| ConnectError::Broken("an answer that should be JSON is not".to_owned()))
    }

    /// Reads JSON from an address below the root.
    pub(super) async fn get(&self, rest: &str) -> Result<Json, ConnectError> {
        self.read(&Request::get(self.url(rest)?)).await
    }

    /// Reads a list from an address below the root; `None` if there is no such thing.
    pub(super) async fn find(&self, rest: &str) -> Result<Option<Json>, ConnectError> {
        match self.get(rest).await {
            Ok(json) => Ok(Some(json)),
            Err(ConnectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The rows of a collection; broken if there are none to be had.
pub(super) fn rows(json: &Json) -> Result<&Vec<Json>, ConnectError> {
    json.get("value")
        .and_then(Json::as_array)
        .ok_or_else(|| ConnectError::Broken("an answer without `value`".to_owned()))
}

/// The id of the row that a create made, from its `OData-EntityId`.
pub(super) fn made_id(answer: &Answer) -> Option<String> {
    let (_, end) = answer.header("odata-entityid")?.rsplit_once('(')?;
    odata::guid(end.strip_suffix(')')?)
}

/// A member as text, or empty.
pub(super) fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}
