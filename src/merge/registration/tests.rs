//! The rules, one by one.

use serde_json::{Value as Json, json};

use super::{Facts, RegisteredSolution, Registration, missing, operations};
use crate::domain::deal::MicrosoftRecord;
use crate::domain::referral::Referral;
use crate::domain::time::{Date, Timestamp};

/// Our referral, Microsoft's record, registration, facts, part of the one sentence expected.
type Row<'a> = (&'a Referral, Option<&'a MicrosoftRecord>, Registration, Facts, Option<&'a str>);

fn date(text: &str) -> Date {
    Date::parse(text).expect("a date")
}

pub(super) fn registration() -> Registration {
    Registration {
        currency: "USD".to_owned(),
        value: "60000.10".parse().expect("a decimal"),
        start: date("2026-08-15"),
        end: Some(date("2027-08-14")),
        signed: date("2026-08-10"),
        solutions: vec![RegisteredSolution {
            id: "SOL-1234-ABC".to_owned(),
            value: "50000".parse().expect("a decimal"),
            deployed_on_azure: true,
            customer_deployment: true,
            pay_as_you_go: false,
            marketplace_transaction: None,
        }],
    }
}

fn referral(status: &str, substatus: &str, shared: bool) -> Referral {
    Referral::from_json(json!({
        "id": "11111111-2222-4333-8444-555555555555",
        "status": status,
        "substatus": substatus,
        "createdDateTime": "2026-07-01T10:00:00Z",
        "consent": {"consentToShareReferralWithMicrosoftSellers": shared},
    }))
    .expect("a referral")
}

fn microsoft(status: &str, substatus: &str) -> MicrosoftRecord {
    let record = referral(status, substatus, true);
    MicrosoftRecord {
        id: record.id(),
        state: record.state(),
        number: None,
        help: None,
        created: record.created(),
    }
}

fn facts() -> Facts {
    Facts {
        usd_rate: None,
        managed_customer: Some(true),
        eligible_solution: Some(true),
        solution_assessment: Some(false),
    }
}

#[test]
fn every_rule_is_checked_and_said() {
    let won = referral("Closed", "Won", true);
    let active = referral("Active", "Accepted", true);
    let accepted = microsoft("Active", "Accepted");
    let theirs_won = microsoft("Closed", "Won");
    let declined = microsoft("Closed", "Declined");
    let private = referral("Closed", "Won", false);
    let changed = |change: fn(&mut Registration)| {
        let mut registration = registration();
        change(&mut registration);
        registration
    };
    let euro = Facts { usd_rate: Some("1.1".parse().expect("a decimal")), ..facts() };
    let table: Vec<Row> = vec![
        (&won, None, registration(), facts(), None),
        (&won, Some(&accepted), registration(), facts(), None),
        (&won, Some(&theirs_won), registration(), facts(), None),
        (&won, Some(&declined), registration(), facts(), Some("accepted or won its part")),
        (&active, None, registration(), facts(), Some("won first")),
        (&private, None, registration(), facts(), Some("shared with Microsoft")),
        (
            &won,
            None,
            registration(),
            Facts { managed_customer: None, ..facts() },
            Some("Microsoft manages"),
        ),
        (
            &won,
            None,
            registration(),
            Facts { eligible_solution: Some(false), ..facts() },
            Some("co-sell eligible"),
        ),
        (
            &won,
            None,
            registration(),
            Facts { solution_assessment: Some(true), ..facts() },
            Some("solution assessment"),
        ),
        (&won, None, changed(|it| it.signed = date("2026-09-02")), facts(), Some("future")),
        (&won, None, changed(|it| it.signed = date("2026-07-02")), facts(), Some("last 60 days")),
        (&won, None, changed(|it| it.signed = date("2026-07-03")), facts(), None),
        (&won, None, changed(|it| it.start = date("2026-06-02")), facts(), Some("last 90 days")),
        (&won, None, changed(|it| it.end = Some(date("2026-08-14"))), facts(), Some("end before")),
        (&won, None, changed(|it| it.solutions.clear()), facts(), Some("solution must be named")),
        (
            &won,
            None,
            changed(|it| it.value = "49999".parse().expect("a decimal")),
            facts(),
            Some("worth more than the contract"),
        ),
        (&won, None, changed(|it| it.end = None), facts(), Some("25,000")),
        (&won, None, changed(|it| it.end = Some(date("2029-08-14"))), facts(), Some("25,000")),
        (&won, None, changed(|it| it.currency = "EUR".to_owned()), facts(), Some("25,000")),
        (&won, None, changed(|it| it.currency = "EUR".to_owned()), euro, None),
    ];
    let now = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
    for (own, microsoft, registration, facts, expected) in table {
        let found = missing(own, microsoft, &registration, &facts, now);
        match expected {
            None => assert_eq!(found, Vec::<String>::new()),
            Some(part) => {
                assert_eq!(found.len(), 1, "{part}: {found:?}");
                assert!(found[0].contains(part), "{part}: {found:?}");
            }
        }
    }
    let early = changed(|it| it.signed = date("2026-06-30"));
    let found = missing(&active, None, &early, &facts(), now);
    assert_eq!(found.len(), 3, "everything at once: {found:?}");
}

#[test]
fn the_body_is_exact() {
    let operations = operations(&registration());
    let value = operations[0].pointer("/value/contract/value").map(Json::to_string);
    assert_eq!(value.as_deref(), Some("60000.1"));
    assert_eq!(operations[0]["path"], "/registrations/-");
    assert_eq!(operations[0]["value"]["contract"]["signDateTime"], "2026-08-10T00:00:00.000Z");
}
