//! Bursts: what waits at the same time goes together.

use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::domain::id::RecordId;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, World, fields};

/// 500 changes, 64 in work at a time, each a read and a conditional write.
#[tokio::test]
async fn five_hundred_changes_cost_few_calls() {
    let world = World::plain().await;
    let ids: Vec<RecordId> = (0..500).map(|_| world.seed(&json!({}))).collect();
    world.clock.advance(Duration::from_secs(5));
    world.read(&ids[0]).await;
    let before = world.client.calls();
    let done: Vec<_> = stream::iter(ids.iter().enumerate())
        .map(|(at, id)| {
            let world = &world;
            async move {
                let record = world.read(id).await;
                let change = fields(&json!({ "Description": format!("change {at}") }));
                world.client.update(&record, &record.version, &change, &world.shape()).await
            }
        })
        .buffered(64)
        .collect()
        .await;
    let calls = world.client.calls() - before;
    assert!(done.iter().all(Result::is_ok));
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(world.held(id)["Description"], json!(format!("change {at}")));
    }
    assert!(calls <= 100, "{calls} calls for 500 changes");
}

/// Each write of a shared call has its own condition and its own outcome.
#[tokio::test]
async fn one_bad_deal_in_a_shared_call_hurts_no_other() {
    let world = World::plain().await;
    let ids: Vec<RecordId> = (0..5).map(|_| world.seed(&json!({}))).collect();
    world.clock.advance(Duration::from_secs(5));
    let records = join_all(ids.iter().map(|id| world.read(id))).await;
    world.clock.advance(Duration::from_secs(5));
    world.edit_as_person(&World::key(&ids[1]), fields(&json!({ "Description": "theirs" }))).await;
    world.sandbox.lock_for_approval(ids[2].as_str());
    world.delete_as_person(&World::key(&ids[3])).await;
    let before = world.client.calls();
    let shape = world.shape();
    let outcomes = join_all(records.iter().map(|record| {
        let change = fields(&json!({ "Description": "ours" }));
        let (client, shape) = (&world.client, &shape);
        async move { client.update(record, &record.version, &change, shape).await }
    }))
    .await;
    assert!(world.client.calls() - before <= 2, "they went together");
    assert!(outcomes[0].is_ok() && outcomes[4].is_ok(), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(ConnectError::Stale)), "{:?}", outcomes[1]);
    assert!(matches!(outcomes[2], Err(ConnectError::Rejected(_))), "{:?}", outcomes[2]);
    assert!(matches!(outcomes[3], Err(ConnectError::NotFound(_))), "{:?}", outcomes[3]);
    assert_eq!(world.held(&ids[1])["Description"], json!("theirs"));
}

/// Creates of many referrals at once: one record each, together in few calls.
#[tokio::test]
async fn many_creates_go_together_and_none_is_doubled() {
    let world = World::plain().await;
    world.client.describe(OPPORTUNITY).await.expect("a schema");
    let referrals: Vec<String> =
        (0..60).map(|at| format!("11111111-2222-4333-8444-{at:012}")).collect();
    let shape = world.shape();
    let new = world.create_fields();
    let make = |referral: String| {
        let (client, shape, new) = (&world.client, &shape, &new);
        async move { client.create(OPPORTUNITY, &referral, new, shape).await }
    };
    let before = world.client.calls();
    let made = join_all(referrals.iter().cloned().map(make)).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let calls = world.client.calls() - before;
    assert!(calls <= 12, "{calls} calls for 60 creates");
    let again = join_all(referrals.iter().cloned().map(make)).await;
    assert!(again.iter().all(|one| matches!(one, Err(ConnectError::Exists(_)))), "{again:?}");
    assert_eq!(world.sandbox.rows("Opportunity").len(), 60);
}
