//! The admin routes without a listener, for a command that holds the store itself because no daemon
//! runs.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use bytes::Bytes;
use serde_json::Value as Json;
use tower::ServiceExt;

use super::operations::desk;
use super::parts::Parts;
use crate::admin;

/// Longest answer taken, in bytes.
const MOST_BYTES: usize = 1 << 30;

/// The admin routes of some parts, asked without a token: whoever holds the parts holds the store.
pub struct InProcess(Router);

impl InProcess {
    /// The routes of `parts`.
    #[must_use]
    pub fn new(parts: &Arc<Parts>) -> Self {
        Self(admin::routes(desk(parts)))
    }

    /// Asks a route below `/api/v1/` and returns its status and answer.
    ///
    /// # Errors
    ///
    /// A sentence if `path` cannot be part of an address or the answer breaks off.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Json>,
    ) -> Result<(u16, Bytes), String> {
        let content = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(content)
            .map_err(|error| error.to_string())?;
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), MOST_BYTES).await;
        Ok((status, bytes.map_err(|error| error.to_string())?))
    }
}
