//! Leads: they arrive, are qualified or converted, and keep one identity.

use cosell_sync::domain::id::{CrmName, RecordKind, ReferralId};
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, only, text};

/// A lead of the marketplace.
fn lead() -> Json {
    json!({
        "name": "Northwind asks for a quote", "qualification": "MarketingQualified",
        "type": "Independent",
    })
}

fn sales_lead(world: &World, id: &ReferralId) -> Option<Json> {
    only(world.sandbox.salesforce.rows("Lead"), "Referral_Identifier__c", id.as_str())
}

/// The kinds of record that the deal is linked to.
async fn kinds(world: &World, id: &ReferralId) -> Vec<(CrmName, RecordKind)> {
    let deal = world.deal(id).await.expect("a deal");
    deal.links.iter().map(|link| (link.record.crm, link.record.kind)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_qualified_in_dynamics_becomes_the_opportunity_of_the_same_deal() {
    let world = Setup::dynamics_only().start().await;
    let id = world.seed(lead());
    let row = world.until("a lead", || world.dynamics_row("lead", &id)).await;
    world.idle().await;
    let key = text(&row["leadid"]).to_owned();
    let opportunity = world.sandbox.dynamics365.qualify_as_person(&key).expect("the seller may");
    world
        .until_true("accepted", || {
            let linked = world.sandbox.dynamics365.row("opportunity", &opportunity);
            let carried = linked.is_some_and(|row| row["pc_referralidentifier"] == id.as_str());
            world.state(&id) == "Active/Accepted" && carried
        })
        .await;
    world.silence().await;
    assert_eq!(kinds(&world, &id).await, [(CrmName::Dynamics365, RecordKind::Opportunity)]);
    assert_eq!(world.sandbox.dynamics365.rows("opportunity").len(), 1);
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 77_000 } }));
    world.until_true("the opportunity follows", || world.agree(&id, 77_000.0, "2027-03-31")).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_qualified_without_an_opportunity_gets_one_beside_it() {
    let world = Setup::dynamics_only().start().await;
    let id = world.seed(lead());
    let row = world.until("a lead", || world.dynamics_row("lead", &id)).await;
    world.idle().await;
    let key = text(&row["leadid"]).to_owned();
    world.sandbox.dynamics365.qualify_alone_as_person(&key).expect("the seller may");
    world.until_true("an opportunity", || world.dynamics(&id).is_some()).await;
    world.silence().await;
    assert_eq!(kinds(&world, &id).await, [(CrmName::Dynamics365, RecordKind::Opportunity)]);
    assert_eq!(world.sandbox.dynamics365.rows("opportunity").len(), 1);
    assert_eq!(world.sandbox.dynamics365.rows("lead").len(), 1, "no second lead");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_converted_in_salesforce_is_followed() {
    let world = Setup::salesforce_only().start().await;
    let id = world.seed(lead());
    let row = world.until("a lead", || sales_lead(&world, &id)).await;
    world.idle().await;
    let converted = world.sandbox.salesforce.convert_lead_as_person(text(&row["Id"]));
    let opportunity = converted.expect("the seller may");
    world
        .until_true("accepted", || {
            let linked = world.sandbox.salesforce.row("Opportunity", &opportunity);
            let carried = linked.is_some_and(|row| row["Referral_Identifier__c"] == id.as_str());
            world.state(&id) == "Active/Accepted" && carried
        })
        .await;
    world.silence().await;
    assert_eq!(kinds(&world, &id).await, [(CrmName::Salesforce, RecordKind::Opportunity)]);
    assert_eq!(world.sandbox.salesforce.rows("Opportunity").len(), 1);
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 77_000 } }));
    world.until_true("the opportunity follows", || world.agree(&id, 77_000.0, "2027-03-31")).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_accepted_at_microsoft_becomes_an_opportunity_in_both_crms() {
    let world = World::start().await;
    let id = world.seed(lead());
    world
        .until_true("a lead in both", || {
            world.dynamics_row("lead", &id).is_some() && sales_lead(&world, &id).is_some()
        })
        .await;
    world.idle().await;
    world.edit_as_microsoft(&id, json!({ "status": "Active", "substatus": "Accepted" }));
    world
        .until_true("an opportunity in both", || {
            world.dynamics(&id).is_some() && world.sales(&id).is_some()
        })
        .await;
    world.silence().await;
    let linked = kinds(&world, &id).await;
    assert!(linked.iter().all(|(_, kind)| *kind == RecordKind::Opportunity), "{linked:?}");
    assert_eq!(world.sandbox.dynamics365.rows("opportunity").len(), 1);
    assert_eq!(world.sandbox.salesforce.rows("Opportunity").len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_that_the_seller_disqualifies_is_declined() {
    let world = Setup::salesforce_only().start().await;
    let id = world.seed(lead());
    let row = world.until("a lead", || sales_lead(&world, &id)).await;
    world.idle().await;
    let edit = json!({ "Status": "Closed - Not Converted" });
    let edited = world.sandbox.salesforce.edit_as_person("Lead", text(&row["Id"]), &edit);
    edited.expect("the seller may");
    world.until_true("declined", || world.state(&id) == "Closed/Declined").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leads_switched_off_are_ignored() {
    let world = Setup::new().set("sync.leads", false).start().await;
    let id = world.seed(lead());
    let deal = world.arrival(json!({})).await;
    world.silence().await;
    assert!(world.dynamics_row("lead", &id).is_none() && sales_lead(&world, &id).is_none());
    assert!(world.dynamics(&id).is_none() && world.dynamics(&deal).is_some());
    world.finish().await;
}
