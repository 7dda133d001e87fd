//! Walking the chain of the trail, and erasing without breaking it.

use super::keys::{self, Key, Table};
use super::trail::{self, GENESIS, Kept};
use super::{Rows, Work, codec};
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::id::DealId;
use crate::store::{StoreError, Verification};

/// Erases summary, cause and field values of every entry about `deal`; the number of entries.
///
/// `entry` records it, always as [`AuditKind::Redacted`] and about that deal, for a walk accepts an
/// erased entry only if such a record follows it. Records of earlier erasures stay as they are.
pub(crate) fn erase(
    work: &mut Work<'_>,
    deal: &DealId,
    entry: NewEntry,
) -> Result<usize, StoreError> {
    let about = work.rows().under(&trail::of_deal(deal).bytes());
    let about = about.map(|row| Ok(keys::last_number(&row?.0)));
    let about = about.collect::<Result<Vec<_>, StoreError>>()?;
    let entry = NewEntry { kind: AuditKind::Redacted, deal: Some(deal.clone()), ..entry };
    let record = trail::append(work, entry)?;
    let mut erased = 0;
    for number in about {
        let Some(mut kept) = load(work.rows(), number)? else { continue };
        if kept.personal.is_none() || kept.plain()?.kind == AuditKind::Redacted {
            continue;
        }
        kept.personal = None;
        kept.erased_by = Some(record);
        trail::put(work, &kept)?;
        erased += 1;
    }
    Ok(erased)
}

/// Walks the whole chain.
pub(crate) fn verify(rows: &dyn Rows) -> Result<Verification, StoreError> {
    let mut walked = Verification { entries: 0, broken_at: None, head: GENESIS.to_owned() };
    let mut expected = 1;
    for row in rows.under(&Key::of(Table::Trail).bytes()) {
        let (key, value) = row?;
        let number = keys::last_number(&key);
        let kept = codec::decode::<Kept>(&value).ok();
        let fits = match &kept {
            Some(kept) => number == expected && fits(rows, kept, number, &walked.head)?,
            None => false,
        };
        if !fits {
            walked.broken_at = walked.broken_at.or(Some(expected.min(number)));
        }
        walked.entries += 1;
        walked.head = kept.map_or_else(String::new, |kept| kept.hash);
        expected = number + 1;
    }
    let head = trail::head(rows)?;
    if head.number + 1 != expected || head.hash != walked.head {
        walked.broken_at = walked.broken_at.or(Some(expected.min(head.number + 1)));
    }
    Ok(walked)
}

/// Whether an entry follows from the one before, and what it says is what was chained.
fn fits(rows: &dyn Rows, kept: &Kept, number: u64, previous: &str) -> Result<bool, StoreError> {
    let chained = trail::chained(previous, number, &kept.plain, &kept.digest);
    if kept.number != number || kept.hash != chained {
        return Ok(false);
    }
    match (&kept.personal, kept.erased_by) {
        (Some(personal), None) => Ok(personal.digest() == kept.digest),
        (None, Some(record)) => erasure_is_recorded(rows, kept, record),
        _ => Ok(false),
    }
}

/// Whether entry `record` is a later one that tells of erasing the deal of `kept`.
fn erasure_is_recorded(rows: &dyn Rows, kept: &Kept, record: u64) -> Result<bool, StoreError> {
    let Some(record) = load(rows, record)?.filter(|record| record.number > kept.number) else {
        return Ok(false);
    };
    let (erased, record) = (kept.plain()?, record.plain()?);
    Ok(record.kind == AuditKind::Redacted && erased.deal.is_some() && record.deal == erased.deal)
}

fn load(rows: &dyn Rows, number: u64) -> Result<Option<Kept>, StoreError> {
    rows.load(&keys::numbered(Table::Trail, number))
}
