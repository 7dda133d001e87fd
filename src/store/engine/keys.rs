//! Keys: explicit bytes whose order is the order the rules need.
//!
//! A key is its table's byte, then its parts. A text is its length (four bytes, big-endian) and its
//! bytes, so that no text can run into the next part; numbers are eight bytes, big-endian.

use crate::domain::id::{AccountName, DealId, NoticeId};
use crate::domain::notice::Subject;
use crate::domain::time::Timestamp;
use crate::store::Lane;

/// The tables, each a range of keys. The numbers are on disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Facts about the store itself, by name.
    Meta = 1,
    /// Waiting notices, by number.
    Notice = 2,
    /// Numbers of waiting notices, by account, subject and number.
    Queue = 3,
    /// What is known of the waiting notices of one subject, by account and subject.
    Turn = 4,
    /// Subjects whose turn it may be, by moment, account and subject.
    Due = 5,
    /// Dead letters, by number.
    Dead = 6,
    /// Deals, by id.
    Deal = 7,
    /// Ids of deals, by account and id.
    AccountDeal = 8,
    /// Ids of deals, by account and whatever a deal is looked up by.
    DealIndex = 9,
    /// Where feeds stand, by account and feed.
    Cursor = 10,
    /// When a dedupe key was first seen, by account and hash of the key.
    Dedupe = 11,
    /// The same, by moment, to forget the oldest.
    DedupeAge = 12,
    /// The trail, by number.
    Trail = 13,
    /// Numbers of entries, by deal and number.
    TrailOfDeal = 14,
    /// Counts of notices, by source.
    Ledger = 15,
    /// Named values, by name.
    Note = 16,
    /// Which values live in a file of their own, by hash and key; private to an implementation.
    Body = 17,
}

/// Builds one key.
#[derive(Debug, Clone)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// Begins a key of `table`.
    pub(crate) fn of(table: Table) -> Self {
        Self(vec![table as u8])
    }

    /// Adds a text that is followed by something, or compared as a whole.
    pub(crate) fn text(mut self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a last part whose order is that of its bytes.
    pub(crate) fn tail(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number.
    pub(crate) fn number(self, number: u64) -> Self {
        self.tail(&number.to_be_bytes())
    }

    /// Adds a moment; those before 1970 sort first.
    pub(crate) fn moment(self, at: Timestamp) -> Self {
        self.number(at.as_millis().cast_unsigned() ^ (1 << 63))
    }

    /// Adds an account and a subject.
    pub(crate) fn lane(self, lane: &Lane) -> Self {
        let key = self.text(lane.account.as_str());
        match &lane.subject {
            Subject::Referral(id) => key.tail(&[1]).text(id.as_str()),
            Subject::Record(record) => key
                .tail(&[2])
                .text(record.crm.as_str())
                .text(record.kind.as_str())
                .text(record.id.as_str()),
            Subject::Deal(id) => key.tail(&[3]).text(id.as_str()),
            Subject::Unusable(reason) => key.tail(&[4]).text(reason),
        }
    }

    /// The key's bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A fact about the store itself.
pub(crate) fn meta(name: &str) -> Vec<u8> {
    Key::of(Table::Meta).tail(name.as_bytes()).bytes()
}

/// A deal.
pub(crate) fn deal(id: &DealId) -> Vec<u8> {
    Key::of(Table::Deal).tail(id.as_str().as_bytes()).bytes()
}

/// A deal in the list of its account.
pub(crate) fn account_deal(account: &AccountName, id: &str) -> Vec<u8> {
    Key::of(Table::AccountDeal).text(account.as_str()).tail(id.as_bytes()).bytes()
}

/// A row that is kept by a notice's or an entry's number.
pub(crate) fn numbered(table: Table, number: u64) -> Vec<u8> {
    Key::of(table).number(number).bytes()
}

/// The first key that does not begin with `prefix`.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; prefix.len() + 1]
}

/// The number at the end of a key.
pub(crate) fn last_number(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The id of the notice with this number.
pub(crate) fn notice_id(number: u64) -> NoticeId {
    NoticeId::new(format!("{number:020}"))
}

/// The number of a notice; `None` if the text cannot be one that the inbox gave.
pub(crate) fn notice_number(id: &NoticeId) -> Option<u64> {
    let text = id.as_str();
    let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Key, Table, end_of, notice_id, notice_number};
    use crate::domain::id::NoticeId;
    use crate::domain::time::Timestamp;

    #[test]
    fn moments_sort_as_they_pass() {
        let at = |millis| Key::of(Table::Due).moment(Timestamp::from_millis(millis)).bytes();
        let moments = [i64::MIN, -5, 0, 7, 1_800_000_000_000, i64::MAX].map(at);
        assert!(moments.is_sorted());
    }

    #[test]
    fn a_text_never_runs_into_the_next_part() {
        let left = Key::of(Table::Cursor).text("ab").text("c").bytes();
        let right = Key::of(Table::Cursor).text("a").text("bc").bytes();
        assert_ne!(left, right);
        assert!(!right.starts_with(&Key::of(Table::Cursor).text("ab").bytes()));
    }

    #[test]
    fn the_end_of_a_prefix_is_just_past_it() {
        let table = [
            (vec![1, 2], vec![1, 3], "the last byte grows"),
            (vec![1, 255], vec![2], "a full byte carries"),
            (vec![255], vec![255, 255], "nothing is left to grow"),
        ];
        for (prefix, end, why) in table {
            assert_eq!(end_of(&prefix), end, "{why}");
        }
    }

    #[test]
    fn only_the_inbox_makes_ids() {
        assert_eq!(notice_number(&notice_id(42)), Some(42));
        for (text, why) in [("42", "not padded"), ("+0000000000000000042", "a sign"), ("", "empty")]
        {
            assert_eq!(notice_number(&NoticeId::new(text)), None, "{why}");
        }
    }
}
