//! The referrals host: `/v1.0/engagements/referrals` (reference 2).

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as FromState};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;

use super::answer::Refusal;
use super::state::State;
use super::{PartnerCenterSandbox, casing, create, list, patch, view};

pub(super) async fn list(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Json>, Refusal> {
    list::list(&sandbox.lock(), query.as_deref().unwrap_or_default()).map(axum::Json)
}

pub(super) async fn get(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut state = sandbox.lock();
    let at = visible(&mut state, &id)?;
    answer_with(&state, at, StatusCode::OK)
}

pub(super) async fn create(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let body = casing::bind(json_body(&headers, &body)?);
    let mut state = sandbox.lock();
    let referral = create::create(&mut state, body)?;
    state.insert(referral);
    let status = StatusCode::from_u16(state.options.create_status).unwrap_or(StatusCode::OK);
    let at = state.referrals.len() - 1;
    create::note_invitation(&mut state, at);
    answer_with(&state, at, status)
}

pub(super) async fn patch(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut state = sandbox.lock();
    let at = visible(&mut state, &id)?;
    let operations = json_body(&headers, &body)?;
    check_version(&state, at, &headers)?;
    let changed = patch::patch(&mut state, at, &operations)?;
    state.write(at, changed);
    let wants_body = headers
        .get("prefer")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.replace(' ', "").contains("return=representation"));
    if wants_body {
        answer_with(&state, at, StatusCode::OK)
    } else {
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// `PUT` is deprecated and not emulated; there is no `DELETE`.
pub(super) async fn not_allowed() -> Refusal {
    Refusal::referrals(405, "invalidRequest", "The method is not allowed.")
}

/// Where the referral is, if this user finds it. Counts down the lag of a new one.
fn visible(state: &mut State, id: &str) -> Result<usize, Refusal> {
    let at = state.position(id).ok_or_else(Refusal::not_found)?;
    let stored = state.referrals.get_mut(at).ok_or_else(Refusal::not_found)?;
    if stored.lag > 0 {
        stored.lag -= 1;
        return Err(Refusal::not_found());
    }
    match state.referrals.get(at) {
        Some(stored) if view::is_visible(state, stored) => Ok(at),
        Some(_) if state.options.invisible_is_forbidden => {
            Err(Refusal::referrals(403, "accessDenied", "The referral is not one of yours."))
        }
        _ => Err(Refusal::not_found()),
    }
}

/// `If-Match` must be the body field `eTag` exactly, with its inner quotes (reference 2.5).
fn check_version(state: &State, at: usize, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(asked) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let current = state.referrals.get(at).map(|stored| stored.text("eTag")).unwrap_or_default();
    let asked = asked.to_str().unwrap_or_default();
    if asked == "*" || asked == current {
        return Ok(());
    }
    let message = "The referral was changed since it was read.";
    Err(Refusal::referrals(412, "preconditionFailed", message)
        .with_inner("resourceModified", message))
}

fn json_body(headers: &HeaderMap, body: &Bytes) -> Result<Json, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
        return Err(Refusal::referrals(415, "invalidRequest", "Send application/json."));
    }
    serde_json::from_slice(body)
        .map_err(|_| Refusal::referrals(400, "invalidRequest", "The body is not JSON."))
}

fn answer_with(state: &State, at: usize, status: StatusCode) -> Result<Response, Refusal> {
    let stored = state.referrals.get(at).ok_or_else(Refusal::not_found)?;
    let mut response = (status, axum::Json(view::single(state, stored))).into_response();
    if let Ok(tag) = HeaderValue::from_str(stored.text("eTag")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
