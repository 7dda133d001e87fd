//! What the Web API's answers mean: JSON without losing digits, and errors by their code.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::connect::error::{ConnectError, Refusal, without_personal_data};
use crate::connect::http::Purpose;

/// What a request was conditional on; tells the meanings of a 412 without a code apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    None,
    /// The row is still at this version, or with `*` exists at all.
    IfMatch(String),
    /// The row does not exist.
    IfNoneMatch,
}

/// An error answer, taken apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure {
    /// HTTP status.
    pub(super) status: u16,
    /// Body.
    pub(super) body: Vec<u8>,
    /// The wait asked for, if it was.
    pub(super) wait: Option<Duration>,
    /// The request id.
    pub(super) request_id: Option<String>,
}

/// What is to be done about an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unauthorized,
    NotAMember,
    Throttled,
    Stale,
    Exists,
    NotFound,
    CursorExpired,
    Rejected,
    /// Refused by a lock or a busy server: nothing was changed.
    Busy,
    /// The server gave up in the middle.
    Doubtful,
}

/// Codes and what they mean, reference section 8.2 with 4.4, 7.1 and 2.7. A code that is not here is
/// judged by its status.
const CODES: &[(u32, Class)] = &[
    (0x8004_a100, Class::Unauthorized),
    (0x8004_a101, Class::Unauthorized),
    (0x8004_a102, Class::Unauthorized),
    (0x8004_a103, Class::Unauthorized),
    (0x8004_a105, Class::Unauthorized),
    (0x8004_0204, Class::Unauthorized),
    (0x8004_4300, Class::Unauthorized),
    (0x8004_4302, Class::Unauthorized),
    (0x8004_4308, Class::Unauthorized),
    (0x8004_0277, Class::Unauthorized),
    (0x8004_04d2, Class::Unauthorized),
    (0x8007_2560, Class::NotAMember),
    (0x8007_2321, Class::Throttled),
    (0x8007_2322, Class::Throttled),
    (0x8007_2326, Class::Throttled),
    (0x8006_0882, Class::Stale),
    (0x8004_0237, Class::Exists),
    (0x8006_0892, Class::Exists),
    (0x8004_0333, Class::Rejected),
    (0x8004_0217, Class::NotFound),
    (0x8006_0891, Class::NotFound),
    (0x8004_4352, Class::CursorExpired),
    (0x8004_a001, Class::Busy),
    (0x8004_4339, Class::Busy),
    (0x8004_4151, Class::Doubtful),
    (0x8004_0203, Class::Rejected),
    (0x8004_4331, Class::Rejected),
    (0x8004_432f, Class::Rejected),
    (0x8004_4330, Class::Rejected),
    (0x8004_431a, Class::Rejected),
    (0x8006_0890, Class::Rejected),
    (0x8006_0893, Class::Rejected),
    (0x8004_f01f, Class::Rejected),
    (0x8004_4410, Class::Rejected),
    (0x8004_700c, Class::Rejected),
    (0x8004_1d33, Class::Rejected),
    (0x8004_1d67, Class::Rejected),
    (0x8004_0800, Class::Rejected),
    (0x8006_0888, Class::Rejected),
    (0x8004_8d19, Class::Rejected),
    (0x8006_088a, Class::Rejected),
    (0x8004_0265, Class::Rejected),
    (0x8004_0200, Class::Rejected),
    (0x8004_0220, Class::Rejected),
    (0x8004_0256, Class::Rejected),
    (0x8004_020d, Class::Rejected),
    (0x8004_0231, Class::Rejected),
    (0x8004_0276, Class::Rejected),
    (0x8004_049e, Class::Rejected),
    (0x8004_04bb, Class::Rejected),
    (0x8004_f502, Class::Rejected),
    (0x8004_f504, Class::Rejected),
    (0x8004_f507, Class::Rejected),
    (0x8004_a110, Class::Rejected),
    (0x8004_ed43, Class::Rejected),
    (0x8004_8306, Class::Rejected),
    (0x8004_2f09, Class::Rejected),
    (0x8004_0227, Class::Rejected),
    (0x8004_023b, Class::Rejected),
    (0x8004_0315, Class::Rejected),
    (0x8004_418a, Class::Rejected),
    (0x8010_0005, Class::Rejected),
    (0x8004_8408, Class::Rejected),
    (0x8007_3002, Class::Rejected),
    (0x8004_7013, Class::Rejected),
    (0x8004_8cfb, Class::Rejected),
    (0x8004_8cea, Class::Rejected),
];

/// Too many requests at once: the one limit that asks for less parallelism.
const TOO_MANY_AT_ONCE: u32 = 0x8007_2326;

/// Whether the answer complains of too many requests at once.
pub(super) fn is_too_many_at_once(failure: &Failure) -> bool {
    code_and_message(&failure.body).is_some_and(|(code, _)| number(&code) == Some(TOO_MANY_AT_ONCE))
}

/// Turns an error answer into what the worker does next: by code, then by status, never by text.
///
/// `default_wait` stands in for a missing `Retry-After`.
pub(super) fn classify(
    purpose: Purpose,
    condition: &Condition,
    failure: &Failure,
    default_wait: Duration,
) -> ConnectError {
    let known = code_and_message(&failure.body);
    let is_api = known.is_some();
    let (code, message) = known.unwrap_or_default();
    let class = number(&code)
        .and_then(|number| CODES.iter().find(|(known, _)| *known == number))
        .map_or_else(|| by_status(condition, failure.status, is_api), |(_, class)| *class);
    let refusal = Refusal {
        status: failure.status,
        code,
        message: shorten(&without_personal_data(&message)),
        fields: Vec::new(),
        request_id: failure.request_id.clone(),
    };
    match class {
        Class::Unauthorized => ConnectError::Unauthorized(format!(
            "Dynamics 365 does not accept the token ({refusal}): check that the address of the \
             environment belongs to the tenant"
        )),
        Class::NotAMember => ConnectError::Unauthorized(
            "Entra signed the app in, but the environment has no application user for it \
             (0x80072560): in the Power Platform admin center open the environment, Settings, \
             Application users, and add the app with a security role"
                .to_owned(),
        ),
        Class::Throttled => ConnectError::Throttled(failure.wait.unwrap_or(default_wait)),
        Class::Stale => ConnectError::Stale,
        Class::Exists => ConnectError::Exists(refusal),
        Class::NotFound => ConnectError::NotFound(refusal),
        Class::CursorExpired => ConnectError::CursorExpired,
        Class::Rejected => ConnectError::Rejected(refusal),
        Class::Busy => ConnectError::Unavailable(refusal.to_string()),
        Class::Doubtful => match (purpose, failure.wait) {
            (Purpose::Write, _) => ConnectError::Unknown(refusal.to_string()),
            (Purpose::Read, Some(wait)) => ConnectError::Throttled(wait),
            (Purpose::Read, None) => ConnectError::Unavailable(refusal.to_string()),
        },
    }
}

/// `is_api`: the body is an error of the Web API. A gateway's 404 says nothing about a row and is
/// temporary.
fn by_status(condition: &Condition, status: u16, is_api: bool) -> Class {
    match status {
        401 => Class::Unauthorized,
        // Only a known code says that a row is missing; anything else would look like a deletion.
        404 if !is_api => Class::Busy,
        412 => match condition {
            Condition::IfMatch(_) => Class::Stale,
            Condition::IfNoneMatch => Class::Exists,
            Condition::None => Class::Rejected,
        },
        429 => Class::Throttled,
        408 | 500.. => Class::Doubtful,
        400..=499 => Class::Rejected,
        // A success that should not be here, or a redirect, which is never followed.
        _ => Class::Doubtful,
    }
}

/// `error.code` and `error.message`; `None` if the body is not an error of the Web API.
fn code_and_message(body: &[u8]) -> Option<(String, String)> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let error = json.get("error")?;
    let text = |name: &str| error.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    Some((text("code"), text("message")))
}

fn number(code: &str) -> Option<u32> {
    let digits = code.strip_prefix("0x").or_else(|| code.strip_prefix("0X"))?;
    u32::from_str_radix(digits, 16).ok()
}

fn shorten(text: &str) -> String {
    text.chars().take(500).collect()
}

/// Adds to a refusal the fields among `sent` that the vendor's message names.
pub(super) fn name_fields<'a>(
    error: ConnectError,
    sent: impl Iterator<Item = &'a str>,
) -> ConnectError {
    let ConnectError::Rejected(mut refusal) = error else { return error };
    let words: Vec<&str> = refusal
        .message
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .collect();
    let named: Vec<String> = sent
        .filter(|field| {
            let column = field.split('.').next().unwrap_or(field);
            words.iter().any(|word| word.eq_ignore_ascii_case(column))
        })
        .map(str::to_owned)
        .collect();
    refusal.fields.extend(named);
    ConnectError::Rejected(refusal)
}

/// Parses JSON without losing digits: a number that a double cannot hold is handed over as text
/// with exactly the digits that were sent. `None` if it is not JSON.
pub(super) fn exact_json(body: &[u8]) -> Option<Json> {
    if has_long_number(body) {
        let raw: &RawValue = serde_json::from_slice(body).ok()?;
        exact(raw)
    } else {
        serde_json::from_slice(body).ok()
    }
}

/// Whether a number outside of strings has more than the 15 digits a double always keeps.
fn has_long_number(body: &[u8]) -> bool {
    let (mut in_text, mut escaped, mut digits) = (false, false, 0);
    for &byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'0'..=b'9' => digits += 1,
            b'.' => {}
            _ => digits = 0,
        }
        if digits > 15 {
            return true;
        }
    }
    false
}

fn exact(raw: &RawValue) -> Option<Json> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            members.into_iter().map(|(name, raw)| Some((name, exact(raw)?))).collect()
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.into_iter().map(exact).collect::<Option<Vec<_>>>().map(Json::Array)
        }
        b'-' | b'0'..=b'9' => {
            let parsed: Json = serde_json::from_str(text).ok()?;
            let as_read = parsed.to_string().parse::<rust_decimal::Decimal>().ok();
            let as_sent = text.parse::<rust_decimal::Decimal>().ok();
            let kept = as_sent.is_some() && as_sent == as_read;
            Some(if kept { parsed } else { Json::String(text.to_owned()) })
        }
        _ => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
