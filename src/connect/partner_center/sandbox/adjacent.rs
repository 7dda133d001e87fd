//! The small interfaces around referrals: audit records, PartnerIDs, MFA status, the certificate
//! host (reference 1.6, 5.4, 5.6, 7.2).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, Query, State as FromState};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::PartnerCenterSandbox;
use super::answer::Refusal;
use super::signer::LEAF_NAME;
use crate::domain::time::{Date, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);
/// Audit records on one page if `size` is not given.
const AUDIT_PAGE: usize = 100;

/// `GET /v1/auditrecords`: 30 days unless asked otherwise, never older than 90.
pub(super) async fn audit_records(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<axum::Json<Json>, Refusal> {
    let state = sandbox.lock();
    let now = state.now();
    let day = |name: &str| -> Result<Option<Date>, Refusal> {
        let Some(text) = query.get(name) else { return Ok(None) };
        let date = Date::parse(text)
            .ok_or_else(|| Refusal::api(400, "2000", "A date has the form YYYY-MM-DD."))?;
        Ok(Some(date))
    };
    let from = day("startDate")?.unwrap_or_else(|| now.minus(30 * DAY).date());
    let to = day("endDate")?.unwrap_or_else(|| now.date());
    if from < now.minus(90 * DAY).date() {
        return Err(Refusal::api(400, "2000", "The start date is more than 90 days ago."));
    }
    let size = query.get("size").and_then(|size| size.parse().ok()).unwrap_or(AUDIT_PAGE).max(1);
    let token = headers.get("ms-continuationtoken").and_then(|token| token.to_str().ok());
    let start: usize = match (query.get("seekOperation"), token) {
        (Some(_), Some(token)) => token
            .parse()
            .map_err(|_| Refusal::api(400, "2000", "The continuation token is not valid."))?,
        _ => 0,
    };
    let within = |record: &&Json| {
        let date = record["operationDate"].as_str().and_then(Timestamp::parse).map(Timestamp::date);
        date.is_some_and(|date| from <= date && date <= to)
    };
    let matching: Vec<&Json> = state.audit.iter().filter(within).collect();
    let page: Vec<&&Json> = matching.iter().skip(start).take(size).collect();
    let mut links = json!({
        "self": { "uri": "/auditrecords", "method": "GET", "headers": [] },
    });
    if start + page.len() < matching.len() {
        let next = start + page.len();
        links["next"] = json!({
            "uri": format!("/auditrecords?startDate={from}&endDate={to}&size={size}&seekOperation=Next"),
            "method": "GET",
            "headers": [{ "key": "MS-ContinuationToken", "value": next.to_string() }],
        });
    }
    Ok(axum::Json(json!({
        "totalCount": page.len(),
        "items": page,
        "links": links,
        "attributes": { "objectType": "Collection" },
    })))
}

/// `GET /v1/profiles/mpn`: our own PartnerID, or the one asked for.
pub(super) async fn mpn_profile(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<axum::Json<Json>, Refusal> {
    let state = sandbox.lock();
    let asked = query
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("mpnId"))
        .map_or(state.options.mpn_id.as_str(), |(_, id)| id);
    let partner = if asked == state.options.mpn_id {
        Some(&state.options.organization_name)
    } else {
        state.options.partners.iter().find(|(id, _)| id == asked).map(|(_, name)| name)
    };
    let Some(partner) = partner else {
        let text = "Partner not found.";
        return Err(Refusal::api_from("PartnerFD", 404, 3000, text));
    };
    Ok(axum::Json(json!({
        "partnerName": partner,
        "mpnId": asked,
        "profileType": "MpnProfile",
        "links": { "self": { "uri": "/profiles/mpn", "method": "GET", "headers": [] } },
        "attributes": { "objectType": "PartnerMpnProfile" },
    })))
}

/// `GET /v1/applicationmfaadoptionstatus`.
pub(super) async fn mfa_adoption(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
) -> axum::Json<Json> {
    let state = sandbox.lock();
    axum::Json(json!([{
        "loginDate": state.now().date().to_string(),
        "mfaCompliantRequestCount": state.tokens.user_requests_with_mfa,
        "totalRequestCount": state.tokens.user_requests,
        "applicationId": state.options.client_id,
        "applicationName": "cosell-sync",
    }]))
}

/// The certificate host.
pub(super) async fn certificate(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(file): Path<String>,
) -> Response {
    if file != format!("{LEAF_NAME}.cer") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (by_intermediate, as_pem) = {
        let options = &sandbox.lock().options;
        (options.certificate_from_intermediate, options.certificate_as_pem)
    };
    let leaf = sandbox.signer.leaf(by_intermediate);
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    if as_pem {
        return (kind, leaf.pem.clone()).into_response();
    }
    (kind, leaf.der.clone()).into_response()
}
