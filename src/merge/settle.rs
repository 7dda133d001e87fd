//! What becomes the base: after a write that was confirmed, and after one whose answer was lost.

use rust_decimal::RoundingStrategy;

use super::field::agree;
use super::plan::LinkOutcome;
use super::sentence;
use crate::domain::deal::{Intent, Link, StageAgreement, Target, Values};
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
        link.stage_doubtful = false;
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

/// Whether a write without a token landed: the version moved, at least one value that was sent and is
/// not what the base holds is there now, and none is what it was before. A write is one transaction, so
/// it left none as it was. The stage proves nothing beside values: somebody else may have made the same
/// move.
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
    let fresh: Vec<(&String, &Value)> = fresh(intent, link).collect();
    if fresh.is_empty() {
        return intent.stage.is_some() && intent.stage == stage;
    }
    fresh.iter().any(|(field, sent)| now.get(*field) == Some(sent))
        && !fresh.iter().any(|(field, _)| is_as_before(intent, link, now, field))
}

/// Marks what nobody can know after a write that is taken as not landed: some of its values are there,
/// others are as they were. Either a person entered the former by hand, or it landed and a person put
/// the latter back: what is overwritten because of it is named.
pub fn doubt_half_landed(intent: &Intent, link: &mut Link, now: &Values) {
    let fresh: Vec<(&String, &Value)> = fresh(intent, link).collect();
    if !fresh.iter().any(|(field, sent)| now.get(*field) == Some(sent)) {
        return;
    }
    let unclear =
        |field: &&String| now.get(*field).is_some_and(|now| is_agreed(intent, link, field, now));
    let unclear: Vec<String> =
        fresh.iter().map(|(field, _)| *field).filter(unclear).cloned().collect();
    for field in unclear {
        if let Some(base) = link.base.get_mut(&field) {
            base.doubtful = true;
        }
    }
}

/// The values of a write that are not what the base holds: only these can tell anything.
fn fresh<'a>(intent: &'a Intent, link: &'a Link) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let known =
        |field: &str, sent: &Value| link.base.get(field).is_some_and(|base| base.referral.is(sent));
    intent.sent.iter().filter(move |(field, sent)| !known(field, sent))
}

/// Whether a field holds what it held before a write: the value that was to lose, or what both sides
/// had agreed on.
fn is_as_before(intent: &Intent, link: &Link, now: &Values, field: &str) -> bool {
    let Some(now) = now.get(field) else { return false };
    let mut losers = intent.losers.iter();
    if let Some(loser) = losers.find(|one| one.field == field && one.loser == intent.target) {
        return loser.lost == *now;
    }
    is_agreed(intent, link, field, now)
}

/// Whether a value is what the target of a write held when both sides last agreed.
fn is_agreed(intent: &Intent, link: &Link, field: &str, now: &Value) -> bool {
    link.base.get(field).is_some_and(|base| match intent.target {
        Target::PartnerCenter => base.referral.is(now),
        Target::Crm(_) => base.record.is(now),
    })
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

/// Marks what an intent of a backup has settled: that it landed says nothing of what was agreed on
/// since.
pub fn doubt(link: &mut Link, intent: &Intent) {
    if !intent.doubtful {
        return;
    }
    for (field, agreed) in &mut link.base {
        agreed.doubtful |= intent.sent.contains_key(field);
    }
    link.stage_doubtful |= intent.stage.is_some();
}

#[cfg(test)]
mod tests {
    use super::{doubt_half_landed, ignored, landed_by_value, stuck};
    use crate::domain::deal::{Conflict, Intent, Link, Target, Values};
    use crate::domain::id::CrmName;
    use crate::domain::value::Value;
    use crate::merge::field::agree;
    use serde_json::json;

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

    /// A PATCH of a deal value that both sides had changed, and of notes that only the record had.
    fn patch() -> (Intent, Link) {
        let (crm, text) = (Target::Crm(CrmName::Salesforce), Value::text);
        let conflict = Conflict {
            field: "value".to_owned(),
            winner: crm,
            kept: money("20"),
            loser: Target::PartnerCenter,
            lost: money("15"),
            policy: "crm".to_owned(),
        };
        let intent = json!({
            "token": "t-1", "target": "partner_center", "action": "update", "expect": "1",
            "sent": {}, "stage": null, "losers": [], "at": "2026-09-10T00:00:00Z",
        });
        let mut intent: Intent = serde_json::from_value(intent).expect("an intent");
        intent.losers = vec![conflict];
        intent.sent = values(money("20"), text("Ours"));
        let link = json!({
            "record": { "crm": "salesforce", "kind": "opportunity", "id": "006" },
            "state": { "is": "live" }, "version": null, "base": {}, "base_stage": null, "hold": null,
        });
        let mut link: Link = serde_json::from_value(link).expect("a link");
        agree(&mut link.base, "value", &money("10"), &money("10"));
        agree(&mut link.base, "notes", &text("Begin"), &text("Begin"));
        (intent, link)
    }

    fn values(value: Value, notes: Value) -> Values {
        Values::from([("value".to_owned(), value), ("notes".to_owned(), notes)])
    }

    #[test]
    fn a_write_landed_where_something_is_there_and_nothing_is_as_before() {
        let text = Value::text;
        let table = [
            (money("20"), text("Ours"), true, vec![], "everything is there"),
            (money("20"), text("Theirs"), true, vec![], "one was edited since"),
            (money("30"), text("Ours"), true, vec![], "the other was"),
            (money("15"), text("Begin"), false, vec![], "nothing is there"),
            (money("15"), text("Ours"), false, vec![], "the value that was to lose is there"),
            (money("20"), text("Begin"), false, vec!["notes"], "a value that a person entered"),
            (money("30"), text("Theirs"), false, vec![], "both were edited"),
        ];
        for (value, notes, expected, doubted, why) in table {
            let (intent, mut link) = patch();
            let now = values(value, notes);
            assert_eq!(landed_by_value(&intent, &link, &now, None, true), expected, "{why}");
            assert!(!landed_by_value(&intent, &link, &now, None, false), "the version moved not");
            if !expected {
                doubt_half_landed(&intent, &mut link, &now);
            }
            let doubtful = link.base.iter().filter(|(_, base)| base.doubtful);
            let doubtful: Vec<&str> = doubtful.map(|(field, _)| field.as_str()).collect();
            assert_eq!(doubtful, doubted, "{why}");
        }
    }
}
