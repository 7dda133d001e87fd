//! What becomes the base: after a write that was confirmed, and after one whose answer was lost.

use rust_decimal::RoundingStrategy;

use super::field::agree;
use super::plan::LinkOutcome;
use super::sentence;
use crate::domain::deal::{Intent, Link, StageAgreement, Values};
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::rule::SideValues;

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
        link.agree_on_stages(StageAgreement {
            referral: agreed.referral,
            record: record.unwrap_or(agreed.record),
        });
    }
    remember_told(link, &outcome.told, &outcome.still_true);
}

/// Notes what was told. It takes the place of what was told of the same topic before and is not true
/// any more, so that as much is remembered as there are topics.
pub fn remember_told(link: &mut Link, told: &[String], still_true: &[String]) {
    for key in told {
        link.told.retain(|old| {
            !sentence::same_topic(old, key) || told.contains(old) || still_true.contains(old)
        });
        if !link.told.contains(key) {
            link.told.push(key.clone());
        }
    }
}

/// What the base remembers of a field that was just written: `held` was read back after the write,
/// `meant` is what the mapping says the target holds when it is given exactly what was sent, and
/// `before` is what it held before.
///
/// A system may cut a text, round an amount or ignore a value: then what it holds is the base, and
/// nothing is pushed twice. Anything else was written by somebody between the write and the reading,
/// and must still count as changed.
#[must_use]
pub fn stuck<'a>(meant: &'a Value, held: &'a Value, before: &Value) -> &'a Value {
    if held == before || is_shortened(meant, held) { held } else { meant }
}

/// Whether a system left a value as it was `before` although it was to hold `meant`: an amount that
/// it computes itself, a field that its own rules guard.
#[must_use]
pub fn ignored(meant: &Value, held: &Value, before: &Value) -> bool {
    held == before && held != meant && !is_shortened(meant, held)
}

/// Whether `held` is `meant`, cut or rounded.
fn is_shortened(meant: &Value, held: &Value) -> bool {
    match (meant, held) {
        (Value::Text(meant), Value::Text(held)) => meant.starts_with(held.as_str()),
        (Value::Decimal(meant), Value::Decimal(held)) => {
            let digits = held.scale();
            let rounded =
                [RoundingStrategy::MidpointNearestEven, RoundingStrategy::MidpointAwayFromZero]
                    .map(|way| meant.round_dp_with_strategy(digits, way));
            rounded.contains(held) || meant.trunc_with_scale(digits) == *held
        }
        _ => false,
    }
}

/// Whether a write to a record landed, by the sync token that went with it.
#[must_use]
pub fn landed_by_token(intent: &Intent, token: &str) -> bool {
    !token.is_empty() && token == intent.token
}

/// Whether a write without a token landed: the version moved, and at least one value that was sent
/// and is not what the base holds is there now. A write is one transaction, so one value proves all.
/// The stage proves nothing beside values: somebody else may have made the same move.
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
    let mut fresh = intent
        .sent
        .iter()
        .filter(|(field, sent)| !link.base.get(*field).is_some_and(|base| base.referral.is(sent)))
        .peekable();
    if fresh.peek().is_none() {
        return intent.stage.is_some() && intent.stage == stage;
    }
    fresh.any(|(field, sent)| now.get(field) == Some(sent))
}

/// Moves the base to what a landed write sent, where its answer is missing: `meant` is what the
/// target holds when it is given exactly that, as far as the mapping knows it, and `now` is what it
/// holds now.
pub fn settle_landed(
    link: &mut Link,
    sent: &Values,
    meant: &Values,
    now: &Values,
    to_partner_center: bool,
) {
    for (field, value) in sent {
        let meant = meant.get(field).unwrap_or(value);
        // What it held before is no proof here: somebody may have put it back.
        let held = stuck(meant, now.get(field).unwrap_or(meant), meant);
        if to_partner_center {
            agree(&mut link.base, field, held, value);
        } else {
            agree(&mut link.base, field, value, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ignored, stuck};
    use crate::domain::value::Value;

    fn money(text: &str) -> Value {
        Value::decimal(text.parse().expect("a number"))
    }

    #[test]
    fn what_a_system_shortened_is_no_edit_and_anything_else_is_one() {
        let text = Value::text;
        let table = [
            (text("Ask in May"), text("Ask in"), text("Begin"), true, "a text that was cut"),
            (text("Ask in May"), text("Ask in June"), text("Begin"), false, "somebody's words"),
            (text("Ask in May"), text("Begin"), text("Begin"), true, "left as it was"),
            (text("Ask in May"), Value::Null, text("Begin"), false, "somebody emptied it"),
            (money("12.5"), money("12"), money("1"), true, "rounded half to even, or cut"),
            (money("12.5"), money("13"), money("1"), true, "rounded half away from zero"),
            (money("-12.5"), money("-13"), money("1"), true, "the same below zero"),
            (money("13.5"), money("13"), money("1"), true, "digits cut off"),
            (money("12.345"), money("12.35"), money("1"), true, "rounded at two digits"),
            (money("12.4"), money("13"), money("1"), false, "no way of rounding"),
            (money("12.5"), money("12.6"), money("1"), false, "somebody's amount"),
        ];
        for (meant, held, before, by_system, why) in table {
            let base = if by_system { &held } else { &meant };
            assert_eq!(stuck(&meant, &held, &before), base, "{why}");
        }
    }

    #[test]
    fn a_value_was_ignored_only_where_it_stays_as_it_was() {
        let table = [
            (money("20"), money("10"), money("10"), true, "the products decide the amount"),
            (money("12.5"), money("13"), money("13"), false, "it was 13 and is 12.5 rounded"),
            (money("20"), money("20"), money("10"), false, "taken"),
            (money("20"), money("30"), money("10"), false, "somebody else wrote"),
        ];
        for (meant, held, before, expected, why) in table {
            assert_eq!(ignored(&meant, &held, &before), expected, "{why}");
        }
    }
}
