//! Where the change feed stands.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// The form of the cursor; another one is not understood.
const FORM: u32 = 1;

/// Most rows remembered of one pass. Rows beyond are handed over once more by the next pass, which
/// is harmless: they are compared by value.
const REMEMBERED: usize = 2000;

/// A place in the feed. Opaque to everyone else.
///
/// The feed runs in passes. A pass reads on by (stamp, id) from `low` to the end; the next one
/// starts a little before the server time at which this one began, because a row gets its stamp
/// before it becomes visible. Rows that the overlap shows again unchanged are left out by what they
/// said (`seen`), not by id and stamp alone: two changes in one second have one stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    form: u32,
    /// The organisation it belongs to.
    pub(super) organization: String,
    /// Where the running pass started; `None` reads everything.
    pub(super) low: Option<Timestamp>,
    /// The last row read in the running pass.
    pub(super) at: Option<(Timestamp, String)>,
    /// Where the next pass starts; known once the running one has begun.
    pub(super) next_low: Option<Timestamp>,
    /// Rows of the last pass that the running one may show again.
    seen: Seen,
    /// Rows of the running pass that the next one may show again.
    fresh: Seen,
    /// Up to when deletions are known, a whole minute; `None` before the first pass has begun.
    pub(super) deleted: Option<Timestamp>,
    /// Up to when changes of mapped lists are known; `None` before the first pass has begun.
    #[serde(default)]
    pub(super) lists: Option<Timestamp>,
}

/// Fingerprints of rows, packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Seen(HashSet<u64>);

impl From<Seen> for String {
    fn from(seen: Seen) -> Self {
        let mut sorted: Vec<u64> = seen.0.into_iter().collect();
        sorted.sort_unstable();
        let bytes: Vec<u8> = sorted.into_iter().flat_map(u64::to_be_bytes).collect();
        STANDARD_NO_PAD.encode(bytes)
    }
}

impl TryFrom<String> for Seen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|error| error.to_string())?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err("cut off".to_owned());
        }
        Ok(Self(chunks.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect()))
    }
}

impl Cursor {
    /// The start of a first full read.
    pub(super) fn start(organization: &str) -> Self {
        Self {
            form: FORM,
            organization: organization.to_owned(),
            low: None,
            at: None,
            next_low: None,
            seen: Seen::default(),
            fresh: Seen::default(),
            deleted: None,
            lists: None,
        }
    }

    /// Reads a stored cursor; `None` if it is not one of this form and organisation.
    pub(super) fn read(text: &str, organization: &str) -> Option<Self> {
        let cursor: Self = serde_json::from_str(text).ok()?;
        (cursor.form == FORM && cursor.organization == organization).then_some(cursor)
    }

    /// The cursor as stored.
    pub(super) fn store(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Notes the server time of the first answer of a pass.
    pub(super) fn begin(&mut self, server: Timestamp, overlap: std::time::Duration) {
        if self.next_low.is_none() {
            let from = Timestamp::from_millis(server.minus(overlap).as_secs() * 1000);
            self.next_low = Some(self.low.map_or(from, |low| low.max(from)));
        }
    }

    /// Notes a row as read, and says whether it is news.
    pub(super) fn pass_row(&mut self, stamp: Timestamp, id: &str, print: u64) -> bool {
        self.at = Some((stamp, id.to_owned()));
        let repeats = self.next_low.is_some_and(|next| stamp >= next);
        if repeats && self.fresh.0.len() < REMEMBERED {
            self.fresh.0.insert(print);
        }
        !self.seen.0.contains(&print)
    }

    /// Ends the pass: the next call starts the next one.
    pub(super) fn end(&mut self) {
        self.low = self.next_low.take();
        self.at = None;
        self.seen = std::mem::take(&mut self.fresh);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Cursor;
    use crate::domain::time::Timestamp;

    #[test]
    fn an_overlap_shows_nothing_twice_and_hides_nothing() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut cursor = Cursor::start("org");
        cursor.begin(at(1000), Duration::from_secs(120));
        assert!(cursor.pass_row(at(10), "a", 1), "an old row");
        assert!(cursor.pass_row(at(990), "b", 2), "a new row");
        cursor.end();
        let mut cursor = Cursor::read(&cursor.store(), "org").expect("a cursor");
        assert_eq!(cursor.low, Some(at(880)));
        cursor.begin(at(1030), Duration::from_secs(120));
        assert!(!cursor.pass_row(at(990), "b", 2), "the same row again");
        assert!(cursor.pass_row(at(990), "b", 3), "another change in the same second");
        assert!(cursor.pass_row(at(985), "c", 4), "a row that became visible late");
        assert_eq!(Cursor::read(&cursor.store(), "other"), None, "another organisation");
        assert_eq!(Cursor::read("{}", "org"), None, "not a cursor");
    }

    #[test]
    fn a_server_clock_that_goes_back_moves_nothing_back() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut cursor = Cursor::start("org");
        cursor.begin(at(1000), Duration::ZERO);
        cursor.end();
        cursor.begin(at(500), Duration::ZERO);
        cursor.end();
        assert_eq!(cursor.low, Some(at(1000)));
    }
}
