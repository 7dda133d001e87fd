//! What becomes the base: after a write that was confirmed, and after one whose answer was lost.

use super::field::agree;
use super::plan::LinkOutcome;
use crate::domain::deal::{Intent, Link, Stage, StageAgreement, Values};
use crate::domain::value::Value;
use crate::mapping::rule::SideValues;

/// Sentences remembered as told, at most.
const MOST_TOLD: usize = 64;

/// Moves a link's base once its part of a plan is done: what each side really holds now is what they
/// agreed on, also where a system trimmed, rounded or ignored what it was given.
pub fn settle(
    link: &mut Link,
    outcome: &LinkOutcome,
    referral: &SideValues,
    record: &SideValues,
    stage: Option<Stage>,
) {
    for field in &outcome.settled {
        let (Some(there), Some(here)) = (referral.values.get(field), record.values.get(field))
        else {
            continue;
        };
        agree(&mut link.base, field, there, here);
    }
    if let Some(agreed) = outcome.stage {
        let record = if agreed.record == agreed.referral { stage } else { None };
        link.base_stage = Some(StageAgreement {
            referral: agreed.referral,
            record: record.unwrap_or(agreed.record),
        });
    }
    for key in &outcome.told {
        if !link.told.contains(key) {
            link.told.push(key.clone());
        }
    }
    let surplus = link.told.len().saturating_sub(MOST_TOLD);
    link.told.drain(..surplus);
}

/// Whether a write to a record landed, by the sync token that went with it.
#[must_use]
pub fn landed_by_token(intent: &Intent, token: &str) -> bool {
    !token.is_empty() && token == intent.token
}

/// Whether a write without a token landed: the version moved, and at least one value that was sent
/// and is not what the base holds is there now. A write is one transaction, so one value proves all.
#[must_use]
pub fn landed_by_value(
    intent: &Intent,
    link: &Link,
    now: &Values,
    stage: Option<Stage>,
    moved: bool,
) -> bool {
    if !moved {
        return false;
    }
    let stage_there = intent.stage.is_some() && intent.stage == stage;
    let value_there = intent.sent.iter().any(|(field, sent)| {
        let old = link.base.get(field);
        let was_old = old.is_some_and(|base| base.referral.is(sent));
        !was_old && now.get(field) == Some(sent)
    });
    stage_there || value_there
}

/// Moves the base to what a landed write sent: `held` is what the target holds when it is given
/// exactly that (after the target's own trimming, as far as the mapping knows it).
pub fn settle_landed(link: &mut Link, sent: &Values, held: &Values, to_partner_center: bool) {
    for (field, value) in sent {
        let held: &Value = held.get(field).unwrap_or(value);
        if to_partner_center {
            agree(&mut link.base, field, held, value);
        } else {
            agree(&mut link.base, field, value, held);
        }
    }
}
