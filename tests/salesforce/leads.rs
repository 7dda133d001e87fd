//! Leads and their conversion.

use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::record::{Record, Shape};
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{World, fields};

const STATUS: &str = "Closed - Converted";

fn shape(world: &World) -> Shape {
    Shape { fields: vec!["LastName".to_owned(), "Company".to_owned()], ..world.shape() }
}

async fn lead(world: &World) -> Record {
    let seed = json!({
        "LastName": "Example", "Company": "Fabrikam", "Sync_With_Partner_Center__c": true,
    });
    let id = world.sandbox.create_as_person("Lead", &seed).expect("a lead");
    world.clock.advance(Duration::from_secs(5));
    read(world, &id).await
}

async fn read(world: &World, id: &str) -> Record {
    let id = RecordId::new(id);
    let found = world.client.fetch(RecordKind::Lead, &id, &shape(world)).await;
    found.expect("an answer").expect("the lead")
}

#[tokio::test]
async fn a_lead_becomes_one_opportunity_however_often_it_is_asked() {
    let world = World::plain().await;
    let lead = lead(&world).await;
    assert_eq!(lead.fields["IsConverted"], json!(false));
    let shape = shape(&world);
    let first = world.client.qualify(&lead, STATUS, &shape).await.expect("a conversion");
    let again = world.client.qualify(&lead, STATUS, &shape).await.expect("an answer");
    assert!(first.is_some() && first == again, "{first:?} {again:?}");
    assert_eq!(world.sandbox.rows("Opportunity").len(), 1);
    let now = read(&world, lead.key.id.as_str()).await;
    assert_eq!(now.fields["IsConverted"], json!(true));
    assert_eq!(now.fields["ConvertedOpportunityId"], json!(first.map(|id| id.to_string())));
    world.clock.advance(Duration::from_secs(5));
    let change = fields(&json!({ "Company": "Contoso" }));
    let refused = world.client.update(&now, &now.version, &change, &shape).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, "CANNOT_UPDATE_CONVERTED_LEAD");
}

#[tokio::test]
async fn a_conversion_whose_answer_is_lost_is_found_done() {
    let world = World::plain().await;
    let lead = lead(&world).await;
    let shape = shape(&world);
    world.fault("POST", "/services/Soap", FaultEffect::ApplyThenDrop);
    let lost = world.client.qualify(&lead, STATUS, &shape).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let again = world.client.qualify(&lead, STATUS, &shape).await.expect("an answer");
    assert!(again.is_some());
    assert_eq!(world.sandbox.rows("Opportunity").len(), 1);
}

#[tokio::test]
async fn a_session_that_ends_before_the_conversion_is_renewed_once() {
    let world = World::plain().await;
    let lead = lead(&world).await;
    world.sandbox.expire_sessions();
    let made = world.client.qualify(&lead, "", &shape(&world)).await.expect("a conversion");
    assert!(made.is_some(), "with the organisation's own status");
}

#[tokio::test]
async fn where_conversion_is_not_permitted_there_is_none() {
    let world = World::plain().await;
    let lead = lead(&world).await;
    let fault = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault>\
                 <faultcode>sf:INSUFFICIENT_ACCESS</faultcode><faultstring>no</faultstring>\
                 </s:Fault></s:Body></s:Envelope>";
    let effect = FaultEffect::Answer {
        status: 500,
        retry_after: None,
        content_type: "text/xml".to_owned(),
        body: fault.to_owned(),
    };
    world.fault("POST", "/services/Soap", effect);
    let none = world.client.qualify(&lead, STATUS, &shape(&world)).await;
    assert_eq!(none.expect("an answer"), None);
}

#[tokio::test]
async fn a_merged_lead_is_followed_to_the_one_that_survived() {
    let world = World::plain().await;
    let leads = [lead(&world).await, lead(&world).await, lead(&world).await];
    let [winner, middle, loser] = leads.each_ref().map(|lead| lead.key.id.as_str());
    world.sandbox.merge_as_person("Lead", middle, loser).expect("a merge");
    world.sandbox.merge_as_person("Lead", winner, middle).expect("a merge");
    for id in [middle, loser] {
        assert_eq!(read(&world, id).await.key.id.as_str(), winner, "asked for {id}");
    }
    world.sandbox.delete_as_person("Lead", winner).expect("a deletion");
    let gone = world.client.fetch(RecordKind::Lead, &RecordId::new(loser), &shape(&world)).await;
    assert_eq!(gone.expect("an answer"), None);
}

#[tokio::test]
async fn our_writes_do_not_move_a_lead_to_another_owner() {
    let world = World::plain().await;
    let lead = lead(&world).await;
    let owner = |world: &World| {
        world.sandbox.row("Lead", lead.key.id.as_str()).expect("it")["OwnerId"].clone()
    };
    let before = owner(&world);
    world.sandbox.assign_leads_to(&world.sandbox.integration_user());
    let change = fields(&json!({ "Company": "Northwind" }));
    world.client.update(&lead, &lead.version, &change, &shape(&world)).await.expect("an update");
    assert_eq!(owner(&world), before);
}
