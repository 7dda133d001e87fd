//! The counts of notices, kept in the same change as what they count.

use super::keys::{Key, Table};
use super::{Rows, Work, codec};
use crate::domain::notice::{Done, Source};
use crate::store::{LedgerLine, StoreError};

/// Changes the counts of one source.
pub(crate) fn count(
    work: &mut Work<'_>,
    source: Source,
    edit: impl FnOnce(&mut LedgerLine),
) -> Result<(), StoreError> {
    let key = Key::of(Table::Ledger).tail(source.as_str().as_bytes()).bytes();
    let mut line = work.load(&key)?.unwrap_or_else(|| empty(source));
    edit(&mut line);
    work.put(key, &line)
}

/// Counts one notice as done.
pub(crate) fn count_done(line: &mut LedgerLine, done: Done) {
    match done {
        Done::Applied => line.applied += 1,
        Done::Superseded => line.superseded += 1,
        Done::Ignored => line.ignored += 1,
    }
}

/// The counts of every source that was ever heard of, by name.
pub(crate) fn lines(rows: &dyn Rows) -> Result<Vec<LedgerLine>, StoreError> {
    let lines = rows.under(&Key::of(Table::Ledger).bytes());
    lines.map(|row| codec::decode(&row?.1)).collect()
}

/// The counts of a source that was not heard of.
fn empty(source: Source) -> LedgerLine {
    LedgerLine { source, accepted: 0, applied: 0, superseded: 0, ignored: 0, waiting: 0, held: 0 }
}
