//! Rows below an opportunity, read with it.

use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::SandboxOptions;
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::id::RecordId;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, World, fields};

const PRODUCTS: &str = "OpportunityLineItems.Product2.Name";
const TEAM: &str = "OpportunityTeamMembers.User.Email";

async fn world_with(options: SandboxOptions) -> World {
    let mut world = World::new(options, |_| {}).await;
    world.fields.extend([PRODUCTS.to_owned(), TEAM.to_owned()]);
    world
}

fn sell(world: &World, id: &RecordId, product: &str) -> String {
    let product = world.sandbox.create_as_person("Product2", &json!({ "Name": product }));
    let line = json!({
        "OpportunityId": id.as_str(), "Product2Id": product.expect("a product"),
        "Quantity": 1, "UnitPrice": 10,
    });
    world.sandbox.create_as_person("OpportunityLineItem", &line).expect("a line")
}

fn join_team(world: &World, id: &RecordId) -> String {
    let member = json!({ "OpportunityId": id.as_str(), "UserId": world.sandbox.seller() });
    world.sandbox.create_as_person("OpportunityTeamMember", &member).expect("a member")
}

/// What a seller does to an opportunity.
type Step = fn(&World, &RecordId);

/// A seller deletes the one row of a table.
fn remove(world: &World, table: &str) {
    let row = world.sandbox.rows(table).pop().expect("a row");
    let id = row["Id"].as_str().expect("its id");
    world.sandbox.delete_as_person(table, id).expect("a deletion");
}

/// Both lists of what a page of the feed shows, and its cursor.
async fn shown(world: &World, cursor: &str) -> (Vec<(Json, Json)>, String) {
    let page = world.client.changes(OPPORTUNITY, Some(cursor), &world.shape()).await;
    let page = page.expect("a page");
    let lists =
        page.changed.iter().map(|it| (it.fields[PRODUCTS].clone(), it.fields[TEAM].clone()));
    (lists.collect(), page.cursor)
}

#[tokio::test]
async fn lists_are_read_and_written_beside_without_a_call_of_their_own() {
    let world = world_with(SandboxOptions::default()).await;
    let id = world.seed(&json!({}));
    let record = world.read(&id).await;
    assert_eq!((&record.fields[PRODUCTS], &record.fields[TEAM]), (&Json::Null, &Json::Null));
    sell(&world, &id, "B");
    sell(&world, &id, " A ");
    sell(&world, &id, "B");
    join_team(&world, &id);
    world.clock.advance(Duration::from_secs(5));
    let before = world.client.calls();
    let record = world.read(&id).await;
    assert_eq!(record.fields[PRODUCTS], json!("A;B"), "each once, sorted");
    assert_eq!(record.fields[TEAM], json!("seller@contoso.example"));
    let change = fields(&json!({ "Description": "ours" }));
    let written = world.client.update(&record, &record.version, &change, &world.shape()).await;
    let written = written.expect("a write");
    assert_eq!(written.fields[PRODUCTS], json!("A;B"), "the proof shows them too");
    assert_eq!(world.client.calls() - before, 2, "one read, one write with its proof");
    let change = fields(&json!({ PRODUCTS: "C" }));
    let refused = world.client.update(&written, &written.version, &change, &world.shape()).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert!(refusal.message.contains("to_partner_center"), "{}", refusal.message);
}

/// A list that the server cuts is read to its end: by a read, by the proof of a write, by the feed.
#[tokio::test]
async fn a_long_list_is_read_to_its_end() {
    let world = world_with(SandboxOptions { page_size: 2, ..SandboxOptions::default() }).await;
    let id = world.seed(&json!({}));
    for product in ["A", "B", "C", "D", "E"] {
        sell(&world, &id, product);
    }
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    assert_eq!(record.fields[PRODUCTS], json!("A;B;C;D;E"));
    let change = fields(&json!({ "Description": "ours" }));
    let written = world.client.update(&record, &record.version, &change, &world.shape()).await;
    assert_eq!(written.expect("a write").fields[PRODUCTS], json!("A;B;C;D;E"));
    let page = world.client.changes(OPPORTUNITY, None, &world.shape()).await.expect("a page");
    assert_eq!(page.changed[0].fields[PRODUCTS], json!("A;B;C;D;E"));
}

/// Writes that share a call: where the list of one record cannot be read on, the outcome of that write
/// alone is not known.
#[tokio::test]
async fn a_list_that_cannot_be_read_back_hurts_no_other_write() {
    let world = world_with(SandboxOptions { page_size: 2, ..SandboxOptions::default() }).await;
    let (long, plain, locked) =
        (world.seed(&json!({})), world.seed(&json!({})), world.seed(&json!({})));
    for product in ["A", "B", "C"] {
        sell(&world, &long, product);
    }
    world.sandbox.lock_for_approval(locked.as_str());
    world.clock.advance(Duration::from_secs(5));
    let records = [world.read(&long).await, world.read(&plain).await, world.read(&locked).await];
    world.fault("GET", "/query/", FaultEffect::Drop);
    let shape = world.shape();
    let [long, plain, locked] = records.each_ref().map(|record| {
        let (client, shape) = (&world.client, &shape);
        async move {
            let change = fields(&json!({ "Description": "ours" }));
            client.update(record, &record.version, &change, shape).await
        }
    });
    let (long, plain, locked) = tokio::join!(long, plain, locked);
    assert_eq!(world.sandbox.faults().waiting(), 0, "the list was read on");
    assert!(matches!(long, Err(ConnectError::Unknown(_))), "{long:?}");
    assert_eq!(plain.expect("a write").fields["Description"], json!("ours"));
    assert!(matches!(locked, Err(ConnectError::Rejected(_))), "{locked:?}");
}

/// A change of a list is seen, whether or not it moves the stamp of the opportunity, and what the
/// feed shows is the very version that a read shows.
#[tokio::test]
async fn a_change_of_a_list_is_a_change_of_its_opportunity() {
    let world = world_with(SandboxOptions::default()).await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(600));
    let page = world.client.changes(OPPORTUNITY, None, &world.shape()).await.expect("a page");
    let mut cursor = page.cursor;
    let sold = json!("A");
    let seller = json!("seller@contoso.example");
    let steps: [(&str, Step, &Json, &Json); 4] = [
        ("a line", |world, id| drop(sell(world, id, "A")), &sold, &Json::Null),
        ("a member", |world, id| drop(join_team(world, id)), &sold, &seller),
        ("a member less", |world, _| remove(world, "OpportunityTeamMember"), &sold, &Json::Null),
        ("a line less", |world, _| remove(world, "OpportunityLineItem"), &Json::Null, &Json::Null),
    ];
    for (what, step, products, team) in steps {
        step(&world, &id);
        world.clock.advance(Duration::from_secs(600));
        let page = world.client.changes(OPPORTUNITY, Some(&cursor), &world.shape()).await;
        let page = page.expect("a page");
        let [record] = page.changed.as_slice() else { panic!("{what}: {:?}", page.changed) };
        assert_eq!((&record.fields[PRODUCTS], &record.fields[TEAM]), (products, team), "{what}");
        assert_eq!(record.version, world.read(&id).await.version, "{what}");
        cursor = page.cursor;
        let (again, next) = shown(&world, &cursor).await;
        assert_eq!(again, [], "{what}: not twice within the minute");
        cursor = next;
    }
}

/// A way that the organisation does not have is refused with its name, as a field is.
#[tokio::test]
async fn a_list_that_is_not_there_is_refused() {
    let mut world = World::plain().await;
    let id = world.seed(&json!({}));
    for path in ["OpportunitySplits.Split", "OpportunityLineItems.Nothing"] {
        world.fields.push(path.to_owned());
        let refused = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{path}: {refused:?}") };
        let last = path.rsplit('.').next().unwrap_or_default();
        assert!(refusal.message.contains(last), "{path}: {}", refusal.message);
        world.fields.pop();
    }
}

/// What cannot be asked of a list does not stop the records.
#[tokio::test]
async fn a_list_that_cannot_be_looked_at_does_not_stop_the_feed() {
    let world = world_with(SandboxOptions::default()).await;
    let id = world.seed(&json!({}));
    let start = world.client.changes(OPPORTUNITY, None, &world.shape()).await.expect("a page");
    let cursor = start.cursor;
    world.clock.advance(Duration::from_secs(120));
    world.sandbox.edit_as_person("Opportunity", id.as_str(), &json!({ "Amount": 7 })).expect("it");
    let body =
        json!([{ "errorCode": "MALFORMED_QUERY", "message": "not supported for semi join" }]);
    let refused = FaultEffect::Answer {
        status: 400,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: body.to_string(),
    };
    let look = Fault { skip: 1, ..Fault::once("GET", "/queryAll", refused) };
    world.sandbox.faults().add(look);
    let (lists, cursor) = shown(&world, &cursor).await;
    assert_eq!(lists.len(), 1, "the edit arrives");
    assert_eq!(world.sandbox.faults().waiting(), 0, "the fault was met");
    world.clock.advance(Duration::from_secs(120));
    join_team(&world, &id);
    let (lists, _) = shown(&world, &cursor).await;
    assert_eq!(lists.len(), 1, "lists are looked at again");
}

#[tokio::test]
async fn a_list_that_is_neither_done_nor_goes_on_is_not_taken_for_whole() {
    let world = world_with(SandboxOptions::default()).await;
    let id = world.seed(&json!({}));
    world.read(&id).await;
    for (is_done, believed) in [(true, true), (false, false)] {
        // The row is whole in all other ways, so that nothing but the list can be refused.
        let mut row = world.held(&id);
        row["OpportunityLineItems"] = json!({ "totalSize": 0, "done": is_done, "records": [] });
        let body = json!({ "totalSize": 1, "done": true, "records": [row] });
        let effect = FaultEffect::Answer {
            status: 200,
            retry_after: None,
            content_type: "application/json".to_owned(),
            body: body.to_string(),
        };
        world.fault("GET", "/query?", effect);
        let odd = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        match odd {
            Ok(Some(_)) => assert!(believed, "done is {is_done}"),
            Err(ConnectError::Broken(_)) => assert!(!believed, "done is {is_done}"),
            other => panic!("done is {is_done}: {other:?}"),
        }
    }
}
