//! Which versions may be written against: `If-Unmodified-Since` sees whole seconds only.
//!
//! A stamp read in the very second that it names proves nothing: a second change in that second
//! leaves the same stamp. A version counts as proven when what the caller holds was read in a later
//! second of the server's own clock. Source: RFC 9110 section 8.8.2.2 and the simulation in the
//! project's targets: without the rule 3.5 % of schedules lose an edit, with it none.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::Moment;
use crate::domain::record::Record;
use crate::domain::time::Timestamp;

/// Most records remembered; forgetting one costs one more read, nothing else.
const REMEMBERED: usize = 20_000;

/// Nothing is waited for longer than this.
const LONGEST_PROOF: Duration = Duration::from_secs(3);

/// The first moment at which a read of a record stamped `stamp` proves its version.
pub(super) fn proven_from(stamp: Timestamp) -> Timestamp {
    Timestamp::from_millis(stamp.as_secs().saturating_add(1).saturating_mul(1000))
}

/// Whether an answer of `moment` was read in a later second than `stamp`. The read may have been
/// made as early as the call was sent, so the call's whole duration is taken off.
pub(super) fn proves(moment: Moment, stamp: Timestamp) -> bool {
    moment.date.is_some_and(|date| date.minus(moment.elapsed) >= proven_from(stamp))
}

/// A number for everything a record says: id, version and fields.
pub(super) fn fingerprint(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.key.id.hash(&mut hasher);
    record.version.hash(&mut hasher);
    for (name, value) in &record.fields {
        name.hash(&mut hasher);
        value.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

/// Remembers what was read late enough, and what was read too early.
#[derive(Debug, Default)]
pub(super) struct Validators(Mutex<HashMap<String, Known>>);

/// What the last read of a record told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It said exactly this, late enough.
    Proven(u64),
    /// Its stamp was as young as the read.
    Young(Timestamp),
}

impl Validators {
    /// Notes a record as read at `moment`.
    pub(super) fn note(&self, record: &Record, moment: Moment) {
        let known = match proves(moment, record.modified) || self.is_proven(record) {
            true => Known::Proven(fingerprint(record)),
            false => Known::Young(record.modified),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(record.key.id.as_str().to_owned(), known);
    }

    /// Whether exactly this was read late enough.
    pub(super) fn is_proven(&self, record: &Record) -> bool {
        self.known(record.key.id.as_str()) == Some(Known::Proven(fingerprint(record)))
    }

    /// The stamp of a record that was as young as its last read.
    pub(super) fn young(&self, id: &str) -> Option<Timestamp> {
        match self.known(id) {
            Some(Known::Young(stamp)) => Some(stamp),
            _ => None,
        }
    }

    fn known(&self, id: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}

/// How long to wait at `now` until a read can prove `stamp`.
///
/// The server's clock is told in whole seconds, so a call, which takes some time, proves the stamp
/// only when it is answered in the second after the next. A stamp that lies further ahead than that
/// is no matter of waiting: a clock on the way is wrong.
pub(super) fn wait_to_prove(stamp: Timestamp, now: Timestamp) -> Duration {
    proven_from(stamp).plus(Duration::from_secs(1)).since(now).min(LONGEST_PROOF)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{proves, wait_to_prove};
    use crate::connect::salesforce::client::Moment;
    use crate::domain::time::Timestamp;

    #[test]
    fn only_a_read_in_a_later_second_proves_a_stamp() {
        let at = |text: &str| Timestamp::parse(text).expect("an instant");
        let stamp = at("2026-09-01T10:00:00Z");
        let table = [
            ("2026-09-01T10:00:00Z", 0, false, "the same second"),
            ("2026-09-01T10:00:01Z", 0, true, "the next second"),
            ("2026-09-01T10:00:01Z", 200, false, "may have been read in the second before"),
            ("2026-09-01T10:00:02Z", 200, true, "later, whatever the call took"),
            ("2026-09-01T09:59:00Z", 0, false, "a clock that goes back"),
        ];
        for (date, millis, expected, why) in table {
            let moment = Moment { date: Some(at(date)), elapsed: Duration::from_millis(millis) };
            assert_eq!(proves(moment, stamp), expected, "{date}: {why}");
        }
        let unknown = Moment { date: None, elapsed: Duration::ZERO };
        assert!(!proves(unknown, stamp), "no clock, no proof");
        assert_eq!(wait_to_prove(stamp, at("2026-09-01T10:00:05Z")), Duration::ZERO);
        assert_eq!(wait_to_prove(stamp, stamp), Duration::from_secs(2));
        let long_ago = at("1970-01-01T00:00:00Z");
        assert_eq!(wait_to_prove(stamp, long_ago), Duration::from_secs(3), "a clock is wrong");
    }
}
