//! Deal registration: what is missing before it may be sent, and its body (reference 7.1).

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use crate::domain::referral::{DealKind, Referral, Status, Substatus};
use crate::domain::time::{Date, Timestamp};

/// Least value of a deal, in US dollars.
const LEAST_USD: i64 = 25_000;
/// A contract is registered, and its start lies, at most this many days back.
const SIGNED_DAYS: u64 = 60;
const STARTED_DAYS: u64 = 90;

/// A registration as the seller means it.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Currency of the contract, ISO 4217.
    pub currency: String,
    /// Value of the contract in major units.
    pub value: Decimal,
    /// First day.
    pub start: Date,
    /// Last day; `None` for a perpetual contract.
    pub end: Option<Date>,
    /// Day it was signed.
    pub signed: Date,
    /// The solutions sold.
    pub solutions: Vec<RegisteredSolution>,
}

/// One solution of a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredSolution {
    /// Its id, for example `SOL-1234-ABC`.
    pub id: String,
    /// Its value in major units of the contract's currency.
    pub value: Decimal,
    /// Whether it runs on Azure.
    pub deployed_on_azure: bool,
    /// In whose subscription: the customer's, else the partner's.
    pub customer_deployment: bool,
    /// Whether it is paid by use.
    pub pay_as_you_go: bool,
    /// When it was bought in the marketplace, if it was.
    pub marketplace_transaction: Option<Timestamp>,
}

/// What only people or other systems know; `None` counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Facts {
    /// US dollars for one unit of the contract's currency, for the value floor.
    pub usd_rate: Option<Decimal>,
    /// Whether Microsoft manages the customer.
    pub managed_customer: Option<bool>,
    /// Whether a solution is Azure IP co-sell eligible.
    pub eligible_solution: Option<bool>,
    /// Whether the deal came from a solution assessment.
    pub solution_assessment: Option<bool>,
}

/// Everything that stands against registering `referral`, in plain words; empty if nothing does.
///
/// `microsoft` is Microsoft's own referral in the engagement, if there is one. Whether the service
/// agrees is its own decision.
#[must_use]
pub fn missing(
    referral: &Referral,
    microsoft: Option<&Referral>,
    registration: &Registration,
    facts: &Facts,
    now: Timestamp,
) -> Vec<String> {
    let mut missing = Vec::new();
    about_the_deal(referral, microsoft, facts, &mut missing);
    about_the_dates(referral, microsoft, registration, now, &mut missing);
    about_the_values(registration, facts, &mut missing);
    missing.into_iter().map(str::to_owned).collect()
}

fn about_the_deal(
    referral: &Referral,
    microsoft: Option<&Referral>,
    facts: &Facts,
    missing: &mut Vec<&'static str>,
) {
    let mut demand = |met: bool, text: &'static str| {
        if !met {
            missing.push(text);
        }
    };
    let state = referral.state();
    demand(
        state.status == Status::Closed && state.substatus == Substatus::Won,
        "the deal must be won first",
    );
    match referral.deal_kind(microsoft.is_some()) {
        DealKind::Private => demand(false, "the deal must be shared with Microsoft"),
        DealKind::PartnerLed => {}
        DealKind::CoSell => demand(
            microsoft.is_some_and(|theirs| {
                matches!(theirs.state().substatus, Substatus::Accepted | Substatus::Won)
            }),
            "Microsoft must have accepted or won its part of the co-sell deal",
        ),
    }
    demand(facts.managed_customer == Some(true), "the customer must be one that Microsoft manages");
    demand(
        facts.eligible_solution == Some(true),
        "at least one solution must be Azure IP co-sell eligible",
    );
    demand(
        facts.solution_assessment == Some(false),
        "the deal must not come from a solution assessment",
    );
}

fn about_the_dates(
    referral: &Referral,
    microsoft: Option<&Referral>,
    registration: &Registration,
    now: Timestamp,
    missing: &mut Vec<&'static str>,
) {
    let mut demand = |met: bool, text: &'static str| {
        if !met {
            missing.push(text);
        }
    };
    let today = now.date();
    let days_ago = |days: u64| now.minus(Duration::from_secs(days * 86_400)).date();
    let Registration { signed, start, end, .. } = *registration;
    demand(signed <= today, "the contract must not be signed in the future");
    demand(signed >= days_ago(SIGNED_DAYS), "the contract must be signed within the last 60 days");
    let begun = referral.created().max(microsoft.and_then(Referral::created)).map(Timestamp::date);
    demand(
        begun.is_some_and(|begun| signed >= begun),
        "the contract must not be signed before the deal was created and Microsoft invited",
    );
    demand(start >= days_ago(STARTED_DAYS), "the contract must start within the last 90 days");
    demand(end.is_none_or(|end| end >= start), "the contract must not end before it starts");
}

fn about_the_values(registration: &Registration, facts: &Facts, missing: &mut Vec<&'static str>) {
    let mut demand = |met: bool, text: &'static str| {
        if !met {
            missing.push(text);
        }
    };
    demand(registration.currency.len() == 3, "the contract needs a currency of three letters");
    demand(!registration.solutions.is_empty(), "at least one solution must be named");
    demand(
        registration.solutions.iter().all(|solution| solution.value <= registration.value),
        "no solution may be worth more than the contract",
    );
    let rate = if registration.currency.eq_ignore_ascii_case("USD") {
        Some(Decimal::ONE)
    } else {
        facts.usd_rate
    };
    let annual = annual_value(registration);
    let enough = rate.zip(annual).and_then(|(rate, annual)| annual.checked_mul(rate));
    demand(
        enough.is_some_and(|usd| usd >= Decimal::from(LEAST_USD)),
        "the contract must be worth at least 25,000 US dollars a year",
    );
}

/// The value for one year: a contract of a year or less counts whole, a perpetual one is spread over
/// six years.
fn annual_value(registration: &Registration) -> Option<Decimal> {
    let days = match registration.end {
        None => 6 * 365,
        Some(end) => {
            let span = end.midnight_utc().since(registration.start.midnight_utc());
            span.as_secs() / 86_400 + 1
        }
    };
    if days <= 366 {
        return Some(registration.value);
    }
    registration.value.checked_mul(Decimal::from(365))?.checked_div(Decimal::from(days))
}

/// The JSON Patch operations that register the deal.
#[must_use]
pub fn operations(registration: &Registration) -> Vec<Json> {
    let solutions: Vec<Json> =
        registration.solutions.iter().map(|solution| detail(registration, solution)).collect();
    let mut contract = json!({
        "currency": registration.currency,
        "value": number(registration.value),
        "startDateTime": instant(registration.start),
        "signDateTime": instant(registration.signed),
        "term": if registration.end.is_some() { "Finite" } else { "Perpetual" },
    });
    if let Some(end) = registration.end {
        contract["endDateTime"] = json!(instant(end));
    }
    vec![json!({
        "op": "add",
        "path": "/registrations/-",
        "value": {"type": "AzureIPCoSell", "solutionDetails": solutions, "contract": contract},
    })]
}

fn detail(registration: &Registration, solution: &RegisteredSolution) -> Json {
    let bought = solution.marketplace_transaction;
    let mut transaction = json!({"isMarketplaceTransacted": bought.is_some()});
    if let Some(bought) = bought {
        transaction["marketplaceTransactionDateTime"] = json!(bought.to_string());
    }
    json!({
        "id": solution.id,
        "currency": registration.currency,
        "value": number(solution.value),
        "isDeployedOnAzure": solution.deployed_on_azure,
        "primaryDeploymentOn": if solution.customer_deployment { "Customer" } else { "Partner" },
        "pricingModel": if solution.pay_as_you_go { "PayAsYouGo" } else { "Other" },
        "marketplaceTransactionDetails": transaction,
    })
}

fn instant(date: Date) -> String {
    date.midnight_utc().to_string()
}

/// An exact JSON number, or text if a double could not hold it; the service reads both.
fn number(value: Decimal) -> Json {
    let text = value.normalize().to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits > 15 {
        return Json::String(text);
    }
    serde_json::from_str(&text).unwrap_or(Json::String(text))
}

/// Whether a JSON Patch path lies below the registrations of a referral.
pub(super) fn is_registration_path(path: &str) -> bool {
    const PARTS: &[&str] = &[
        "contract/startDateTime",
        "contract/endDateTime",
        "contract/signDateTime",
        "contract/term",
        "contract/value",
        "solutionDetails/0/value",
        "solutionDetails/0/currency",
        "solutionDetails/0/isDeployedOnAzure",
        "solutionDetails/0/primaryDeploymentOn",
        "solutionDetails/0/pricingModel",
        "solutionDetails/0/marketplaceTransactionDetails/isMarketplaceTransacted",
        "solutionDetails/0/marketplaceTransactionDetails/marketplaceTransactionDateTime",
    ];
    path == "/registrations/-"
        || path.strip_prefix("/registrations/0/").is_some_and(|rest| PARTS.contains(&rest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{
        Facts, RegisteredSolution, Registration, is_registration_path, missing, operations,
    };
    use crate::domain::referral::Referral;
    use crate::domain::time::{Date, Timestamp};

    /// Our referral, Microsoft's, registration, facts, part of the one sentence expected.
    type Row<'a> = (&'a Referral, Option<&'a Referral>, Registration, Facts, Option<&'a str>);

    fn date(text: &str) -> Date {
        Date::parse(text).expect("a date")
    }

    fn registration() -> Registration {
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
        let accepted = referral("Active", "Accepted", true);
        let declined = referral("Closed", "Declined", true);
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
            (&won, Some(&won), registration(), facts(), None),
            (&won, Some(&declined), registration(), facts(), Some("accepted or won its part")),
            (&accepted, None, registration(), facts(), Some("won first")),
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
            (
                &won,
                None,
                changed(|it| it.signed = date("2026-07-02")),
                facts(),
                Some("last 60 days"),
            ),
            (&won, None, changed(|it| it.signed = date("2026-07-03")), facts(), None),
            (
                &won,
                None,
                changed(|it| it.start = date("2026-06-02")),
                facts(),
                Some("last 90 days"),
            ),
            (
                &won,
                None,
                changed(|it| it.end = Some(date("2026-08-14"))),
                facts(),
                Some("end before"),
            ),
            (
                &won,
                None,
                changed(|it| it.solutions.clear()),
                facts(),
                Some("solution must be named"),
            ),
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
        let found = missing(&accepted, None, &early, &facts(), now);
        assert_eq!(found.len(), 3, "everything at once: {found:?}");
    }

    #[test]
    fn the_body_is_exact_and_within_the_allowed_paths() {
        let operations = operations(&registration());
        let value = operations[0].pointer("/value/contract/value").map(Json::to_string);
        assert_eq!(value.as_deref(), Some("60000.1"));
        assert_eq!(operations[0]["path"], "/registrations/-");
        assert_eq!(operations[0]["value"]["contract"]["signDateTime"], "2026-08-10T00:00:00.000Z");
        let table = [
            ("/registrations/-", true),
            ("/registrations/0/contract/value", true),
            ("/registrations/0/solutionDetails/0/pricingModel", true),
            ("/registrations/1/contract/value", false),
            ("/registrations/0/status", false),
            ("/status", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_registration_path(path), expected, "{path}");
        }
    }
}
