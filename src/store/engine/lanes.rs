//! Which notices are worked on together, and by whom.
//!
//! A notice belongs to the deal that its subject is known to be part of, and to a lane of its own
//! otherwise. That is looked up when it matters and never stored, since a deal may be linked after
//! its notices came in.

use std::collections::BTreeSet;

use super::{Rows, Work, deals, inbox, turn};
use crate::domain::deal::Deal;
use crate::domain::notice::{Notice, Subject};
use crate::domain::time::Timestamp;
use crate::store::{Claim, DealKey, Lane, StoreError};

/// The lane that a subject belongs to, and its deal.
pub(crate) fn lane_of(rows: &dyn Rows, subject: &Lane) -> Result<(Lane, Option<Deal>), StoreError> {
    let account = &subject.account;
    let deal = match &subject.subject {
        Subject::Deal(id) => deals::load(rows, id)?.filter(|deal| deal.account == *account),
        Subject::Referral(id) => deals::find(rows, account, &DealKey::Referral(id.clone()))?,
        Subject::Record(key) => deals::find(rows, account, &DealKey::Record(key.clone()))?,
        Subject::Unusable(_) => None,
    };
    let lane = deal.as_ref().map_or_else(|| subject.clone(), lane_of_deal);
    Ok((lane, deal))
}

/// The lane that a subject belongs to, for whoever needs no deal: reading one costs many times more.
pub(crate) fn name_of(rows: &dyn Rows, subject: &Lane) -> Result<Lane, StoreError> {
    let account = &subject.account;
    let deal = deals::holder(rows, account, &subject.subject)?;
    let lane = |id| Lane { account: account.clone(), subject: Subject::Deal(id) };
    Ok(deal.map_or_else(|| subject.clone(), lane))
}

/// The lane of a deal.
fn lane_of_deal(deal: &Deal) -> Lane {
    Lane { account: deal.account.clone(), subject: Subject::Deal(deal.id.clone()) }
}

/// Every subject that belongs to `lane`, given its deal.
///
/// A record or referral that two deals name belongs to the one that named it last.
pub(crate) fn members(
    rows: &dyn Rows,
    lane: &Lane,
    deal: Option<&Deal>,
) -> Result<Vec<Lane>, StoreError> {
    let mut members = vec![lane.clone()];
    for subject in deal.into_iter().flat_map(deals::subjects) {
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
        let (_, deal) = lane_of(work.rows(), &lane)?;
        let members = members(work.rows(), &lane, deal.as_ref())?;
        if !members.iter().any(|member| work.is_claimed(member)) {
            let notices = waiting_in(work.rows(), &members)?;
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
        let (lane, deal) = lane_of(work.rows(), &subject)?;
        let members = members(work.rows(), &lane, deal.as_ref())?;
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
