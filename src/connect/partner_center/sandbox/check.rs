//! What makes a referral acceptable (reference 3, 4.3).

use serde_json::{Map, Value as Json};

use super::answer::Refusal;
use super::rules;
use crate::domain::time::{Date, Timestamp};

/// Most solutions, and most team members, of one referral.
const MOST: usize = 50;

/// Types, limits and enumerations that hold for every referral, created or patched. Words are
/// brought to their own spelling.
pub(super) fn shape(json: &mut Map<String, Json>) -> Result<(), Refusal> {
    words(json)?;
    let json = Json::Object(json.clone());
    let details = &json["details"];
    let texts =
        ["externalReferenceId", "campaignId", "salesStage", "statusReason", "referralProgram"];
    let texts = texts.map(|name| (name, &json[name]));
    for (name, value) in texts.into_iter().chain([("details.notes", &details["notes"])]) {
        if !value.is_string() && !value.is_null() {
            return Err(Refusal::invalid(name, "The value is text."));
        }
    }
    money(&details["dealValue"])?;
    if let Some(currency) = details["currency"].as_str().filter(|text| !text.is_empty())
        && !(currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        return Err(Refusal::invalid("details.currency", "A currency has three letters."));
    }
    optional_instant(&details["closingDateTime"], "details.closingDateTime")?;
    let country = json["customerProfile"]["address"]["country"].as_str().unwrap_or_default();
    if !country.is_empty() && !two_letters(country) {
        let target = "customerProfile.address.country";
        return Err(Refusal::invalid(target, "The two-letter country code is missing."));
    }
    solutions(&details["requirements"]["solutions"])?;
    members(&json["team"], "team")?;
    members(&json["customerProfile"]["team"], "customerProfile.team")
}

/// The practical minimum of a create.
pub(super) fn practical_minimum(
    json: &Map<String, Json>,
    invites_microsoft: bool,
) -> Result<(), Refusal> {
    let json = &Json::Object(json.clone());
    let at = |path: &str| path.split('.').fold(json, |at, step| &at[step]);
    let texts = [
        "name",
        "customerProfile.name",
        "customerProfile.address.addressLine1",
        "customerProfile.address.city",
        "customerProfile.address.country",
        "details.currency",
        "details.closingDateTime",
    ];
    for path in texts {
        if at(path).as_str().is_none_or(|text| text.trim().is_empty()) {
            return Err(Refusal::invalid(path, format!("The property '{path}' is required.")));
        }
    }
    if number(at("details.dealValue")).is_none_or(|value| value <= 0.0) {
        return Err(Refusal::invalid("details.dealValue", "The deal value must be positive."));
    }
    if at("details.requirements.solutions").as_array().is_none_or(Vec::is_empty) {
        let target = "details.requirements.solutions";
        return Err(Refusal::invalid(target, "The solution id is required."));
    }
    let complete = |member: &Json| {
        ["firstName", "lastName", "phoneNumber", "email"]
            .iter()
            .all(|name| member[name].as_str().is_some_and(|text| !text.trim().is_empty()))
    };
    if !at("team").as_array().is_some_and(|team| team.iter().any(complete)) {
        return Err(Refusal::invalid("team", "A team member with all contact data is required."));
    }
    let attributes = at("details.requirements.additionalRequirements.attributes");
    let has_intent =
        attributes.as_array().is_some_and(|attributes| attributes.iter().any(is_intent));
    if !has_intent {
        let target = "details.requirements.additionalRequirements.attributes";
        return Err(Refusal::invalid(target, "The customer's marketplace intent is required."));
    }
    consent(json, invites_microsoft)
}

/// Without the customer's consent nothing is created; help needs a customer contact.
fn consent(json: &Json, invites_microsoft: bool) -> Result<(), Refusal> {
    let given = |name: &str| json["consent"][name] == Json::Bool(true);
    for name in ["consentToToShareInfoWithOthers", "consentToContact"] {
        if !given(name) {
            return Err(Refusal::invalid("consent", format!("'{name}' must be true.")));
        }
    }
    if invites_microsoft && !given("consentToShareReferralWithMicrosoftSellers") {
        return Err(Refusal::invalid("consent", "The deal is not shared with Microsoft."));
    }
    let help = json["inviteContext"]["assistanceRequestCode"].as_str().unwrap_or("Unknown");
    if invites_microsoft && json["type"] != "Shared" {
        return Err(Refusal::invalid("type", "A deal with Microsoft is of the type Shared."));
    }
    if invites_microsoft && help == "Unknown" {
        let target = "inviteContext.assistanceRequestCode";
        return Err(Refusal::invalid(target, "The kind of help is required."));
    }
    let no_contact = json["customerProfile"]["team"].as_array().is_none_or(Vec::is_empty);
    if (invites_microsoft || !help.eq_ignore_ascii_case("Unknown")) && no_contact {
        return Err(Refusal::invalid("customerProfile.team", "A customer contact is required."));
    }
    Ok(())
}

/// Every word of a closed list (reference 3.4) must be on it.
fn words(json: &mut Map<String, Json>) -> Result<(), Refusal> {
    rules::bind_word(json.get_mut("type"), "type", rules::TYPES)?;
    rules::bind_word(json.get_mut("qualification"), "qualification", rules::QUALIFICATIONS)?;
    let mut root = Json::Object(std::mem::take(json));
    let outcome = inner_words(&mut root);
    if let Json::Object(fields) = root {
        *json = fields;
    }
    outcome
}

fn inner_words(json: &mut Json) -> Result<(), Refusal> {
    targets(&json["target"])?;
    let lists = [
        ("/target", "type", "target.type", rules::TARGET_TYPES),
        (
            "/details/requirements/solutions",
            "type",
            "details.requirements.solutions.type",
            rules::SOLUTION_TYPES,
        ),
        ("/customerProfile/ids", "profileType", "customerProfile.ids", rules::CUSTOMER_IDS),
    ];
    for (list, name, target, words) in lists {
        let items = json.pointer_mut(list).and_then(Json::as_array_mut);
        for item in items.into_iter().flatten() {
            rules::bind_word(item.get_mut(name), target, words)?;
        }
    }
    let help = json.pointer_mut("/inviteContext/assistanceRequestCode");
    rules::bind_word(help, "inviteContext.assistanceRequestCode", rules::HELP)?;
    let attributes = json.pointer_mut("/details/requirements/additionalRequirements/attributes");
    for attribute in attributes.and_then(Json::as_array_mut).into_iter().flatten() {
        if is_intent(attribute) {
            let target = "details.requirements.additionalRequirements.attributes";
            if attribute["id"].is_null() {
                return Err(Refusal::invalid(target, "The intent has no value."));
            }
            rules::bind_word(attribute.get_mut("id"), target, rules::INTENTS)?;
        }
    }
    Ok(())
}

fn is_intent(attribute: &Json) -> bool {
    let kind = attribute["type"].as_str().unwrap_or_default();
    kind.eq_ignore_ascii_case("CustomerMarketplaceIntent")
}

/// A list of types and ids; Microsoft is a location (reference 3.7).
fn targets(value: &Json) -> Result<(), Refusal> {
    if value.is_null() {
        return Ok(());
    }
    let Some(targets) = value.as_array() else {
        return Err(Refusal::invalid("target", "Targets are an array."));
    };
    for target in targets {
        let text = |name: &str| target[name].as_str().unwrap_or_default();
        if text("type").is_empty() || text("id").is_empty() {
            return Err(Refusal::invalid("target", "A target has a type and an id."));
        }
        let location = text("type").eq_ignore_ascii_case("BusinessProfileLocation");
        if text("id").eq_ignore_ascii_case("msft") && !location {
            return Err(Refusal::invalid("target.type", "Microsoft is a location."));
        }
    }
    Ok(())
}

fn solutions(value: &Json) -> Result<(), Refusal> {
    let target = "details.requirements.solutions";
    let Some(solutions) = value.as_array() else {
        return Err(Refusal::invalid(target, "Solutions are an array."));
    };
    if solutions.len() > MOST {
        return Err(Refusal::invalid(target, "There are more than 50 solutions."));
    }
    if solutions.iter().any(|solution| solution["id"].as_str().is_none_or(str::is_empty)) {
        return Err(Refusal::invalid(target, "The solution id is required."));
    }
    Ok(())
}

fn members(value: &Json, target: &str) -> Result<(), Refusal> {
    let Some(members) = value.as_array() else {
        return Err(Refusal::invalid(target, "A team is an array."));
    };
    if members.len() > MOST {
        return Err(Refusal::invalid(target, "There are more than 50 members."));
    }
    if members.iter().any(|member| member["email"].as_str().is_none_or(|mail| !mail.contains('@')))
    {
        return Err(Refusal::invalid(target, "A member needs an e-mail address."));
    }
    Ok(())
}

fn money(value: &Json) -> Result<(), Refusal> {
    match number(value) {
        Some(value) if value < 0.0 => {
            Err(Refusal::invalid("details.dealValue", "The deal value is negative."))
        }
        None if !value.is_null() => {
            Err(Refusal::invalid("details.dealValue", "The deal value is not a number."))
        }
        _ => Ok(()),
    }
}

/// A number, or numeric text, as the service binds it to a decimal.
pub(super) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

fn two_letters(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn optional_instant(value: &Json, target: &str) -> Result<(), Refusal> {
    match value {
        Json::Null => Ok(()),
        Json::String(text)
            if text.is_empty()
                || Timestamp::parse(text).is_some()
                || Date::parse(text).is_some() =>
        {
            Ok(())
        }
        _ => Err(Refusal::invalid(target, "The value is not a date and time.")),
    }
}
