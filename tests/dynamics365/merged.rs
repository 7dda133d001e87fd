//! Rows that people merged: the surviving one goes on.

use cosell_sync::connect::crm::{Crm, Search};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::record::{Record, Shape};
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::World;

const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";
const LEAD: RecordKind = RecordKind::Lead;

fn shape(world: &World) -> Shape {
    let fields = ["subject", "statecode", "parentaccountid.name"].map(str::to_owned).to_vec();
    Shape { fields, ..world.shape() }
}

async fn fetch(world: &World, id: &str) -> Option<Record> {
    world.client.fetch(LEAD, &RecordId::new(id), &shape(world)).await.expect("an answer")
}

/// Three leads, of which the last has the referral; it was merged into the second, that into the
/// first. Their ids.
fn merged(world: &World) -> [String; 3] {
    let lead = |fields| world.sandbox.seed_lead(&fields).expect("a lead");
    let leads = [
        lead(json!({"subject": "The one that goes on"})),
        lead(json!({"subject": "Merged twice"})),
        lead(json!({"subject": "Merged once", "pc_referralidentifier": REFERRAL})),
    ];
    world.sandbox.merge_as_person("lead", &leads[1], &leads[2]).expect("a merge");
    world.sandbox.merge_as_person("lead", &leads[0], &leads[1]).expect("a merge");
    leads
}

/// Whoever asks for a lead that is gone gets the surviving one, by id and by referral.
#[tokio::test]
async fn a_merged_lead_is_followed_to_the_one_that_survived() {
    let world = World::plain().await;
    let [survivor, middle, gone] = merged(&world);
    for id in [&gone, &middle, &survivor] {
        let record = fetch(&world, id).await.expect("the survivor");
        assert_eq!(record.key.id.as_str(), survivor, "asked for {id}");
    }
    let found = world.client.find_by_referral(LEAD, REFERRAL, &shape(&world)).await;
    let found = found.expect("records");
    let found: Vec<&str> = found.iter().map(|record| record.key.id.as_str()).collect();
    assert_eq!(found, [survivor.as_str()]);
    world.sandbox.delete_as_person("lead", &survivor).expect("a deletion");
    assert_eq!(fetch(&world, &gone).await, None, "gone for good");
}

/// Where no key keeps the referral id unique, the lead that is gone may hold it beside its survivor:
/// that is one record, and no duplicate for a person to sort out.
#[tokio::test]
async fn a_lead_that_is_gone_is_no_second_record() {
    let world = World::plain().await;
    let [survivor, _, gone] = merged(&world);
    let rows = [&survivor, &gone].map(|id| {
        let mut row = world.sandbox.row("lead", id).expect("a row");
        row["@odata.etag"] = json!(format!("W/\"{}\"", row["versionnumber"]));
        row["pc_referralidentifier"] = json!(REFERRAL);
        row
    });
    let effect = FaultEffect::Answer {
        status: 200,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: json!({ "value": rows }).to_string(),
    };
    world.client.find_by_referral(LEAD, REFERRAL, &shape(&world)).await.expect("a schema");
    world.fault("GET", "/leads?", effect);
    let found = world.client.find_by_referral(LEAD, REFERRAL, &shape(&world)).await;
    let found = found.expect("records");
    let found: Vec<&str> = found.iter().map(|record| record.key.id.as_str()).collect();
    assert_eq!(found, [survivor.as_str()]);
    assert_eq!(world.sandbox.faults().waiting(), 0, "the answer was used");
}

/// The referral id is unique and the lead that is gone holds it still: it is taken from there, or a
/// person is told what to do. No other row is touched.
#[tokio::test]
async fn the_referral_id_moves_to_the_survivor() {
    for takes in [true, false] {
        let world = World::plain().await;
        if takes {
            let key = vec!["pc_referralidentifier".to_owned()];
            world.sandbox.configure(|options| options.writable_when_closed = key);
        }
        let lead = |fields| world.sandbox.seed_lead(&fields).expect("a lead");
        let survivor = lead(json!({"subject": "The one that goes on"}));
        let middle = lead(json!({"subject": "Merged later"}));
        let gone = lead(json!({"subject": "Merged", "pc_referralidentifier": REFERRAL}));
        world.sandbox.merge_as_person("lead", &middle, &gone).expect("a merge");
        world.sandbox.merge_as_person("lead", &survivor, &middle).expect("a merge");
        let record = fetch(&world, &gone).await.expect("the survivor");
        let mark = json!({"pc_referralidentifier": REFERRAL, "pc_syncwithpartnercenter": true});
        let mark = mark.as_object().cloned().expect("an object");
        let write = async |record: &Record| {
            world.client.update(record, &record.version, &mark, &shape(&world)).await
        };
        let marked = write(&record).await;
        let held = |id: &str| {
            let row = world.sandbox.row("lead", id).expect("a row");
            row.get("pc_referralidentifier").and_then(|value| value.as_str()).map(str::to_owned)
        };
        let (ours, theirs) = (held(&survivor), held(&gone));
        if takes {
            marked.expect("the survivor is marked");
            assert_eq!((ours.as_deref(), theirs), (Some(REFERRAL), None));
        } else {
            let Err(ConnectError::Rejected(refusal)) = marked else { panic!("{marked:?}") };
            assert!(refusal.message.contains("empty its Referral Identifier"), "{refusal:?}");
            assert_eq!((ours, theirs.as_deref()), (None, Some(REFERRAL)));
        }
        let stranger = lead(json!({"subject": "Not merged with anything"}));
        let stranger = fetch(&world, &stranger).await.expect("a lead");
        let refused = write(&stranger).await;
        assert!(matches!(refused, Err(ConnectError::Exists(_))), "{takes}: {refused:?}");
    }
}

/// A customer that was merged into another is not found beside it.
#[tokio::test]
async fn a_merged_account_is_not_found() {
    let world = World::plain().await;
    let account = || world.sandbox.seed_account(&json!({"name": "Fabrikam"})).expect("an account");
    let (kept, gone) = (account(), account());
    let search = Search {
        table: "account".to_owned(),
        equals: vec![("name".to_owned(), "Fabrikam".to_owned())],
        fields: vec!["name".to_owned()],
        limit: 5,
    };
    assert_eq!(world.client.search(&search).await.expect("rows").len(), 2, "two of one name");
    world.sandbox.merge_as_person("account", &kept, &gone).expect("a merge");
    let found = world.client.search(&search).await.expect("rows");
    let found: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(found, [kept.as_str()]);
    let new = json!({"name": "Deal", "parentaccountid.name": "Fabrikam"});
    let new = new.as_object().cloned().expect("an object");
    let kind = RecordKind::Opportunity;
    let made = world.client.create(kind, REFERRAL, &new, &world.shape()).await.expect("a deal");
    let row = world.sandbox.row("opportunity", made.key.id.as_str()).expect("the row");
    assert_eq!(row["_parentaccountid_value"], json!(kept));
}
