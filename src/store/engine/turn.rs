//! What is known of the waiting notices of one subject, and when its lane's turn comes.
//!
//! A lane's turn comes when any of its notices is due and its last retry said not to wait any longer.
//! A dead letter does not stop its lane: a later change may be the very repair it waits for. Each
//! subject of a lane keeps its own row, and [`settle`] writes the moments of a whole lane anew
//! whenever one of them changed, so that a claim meets no lane whose turn it is not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::keys::{self, Key, Table};
use super::{Work, inbox, lanes};
use crate::domain::time::Timestamp;
use crate::store::{Lane, StoreError};

/// The row of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// When the first of its waiting notices is due; `None` if none waits.
    pub(crate) earliest: Option<Timestamp>,
    /// The last retry of the lane that was claimed under this subject.
    pub(crate) gate: Option<Gate>,
    /// How many of its notices are dead letters.
    pub(crate) dead: u32,
    /// The moment under which it stands in [`Table::Due`].
    ready: Option<Timestamp>,
}

/// A lane that is not to be tried before a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// The moment.
    pub(crate) at: Timestamp,
    /// Why, for people who read an export.
    pub(crate) reason: String,
}

/// The row of `subject`, empty if there is none.
pub(crate) fn load(work: &Work<'_>, subject: &Lane) -> Result<Turn, StoreError> {
    Ok(work.load(&key(subject))?.unwrap_or_default())
}

/// Changes the row of `subject`, whose lane is to be settled afterwards.
pub(crate) fn change(
    work: &mut Work<'_>,
    subject: &Lane,
    edit: impl FnOnce(&mut Turn),
) -> Result<(), StoreError> {
    let mut turn = load(work, subject)?;
    edit(&mut turn);
    work.put(key(subject), &turn)
}

/// Looks up anew when the first waiting notice of `subject` is due.
pub(crate) fn recount(work: &mut Work<'_>, subject: &Lane) -> Result<(), StoreError> {
    let notices = inbox::of_subject(work.rows(), subject)?;
    let earliest = notices.iter().map(|notice| notice.notice.due).min();
    change(work, subject, |turn| turn.earliest = earliest)
}

/// Brings every lane that one of `subjects` belongs to up to date in [`Table::Due`].
pub(crate) fn settle(work: &mut Work<'_>, subjects: &BTreeSet<Lane>) -> Result<(), StoreError> {
    let mut settled = BTreeSet::new();
    for subject in subjects {
        let lane = lanes::name_of(work.rows(), subject)?;
        if settled.insert(lane.clone()) {
            let (_, names) = lanes::lane_of(work.rows(), &lane)?;
            let members = lanes::members(work.rows(), &lane, names.as_ref())?;
            settle_lane(work, &members)?;
        }
    }
    Ok(())
}

/// Brings one lane up to date, given all its subjects.
fn settle_lane(work: &mut Work<'_>, members: &[Lane]) -> Result<(), StoreError> {
    let turns =
        members.iter().map(|member| load(work, member)).collect::<Result<Vec<_>, StoreError>>()?;
    let gate = turns.iter().filter_map(|turn| turn.gate.as_ref()).map(|gate| gate.at).max();
    for (member, mut turn) in members.iter().zip(turns) {
        let wanted = turn.earliest.and_then(|earliest| gate.max(Some(earliest)));
        if turn.ready != wanted {
            if let Some(old) = turn.ready {
                work.remove(due_key(old, member));
            }
            if let Some(new) = wanted {
                work.put(due_key(new, member), &(new, member))?;
            }
            turn.ready = wanted;
            work.put(key(member), &turn)?;
        }
        if turn == Turn::default() && work.load::<Turn>(&key(member))?.is_some() {
            work.remove(key(member));
        }
    }
    Ok(())
}

/// The key of a subject's row.
fn key(subject: &Lane) -> Vec<u8> {
    Key::of(Table::Turn).lane(subject).bytes()
}

/// The key under which a subject stands in the order of moments.
fn due_key(at: Timestamp, subject: &Lane) -> Vec<u8> {
    Key::of(Table::Due).moment(at).lane(subject).bytes()
}

/// The subjects whose turn it is or will be, earliest first, each with its moment.
pub(crate) fn in_order<'a>(
    work: &'a Work<'_>,
) -> impl Iterator<Item = Result<(Timestamp, Lane), StoreError>> + 'a {
    let rows = work.rows().under(&Key::of(Table::Due).bytes());
    rows.map(|row| super::codec::decode(&row?.1))
}

/// The key prefix of the waiting notices of `subject`.
pub(crate) fn queue_prefix(subject: &Lane) -> Vec<u8> {
    Key::of(Table::Queue).lane(subject).bytes()
}

/// The key of one waiting notice of `subject`.
pub(crate) fn queue_key(subject: &Lane, number: u64) -> Vec<u8> {
    Key::of(Table::Queue).lane(subject).number(number).bytes()
}

/// The key of a waiting notice.
pub(crate) fn notice_key(number: u64) -> Vec<u8> {
    keys::numbered(Table::Notice, number)
}
