//! Which notices are worked on together, and by whom.
//!
//! A notice belongs to the deal that its subject is known to be part of, and to a lane of its own
//! otherwise. That is looked up when it matters and never stored, since a deal may be linked after
//! its notices came in.

use std::collections::BTreeSet;

use super::deals::{self, Names};
use super::{Rows, Work, inbox, turn};
use crate::domain::notice::{Notice, Subject};
use crate::domain::time::Timestamp;
use crate::store::{Claim, Lane, StoreError};

/// The lane that a subject belongs to, and what its deal is looked up by.
pub(crate) fn lane_of(
    rows: &dyn Rows,
    subject: &Lane,
) -> Result<(Lane, Option<Names>), StoreError> {
    let lane = name_of(rows, subject)?;
    let names = match &lane.subject {
        Subject::Deal(id) => deals::names(rows, id)?,
        _ => None,
    };
    Ok((lane, names.filter(|names| names.account == subject.account)))
}

/// The lane that a subject belongs to, by the index alone.
pub(crate) fn name_of(rows: &dyn Rows, subject: &Lane) -> Result<Lane, StoreError> {
    let account = &subject.account;
    let deal = deals::holder(rows, account, &subject.subject)?;
    let lane = |id| Lane { account: account.clone(), subject: Subject::Deal(id) };
    Ok(deal.map_or_else(|| subject.clone(), lane))
}

/// Every subject that belongs to `lane`, given the names of its deal.
///
/// A record or referral that two deals name belongs to the one that named it last.
pub(crate) fn members(
    rows: &dyn Rows,
    lane: &Lane,
    names: Option<&Names>,
) -> Result<Vec<Lane>, StoreError> {
    let mut members = vec![lane.clone()];
    for subject in names.into_iter().flat_map(Names::subjects) {
        let member = Lane { account: lane.account.clone(), subject };
        if !members.contains(&member) && name_of(rows, &member)? == *lane {
            members.push(member);
        }
    }
    Ok(members)
}

/// Takes at most `limit` lanes whose turn it is.
pub(crate) fn claim(
    work: &mut Work<'_>,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Claim>, StoreError> {
    let mut claims = Vec::new();
    let mut seen = BTreeSet::new();
    for next in turn::in_order(work) {
        let (ready, subject) = next?;
        if claims.len() >= limit || ready > now {
            break;
        }
        let lane = name_of(work.rows(), &subject)?;
        if !seen.insert(lane.clone()) {
            continue;
        }
        let (_, names) = lane_of(work.rows(), &lane)?;
        let members = members(work.rows(), &lane, names.as_ref())?;
        if !members.iter().any(|member| work.is_claimed(member)) {
            let notices = waiting_in(work.rows(), &members)?;
            let deal = match &lane.subject {
                Subject::Deal(id) if names.is_some() => deals::load(work.rows(), id)?,
                _ => None,
            };
            claims.push(Claim { lane, notices, deal });
        }
    }
    work.claimed.extend(claims.iter().map(|claim| (claim.lane.clone(), true)));
    Ok(claims)
}

/// Sets a lane free and leaves its notices as they are.
pub(crate) fn give_back(work: &mut Work<'_>, lane: Lane) {
    work.claimed.push((lane, false));
}

/// When the turn of the first lane comes that nobody works on.
pub(crate) fn next_due(work: &Work<'_>) -> Result<Option<Timestamp>, StoreError> {
    for next in turn::in_order(work) {
        let (ready, subject) = next?;
        let (lane, names) = lane_of(work.rows(), &subject)?;
        let members = members(work.rows(), &lane, names.as_ref())?;
        if !members.iter().any(|member| work.is_claimed(member)) {
            return Ok(Some(ready));
        }
    }
    Ok(None)
}

/// The waiting notices of all `members` of a lane, oldest first.
fn waiting_in(rows: &dyn Rows, members: &[Lane]) -> Result<Vec<Notice>, StoreError> {
    let mut notices = Vec::new();
    for member in members {
        notices.extend(inbox::of_subject(rows, member)?);
    }
    notices.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(notices)
}
