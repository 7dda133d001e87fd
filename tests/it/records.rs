//! Rows that are deleted, copied, or whose link somebody overwrites.

use cosell_sync::connect::salesforce::sandbox::SandboxOptions;
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::ReferralId;
use serde_json::json;

use crate::support::{Setup, World, number, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_row_is_never_made_again_and_the_referral_is_left_alone() {
    let world = World::start().await;
    let id = world.accepted().await;
    let dynamics = world.dynamics(&id).expect("a row");
    let sales = world.sales(&id).expect("a row");
    let key = text(&dynamics["opportunityid"]);
    world.sandbox.dynamics365.delete_as_person("opportunity", key).expect("the seller may");
    world.until_said(AuditKind::Alerted, "The record in Dynamics 365 was deleted").await;
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 61_000 } }));
    let value = |world: &World| {
        world.sales(&id).is_some_and(|row| number(&row["Amount"]) == Some(61_000.0))
    };
    world.until_true("the other CRM goes on", || value(&world)).await;
    world.silence().await;
    assert!(world.dynamics(&id).is_none(), "never made again");

    let before = world.referral(&id);
    let key = text(&sales["Id"]);
    world.sandbox.salesforce.delete_as_person("Opportunity", key).expect("the seller may");
    world.until_said(AuditKind::Alerted, "The record in Salesforce was deleted").await;
    world.silence().await;
    assert_eq!(world.referral(&id), before, "the referral is left alone");
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 62_000 } }));
    world.silence().await;
    assert!(world.dynamics(&id).is_none());
    let live = world.sandbox.salesforce.rows("Opportunity");
    assert!(live.iter().all(|row| row["IsDeleted"] == true || row["Id"] != sales["Id"]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwritten_referral_identifier_is_restored_with_a_line() {
    let world = World::start().await;
    let id = world.accepted().await;
    let dynamics = text(&world.dynamics(&id).expect("a row")["opportunityid"]).to_owned();
    let sales = text(&world.sales(&id).expect("a row")["Id"]).to_owned();
    world.edit_dynamics(&id, json!({ "pc_referralidentifier": "something else" }));
    world.edit_sales(&id, json!({ "Referral_Identifier__c": null }));
    world
        .until_true("both are restored", || {
            world.dynamics(&id).is_some() && world.sales(&id).is_some()
        })
        .await;
    world.silence().await;
    for audit in [world.dynamics_audit(&dynamics), world.sales_audit(&sales)] {
        assert!(audit.contains("Referral Identifier"), "the seller is told: {audit}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rows_with_one_referral_are_held_and_released_after_the_repair() {
    let not_unique = |options: &mut SandboxOptions| options.unique_referral = false;
    let world = Setup::salesforce_only().organization(not_unique).without_webhooks();
    let mut world = world.start().await;
    world.stop_daemon().await;
    let id = world.seed(json!({}));
    let carrying = json!({
        "Referral_Identifier__c": id.as_str(), "Amount": 50_000, "CurrencyIsoCode": "USD",
        "CloseDate": "2027-03-31",
    });
    world.draft_sales("By another tool", carrying.clone());
    let second = world.draft_sales("By another tool, again", carrying);
    world.start_daemon().await;
    let letter = world.until_held("several records for this referral").await;
    assert!(letter.hold.fix.contains("empty the Referral Identifier"), "{}", letter.hold.fix);
    world.two_polls().await;
    assert_eq!(world.sandbox.salesforce.rows("Opportunity").len(), 2, "no third row");
    let repaired = json!({ "Referral_Identifier__c": null });
    world.sandbox.salesforce.edit_as_person("Opportunity", &second, &repaired).expect("repaired");
    world.edit_sales(&id, json!({ "Sync_With_Partner_Center__c": true }));
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "A change, to look again." } }));
    world.until_said(AuditKind::Linked, "Linked to").await;
    world.silence().await;
    assert!(world.letters().await.is_empty(), "released by the next change");
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 72_000 } }));
    let value = || world.sales(&id).is_some_and(|row| number(&row["Amount"]) == Some(72_000.0));
    world.until_true("the row that is left is the deal's", value).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_carries_the_referral_is_held_and_the_true_row_goes_on() {
    let not_unique = |options: &mut SandboxOptions| options.unique_referral = false;
    let world = Setup::salesforce_only().organization(not_unique).start().await;
    let id = world.arrival(json!({})).await;
    let own = text(&world.sales(&id).expect("a row")["Id"]).to_owned();
    let copied = json!({
        "Sync_With_Partner_Center__c": true, "Referral_Identifier__c": id.as_str(),
    });
    let copy = world.draft_sales("A copy", copied);
    let letter = world.until_held("carries the same Referral Identifier").await;
    assert!(letter.hold.fix.contains("Empty the Referral Identifier"), "{}", letter.hold.fix);
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 71_000 } }));
    let value = || {
        let row = world.sandbox.salesforce.row("Opportunity", &own).unwrap_or_default();
        number(&row["Amount"]) == Some(71_000.0)
    };
    world.until_true("the true row goes on", value).await;
    let repaired = json!({ "Referral_Identifier__c": null, "Sync_With_Partner_Center__c": false });
    world.sandbox.salesforce.edit_as_person("Opportunity", &copy, &repaired).expect("repaired");
    let retry = format!("/dead-letters/{}/retry", letter.notice.id);
    let retried = world.admin(&retry, json!({})).await;
    assert!((200..300).contains(&retried), "as the fix says: {retried}");
    world.released().await;
    let referrals: Vec<ReferralId> =
        world.deals().await.into_iter().filter_map(|deal| deal.referral_id).collect();
    assert_eq!(referrals, [id]);
    world.finish().await;
}
