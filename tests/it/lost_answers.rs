//! Every write of every system, with its answer lost after it was carried out.

use std::time::Duration;

use cosell_sync::connect::sandbox::{Fault, FaultEffect, Faults};
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::sandbox::Sandbox;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

/// Writes of one life of a deal to one system, at most.
const MOST_WRITES: u32 = 12;

/// Where a fault hits.
#[derive(Clone, Copy)]
struct Place {
    faults: fn(&Sandbox) -> Faults,
    method: &'static str,
    path: &'static str,
}

const PARTNER_CENTER: Place = Place {
    faults: |sandbox| sandbox.partner_center.faults(),
    method: "PATCH",
    path: "/engagements/referrals",
};
const DYNAMICS_POST: Place =
    Place { faults: |sandbox| sandbox.dynamics365.faults(), method: "POST", path: "/api/data/" };
const DYNAMICS_PATCH: Place = Place { method: "PATCH", ..DYNAMICS_POST };
const SALES_POST: Place = Place {
    faults: |sandbox| sandbox.salesforce.faults(),
    method: "POST",
    path: "/services/data/",
};
const SALES_PATCH: Place = Place { method: "PATCH", ..SALES_POST };

fn fault(place: Place, skip: u32, effect: FaultEffect) -> Fault {
    Fault {
        method: Some(place.method.to_owned()),
        path: place.path.to_owned(),
        skip,
        times: 1,
        effect,
    }
}

/// Plays the life of a deal once for each write to a place, with the answer of that write lost.
/// Returns how many writes were hit.
async fn with_each_answer_lost(setup: fn() -> Setup, place: Place) -> usize {
    let lives = (0..MOST_WRITES).map(async |skip| {
        let effect = FaultEffect::ApplyThenDrop;
        let world = setup()
            .prepare(move |sandbox| (place.faults)(sandbox).add(fault(place, skip, effect)))
            .start()
            .await;
        live(&world).await;
        let hit = (place.faults)(&world.sandbox).waiting() == 0;
        every_write_can_be_looked_up(&world, hit && place.path == PARTNER_CENTER.path).await;
        world.finish().await;
        hit
    });
    join_all(lives).await.into_iter().filter(|hit| *hit).count()
}

/// Every write at Partner Center, also one whose answer was `lost`, left the ids that support asks
/// for.
async fn every_write_can_be_looked_up(world: &World, lost: bool) {
    let has_ids = |entry: &cosell_sync::domain::audit::AuditEntry| {
        let ids = &entry.entry.request_ids;
        ids.iter().any(|id| id.starts_with("correlation:")) && ids.len() >= 2
    };
    let wrote = world.trail(Some(AuditKind::Wrote)).await;
    let mut wrote = wrote.iter().filter(|entry| {
        entry.entry.actor == "partner_center" && entry.entry.summary.starts_with("Wrote ")
    });
    assert!(wrote.clone().count() > 0, "something was written");
    // What was found to have landed is told without a call of its own.
    let told = wrote.any(has_ids);
    assert!(told, "the ids of a write: {wrote:?}");
    let retried = world.trail(Some(AuditKind::Retried)).await;
    assert!(!lost || retried.iter().any(has_ids), "the ids of the lost one: {retried:?}");
}

/// A deal arrives, is accepted in the CRM, changes on both sides and is won at Microsoft; another is
/// lost in the CRM.
async fn live(world: &World) {
    let id = world.seed(json!({ "details": { "dealValue": 10_000 } }));
    let other = world.seed(json!({ "name": "The other deal" }));
    world.arrived(&id).await;
    world.arrived(&other).await;
    if world.dynamics(&id).is_some() {
        world.edit_dynamics(&id, json!({ "statuscode": 1, "estimatedvalue": 20_000 }));
    } else {
        world.edit_sales(&id, json!({ "StageName": "Qualification", "Amount": 20_000 }));
    }
    world.until_true("accepted", || world.state(&id) == "Active/Accepted").await;
    world.edit_as_microsoft(
        &id,
        json!({ "details": { "closingDateTime": "2027-06-30T00:00:00Z" } }),
    );
    world.until_true("both edits survive", || world.agree(&id, 20_000.0, "2027-06-30")).await;
    world.edit_as_microsoft(&id, json!({ "status": "Closed", "substatus": "Won" }));
    match world.dynamics(&other) {
        Some(row) => {
            let key = text(&row["opportunityid"]).to_owned();
            world.sandbox.dynamics365.lose_as_person(&key).expect("the seller may");
        }
        None => world.edit_sales(&other, json!({ "StageName": "Closed Lost" })),
    }
    world.until_true("won in the CRM", || world.stage(&id, "won")).await;
    world.until_true("declined", || world.state(&other) == "Closed/Declined").await;
    world.until_true("closed in the CRM", || world.stage(&other, "lost")).await;
    assert_eq!(world.state(&id), "Closed/Won");
    world.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_dynamics_is_lost_once() {
    let hit = with_each_answer_lost(Setup::dynamics_only, DYNAMICS_POST).await
        + with_each_answer_lost(Setup::dynamics_only, DYNAMICS_PATCH).await;
    assert!(hit >= 6, "only {hit} writes were hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_salesforce_is_lost_once() {
    let hit = with_each_answer_lost(Setup::salesforce_only, SALES_POST).await
        + with_each_answer_lost(Setup::salesforce_only, SALES_PATCH).await;
    assert!(hit >= 5, "only {hit} writes were hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_partner_center_is_lost_once() {
    let hit = with_each_answer_lost(Setup::dynamics_only, PARTNER_CENTER).await;
    assert!(hit >= 4, "only {hit} writes were hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_co_sell_deal_is_created_once_whatever_is_lost() {
    let post = Place { method: "POST", path: "/engagements/referrals", ..PARTNER_CENTER };
    let broken = || FaultEffect::Answer {
        status: 503,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: "<html>down</html>".to_owned(),
    };
    let table: Vec<(u32, FaultEffect, &str)> = vec![
        (0, FaultEffect::ApplyThenDrop, "the answer to our own referral is lost"),
        (1, FaultEffect::ApplyThenDrop, "the answer to Microsoft's referral is lost"),
        (0, broken(), "our own referral was not even looked at"),
        (1, broken(), "Microsoft's referral was not even looked at"),
        (0, FaultEffect::Drop, "the connection broke before our own referral"),
        (1, FaultEffect::Drop, "the connection broke before Microsoft's referral"),
    ];
    let tries = table.into_iter().map(async |(skip, effect, why)| {
        let world = World::start().await;
        world.sandbox.partner_center.faults().add(fault(post, skip, effect));
        let help =
            json!({ "pc_syncwithpartnercenter": true, "pc_howcanmicrosofthelp": 727_000_003 });
        let key = world.draft_dynamics("Fabrikam analytics", help);
        let id = world.until(why, || world.shared_dynamics(&key)).await;
        world.until_true(why, || world.microsofts(&id).len() == 1).await;
        world.until_true(why, || world.sales(&id).is_some()).await;
        world.silence().await;
        assert_eq!(world.sandbox.partner_center.faults().waiting(), 0, "{why}");
        let all: Vec<Json> = world.sandbox.partner_center.referrals();
        assert_eq!(all.len(), 2, "one of ours and one of Microsoft's: {why}");
        world.finish().await;
    });
    tokio::time::timeout(Duration::from_secs(170), join_all(tries)).await.expect("in time");
}
