//! Notices on their way in: each is taken once, numbered, counted and put into its queue.

use std::collections::BTreeSet;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::keys::{self, Key, Table};
use super::{Rows, Work, codec, lanes, ledger, named, trail, turn};
use crate::domain::audit::NewEntry;
use crate::domain::notice::{NewNotice, Notice, Source};
use crate::domain::time::Timestamp;
use crate::store::{CursorMove, Lane, StoreError};

/// How long a dedupe key is remembered.
pub(crate) const DEDUPE_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most forgotten keys that one request clears away for each notice it brings.
const CLEARED_PER_NOTICE: usize = 4;

/// Takes in notices, moves cursors and records what happened; the number of fresh notices.
pub(crate) fn enqueue(
    work: &mut Work<'_>,
    notices: Vec<NewNotice>,
    cursors: &[CursorMove],
    entries: Vec<NewEntry>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut touched = BTreeSet::new();
    let fresh = add(work, notices, now, &mut touched)?;
    for cursor in cursors {
        named::move_cursor(work, cursor)?;
    }
    for entry in entries {
        trail::append(work, entry)?;
    }
    turn::settle(work, &touched)?;
    Ok(fresh)
}

/// Takes in those notices that are not known yet; their subjects go to `touched`.
pub(crate) fn add(
    work: &mut Work<'_>,
    notices: Vec<NewNotice>,
    now: Timestamp,
    touched: &mut BTreeSet<Lane>,
) -> Result<usize, StoreError> {
    forget_old_keys(work, now, notices.len() * CLEARED_PER_NOTICE)?;
    let mut fresh = 0;
    for notice in notices {
        if !remember_key(work, &notice, now)? {
            continue;
        }
        let number = work.next_number("notices")?;
        let source = notice.source;
        let notice = Notice { id: keys::notice_id(number), notice, received: now, attempts: 0 };
        put_in(work, number, &notice, touched)?;
        if source == Source::Operator {
            open_gates(work, &subject_of(&notice), touched)?;
        }
        ledger::count(work, source, |line| {
            line.accepted += 1;
            line.waiting += 1;
        })?;
        fresh += 1;
    }
    Ok(fresh)
}

/// Puts a notice into its queue.
pub(crate) fn put_in(
    work: &mut Work<'_>,
    number: u64,
    notice: &Notice,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    let subject = subject_of(notice);
    work.put(turn::notice_key(number), notice)?;
    work.put(turn::queue_key(&subject, number), &())?;
    turn::change(work, &subject, |turn| {
        let due = notice.notice.due;
        turn.earliest = Some(turn.earliest.map_or(due, |earliest| earliest.min(due)));
    })?;
    touched.insert(subject);
    Ok(())
}

/// A person asks: the lane of `subject` does not wait for its next retry.
fn open_gates(
    work: &mut Work<'_>,
    subject: &Lane,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    let (lane, names) = lanes::lane_of(work.rows(), subject)?;
    for member in lanes::members(work.rows(), &lane, names.as_ref())? {
        turn::change(work, &member, |turn| turn.gate = None)?;
        touched.insert(member);
    }
    Ok(())
}

/// Takes a notice out of its queue, which is to be counted again afterwards.
pub(crate) fn take_out(work: &mut Work<'_>, number: u64, notice: &Notice) {
    work.remove(turn::notice_key(number));
    work.remove(turn::queue_key(&subject_of(notice), number));
}

/// The subject of a notice, as the name of the lane it has if no deal is known for it.
pub(crate) fn subject_of(notice: &Notice) -> Lane {
    Lane { account: notice.notice.account.clone(), subject: notice.notice.subject.clone() }
}

/// One waiting notice.
pub(crate) fn load(rows: &dyn Rows, number: u64) -> Result<Option<Notice>, StoreError> {
    rows.load(&turn::notice_key(number))
}

/// The waiting notices of exactly this subject, oldest first.
pub(crate) fn of_subject(rows: &dyn Rows, subject: &Lane) -> Result<Vec<Notice>, StoreError> {
    let mut notices = Vec::new();
    for row in rows.under(&turn::queue_prefix(subject)) {
        notices.extend(load(rows, keys::last_number(&row?.0))?);
    }
    Ok(notices)
}

/// The first `limit` waiting notices, oldest first.
pub(crate) fn waiting(rows: &dyn Rows, limit: usize) -> Result<Vec<Notice>, StoreError> {
    let waiting = rows.under(&Key::of(Table::Notice).bytes()).take(limit);
    waiting.map(|row| codec::decode(&row?.1)).collect()
}

/// Whether the notice is new, in which case its dedupe key is now known.
fn remember_key(
    work: &mut Work<'_>,
    notice: &NewNotice,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(dedupe) = &notice.dedupe else { return Ok(true) };
    let hash = digest(&SHA256, dedupe.as_bytes());
    let account = notice.account.as_str();
    let key = Key::of(Table::Dedupe).text(account).tail(hash.as_ref()).bytes();
    if let Some(seen) = work.load::<Timestamp>(&key)? {
        if now.since(seen) < DEDUPE_MEMORY {
            return Ok(false);
        }
        work.remove(age_key(seen, &key));
    }
    work.put(age_key(now, &key), &())?;
    work.put(key, &now)?;
    Ok(true)
}

/// Forgets at most `limit` dedupe keys whose time is up.
fn forget_old_keys(work: &mut Work<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
    let from = Key::of(Table::DedupeAge).bytes();
    let until = Key::of(Table::DedupeAge).moment(now.minus(DEDUPE_MEMORY)).bytes();
    let until = keys::end_of(&until);
    let old = work.rows().range(&from, &until, false).take(limit);
    let old = old.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()?;
    for aged in old {
        work.remove(aged.get(AGE_PREFIX..).unwrap_or_default().to_vec());
        work.remove(aged);
    }
    Ok(())
}

/// Bytes of an age key before the dedupe key it is about: the table and the moment.
const AGE_PREFIX: usize = 9;

/// The key that finds a dedupe key by its age.
fn age_key(seen: Timestamp, key: &[u8]) -> Vec<u8> {
    Key::of(Table::DedupeAge).moment(seen).tail(key).bytes()
}
