use std::time::Duration;

use serde_json::json;

use super::{Failure, errors};
use crate::connect::error::ConnectError;
use crate::connect::http::Purpose::{self, Read, Write};

fn class(purpose: Purpose, status: u16, code: &str, message: &str) -> ConnectError {
    let body = json!([{ "errorCode": code, "message": message, "fields": ["Name"] }]);
    let errors = if code.is_empty() { Vec::new() } else { errors(&body) };
    Failure { purpose, status, errors, quota_left: None, retry_after: None }.class()
}

fn name_of(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Unauthorized(_) => "Unauthorized",
        ConnectError::Throttled(_) => "Throttled",
        ConnectError::Stale => "Stale",
        ConnectError::Exists(_) => "Exists",
        ConnectError::Ambiguous(_) => "Ambiguous",
        ConnectError::NotFound(_) => "NotFound",
        ConnectError::CursorExpired => "CursorExpired",
        ConnectError::Rejected(_) => "Rejected",
        ConnectError::Unavailable(_) => "Unavailable",
        ConnectError::Unknown(_) => "Unknown",
        ConnectError::Broken(_) => "Broken",
    }
}

#[test]
#[rustfmt::skip]
fn every_code_lands_in_the_class_the_worker_expects() {
    let wrapped = "Opp: execution of BeforeUpdate caused by UNABLE_TO_LOCK_ROW, unable to obtain";
    let table = [
        (Read, 401, "INVALID_SESSION_ID", "", "Unauthorized", "one new sign-in has failed already"),
        (Read, 403, "REQUEST_LIMIT_EXCEEDED", "", "Throttled", "the quota"),
        (Write, 403, "REQUEST_LIMIT_EXCEEDED", "", "Throttled", "nothing was written"),
        (Read, 403, "API_DISABLED_FOR_ORG", "", "Unauthorized", "every call fails"),
        (Read, 403, "API_CURRENTLY_DISABLED", "", "Unauthorized", "every call fails"),
        (Write, 400, "INSUFFICIENT_ACCESS_OR_READONLY", "", "Rejected", "sharing, as 400"),
        (Write, 403, "INSUFFICIENT_ACCESS_OR_READONLY", "", "Rejected", "sharing, as 403"),
        (Write, 400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", "Rejected", "sharing"),
        (Read, 403, "INSUFFICIENT_ACCESS", "", "Rejected", "the form of whole calls"),
        (Write, 400, "INVALID_CURRENCY_ISO", "", "Rejected", "data"),
        (Write, 400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "trigger", "Rejected", "a trigger"),
        (Write, 400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", wrapped, "Unavailable", "a lock"),
        (Write, 400, "CANNOT_EXECUTE_FLOW_TRIGGER", "flow", "Rejected", "a flow"),
        (Write, 400, "CANNOT_EXECUTE_FLOW_TRIGGER", wrapped, "Unavailable", "a wrapped lock"),
        (Write, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", wrapped, "Rejected", "only two codes wrap"),
        (Read, 404, "NOT_FOUND", "", "NotFound", "no row"),
        (Read, 404, "", "", "Unavailable", "a page that is not Salesforce's"),
        (Write, 404, "", "", "Unknown", "a page that is not Salesforce's"),
        (Write, 404, "ENTITY_IS_DELETED", "", "NotFound", "in the recycle bin"),
        (Write, 405, "METHOD_NOT_ALLOWED", "", "Rejected", "the same call fails again"),
        (Read, 404, "UNSUPPORTED_API_VERSION", "", "Unauthorized", "the operator must act"),
        (Read, 410, "UNSUPPORTED_API_VERSION", "", "Unauthorized", "the same under the other status"),
        (Read, 404, "GONE", "", "Unauthorized", "the same under the other status"),
        (Read, 410, "GONE", "", "Unauthorized", "a retired version"),
        (Write, 412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "", "Stale", "someone edited"),
        (Write, 412, "MATCH_PRECONDITION_FAILED", "", "Stale", "another spelling"),
        (Write, 412, "", "", "Stale", "no body at all"),
        (Write, 412, "PRECONDITION_FAILED", "", "Stale", "any code under 412"),
        (Read, 400, "MALFORMED_QUERY", "", "Rejected", "a bad query"),
        (Read, 400, "INVALID_FIELD", "", "Rejected", "a missing or hidden field"),
        (Read, 400, "INVALID_TYPE", "", "Rejected", "a missing table"),
        (Read, 400, "INVALID_QUERY_FILTER_OPERATOR", "", "Rejected", "a bad query"),
        (Read, 400, "INVALID_QUERY_LOCATOR", "", "Unavailable", "the query starts anew"),
        (Write, 400, "ENTITY_IS_LOCKED", "", "Rejected", "an approval, not a row lock"),
        (Write, 503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", "Unavailable", "read-only"),
        (Read, 403, "ORG_IN_MAINTENANCE", "", "Unavailable", "maintenance"),
        (Read, 500, "REQUEST_RUNNING_TOO_LONG", "", "Unavailable", "a read"),
        (Write, 500, "REQUEST_RUNNING_TOO_LONG", "", "Unknown", "may have been committed"),
        (Read, 403, "ORG_LOCKED", "", "Unauthorized", "the operator must act"),
        (Read, 400, "INVALID_LOGIN", "", "Unauthorized", "the operator must act"),
        (Read, 400, "QUERY_TIMEOUT", "", "Unavailable", "a busy server"),
        (Write, 400, "JSON_PARSER_ERROR", "", "Rejected", "the same bytes fail again"),
        (Write, 400, "MALFORMED_ID", "", "Rejected", "the same bytes fail again"),
        (Write, 400, "REQUIRED_FIELD_MISSING", "", "Rejected", "data"),
        (Write, 400, "STRING_TOO_LONG", "", "Rejected", "data"),
        (Write, 400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", "Rejected", "mapping"),
        (Write, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "", "Rejected", "the admin's rule"),
        (Write, 400, "FIELD_INTEGRITY_EXCEPTION", "", "Rejected", "data"),
        (Write, 400, "INVALID_CROSS_REFERENCE_KEY", "", "Rejected", "data"),
        (Write, 400, "INVALID_FIELD_FOR_INSERT_UPDATE", "", "Rejected", "a read-only field"),
        (Write, 400, "NUMBER_OUTSIDE_VALID_RANGE", "", "Rejected", "data"),
        (Write, 400, "INVALID_EMAIL_ADDRESS", "", "Rejected", "data"),
        (Write, 400, "DUPLICATE_VALUE", "", "Exists", "a unique field"),
        (Write, 400, "DUPLICATES_DETECTED", "", "Rejected", "a duplicate rule"),
        (Write, 400, "CANNOT_UPDATE_CONVERTED_LEAD", "", "Rejected", "follow the opportunity"),
        (Write, 400, "INACTIVE_OWNER_OR_USER", "", "Rejected", "data"),
        (Write, 400, "TRANSFER_REQUIRES_READ", "", "Rejected", "data"),
        (Write, 400, "STORAGE_LIMIT_EXCEEDED", "", "Rejected", "as 400"),
        (Write, 403, "STORAGE_LIMIT_EXCEEDED", "", "Rejected", "a person must free space"),
        (Write, 400, "UNABLE_TO_LOCK_ROW", "", "Unavailable", "a row lock"),
        (Read, 503, "SERVER_UNAVAILABLE", "", "Unavailable", "a read"),
        (Write, 503, "SERVER_UNAVAILABLE", "", "Unknown", "any 5xx on a write"),
        (Read, 403, "TXN_SECURITY_METERING_ERROR", "", "Throttled", "slow down"),
        (Read, 500, "UNKNOWN_EXCEPTION", "", "Unavailable", "a read"),
        (Write, 500, "UNKNOWN_EXCEPTION", "", "Unknown", "may have been committed"),
        (Write, 500, "ServerError", "", "Unknown", "may have been committed"),
        (Write, 400, "PROCESSING_HALTED", "", "Unavailable", "another part failed"),
        (Write, 400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "", "Unavailable", "another part failed"),
        (Read, 400, "INVALID_REPLICATION_DATE", "", "CursorExpired", "out of the log's reach"),
        (Read, 400, "EXCEEDED_ID_LIMIT", "", "CursorExpired", "more than the log gives"),
        (Write, 400, "SOMETHING_NEW", "", "Rejected", "an unknown code of a client error"),
        (Write, 500, "SOMETHING_NEW", "", "Unknown", "an unknown code of a server error"),
        (Read, 500, "", "", "Unavailable", "HTML"),
        (Write, 502, "", "", "Unknown", "HTML"),
        (Write, 420, "", "", "Throttled", "the edge cannot route"),
        (Write, 429, "", "", "Throttled", "not documented, but clear"),
        (Write, 400, "", "", "Rejected", "no body"),
        (Read, 200, "", "", "Broken", "no JSON where JSON was promised"),
        (Write, 200, "", "", "Unknown", "done, but with what result?"),
        (Read, 302, "", "", "Broken", "redirects are not followed"),
    ];
    for (purpose, status, code, message, expected, why) in table {
        let class = class(purpose, status, code, message);
        assert_eq!(name_of(&class), expected, "{purpose:?} {status} {code}: {why}");
    }
}

#[test]
fn a_limit_waits_long_for_the_day_and_short_for_the_moment() {
    let failure = |message: &str, quota_left| {
        let body = json!([{ "errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message }]);
        let errors = errors(&body);
        Failure { purpose: Read, status: 403, errors, quota_left, retry_after: None }.class()
    };
    let table = [
        ("TotalRequests Limit exceeded.", Some(false), 900, "the day's quota is spent"),
        ("TotalRequests Limit exceeded.", None, 900, "not told, so the longer wait"),
        ("anything", Some(true), 60, "the quota has room: too many at once"),
        ("ConcurrentRequests Limit exceeded.", None, 60, "too many at once"),
    ];
    for (message, quota_left, secs, why) in table {
        let class = failure(message, quota_left);
        let expected = Duration::from_secs(secs);
        assert!(matches!(class, ConnectError::Throttled(wait) if wait == expected), "{why}");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_hides_personal_data() {
    let table = [
        (
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "Close date is too early.",
            "Close date is too early.",
        ),
        (
            "STRING_TOO_LONG",
            "Name: data value too large: Contoso Ltd (max length=120)",
            "Name: data value too large (max length=120)",
        ),
        ("INVALID_EMAIL_ADDRESS", "Email: invalid: a@b.example", "not a valid e-mail address"),
        ("INVALID_CROSS_REFERENCE_KEY", "owner a@b.example", "owner [e-mail]"),
    ];
    for (code, message, expected) in table {
        let ConnectError::Rejected(refusal) = class(Write, 400, code, message) else {
            panic!("{code} is not a rejection");
        };
        assert_eq!(refusal.message, expected, "{code}");
        assert_eq!(
            (refusal.code.as_str(), refusal.fields.as_slice()),
            (code, ["Name".to_owned()].as_slice())
        );
    }
    let ConnectError::Rejected(locked) = class(Write, 400, "ENTITY_IS_LOCKED", "locked") else {
        panic!("an approval lock is a rejection");
    };
    assert!(locked.message.contains("approval"), "{}", locked.message);
}

#[test]
fn bodies_of_every_form_are_read() {
    let table = [
        (json!([{ "errorCode": "A", "message": "m" }]), 1, "an array"),
        (json!({ "error": "invalid_grant", "error_description": "d" }), 1, "sign-in"),
        (json!([{ "statusCode": "B", "message": "m", "fields": null }]), 1, "a collection's row"),
        (
            json!([{ "errorCode": "DUPLICATES_DETECTED", "duplicateResut": {} }]),
            1,
            "the odd member",
        ),
        (json!("text"), 0, "text"),
        (json!(null), 0, "nothing"),
        (json!([1, null, {}]), 0, "an array of other things"),
    ];
    for (body, count, why) in table {
        assert_eq!(errors(&body).len(), count, "{why}");
    }
}
