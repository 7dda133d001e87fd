//! From HTTP to a call and back: sessions, quota, versions, encodings, headers.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::{self, Next};
use axum::response::Response;
use serde_json::Value;

use super::{Answer, Call, Content, dispatch, resources};
use crate::connect::salesforce::sandbox::auth;
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::{SalesforceSandbox, soap, usage::LoggedRequest};
use crate::connect::sandbox::Faults;

/// Largest body.
const MOST_BYTES: usize = 50 * 1024 * 1024;
/// Smallest body that is compressed, in bytes.
const WORTH_ZIPPING: usize = 1_024;
/// Longest path and query.
const LONGEST_URI: usize = 16_384;

/// Everything behind one address.
pub(crate) fn router(sandbox: SalesforceSandbox) -> Router {
    Router::new()
        .fallback(handle)
        .with_state(sandbox.clone())
        .layer(middleware::from_fn_with_state(sandbox.faults(), Faults::middleware))
        .layer(middleware::from_fn_with_state(sandbox, record))
}

/// Logs the request and dates the answer by the emulated clock.
async fn record(
    State(sandbox): State<SalesforceSandbox>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let date = sandbox.with(|org| {
        org.usage.log.requests.push(LoggedRequest { method, path, status });
        org.now().http_date()
    });
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn handle(State(sandbox): State<SalesforceSandbox>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match to_bytes(body, MOST_BYTES).await {
        Ok(bytes) => sandbox.with(|org| answer(org, &parts, &bytes).unwrap_or_else(Answer::from)),
        Err(_) => Answer::empty(413),
    };
    let accepted = parts.headers.get(header::ACCEPT_ENCODING);
    let zip =
        accepted.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"));
    respond(answer, zip)
}

fn answer(org: &mut Org, parts: &Parts, bytes: &Bytes) -> Result<Answer, Failure> {
    let whole = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if whole.len() > LONGEST_URI {
        return Err(Failure::new("URI_TOO_LONG", "The URI is too long"));
    }
    let path = parts.uri.path().trim_end_matches('/');
    let headers = headers(parts);
    if path.starts_with("/services/oauth2/") || path.starts_with("/id/") {
        let body = unzip(&headers, bytes)?;
        return Ok(auth::answer(org, &parts.method, path, &headers, &body));
    }
    if let Some(rest) = path.strip_prefix("/services/Soap/") {
        let body = unzip(&headers, bytes)?;
        return Ok(soap::answer(org, rest, &String::from_utf8_lossy(&body)));
    }
    match path.strip_prefix("/services/data") {
        Some("") => Ok(resources::versions()),
        Some(rest) if rest.starts_with('/') => data(org, parts, headers, &rest[1..], bytes),
        _ => Ok(Answer::text(
            404,
            "text/html;charset=UTF-8",
            "<html><body>URL No Longer Exists</body></html>",
        )),
    }
}

/// One call of the data API: session, then version, then quota, then the work.
fn data(
    org: &mut Org,
    parts: &Parts,
    headers: BTreeMap<String, String>,
    rest: &str,
    bytes: &Bytes,
) -> Result<Answer, Failure> {
    let user = match auth::session(org, &headers) {
        Ok(user) => user,
        Err(failure) => return Ok(Answer::from(failure).with("WWW-Authenticate", "Token")),
    };
    #[cfg(feature = "pubsub")]
    {
        let options = headers.get("sforce-call-options").cloned();
        org.bus.client = options.and_then(|told| told.strip_prefix("client=").map(str::to_owned));
    }
    let now = org.now();
    let answer = if org.usage.take(1, now) {
        call(org, parts, headers, rest, bytes, user).unwrap_or_else(Answer::from)
    } else {
        Answer::from(Failure::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
    };
    #[cfg(feature = "pubsub")]
    {
        org.bus.client = None;
    }
    let (used, quota) = org.usage.state(now);
    Ok(answer.with("Sforce-Limit-Info", format!("api-usage={used}/{quota}")))
}

fn call(
    org: &mut Org,
    parts: &Parts,
    headers: BTreeMap<String, String>,
    rest: &str,
    bytes: &Bytes,
    user: String,
) -> Result<Answer, Failure> {
    let (version, path) = segments(rest)?;
    let query = parameters(parts.uri.query().unwrap_or_default());
    let mut method = parts.method.as_str().to_owned();
    let other = query.iter().find(|(name, _)| name == "_HttpMethod");
    if let Some((_, other)) = other.filter(|_| method == "POST") {
        method = other.to_uppercase();
    }
    let body = if ["POST", "PATCH"].contains(&method.as_str()) {
        body(&headers, &unzip(&headers, bytes)?)?
    } else {
        Value::Null
    };
    Ok(dispatch(org, &Call { method, version, path, query, headers, body, user }))
}

fn body(headers: &BTreeMap<String, String>, bytes: &[u8]) -> Result<Value, Failure> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let kind = headers.get("content-type").map_or("", String::as_str);
    if !kind.to_lowercase().starts_with("application/json") {
        let message = format!("Content type {kind} is not supported");
        return Err(Failure::new("UNSUPPORTED_MEDIA_TYPE", message));
    }
    serde_json::from_slice(bytes).map_err(|problem| {
        Failure::body(format!(
            "Unexpected character at line {}, column {}",
            problem.line(),
            problem.column()
        ))
    })
}

/// Version and decoded segments of what follows `/services/data/`.
///
/// # Errors
///
/// `GONE` for a retired version, `NOT_FOUND` for one that never was.
pub(super) fn segments(rest: &str) -> Result<(String, Vec<String>), Failure> {
    let mut parts = rest.split('/').filter(|part| !part.is_empty()).map(decode);
    let version = parts.next().unwrap_or_default();
    let number = version.strip_prefix('v').and_then(|rest| rest.strip_suffix(".0"));
    let number: u32 =
        number.and_then(|number| number.parse().ok()).ok_or_else(Failure::not_found)?;
    if number < *resources::LIVE.start() {
        return Err(Failure::new("GONE", "API version has been retired"));
    }
    if number > *resources::LIVE.end() {
        return Err(Failure::not_found());
    }
    Ok((version, parts.collect()))
}

/// Decoded query parameters.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// Decodes percent signs; a plus sign stays one in a path.
fn decode(segment: &str) -> String {
    let kept = segment.replace('+', "%2B");
    let pairs = url::form_urlencoded::parse(kept.as_bytes()).into_owned();
    let mut decoded = String::new();
    for (at, (name, value)) in pairs.enumerate() {
        if at > 0 {
            decoded.push('&');
        }
        decoded.push_str(&name);
        if segment.contains('=') {
            decoded.push('=');
            decoded.push_str(&value);
        }
    }
    decoded
}

fn headers(parts: &Parts) -> BTreeMap<String, String> {
    let pairs = parts.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    pairs.collect()
}

fn unzip(headers: &BTreeMap<String, String>, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    if headers.get("content-encoding").map(String::as_str) != Some("gzip") {
        return Ok(bytes.to_vec());
    }
    let mut plain = Vec::new();
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let read = flate2::read::GzDecoder::new(bytes).take(limit).read_to_end(&mut plain);
    read.map_err(|_| Failure::body("the body is not gzip"))?;
    Ok(plain)
}

fn gzip(body: &str) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// The answer as HTTP; bodies worth it are compressed where the client accepts that.
fn respond(answer: Answer, zip: bool) -> Response {
    let (kind, body) = match answer.content {
        Content::None => (None, String::new()),
        Content::Json(value) => (Some("application/json;charset=UTF-8"), value.to_string()),
        Content::Text(kind, text) => (Some(kind), text),
    };
    let zipped = if zip && body.len() >= WORTH_ZIPPING { gzip(&body) } else { None };
    let mut response = match zipped {
        Some(zipped) => {
            let mut response = Response::new(Body::from(zipped));
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            response
        }
        None => Response::new(Body::from(body)),
    };
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
