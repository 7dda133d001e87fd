//! What happens to every request: it is logged, hit by faults, and its token is checked.

use axum::Router;
use axum::extract::{Request, State as FromState};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};

use super::answer::Refusal;
use super::bearer::{self, Needs};
use super::state::LoggedRequest;
use super::{PartnerCenterSandbox, adjacent, consent, referrals, token, webhook};
use crate::connect::sandbox::Faults;
use crate::domain::clock::Randomness;

/// Where the request is in the log.
#[derive(Debug, Clone, Copy)]
struct LogEntry(usize);

/// All hosts of Partner Center in one router; they differ in their paths.
pub(super) fn router(sandbox: PartnerCenterSandbox) -> Router {
    sign_in()
        .merge(services())
        .fallback(not_emulated)
        .method_not_allowed_fallback(referrals::not_allowed)
        .layer(from_fn_with_state(sandbox.clone(), check_token))
        .layer(from_fn_with_state(sandbox.faults(), Faults::middleware))
        .layer(from_fn_with_state(sandbox.clone(), keep_log))
        .with_state(sandbox)
}

fn sign_in() -> Router<PartnerCenterSandbox> {
    Router::new()
        .route("/{tenant}/oauth2/token", post(token::token_v1))
        .route("/{tenant}/oauth2/v2.0/token", post(token::token_v2))
        .route("/{tenant}/oauth2/authorize", get(consent::authorize))
        .route("/{tenant}/oauth2/v2.0/authorize", get(consent::authorize))
        .route("/{tenant}/oauth2/devicecode", post(consent::device_code))
        .route("/{tenant}/oauth2/v2.0/devicecode", post(consent::device_code))
        .route("/devicelogin", get(consent::device_login))
}

fn services() -> Router<PartnerCenterSandbox> {
    let referral = get(referrals::get).patch(referrals::patch);
    let slot = get(webhook::get_slot).post(webhook::post_slot).put(webhook::put_slot);
    Router::new()
        .route("/v1.0/engagements/referrals", get(referrals::list).post(referrals::create))
        .route("/v1.0/engagements/referrals/{id}", referral)
        // The connector's own trick: a trailing slash still is the same resource.
        .route("/v1.0/engagements/referrals/{id}/", patch(referrals::patch))
        .route("/webhooks/v1/registration", slot)
        .route("/webhooks/v1/registration/events", get(webhook::events))
        .route("/webhooks/v1/registration/validationEvents", post(webhook::ask_validation))
        .route("/webhooks/v1/registration/validationEvents/{id}", get(webhook::validation))
        .route("/v1/auditrecords", get(adjacent::audit_records))
        .route("/v1/profiles/mpn", get(adjacent::mpn_profile))
        .route("/v1/applicationmfaadoptionstatus", get(adjacent::mfa_adoption))
        .route("/cert/{file}", get(adjacent::certificate))
}

async fn not_emulated(uri: Uri) -> Refusal {
    let message = format!("{} is not emulated.", uri.path());
    Refusal::referrals(501, "generalException", message)
}

/// Outermost: sees every request, also those that a fault stops.
async fn keep_log(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    mut request: Request,
    next: Next,
) -> Response {
    let entry = LoggedRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: 0,
        landed: false,
        if_match: request.headers().contains_key(header::IF_MATCH),
    };
    let index = {
        let mut state = sandbox.lock();
        state.expire();
        state.log.push(entry);
        state.log.len() - 1
    };
    request.extensions_mut().insert(LogEntry(index));
    let asked = request.headers().clone();
    let referrals = request.uri().path().starts_with("/v1.0/");
    let response = next.run(request).await;
    let response = with_ids(&sandbox, response, &asked, referrals);
    let mut state = sandbox.lock();
    if let Some(entry) = state.log.get_mut(index).filter(|entry| !entry.landed) {
        entry.status = response.status().as_u16();
    }
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if failed && state.options.html_errors { as_html(&response) } else { response }
}

/// The correlation headers of the two hosts, and the emulated time (reference 2.2).
fn with_ids(
    sandbox: &PartnerCenterSandbox,
    mut response: Response,
    asked: &HeaderMap,
    referrals: bool,
) -> Response {
    let (guid, now) = {
        let state = sandbox.lock();
        (state.chance.guid(), state.now().http_date())
    };
    let echoes: [(&str, &'static str); 2] = if referrals {
        [("client-request-id", "client-request-id"), ("", "request-id")]
    } else {
        [("ms-correlationid", "ms-correlationid"), ("ms-requestid", "ms-requestid")]
    };
    let fresh = HeaderValue::from_str(&guid);
    let headers = response.headers_mut();
    for (echo, name) in echoes {
        if let Some(value) = asked.get(echo).or(fresh.as_ref().ok()) {
            headers.insert(name, value.clone());
        }
    }
    if let Ok(now) = HeaderValue::from_str(&now) {
        headers.insert(header::DATE, now);
    }
    response
}

fn as_html(response: &Response) -> Response {
    let status = response.status();
    let page = format!("<html><head><title>{status}</title></head><body>{status}</body></html>");
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let mut page = (status, kind, page).into_response();
    if let Some(wait) = response.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    page
}

/// Innermost: checks the token and notes the true outcome, even if nobody is told of it.
async fn check_token(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    request: Request,
    next: Next,
) -> Response {
    let entry = request.extensions().get::<LogEntry>().copied();
    let dry_run = request.headers().contains_key("validatemfa");
    let checked = Needs::of_path(request.uri().path())
        .map(|needs| bearer::check(&mut sandbox.lock(), needs, request.headers()));
    let response = match checked {
        Some(Err(refusal)) => refusal.into_response(),
        None => next.run(request).await,
        Some(Ok(compliant)) => {
            let mut response = next.run(request).await;
            if dry_run {
                let value = if compliant { "true" } else { "false" };
                response.headers_mut().insert("ismfacompliant", HeaderValue::from_static(value));
            }
            response
        }
    };
    let mut state = sandbox.lock();
    if let Some(logged) = entry.and_then(|LogEntry(index)| state.log.get_mut(index)) {
        logged.landed = true;
        logged.status = response.status().as_u16();
    }
    response
}
