//! Checklist 7, 8 and 11: stamps by user, conditions, ignored amounts, assignment, faults.

use std::time::Duration;

use serde_json::{Value, json};

use super::{site, site_with};
use crate::connect::salesforce::sandbox::{SandboxOptions, trouble};
use crate::connect::sandbox::{Fault, FaultEffect};

#[tokio::test]
async fn every_write_moves_the_stamp_to_its_user() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let row = || site.sandbox.row("Opportunity", &id).unwrap();
    let (seller, integration) = (site.sandbox.seller(), site.sandbox.integration_user());
    assert_eq!(row()["LastModifiedById"], seller.as_str());
    let before = row()["SystemModstamp"].clone();
    site.clock.advance(Duration::from_secs(1));
    let path = format!("/sobjects/Opportunity/{id}");
    assert_eq!(site.call("PATCH", &path, json!({ "Name": "Deal" })).await.status, 204);
    assert_ne!(row()["SystemModstamp"], before, "an equal value moves it as well");
    assert_eq!(row()["LastModifiedById"], integration.as_str());
    assert_eq!(row()["CreatedById"], seller.as_str());
    site.sandbox.edit_as_person("Opportunity", &id, &json!({ "NextStep": "call" })).unwrap();
    assert_eq!(row()["LastModifiedById"], seller.as_str());
    let log = site.sandbox.request_log();
    assert_eq!((log.writes, log.reads), (1, 0), "people do not count");
}

#[tokio::test]
async fn an_edit_in_between_fails_the_conditional_write() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let stamp = site.get(&path).await.header("last-modified").to_owned();
    let unchanged = [("If-Modified-Since", stamp.as_str())];
    assert_eq!(site.call_with("GET", &path, Value::Null, &unchanged).await.status, 304);
    let guard = [("If-Unmodified-Since", stamp.as_str())];
    let write = |amount: u32| site.call_with("PATCH", &path, json!({ "Amount": amount }), &guard);
    assert_eq!(write(1).await.status, 204);
    assert_eq!(write(2).await.status, 204, "the same second cannot be told apart");
    site.clock.advance(Duration::from_secs(2));
    let edited = id.clone();
    site.sandbox.before_next_write(move |org| {
        org.edit_as_person("Opportunity", &edited, &json!({ "NextStep": "call" })).unwrap();
    });
    let refused = write(3).await;
    assert_eq!(refused.status, 412, "{}", refused.body);
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!((&row["Amount"], &row["NextStep"]), (&json!(2.0), &json!("call")));
    let nonsense = [("If-Unmodified-Since", "yesterday")];
    let reply = site.call_with("PATCH", &path, json!({ "Amount": 4 }), &nonsense).await;
    assert_eq!(reply.status, 400);
    let tag = [("If-Match", "\"other\"")];
    let reply = site.call_with("PATCH", &path, json!({ "Amount": 5 }), &tag).await;
    assert_eq!(reply.status, 204, "entity tags mean nothing here");
}

#[tokio::test]
async fn entity_tags_guard_accounts() {
    let site = site_with(SandboxOptions { precondition_body: false, ..Default::default() }).await;
    let id = site.sandbox.seed_account(&json!({ "Name": "Contoso" })).unwrap();
    let path = format!("/sobjects/Account/{id}");
    let tag = site.get(&path).await.header("etag").to_owned();
    let guard = [("If-Match", tag.as_str())];
    let body = json!({ "Phone": "1" });
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.call_with("PATCH", &path, body.clone(), &guard).await.status, 204);
    let refused = site.call_with("PATCH", &path, body, &guard).await;
    assert_eq!((refused.status, refused.body), (412, Value::Null), "set to an empty body");
    let known = site.get(&path).await.header("etag").to_owned();
    let none = [("If-None-Match", known.as_str())];
    assert_eq!(site.call_with("GET", &path, Value::Null, &none).await.status, 304);
}

#[tokio::test]
async fn the_amount_of_line_items_is_kept_without_a_word() {
    let site = site().await;
    let id = site.opportunity("Deal");
    site.sandbox.edit_as_person("Opportunity", &id, &json!({ "Amount": 500 })).unwrap();
    site.sandbox.add_line_items(&id);
    let path = format!("/sobjects/Opportunity/{id}");
    let reply = site.call("PATCH", &path, json!({ "Amount": 900, "NextStep": "sign" })).await;
    assert_eq!(reply.status, 204);
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!((&row["Amount"], &row["NextStep"]), (&json!(500.0), &json!("sign")));
}

#[tokio::test]
async fn leads_are_reassigned_unless_that_is_switched_off() {
    let site = site().await;
    let id = site.lead("Buyer");
    let integration = site.sandbox.integration_user();
    site.sandbox.assign_leads_to(&integration);
    let path = format!("/sobjects/Lead/{id}");
    let owner = || site.sandbox.row("Lead", &id).unwrap()["OwnerId"].clone();
    let off = [("Sforce-Auto-Assign", "FALSE")];
    site.call_with("PATCH", &path, json!({ "Title": "x" }), &off).await;
    assert_eq!(owner(), site.sandbox.seller().as_str());
    site.call("PATCH", &path, json!({ "Title": "x" })).await;
    assert_eq!(owner(), integration.as_str(), "on by default");
}

#[tokio::test]
async fn faults_look_like_the_real_ones() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let lock = "unable to obtain exclusive access";
    let table = [
        (trouble::locked_row(&id), 400, "UNABLE_TO_LOCK_ROW", lock),
        (trouble::locked_row_in_flow(&id), 400, "CANNOT_EXECUTE_FLOW_TRIGGER", lock),
        (trouble::locked_row_in_trigger(&id), 400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", lock),
        (trouble::unavailable_page(), 503, "", ""),
        (trouble::session_ended(), 401, "INVALID_SESSION_ID", "Session expired"),
        (trouble::quota_spent(), 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests"),
        (trouble::server_error(), 500, "UNKNOWN_EXCEPTION", "ErrorId"),
        (trouble::duplicates_detected("Lead", true, &[&id]), 400, "DUPLICATES_DETECTED", "Use one"),
    ];
    for (effect, status, code, message) in table {
        site.sandbox.faults().add(Fault::once("PATCH", "Opportunity", effect));
        let reply = site.call("PATCH", &path, json!({ "Amount": 9 })).await;
        assert_eq!((reply.status, reply.code()), (status, code));
        let said = reply.body[0]["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(site.sandbox.row("Opportunity", &id).unwrap()["Amount"], Value::Null);
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_commit() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/services/data/v66.0/sobjects/Opportunity/{id}");
    site.sandbox.faults().add(Fault::once("PATCH", "Opportunity", FaultEffect::ApplyThenDrop));
    let url = format!("{}{path}", site.serving.url());
    let request = site.http.patch(url).bearer_auth(&site.session).json(&json!({ "Amount": 9 }));
    assert!(request.send().await.is_err(), "no answer");
    assert_eq!(site.sandbox.row("Opportunity", &id).unwrap()["Amount"], json!(9.0), "but written");
}

#[tokio::test]
async fn a_merged_lead_names_its_master() {
    let site = site().await;
    let (kept, lost) = (site.lead("Buyer"), site.lead("Buyer"));
    site.sandbox.merge_as_person("Lead", &kept, &lost).unwrap();
    assert_eq!(site.sandbox.row("Lead", &lost).unwrap()["MasterRecordId"], kept.as_str());
    assert_eq!(site.get(&format!("/sobjects/Lead/{lost}")).await.code(), "ENTITY_IS_DELETED");
}
