//! Answers of the platform under stress, ready for [`crate::connect::sandbox::Faults`].

use serde_json::json;

use crate::connect::sandbox::FaultEffect;

/// Which service protection limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// More than 6000 requests in 300 seconds.
    Requests,
    /// More than 20 minutes of execution in 300 seconds.
    ExecutionTime,
    /// More than 52 requests at once.
    Concurrency,
}

/// 429 with `Retry-After` in whole seconds.
#[must_use]
pub fn throttled(limit: Throttle, retry_after_secs: u32) -> FaultEffect {
    let (code, message) = match limit {
        Throttle::Requests => (
            "0x80072322",
            "Number of requests exceeded the limit of 6000 over time window of 300 seconds.",
        ),
        Throttle::ExecutionTime => (
            "0x80072321",
            "Combined execution time of incoming requests exceeded limit of 1,200,000 \
             milliseconds over time window of 300 seconds. Decrease number of concurrent requests \
             or reduce the duration of requests and try again later.",
        ),
        Throttle::Concurrency => {
            ("0x80072326", "Number of concurrent requests exceeded the limit of 52.")
        }
    };
    answer(429, Some(retry_after_secs.to_string()), code, message)
}

/// Why a 412 is sent: the status alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionClash {
    /// The row has another version than `If-Match` named.
    Version,
    /// A row with this primary key exists.
    PrimaryKey,
    /// A row with this alternate key exists.
    AlternateKey,
    /// A duplicate detection rule found a similar row.
    DuplicateRule,
}

/// 412 in one of its four meanings.
#[must_use]
pub fn clash(kind: VersionClash) -> FaultEffect {
    let (code, message) = match kind {
        VersionClash::Version => (
            "0x80060882",
            "The version of the existing record doesn't match the RowVersion property provided.",
        ),
        VersionClash::PrimaryKey => {
            ("0x80040237", "A record with matching key values already exists.")
        }
        VersionClash::AlternateKey => (
            "0x80060892",
            "Entity Key violated. A record with the same value already exists. A duplicate record \
             cannot be created.",
        ),
        VersionClash::DuplicateRule => (
            "0x80040333",
            "A record was not created or updated because a duplicate of the current record \
             already exists.",
        ),
    };
    answer(412, None, code, message)
}

/// An HTML page of a gateway in place of JSON.
#[must_use]
pub fn html_error(status: u16) -> FaultEffect {
    FaultEffect::Answer {
        status,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: format!("<html><body><h1>{status}</h1><p>The gateway is unhappy.</p></body></html>"),
    }
}

fn answer(status: u16, retry_after: Option<String>, code: &str, message: &str) -> FaultEffect {
    FaultEffect::Answer {
        status,
        retry_after,
        content_type: "application/json; odata.metadata=minimal".to_owned(),
        body: json!({"error": {"code": code, "message": message}}).to_string(),
    }
}
