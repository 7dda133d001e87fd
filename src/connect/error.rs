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

/// A vendor's message without the e-mail addresses and telephone numbers that it quotes: they are
/// personal data, and what is told of a refusal stays in the trail and in the list of dead letters.
#[must_use]
pub fn without_personal_data(message: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in message.split(' ') {
        let inside = word.find('@').is_some_and(|at| at > 0 && at + 1 < word.len());
        let goes_on = words.last() == Some(&PHONE) && is_digits(word);
        if inside {
            words.push("[e-mail]");
        } else if word.trim_start_matches(QUOTES).strip_prefix('+').is_some_and(is_digits) {
            words.push(PHONE);
        } else if !goes_on {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Stands for a telephone number.
const PHONE: &str = "[phone]";

/// What may stand around a number.
const QUOTES: [char; 4] = ['\'', '"', '(', ':'];

/// Whether a word is part of a telephone number.
fn is_digits(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_digit() || letter == '(')
        && word.chars().all(|letter| letter.is_ascii_digit() || "()-/.,;:'\"".contains(letter))
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

#[cfg(test)]
mod tests {
    use super::without_personal_data;

    #[test]
    fn what_a_vendor_quotes_of_people_is_left_out() {
        let table = [
            ("The value is too long", "The value is too long", "nothing to hide"),
            (
                "'buyer@fabrikam.example' is no contact",
                "[e-mail] is no contact",
                "an address, quotes and all",
            ),
            ("Call +47 22 33-44 (Oslo)", "Call [phone] (Oslo)", "a number in parts"),
            ("phone '+4722334455': bad", "phone [phone] bad", "a number in quotes"),
            ("Only 20 @ a time, 3 + 4", "Only 20 @ a time, 3 + 4", "signs alone"),
            ("Amount 1000 above 500", "Amount 1000 above 500", "amounts are no numbers of people"),
        ];
        for (message, expected, why) in table {
            assert_eq!(without_personal_data(message), expected, "{why}");
        }
    }
}
