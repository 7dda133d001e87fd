//! What goes out again when Microsoft asks for a correction of a registration that it has.
//!
//! Three-way, as everything is: only what the seller changed since Microsoft had it is sent, so that
//! what somebody corrected in Partner Center itself is not taken back.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::form::{amount_in, date_in};
use super::{Registration, deployment, instant, number, pricing, term};
use crate::domain::deal::{Agreement, Conflict, Target, Values};
use crate::domain::referral::Referral;
use crate::domain::value::Value;
use crate::merge::sentence::{self, Line};

/// Every path of a registration that may be changed later, but the two that follow from others: the
/// currencies stay as they were. Source: Partner Center reference 7.1.
const VALUE: &str = "/registrations/0/contract/value";
const START: &str = "/registrations/0/contract/startDateTime";
const END: &str = "/registrations/0/contract/endDateTime";
const SIGNED: &str = "/registrations/0/contract/signDateTime";
const TERM: &str = "/registrations/0/contract/term";
const SOLUTION_VALUE: &str = "/registrations/0/solutionDetails/0/value";
const ON_AZURE: &str = "/registrations/0/solutionDetails/0/isDeployedOnAzure";
const DEPLOYMENT: &str = "/registrations/0/solutionDetails/0/primaryDeploymentOn";
const PRICING: &str = "/registrations/0/solutionDetails/0/pricingModel";
const MARKETPLACE: &str =
    "/registrations/0/solutionDetails/0/marketplaceTransactionDetails/isMarketplaceTransacted";
const MARKETPLACE_DATE: &str = "/registrations/0/solutionDetails/0/marketplaceTransactionDetails/\
                                marketplaceTransactionDateTime";

/// Its name for a seller.
fn label(path: &str) -> &'static str {
    match path {
        VALUE => "contract value",
        START => "first day of the contract",
        END => "last day of the contract",
        SIGNED => "day of signature",
        TERM => "term of the contract",
        SOLUTION_VALUE => "solution value",
        ON_AZURE => "runs on Azure",
        DEPLOYMENT => "whose subscription",
        PRICING => "pricing model",
        MARKETPLACE => "bought in the marketplace",
        MARKETPLACE_DATE => "day of the marketplace transaction",
        _ => "registration",
    }
}

/// One value that the seller has changed since Microsoft had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// JSON Patch path.
    pub path: String,
    /// What Microsoft holds.
    pub held: Value,
    /// What the record says.
    pub wanted: Value,
    /// Whether somebody changed it at Partner Center, too.
    pub disputed: bool,
}

impl Correction {
    /// For the trail, where it overwrites what somebody changed at Partner Center.
    #[must_use]
    pub fn conflict(&self, winner: Target) -> Option<Conflict> {
        self.disputed.then(|| Conflict {
            field: self.path.clone(),
            winner,
            kept: self.wanted.clone(),
            loser: Target::PartnerCenter,
            lost: self.held.clone(),
            policy: "a correction comes from the record".to_owned(),
        })
    }
}

/// What Microsoft says of the registration that may be changed, if its seller must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether a correction is asked for; else it has failed.
    pub correctable: bool,
    /// Its reason, if it gives one.
    pub reason: Option<String>,
    /// Another one for each time that Microsoft says so.
    pub key: String,
}

/// What Microsoft says of the first registration of a referral: the only one that may be changed.
#[must_use]
pub fn verdict(referral: &Referral) -> Option<Verdict> {
    let registration = referral.get("registrations")?.as_array()?.first()?;
    let text = |pointer: &str| registration.pointer(pointer).and_then(Json::as_str);
    let status = text("/status")?;
    let correctable = status.eq_ignore_ascii_case("ActionRequired");
    let since = if correctable { "/statusHistory/actionRequiredDateTime" } else { "/status" };
    if !correctable && !status.eq_ignore_ascii_case("Failed") {
        return None;
    }
    let reason = text("/statusReason").map(str::trim).filter(|reason| !reason.is_empty());
    let detail = format!("{status} {} {}", text(since).unwrap_or_default(), reason.unwrap_or(""));
    Some(Verdict {
        correctable,
        reason: reason.map(str::to_owned),
        key: sentence::topic_key("registration verdict", &detail),
    })
}

/// What may be changed of a registration, by JSON Patch path.
#[must_use]
pub fn values(registration: &Registration) -> Values {
    let text = |word: &str| Value::Text(word.to_owned());
    let mut values = vec![
        (VALUE, Value::decimal(registration.value)),
        (START, Value::Date(registration.start)),
        (SIGNED, Value::Date(registration.signed)),
        (TERM, text(term(registration))),
    ];
    values.extend(registration.end.map(|end| (END, Value::Date(end))));
    if let Some(solution) = registration.solutions.first() {
        let bought = solution.marketplace_transaction;
        values.extend([
            (SOLUTION_VALUE, Value::decimal(solution.value)),
            (ON_AZURE, Value::Bool(solution.deployed_on_azure)),
            (DEPLOYMENT, text(deployment(solution))),
            (PRICING, text(pricing(solution))),
            (MARKETPLACE, Value::Bool(bought.is_some())),
        ]);
        values.extend(bought.map(|bought| (MARKETPLACE_DATE, Value::Date(bought.date()))));
    }
    values.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
}

/// What Microsoft holds at the paths of `values`.
#[must_use]
pub fn held(referral: &Referral, values: &Values) -> Values {
    let list = referral.get("registrations");
    let at = |path: &str| list?.pointer(path.strip_prefix("/registrations")?);
    values.iter().map(|(path, like)| (path.clone(), read(at(path), like))).collect()
}

/// A value as it is compared with `like`.
fn read(json: Option<&Json>, like: &Value) -> Value {
    let Some(json) = json else { return Value::Null };
    let text = json.as_str().map(str::trim).filter(|text| !text.is_empty());
    let read = match like {
        Value::Decimal(_) => amount_in(json).map(Value::decimal),
        Value::Date(_) => text.and_then(date_in).map(Value::Date),
        Value::Bool(_) => json.as_bool().map(Value::Bool),
        Value::Text(word) => text.map(|text| {
            Value::Text(if text.eq_ignore_ascii_case(word) {
                word.clone()
            } else {
                text.to_owned()
            })
        }),
        _ => None,
    };
    read.unwrap_or_default()
}

/// What the seller changed since both sides agreed, and Microsoft does not hold yet.
#[must_use]
pub fn corrections(
    wanted: &Values,
    held: &Values,
    agreed: &BTreeMap<String, Agreement>,
) -> Vec<Correction> {
    let changed = wanted.iter().filter_map(|(path, wanted)| {
        let (held, agreed) = (held.get(path).cloned().unwrap_or_default(), agreed.get(path));
        let unchanged = agreed.is_some_and(|agreed| agreed.record.is(wanted));
        (!unchanged && held != *wanted).then(|| Correction {
            path: path.clone(),
            disputed: agreed.is_some_and(|agreed| !agreed.referral.is(&held)),
            held,
            wanted: wanted.clone(),
        })
    });
    changed.collect()
}

/// Whether what both sides agreed on says that the registration came from this record.
#[must_use]
pub fn is_ours(agreed: &BTreeMap<String, Agreement>) -> bool {
    agreed.contains_key(VALUE)
}

/// What no correction can change, in a seller's words.
#[must_use]
pub fn fixed(registration: &Registration, referral: &Referral) -> Vec<String> {
    let list = referral.get("registrations");
    let text = |pointer: &str| list?.pointer(pointer)?.as_str();
    let solution = registration.solutions.first().map_or("", |solution| solution.id.as_str());
    let table = [
        (text("/0/contract/currency"), registration.currency.as_str(), "currency"),
        (text("/0/solutionDetails/0/id"), solution, "solution"),
    ];
    let differs = |held: &str, wanted: &str| !held.eq_ignore_ascii_case(wanted);
    table
        .into_iter()
        .filter_map(|(held, wanted, what)| Some((held.filter(|held| differs(held, wanted))?, what)))
        .map(|(held, what)| format!("the {what} of a registration stays as it was sent: {held}"))
        .collect()
}

/// The JSON Patch operations of `corrections`.
#[must_use]
pub fn correcting(corrections: &[Correction]) -> Vec<Json> {
    let operation = |correction: &Correction| {
        let value = match &correction.wanted {
            Value::Decimal(amount) => number(*amount),
            Value::Date(date) => json!(instant(*date)),
            Value::Bool(ticked) => json!(ticked),
            other => json!(other.to_string()),
        };
        let op = if correction.held.is_null() { "add" } else { "replace" };
        json!({"op": op, "path": correction.path, "value": value})
    };
    corrections.iter().map(operation).collect()
}

/// What a seller is told of `corrections`.
#[must_use]
pub fn line(corrections: &[Correction]) -> Line {
    let told: Vec<String> = corrections
        .iter()
        .map(|one| format!("{} {} (was {})", label(&one.path), one.wanted, one.held))
        .collect();
    sentence::registration_corrected(&told)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value as Json, json};

    use super::{correcting, corrections, fixed, held, line, values, verdict};
    use crate::domain::deal::{Agreement, Target};
    use crate::domain::referral::Referral;
    use crate::domain::time::Date;
    use crate::merge::field::agree;
    use crate::merge::registration::tests::registration;
    use crate::merge::registration::{Registration, operations};

    /// The referral after `registration` was sent, with `changes` by pointer.
    fn registered(registration: &Registration, changes: &[(&str, Json)]) -> Referral {
        let mut body = json!({
            "id": "11111111-2222-4333-8444-555555555555",
            "registrations": [operations(registration)[0]["value"]],
        });
        body["registrations"][0]["status"] = json!("ActionRequired");
        for (pointer, value) in changes {
            *body.pointer_mut(pointer).expect("the path") = value.clone();
        }
        Referral::from_json(body).expect("a referral")
    }

    fn agreed(registration: &Registration) -> BTreeMap<String, Agreement> {
        let there = values(registration);
        let mut agreed = BTreeMap::new();
        for (path, value) in &there {
            agree(&mut agreed, path, value, value);
        }
        agreed
    }

    fn changed(change: impl FnOnce(&mut Registration)) -> Registration {
        let mut registration = registration();
        change(&mut registration);
        registration
    }

    #[test]
    fn only_what_the_seller_changed_is_sent() {
        let sent = registration();
        let date = |text: &str| Date::parse(text).expect("a date");
        let bought = date("2026-08-11").midnight_utc();
        let more = "70000".parse().expect("a decimal");
        let contract = "/registrations/0/contract";
        let solution = "/registrations/0/solutionDetails/0";
        let deal = "marketplaceTransactionDetails";
        let table: Vec<(&str, Registration, Vec<(String, Json)>)> = vec![
            ("nothing changed", sent.clone(), vec![]),
            (
                "one amount",
                changed(|it| it.value = more),
                vec![(format!("{contract}/value"), json!(70_000))],
            ),
            (
                "every date",
                changed(|it| {
                    it.start = date("2026-08-16");
                    it.end = Some(date("2027-08-15"));
                    it.signed = date("2026-08-11");
                }),
                vec![
                    (format!("{contract}/endDateTime"), json!("2027-08-15T00:00:00.000Z")),
                    (format!("{contract}/signDateTime"), json!("2026-08-11T00:00:00.000Z")),
                    (format!("{contract}/startDateTime"), json!("2026-08-16T00:00:00.000Z")),
                ],
            ),
            (
                "a contract that became perpetual: its last day cannot be taken away",
                changed(|it| it.end = None),
                vec![(format!("{contract}/term"), json!("Perpetual"))],
            ),
            (
                "everything of the solution",
                changed(|it| {
                    let it = &mut it.solutions[0];
                    it.value = "40000.5".parse().expect("a decimal");
                    it.deployed_on_azure = false;
                    it.customer_deployment = false;
                    it.pay_as_you_go = true;
                    it.marketplace_transaction = Some(bought);
                }),
                vec![
                    (format!("{solution}/isDeployedOnAzure"), json!(false)),
                    (format!("{solution}/{deal}/isMarketplaceTransacted"), json!(true)),
                    (
                        format!("{solution}/{deal}/marketplaceTransactionDateTime"),
                        json!("2026-08-11T00:00:00.000Z"),
                    ),
                    (format!("{solution}/pricingModel"), json!("PayAsYouGo")),
                    (format!("{solution}/primaryDeploymentOn"), json!("Partner")),
                    (format!("{solution}/value"), json!(40_000.5)),
                ],
            ),
        ];
        let referral = registered(&sent, &[]);
        for (why, registration, expected) in table {
            let wanted = values(&registration);
            let found = corrections(&wanted, &held(&referral, &wanted), &agreed(&sent));
            let operations = correcting(&found);
            let told: Vec<(String, Json)> = operations
                .iter()
                .map(|it| (it["path"].as_str().expect("text").to_owned(), it["value"].clone()))
                .collect();
            assert_eq!(told, expected, "{why}");
            assert!(found.iter().all(|it| it.conflict(Target::PartnerCenter).is_none()), "{why}");
            // What Microsoft holds afterwards is never sent again.
            let mut after = registered(&sent, &[]).fields().clone();
            for operation in &operations {
                let path = operation["path"].as_str().expect("text");
                let inner = path.strip_prefix("/registrations").expect("its place");
                let (parent, name) = inner.rsplit_once('/').expect("a member");
                let list = after.get_mut("registrations").expect("the list");
                list.pointer_mut(parent).expect("there")[name] = operation["value"].clone();
            }
            let after = Referral::from_json(Json::Object(after)).expect("a referral");
            let again = corrections(&wanted, &held(&after, &wanted), &agreed(&sent));
            assert!(again.is_empty(), "{why}: {again:?}");
        }
    }

    #[test]
    fn what_was_corrected_in_partner_center_stays() {
        let sent = registration();
        let theirs = [("/registrations/0/contract/value", json!("65000"))];
        let referral = registered(&sent, &theirs);
        let end = Date::parse("2027-09-30");
        let now = changed(|it| it.end = end);
        let wanted = values(&now);
        let found = corrections(&wanted, &held(&referral, &wanted), &agreed(&sent));
        assert_eq!(found.len(), 1, "the amount is not taken back: {found:?}");
        let both = changed(|it| it.value = "70000".parse().expect("a decimal"));
        let wanted = values(&both);
        let found = corrections(&wanted, &held(&referral, &wanted), &agreed(&sent));
        let lost = found[0].conflict(Target::PartnerCenter).expect("both changed it");
        assert_eq!(lost.lost.to_string(), "65,000", "named in the trail");
        assert!(
            line(&found).0.contains("contract value 70,000 (was 65,000)"),
            "{:?}",
            line(&found)
        );
    }

    #[test]
    fn microsofts_spelling_is_no_difference() {
        let sent = registration();
        let referral = registered(
            &sent,
            &[
                ("/registrations/0/contract/startDateTime", json!("2026-08-15T00:00:00Z")),
                ("/registrations/0/contract/value", json!("60000.100")),
                ("/registrations/0/contract/term", json!("finite")),
            ],
        );
        let wanted = values(&sent);
        let found = corrections(&wanted, &held(&referral, &wanted), &BTreeMap::new());
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn currency_and_solution_stay() {
        let sent = registration();
        let referral = registered(&sent, &[]);
        assert!(fixed(&sent, &referral).is_empty());
        let other = changed(|it| {
            it.currency = "EUR".to_owned();
            it.solutions[0].id = "SOL-9".to_owned();
        });
        let told = fixed(&other, &referral);
        assert!(told[0].ends_with("USD") && told[1].ends_with("SOL-1234-ABC"), "{told:?}");
    }

    #[test]
    fn what_microsoft_says_is_told_once_for_each_time() {
        let sent = registration();
        let status = |status: &str, reason: Json, at: &str| {
            let mut body =
                registered(&sent, &[("/registrations/0/status", json!(status))]).fields().clone();
            body["registrations"][0]["statusReason"] = reason;
            body["registrations"][0]["statusHistory"] = json!({"actionRequiredDateTime": at});
            verdict(&Referral::from_json(Json::Object(body)).expect("a referral"))
        };
        let asked = status("actionRequired", json!("Sign it"), "1").expect("asked for");
        assert!(asked.correctable);
        assert_eq!(asked.reason.as_deref(), Some("Sign it"));
        let again = status("ActionRequired", json!("Sign it"), "2").expect("asked for");
        assert_ne!(asked.key, again.key, "a second time");
        let failed = status("Failed", json!(""), "").expect("told");
        assert_eq!((failed.correctable, failed.reason), (false, None));
        for word in ["ReviewPending", "Approved", "Passed", "Closed", "None", "Unheard"] {
            assert_eq!(status(word, Json::Null, ""), None, "{word}: nothing is to be done");
        }
    }
}
