//! Rows that are deleted, copied, or whose link somebody overwrites.

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::ReferralId;
use serde_json::json;

use crate::support::{Setup, World, text};

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
        world.sales(&id).is_some_and(|row| crate::support::number(&row["Amount"]) == Some(61_000.0))
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
    // The column is not unique here, as in an organisation where an admin left that out.
    let world = Setup::salesforce_only().start().await;
    let unused = "11111111-2222-4333-8444-555555555555";
    world.sandbox.salesforce.add_external_id_field("Opportunity", "Unused__c", false);
    let id = world.arrival(json!({})).await;
    let copy = world.draft_sales("A copy", json!({ "Sync_With_Partner_Center__c": true }));
    let other = world.until("the copy is a deal of its own", || world.shared_sales(&copy)).await;
    world.arrived(&other).await;
    assert_ne!(other.as_str(), unused);
    // Now the copy is given the first deal's identifier; a unique field refuses that itself.
    let edit = json!({ "Referral_Identifier__c": id.as_str() });
    let refused = world.sandbox.salesforce.edit_as_person("Opportunity", &copy, &edit);
    assert!(refused.is_err(), "unique: two rows with one referral cannot be made by hand");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_carries_a_referral_of_another_row_is_held_with_a_fix() {
    let world = Setup::dynamics_only().start().await;
    let id = world.arrival(json!({})).await;
    let row = world.dynamics(&id).expect("a row");
    let own = text(&row["opportunityid"]).to_owned();
    // A GUID in capitals is another text for the unique key, and the same referral for us.
    let copied = json!({
        "pc_syncwithpartnercenter": true,
        "pc_referralidentifier": id.as_str().to_uppercase(),
    });
    let copy = world.draft_dynamics("A copy", copied);
    let letter = world.until_held("carries the same Referral Identifier").await;
    assert!(letter.hold.fix.contains("Empty the Referral Identifier"), "{}", letter.hold.fix);
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 71_000 } }));
    let value = || {
        let row = world.sandbox.dynamics365.row("opportunity", &own).unwrap_or_default();
        crate::support::number(&row["estimatedvalue"]) == Some(71_000.0)
    };
    world.until_true("the true row goes on", value).await;
    let repaired = json!({ "pc_referralidentifier": null, "pc_syncwithpartnercenter": false });
    world.sandbox.dynamics365.edit_as_person("opportunity", &copy, &repaired).expect("repaired");
    world.silence().await;
    let referrals: Vec<ReferralId> =
        world.deals().await.into_iter().filter_map(|it| it.referral_id).collect();
    assert_eq!(referrals, [id]);
    world.finish().await;
}
