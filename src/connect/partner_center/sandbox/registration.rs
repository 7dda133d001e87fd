//! Deal registration: the `/registrations` paths of a PATCH (reference 7.1).

use serde_json::{Map, Value as Json, json};

use super::answer::Refusal;
use super::patch::{Operation, put};
use super::state::{State, Stored};
use super::{check, rules};
use crate::domain::clock::Randomness;
use crate::domain::time::{Date, Timestamp};

/// What may change in a contract.
const CONTRACT: &[&str] = &["startDateTime", "endDateTime", "signDateTime", "term", "value"];
/// What may change in a registered solution.
const SOLUTION: &[&str] =
    &["value", "currency", "isDeployedOnAzure", "primaryDeploymentOn", "pricingModel"];
/// What may change in the marketplace part of a registered solution.
const MARKETPLACE: &[&str] = &["isMarketplaceTransacted", "marketplaceTransactionDateTime"];

const MILLIS_PER_DAY: i64 = 86_400_000;

/// Least value of a deal, and of a contract in a year, in US dollars.
const LEAST_USD: f64 = 25_000.0;
/// Years that a perpetual contract counts for.
const PERPETUAL_YEARS: f64 = 6.0;

/// Whether the path below `/registrations` may be patched in this manner.
pub(super) fn is_allowed(steps: &[String], replaces: bool) -> bool {
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    match steps.as_slice() {
        [_, "-"] => !replaces,
        [_, "0", "contract", last] => CONTRACT.contains(last),
        [_, "0", "solutionDetails", "0", last] => SOLUTION.contains(last),
        [_, "0", "solutionDetails", "0", "marketplaceTransactionDetails", last] => {
            MARKETPLACE.contains(last)
        }
        _ => false,
    }
}

/// Adds a registration, or changes the first one, and checks it.
pub(super) fn apply(
    state: &State,
    stored: &Stored,
    json: &mut Map<String, Json>,
    operation: &Operation,
) -> Result<(), Refusal> {
    eligible(state, stored)?;
    let adds = operation.steps.last().is_some_and(|last| last == "-");
    let mut value = operation.value.clone();
    if adds && !value.is_object() {
        return Err(Refusal::invalid("registrations", "A registration is an object."));
    }
    if adds {
        value["id"] = json!(state.chance.guid());
        value["registrationDateTime"] = json!(state.now().to_string());
        value["status"] = json!("ReviewPending");
        value["statusReason"] = Json::Null;
        value["statusHistory"] = json!({ "reviewPendingDateTime": state.now().to_string() });
        json.insert("registrationStatus".to_owned(), json!("ReviewPending"));
    }
    let mut root = Json::Object(std::mem::take(json));
    let done = put(&mut root, &operation.steps, value);
    let list = root["registrations"].as_array_mut();
    let touched = list.and_then(|list| if adds { list.last_mut() } else { list.first_mut() });
    let answered = touched.filter(|touched| !adds && touched["status"] == "ActionRequired");
    let answered = answered.map(|touched| {
        touched["status"] = json!("ReviewPending");
        touched["statusHistory"]["reviewPendingDateTime"] = json!(state.now().to_string());
    });
    let list = root["registrations"].as_array();
    let touched = list.and_then(|list| if adds { list.last() } else { list.first() }).cloned();
    if answered.is_some() {
        root["registrationStatus"] = json!("ReviewPending");
    }
    if let Json::Object(fields) = root {
        *json = fields;
    }
    match (done, touched) {
        (Some(()), Some(registration)) => {
            check_words(&registration)?;
            check_dates(state, stored, &registration)?;
            check_values(state, &registration)
        }
        _ => Err(Refusal::invalid("registrations", "There is no registration to change.")),
    }
}

fn refuse(why: &str) -> Result<(), Refusal> {
    Err(Refusal::invalid("registrations", why))
}

fn eligible(state: &State, stored: &Stored) -> Result<(), Refusal> {
    if stored.text("substatus") != "Won" {
        return refuse("Only a won deal can be registered.");
    }
    if !stored.consented_to_sharing() {
        return refuse("A private deal cannot be registered.");
    }
    let microsoft = state.engagement(stored.text("engagementId")).find(|one| one.is_microsofts());
    let agreed = microsoft.is_none_or(|microsoft| {
        microsoft.text("status") == "Active" || microsoft.text("substatus") == "Won"
    });
    if !agreed {
        return refuse("Microsoft has not accepted the deal.");
    }
    if !state.options.managed_customer {
        return refuse("Microsoft does not manage the customer.");
    }
    if state.options.solution_assessment {
        return refuse("A solution assessment cannot be registered.");
    }
    let details = stored.json.get("details").cloned().unwrap_or_default();
    let dollars = dollars(state, &details["dealValue"], &details["currency"]);
    if dollars.is_none_or(|dollars| dollars < LEAST_USD) {
        return refuse("The deal value is below 25,000 USD.");
    }
    Ok(())
}

/// The amount in US dollars; `None` if it is no number or the currency has no rate.
fn dollars(state: &State, value: &Json, currency: &Json) -> Option<f64> {
    let currency = currency.as_str()?;
    let rates = &state.options.usd_rates;
    let (_, rate) = rates.iter().find(|(known, _)| known.eq_ignore_ascii_case(currency))?;
    Some(check::number(value)? * rate)
}

/// The closed lists and types of reference 7.1.
fn check_words(registration: &Json) -> Result<(), Refusal> {
    if registration["type"] != "AzureIPCoSell" {
        return refuse("The type is AzureIPCoSell.");
    }
    let contract = &registration["contract"];
    let is_currency = |value: &Json| value.as_str().is_some_and(|code| code.len() == 3);
    if !is_currency(&contract["currency"]) {
        return refuse("The contract needs a currency of three letters.");
    }
    let solutions = registration["solutionDetails"].as_array();
    let Some(solutions) = solutions.filter(|solutions| !solutions.is_empty()) else {
        return refuse("A registration names at least one solution.");
    };
    for solution in solutions {
        let is_one_of = |name: &str, words: &[&str]| {
            solution[name].as_str().is_some_and(|word| words.contains(&word))
        };
        let transaction = &solution["marketplaceTransactionDetails"];
        let bought = transaction["isMarketplaceTransacted"] == true;
        let dated = transaction["marketplaceTransactionDateTime"].as_str().and_then(moment);
        if solution["id"].as_str().is_none_or(str::is_empty) {
            return refuse("The solution id is required.");
        }
        if !is_currency(&solution["currency"]) || !solution["isDeployedOnAzure"].is_boolean() {
            return refuse("A solution has a currency and says whether it is deployed on Azure.");
        }
        if !is_one_of("primaryDeploymentOn", &["Customer", "Partner"])
            || !is_one_of("pricingModel", &["PayAsYouGo", "Other"])
        {
            return refuse("The deployment or the pricing model is not a word of the list.");
        }
        if bought && dated.is_none() {
            return refuse("A marketplace transaction has a date.");
        }
    }
    Ok(())
}

fn check_dates(state: &State, stored: &Stored, registration: &Json) -> Result<(), Refusal> {
    let contract = &registration["contract"];
    let day = |name: &str| contract[name].as_str().and_then(moment);
    let (Some(signed), Some(starts)) = (day("signDateTime"), day("startDateTime")) else {
        return refuse("The contract needs a date of signature and a start.");
    };
    let now = state.now().as_millis();
    // Days count back from the registration: one that is corrected later is not late.
    let filed = registration["registrationDateTime"].as_str().and_then(moment).unwrap_or(now);
    if signed > now || signed < filed - 60 * MILLIS_PER_DAY {
        return refuse("The contract was signed in the future or more than 60 days ago.");
    }
    // The latest of the days on which the deal was created and Microsoft was invited.
    let engagement = state.engagement(stored.text("engagementId"));
    let begun = engagement
        .filter(|one| one.is_microsofts() || one.text("id") == stored.text("id"))
        .filter_map(|one| moment(one.text("createdDateTime")))
        .max();
    if begun.is_some_and(|begun| signed / MILLIS_PER_DAY < begun / MILLIS_PER_DAY) {
        return refuse("The contract was signed before the deal was created or shared.");
    }
    if starts < filed - 90 * MILLIS_PER_DAY {
        return refuse("The contract started more than 90 days ago.");
    }
    match (contract["term"].as_str(), day("endDateTime")) {
        (Some("Perpetual"), None) => Ok(()),
        (Some("Perpetual" | "Finite"), Some(ends)) if ends >= starts => Ok(()),
        _ => refuse("The contract's term and end do not fit together."),
    }
}

fn check_values(state: &State, registration: &Json) -> Result<(), Refusal> {
    let contract = &registration["contract"];
    let Some(total) = check::number(&contract["value"]).filter(|total| *total > 0.0) else {
        return refuse("The contract needs a value.");
    };
    let solutions = registration["solutionDetails"].as_array();
    let over = |one: &Json| check::number(&one["value"]).is_none_or(|value| value > total);
    if solutions.is_some_and(|solutions| solutions.iter().any(over)) {
        return refuse("A solution's value exceeds the contract's.");
    }
    let eligible = &state.options.eligible_solutions;
    let is_eligible = |one: &Json| eligible.iter().any(|id| one["id"] == id.as_str());
    if !eligible.is_empty() && !solutions.is_some_and(|solutions| solutions.iter().any(is_eligible))
    {
        return refuse("No solution is Azure IP co-sell eligible.");
    }
    let yearly = dollars(state, &contract["value"], &contract["currency"])
        .map(|dollars| dollars / years(contract));
    if yearly.is_none_or(|yearly| yearly < LEAST_USD) {
        return refuse("The annual value is below 25,000 USD.");
    }
    Ok(())
}

/// How many years a contract runs, one at least.
fn years(contract: &Json) -> f64 {
    let day = |name: &str| contract[name].as_str().and_then(moment);
    match (contract["term"].as_str(), day("startDateTime"), day("endDateTime")) {
        (Some("Finite"), Some(starts), Some(ends)) => {
            let days = (ends - starts) / MILLIS_PER_DAY + 1;
            let days: f64 = i32::try_from(days).unwrap_or(i32::MAX).into();
            // A leap year is one year, too.
            if days <= 366.0 { 1.0 } else { days / 365.0 }
        }
        _ => PERPETUAL_YEARS,
    }
}

/// Microsoft's decision on the newest registration of a referral: the referral after it. `None` if
/// there is no registration or it cannot go there from where it is.
pub(super) fn reviewed(
    stored: &Stored,
    status: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Option<Map<String, Json>> {
    let mut json = stored.json.clone();
    let newest = json.get_mut("registrations")?.as_array_mut()?.last_mut()?;
    let before = newest["status"].as_str().unwrap_or_default();
    if !rules::may_be_reviewed(before, status) {
        return None;
    }
    newest["status"] = json!(status);
    newest["statusReason"] = json!(reason);
    let mut letters = status.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase()).unwrap_or_default();
    newest["statusHistory"][format!("{first}{}DateTime", letters.as_str())] =
        json!(now.to_string());
    json.insert("registrationStatus".to_owned(), json!(status));
    Some(json)
}

fn moment(text: &str) -> Option<i64> {
    Timestamp::parse(text)
        .map(Timestamp::as_millis)
        .or_else(|| Date::parse(text).map(|date| date.midnight_utc().as_millis()))
}
