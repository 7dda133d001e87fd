use std::time::Duration;

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::{Sides, Stamps, Verdict, decide};
use crate::domain::deal::{Agreement, Remembered};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::mapping::rule::{Direction, FieldKind, FieldRule, Policy};

fn rule(direction: Direction, conflict: Policy) -> FieldRule {
    FieldRule {
        name: "details.dealValue".to_owned(),
        label: "Deal value".to_owned(),
        referral: Some("details.dealValue".to_owned()),
        crm: Some("Amount".to_owned()),
        kind: FieldKind::Money,
        direction,
        on_create: true,
        on_update: true,
        conflict,
        group: None,
        required: false,
        place: "test.toml:1".to_owned(),
    }
}

fn number(value: i64) -> Value {
    if value == 0 { Value::Null } else { Value::Integer(value) }
}

fn agreement(referral: i64, record: i64) -> Agreement {
    Agreement {
        referral: Remembered::of(&number(referral)),
        record: Remembered::of(&number(record)),
        doubtful: false,
    }
}

fn both<'a>(
    rule: &'a FieldRule,
    base: Option<&'a Agreement>,
    referral: &'a Value,
    record: &'a Value,
) -> Sides<'a> {
    Sides { rule, base, referral, record, cut: false }
}

fn stamps(referral_secs: i64, record_secs: i64) -> Stamps {
    Stamps {
        referral: Some(Timestamp::from_millis(referral_secs * 1000)),
        record: Timestamp::from_millis(record_secs * 1000),
        margin: Duration::from_secs(5),
        ended: false,
    }
}

#[test]
fn one_field_goes_where_it_should() {
    use Direction::{Both, ToCrm, ToPartnerCenter};
    let table = [
        (Both, Policy::Crm, Some((1, 1)), 1, 1, Verdict::Still, "nothing moved"),
        (Both, Policy::Crm, Some((1, 1)), 2, 1, Verdict::ToCrm, "moved at Partner Center"),
        (Both, Policy::Crm, Some((1, 1)), 1, 2, Verdict::ToPartnerCenter, "moved in the CRM"),
        (Both, Policy::Crm, Some((1, 1)), 2, 2, Verdict::Agreed, "typed the same"),
        (Both, Policy::Crm, Some((1, 1)), 2, 3, Verdict::CrmWins, "the CRM decides"),
        (Both, Policy::PartnerCenter, Some((1, 1)), 2, 3, Verdict::PartnerCenterWins, "policy"),
        (Both, Policy::Ask, Some((1, 1)), 2, 3, Verdict::Ask, "a person decides"),
        (Both, Policy::Crm, Some((9, 8)), 9, 8, Verdict::Still, "a lossy pair stays a pair"),
        (Both, Policy::Crm, Some((9, 8)), 9, 7, Verdict::ToPartnerCenter, "a lossy pair, edited"),
        (Both, Policy::Crm, None, 4, 4, Verdict::Agreed, "adopted, equal"),
        (Both, Policy::Crm, None, 4, 0, Verdict::ToCrm, "adopted, the record is empty"),
        (Both, Policy::Crm, None, 0, 4, Verdict::ToPartnerCenter, "adopted, the referral is empty"),
        (Both, Policy::PartnerCenter, None, 4, 5, Verdict::PartnerCenterWins, "adopted, differing"),
        (ToCrm, Policy::Crm, Some((1, 1)), 1, 2, Verdict::Still, "one way: the seller's own text"),
        (ToCrm, Policy::Crm, Some((1, 1)), 2, 3, Verdict::ToCrm, "one way: overwritten"),
        (
            ToPartnerCenter,
            Policy::PartnerCenter,
            Some((1, 1)),
            2,
            1,
            Verdict::Still,
            "one way back",
        ),
        (
            ToPartnerCenter,
            Policy::PartnerCenter,
            Some((1, 1)),
            2,
            3,
            Verdict::ToPartnerCenter,
            "way",
        ),
    ];
    for (direction, policy, base, referral, record, expected, why) in table {
        let rule = rule(direction, policy);
        let base = base.map(|(referral, record)| agreement(referral, record));
        let (referral, record) = (number(referral), number(record));
        let sides = both(&rule, base.as_ref(), &referral, &record);
        assert_eq!(decide(&[sides], stamps(0, 0)), vec![expected], "{why}");
    }
}

#[test]
fn newest_asks_when_the_stamps_are_too_close() {
    let rule = rule(Direction::Both, Policy::Newest);
    let base = agreement(1, 1);
    let (referral, record) = (number(2), number(3));
    let sides = both(&rule, Some(&base), &referral, &record);
    let table = [
        (100, 90, Verdict::PartnerCenterWins, "Partner Center is newer"),
        (90, 100, Verdict::CrmWins, "the CRM is newer"),
        (100, 96, Verdict::Ask, "four seconds apart"),
        (100, 100, Verdict::Ask, "the same second"),
    ];
    for (referral_secs, record_secs, expected, why) in table {
        assert_eq!(decide(&[sides], stamps(referral_secs, record_secs)), vec![expected], "{why}");
    }
}

#[test]
fn a_group_is_won_or_lost_as_one() {
    let value = FieldRule { group: Some("money".to_owned()), ..rule(Direction::Both, Policy::Crm) };
    let currency = FieldRule { name: "details.currency".to_owned(), ..value.clone() };
    let base = agreement(1, 1);
    let (one, two, three) = (number(1), number(2), number(3));
    let unit = [both(&value, Some(&base), &one, &two), both(&currency, Some(&base), &three, &one)];
    let verdicts = decide(&unit, stamps(0, 0));
    assert_eq!(verdicts, vec![Verdict::ToPartnerCenter, Verdict::CrmWins]);
}

proptest! {
    /// One pass leaves both sides on the value that ought to win, a second does nothing: no lost
    /// edit, no ping-pong. Four values only, so that "unchanged" and "typed the same" come up all
    /// the time.
    #[test]
    fn two_way_fields_settle_on_the_winner(
        was in 0i64..4, referral in 0i64..4, record in 0i64..4, crm_wins in any::<bool>(),
    ) {
        let policy = if crm_wins { Policy::Crm } else { Policy::PartnerCenter };
        let rule = rule(Direction::Both, policy);
        let base = agreement(was, was);
        let winner = match (referral != was, record != was) {
            (true, false) => referral,
            (false, _) => record,
            (true, true) if crm_wins => record,
            (true, true) => referral,
        };
        let (left, right) = (number(referral), number(record));
        let sides = both(&rule, Some(&base), &left, &right);
        let verdict = decide(&[sides], stamps(0, 0)).remove(0);
        let (left, right) = match verdict {
            Verdict::ToCrm | Verdict::PartnerCenterWins => (left.clone(), left),
            Verdict::ToPartnerCenter | Verdict::CrmWins => (right.clone(), right),
            Verdict::Still | Verdict::Agreed => (left, right),
            Verdict::Ask => { prop_assert!(false, "nobody asks here"); return Ok(()); }
        };
        prop_assert_eq!(&left, &number(winner));
        prop_assert_eq!(&right, &number(winner));
        let base = Agreement {
            referral: Remembered::of(&left), record: Remembered::of(&right), doubtful: false,
        };
        let again = both(&rule, Some(&base), &left, &right);
        prop_assert_eq!(decide(&[again], stamps(0, 0)), vec![Verdict::Still]);
    }
}

#[test]
fn a_record_that_holds_a_cut_text_has_no_words_of_its_own() {
    let rule = rule(Direction::Both, Policy::Crm);
    let long = Value::text("Ask again in May, when the budget is known");
    let table = [
        ("Ask again in May", true, Verdict::ToCrm, "as much as the field takes"),
        ("Ask again in May", false, Verdict::CrmWins, "a seller may have shortened it"),
        ("Ask again in June", false, Verdict::CrmWins, "somebody's own words"),
    ];
    for (text, cut, expected, why) in table {
        let record = Value::text(text);
        let sides = Sides { cut, ..both(&rule, None, &long, &record) };
        assert_eq!(decide(&[sides], stamps(0, 0)), vec![expected], "{why}");
    }
}

#[test]
fn after_a_restore_whatever_is_overwritten_is_named() {
    use Direction::{Both, ToCrm};
    let table = [
        (Both, (1, 1), 1, 1, Verdict::Agreed, "as in the backup: certain again"),
        (Both, (1, 1), 2, 2, Verdict::Agreed, "synced since the backup"),
        (Both, (9, 8), 9, 8, Verdict::Agreed, "a lossy pair, as in the backup"),
        (Both, (1, 1), 2, 1, Verdict::PartnerCenterWins, "was it 2 on both sides, and is 1 newer?"),
        (Both, (1, 1), 1, 2, Verdict::CrmWins, "the same the other way"),
        (Both, (1, 0), 2, 0, Verdict::ToCrm, "nothing is overwritten"),
        (Both, (0, 1), 0, 2, Verdict::ToPartnerCenter, "nothing is overwritten there"),
        (Both, (1, 1), 2, 3, Verdict::CrmWins, "both moved: the policy decides as always"),
        (ToCrm, (1, 1), 2, 3, Verdict::ToCrm, "one way: overwritten by contract"),
    ];
    for (direction, (there, here), referral, record, expected, why) in table {
        let rule = rule(direction, Policy::Crm);
        let base = Agreement { doubtful: true, ..agreement(there, here) };
        let (referral, record) = (number(referral), number(record));
        let sides = both(&rule, Some(&base), &referral, &record);
        assert_eq!(decide(&[sides], stamps(0, 0)), vec![expected], "{why}");
    }
}

#[test]
fn after_a_restore_a_group_names_what_goes_along_too() {
    let value = FieldRule { group: Some("money".to_owned()), ..rule(Direction::Both, Policy::Crm) };
    let currency = FieldRule { name: "details.currency".to_owned(), ..value.clone() };
    let base = Agreement { doubtful: true, ..agreement(1, 1) };
    let (one, two, three) = (number(1), number(2), number(3));
    let unit = [both(&value, Some(&base), &one, &two), both(&currency, Some(&base), &three, &one)];
    assert_eq!(decide(&unit, stamps(0, 0)), vec![Verdict::CrmWins, Verdict::CrmWins]);
}
