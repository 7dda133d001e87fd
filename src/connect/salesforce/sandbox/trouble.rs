//! Faults that this system is known for, for [`crate::connect::sandbox::Faults`].

use super::failure::Failure;
use super::rows::detected;
use crate::connect::sandbox::FaultEffect;

/// Answers a failure in place of the work.
#[must_use]
pub fn refuses(failure: &Failure) -> FaultEffect {
    FaultEffect::Answer {
        status: failure.status,
        retry_after: None,
        content_type: "application/json;charset=UTF-8".to_owned(),
        body: failure.body_json().to_string(),
    }
}

fn lock_message(parent: &str) -> String {
    format!("unable to obtain exclusive access to this record or 1 records: {parent}")
}

/// Another transaction holds the row or its parent.
#[must_use]
pub fn locked_row(parent: &str) -> FaultEffect {
    refuses(&Failure::row("UNABLE_TO_LOCK_ROW", lock_message(parent), &[]))
}

/// The same, wrapped by a record-triggered flow: only the message tells.
#[must_use]
pub fn locked_row_in_flow(parent: &str) -> FaultEffect {
    let message = format!(
        "We can't save this record because the \u{201c}Deal desk\u{201d} process failed. Give your \
         Salesforce admin these details. This error occurred when the flow tried to update \
         records: UNABLE_TO_LOCK_ROW: {}.",
        lock_message(parent)
    );
    refuses(&Failure::row("CANNOT_EXECUTE_FLOW_TRIGGER", message, &[]))
}

/// The same, wrapped by an Apex trigger.
#[must_use]
pub fn locked_row_in_trigger(parent: &str) -> FaultEffect {
    let message = format!(
        "DealTrigger: execution of AfterUpdate caused by: System.DmlException: Update failed. First \
         exception on row 0 with id {parent}; first error: UNABLE_TO_LOCK_ROW, {}: []",
        lock_message(parent)
    );
    refuses(&Failure::row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, &[]))
}

/// Overload or maintenance, answered by the edge in HTML.
#[must_use]
pub fn unavailable_page() -> FaultEffect {
    FaultEffect::Answer {
        status: 503,
        retry_after: None,
        content_type: "text/html;charset=UTF-8".to_owned(),
        body: "<html><head><title>Service Unavailable</title></head><body>Down for maintenance\
               </body></html>"
            .to_owned(),
    }
}

/// A session that ended between two calls.
#[must_use]
pub fn session_ended() -> FaultEffect {
    refuses(&Failure::new("INVALID_SESSION_ID", "Session expired or invalid"))
}

/// The daily quota is spent.
#[must_use]
pub fn quota_spent() -> FaultEffect {
    refuses(&Failure::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
}

/// Too many long calls run at once; the daily quota has room.
#[must_use]
pub fn too_many_at_once() -> FaultEffect {
    let message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
    refuses(&Failure::new("REQUEST_LIMIT_EXCEEDED", message))
}

/// Something broke after the commit or before it: nobody can tell.
#[must_use]
pub fn server_error() -> FaultEffect {
    let code = "735496853-15264 (-1290468122)";
    let message = format!(
        "An unexpected error occurred. Please include this ErrorId if you contact support: {code}"
    );
    refuses(&Failure::new("UNKNOWN_EXCEPTION", message))
}

/// A duplicate rule has found `matches`.
#[must_use]
pub fn duplicates_detected(object: &str, allow_save: bool, matches: &[&str]) -> FaultEffect {
    refuses(&detected(object, allow_save, matches))
}
