//! A registration as the record's fields say it.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::{Facts, RegisteredSolution, Registration, about_the_deal, missing};
use crate::domain::deal::MicrosoftRecord;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::domain::time::{Date, Timestamp};
use crate::mapping::registration::RegistrationRule;

/// The registration that the record `fields` ask for, if nothing stands against it.
///
/// # Errors
///
/// Everything that is missing, at once, in a seller's words.
pub fn prepare(
    rule: &RegistrationRule,
    fields: &Fields,
    referral: &Referral,
    microsoft: Option<&MicrosoftRecord>,
    now: Timestamp,
) -> Result<Registration, Vec<String>> {
    let form = Form { fields };
    let facts = Facts {
        usd_rate: form.amount(rule.usd_rate.as_ref()),
        managed_customer: form.is(rule.managed_customer.as_ref(), "Yes"),
        eligible_solution: form.is(rule.eligible_solution.as_ref(), "Yes"),
        // An empty box says that it does not.
        solution_assessment: form.is(rule.solution_assessment.as_ref(), "Yes").or(Some(false)),
    };
    let read = form.registration(rule, referral);
    let against = match &read {
        Ok(registration) => missing(referral, microsoft, registration, &facts, now),
        Err(gaps) => {
            let mut about = Vec::new();
            about_the_deal(referral, microsoft, &facts, &mut about);
            about.into_iter().chain(gaps.iter().copied()).map(str::to_owned).collect()
        }
    };
    match read {
        Ok(registration) if against.is_empty() => Ok(registration),
        _ => Err(against),
    }
}

/// The fields of a record.
struct Form<'f> {
    fields: &'f Fields,
}

impl Form<'_> {
    fn registration(
        &self,
        rule: &RegistrationRule,
        referral: &Referral,
    ) -> Result<Registration, Vec<&'static str>> {
        let mut gaps = Vec::new();
        let mut note = |text| gaps.push(text);
        let value = self.amount(rule.value.as_ref());
        let currency = self.text(rule.currency.as_ref());
        let (start, end) = (self.date(rule.start.as_ref()), self.date(rule.end.as_ref()));
        let signed = self.date(rule.signed.as_ref());
        let perpetual = self.is(rule.perpetual.as_ref(), "Perpetual") == Some(true);
        let id = self.text(rule.solution.as_ref()).or_else(|| only_solution(referral));
        let deployed = self.is(rule.deployed_on_azure.as_ref(), "Yes");
        let customer = self.is(rule.customer_deployment.as_ref(), "Customer");
        let by_use = self.is(rule.pay_as_you_go.as_ref(), "PayAsYouGo");
        let bought = self.is(rule.marketplace.as_ref(), "Yes") == Some(true);
        let bought_on = self.date(rule.marketplace_date.as_ref());
        for (is_there, text) in [
            (value.is_some(), "the value of the contract is needed"),
            (currency.is_some(), "the currency of the contract is needed"),
            (start.is_some(), "the first day of the contract is needed"),
            (signed.is_some(), "the day the contract was signed is needed"),
            (end.is_some() || perpetual, "the contract needs a last day, or must be perpetual"),
            (id.is_some(), "name the one solution that is registered"),
            (deployed.is_some(), "say whether the solution runs on Azure"),
            (customer.is_some(), "say whether it runs in the customer's subscription"),
            (by_use.is_some(), "say whether it is paid by use"),
            (!bought || bought_on.is_some(), "the day of the marketplace transaction is needed"),
        ] {
            if !is_there {
                note(text);
            }
        }
        let (Some(value), Some(currency), Some(start), Some(signed), Some(id)) =
            (value, currency, start, signed, id)
        else {
            return Err(gaps);
        };
        if !gaps.is_empty() {
            return Err(gaps);
        }
        let solution = RegisteredSolution {
            id,
            value: self.amount(rule.solution_value.as_ref()).unwrap_or(value),
            deployed_on_azure: deployed == Some(true),
            customer_deployment: customer == Some(true),
            pay_as_you_go: by_use == Some(true),
            marketplace_transaction: bought_on.filter(|_| bought).map(Date::midnight_utc),
        };
        Ok(Registration {
            currency: currency.to_ascii_uppercase(),
            value,
            start,
            end: end.filter(|_| !perpetual),
            signed,
            solutions: vec![solution],
        })
    }

    fn get(&self, field: Option<&String>) -> Option<&Json> {
        self.fields.get(field?).filter(|value| !value.is_null())
    }

    fn text(&self, field: Option<&String>) -> Option<String> {
        let text = self.get(field)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An exact amount, from a number or from text.
    fn amount(&self, field: Option<&String>) -> Option<Decimal> {
        amount_in(self.get(field)?)
    }

    /// A date, also from an instant.
    fn date(&self, field: Option<&String>) -> Option<Date> {
        date_in(&self.text(field)?)
    }

    /// A check box, or an option compared with `word` without case and spaces; `None` if the field
    /// says nothing.
    fn is(&self, field: Option<&String>, word: &str) -> Option<bool> {
        match self.get(field)? {
            Json::Bool(ticked) => Some(*ticked),
            Json::String(text) if !text.trim().is_empty() => {
                let same = |text: &str| text.replace([' ', '-'], "").to_ascii_lowercase();
                Some(same(text) == same(word))
            }
            _ => None,
        }
    }
}

/// An exact amount, from a number or from text.
pub(super) fn amount_in(json: &Json) -> Option<Decimal> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

/// A date, also from an instant.
pub(super) fn date_in(text: &str) -> Option<Date> {
    Date::parse(text).or_else(|| Timestamp::parse(text).map(Timestamp::date))
}

/// The solution of a deal that has exactly one.
fn only_solution(referral: &Referral) -> Option<String> {
    let solutions = referral.get("details.requirements.solutions")?.as_array()?;
    let [solution] = solutions.as_slice() else { return None };
    solution.get("id")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::prepare;
    use crate::domain::record::Fields;
    use crate::domain::referral::Referral;
    use crate::domain::time::{Date, Timestamp};
    use crate::mapping::registration::RegistrationRule;

    fn rule() -> RegistrationRule {
        let field = |name: &str| Some(name.to_owned());
        RegistrationRule {
            register: field("Register"),
            value: field("Value"),
            currency: field("Currency"),
            usd_rate: field("Rate"),
            start: field("Start"),
            end: field("End"),
            perpetual: field("Perpetual"),
            signed: field("Signed"),
            solution: field("Solution"),
            solution_value: field("SolutionValue"),
            deployed_on_azure: field("Azure"),
            customer_deployment: field("Deployment"),
            pay_as_you_go: field("Pricing"),
            marketplace: field("Marketplace"),
            marketplace_date: field("MarketplaceDate"),
            managed_customer: field("Managed"),
            eligible_solution: field("Eligible"),
            solution_assessment: field("Assessment"),
            status: None,
        }
    }

    fn referral(solutions: &[&str]) -> Referral {
        let solutions: Vec<Json> = solutions.iter().map(|id| json!({ "id": id })).collect();
        Referral::from_json(json!({
            "id": "11111111-2222-4333-8444-555555555555",
            "status": "Closed",
            "substatus": "Won",
            "createdDateTime": "2026-07-01T10:00:00Z",
            "consent": {"consentToShareReferralWithMicrosoftSellers": true},
            "details": {"requirements": {"solutions": solutions}},
        }))
        .expect("a referral")
    }

    fn record(changes: &[(&str, Json)]) -> Fields {
        let Json::Object(mut fields) = json!({
            "Value": 60_000.1, "Currency": "usd", "Start": "2026-08-15", "End": "2027-08-14",
            "Signed": "2026-08-10T09:00:00Z", "Azure": true, "Deployment": "Customer",
            "Pricing": "Pay as you go", "Managed": true, "Eligible": "yes", "Assessment": false,
        }) else {
            unreachable!("an object")
        };
        for (name, value) in changes {
            fields.insert((*name).to_owned(), value.clone());
        }
        fields
    }

    #[test]
    fn a_complete_record_becomes_a_registration() {
        let now = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let one = referral(&["SOL-1"]);
        let read = prepare(&rule(), &record(&[]), &one, None, now).expect("complete");
        assert_eq!((read.currency.as_str(), read.value.to_string()), ("USD", "60000.1".to_owned()));
        assert_eq!(read.signed, Date::parse("2026-08-10").expect("a date"));
        let [solution] = read.solutions.as_slice() else { unreachable!("one solution") };
        assert_eq!((solution.id.as_str(), solution.value), ("SOL-1", read.value));
        assert!(solution.customer_deployment && solution.pay_as_you_go);
        let perpetual = [("Perpetual", json!(true)), ("Value", json!("150000"))];
        let read = prepare(&rule(), &record(&perpetual), &one, None, now).expect("complete");
        assert_eq!(read.end, None, "a perpetual contract has no last day");
        let bought = [("Marketplace", json!(true)), ("MarketplaceDate", json!("2026-08-11"))];
        let read = prepare(&rule(), &record(&bought), &one, None, now).expect("complete");
        assert!(read.solutions[0].marketplace_transaction.is_some());
    }

    #[test]
    fn every_gap_is_told_at_once() {
        let now = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let table: [(&[&str], &[(&str, Json)], &[&str]); 7] = [
            (&["a", "b"], &[], &["one solution"]),
            (&["a", "b"], &[("Solution", json!("b"))], &[]),
            (&["a"], &[("Value", Json::Null), ("Signed", json!("soon"))], &["value", "signed"]),
            (&["a"], &[("End", Json::Null)], &["last day"]),
            (&["a"], &[("Marketplace", json!(true))], &["marketplace"]),
            (&["a"], &[("Managed", Json::Null), ("Azure", Json::Null)], &["manages", "Azure"]),
            (&["a"], &[("SolutionValue", json!(60_001))], &["worth more"]),
        ];
        for (solutions, changes, expected) in table {
            let read = prepare(&rule(), &record(changes), &referral(solutions), None, now);
            let found = read.err().unwrap_or_default();
            assert_eq!(found.len(), expected.len(), "{changes:?}: {found:?}");
            for (part, text) in expected.iter().zip(&found) {
                assert!(text.contains(part), "{changes:?}: {found:?}");
            }
        }
    }
}
