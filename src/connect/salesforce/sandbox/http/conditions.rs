//! Conditional requests: `If-Modified-Since` and `If-Unmodified-Since` on every row, entity tags
//! on accounts only.

use super::Call;
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};
use crate::domain::time::Timestamp;

/// When a row was last changed, to the second.
pub(super) fn modified(fields: &Fields) -> Timestamp {
    let text = fields.get("LastModifiedDate").and_then(|value| value.as_str());
    text.and_then(Timestamp::parse).unwrap_or(Timestamp::from_millis(0))
}

/// The entity tag of an account.
pub(super) fn tag(fields: &Fields) -> String {
    format!("\"{}--gzip\"", modified(fields).as_millis())
}

/// Whether a read may be answered with 304.
pub(super) fn unchanged(call: &Call, object: &str, fields: &Fields) -> bool {
    if let Some(tags) = call.header("if-none-match").filter(|_| object == "Account") {
        return tags.split(',').any(|found| found.trim() == tag(fields));
    }
    let since = call.header("if-modified-since").and_then(Timestamp::parse_http_date);
    since.is_some_and(|since| modified(fields) <= since)
}

/// Refuses a write whose condition does not hold. Entity tags on other objects than accounts are
/// not supported and therefore not looked at.
pub(super) fn check(org: &Org, call: &Call, object: &str, fields: &Fields) -> Result<(), Failure> {
    for name in ["if-modified-since", "if-unmodified-since"] {
        let Some(text) = call.header(name) else { continue };
        let Some(limit) = Timestamp::parse_http_date(text) else {
            let message = format!("Invalid value for header {name}: {text}");
            return Err(Failure::new("INVALID_HTTP_HEADER", message));
        };
        let later = modified(fields) > limit;
        if later == (name == "if-unmodified-since") {
            return Err(precondition(org, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE"));
        }
    }
    if object == "Account" {
        let held = tag(fields);
        let lists = |name: &str| {
            call.header(name)
                .map(|tags| tags.split(',').any(|found| ["*", &held].contains(&found.trim())))
        };
        if lists("if-match") == Some(false) || lists("if-none-match") == Some(true) {
            return Err(precondition(org, "MATCH_PRECONDITION_FAILED"));
        }
    }
    Ok(())
}

fn precondition(org: &Org, code: &str) -> Failure {
    // An empty code stands for an empty body, see `rows::row`.
    if !org.options.precondition_body {
        return Failure::new("", "").with_status(412);
    }
    let message = "The entity was modified since it was retrieved";
    Failure::new(code, message).with_status(412)
}
