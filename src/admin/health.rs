//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;

/// `GET /healthz`: the process answers. The header tells a command that it is this program, before
/// it sends the admin token.
pub(super) async fn alive() -> Response {
    ([(header::SERVER, "cosell-sync")], "ok\n").into_response()
}

/// `GET /readyz`: 200 once the store takes writes, whatever the remote systems do; 503 otherwise.
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.store.health().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response()
        }
    }
}

/// `GET /metrics`: the text that Prometheus reads.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], admin.operations.metrics().await).into_response()
}
