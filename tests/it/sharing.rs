//! Deals that sellers share, and what they may do with them afterwards.

use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

/// The value of a picklist that stands for help with quotes.
const QUOTES: i64 = 727_000_003;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_missing_is_said_at_once_and_once() {
    let world = World::start().await;
    let bare = json!({ "name": "Half a deal", "pc_syncwithpartnercenter": true });
    let key = world.sandbox.dynamics365.create_as_person("opportunity", &bare).expect("a row");
    let bare = json!({
        "Name": "Half a deal", "StageName": "Qualification", "CloseDate": "2027-05-31",
        "Sync_With_Partner_Center__c": true,
    });
    let sales = world.sandbox.salesforce.create_as_person("Opportunity", &bare).expect("a row");
    world
        .until_true("both sellers are told", || {
            !world.dynamics_audit(&key).is_empty() && !world.sales_audit(&sales).is_empty()
        })
        .await;
    let said = world.dynamics_audit(&key);
    for part in [
        "a deal value above zero",
        "a close date",
        "the customer account",
        "the city",
        "a solution",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    let edit = json!({ "description": "Called them" });
    world.sandbox.dynamics365.edit_as_person("opportunity", &key, &edit).expect("the seller may");
    world.silence().await;
    assert_eq!(world.dynamics_audit(&key), said, "not repeated while it stays the same");
    assert!(world.sandbox.partner_center.referrals().is_empty());
    let edit = json!({ "estimatedvalue": 5_000 });
    world.sandbox.dynamics365.edit_as_person("opportunity", &key, &edit).expect("the seller may");
    world
        .until_true("the list gets shorter", || {
            let now = world.dynamics_audit(&key);
            now.lines().count() == 2 && !now.lines().next().unwrap_or("").contains("above zero")
        })
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_partner_led_and_co_sell_from_both_crms() {
    let world = World::start().await;
    let kinds = [(false, false), (true, false), (true, true)];
    let mut shared = Vec::new();
    for (visible, help) in kinds {
        let mut fields = json!({ "pc_syncwithpartnercenter": true, "pc_visibility": visible });
        let mut sales_fields = json!({
            "Sync_With_Partner_Center__c": true, "Visibility__c": visible,
        });
        if help {
            fields["pc_howcanmicrosofthelp"] = json!(QUOTES);
        }
        let key = world.draft_dynamics(&format!("Deal {visible} {help}"), fields);
        sales_fields["Name"] = json!(format!("Sales deal {visible} {help}"));
        // The shipped mapping has no customer contact for Salesforce, so help is not asked for there.
        let sales = (!help).then(|| world.draft_sales("Sales deal", sales_fields));
        shared.push((visible, help, key, sales));
    }
    for (visible, help, key, sales) in shared {
        let mut ids = vec![world.until("shared", || world.shared_dynamics(&key)).await];
        if let Some(sales) = sales {
            ids.push(world.until("shared", || world.shared_sales(&sales)).await);
        }
        for id in ids {
            world
                .until_true("asked for help", || world.microsofts(&id).len() == usize::from(help))
                .await;
            world.arrived(&id).await;
            let own = world.referral(&id);
            let consent = &own["consent"]["consentToShareReferralWithMicrosoftSellers"];
            assert_eq!(consent, &json!(visible || help));
            assert_eq!(own["type"], if help { "Shared" } else { "Independent" });
            assert_eq!(world.state(&id), "Active/Accepted");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_deal_is_shared_then_help_is_asked_and_nothing_is_taken_back() {
    let world = World::start().await;
    let key =
        world.draft_dynamics("Fabrikam analytics", json!({ "pc_syncwithpartnercenter": true }));
    let id = world.until("shared", || world.shared_dynamics(&key)).await;
    world.arrived(&id).await;
    let seen_by_microsoft = |world: &World| {
        world.referral(&id)["consent"]["consentToShareReferralWithMicrosoftSellers"] == true
    };
    assert!(!seen_by_microsoft(&world), "private");

    world.edit_dynamics(&id, json!({ "pc_visibility": true }));
    world.until_true("partner-led", || seen_by_microsoft(&world)).await;
    assert!(world.microsofts(&id).is_empty(), "nobody asked for help");

    world.edit_dynamics(&id, json!({ "pc_howcanmicrosofthelp": QUOTES }));
    world.until_true("co-sell", || world.microsofts(&id).len() == 1).await;
    world.silence().await;

    world.edit_dynamics(&id, json!({ "pc_visibility": false }));
    world
        .until_true("the field is restored with a line", || {
            let row = world.dynamics(&id).expect("a row");
            row["pc_visibility"] == true
        })
        .await;
    world.silence().await;
    assert!(seen_by_microsoft(&world));
    assert!(world.dynamics_audit(&key).contains("cannot be"), "{}", world.dynamics_audit(&key));

    world.edit_dynamics(&id, json!({ "pc_howcanmicrosofthelp": Json::Null }));
    world
        .until_true("the help is restored", || {
            world.dynamics(&id).expect("a row")["pc_howcanmicrosofthelp"] == QUOTES
        })
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unticked_it_pauses_and_ticked_again_it_catches_up() {
    let world = World::start().await;
    let id = world.accepted().await;
    world.edit_dynamics(&id, json!({ "pc_syncwithpartnercenter": false }));
    world.until_said(cosell_sync::domain::audit::AuditKind::Held, "paused").await;
    world.edit_dynamics(&id, json!({ "estimatedvalue": 33_000 }));
    world.edit_as_microsoft(
        &id,
        json!({ "details": { "closingDateTime": "2027-07-31T00:00:00Z" } }),
    );
    let sales = |world: &World| world.sales(&id).expect("a row");
    world.until_true("the other CRM goes on", || sales(&world)["CloseDate"] == "2027-07-31").await;
    world.silence().await;
    let row = world.dynamics(&id).expect("a row");
    assert_ne!(row["estimatedclosedate"], "2027-07-31", "paused");
    assert_eq!(
        crate::support::number(&world.referral(&id)["details"]["dealValue"]),
        Some(50_000.0)
    );
    world.edit_dynamics(&id, json!({ "pc_syncwithpartnercenter": true }));
    world.until_true("both edits survive", || world.agree(&id, 33_000.0, "2027-07-31")).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sharing_with_one_crm_only() {
    for setup in [Setup::dynamics_only(), Setup::salesforce_only()] {
        let world = setup.start().await;
        let id = if world.app().accounts[0].crms[0].name().as_str() == "dynamics365" {
            let key = world.draft_dynamics("A deal", json!({ "pc_syncwithpartnercenter": true }));
            world.until("shared", || world.shared_dynamics(&key)).await
        } else {
            let key = world.draft_sales("A deal", json!({ "Sync_With_Partner_Center__c": true }));
            world.until("shared", || world.shared_sales(&key)).await
        };
        world.arrived(&id).await;
        assert!(!text(&world.referral(&id)["externalReferenceId"]).is_empty());
        world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 70_000 } }));
        world.until_true("a change comes back", || world.agree(&id, 70_000.0, "2027-05-31")).await;
        world.finish().await;
    }
}
