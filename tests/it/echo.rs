//! Echo silence: after everybody agrees, ten minutes of polls write nothing to any system.

use std::time::Duration;

use serde_json::json;

use crate::support::{Setup, World};

/// The feeds are read every thirty seconds of the daemon's clock.
const POLLS: usize = 20;
const BETWEEN: Duration = Duration::from_secs(30);

/// Deals of both kinds, begun by either side, edited on each and one of them ended.
async fn lively(world: &World, dynamics: bool, salesforce: bool) {
    world.arrival(json!({ "name": "Waits for an answer" })).await;
    let lead = json!({ "type": "Independent", "qualification": "MarketingQualified" });
    world.seed(lead);
    let deal = world.accepted().await;
    let over = world.accepted().await;
    world.edit_as_microsoft(&over, json!({ "status": "Closed", "substatus": "Won" }));
    world.until_true("won everywhere", || world.stage(&over, "won")).await;
    world.edit_as_microsoft(&deal, json!({ "details": { "dealValue": 51_000 } }));
    world.until_true("Microsoft's value", || world.agree_on_value(&deal, 51_000.0)).await;
    if dynamics {
        world.edit_dynamics(&deal, json!({ "estimatedvalue": 52_000 }));
        world.until_true("one seller's value", || world.agree_on_value(&deal, 52_000.0)).await;
        let ticked = json!({ "pc_syncwithpartnercenter": true });
        let key = world.draft_dynamics("Fabrikam analytics", ticked);
        let id = world.until("shared", || world.shared_dynamics(&key)).await;
        world.arrived(&id).await;
    }
    if salesforce {
        world.edit_sales(&deal, json!({ "Amount": 53_000 }));
        world.until_true("another's value", || world.agree_on_value(&deal, 53_000.0)).await;
        let ticked = json!({ "Sync_With_Partner_Center__c": true });
        let key = world.draft_sales("Fabrikam warehouse", ticked);
        let id = world.until("shared", || world.shared_sales(&key)).await;
        world.arrived(&id).await;
    }
}

async fn ten_minutes(setup: Setup, dynamics: bool, salesforce: bool) {
    let world = setup.on_the_sandbox_clock().start().await;
    lively(&world, dynamics, salesforce).await;
    world.silence().await;
    let before = world.writes();
    assert_eq!((before.1 > 0, before.2 > 0), (dynamics, salesforce), "{before:?}");
    let began = world.app().around.clock.now();
    for _ in 0..POLLS {
        world.sandbox.clock.advance(BETWEEN);
        world.another_poll().await;
        world.idle().await;
    }
    assert!(world.app().around.clock.now().since(began) >= Duration::from_secs(600));
    assert_eq!(world.writes(), before, "nobody is written to in the silence");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_of_polls_write_nothing_anywhere() {
    let alone = ten_minutes(Setup::dynamics_only(), true, false);
    let other = ten_minutes(Setup::salesforce_only(), false, true);
    tokio::join!(alone, other, ten_minutes(Setup::new(), true, true));
}
