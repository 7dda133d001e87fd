//! Turns a refusing answer into what the worker does next: code first, status second, message never.

use std::time::Duration;

use serde_json::Value as Json;

use crate::connect::error::{ConnectError, Refusal, without_personal_data};
use crate::connect::http::{Answer, Purpose};
use crate::domain::time::Timestamp;

/// The wait after a 429 that names none.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// What to do about code 900421.
const MFA_FIX: &str = "Partner Center demands multi-factor authentication and the consent was given \
                       without it: set MFA up for the service account and sign in again with \
                       `cosell-sync login`";

/// Codes under which the same call fails until a person acts, for every call of this kind.
const UNAUTHORIZED: &[(&str, &str)] = &[
    ("900421", MFA_FIX),
    (
        "900329",
        "Partner Center takes only a signed-in user here, not the application alone: sign in with \
         `cosell-sync login`",
    ),
    ("900309", CONDITIONAL_ACCESS),
    ("insufficent_claims", CONDITIONAL_ACCESS),
    ("insufficient_claims", CONDITIONAL_ACCESS),
    ("unauthenticated", TOKEN_REFUSED),
    ("unauthorized", TOKEN_REFUSED),
];
const CONDITIONAL_ACCESS: &str = "Conditional Access blocks the service account: exclude it from the \
                                  policy or let this machine's address in";
const TOKEN_REFUSED: &str = "Partner Center refused a fresh token: check the permissions of the app \
                             registration and the role of the service account (Referrals admin)";

/// The error of `answer`, whose status is not 2xx.
pub(super) fn sort(answer: &Answer, purpose: Purpose, now: Timestamp) -> ConnectError {
    let refusal = refusal(answer);
    if let Some(wait) = throttled(answer, now) {
        return ConnectError::Throttled(wait);
    }
    if let Some(error) = by_code(&refusal) {
        return error;
    }
    by_status(refusal, purpose)
}

/// Whether a 401 may be cured by a new token: not if it asks for MFA.
pub(super) fn is_stale_token(answer: &Answer) -> bool {
    answer.status == 401 && refusal(answer).code != "900421"
}

/// What is said of a body that is not the service's.
const NO_JSON: &str = "the answer is not JSON";

fn throttled(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let named = answer.header("retry-after").is_some();
    match answer.status {
        429 | 509 => Some(answer.retry_after(now).unwrap_or(DEFAULT_WAIT)),
        503 if named => Some(answer.retry_after(now).unwrap_or(DEFAULT_WAIT)),
        _ => None,
    }
}

fn by_code(refusal: &Refusal) -> Option<ConnectError> {
    let code = refusal.code.to_ascii_lowercase();
    if let Some((_, fix)) = UNAUTHORIZED.iter().find(|(known, _)| *known == code) {
        return Some(ConnectError::Unauthorized(format!("{fix} ({refusal})")));
    }
    match code.as_str() {
        "accessdenied" | "900308" | "invalidrequest" => {
            Some(ConnectError::Rejected(refusal.clone()))
        }
        "itemnotfound" | "3000" => Some(ConnectError::NotFound(refusal.clone())),
        "preconditionfailed" | "resourcemodified" => Some(ConnectError::Stale),
        _ => None,
    }
}

fn by_status(refusal: Refusal, purpose: Purpose) -> ConnectError {
    match (refusal.status, purpose) {
        (401, _) => ConnectError::Unauthorized(format!("{TOKEN_REFUSED} ({refusal})")),
        // The page of a gateway says nothing of a referral.
        (404 | 410, Purpose::Read) if refusal.message == NO_JSON => {
            ConnectError::Unavailable(refusal.to_string())
        }
        (404 | 410, Purpose::Write) if refusal.message == NO_JSON => {
            ConnectError::Unknown(refusal.to_string())
        }
        (404 | 410, _) => ConnectError::NotFound(refusal),
        (412, _) => ConnectError::Stale,
        (423, _) => ConnectError::Unavailable(refusal.to_string()),
        (408 | 500.., Purpose::Read) => ConnectError::Unavailable(refusal.to_string()),
        (408 | 500.., Purpose::Write) => ConnectError::Unknown(refusal.to_string()),
        (0..=399, _) => ConnectError::Broken(format!("Partner Center answered {}", refusal.status)),
        _ => ConnectError::Rejected(refusal),
    }
}

/// The service's id of the request.
pub(super) fn request_id(answer: &Answer) -> Option<String> {
    ["request-id", "ms-requestid", "client-request-id"]
        .iter()
        .find_map(|name| answer.header(name))
        .map(|id| shorten(id, 100))
}

/// Reads the evidence out of any of the three error shapes; an empty or HTML body gives no code.
fn refusal(answer: &Answer) -> Refusal {
    let request_id = request_id(answer);
    let mut refusal = Refusal { status: answer.status, request_id, ..Refusal::default() };
    let Some(Json::Object(body)) = answer.json() else {
        if !answer.body.is_empty() {
            refusal.message = NO_JSON.to_owned();
        }
        return refusal;
    };
    let outer = body.get("error").filter(|error| error.is_object());
    let shape = outer.cloned().unwrap_or(Json::Object(body));
    let (code, message) = deepest(&shape);
    refusal.code = code;
    refusal.message = shorten(&without_personal_data(&message), 500);
    if let Some(target) = shape.get("target").and_then(Json::as_str) {
        refusal.fields.push(shorten(target, 100));
    }
    refusal
}

/// Code and message, of the deepest inner error whose code we know, else of the outermost.
fn deepest(error: &Json) -> (String, String) {
    let read = |error: &Json| {
        let message = ["message", "description"]
            .iter()
            .find_map(|name| error.get(name)?.as_str())
            .unwrap_or_default();
        (code(error), message.to_owned())
    };
    let mut best = read(error);
    let mut at = error;
    // The depth is bounded by the parser.
    while let Some(inner) = at.get("innerError").or_else(|| at.get("innererror")) {
        let (code, message) = read(inner);
        if is_known(&code) {
            let message = if message.is_empty() { best.1 } else { message };
            best = (code, message);
        }
        at = inner;
    }
    best
}

/// The code as text; the api.partnercenter family also sends numbers.
fn code(error: &Json) -> String {
    match error.get("code") {
        Some(Json::String(code)) => shorten(code, 100),
        Some(Json::Number(code)) => code.to_string(),
        _ => String::new(),
    }
}

fn is_known(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    UNAUTHORIZED.iter().any(|(known, _)| *known == code)
        || [
            "accessdenied",
            "900308",
            "invalidrequest",
            "itemnotfound",
            "3000",
            "preconditionfailed",
            "resourcemodified",
            "servicenotavailable",
            "generalexception",
        ]
        .contains(&code.as_str())
}

fn shorten(text: &str, letters: usize) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(letters)
        .collect()
}

#[cfg(all(test, feature = "sandbox"))]
mod tests;
