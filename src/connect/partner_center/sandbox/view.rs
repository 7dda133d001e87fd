//! What a caller sees of a stored referral.

use serde_json::{Map, Value as Json, json};

use super::options::Role;
use super::state::{State, Stored};

/// The host in the links of a referral.
const HOST: &str = "https://api.partner.microsoft.com/v1.0/engagements";

const EMPTY: &str = include_str!("fixtures/empty-referral.json");

/// A referral with every property of the reference (3.2, 3.3), all empty.
pub(super) fn empty() -> Map<String, Json> {
    serde_json::from_str(EMPTY).unwrap_or_default()
}

/// Whether a referral has this top-level property.
pub(super) fn has_property(name: &str) -> bool {
    empty().keys().any(|known| known.eq_ignore_ascii_case(name))
}

/// Links to itself and to its engagement; the GUID in the filter is unquoted, as seen (2.3).
pub(super) fn links(id: &str, engagement: &str) -> Json {
    json!({
        "relatedReferrals": {
            "uri": format!("{HOST}/referrals?$filter=engagementId eq {engagement}"),
            "method": "GET",
        },
        "self": { "uri": format!("{HOST}/referrals/{id}"), "method": "GET" },
    })
}

/// Whether the signed-in user may see it (reference 1.7).
pub(super) fn is_visible(state: &State, stored: &Stored) -> bool {
    if state.options.hide_marketplace_leads && stored.is_marketplace_lead() {
        return false;
    }
    if state.options.role == Role::ReferralsAdmin {
        return true;
    }
    if stored.is_microsofts() {
        return state
            .engagement(stored.text("engagementId"))
            .any(|own| !own.is_microsofts() && is_visible(state, own));
    }
    let theirs = match &state.options.role {
        Role::ReferralsAdmin => true,
        Role::LocationAdmin { locations } => {
            locations.iter().any(|location| location == stored.text("mpnId"))
        }
        Role::ReferralsUser { email } => is_in_team(stored, email),
        Role::ProfileAdmin => false,
    };
    theirs && !stored.is_lead()
}

fn is_in_team(stored: &Stored, email: &str) -> bool {
    stored.json.get("team").and_then(Json::as_array).is_some_and(|team| {
        team.iter().any(|member| {
            member["email"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(email))
        })
    })
}

/// As emitted, with fields and words nobody knows if that is asked for.
pub(super) fn decorated(state: &State, json: &Map<String, Json>) -> Map<String, Json> {
    let mut json = json.clone();
    if state.options.surprises {
        json.insert("quality".to_owned(), json!("Platinum"));
        json.insert("dealSensitivity".to_owned(), json!("Confidential"));
        json.insert("exception".to_owned(), json!({ "kind": "NotSeenBefore", "level": 3 }));
        json.insert("futureProgram".to_owned(), json!([{ "id": 7, "label": "Not documented" }]));
        if let Some(details) = json.get_mut("details") {
            details["forecastBand"] = json!("Upside");
            if let Some(requirements) =
                details.get_mut("requirements").and_then(Json::as_object_mut)
            {
                requirements.remove("offers");
            }
        }
        let ids = json.get_mut("customerProfile").and_then(|profile| profile.get_mut("ids"));
        if let Some(ids) = ids.filter(|ids| ids.as_array().is_some_and(Vec::is_empty)) {
            *ids = json!({});
        }
    }
    json
}

/// The answer to a read of one referral.
pub(super) fn single(state: &State, stored: &Stored) -> Json {
    let mut json = decorated(state, &stored.json);
    let context = format!("{HOST}/$metadata#referrals/$entity");
    json.insert("@odata.context".to_owned(), json!(context));
    Json::Object(json)
}
