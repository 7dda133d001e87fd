//! Deal registration: the `/registrations` paths of a PATCH (reference 7.1).

use serde_json::{Map, Value as Json, json};

use super::answer::Refusal;
use super::check;
use super::patch::{Operation, put};
use super::state::{State, Stored};
use crate::domain::clock::Randomness;
use crate::domain::referral::{Status, Substatus};
use crate::domain::time::{Date, Timestamp};

/// What may change in a contract.
const CONTRACT: &[&str] = &["startDateTime", "endDateTime", "signDateTime", "term", "value"];
/// What may change in a registered solution.
const SOLUTION: &[&str] =
    &["value", "currency", "isDeployedOnAzure", "primaryDeploymentOn", "pricingModel"];
/// What may change in the marketplace part of a registered solution.
const MARKETPLACE: &[&str] = &["isMarketplaceTransacted", "marketplaceTransactionDateTime"];

const MILLIS_PER_DAY: i64 = 86_400_000;

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
    let newest = root["registrations"].as_array().and_then(|list| list.last()).cloned();
    if let Json::Object(fields) = root {
        *json = fields;
    }
    match (done, newest) {
        (Some(()), Some(registration)) => check_registration(state, stored, &registration),
        _ => Err(Refusal::invalid("registrations", "There is no registration to change.")),
    }
}

fn eligible(state: &State, stored: &Stored) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid("registrations", why));
    if stored.state().substatus != Substatus::Won {
        return refuse("Only a won deal can be registered.");
    }
    if !stored.consented_to_sharing() {
        return refuse("A private deal cannot be registered.");
    }
    let microsoft = state.engagement(stored.text("engagementId")).find(|one| one.is_microsofts());
    let agreed = microsoft.is_none_or(|microsoft| {
        microsoft.state().status == Status::Active || microsoft.state().substatus == Substatus::Won
    });
    if !agreed {
        return refuse("Microsoft has not accepted the deal.");
    }
    let details = stored.json.get("details").cloned().unwrap_or_default();
    let small = check::number(&details["dealValue"]).is_none_or(|value| value < 25_000.0);
    if small && details["currency"].as_str().is_some_and(|code| code.eq_ignore_ascii_case("USD")) {
        return refuse("The deal value is below 25,000 USD.");
    }
    Ok(())
}

fn check_registration(state: &State, stored: &Stored, registration: &Json) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid("registrations", why));
    let contract = &registration["contract"];
    let day = |name: &str| contract[name].as_str().and_then(moment);
    let (Some(signed), Some(starts)) = (day("signDateTime"), day("startDateTime")) else {
        return refuse("The contract needs a date of signature and a start.");
    };
    let now = state.now().as_millis();
    let created = moment(stored.text("createdDateTime")).unwrap_or(now);
    if signed > now || signed < now - 60 * MILLIS_PER_DAY {
        return refuse("The contract was signed in the future or more than 60 days ago.");
    }
    if signed / MILLIS_PER_DAY < created / MILLIS_PER_DAY {
        return refuse("The contract was signed before the deal was created.");
    }
    if starts < now - 90 * MILLIS_PER_DAY {
        return refuse("The contract started more than 90 days ago.");
    }
    match (contract["term"].as_str(), day("endDateTime")) {
        (Some("Perpetual"), None) => {}
        (Some("Perpetual" | "Finite"), Some(ends)) if ends >= starts => {}
        _ => return refuse("The contract's term and end do not fit together."),
    }
    let solutions = registration["solutionDetails"].as_array();
    let Some(solutions) = solutions.filter(|solutions| !solutions.is_empty()) else {
        return refuse("A registration names at least one solution.");
    };
    let total = check::number(&contract["value"]).unwrap_or(0.0);
    if solutions.iter().any(|one| check::number(&one["value"]).is_none_or(|value| value > total)) {
        return refuse("A solution's value exceeds the contract's.");
    }
    Ok(())
}

fn moment(text: &str) -> Option<i64> {
    Timestamp::parse(text)
        .map(Timestamp::as_millis)
        .or_else(|| Date::parse(text).map(|date| date.midnight_utc().as_millis()))
}
