//! Faults that an emulator commits when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// One fault, used up by the request it hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests with this method, for example `PATCH`; `None` means any.
    pub method: Option<String>,
    /// Only requests whose path and query contain this text; empty means any.
    pub path: String,
    /// How many matching requests pass unharmed first.
    pub skip: u32,
    /// How many requests it hits after that.
    pub times: u32,
    /// What happens to a request that is hit.
    pub effect: FaultEffect,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum FaultEffect {
    /// Answers this instead of working.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, as sent.
        retry_after: Option<String>,
        /// Content type, for example `text/html`.
        content_type: String,
        /// Body, as sent.
        body: String,
    },
    /// Closes the connection before working.
    Drop,
    /// Works, then closes the connection without an answer: the write landed, nobody was told.
    ApplyThenDrop,
    /// Waits, then works.
    Delay {
        /// How long, in milliseconds.
        millis: u64,
    },
}

impl Fault {
    /// Hits the next request with `method` whose path contains `path`.
    #[must_use]
    pub fn once(method: &str, path: &str, effect: FaultEffect) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), skip: 0, times: 1, effect }
    }
}

/// Marks an answer that must not be sent: [`super::serve()`] closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloseWithoutAnswer;

/// The faults waiting at one emulator. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Forgets all faults that have not hit.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many faults have not been used up.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes the effect that hits this request, if one does.
    #[must_use]
    pub fn hit(&self, method: &str, path_and_query: &str) -> Option<FaultEffect> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = faults.iter().position(|fault| {
            fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && path_and_query.contains(&fault.path)
        })?;
        let fault = faults.get_mut(at)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let effect = fault.effect.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            faults.remove(at);
        }
        Some(effect)
    }

    /// An axum middleware (`middleware::from_fn_with_state(faults, Faults::middleware)`) that
    /// commits the faults.
    #[expect(clippy::disallowed_methods, reason = "a delay that a client has to sit out")]
    pub async fn middleware(State(faults): State<Self>, request: Request, next: Next) -> Response {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        match faults.hit(request.method().as_str(), &path) {
            None => next.run(request).await,
            Some(FaultEffect::Answer { status, retry_after, content_type, body }) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = (status, body).into_response();
                if let Ok(value) = HeaderValue::from_str(&content_type) {
                    response.headers_mut().insert(header::CONTENT_TYPE, value);
                }
                if let Some(Ok(value)) = retry_after.map(|text| HeaderValue::from_str(&text)) {
                    response.headers_mut().insert(header::RETRY_AFTER, value);
                }
                response
            }
            Some(FaultEffect::Drop) => close_without_answer(),
            Some(FaultEffect::ApplyThenDrop) => {
                next.run(request).await;
                close_without_answer()
            }
            Some(FaultEffect::Delay { millis }) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                next.run(request).await
            }
        }
    }
}

fn close_without_answer() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CloseWithoutAnswer);
    response
}
