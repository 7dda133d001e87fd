//! Bodies that are refused where they are misspelt, and answers that say what is wrong: RFC 9457
//! problem documents.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::connect::dynamics365::sandbox::SandboxRefusal;
use crate::connect::partner_center::sandbox::ControlError;
use crate::connect::salesforce::sandbox::Failure;

/// Why a call of the control interface was not done.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    detail: String,
}

impl Refused {
    /// 422: the body does not say what to do.
    pub(super) fn misspelt(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: detail.into() }
    }

    /// What the organisation refuses: 404 if there is no such row, else 422.
    fn of_row(status: u16, detail: String) -> Self {
        let missing = status == StatusCode::NOT_FOUND.as_u16();
        let status = if missing { StatusCode::NOT_FOUND } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self { status, detail }
    }

    /// 404: nothing is there.
    pub(super) fn missing(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: what.to_owned() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "fix": "GET / lists every call with an example of its body.",
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, format!("{body}\n")).into_response()
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::NoSuchReferral => StatusCode::NOT_FOUND,
            ControlError::Closed | ControlError::NoSuchStep => StatusCode::CONFLICT,
            ControlError::NotARegistration | ControlError::NotSettings(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        Self { status, detail: error.to_string() }
    }
}

impl From<SandboxRefusal> for Refused {
    fn from(refusal: SandboxRefusal) -> Self {
        Self::of_row(refusal.status, refusal.to_string())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let fields = failure.fields.unwrap_or_default().join(", ");
        let of = if fields.is_empty() { fields } else { format!(" ({fields})") };
        Self::of_row(failure.status, format!("{}: {}{of}", failure.code, failure.message))
    }
}

/// 204, or why it was not done.
pub(super) type Done = Result<StatusCode, Refused>;

/// 204.
pub(super) const DONE: Done = Ok(StatusCode::NO_CONTENT);

/// The JSON body of a call; nothing in it is left unread.
pub(super) struct Sent<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let Json(sent) = Json::from_request(request, state).await.map_err(|refused| {
            let (status, detail) = (refused.status(), refused.body_text());
            Refused { status, detail }
        })?;
        Ok(Self(sent))
    }
}

/// An object of fields, as a body.
pub(super) type Fields = Map<String, Value>;
