//! The whole daemon: what sellers do reaches Partner Center by events, and without them all the same.

use cosell_sync::sync::feeds::Feed;
use serde_json::json;

use crate::support::{Setup, World, text};

/// Polls an hour apart: whatever arrives in time came by an event, or by a poll that an event asked for.
async fn world() -> World {
    let world = Setup::salesforce_only().set("salesforce.poll_secs", 3600).start().await;
    listening(&world).await;
    world
}

/// Waits until both streams have begun, so that nothing is told before they listen.
async fn listening(world: &World) {
    let open = |world: &World| world.sandbox.salesforce.subscriptions().len() >= 2;
    world.until_true("both streams are open", || open(world)).await;
    world.sandbox.salesforce.send_life_signs();
    world
        .until_true("both streams have begun", || {
            let listeners = &world.app().parts.listeners;
            listeners.len() == 2 && listeners.iter().all(|it| it.health().last_success.is_some())
        })
        .await;
    world.idle().await;
}

/// When the poll of opportunities was last at its end.
fn polled(world: &World) -> Option<cosell_sync::domain::time::Timestamp> {
    let opportunities = world.app().pollers.iter().find(|poller| {
        matches!(poller.feed(), Feed::Crm(_, cosell_sync::domain::id::RecordKind::Opportunity))
    });
    opportunities.and_then(|poller| poller.health().last_success)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_partner_center_by_an_event_alone() {
    let world = world().await;
    let id = world.accepted().await;
    let before = polled(&world);
    world.edit_sales(&id, json!({ "Amount": 91_000, "CloseDate": "2027-08-31" }));
    world.until_true("Partner Center has it", || world.agree(&id, 91_000.0, "2027-08-31")).await;
    world.idle().await;
    assert_eq!(polled(&world), before, "no poll was needed");
    assert!(world.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticked_box_shares_and_a_strangers_edit_costs_no_call() {
    let world = world().await;
    let key = world.draft_sales("Northwind rollout", json!({}));
    let other = world.draft_sales("Not for partners", json!({}));
    world.sandbox.salesforce.send_life_signs();
    let calls = || world.sandbox.salesforce.request_log().api_calls;
    let heard = |count: u64| {
        let listeners = world.app().parts.listeners.iter();
        listeners.map(|listener| listener.health().notices).sum::<u64>() >= count
    };
    let before = calls();
    world
        .sandbox
        .salesforce
        .edit_as_person("Opportunity", &other, &json!({ "Amount": 5 }))
        .expect("an edit");
    let share = json!({ "Sync_With_Partner_Center__c": true });
    world.sandbox.salesforce.edit_as_person("Opportunity", &key, &share).expect("an edit");
    world.until_true("the ticked box is heard", || heard(1)).await;
    world.until_true("it is shared", || world.shared_sales(&key).is_some()).await;
    world.idle().await;
    assert!(calls() > before);
    let asked = world.sandbox.salesforce.request_log();
    let about = |id: &str| asked.requests.iter().filter(|one| one.path.contains(id)).count();
    assert_eq!(about(&other), 0, "nobody asked about a record that is not shared");
    let notices: u64 =
        world.app().parts.listeners.iter().map(|listener| listener.health().notices).sum();
    assert_eq!(notices, 1, "one notice for one ticked box");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_goes_on_after_the_last_durable_event() {
    let world = world().await;
    let id = world.accepted().await;
    let before = polled(&world);
    world.sandbox.pubsub_serving.drop_streams();
    world.edit_sales(&id, json!({ "Amount": 92_000 }));
    let value = |amount: f64| {
        let referral = world.referral(&id);
        crate::support::number(&referral["details"]["dealValue"]) == Some(amount)
    };
    world.until_true("Partner Center has it", || value(92_000.0)).await;
    assert!(world.sandbox.salesforce.subscriptions().iter().any(|one| one.resumed));
    // Again and again, and a dead session beside it.
    for amount in [93_000, 94_000, 95_000] {
        world.sandbox.salesforce.expire_sessions();
        world.edit_sales(&id, json!({ "Amount": amount }));
        world.sandbox.pubsub_serving.drop_streams();
        world.until_true("Partner Center has it", || value(f64::from(amount))).await;
    }
    assert_eq!(polled(&world), before, "no poll was needed");
    world.idle().await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_outlives_the_daemon() {
    let mut world = world().await;
    let id = world.accepted().await;
    world.stop_daemon().await;
    world.edit_sales(&id, json!({ "Amount": 96_000 }));
    let opened = world.sandbox.salesforce.subscriptions().len();
    world.start_daemon().await;
    let resumed = || {
        let all = world.sandbox.salesforce.subscriptions();
        all.len() >= opened + 2 && all[opened..].iter().all(|one| one.resumed)
    };
    world.until_true("both streams go on where they were", resumed).await;
    let value = || {
        let referral = world.referral(&id);
        crate::support::number(&referral["details"]["dealValue"]) == Some(96_000.0)
    };
    world.until_true("Partner Center has it", value).await;
    world.idle().await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_events_hide_is_read_from_the_feed() {
    let world = world().await;
    let id = world.accepted().await;
    let key = text(&world.sales(&id).expect("the row")["Id"]).to_owned();
    let crm = &world.sandbox.salesforce;
    type Sign<'a> = (&'a str, i64, Box<dyn Fn() + Send + Sync + 'a>);
    let signs: [Sign<'_>; 4] = [
        (
            "a gap names the row",
            51_000,
            Box::new(|| crm.publish_gap("Opportunity", &[&key], "GAP_UPDATE")),
        ),
        ("an overflow names none", 52_000, Box::new(|| crm.publish_overflow("Opportunity"))),
        ("a wildcard", 53_000, Box::new(|| crm.publish_gap("Opportunity", &["006*"], "UPDATE"))),
        (
            "the place is lost",
            54_000,
            Box::new(|| {
                crm.expire_replay_ids();
                world.sandbox.pubsub_serving.drop_streams();
            }),
        ),
    ];
    for (what, amount, tell) in signs {
        crm.publish_changes(false);
        world.edit_sales(&id, json!({ "Amount": amount }));
        tell();
        #[allow(clippy::cast_precision_loss, reason = "a small amount")]
        let wanted = amount as f64;
        let value = || {
            let referral = world.referral(&id);
            crate::support::number(&referral["details"]["dealValue"]) == Some(wanted)
        };
        world.until_true(what, value).await;
        crm.publish_changes(true);
        world.idle().await;
    }
    // And the new stream tells again.
    listening(&world).await;
    world.edit_sales(&id, json!({ "CloseDate": "2027-09-30" }));
    world.until_true("by an event", || world.agree(&id, 54_000.0, "2027-09-30")).await;
    world.idle().await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_about_an_unknown_record_that_is_shared_is_found() {
    let world = world().await;
    let crm = &world.sandbox.salesforce;
    crm.publish_changes(false);
    let key = world.draft_sales("Fabrikam rollout", json!({ "Sync_With_Partner_Center__c": true }));
    crm.publish_gap("Opportunity", &[&key], "GAP_CREATE");
    crm.publish_changes(true);
    world.until_true("it is shared", || world.shared_sales(&key).is_some()).await;
    world.idle().await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_service_everything_arrives_by_polls_and_the_admin_is_told() {
    let setup = Setup::salesforce_only().set("salesforce.pubsub.url", "http://127.0.0.1:9");
    let world = setup.start().await;
    let id = world.accepted().await;
    world.edit_sales(&id, json!({ "Amount": 97_000, "CloseDate": "2027-10-31" }));
    world.until_true("by the poll", || world.agree(&id, 97_000.0, "2027-10-31")).await;
    let faults: Vec<_> =
        world.app().parts.listeners.iter().filter_map(|it| it.health().fault).collect();
    assert!(faults.iter().any(|fault| fault.contains("cannot be reached")), "{faults:?}");
    world.finish().await;
}
