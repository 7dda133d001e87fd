//! List, get, create and who sees what.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::super::{InvitationAnswer, NextLinkStyle, Role, SecondInvitation};
use super::{REFERRALS, World, deal, invitation, member};
use crate::domain::id::ReferralId;

fn encode(filter: &str) -> String {
    let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    format!("{REFERRALS}?$filter={filter}")
}

fn names(list: &Json) -> Vec<&str> {
    let items = list["value"].as_array().expect("items");
    items.iter().map(|item| item["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn every_proven_filter_works() {
    let world = World::with(|options| options.proven_filters_only = false);
    let engagement = "66666666-7777-4888-9999-000000000000";
    world.sandbox.seed_incoming(json!({ "name": "a", "engagementId": engagement }));
    world.clock.advance(Duration::from_secs(60));
    world.sandbox.seed_incoming(json!({
        "name": "b", "type": "Independent", "customerProfile": { "address": { "country": "US" } },
        "team": [member("Someone@x.example")], "externalReferenceId": "it's",
    }));
    let table: &[(&str, &[&str], &str)] = &[
        ("engagementId eq '66666666-7777-4888-9999-000000000000'", &["a"], "quoted"),
        ("engagementId eq 66666666-7777-4888-9999-000000000000", &["a"], "as in real links"),
        ("status eq 'New' and qualification eq 'SalesQualified'", &["a", "b"], "and"),
        ("customerProfile/address/country eq 'US' and direction eq 'Incoming'", &["b"], "steps"),
        ("(type eq 'Shared' and direction eq 'Incoming')", &["a"], "parentheses"),
        ("type eq 'Shared' or customerProfile/address/country eq 'US'", &["a", "b"], "or"),
        ("team/any(t:t/email eq 'seller@contoso.example')", &["a"], "any"),
        ("team/any(t: t/email eq 'nobody@x.example')", &[], "any, without a hit"),
        ("updatedDateTime ge 2026-09-01T10:01:00Z", &["b"], "an instant without quotes"),
        ("updatedDateTime lt '2026-09-01T10:01:00Z'", &["a"], "an instant with quotes"),
        ("updatedDateTime gt 2026-09-01T10:01:00.1209999Z", &[], "seven digits count"),
        ("externalReferenceId eq 'it''s'", &["b"], "a doubled quote"),
        ("externalReferenceId eq null", &["a"], "null"),
        ("details/dealValue ge 50000 and not (type eq 'Shared')", &["b"], "numbers and not"),
    ];
    for (filter, expected, why) in table {
        let answer = world.get(&encode(filter)).await;
        assert_eq!(answer.status, StatusCode::OK, "{filter}: {}", answer.text);
        assert_eq!(names(&answer.json()), *expected, "{filter}: {why}");
    }
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_refused() {
    let world = World::new();
    let table = [
        ("updatedDateTime ge", "no literal"),
        ("status = 'New'", "not an operator"),
        ("(status eq 'New'", "no closing parenthesis"),
        ("noSuchProperty eq 'x'", "no such property"),
        ("status eq New", "text without quotes"),
        ("team/any(t:email eq 'x')", "path without the range variable"),
    ];
    for (filter, why) in table {
        let answer = world.get(&encode(filter)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{filter}: {why}");
        assert_eq!(answer.json()["error"]["code"], "invalidRequest", "{why}");
    }
    let nested = format!("{}status eq 'New'{}", "(".repeat(4000), ")".repeat(4000));
    assert_eq!(world.get(&encode(&nested)).await.status, StatusCode::BAD_REQUEST, "too deep");
    let endless = format!("{}isSpam eq true", "isSpam eq true or ".repeat(1000));
    assert_eq!(world.get(&encode(&endless)).await.status, StatusCode::BAD_REQUEST, "too long");
}

#[tokio::test]
async fn the_unverified_filters_can_be_switched_off() {
    let world = World::with(|options| options.quoted_datetime_only = true);
    let bare = encode("updatedDateTime ge 2026-09-01T10:01:00Z");
    let quoted = encode("updatedDateTime ge '2026-09-01T10:01:00Z'");
    let external = encode("externalReferenceId eq 'x'");
    assert_eq!(world.get(&bare).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get(&quoted).await.status, StatusCode::OK);
    assert_eq!(world.get(&external).await.status, StatusCode::OK);
    world.sandbox.set_options(|options| {
        options.refuse_updated_filter = true;
        options.refuse_external_reference_filter = true;
    });
    assert_eq!(world.get(&quoted).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get(&external).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_follow_the_next_link_in_both_styles() {
    for style in [NextLinkStyle::HttpWithWrongPath, NextLinkStyle::Right] {
        let world = World::with(|options| options.next_link = style);
        for number in 0..230 {
            world.sandbox.seed_incoming(json!({ "name": format!("deal {number:03}") }));
        }
        let mut path = format!("{REFERRALS}?$orderby=updatedDateTime%20desc&$top=205");
        let mut found: Vec<String> = Vec::new();
        let mut pages = Vec::new();
        loop {
            let json = world.get(&path).await.json();
            assert_eq!(json["@odata.count"], names(&json).len(), "the count is the page's");
            pages.push(names(&json).len());
            found.extend(names(&json).into_iter().map(str::to_owned));
            let Some(link) = json["@odata.nextLink"].as_str() else { break };
            let wrong = link.starts_with("http://api.partner.microsoft.com/v1.0/referrals?");
            assert_eq!(wrong, style == NextLinkStyle::HttpWithWrongPath, "{link}");
            let (_, query) = link.split_once('?').expect("a query");
            assert!(query.len() > 200 && query.contains('%'), "long and encoded: {query}");
            path = format!("{REFERRALS}?{query}");
        }
        assert_eq!(pages, [100, 100, 5], "$top limits the whole");
        let expected: Vec<String> =
            (25..230).rev().map(|number| format!("deal {number:03}")).collect();
        assert_eq!(found, expected, "newest first, nothing twice, nothing missing");
    }
}

#[tokio::test]
async fn select_skip_and_order_do_what_they_say() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.sandbox.seed_incoming(json!({ "name": name }));
    }
    let json = world.get(&format!("{REFERRALS}?$select=name,eTag&$skip=1&$top=1")).await.json();
    let item = &json["value"][0];
    assert_eq!(item.as_object().map(serde_json::Map::len), Some(2), "{item}");
    assert_eq!(item["name"], "b");
    let answer = world.get(&format!("{REFERRALS}?$orderby=name")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "only the two times can be ordered by");
}

#[tokio::test]
async fn a_create_needs_its_parts() {
    let world = World::new();
    let table: &[(&str, Json, &str)] = &[
        ("/type", Json::Null, "documented"),
        ("/customerProfile", Json::Null, "documented"),
        ("/consent", Json::Null, "documented"),
        ("/details", Json::Null, "documented"),
        ("/type", json!("Secret"), "not a value"),
        ("/name", json!(""), "practical minimum"),
        ("/customerProfile/address/country", json!("NOR"), "two letters"),
        ("/customerProfile/address/city", json!(null), "practical minimum"),
        ("/details/dealValue", json!(0), "must be positive"),
        ("/details/currency", json!("KRONE"), "three letters"),
        ("/details/closingDateTime", json!("soon"), "not a date"),
        ("/details/requirements/solutions", json!([]), "solution id required"),
        ("/details/requirements/solutions", json!(vec![json!({ "id": "S" }); 51]), "limit 50"),
        ("/team", json!(vec![member("a@b.example"); 51]), "limit 50"),
        ("/team", json!([{ "email": "a@b.example" }]), "incomplete member"),
        ("/consent/consentToContact", json!(false), "no consent, no referral"),
        ("/details/requirements/additionalRequirements/attributes", json!([]), "intent"),
    ];
    for (path, value, why) in table {
        let mut body = deal();
        *body.pointer_mut(path).expect("the path") = value.clone();
        let answer = world.create(&body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} = {value}: {why}");
    }
    let mut body = invitation(&world.deal(true).await.1);
    body["customerProfile"]["team"] = json!([]);
    let answer = world.create(&body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "help needs a customer contact");
}

#[tokio::test]
async fn an_own_deal_is_born_active_whatever_was_posted() {
    let world = World::new();
    let mut body = deal();
    let consent = body["consent"].take();
    body["Consent"] = consent;
    body["EXTERNALREFERENCEID"] = json!("crm-43");
    body["notAProperty"] = json!(1);
    body["id"] = json!("11111111-2222-4333-8444-555555555555");
    for twice in ["consent", "externalReferenceId"] {
        body.as_object_mut().expect("an object").remove(twice);
    }
    let answer = world.create(&body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let json = answer.json();
    assert_eq!((&json["status"], &json["substatus"]), (&json!("Active"), &json!("Accepted")));
    assert_ne!(json["id"], "11111111-2222-4333-8444-555555555555", "the service sets the id");
    assert!(ReferralId::parse(json["id"].as_str().expect("text")).is_some());
    let tag = json["eTag"].as_str().expect("text");
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 30, "inner quotes: {tag}");
    assert_eq!(json["organizationId"], world.sandbox.options().organization_id);
    assert!(json["acceptedDateTime"].is_string());
    assert_eq!(json["externalReferenceId"], "crm-43", "input binds in any casing");
    assert_eq!(json["consent"]["consentToContact"], true, "output is camel case");
    assert_eq!(json["notAProperty"], Json::Null, "unknown names are not bound");
    let read = world.get(&format!("{REFERRALS}/{}", json["id"].as_str().expect("text"))).await;
    assert_eq!(read.json(), json);
    assert_eq!(world.create(&body).await.status, StatusCode::OK, "POST is not idempotent");
    assert_eq!(world.sandbox.referrals().len(), 2);
}

#[tokio::test]
async fn microsoft_is_invited_once_and_answers() {
    let world = World::new();
    let (_, engagement) = world.deal(true).await;
    let answer = world.create(&invitation(&engagement)).await.json();
    assert_eq!(answer["organizationId"], "msft");
    assert_eq!(answer["engagementId"], engagement.as_str());
    assert_eq!((&answer["status"], &answer["substatus"]), (&json!("New"), &json!("Pending")));
    let again = world.create(&invitation(&engagement)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    world.sandbox.answer_invitation(&engagement, InvitationAnswer::Accept).expect("invited");
    let list = world.get(&encode(&format!("engagementId eq '{engagement}'"))).await.json();
    let microsofts = &list["value"][1];
    assert_eq!(microsofts["status"], "Active");
    assert!(microsofts["trackingInfo"]["microsoftMsxId"].is_string());
    assert_ne!(microsofts["eTag"], answer["eTag"]);
    let id = microsofts["id"].as_str().expect("text");
    let patched = world.patch(id, &json!([super::replace("/details/notes", json!("x"))])).await;
    assert_eq!(patched.status, StatusCode::FORBIDDEN, "it is not ours");

    world.sandbox.set_options(|options| options.second_invitation = SecondInvitation::Duplicate);
    assert_eq!(world.create(&invitation(&engagement)).await.status, StatusCode::OK);
    let mut stray = invitation(&engagement);
    stray["engagementId"] = json!("99999999-7777-4888-9999-000000000000");
    assert_eq!(world.create(&stray).await.status, StatusCode::BAD_REQUEST, "no such engagement");
}

#[tokio::test]
async fn a_limited_user_sees_team_deals_only() {
    let world = World::new();
    let mine = json!({ "name": "mine", "team": [member("Me@Contoso.example")] });
    world.sandbox.seed_incoming(mine);
    let other = world.sandbox.seed_own(json!({ "name": "other" }));
    let lead = json!({
        "name": "lead", "type": "Independent", "team": [member("me@contoso.example")],
    });
    let lead = world.sandbox.seed_incoming(lead);
    let email = "me@contoso.example".to_owned();
    world.sandbox.set_options(|options| options.role = Role::ReferralsUser { email });
    assert_eq!(names(&world.get(REFERRALS).await.json()), ["mine"]);
    for id in [other, lead] {
        let answer = world.get(&format!("{REFERRALS}/{id}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.json()["error"]["code"], "itemNotFound");
    }
}

#[tokio::test]
async fn a_new_referral_may_lag() {
    let world = World::with(|options| options.lag_reads = 2);
    let id = world.sandbox.seed_incoming(json!({}));
    let path = format!("{REFERRALS}/{id}");
    assert!(names(&world.get(REFERRALS).await.json()).is_empty(), "nor is it listed");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.get(&path).await.status.as_u16());
    }
    assert_eq!(statuses, [404, 404, 200]);
}

#[tokio::test]
async fn nobody_answering_for_14_days_is_an_expiry() {
    let world = World::new();
    let (own, engagement) = world.deal(true).await;
    world.create(&invitation(&engagement)).await;
    let lead = json!({ "type": "Independent" });
    let lead = world.sandbox.seed_incoming(lead);
    world.clock.advance(Duration::from_secs(14 * 86_400 - 1));
    world.sandbox.tick();
    assert_eq!(world.stored(lead.as_str())["status"], "New");
    world.clock.advance(Duration::from_secs(1));
    world.sandbox.tick();
    let states: Vec<Json> =
        world.sandbox.referrals().iter().map(|referral| referral["substatus"].clone()).collect();
    assert_eq!(states, ["Accepted", "Expired", "Expired"], "own, Microsoft's, the lead");
    assert_eq!(world.stored(lead.as_str())["customerProfile"]["team"], json!([]), "hidden");
    assert_eq!(world.stored(&own)["closedDateTime"], Json::Null);
}
