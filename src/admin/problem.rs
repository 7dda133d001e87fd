//! Answers that say what is wrong: RFC 9457 problem documents.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::operations::OperationError;
use crate::store::StoreError;

/// A problem document: one sentence, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable name: `urn:cosell-sync:problem:not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong, in one sentence.
    pub detail: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    fn new(
        status: StatusCode,
        name: &str,
        title: &str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:cosell-sync:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let fix = "See /api/v1/openapi.json for what is expected.";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail, fix)
    }

    /// 401: no token, or a wrong one.
    pub(super) fn unauthorized(detail: &str, fix: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Not signed in", detail, fix)
    }

    /// 404: nothing is there.
    pub(super) fn not_found(detail: impl Into<String>, fix: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail, fix)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store",
            "The store failed",
            error.to_string(),
            "See the log; docs/runbook.md tells how to recover.",
        )
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotFound { what, fix } => Self::not_found(what, &fix),
            OperationError::Refused { what, fix } => {
                Self::new(StatusCode::CONFLICT, "refused", "Not done", what, fix)
            }
            OperationError::Outside { what, fix } => {
                Self::new(StatusCode::BAD_GATEWAY, "outside", "Another system failed", what, fix)
            }
            OperationError::Store(error) => error.into(),
        }
    }
}
