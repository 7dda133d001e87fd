//! The bearer token of administrators.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};

use super::Problem;
use crate::domain::secret::{ExposeSecret, SecretString};

/// Lets a request with the right token through; answers 401 otherwise.
pub(super) async fn check(
    State(token): State<Arc<Option<SecretString>>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = token.as_ref() else {
        let fix = "Set admin.token in the configuration and start the daemon again.";
        return Problem::unauthorized("No admin token is configured.", fix).into_response();
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    if given.is_some_and(|given| same(given, token.expose_secret())) {
        return next.run(request).await;
    }
    let fix = "Send `Authorization: Bearer TOKEN` with the token of admin.token.";
    Problem::unauthorized("The admin token is missing or wrong.", fix).into_response()
}

/// Compares digests bit by bit, so that the time taken tells nothing about the token.
fn same(given: &str, wanted: &str) -> bool {
    let (given, wanted) = (digest(&SHA256, given.as_bytes()), digest(&SHA256, wanted.as_bytes()));
    let pairs = given.as_ref().iter().zip(wanted.as_ref());
    pairs.fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}
