//! Login: the three grants, sessions, and who the user is.

mod jwt;
mod sessions;
mod token;
mod who;

use std::collections::BTreeMap;

use axum::http::Method;

use super::failure::Failure;
use super::http::Answer;
use super::org::Org;

pub(crate) use sessions::Sessions;

/// Answers everything below `/services/oauth2` and `/id`.
pub(crate) fn answer(
    org: &mut Org,
    method: &Method,
    path: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> Answer {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    match path {
        "/services/oauth2/token" if method == Method::POST => token::answer(org, headers, &form),
        "/services/oauth2/revoke" => token::revoke(org, &form),
        "/services/oauth2/introspect" if method == Method::POST => token::introspect(org, &form),
        "/services/oauth2/userinfo" => who::answer(org, headers, false),
        path if path.starts_with("/id/") => who::answer(org, headers, true),
        _ => Answer::empty(404),
    }
}

/// The user behind the `Authorization` header.
///
/// # Errors
///
/// `INVALID_SESSION_ID` if there is no live session.
pub(crate) fn session(
    org: &mut Org,
    headers: &BTreeMap<String, String>,
) -> Result<String, Failure> {
    let value = headers.get("authorization").map_or("", String::as_str);
    let (scheme, token) = value.split_once(' ').unwrap_or(("", ""));
    let known = scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("OAuth");
    let now = org.now();
    let user = if known { org.sessions.user(token.trim(), now) } else { None };
    user.ok_or_else(|| Failure::new("INVALID_SESSION_ID", "Session expired or invalid"))
}

/// Scheme and host that the client used.
fn origin(headers: &BTreeMap<String, String>) -> String {
    format!("http://{}", headers.get("host").map_or("127.0.0.1", String::as_str))
}
