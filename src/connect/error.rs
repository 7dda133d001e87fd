//! What went wrong at an outside system, sorted by what the worker does next.

use std::time::Duration;

/// Evidence of a refusal: what to show an admin and what to quote to support. Never holds secrets
/// or personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, or 0 if there was no answer.
    pub status: u16,
    /// The vendor's error code, for example `0x80060882` or `DUPLICATE_VALUE`; empty if none.
    pub code: String,
    /// The vendor's message, shortened to 500 characters.
    pub message: String,
    /// Fields the vendor named.
    pub fields: Vec<String>,
    /// The vendor's request id, for support.
    pub request_id: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.status)?;
        let parts = [self.code.as_str(), self.message.as_str()];
        parts
            .iter()
            .filter(|part| !part.is_empty())
            .try_for_each(|part| write!(formatter, " {part}"))
    }
}

/// What went wrong, sorted by what the worker must do next.
///
/// Connectors translate by error code first, status second, message never. They never retry and
/// never log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Credentials refused even after one token refresh. Every call would fail: stop the feed of
    /// this system and raise an alert. The text says what the admin must do.
    #[error("credentials refused: {0}")]
    Unauthorized(String),
    /// 429, a spent quota, an own budget. The wait is a floor and gates the whole principal. Does
    /// not use up a try.
    #[error("throttled for {0:?}")]
    Throttled(Duration),
    /// The record changed between our read and our write: read again, merge again.
    #[error("the record changed while it was being written")]
    Stale,
    /// A create hit a record that carries the same key: read it and merge with it.
    #[error("a record with the same key exists: {0}")]
    Exists(Refusal),
    /// More than one record carries the key; never guessed about.
    #[error("several records carry the same key: {0:?}")]
    Ambiguous(Vec<String>),
    /// The record, or the row behind a key, is not there.
    #[error("not found: {0}")]
    NotFound(Refusal),
    /// A feed's cursor is no longer accepted: compare everything, then start a new cursor.
    #[error("the feed's cursor has expired")]
    CursorExpired,
    /// The same bytes fail until a person acts: hold the deal.
    #[error("rejected: {0}")]
    Rejected(Refusal),
    /// Refused for now by a lock, a maintenance window or a busy server; nothing was changed.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A write without an answer or with a 5xx. It may have landed: read before writing again.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// The answer broke the contract (foreign link, endless paging, no etag, not JSON where JSON was
    /// promised). Nothing was changed; tried again later.
    #[error("broken answer: {0}")]
    Broken(String),
}
