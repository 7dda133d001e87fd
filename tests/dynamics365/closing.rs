//! Closing opportunities and leads, qualifying leads.

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::record::{Close, Fields, Record, Shape};
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::World;

fn fields(json: &Json) -> Fields {
    json.as_object().cloned().expect("an object")
}

async fn opportunity(world: &World) -> Record {
    let id = world.sandbox.seed_opportunity(&json!({"name": "Northwind"})).expect("a row");
    let id = RecordId::new(id);
    let found = world.client.fetch(RecordKind::Opportunity, &id, &world.shape()).await;
    found.expect("an answer").expect("the record")
}

fn losing(status: i64) -> Close {
    Close {
        won: false,
        status,
        subject: "Lost at Partner Center".to_owned(),
        description: None,
        actual_value: None,
        actual_date: None,
    }
}

async fn close(
    world: &World,
    record: &Record,
    close: &Close,
    change: &Json,
) -> Result<Record, ConnectError> {
    world.client.close(record, &record.version, close, &fields(change), &world.shape()).await
}

/// A win carries value, date and text into the closing activity and the record.
#[tokio::test]
async fn a_win_carries_what_it_was_given() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    let note = json!({"pc_synctoken": "token-1"});
    close(&world, &open, &world.winning(), &note).await.expect("a close");
    let row = world.sandbox.row("opportunity", open.key.id.as_str()).expect("the row");
    assert_eq!(row["actualvalue"].as_f64(), Some(1250.5));
    assert_eq!(row["actualclosedate"], json!("2026-08-31"));
    assert_eq!(row["pc_synctoken"], json!("token-1"));
    let activity = &world.sandbox.rows("opportunityclose")[0];
    assert_eq!(activity["subject"], json!("Won at Partner Center"));
    assert_eq!(activity["description"], json!("The customer signed."));
}

/// A loss with its own status; a status of another state is refused and nothing is written.
#[tokio::test]
async fn a_status_must_belong_to_the_end() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    for (status, why) in [(3, "a won status"), (1, "an open status"), (99, "no status at all")] {
        let writes = world.sandbox.write_count();
        let refused = close(&world, &open, &losing(status), &json!({})).await;
        let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{why}: {refused:?}") };
        assert!(refusal.message.contains("[4, 5]"), "{why}: {refusal:?}");
        assert_eq!(world.sandbox.write_count(), writes, "{why}");
    }
    let lost = close(&world, &open, &losing(5), &json!({})).await.expect("a close");
    assert_eq!((&lost.fields["statecode"], &lost.fields["statuscode"]), (&json!(2), &json!(5)));
}

/// A row that a person closed in another way is not reopened to be closed again.
#[tokio::test]
async fn a_row_closed_otherwise_is_left_alone() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    world.sandbox.lose_as_person(open.key.id.as_str()).expect("a loss");
    let refused = close(&world, &open, &world.winning(), &json!({})).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    assert_eq!(world.closings(&open.key).await, Some(1));
}

/// An edit in between refuses the close, also when it came after our look at the row.
#[tokio::test]
async fn an_edit_in_between_refuses_the_close() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    let id = open.key.id.as_str().to_owned();
    world.sandbox.before_next_write(move |sandbox| {
        let edit = json!({"description": "a person was faster"});
        sandbox.edit_as_person("opportunity", &id, &edit).expect("an edit");
    });
    let note = json!({"pc_synctoken": "token-1"});
    let refused = close(&world, &open, &world.winning(), &note).await;
    assert!(matches!(refused, Err(ConnectError::Stale)), "{refused:?}");
    assert_eq!(world.closings(&open.key).await, Some(0), "nothing of the change set landed");
    let row = world.sandbox.row("opportunity", open.key.id.as_str()).expect("the row");
    assert_eq!(row["statecode"], json!(0));
    let again = close(&world, &open, &world.winning(), &json!({})).await;
    assert!(matches!(again, Err(ConnectError::Stale)), "without fields too: {again:?}");
}

/// A closed row takes nothing but to be reopened, by a plain update; the next end is a new one.
#[tokio::test]
async fn a_closed_row_is_read_only_until_it_is_reopened() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    let won = close(&world, &open, &world.winning(), &json!({})).await.expect("a close");
    let update = async |record: &Record, change: &Json| {
        world.client.update(record, &record.version, &fields(change), &world.shape()).await
    };
    let refused = update(&won, &json!({"name": "After the end"})).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    let reopened = update(&won, &json!({"statecode": 0, "statuscode": 1})).await.expect("open");
    assert_eq!(reopened.fields["statecode"], json!(0));
    let edited = update(&reopened, &json!({"name": "Goes on"})).await.expect("an edit");
    assert_eq!(world.closings(&open.key).await, Some(1));
    close(&world, &edited, &losing(5), &json!({})).await.expect("the new end");
    assert_eq!(world.closings(&open.key).await, Some(2), "two ends, two activities");
}

fn lead_shape() -> Shape {
    Shape {
        fields: ["subject", "statecode", "statuscode"].map(str::to_owned).to_vec(),
        referral_field: "pc_referralidentifier".to_owned(),
        sync_field: "pc_syncwithpartnercenter".to_owned(),
        token_field: None,
    }
}

async fn lead(world: &World, more: &Json) -> Record {
    let id = RecordId::new(world.sandbox.seed_lead(more).expect("a lead"));
    let found = world.client.fetch(RecordKind::Lead, &id, &lead_shape()).await;
    found.expect("an answer").expect("the lead")
}

/// A lead becomes one opportunity, whatever is lost on the way.
#[tokio::test]
async fn a_lead_becomes_one_opportunity() {
    let world = World::plain().await;
    let account = world.sandbox.seed_account(&json!({"name": "Fabrikam"})).expect("an account");
    let parent = json!({"parentaccountid@odata.bind": format!("/accounts({account})")});
    let lead = lead(&world, &parent).await;
    world.fault("POST", "QualifyLead", FaultEffect::ApplyThenDrop);
    let lost = world.client.qualify(&lead, "3", &lead_shape()).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let again = world.client.qualify(&lead, "3", &lead_shape()).await.expect("an answer");
    let rows = world.sandbox.rows("opportunity");
    assert_eq!(rows.len(), 1);
    assert_eq!(again.map(|id| json!(id.as_str())), Some(rows[0]["opportunityid"].clone()));
    assert_eq!(rows[0]["_customerid_value"], json!(account));
    assert_eq!(world.sandbox.rows("account").len(), 1, "no second account was made");
    let third = world.client.qualify(&lead, "3", &lead_shape()).await.expect("an answer");
    assert!(third.is_some());
}

/// A lead qualified by a person is followed; a disqualified one is refused.
#[tokio::test]
async fn a_lead_ended_by_a_person_is_followed_or_refused() {
    let world = World::plain().await;
    let theirs = lead(&world, &json!({})).await;
    let opportunity = world.sandbox.qualify_as_person(theirs.key.id.as_str()).expect("a deal");
    let found = world.client.qualify(&theirs, "3", &lead_shape()).await.expect("an answer");
    assert_eq!(found, Some(RecordId::new(opportunity)));

    let lost = lead(&world, &json!({})).await;
    let ended = close_lead(&world, &lost, 5).await.expect("a close");
    assert_eq!((&ended.fields["statecode"], &ended.fields["statuscode"]), (&json!(2), &json!(5)));
    let again = close_lead(&world, &lost, 5).await.expect("a repeated close");
    assert_eq!(again, ended);
    let refused = world.client.qualify(&lost, "3", &lead_shape()).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    let refused = world.client.qualify(&lost, "three", &lead_shape()).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
}

async fn close_lead(world: &World, lead: &Record, status: i64) -> Result<Record, ConnectError> {
    let change = Fields::new();
    world.client.close(lead, &lead.version, &losing(status), &change, &lead_shape()).await
}

/// Every other end whose answer is lost happens once as well.
#[tokio::test]
async fn every_end_with_a_lost_answer_happens_once() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    world.fault("POST", "/$batch", FaultEffect::ApplyThenDrop);
    let lost = close(&world, &open, &losing(4), &json!({"pc_synctoken": "token-1"})).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let again = close(&world, &open, &losing(4), &json!({})).await.expect("a repeated close");
    assert_eq!(again.fields["pc_synctoken"], json!("token-1"));
    assert_eq!(world.closings(&open.key).await, Some(1));

    let lead = lead(&world, &json!({})).await;
    world.fault("POST", "/$batch", FaultEffect::ApplyThenDrop);
    let lost = close_lead(&world, &lead, 7).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let again = close_lead(&world, &lead, 7).await.expect("a repeated close");
    assert_eq!(again.fields["statuscode"], json!(7));
}

/// The words of a plug-in that refused a part of a batch reach the admin, with the request id.
#[tokio::test]
async fn a_plug_ins_refusal_inside_a_batch_is_passed_on() {
    let world = World::plain().await;
    let open = opportunity(&world).await;
    let body = "--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 400 Bad Request\r\n\
        REQ_ID: request-1\r\nContent-Type: application/json\r\n\r\n\
        {\"error\":{\"code\":\"0x80040265\",\"message\":\"Legal has not approved this deal.\"}}\r\n\
        --b--\r\n";
    let refusal = FaultEffect::Answer {
        status: 400,
        retry_after: None,
        content_type: "multipart/mixed; boundary=b".to_owned(),
        body: body.to_owned(),
    };
    world.fault("POST", "/$batch", refusal);
    let refused = close(&world, &open, &world.winning(), &json!({"pc_synctoken": "t"})).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.message, "Legal has not approved this deal.");
    assert_eq!(refusal.request_id.as_deref(), Some("request-1"));
}

/// A close costs three requests once the schema is known: a look, the status reasons, the change
/// set with the read behind it; the second one does not ask for the reasons again.
#[tokio::test]
async fn a_close_costs_few_requests() {
    let world = World::plain().await;
    for expected in [3, 2] {
        let open = opportunity(&world).await;
        world.sandbox.clear_request_log();
        close(&world, &open, &world.winning(), &json!({"pc_synctoken": "t"})).await.expect("won");
        let log = world.sandbox.request_log();
        let inside = log.iter().filter(|request| request.path.contains("/$batch")).count() * 3;
        assert_eq!(log.len() - inside, expected, "{log:?}");
    }
}
