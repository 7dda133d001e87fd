//! The error bodies of the API families: three shapes, plus the sign-in service's own.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::state::State;
use crate::domain::clock::Randomness;

/// An answer that refuses the request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    retry_after_secs: Option<u64>,
    body: Json,
}

impl Refusal {
    /// The referrals host's shape (reference 2.7).
    pub(super) fn referrals(status: u16, code: &str, message: impl Into<String>) -> Self {
        let body = json!({ "error": { "code": code, "message": message.into() } });
        Self { status, retry_after_secs: None, body }
    }

    /// 400 `invalidRequest` of the referrals host, about the property `target`.
    pub(super) fn invalid(target: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::referrals(400, "invalidRequest", message);
        refusal.body["error"]["target"] = json!(target);
        refusal
    }

    /// 404 of the referrals host.
    pub(super) fn not_found() -> Self {
        Self::referrals(404, "itemNotFound", "The referral does not exist.")
    }

    /// Adds the recursive inner error.
    pub(super) fn with_inner(mut self, code: &str, message: &str) -> Self {
        self.body["error"]["innerError"] = json!({ "code": code, "message": message });
        self
    }

    /// The shape of `api.partnercenter.microsoft.com`; `code` is text, except where it is not.
    pub(super) fn api(status: u16, code: impl Into<Json>, description: &str) -> Self {
        Self::api_from("PartnerApiServiceCore", status, code, description)
    }

    /// As [`Refusal::api`], from another source.
    pub(super) fn api_from(
        source: &str,
        status: u16,
        code: impl Into<Json>,
        description: &str,
    ) -> Self {
        let body = json!({
            "code": code.into(), "description": description, "data": [], "source": source,
        });
        Self { status, retry_after_secs: None, body }
    }

    /// The gateway's shape for 429 (reference 6).
    pub(super) fn throttled(wait_secs: u64) -> Self {
        Self { status: 429, retry_after_secs: Some(wait_secs), body: throttled_body(wait_secs) }
    }

    /// The sign-in service's shape (reference 1.3); [`Refusal::traced`] completes it.
    pub(super) fn sign_in(status: u16, error: &str, code: u32, text: &str) -> Self {
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {text}"),
            "error_codes": [code],
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        Self { status, retry_after_secs: None, body }
    }

    /// Adds when it happened and under which ids support finds it.
    pub(super) fn traced(mut self, state: &State) -> Self {
        let now = state.now().to_string();
        let second = now.split('.').next().unwrap_or_default().replace('T', " ");
        self.body["timestamp"] = json!(format!("{second}Z"));
        self.body["trace_id"] = json!(state.chance.guid());
        self.body["correlation_id"] = json!(state.chance.guid());
        self
    }
}

/// The body of a gateway's 429.
pub(super) fn throttled_body(wait_secs: u64) -> Json {
    json!({
        "statusCode": 429,
        "message": format!("Rate limit is exceeded. Try again in {wait_secs} seconds."),
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.body)).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
