//! Patch: paths, versions, transitions, freezing, the terminal lock, deal registration.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::super::InvitationAnswer;
use super::{REFERRALS, World, add, invitation, member, replace};
use crate::domain::id::ReferralId;

#[tokio::test]
async fn every_path_of_the_list_is_taken_and_no_other() {
    let solution = json!({ "id": "SOL-2", "type": "Name" });
    let good = [
        replace("/campaignId", json!("c")),
        replace("/customerProfile/team", json!([member("x@y.example")])),
        add("/customerProfile/team/-", member("x@y.example")),
        replace("/details/closingDateTime", json!("2027-01-31T00:00:00Z")),
        replace("/details/currency", json!("EUR")),
        replace("/details/dealValue", json!("10000")),
        replace("/details/notes", json!("x")),
        add("/details/requirements/solutions/-", solution.clone()),
        replace("/details/requirements/solutions", json!([solution])),
        replace("/externalReferenceId", json!("crm-44")),
        replace("/referralProgram", json!("p")),
        replace("/SalesStage", json!("40")),
        replace("/statusReason", json!("r")),
        replace("/team", json!([member("x@y.example")])),
        add("/team/-", member("x@y.example")),
        add("/consent/consentToShareReferralWithMicrosoftSellers", json!(true)),
    ];
    for operation in good {
        let world = World::new();
        let (id, _) = world.deal(false).await;
        let answer = world.patch(&id, &json!([operation])).await;
        assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.text);
    }
    let bad = [
        (replace("/name", json!("x")), "not on the list"),
        (replace("/target", json!([])), "not on the list"),
        (replace("/inviteContext/notes", json!("x")), "not on the list"),
        (replace("/type", json!("Shared")), "not on the list"),
        (replace("/customerProfile/name", json!("x")), "frozen after create"),
        (replace("/consent/consentToContact", json!(true)), "frozen after create"),
        (replace("/details", json!({})), "a parent of listed paths"),
        (replace("/team/0", json!({})), "an index"),
        (replace("/team/-", member("x@y.example")), "nothing there to replace"),
        (replace("/noSuchThing", json!(1)), "unknown"),
        (json!({ "op": "remove", "path": "/team/0" }), "no remove"),
        (json!({ "op": "test", "path": "/status", "value": "Active" }), "no test"),
        (json!({ "op": "replace", "path": "/status" }), "no value"),
        (replace("/details/dealValue", json!("a lot")), "not a number"),
        (replace("/details/dealValue", json!(-1)), "negative"),
        (replace("/details/notes", json!(5)), "not text"),
        (replace("/salesStage", json!({})), "not text"),
        (replace("/details/requirements/solutions", json!([{}])), "solution id required"),
    ];
    let world = World::new();
    let (id, _) = world.deal(false).await;
    let before = world.stored(&id);
    for (operation, why) in bad {
        let both = json!([replace("/details/notes", json!("changed")), operation]);
        let answer = world.patch(&id, &both).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{operation}: {why}");
        assert_eq!(world.stored(&id), before, "all or nothing: {why}");
    }
}

#[tokio::test]
async fn versions_and_preference_are_honoured() {
    let world = World::new();
    let (id, _) = world.deal(true).await;
    let path = format!("{REFERRALS}/{id}");
    let change = json!([replace("/details/dealValue", json!("10000.50"))]);
    let tag = world.stored(&id)["eTag"].as_str().expect("text").to_owned();
    let stripped = tag.trim_matches('"').to_owned();
    let answer = world.call("PATCH", &path, &[("if-match", &stripped)], &change).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "the inner quotes belong to it");
    assert_eq!(answer.json()["error"]["code"], "preconditionFailed");

    world.clock.advance(Duration::from_secs(1));
    let answer = world.call("PATCH", &path, &[("if-match", &tag)], &change).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(answer.header("request-id").is_some());
    let stored = world.stored(&id);
    assert_eq!(stored["details"]["dealValue"], 10_000.5, "numeric text became a number");
    assert_ne!(stored["eTag"], tag.as_str());
    assert_ne!(stored["updatedDateTime"], stored["createdDateTime"]);

    let answer = world.call("PATCH", &path, &[("if-match", &tag)], &change).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "the version moved on");
    let answer = world.patch(&id, &change).await;
    assert_eq!(answer.status, StatusCode::OK, "without If-Match the last write wins");
    assert_eq!(answer.json()["eTag"], world.stored(&id)["eTag"]);
    let log = world.sandbox.request_log();
    let patches: Vec<(u16, bool)> = log
        .iter()
        .filter(|request| request.method == "PATCH")
        .map(|request| (request.status, request.if_match))
        .collect();
    assert_eq!(patches, [(412, true), (204, true), (412, true), (200, false)]);
    assert_eq!(world.sandbox.write_count(), 3, "one create and two patches");
}

#[tokio::test]
async fn transitions_follow_the_table() {
    let table = [
        ("Active", "Accepted", 200, "accept"),
        ("Closed", "Declined", 200, "decline"),
        ("Closed", "Error", 200, "a mistake"),
        ("New", "Received", 200, "seen"),
        ("active", "ACCEPTED", 200, "any casing"),
        ("New", "Accepted", 400, "they do not agree"),
        ("Closed", "Expired", 400, "set by the service only"),
        ("Closed", "Won", 400, "not accepted yet"),
        ("Active", "Engaged", 400, "unknown word"),
    ];
    for (status, substatus, expected, why) in table {
        let world = World::new();
        let id = world.sandbox.seed_incoming(json!({}));
        let operations =
            json!([replace("/status", json!(status)), replace("/substatus", json!(substatus))]);
        let answer = world.patch(id.as_str(), &operations).await;
        assert_eq!(answer.status.as_u16(), expected, "{status}/{substatus}: {why}");
    }
    let world = World::new();
    let id = world.sandbox.seed_incoming(json!({}));
    let alone = json!([replace("/status", json!("Active"))]);
    let answer = world.patch(id.as_str(), &alone).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "status without substatus");
    let both = json!([
        replace("/status", json!("Active")),
        replace("/substatus", json!("Accepted")),
        add("/team/-", member("x@contoso.example")),
    ]);
    let accepted = world.patch(id.as_str(), &both).await.json();
    assert!(accepted["acceptedDateTime"].is_string(), "{accepted}");
}

fn close(substatus: &str) -> Json {
    json!([replace("/status", json!("Closed")), replace("/substatus", json!(substatus))])
}

#[tokio::test]
async fn closed_is_the_end() {
    let world = World::new();
    let (id, _) = world.deal(true).await;
    let closed = world.patch(&id, &close("Lost")).await.json();
    assert!(closed["closedDateTime"].is_string());
    for (operations, why) in [
        (json!([replace("/details/notes", json!("x"))]), "no edits"),
        (
            json!([replace("/status", json!("Active")), replace("/substatus", json!("Accepted"))]),
            "no way back",
        ),
        (json!([add("/registrations/-", registration())]), "lost deals are not registered"),
    ] {
        let answer = world.patch(&id, &operations).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
    }
    let edit = world.sandbox.edit_as_person(&ReferralId::new(id), json!({ "name": "x" }));
    assert!(edit.is_err(), "nor in the portal");
}

#[tokio::test]
async fn sharing_is_a_door_that_closes() {
    let world = World::new();
    let (id, _) = world.deal(false).await;
    let flag = "/consent/consentToShareReferralWithMicrosoftSellers";
    let share = world.patch(&id, &json!([replace(flag, json!(true))])).await;
    assert_eq!(share.status, StatusCode::OK, "private becomes partner-led");
    let back = world.patch(&id, &json!([replace(flag, json!(false))])).await;
    assert_eq!(back.status, StatusCode::BAD_REQUEST, "but not back");
    let contacts = json!([replace("/customerProfile/team", json!([member("z@y.example")]))]);
    let frozen = world.patch(&id, &contacts).await;
    assert_eq!(frozen.status, StatusCode::BAD_REQUEST, "contacts are frozen once shared");
}

fn registration() -> Json {
    json!({
        "type": "AzureIPCoSell",
        "solutionDetails": [{
            "id": "SOL-00001-XYZ", "currency": "USD", "value": 40_000, "isDeployedOnAzure": true,
            "primaryDeploymentOn": "Customer", "pricingModel": "Other",
            "marketplaceTransactionDetails": { "isMarketplaceTransacted": false },
        }],
        "contract": {
            "currency": "USD", "value": 50_000, "startDateTime": "2026-09-05T00:00:00Z",
            "endDateTime": "2027-09-04T00:00:00Z", "signDateTime": "2026-09-04T00:00:00Z",
            "term": "Finite",
        },
    })
}

#[tokio::test]
async fn a_won_deal_is_registered_and_its_contract_changed() {
    let world = World::new();
    let (id, engagement) = world.deal(true).await;
    world.create(&invitation(&engagement)).await;
    world.clock.advance(Duration::from_secs(4 * 86_400));
    let register = json!([add("/registrations/-", registration())]);
    let early = world.patch(&id, &register).await;
    assert_eq!(early.status, StatusCode::BAD_REQUEST, "only a won deal");
    world.patch(&id, &close("Won")).await;
    let unanswered = world.patch(&id, &register).await;
    assert_eq!(unanswered.status, StatusCode::BAD_REQUEST, "Microsoft has not accepted");
    world.sandbox.answer_invitation(&engagement, InvitationAnswer::Accept).expect("invited");

    for (path, value, why) in [
        ("/contract/signDateTime", json!("2026-12-01T00:00:00Z"), "signed in the future"),
        ("/contract/signDateTime", json!("2026-08-01T00:00:00Z"), "signed before creation"),
        ("/contract/endDateTime", json!("2026-09-01T00:00:00Z"), "ends before it starts"),
        ("/solutionDetails/0/value", json!(60_000), "solution above contract"),
    ] {
        let mut wrong = registration();
        *wrong.pointer_mut(path).expect("the path") = value;
        let answer = world.patch(&id, &json!([add("/registrations/-", wrong)])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
    }
    let done = world.patch(&id, &register).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(done.json()["registrationStatus"], "ReviewPending");
    assert!(done.json()["registrations"][0]["id"].is_string());
    for (operation, status) in [
        (replace("/registrations/0/contract/value", json!(55_000)), 200),
        (add("/registrations/0/solutionDetails/0/isDeployedOnAzure", json!(false)), 200),
        (replace("/registrations/0/contract/currency", json!("EUR")), 400),
        (replace("/registrations/1/contract/value", json!(1)), 400),
        (replace("/registrations/0/status", json!("Approved")), 400),
    ] {
        let answer = world.patch(&id, &json!([operation])).await;
        assert_eq!(answer.status.as_u16(), status, "{operation}: {}", answer.text);
    }
    let id = ReferralId::new(id);
    world.sandbox.review_registration(&id, "ActionRequired", Some("sign")).expect("registered");
    let stored = world.sandbox.referral(&id).expect("stored");
    let history = &stored["registrations"][0]["statusHistory"];
    assert!(history["actionRequiredDateTime"].is_string(), "{history}");
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let world = World::new();
    let (id, _) = world.deal(true).await;
    for method in ["DELETE", "PUT"] {
        let answer = world.call(method, &format!("{REFERRALS}/{id}"), &[], &json!({})).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let answer = world.get("/v1.0/engagements/unheard-of").await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert!(answer.text.contains("/v1.0/engagements/unheard-of"));
}
