//! The change feed, the quota, outbound messages.

use std::collections::BTreeSet;
use std::time::Duration;

use cosell_sync::connect::crm::{ChangePage, Crm};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::{OutboundMessages, SandboxOptions};
use cosell_sync::connect::webhook::{Hint, Refused, WebhookSource};
use cosell_sync::domain::id::RecordKind;
use cosell_sync::domain::record::Record;
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, World, fields};

async fn page(world: &World, cursor: Option<&str>) -> Result<ChangePage, ConnectError> {
    world.client.changes(OPPORTUNITY, cursor, &world.shape()).await
}

/// Reads on until no page waits: records and deletions in the order given, and the cursor.
async fn drain(world: &World, cursor: Option<&str>) -> (Vec<Record>, Vec<String>, String) {
    let (mut changed, mut deleted) = (Vec::new(), Vec::new());
    let mut at = cursor.map(str::to_owned);
    loop {
        let page = page(world, at.as_deref()).await.expect("a page");
        changed.extend(page.changed);
        deleted.extend(page.deleted.iter().map(ToString::to_string));
        if !page.more {
            return (changed, deleted, page.cursor);
        }
        at = Some(page.cursor);
    }
}

#[tokio::test]
async fn rows_of_one_second_are_paged_without_gap_or_double() {
    let world = World::new(SandboxOptions::default(), |settings| settings.page_rows = 2).await;
    let seeded: BTreeSet<String> = (0..7).map(|_| world.seed(&json!({})).to_string()).collect();
    let (changed, _, cursor) = drain(&world, None).await;
    let ids: BTreeSet<String> = changed.iter().map(|record| record.key.id.to_string()).collect();
    assert_eq!(ids, seeded);
    assert_eq!(changed.len(), 7, "none twice");
    let (again, _, _) = drain(&world, Some(&cursor)).await;
    assert_eq!(again, [], "the overlap shows nothing twice");
}

#[tokio::test]
async fn pages_that_the_server_cuts_short_go_on_without_a_locator() {
    let options = SandboxOptions { page_size: 3, ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    let seeded: BTreeSet<String> = (0..8).map(|_| world.seed(&json!({})).to_string()).collect();
    let first = page(&world, None).await.expect("a page");
    assert!(first.more && first.changed.len() == 3);
    world.sandbox.make_cursors_stale();
    let (rest, _, _) = drain(&world, Some(&first.cursor)).await;
    let ids = first.changed.iter().chain(&rest).map(|record| record.key.id.to_string());
    assert_eq!(ids.collect::<BTreeSet<String>>(), seeded);
    assert_eq!(rest.len(), 5, "none twice");
}

#[tokio::test]
async fn a_second_change_in_one_second_is_seen() {
    let world = World::plain().await;
    let id = world.seed(&json!({ "Description": "first" }));
    let (_, _, cursor) = drain(&world, None).await;
    world.edit_as_person(&World::key(&id), fields(&json!({ "Description": "second" }))).await;
    let (changed, _, _) = drain(&world, Some(&cursor)).await;
    assert_eq!(changed.len(), 1, "same stamp, other words");
    assert_eq!(changed[0].fields["Description"], json!("second"));
}

#[tokio::test]
async fn only_our_rows_are_read_and_an_unticked_one_still_is() {
    let world = World::plain().await;
    world.seed(&json!({ "Sync_With_Partner_Center__c": false }));
    let linked = world.seed(&json!({ "Referral_Identifier__c": "r1" }));
    let (changed, _, cursor) = drain(&world, None).await;
    assert_eq!(changed.len(), 1, "the row that nobody shared is not ours");
    world.clock.advance(Duration::from_secs(5));
    let untick = fields(&json!({ "Sync_With_Partner_Center__c": false }));
    world.edit_as_person(&World::key(&linked), untick).await;
    let (changed, _, _) = drain(&world, Some(&cursor)).await;
    assert_eq!(changed[0].fields["Sync_With_Partner_Center__c"], json!(false));
}

#[tokio::test]
async fn a_deletion_is_told_from_the_bin_and_from_the_log() {
    let world = World::plain().await;
    let id = world.seed(&json!({ "Referral_Identifier__c": "r1" }));
    let (_, _, cursor) = drain(&world, None).await;
    world.delete_as_person(&World::key(&id)).await;
    let (_, deleted, cursor) = drain(&world, Some(&cursor)).await;
    assert_eq!(deleted, [id.to_string()]);
    world.clock.advance(Duration::from_secs(600));
    let (_, deleted, cursor) = drain(&world, Some(&cursor)).await;
    assert_eq!(deleted, [id.to_string()], "the log covers what the bin may have lost");
    world.clock.advance(Duration::from_secs(600));
    let (_, deleted, _) = drain(&world, Some(&cursor)).await;
    assert!(deleted.is_empty(), "told often enough");
}

#[tokio::test]
async fn a_quiet_poll_costs_one_call_and_once_a_minute_two() {
    let world = World::plain().await;
    world.seed(&json!({}));
    let (_, _, cursor) = drain(&world, None).await;
    world.clock.advance(Duration::from_secs(10));
    let before = world.client.calls();
    let (_, _, cursor) = drain(&world, Some(&cursor)).await;
    assert_eq!(world.client.calls() - before, 1);
    world.clock.advance(Duration::from_secs(60));
    let before = world.client.calls();
    drain(&world, Some(&cursor)).await;
    assert_eq!(world.client.calls() - before, 2);
}

#[tokio::test]
async fn a_lagging_log_is_read_again_from_where_it_ended() {
    let options =
        SandboxOptions { replication_lag: Duration::from_secs(300), ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    let id = world.seed(&json!({ "Referral_Identifier__c": "r1" }));
    world.clock.advance(Duration::from_secs(600));
    let (_, _, cursor) = drain(&world, None).await;
    world.delete_as_person(&World::key(&id)).await;
    let (_, _, cursor) = drain(&world, Some(&cursor)).await;
    world.clock.advance(Duration::from_secs(120));
    let (_, deleted, cursor) = drain(&world, Some(&cursor)).await;
    assert!(deleted.is_empty(), "the log does not cover it yet");
    world.clock.advance(Duration::from_secs(600));
    let (_, deleted, _) = drain(&world, Some(&cursor)).await;
    assert_eq!(deleted, [id.to_string()]);
}

#[tokio::test]
async fn a_trimmed_log_and_a_foreign_cursor_ask_for_a_full_comparison() {
    let world = World::plain().await;
    world.seed(&json!({}));
    let (_, _, cursor) = drain(&world, None).await;
    world.clock.advance(Duration::from_secs(6 * 3600));
    world.sandbox.trim_delete_log();
    let expired = page(&world, Some(&cursor)).await;
    assert!(matches!(expired, Err(ConnectError::CursorExpired)), "{expired:?}");
    let foreign = cursor.replace(&world.sandbox.organization_id(), "00D000000000999AAA");
    assert_ne!(foreign, cursor);
    let expired = page(&world, Some(&foreign)).await;
    assert!(matches!(expired, Err(ConnectError::CursorExpired)), "{expired:?}");
}

#[tokio::test]
async fn polling_stops_at_the_reserve_and_work_goes_on() {
    let options = SandboxOptions { daily_quota: 40, ..SandboxOptions::default() };
    let world = World::new(options, |settings| settings.hard_reserve = 0.1).await;
    let id = world.seed(&json!({}));
    let (_, _, cursor) = drain(&world, None).await;
    let throttled = loop {
        match page(&world, Some(&cursor)).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let quarter = Duration::from_secs(15 * 60);
    assert!(matches!(throttled, ConnectError::Throttled(wait) if wait == quarter), "{throttled:?}");
    assert_eq!(world.sandbox.request_log().api_calls, 32, "a fifth is left for people");
    world.read(&id).await;
    let throttled = loop {
        match world.client.fetch(OPPORTUNITY, &id, &world.shape()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(throttled, ConnectError::Throttled(_)), "{throttled:?}");
    assert_eq!(world.sandbox.request_log().api_calls, 36, "the hard reserve");
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.read(&id).await;
    assert!(page(&world, Some(&cursor)).await.is_ok(), "a new day");
}

#[tokio::test]
async fn a_spent_quota_closes_the_door_for_a_quarter_of_an_hour() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.read(&id).await;
    world.sandbox.set_quota(1);
    let spent = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    let quarter = Duration::from_secs(15 * 60);
    let Err(ConnectError::Throttled(wait)) = spent else { panic!("{spent:?}") };
    assert_eq!(wait, quarter);
    let before = world.sandbox.request_log().requests.len();
    world.clock.advance(Duration::from_secs(60));
    let closed = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(matches!(closed, Err(ConnectError::Throttled(_))), "{closed:?}");
    assert_eq!(world.sandbox.request_log().requests.len(), before, "nothing was sent");
}

#[tokio::test]
async fn outbound_messages_are_hints_from_our_organisation_only() {
    let world = World::plain().await;
    let id = world.seed(&json!({ "Name": "Contoso & <Fabrikam>" }));
    let body = sent_message(&world, id.as_str()).await;
    let delivery = world.client.accept(&[], None, &body.clone().into()).await.expect("accepted");
    let [Hint::Record { key, .. }] = delivery.hints.as_slice() else { panic!("{delivery:?}") };
    assert_eq!((key.kind, &key.id), (RecordKind::Opportunity, &id));
    assert!(delivery.answer.as_ref().is_some_and(|(_, body)| body.contains("<Ack>true</Ack>")));
    let replay = world.client.accept(&[], None, &body.clone().into()).await.expect("accepted");
    assert_eq!(replay, delivery);
    let own = world.sandbox.organization_id();
    let foreign = body.replace(&own, "00D000000000999AAA");
    assert_ne!(foreign, body);
    let refused = world.client.accept(&[], None, &foreign.into()).await;
    assert!(matches!(refused, Err(Refused::NotAuthentic(_))), "{refused:?}");
}

/// A message as the emulator sends it, caught by a listener of this test.
async fn sent_message(world: &World, id: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let mut messages = OutboundMessages::new(world.sandbox.clone(), &url, &["Name"]);
    messages.queue("Opportunity", id);
    let catch = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut caught = String::new();
        let mut buffer = [0; 4096];
        while !caught.contains("Envelope>") {
            let read = stream.read(&mut buffer).await.expect("bytes");
            assert_ne!(read, 0, "the whole message");
            caught.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await.expect("sent");
        caught
    };
    let (caught, _) = tokio::join!(catch, messages.deliver());
    let (_, body) = caught.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}
