//! `POST /referrals`: own deals, and invitations to Microsoft (reference 4.3 to 4.5).

use serde_json::{Map, Value as Json, json};

use super::answer::Refusal;
use super::options::{CreateRules, Options, Role, SecondInvitation};
use super::state::State;
use super::{casing, check, rules, view};
use crate::domain::clock::Randomness;

/// Properties that only the service sets.
const READ_ONLY: &[&str] =
    &["id", "organizationId", "organizationName", "registrations", "favorite", "referralSource"];

/// Makes the referral that a create asks for; it is not stored yet.
pub(super) fn create(state: &mut State, body: Json) -> Result<Map<String, Json>, Refusal> {
    let Json::Object(mut body) = body else {
        return Err(Refusal::referrals(400, "invalidRequest", "A referral is an object."));
    };
    for name in READ_ONLY {
        body.remove(*name);
    }
    required(&body)?;
    first_state(&body)?;
    let mut json = view::empty();
    casing::lay_over(&mut json, body);
    check::shape(&mut json)?;
    let invites_microsoft = invites_microsoft(&json);
    if state.options.create_rules == CreateRules::Practical {
        check::practical_minimum(&json, invites_microsoft)?;
    }
    let engagement = engagement(state, &json, invites_microsoft)?;
    location(&state.options, &json)?;
    let id = state.chance.guid();
    json.insert("links".to_owned(), view::links(&id, &engagement));
    json.insert("id".to_owned(), json!(id));
    json.insert("engagementId".to_owned(), json!(engagement));
    fill(state, &mut json, invites_microsoft);
    Ok(json)
}

fn required(body: &Map<String, Json>) -> Result<(), Refusal> {
    for name in ["type", "customerProfile", "consent", "details"] {
        if body.get(name).is_none_or(Json::is_null) {
            return Err(Refusal::invalid(name, format!("The property '{name}' is required.")));
        }
    }
    for name in ["customerProfile", "consent", "details"] {
        if !body.get(name).is_some_and(Json::is_object) {
            return Err(Refusal::invalid(name, format!("The property '{name}' is an object.")));
        }
    }
    Ok(())
}

/// A deal may be posted as New or Active, which makes no difference; what does not agree is legal in
/// bulk files only (reference 4.2).
fn first_state(body: &Map<String, Json>) -> Result<(), Refusal> {
    let word = |name: &str| body.get(name).filter(|value| !value.is_null());
    let (status, substatus) = match (word("status"), word("substatus")) {
        (None, None) => return Ok(()),
        (status, substatus) => (status, substatus),
    };
    let text = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or_default().to_owned();
    match rules::pair(&text(status), &text(substatus)) {
        Some(("New" | "Active", _)) => Ok(()),
        _ => Err(Refusal::invalid("status", "A deal begins as New or Active.")),
    }
}

/// Whether the target is Microsoft (reference 3.7).
pub(super) fn invites_microsoft(json: &Map<String, Json>) -> bool {
    json.get("target").and_then(Json::as_array).is_some_and(|targets| {
        targets
            .iter()
            .any(|target| target["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case("msft")))
    })
}

/// Whoever administers some locations creates deals there only (reference 1.7).
fn location(options: &Options, json: &Map<String, Json>) -> Result<(), Refusal> {
    let Role::LocationAdmin { locations } = &options.role else { return Ok(()) };
    let given = json.get("mpnId").and_then(Json::as_str).filter(|id| !id.is_empty());
    let location = given.unwrap_or(&options.mpn_id);
    if locations.iter().any(|known| known == location) {
        return Ok(());
    }
    Err(Refusal::referrals(403, "accessDenied", "The location is not one of yours."))
}

/// The engagement to attach to, or a new one.
fn engagement(
    state: &State,
    json: &Map<String, Json>,
    invites_microsoft: bool,
) -> Result<String, Refusal> {
    let asked = json.get("engagementId").and_then(Json::as_str).unwrap_or_default();
    if asked.is_empty() {
        return Ok(state.chance.guid());
    }
    let own = state.engagement(asked).find(|stored| !stored.is_microsofts());
    let Some(own) = own else {
        return Err(Refusal::invalid("engagementId", "The engagement does not exist."));
    };
    if own.is_closed() {
        return Err(Refusal::invalid("engagementId", "The engagement is closed."));
    }
    let already = state.engagement(asked).any(super::state::Stored::is_microsofts);
    let refuse = state.options.second_invitation == SecondInvitation::Conflict;
    if invites_microsoft && already && refuse {
        let message = "Microsoft was already invited to this engagement.";
        return Err(Refusal::referrals(409, "invalidRequest", message));
    }
    Ok(asked.to_ascii_lowercase())
}

/// What the service sets itself. Own deals are born Active; Microsoft's record waits for its
/// answer.
fn fill(state: &mut State, json: &mut Map<String, Json>, invites_microsoft: bool) {
    let stamp = state.stamp();
    let options = &state.options;
    let own = json!({
        "organizationId": options.organization_id, "organizationName": options.organization_name,
    });
    let (status, substatus) =
        if invites_microsoft { ("New", "Pending") } else { ("Active", "Accepted") };
    json.insert("status".to_owned(), json!(status));
    json.insert("substatus".to_owned(), json!(substatus));
    let direction = if options.own_deals_incoming { "Incoming" } else { "Outgoing" };
    json.insert("direction".to_owned(), json!(direction));
    if invites_microsoft {
        json.insert("organizationId".to_owned(), json!("msft"));
        json.insert("organizationName".to_owned(), json!("Microsoft"));
    } else {
        json.insert("organizationId".to_owned(), own["organizationId"].clone());
        json.insert("organizationName".to_owned(), own["organizationName"].clone());
        json.insert("acceptedDateTime".to_owned(), json!(stamp));
    }
    if json.get("mpnId").and_then(Json::as_str).unwrap_or_default().is_empty() {
        json.insert("mpnId".to_owned(), json!(options.mpn_id));
    }
    if let Some(invite) = json.get_mut("inviteContext").filter(|invite| invite.is_object()) {
        invite["invitedBy"] = own;
    }
}

/// If the new referral invites Microsoft, our record may become `Shared` (reference 4.5:
/// unverified, hence a setting).
pub(super) fn note_invitation(state: &mut State, at: usize) {
    if !state.options.share_type_on_invitation {
        return;
    }
    let Some(created) = state.referrals.get(at).filter(|stored| stored.is_microsofts()) else {
        return;
    };
    let engagement = created.text("engagementId").to_owned();
    let own = state
        .referrals
        .iter()
        .position(|stored| !stored.is_microsofts() && stored.text("engagementId") == engagement);
    let Some((own, stored)) = own.and_then(|own| Some((own, state.referrals.get(own)?))) else {
        return;
    };
    if stored.text("type") != "Shared" {
        let mut json = stored.json.clone();
        json.insert("type".to_owned(), json!("Shared"));
        state.write(own, json);
    }
}
