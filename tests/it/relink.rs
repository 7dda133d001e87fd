//! Deals that are tied to another row: by an administrator, by a merge, by Microsoft's connector.

use cosell_sync::domain::audit::AuditKind;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_ties_a_deal_to_another_row_in_each_crm() {
    let world = World::start().await;
    let id = world.accepted().await;
    let other = world.arrival(json!({ "name": "Another deal" })).await;
    let dynamics = text(&world.dynamics(&id).expect("a row")["opportunityid"]).to_owned();
    let sales = text(&world.sales(&id).expect("a row")["Id"]).to_owned();
    let new_dynamics = world.draft_dynamics("The true row", json!({}));
    let new_sales = world.draft_sales("The true row", json!({}));
    let path = format!("/deals/{id}/relink");
    let taken = text(&world.sales(&other).expect("a row")["Id"]).to_owned();
    let refused = [
        (json!({ "record": format!("salesforce/opportunity/{taken}") }), 409, "another deal's"),
        (json!({ "record": "salesforce/opportunity/0065g00000ZZZZZAAA" }), 404, "not there"),
        (json!({ "record": new_sales }), 400, "no record"),
    ];
    for (body, status, why) in refused {
        assert_eq!(world.admin(&path, body).await, status, "{why}");
    }
    for record in [
        format!("dynamics365/opportunity/{new_dynamics}"),
        format!("salesforce/opportunity/{new_sales}"),
    ] {
        assert_eq!(world.admin(&path, json!({ "record": record })).await, 200);
    }
    world
        .until_true("both true rows carry the referral", || {
            world.shared_dynamics(&new_dynamics).as_ref() == Some(&id)
                && world.shared_sales(&new_sales).as_ref() == Some(&id)
        })
        .await;
    world
        .until_true("Microsoft names the new row", || {
            world.referral(&id)["externalReferenceId"] == new_dynamics.as_str()
        })
        .await;
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 77_000 } }));
    world.until_true("the true rows go on", || world.agree_on_value(&id, 77_000.0)).await;
    world.silence().await;
    assert!(world.shared_dynamics(&dynamics).is_none() && world.shared_sales(&sales).is_none());
    assert!(world.sales_audit(&sales).contains("goes on with another record"));
    let asked = world.trail(Some(AuditKind::Operated)).await;
    assert_eq!(asked.iter().filter(|it| it.entry.summary.contains("Asked to tie")).count(), 2);
    assert_eq!(world.deals().await.len(), 2, "no deal was made of the rows that were left");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_microsofts_connector_is_adopted_and_its_name_freed_of_the_mark() {
    let mut world = World::start().await;
    world.stop_daemon().await;
    let id = world.seed(json!({}));
    let dynamics = world.draft_dynamics(
        "\u{2714} Northwind cloud migration",
        json!({ "pc_referralidentifier": id.as_str(), "pc_syncwithpartnercenter": true }),
    );
    let sales = world.draft_sales(
        "\u{274c} Northwind cloud migration",
        json!({ "Referral_Identifier__c": id.as_str(), "Sync_With_Partner_Center__c": true }),
    );
    world.start_daemon().await;
    world.register_webhook();
    let named = || {
        let dynamics = world.sandbox.dynamics365.row("opportunity", &dynamics).unwrap_or_default();
        let sales = world.sandbox.salesforce.row("Opportunity", &sales).unwrap_or_default();
        let plain = "Northwind cloud migration";
        dynamics["name"] == plain && sales["Name"] == plain
    };
    world.until_true("both names are plain", named).await;
    world.silence().await;
    assert_eq!(world.sandbox.dynamics365.rows("opportunity").len(), 1, "adopted, not made");
    assert_eq!(world.sandbox.salesforce.rows("Opportunity").len(), 1, "adopted, not made");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merged_lead_goes_on_under_the_id_that_survived() {
    let world = Setup::salesforce_only().start().await;
    let id = world.seed(json!({
        "name": "Northwind asks for a quote", "qualification": "MarketingQualified",
        "type": "Independent",
    }));
    let lead = world
        .until("the lead arrives", || {
            let rows = world.sandbox.salesforce.rows("Lead");
            rows.into_iter().find(|row| row["Referral_Identifier__c"] == id.as_str())
        })
        .await;
    world.idle().await;
    let lead = text(&lead["Id"]).to_owned();
    let survivor = json!({ "LastName": "Buyer", "Company": "Northwind Traders" });
    let survivor = world.sandbox.salesforce.create_as_person("Lead", &survivor).expect("a lead");
    world.sandbox.salesforce.merge_as_person("Lead", &survivor, &lead).expect("merged");
    world.until_said(AuditKind::Linked, "was merged into").await;
    world
        .until_true("it carries the referral", || {
            let row = world.sandbox.salesforce.row("Lead", &survivor).unwrap_or_default();
            row["Referral_Identifier__c"] == id.as_str()
        })
        .await;
    world.idle().await;
    let deal = world.deal(&id).await.expect("a deal");
    assert_eq!(deal.links[0].record.id.as_str(), survivor);
    world.finish().await;
}

/// In Dynamics 365 the lead that is gone keeps the unique referral id, and may be closed for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merged_lead_of_dynamics_goes_on_or_waits_for_a_person() {
    for takes in [true, false] {
        let world = Setup::dynamics_only().start().await;
        let crm = &world.sandbox.dynamics365;
        if takes {
            let key = vec!["pc_referralidentifier".to_owned()];
            crm.configure(|options| options.writable_when_closed = key);
        }
        let id = world.seed(json!({
            "name": "Northwind asks for a quote", "qualification": "MarketingQualified",
            "type": "Independent",
        }));
        let carries = |row: &Json| row["pc_referralidentifier"] == id.as_str();
        let look = || crm.rows("lead").into_iter().find(carries);
        let lead = world.until("the lead arrives", look).await;
        world.idle().await;
        let survivor = crm.seed_lead(&json!({ "lastname": "Buyer" })).expect("a lead");
        crm.merge_as_person("lead", &survivor, text(&lead["leadid"])).expect("merged");
        if !takes {
            world.until_held("empty its Referral Identifier").await;
            assert!(!carries(&crm.row("lead", &survivor).expect("a lead")));
            // The person does as told.
            let gone = text(&lead["leadid"]);
            let edit = |fields: Json| crm.edit_as_person("lead", gone, &fields).expect("may");
            edit(json!({ "statecode": 0, "statuscode": 1 }));
            edit(json!({ "pc_referralidentifier": null }));
            edit(json!({ "statecode": 2, "statuscode": 7 }));
            let retry = json!({ "decision": "retry", "all": true });
            assert_eq!(world.admin("/dead-letters/release", retry).await, 200);
        }
        let marked = || carries(&crm.row("lead", &survivor).expect("a lead"));
        world.until_true("the survivor carries the referral", marked).await;
        world.idle().await;
        let deal = world.deal(&id).await.expect("a deal");
        assert_eq!(deal.links[0].record.id.as_str(), survivor);
        assert_eq!(world.state(&id), "New/Pending", "the referral is not declined");
        world.finish().await;
    }
}
