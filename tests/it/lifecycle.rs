//! Every row of the lifecycle, with each CRM alone and with both.

use std::time::Duration;

use cosell_sync::domain::id::ReferralId;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Setup, World, text};

/// Plays a story with each CRM alone and with both, side by side.
async fn in_each<F: Future<Output = ()>>(story: impl Fn(World) -> F) {
    let setups = [Setup::dynamics_only(), Setup::salesforce_only(), Setup::new()];
    join_all(setups.map(async |setup| story(setup.start().await).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_in_the_crm_then_won_at_microsoft() {
    in_each(|world| async move {
        let id = world.arrival(json!({ "details": { "dealValue": 40_000 } })).await;
        assert!(world.stage(&id, "on_hold"), "an unanswered deal is on hold");
        accept_in_crm(&world, &id);
        world.until_true("accepted", || world.state(&id) == "Active/Accepted").await;
        world
            .until_true("value and date travel along", || {
                world.agree(&id, 45_000.0, "2027-02-28") && world.stage(&id, "active")
            })
            .await;
        world.edit_as_microsoft(&id, json!({ "status": "Closed", "substatus": "Won" }));
        world.until_true("won in the CRM", || world.stage(&id, "won")).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_in_the_portal_then_won_in_the_crm() {
    in_each(|world| async move {
        let id = world.accepted().await;
        win_in_crm(&world, &id);
        world.until_true("won", || world.state(&id) == "Closed/Won").await;
        world.until_true("won in every CRM", || world.stage(&id, "won")).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_both_ways_with_the_reason() {
    in_each(|world| async move {
        let first = world.accepted().await;
        let second = world.accepted().await;
        lose_in_crm(&world, &first);
        world.until_true("lost", || world.state(&first) == "Closed/Lost").await;
        let lost = json!({ "status": "Closed", "substatus": "Lost", "statusReason": "No budget" });
        world.edit_as_microsoft(&second, lost);
        world
            .until_true("lost in every CRM", || {
                world.stage(&first, "lost") && world.stage(&second, "lost")
            })
            .await;
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_from_the_crm_and_from_the_portal() {
    in_each(|world| async move {
        let first = world.arrival(json!({})).await;
        let second = world.arrival(json!({ "name": "Second deal" })).await;
        lose_in_crm(&world, &first);
        world.until_true("declined", || world.state(&first) == "Closed/Declined").await;
        world.edit_as_microsoft(&second, json!({ "status": "Closed", "substatus": "Declined" }));
        world
            .until_true("closed in every CRM", || {
                world.stage(&first, "lost") && world.stage(&second, "lost")
            })
            .await;
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_for_fourteen_days() {
    let world = World::start().await;
    let id = world.arrival(json!({})).await;
    world.sandbox.clock.advance(Duration::from_secs(15 * 86_400));
    world.sandbox.partner_center.tick();
    assert_eq!(world.state(&id), "Closed/Expired", "the emulator lets it expire");
    world.until_true("closed in every CRM", || world.stage(&id, "lost")).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn won_while_still_new_is_accepted_first() {
    in_each(|world| async move {
        let id = world.arrival(json!({})).await;
        win_in_crm(&world, &id);
        world.until_true("won", || world.state(&id) == "Closed/Won").await;
        world.until_true("won in every CRM", || world.stage(&id, "won")).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_at_microsoft_stays_ended() {
    let world = World::start().await;
    let id = world.accepted().await;
    world.edit_as_microsoft(&id, json!({ "status": "Closed", "substatus": "Won" }));
    world.until_true("won in every CRM", || world.stage(&id, "won")).await;
    world.silence().await;
    let before = world.referral(&id);
    world.edit_sales(&id, json!({ "Amount": 1_000 }));
    let key = text(&world.sales(&id).expect("a row")["Id"]).to_owned();
    world.until_true("the seller reads why", || world.sales_audit(&key).contains("not sent")).await;
    world.silence().await;
    world.edit_sales(&id, json!({ "Amount": 2_000 }));
    world.silence().await;
    assert_eq!(world.sales_audit(&key).matches("not sent").count(), 1, "said once");
    assert_eq!(world.referral(&id), before);
    world.finish().await;
}

fn accept_in_crm(world: &World, id: &ReferralId) {
    if world.dynamics(id).is_some() {
        let edit = json!({
            "statuscode": 1, "estimatedvalue": 45_000, "estimatedclosedate": "2027-02-28",
        });
        world.edit_dynamics(id, edit);
    } else {
        let edit = json!({
            "StageName": "Needs Analysis", "Amount": 45_000, "CloseDate": "2027-02-28",
        });
        world.edit_sales(id, edit);
    }
}

fn win_in_crm(world: &World, id: &ReferralId) {
    match world.dynamics(id) {
        Some(row) => {
            let key = text(&row["opportunityid"]);
            world.sandbox.dynamics365.win_as_person(key).expect("the seller may");
        }
        None => world.edit_sales(id, json!({ "StageName": "Closed Won" })),
    }
}

fn lose_in_crm(world: &World, id: &ReferralId) {
    match world.dynamics(id) {
        Some(row) => {
            let key = text(&row["opportunityid"]);
            world.sandbox.dynamics365.lose_as_person(key).expect("the seller may");
        }
        None => world.edit_sales(id, json!({ "StageName": "Closed Lost" })),
    }
}
