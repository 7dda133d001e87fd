//! What a try leaves behind: one commit, or a person's decision about a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{self, Key, Table};
use super::turn::{self, Gate};
use super::{Rows, Work, codec, deals, inbox, lanes, ledger, named, trail};
use crate::domain::audit::NewEntry;
use crate::domain::id::{AccountName, NoticeId};
use crate::domain::notice::{Done, Notice};
use crate::domain::time::Timestamp;
use crate::store::{Commit, DeadLetter, Ending, Fate, Lane, Release, StoreError};

/// Notices of one ending by number, so that the last is the newest.
type Worked = BTreeMap<u64, Notice>;

/// Applies everything in `commit`.
///
/// The deal comes first, so that the ending and new notices find the lanes as they are afterwards.
pub(crate) fn commit(work: &mut Work<'_>, commit: Commit) -> Result<(), StoreError> {
    let now = moment_of(&commit);
    let mut touched = BTreeSet::new();
    if let Some(deal) = &commit.deal {
        deals::put(work, deal, &mut touched)?;
    }
    if let Some(ending) = commit.ending {
        end(work, ending, now, &mut touched)?;
    }
    inbox::add(work, commit.notices, now, &mut touched)?;
    for cursor in &commit.cursors {
        named::move_cursor(work, cursor)?;
    }
    for entry in commit.entries {
        trail::append(work, entry)?;
    }
    for note in &commit.forget {
        named::keep_note(work, note, None)?;
    }
    turn::settle(work, &touched)
}

/// The moment of a commit: as stated, else that of what it brings.
fn moment_of(commit: &Commit) -> Timestamp {
    let of_entry = commit.entries.first().map(|entry| entry.at);
    let of_deal = commit.deal.as_ref().map(|deal| deal.changed);
    commit.now.or(of_entry).or(of_deal).unwrap_or(Timestamp::from_millis(0))
}

/// Ends one try of a lane and sets the lane free.
fn end(
    work: &mut Work<'_>,
    ending: Ending,
    now: Timestamp,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    let worked = still_waiting(work.rows(), &ending.notices)?;
    let members = clear_gates(work, &ending.lane, touched)?;
    if !matches!(ending.fate, Fate::Retry { .. }) {
        supersede_letters(work, &members)?;
    }
    match ending.fate {
        Fate::Done(done) => finish(work, worked, done, touched)?,
        Fate::Retry { at, counts, reason } => {
            for (number, mut notice) in worked {
                notice.attempts += u32::from(counts);
                work.put(turn::notice_key(number), &notice)?;
            }
            turn::change(work, &ending.lane, |turn| turn.gate = Some(Gate { at, reason }))?;
        }
        Fate::Held(hold) => {
            let mut worked = worked;
            if let Some((number, notice)) = worked.pop_last() {
                let letter = DeadLetter { notice, hold, held: now };
                bury(work, number, &letter, touched)?;
            }
            finish(work, worked, Done::Superseded, touched)?;
        }
    }
    lanes::give_back(work, ending.lane);
    Ok(())
}

/// Those of the notices that still wait: one that is gone was counted when it went.
fn still_waiting(rows: &dyn Rows, ids: &[NoticeId]) -> Result<Worked, StoreError> {
    let mut worked = Worked::new();
    for number in ids.iter().filter_map(keys::notice_number) {
        if let Some(notice) = inbox::load(rows, number)? {
            worked.insert(number, notice);
        }
    }
    Ok(worked)
}

/// Forgets what an earlier try said about waiting; every subject of the lane goes to `touched` and is
/// returned.
fn clear_gates(
    work: &mut Work<'_>,
    lane: &Lane,
    touched: &mut BTreeSet<Lane>,
) -> Result<Vec<Lane>, StoreError> {
    let (whole, names) = lanes::lane_of(work.rows(), lane)?;
    let mut members = lanes::members(work.rows(), &whole, names.as_ref())?;
    if !members.contains(lane) {
        members.push(lane.clone());
    }
    for member in &members {
        if turn::load(work, member)?.gate.is_some() {
            turn::change(work, member, |turn| turn.gate = None)?;
        }
        touched.insert(member.clone());
    }
    Ok(members)
}

/// Takes out the dead letters of a lane that a later try brought to an end: a change released them,
/// or the same hold is told anew by a later notice.
fn supersede_letters(work: &mut Work<'_>, members: &[Lane]) -> Result<(), StoreError> {
    let mut letters = 0;
    for member in members {
        letters += turn::load(work, member)?.dead;
    }
    if letters == 0 {
        return Ok(());
    }
    for letter in dead_letters(work.rows(), None, usize::MAX)? {
        let subject = inbox::subject_of(&letter.notice);
        if !members.contains(&subject) {
            continue;
        }
        let number = keys::notice_number(&letter.notice.id).unwrap_or_default();
        work.remove(keys::numbered(Table::Dead, number));
        turn::change(work, &subject, |turn| turn.dead = turn.dead.saturating_sub(1))?;
        ledger::count(work, letter.notice.notice.source, |line| {
            line.held -= 1;
            ledger::count_done(line, Done::Superseded);
        })?;
    }
    Ok(())
}

/// Takes out notices that are done: the newest as `done`, the others as superseded.
fn finish(
    work: &mut Work<'_>,
    worked: Worked,
    done: Done,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    let newest = worked.last_key_value().map(|(number, _)| *number);
    let mut subjects = BTreeSet::new();
    for (number, notice) in worked {
        let ended = if Some(number) == newest { done } else { Done::Superseded };
        inbox::take_out(work, number, &notice);
        subjects.insert(inbox::subject_of(&notice));
        ledger::count(work, notice.notice.source, |line| {
            line.waiting -= 1;
            ledger::count_done(line, ended);
        })?;
    }
    for subject in &subjects {
        turn::recount(work, subject)?;
    }
    touched.extend(subjects);
    Ok(())
}

/// Moves a notice to the dead letters.
fn bury(
    work: &mut Work<'_>,
    number: u64,
    letter: &DeadLetter,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    inbox::take_out(work, number, &letter.notice);
    work.put(keys::numbered(Table::Dead, number), letter)?;
    let subject = inbox::subject_of(&letter.notice);
    turn::recount(work, &subject)?;
    turn::change(work, &subject, |turn| turn.dead += 1)?;
    touched.insert(subject);
    ledger::count(work, letter.notice.notice.source, |line| {
        line.waiting -= 1;
        line.held += 1;
    })
}

/// Applies a person's decision about a dead letter; `false` if there is none with this id.
pub(crate) fn release(
    work: &mut Work<'_>,
    id: &NoticeId,
    release: Release,
    entry: NewEntry,
) -> Result<bool, StoreError> {
    let Some(letter) = dead_letter(work.rows(), id)? else { return Ok(false) };
    let number = keys::notice_number(id).unwrap_or_default();
    let mut notice = letter.notice;
    let source = notice.notice.source;
    let mut touched = BTreeSet::from([inbox::subject_of(&notice)]);
    work.remove(keys::numbered(Table::Dead, number));
    turn::change(work, &inbox::subject_of(&notice), |turn| {
        turn.dead = turn.dead.saturating_sub(1);
    })?;
    if release == Release::Retry {
        notice.attempts = 0;
        inbox::put_in(work, number, &notice, &mut touched)?;
    }
    ledger::count(work, source, |line| {
        line.held -= 1;
        match release {
            Release::Retry => line.waiting += 1,
            Release::Discard => line.ignored += 1,
        }
    })?;
    trail::append(work, entry)?;
    turn::settle(work, &touched)?;
    Ok(true)
}

/// One dead letter.
pub(crate) fn dead_letter(
    rows: &dyn Rows,
    id: &NoticeId,
) -> Result<Option<DeadLetter>, StoreError> {
    match keys::notice_number(id) {
        Some(number) => rows.load(&keys::numbered(Table::Dead, number)),
        None => Ok(None),
    }
}

/// The first `limit` dead letters of an account or of all, oldest notice first.
pub(crate) fn dead_letters(
    rows: &dyn Rows,
    account: Option<&AccountName>,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let letters = rows.under(&Key::of(Table::Dead).bytes());
    let letters = letters.map(|row| codec::decode::<DeadLetter>(&row?.1));
    let wanted = |letter: &Result<DeadLetter, StoreError>| {
        let (Ok(letter), Some(account)) = (letter, account) else { return true };
        letter.notice.notice.account == *account
    };
    letters.filter(wanted).take(limit).collect()
}
