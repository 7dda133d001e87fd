//! Deal registration: what is missing before it may be sent, its body, and what goes out again when
//! Microsoft asks for a correction (Partner Center reference 7.1).

pub mod correct;
mod form;

pub use form::prepare;

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use crate::domain::deal::MicrosoftRecord;
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
/// `microsoft` is Microsoft's own record in the engagement, if there is one. Days are counted back
/// from the day of the registration, once there is one. Whether the service agrees is its own
/// decision.
#[must_use]
pub fn missing(
    referral: &Referral,
    microsoft: Option<&MicrosoftRecord>,
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
    microsoft: Option<&MicrosoftRecord>,
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
                matches!(theirs.state.substatus, Substatus::Accepted | Substatus::Won)
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
    microsoft: Option<&MicrosoftRecord>,
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
    let filed = registered_on(referral).unwrap_or(now);
    let days_ago = |days: u64| filed.minus(Duration::from_secs(days * 86_400)).date();
    let Registration { signed, start, end, .. } = *registration;
    demand(signed <= today, "the contract must not be signed in the future");
    demand(signed >= days_ago(SIGNED_DAYS), "the contract must be signed within the last 60 days");
    let begun =
        referral.created().max(microsoft.and_then(|theirs| theirs.created)).map(Timestamp::date);
    demand(
        begun.is_some_and(|begun| signed >= begun),
        "the contract must not be signed before the deal was created and Microsoft invited",
    );
    demand(start >= days_ago(STARTED_DAYS), "the contract must start within the last 90 days");
    demand(end.is_none_or(|end| end >= start), "the contract must not end before it starts");
}

/// When the deal was registered, if it was: what is corrected later is not late.
fn registered_on(referral: &Referral) -> Option<Timestamp> {
    let first = referral.get("registrations")?.as_array()?.first()?;
    Timestamp::parse(first.get("registrationDateTime")?.as_str()?)
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
        "term": term(registration),
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
        "primaryDeploymentOn": deployment(solution),
        "pricingModel": pricing(solution),
        "marketplaceTransactionDetails": transaction,
    })
}

fn term(registration: &Registration) -> &'static str {
    if registration.end.is_some() { "Finite" } else { "Perpetual" }
}

fn deployment(solution: &RegisteredSolution) -> &'static str {
    if solution.customer_deployment { "Customer" } else { "Partner" }
}

fn pricing(solution: &RegisteredSolution) -> &'static str {
    if solution.pay_as_you_go { "PayAsYouGo" } else { "Other" }
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

#[cfg(test)]
mod tests;
