//! Conditional writes: no edit is lost, whoever is faster and in whichever second.

use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::{DuplicateRule, SandboxOptions, trouble};
use cosell_sync::domain::record::{Close, Record};
use cosell_sync::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, REFERRAL, World, fields};

async fn write(world: &World, record: &Record, change: &Json) -> Result<Record, ConnectError> {
    world.client.update(record, &record.version, &fields(change), &world.shape()).await
}

fn described(text: &str) -> Json {
    json!({ "Description": text })
}

#[tokio::test]
async fn a_write_and_its_proof_are_one_call() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let before = world.client.calls();
    let updated = write(&world, &record, &described("ours")).await.expect("an update");
    assert_eq!(world.client.calls() - before, 1, "write and proof");
    assert_eq!(updated.fields["Description"], json!("ours"));
    assert_ne!(updated.version, record.version);
}

#[tokio::test]
async fn a_person_between_read_and_write_wins() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let edited = id.clone();
    world.sandbox.before_next_write(move |org| {
        let edit = described("a person's");
        org.edit_as_person("Opportunity", edited.as_str(), &edit).expect("an edit");
    });
    let refused = write(&world, &record, &described("ours")).await;
    assert!(matches!(refused, Err(ConnectError::Stale)), "{refused:?}");
    assert_eq!(world.held(&id)["Description"], json!("a person's"));
}

/// The stamp cannot tell the two edits apart; only waiting and comparing can.
#[tokio::test]
async fn a_second_edit_in_the_second_of_the_read_is_not_lost() {
    let world = World::plain().await;
    let id = world.seed(&described("first"));
    let record = world.read(&id).await;
    let edit = described("second, same stamp");
    world.sandbox.edit_as_person("Opportunity", id.as_str(), &edit).expect("an edit");
    let again = world.read(&id).await;
    assert_eq!(again.modified, record.modified, "the stamps are the same");
    assert_ne!(again.version, record.version, "the feed must not take it for the same version");
    let refused = write(&world, &record, &described("ours")).await;
    assert!(matches!(refused, Err(ConnectError::Stale)), "{refused:?}");
    assert_eq!(world.held(&id)["Description"], json!("second, same stamp"));
}

#[tokio::test]
async fn a_record_of_this_second_is_written_after_a_wait() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    let record = world.read(&id).await;
    let asked = world.clock.now();
    write(&world, &record, &described("ours")).await.expect("an update");
    let waited = world.clock.now().since(asked);
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(3), "{waited:?}");
    let held = world.held(&id);
    let stamp = held["SystemModstamp"].as_str().and_then(Timestamp::parse).expect("a stamp");
    assert!(stamp > record.modified, "in a later second");
}

#[tokio::test]
async fn an_edit_right_after_our_write_is_not_lost() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let ours = write(&world, &record, &described("ours")).await.expect("an update");
    let edit = described("a person's, same second");
    world.sandbox.edit_as_person("Opportunity", id.as_str(), &edit).expect("an edit");
    world.clock.advance(Duration::from_secs(5));
    let refused = write(&world, &ours, &described("ours again")).await;
    assert!(matches!(refused, Err(ConnectError::Stale)), "{refused:?}");
    assert_eq!(world.held(&id)["Description"], json!("a person's, same second"));
}

#[tokio::test]
async fn what_a_trigger_makes_of_our_write_is_returned() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    world.sandbox.add_trigger("Opportunity", |row| {
        row.insert("NextStep".to_owned(), json!("set by a trigger"));
        row.insert("Description".to_owned(), json!("rewritten by a trigger"));
    });
    let updated = write(&world, &record, &described("ours")).await.expect("an update");
    assert_eq!(updated.fields["Description"], json!("rewritten by a trigger"));
}

#[tokio::test]
async fn an_amount_of_line_items_comes_back_as_it_is_held() {
    let world = World::plain().await;
    let id = world.seed(&json!({ "Amount": 100.0 }));
    world.sandbox.add_line_items(id.as_str());
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let change = json!({ "Amount": 250.5, "Description": "ours" });
    let updated = write(&world, &record, &change).await.expect("an update");
    assert_eq!(updated.fields["Amount"], json!(100.0), "not what was sent");
    assert_eq!(updated.fields["Description"], json!("ours"));
}

#[tokio::test]
async fn locks_are_waited_for_and_approvals_are_not() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let parent = "001000000000001AAA";
    for effect in [
        trouble::locked_row(parent),
        trouble::locked_row_in_flow(parent),
        trouble::locked_row_in_trigger(parent),
    ] {
        world.fault("POST", "/composite", effect);
        let refused = write(&world, &record, &described("ours")).await;
        assert!(matches!(refused, Err(ConnectError::Unavailable(_))), "{refused:?}");
    }
    world.sandbox.lock_for_approval(id.as_str());
    let refused = write(&world, &record, &described("ours")).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, "ENTITY_IS_LOCKED");
    assert!(refusal.message.contains("approval"), "{}", refusal.message);
}

#[tokio::test]
async fn the_words_of_a_validation_rule_reach_the_seller() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.sandbox.add_validation_rule("Opportunity", |row| {
        let bad = row.get("Description") == Some(&json!("bad"));
        bad.then(|| ("Say why, please: \"bad\" is no reason.".to_owned(), "Description".to_owned()))
    });
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let refused = write(&world, &record, &described("bad")).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    assert_eq!(refusal.message, "Say why, please: \"bad\" is no reason.");
    assert_eq!(refusal.fields, ["Description"]);
}

#[tokio::test]
async fn an_owner_is_written_by_address_or_by_reference() {
    let world = World::related().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    assert_eq!(record.fields["Owner.Email"], json!("seller@contoso.example"));
    let change = json!({ "Owner.Email": "nobody@contoso.example" });
    let refused = write(&world, &record, &change).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.fields, ["Owner.Email"]);
    let user = json!({ "table": "User", "id": world.sandbox.integration_user() });
    let ours = write(&world, &record, &json!({ "OwnerId": user })).await.expect("an update");
    assert_eq!(ours.fields["OwnerId"], json!(world.sandbox.integration_user()));
    world.clock.advance(Duration::from_secs(5));
    let change = json!({ "Owner.Email": "SELLER@contoso.example" });
    let theirs = write(&world, &ours, &change).await.expect("an update");
    assert_eq!(theirs.fields["OwnerId"], json!(world.sandbox.seller()));
}

#[tokio::test]
async fn a_record_that_somebody_made_is_never_overwritten_by_a_create() {
    let world = World::plain().await;
    let id = world.seed(&json!({ "Referral_Identifier__c": REFERRAL, "Name": "theirs" }));
    let new = world.create_fields();
    let refused = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Exists(_))), "{refused:?}");
    assert_eq!(world.held(&id)["Name"], json!("theirs"));
}

#[tokio::test]
async fn two_records_of_one_referral_are_never_guessed_about() {
    let options = SandboxOptions { unique_referral: false, ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    let first = world.seed(&json!({ "Referral_Identifier__c": REFERRAL }));
    let second = world.seed(&json!({ "Referral_Identifier__c": REFERRAL }));
    let new = world.create_fields();
    let refused = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
    let Err(ConnectError::Ambiguous(mut ids)) = refused else { panic!("{refused:?}") };
    ids.sort();
    assert_eq!(ids, [first.as_str(), second.as_str()]);
    let found = world.client.find_by_referral(OPPORTUNITY, REFERRAL, &world.shape()).await;
    assert_eq!(found.expect("records").len(), 2);
}

/// Between our look and our write. A unique key keeps what they wrote; where it is only indexed an
/// upsert finds the record instead of making a second one.
#[tokio::test]
async fn a_record_made_while_we_create_is_reported() {
    for unique in [true, false] {
        a_record_is_made_while_we_create(unique).await;
    }
}

async fn a_record_is_made_while_we_create(unique: bool) {
    let options = SandboxOptions { unique_referral: unique, ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    world.sandbox.before_next_write(|org| {
        let theirs = json!({
            "Name": "theirs", "StageName": "Prospecting", "CloseDate": "2026-12-31",
            "Referral_Identifier__c": REFERRAL,
        });
        org.create_as_person("Opportunity", &theirs).expect("a record");
    });
    let new = world.create_fields();
    let refused = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Exists(_))), "{refused:?}");
    assert_eq!(world.count(REFERRAL).await, 1);
    let row = world.sandbox.rows("Opportunity").remove(0);
    assert_eq!(row["Name"] == "theirs", unique, "an insert never overwrites: {row}");
}

#[tokio::test]
async fn a_duplicate_rule_that_alerts_is_passed_over_only_if_the_settings_say_so() {
    for allow in [false, true] {
        let world = World::new(SandboxOptions::default(), |settings| {
            settings.duplicate_rule_allow_save = allow;
        })
        .await;
        world.seed(&json!({ "Name": "Northwind migration" }));
        world.sandbox.add_duplicate_rule(DuplicateRule {
            object: "Opportunity".to_owned(),
            field: "Name".to_owned(),
            block: false,
        });
        let new = world.create_fields();
        let made = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
        match made {
            Ok(_) => assert!(allow),
            Err(ConnectError::Rejected(refusal)) => {
                assert!(!allow);
                assert_eq!(refusal.code, "DUPLICATES_DETECTED");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn closing_is_a_write_of_the_stage() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let won = json!({ "StageName": "Closed Won", "Description": "signed" });
    let close = Close { won: true, ..world.winning() };
    let shape = world.shape();
    let closed = world
        .client
        .close(&record, &record.version, &close, &fields(&won), &shape)
        .await
        .expect("a close");
    assert!(world.is_won(&closed), "{closed:?}");
    let schema = world.client.describe(OPPORTUNITY).await.expect("a schema");
    let stages = schema.fields.iter().find(|field| field.name == "StageName").expect("stages");
    assert!(stages.options.iter().any(|(code, _)| code == "Closed Won"), "{stages:?}");
    let stages = world.client.stages().await.expect("stages");
    assert!(stages.iter().any(|stage| stage.api_name == "Closed Won" && stage.is_won));
}

#[tokio::test]
async fn a_deleted_record_is_none_and_cannot_be_written() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    world.delete_as_person(&World::key(&id)).await;
    let found = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert_eq!(found.expect("an answer"), None);
    let refused = write(&world, &record, &described("ours")).await;
    assert!(matches!(refused, Err(ConnectError::NotFound(_))), "{refused:?}");
}

/// The id of another CRM, or no id at all, names no record here.
#[tokio::test]
async fn a_foreign_id_is_no_record() {
    let world = World::plain().await;
    for id in [REFERRAL, "", "'; DELETE", "006000000000001"] {
        let id = cosell_sync::domain::id::RecordId::new(id);
        let found = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        assert_eq!(found.expect("an answer"), None);
    }
}
