//! Systems that are down, throttle or refuse; credentials that die; events that get lost.

use std::time::Duration;

use cosell_sync::app;
use cosell_sync::config::Config;
use cosell_sync::connect::partner_center::sandbox::{DeliveryFaults, SignInFailure};
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::ReferralId;
use cosell_sync::sync::feeds::Feed;
use serde_json::json;

use crate::support::{Setup, World, number, text};

fn answer(status: u16, retry_after: Option<&str>) -> FaultEffect {
    FaultEffect::Answer {
        status,
        retry_after: retry_after.map(str::to_owned),
        content_type: "text/html".to_owned(),
        body: "<html>not now</html>".to_owned(),
    }
}

fn always(path: &str, effect: FaultEffect) -> Fault {
    Fault { method: None, path: path.to_owned(), skip: 0, times: u32::MAX, effect }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_crm_is_down_and_the_other_still_gets_everything() {
    let world = World::start().await;
    let known = world.accepted().await;
    world.sandbox.dynamics365.faults().add(always("/api/data/", answer(503, None)));
    let fresh = world.seed(json!({ "name": "While it was down" }));
    world.edit_as_microsoft(&known, json!({ "details": { "dealValue": 81_000 } }));
    world
        .until_true("the other CRM has both", || {
            let value = world.sales(&known).map(|row| number(&row["Amount"]));
            world.sales(&fresh).is_some() && value == Some(Some(81_000.0))
        })
        .await;
    world.edit_sales(&known, json!({ "CloseDate": "2027-08-31" }));
    world
        .until_true("the other CRM's edits reach Microsoft", || {
            let date = world.referral(&known)["details"]["closingDateTime"].clone();
            text(&date).starts_with("2027-08-31")
        })
        .await;
    assert!(world.dynamics(&fresh).is_none());
    world.sandbox.dynamics365.faults().clear();
    world.until_true("the backlog drains", || world.dynamics(&fresh).is_some()).await;
    world.until_true("and agrees", || world.agree(&known, 81_000.0, "2027-08-31")).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_break_off_for_a_while() {
    let world = Setup::salesforce_only().start().await;
    let breaking = Fault { times: 4, ..always("/services/data/", FaultEffect::Drop) };
    world.sandbox.salesforce.faults().add(breaking);
    let breaking = Fault { times: 3, ..always("/engagements/referrals", FaultEffect::Drop) };
    world.sandbox.partner_center.faults().add(breaking);
    let id = world.seed(json!({}));
    world.arrived(&id).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_call_is_repeated_after_the_named_wait() {
    let world = World::start().await;
    world.sandbox.partner_center.throttle("/engagements/referrals", 1, Duration::from_secs(2));
    let slow = Fault { times: 1, ..always("/api/data/", answer(429, Some("2"))) };
    world.sandbox.dynamics365.faults().add(slow);
    let id = world.seed(json!({}));
    world.arrived(&id).await;
    let retried = world.trail(Some(AuditKind::Retried)).await;
    assert!(retried.is_empty(), "throttling uses up no try: {retried:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_to_the_seller_and_ends_when_the_value_is_right() {
    let world = World::start().await;
    let id = world.accepted().await;
    let key = text(&world.sales(&id).expect("a row")["Id"]).to_owned();
    world.sandbox.salesforce.add_validation_rule("Opportunity", |row| {
        let amount = row.get("Amount").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        let discount = row.get("NextStep").and_then(serde_json::Value::as_str) == Some("approved");
        (amount > 100_000.0 && !discount)
            .then(|| ("Deals above 100,000 need an approval.".to_owned(), "Amount".to_owned()))
    });
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 150_000 } }));
    world.until_said(AuditKind::Refused, "Deals above 100,000 need an approval.").await;
    assert!(world.letters().await.is_empty(), "only the field rests");
    world
        .until_true("the seller reads it", || {
            world.sales_audit(&key).contains("Deals above 100,000 need an approval.")
        })
        .await;
    let other_has_it =
        || world.dynamics(&id).is_some_and(|row| number(&row["estimatedvalue"]) == Some(150_000.0));
    world.until_true("the other CRM is not held", other_has_it).await;
    world.silence().await;
    world.edit_sales(&id, json!({ "NextStep": "approved" }));
    world.until_true("released by itself", || world.agree(&id, 150_000.0, "2027-03-31")).await;
    world.finish().await;
}

/// Whoever discards what is held makes the deal no better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deal_whose_dead_letter_was_discarded_still_needs_a_person() {
    let world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    let alerts = async || world.ask("/status").await["alerts"].to_string();
    world.sandbox.salesforce.add_validation_rule("Opportunity", |row| {
        let amount = row.get("Amount").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        (amount > 100_000.0).then(|| ("Not this year.".to_owned(), String::new()))
    });
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 150_000 } }));
    world.until_held("Not this year.").await;
    assert!(!alerts().await.contains("discarded"), "it is told as held");
    world.idle().await;
    for letter in world.letters().await {
        let path = format!("/dead-letters/{}/discard", letter.notice.id);
        assert_eq!(world.admin(&path, json!({})).await, 200);
    }
    let told = alerts().await;
    assert!(told.contains("1 deals are not in step since a dead letter was discarded"), "{told}");
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 90_000 } }));
    world.until_true("a later change repairs it", || world.agree_on_value(&id, 90_000.0)).await;
    world.idle().await;
    assert!(!alerts().await.contains("discarded"));
    world.finish().await;
}

/// A dead letter that is to be tried again is not a discarded one, although its hold stays until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deal_that_is_tried_again_is_not_told_as_discarded() {
    let mut world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    world.sandbox.salesforce.add_validation_rule("Opportunity", |row| {
        let amount = row.get("Amount").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        (amount > 100_000.0).then(|| ("Not this year.".to_owned(), String::new()))
    });
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 150_000 } }));
    world.until_held("Not this year.").await;
    world.idle().await;
    let letters = world.letters().await;
    world.stop_daemon().await;
    let file = world.folder.path().join("cosell-sync.toml");
    let config = Config::load(&file, std::iter::empty()).expect("a valid configuration");
    let store = app::open_store(&config).await.expect("the store opens");
    let parts = app::Parts::build(&config, app::surroundings(store), false).await;
    let routes = app::InProcess::new(&parts.expect("good parts").into());
    for letter in letters {
        let path = format!("dead-letters/{}/retry", letter.notice.id);
        let (status, _) = routes.ask("POST", &path, Some(&json!({}))).await.expect("an answer");
        assert_eq!(status, 200);
    }
    let (_, told) = routes.ask("GET", "status", None).await.expect("an answer");
    let told = String::from_utf8_lossy(&told);
    assert!(!told.contains("discarded"), "{told}");
    let deals = routes.ask("GET", "deals?held=true", None).await.expect("an answer").1;
    let held: serde_json::Value = serde_json::from_slice(&deals).expect("JSON");
    assert_eq!(held["items"].as_array().map(Vec::len), Some(1), "the hold is still there: {held}");
    drop(routes);
    world.start_daemon().await;
    world.until_held("Not this year.").await;
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 90_000 } }));
    world.until_true("a later change repairs it", || world.agree_on_value(&id, 90_000.0)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_consent_stops_the_work_and_a_new_one_catches_up() {
    let world = World::start().await;
    let id = world.accepted().await;
    world.sandbox.partner_center.revoke_refresh_tokens(SignInFailure::Revoked);
    world.sandbox.partner_center.forget_access_tokens();
    world.edit_as_microsoft(
        &id,
        json!({ "details": { "closingDateTime": "2027-09-30T00:00:00Z" } }),
    );
    world.edit_dynamics(&id, json!({ "estimatedvalue": 91_000 }));
    let account = &world.app().accounts[0];
    let why = world.until("the reason is visible", || account.breaker.refusal()).await;
    assert!(why.contains("login"), "it names the way out: {why}");
    let feed = |world: &World| {
        let pollers = &world.app().pollers;
        let feed = pollers.iter().find(|poller| poller.feed() == Feed::PartnerCenter);
        feed.and_then(|poller| poller.health().fault)
    };
    world.until("the feed says so too", || feed(&world)).await;
    let status = world.ask("/status").await;
    let alerts = status["alerts"].to_string();
    assert!(alerts.contains("revoked") && alerts.contains("cosell-sync login"), "{status}");
    assert_eq!(status["accounts"][0]["systems"][0]["state"], "refused", "{status}");
    let writes = world.sandbox.partner_center.write_count();
    world.two_crm_polls().await;
    assert_eq!(world.sandbox.partner_center.write_count(), writes);
    assert!(world.letters().await.is_empty(), "credentials hold no deal");

    let token = world.sandbox.partner_center.refresh_token();
    let kept = world.admin("/login", json!({ "account": "contoso", "refresh_token": token })).await;
    assert!((200..300).contains(&kept), "the new consent is kept: {kept}");
    world.until_true("nothing was lost", || world.agree(&id, 91_000.0, "2027-09-30")).await;
    let status = world.ask("/status").await;
    assert_eq!(status["accounts"][0]["systems"][0]["state"], "ok", "{status}");
    assert!(!status["alerts"].to_string().contains("refuses"), "{status}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_used_without_a_restart_and_a_bad_one_never() {
    let world = World::start().await;
    let id = world.accepted().await;
    let file = world.folder.path().join("secrets/partner-center");
    let old = std::fs::read_to_string(&file).expect("the secret");
    std::fs::write(&file, "mistyped").expect("written");
    let told = world.until_said(AuditKind::Alerted, "The new client_secret").await.entry.summary;
    assert!(told.contains("is not used") && told.contains("wrong"), "the reason: {told}");
    assert!(!told.contains("mistyped") && !told.contains(&old), "no secret: {told}");
    let status = world.ask("/status").await;
    assert!(status["alerts"].to_string().contains("is not used"), "{status}");
    world.edit_dynamics(&id, json!({ "estimatedvalue": 71_000 }));
    world.until_true("work goes on", || world.agree(&id, 71_000.0, "2027-03-31")).await;

    // The old secret ends at Entra; every token is gone.
    world.sandbox.partner_center.set_options(|options| options.client_secret = "fresh".to_owned());
    world.sandbox.partner_center.forget_access_tokens();
    world.edit_dynamics(&id, json!({ "estimatedvalue": 72_000 }));
    let account = &world.app().accounts[0];
    world.until("the reason is visible", || account.breaker.refusal()).await;
    std::fs::write(&file, "fresh\n").expect("written");
    world.until_said(AuditKind::Configured, "The client_secret of Partner Center was").await;
    world.until_true("nothing was lost", || world.agree(&id, 72_000.0, "2027-03-31")).await;
    assert!(world.letters().await.is_empty(), "credentials hold no deal");
    let status = world.ask("/status").await;
    assert!(!status["alerts"].to_string().contains("client_secret"), "it is over: {status}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_go_to_another_tool_are_recovered_by_the_list_and_the_theft_is_told() {
    let world = Setup::new().with_public_address().reconcile_secs(2).start().await;
    world.accepted().await;
    let other = json!({
        "WebhookUrl": "http://127.0.0.1:9/other-tool", "WebhookEvents": ["referral-created"],
    });
    world.sandbox.partner_center.set_slot(&other).expect("another tool may");
    let entry = world.until_said(AuditKind::Alerted, "The webhook registration points to").await;
    assert!(entry.entry.summary.contains("other-tool"), "{}", entry.entry.summary);
    let status = world.ask("/status").await;
    assert!(status["alerts"].to_string().contains("other-tool"), "{status}");
    let id = world.seed(json!({ "name": "Nobody told us" }));
    world.arrived(&id).await;
    let slot = world.sandbox.partner_center.slot().expect("a registration");
    assert!(slot["WebhookUrl"].to_string().contains("other-tool"), "never taken over unasked");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_doubled_and_reordered_events_come_to_the_same_end() {
    let table = [
        (DeliveryFaults { duplicate: true, ..DeliveryFaults::default() }, "twice"),
        (DeliveryFaults { reorder: true, ..DeliveryFaults::default() }, "in reverse"),
        (DeliveryFaults { drop_next: 3, ..DeliveryFaults::default() }, "the first three are lost"),
        (DeliveryFaults { wrong_signature: true, ..DeliveryFaults::default() }, "never genuine"),
    ];
    let tries = table.map(async |(faults, why)| {
        let world = Setup::new()
            .reconcile_secs(2)
            .prepare(move |sandbox| sandbox.partner_center.set_delivery_faults(faults))
            .start()
            .await;
        let ids: Vec<ReferralId> =
            (0..3).map(|number| world.seed(json!({ "name": format!("Deal {number}") }))).collect();
        for (value, id) in ids.iter().enumerate() {
            let value = 10_000 + value;
            world.edit_as_microsoft(id, json!({ "details": { "dealValue": value } }));
            world.edit_as_microsoft(id, json!({ "status": "Active", "substatus": "Accepted" }));
        }
        for (value, id) in ids.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "a small number")]
            let value = (10_000 + value) as f64;
            world.until_true(why, || world.agree(id, value, "2027-03-31")).await;
            world.until_true(why, || world.stage(id, "active")).await;
        }
        world.finish().await;
    });
    futures_util::future::join_all(tries).await;
}
