//! The webhook door: checks the bytes, makes the notice durable, answers. Nothing else happens here.
//!
//! * Owns: the public routes and their answers.
//! * May use: `domain`, `store`, the webhook seam. Never the worker, the mapping or a vendor.
//! * 2xx is only ever answered after the store has the notice on the disk.

mod refusals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::connect::webhook::{Delivery, Hint, Refused, WebhookSource};
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::clock::Clock;
use crate::domain::digest::sha256;
use crate::domain::id::{AccountName, CrmName};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::store::Store;

use refusals::Refusals;

/// Longest body taken, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// Longest body taken from Dataverse, which itself strips whatever is longer.
const MOST_DATAVERSE_BYTES: usize = 256 * 1024;
/// How long a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// One registered source of webhooks.
pub struct Entrance {
    /// Checks deliveries.
    pub source: Arc<dyn WebhookSource>,
    /// One more path segment that only the sender knows.
    pub path_secret: Option<String>,
    /// Where deliveries that say nothing to us are passed on, unchanged.
    pub relay: Option<Arc<dyn Relay>>,
}

/// Passes a delivery on to another tool that shares the registration.
#[async_trait::async_trait]
pub trait Relay: Send + Sync {
    /// Sends headers and body on, unchanged. Best effort: the sender is not told.
    async fn pass_on(&self, headers: Vec<(String, String)>, body: Bytes);
}

/// What the door counts, for metrics.
pub trait Tally: Send + Sync {
    /// One delivery was answered with this status. `system` is that of an entrance, or `unknown`:
    /// strangers choose the path, and must not choose what is counted.
    fn answered(&self, system: &str, status: u16);
}

/// The door.
pub struct Door {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    tally: Arc<dyn Tally>,
    entrances: BTreeMap<(String, String), Entrance>,
    refusals: Refusals,
}

impl Door {
    /// A door with these entrances, by system (`partner-center`, `dynamics365`, `salesforce`) and
    /// account.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        wake: Arc<Notify>,
        tally: Arc<dyn Tally>,
        entrances: Vec<(String, AccountName, Entrance)>,
    ) -> Self {
        let entrances = entrances
            .into_iter()
            .map(|(system, account, entrance)| ((system, account.to_string()), entrance))
            .collect();
        Self { store, clock, wake, tally, entrances, refusals: Refusals::default() }
    }

    /// The public routes: webhooks and nothing else.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/webhooks/{system}/{account}", post(receive))
            .route("/webhooks/{system}/{account}/{secret}", post(receive_with_secret))
            .with_state(self)
    }

    fn entrance(&self, system: &str, account: &str, secret: Option<&str>) -> Option<&Entrance> {
        let entrance = self.entrances.get(&(system.to_owned(), account.to_owned()))?;
        let fits = match (&entrance.path_secret, secret) {
            (None, None) => true,
            (Some(wanted), Some(given)) => same(wanted.as_bytes(), given.as_bytes()),
            _ => false,
        };
        fits.then_some(entrance)
    }

    /// The system as it is counted: that of an entrance, never a stranger's word.
    fn counted(&self, system: &str, account: &str) -> &str {
        let known = self.entrances.get_key_value(&(system.to_owned(), account.to_owned()));
        known.map_or("unknown", |((system, _), _)| system.as_str())
    }

    /// One delivery from its path to its answer.
    async fn take(
        &self,
        system: &str,
        account: &str,
        secret: Option<&str>,
        request: Request,
    ) -> Response {
        let Some(entrance) = self.entrance(system, account, secret) else {
            return (StatusCode::NOT_FOUND, "no such webhook\n").into_response();
        };
        let (parts, body) = request.into_parts();
        let bytes = match read(system, &parts.headers, body).await {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal.into_response(),
        };
        let headers = header_pairs(&parts.headers);
        match entrance.source.accept(&headers, parts.uri.query(), &bytes).await {
            Ok(delivery) => self.keep(system, account, entrance, delivery, headers, bytes).await,
            Err(refused) => self.refuse(system, account, &refused, &bytes).await,
        }
    }

    /// Makes every hint durable, then answers.
    async fn keep(
        &self,
        system: &str,
        account: &str,
        entrance: &Entrance,
        delivery: Delivery,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Response {
        let account = AccountName::new(account);
        let now = self.clock.now();
        let mut notices = Vec::new();
        let mut unused = false;
        for (place, hint) in delivery.hints.iter().enumerate() {
            let dedupe = Some(format!("webhook/{}/{place}", delivery.fingerprint));
            let notice = |subject, source, event: &String| NewNotice {
                account: account.clone(),
                source,
                subject,
                event: event.clone(),
                dedupe,
                due: now,
            };
            match hint {
                Hint::Referral { id, event } => {
                    let subject = Subject::Referral(id.clone());
                    notices.push(notice(subject, Source::PartnerCenterWebhook, event));
                }
                Hint::Record { key, event } => {
                    let source = match key.crm {
                        CrmName::Dynamics365 => Source::Dynamics365,
                        CrmName::Salesforce => Source::Salesforce,
                    };
                    notices.push(notice(Subject::Record(key.clone()), source, event));
                }
                Hint::Unused { event } => {
                    unused = true;
                    tracing::debug!("An event of another kind was acknowledged: {event}");
                }
                Hint::Unusable { event, reason } => {
                    let subject = Subject::Unusable(reason.clone());
                    notices.push(notice(subject, Source::PartnerCenterWebhook, event));
                }
            }
        }
        match self.store.enqueue(notices, Vec::new(), Vec::new(), now).await {
            Ok(fresh) => {
                if fresh > 0 {
                    self.wake.notify_one();
                }
                if let (true, Some(relay)) = (unused, &entrance.relay) {
                    let relay = Arc::clone(relay);
                    tokio::spawn(async move { relay.pass_on(headers, body).await });
                }
                tracing::debug!("A delivery of {system} became durable");
                delivery.answer.map_or_else(
                    || StatusCode::OK.into_response(),
                    |(content_type, body)| {
                        ([(header::CONTENT_TYPE, content_type)], body).into_response()
                    },
                )
            }
            Err(error) => {
                tracing::error!("A delivery could not be made durable: {error}");
                ([(header::RETRY_AFTER, "30")], StatusCode::SERVICE_UNAVAILABLE).into_response()
            }
        }
    }

    /// A refused delivery leaves nothing but a count, unless it was authentic and still no event.
    async fn refuse(
        &self,
        system: &str,
        account: &str,
        refused: &Refused,
        body: &Bytes,
    ) -> Response {
        let status = match refused {
            Refused::MissingHeader(_) | Refused::NotAnEvent(_) => StatusCode::BAD_REQUEST,
            Refused::NotAuthentic(_) => StatusCode::UNAUTHORIZED,
            Refused::CannotVerify(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let Some(quiet) = self.refusals.may_log(self.clock.now()) {
            tracing::warn!("A delivery was refused: {refused} ({quiet} more since the last line)");
        }
        if let Refused::NotAnEvent(reason) = refused {
            self.record(system, account, reason, body).await;
        }
        (status, format!("{refused}\n")).into_response()
    }

    /// Leaves a trail of an authentic delivery that is no event; one for all its replays.
    async fn record(&self, system: &str, account: &str, reason: &str, body: &Bytes) {
        let fingerprint = sha256(body);
        if !self.refusals.is_new(&format!("{system}/{account}/{fingerprint}")) {
            return;
        }
        let entry = NewEntry {
            at: self.clock.now(),
            account: AccountName::new(account),
            deal: None,
            kind: AuditKind::Refused,
            actor: system.replace('-', "_"),
            summary: format!(
                "A signed delivery was not an event: {reason}. Its SHA-256 is {fingerprint}."
            ),
            cause: None,
            fields: Vec::new(),
            request_ids: Vec::new(),
            duration_ms: None,
        };
        let now = self.clock.now();
        if let Err(error) = self.store.enqueue(Vec::new(), Vec::new(), vec![entry], now).await {
            tracing::error!("The trail could not be written: {error}");
        }
    }
}

async fn receive(
    State(door): State<Arc<Door>>,
    Path((system, account)): Path<(String, String)>,
    request: Request,
) -> Response {
    let response = door.take(&system, &account, None, request).await;
    door.tally.answered(door.counted(&system, &account), response.status().as_u16());
    response
}

async fn receive_with_secret(
    State(door): State<Arc<Door>>,
    Path((system, account, secret)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let response = door.take(&system, &account, Some(&secret), request).await;
    door.tally.answered(door.counted(&system, &account), response.status().as_u16());
    response
}

/// Reads a body within its bounds.
async fn read(
    system: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, (StatusCode, &'static str)> {
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    if text(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken\n"));
    }
    // Outbound messages of Salesforce are SOAP; everybody else sends JSON.
    let (kind, refusal) = if system == "salesforce" {
        ("text/xml", "the content type must be text/xml in UTF-8\n")
    } else {
        ("application/json", "the content type must be application/json in UTF-8\n")
    };
    if !text(header::CONTENT_TYPE).is_some_and(|value| is_type(value, kind)) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal));
    }
    let most = if system == "dynamics365" { MOST_DATAVERSE_BYTES } else { MOST_BYTES };
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n"));
    }
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off\n")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

/// Whether a content type is `wanted`; in UTF-8 if a character set is named.
fn is_type(value: &str, wanted: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let known = parts.next().unwrap_or_default().eq_ignore_ascii_case(wanted);
    let utf8 = parts.all(|part| {
        let part = part.to_ascii_lowercase();
        !part.starts_with("charset=")
            || part.trim_start_matches("charset=").trim_matches('"') == "utf-8"
    });
    known && utf8
}

fn header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

/// Compares without telling by its time where the first difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
