//! How Salesforce writes moments: UTC, milliseconds, `+0000`; system stamps are whole seconds.

use crate::domain::time::Timestamp;

/// `at` cut to the second.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_secs() * 1000)
}

/// `at` cut to the minute, the granularity of the replication calls.
pub(crate) fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_secs().div_euclid(60) * 60_000)
}

/// `2026-09-01T10:00:00.000+0000`.
pub(crate) fn wire(at: Timestamp) -> String {
    at.to_string().replace('Z', "+0000")
}
