//! What only Dynamics 365 has: webhooks that the daemon registers itself, and estimates that are
//! calculated from lines.

use cosell_sync::connect::dynamics365::sandbox::{Throttle, throttled};
use cosell_sync::connect::sandbox::Fault;
use serde_json::json;
use std::time::Duration;

use crate::support::{Setup, World, number, text};

/// A long text: with it the body of a delivery is longer than other systems may send.
const LONG: usize = 2000;

/// A daemon that hears of changes by webhooks alone, which it has registered itself.
async fn by_webhook_alone(change: fn(Setup) -> Setup) -> World {
    let setup = Setup::dynamics_only().with_public_address().set("dynamics365.poll_secs", 86_400);
    let world = change(setup).start().await;
    assert_eq!(world.admin("/provision", json!({ "apply": true })).await, 200);
    world
}

/// Any number of webhooks about one deal that came while Dynamics 365 had no time are one try: sixty
/// cost no more reads than one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_webhooks_costs_the_reads_of_one() {
    const PAUSE: u32 = 600;
    // A try and the look behind its write, and looks at the echoes of what it sent.
    const MOST_READS: usize = 6;
    let mut world = by_webhook_alone(Setup::on_the_sandbox_clock).await;
    let crm = world.sandbox.dynamics365.clone();
    let id = world.accepted().await;
    let key = text(&world.dynamics(&id).expect("a row")["opportunityid"]).to_owned();
    let row = format!("opportunities({key})");
    for (edits, start) in [(1, 91_000), (60, 92_000)] {
        world.idle().await;
        // What our own writes set off is not part of the count.
        crm.lose_deliveries();
        let edit = |value: u32| world.edit_dynamics(&id, json!({ "estimatedvalue": value }));
        crm.faults().add(Fault::once("GET", &row, throttled(Throttle::Requests, PAUSE)));
        edit(start);
        assert_eq!(crm.deliver().await, 1);
        world.until_true("Dynamics 365 asks to wait", || crm.faults().waiting() == 0).await;
        crm.clear_request_log();
        (1..=edits).for_each(|step| edit(start + step));
        assert_eq!(crm.deliver().await, edits as usize, "all are taken in the pause");
        world.sandbox.clock.advance(Duration::from_secs(u64::from(PAUSE) + 1));
        let last = f64::from(start + edits);
        let value = || number(&world.referral(&id)["details"]["dealValue"]);
        world.until_true("the last edit is sent on", || value() == Some(last)).await;
        world.idle().await;
        let log = crm.request_log();
        let reads = log.iter().filter(|it| it.method == "GET" && it.path.contains(&row)).count();
        assert!((1..=MOST_READS).contains(&reads), "{reads} reads for {edits} webhooks");
    }
    world.check_and_stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sellers_edits_arrive_by_webhook_alone() {
    let mut world = by_webhook_alone(|setup| setup).await;
    let crm = world.sandbox.dynamics365.clone();
    assert_eq!(crm.rows("serviceendpoint").len(), 1, "opportunity and lead share the endpoint");
    assert_eq!(crm.rows("sdkmessageprocessingstep").len(), 6);
    let deliveries = crm.deliver_in_background();

    let id = world.accepted().await;
    let value = |world: &World| number(&world.referral(&id)["details"]["dealValue"]);
    world.edit_dynamics(&id, json!({ "estimatedvalue": 91_000 }));
    world.until_true("the edit is sent on", || value(&world) == Some(91_000.0)).await;

    // A burst, with bodies that are stripped.
    crm.configure(|options| options.webhook_body_limit = LONG);
    for step in 1..=20 {
        let description = format!("{step}").repeat(LONG / 2);
        let fields = json!({ "description": description, "estimatedvalue": 92_000 + step });
        world.edit_dynamics(&id, fields);
    }
    world.until_true("the last edit is sent on", || value(&world) == Some(92_020.0)).await;
    world.idle().await;
    assert_eq!(crm.rows("asyncoperation").len(), 0, "every delivery was taken");

    // What nobody delivered is found by the feed.
    drop(deliveries);
    world.edit_dynamics(&id, json!({ "estimatedvalue": 95_000 }));
    crm.lose_deliveries();
    world.stop_daemon().await;
    world.change_setting("dynamics365.poll_secs", 1);
    world.start_daemon().await;
    world.until_true("the lost edit is found", || value(&world) == Some(95_000.0)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calculated_estimate_is_sent_and_never_fought_over() {
    let world = Setup::dynamics_only().start().await;
    let id = world.accepted().await;
    let key = text(&world.dynamics(&id).expect("a row")["opportunityid"]).to_owned();
    world.edit_dynamics(&id, json!({ "isrevenuesystemcalculated": true }));
    let line = json!({
        "opportunityid@odata.bind": format!("/opportunities({key})"), "isproductoverridden": true,
        "productdescription": "Migration", "quantity": 2, "priceperunit": 20_500,
    });
    let crm = &world.sandbox.dynamics365;
    crm.create_as_person("opportunityproduct", &line).expect("the seller may");
    let value = || number(&world.referral(&id)["details"]["dealValue"]);
    world.until_true("the total is sent on", || value() == Some(41_000.0)).await;
    world.idle().await;

    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 70_000 } }));
    let told = || world.dynamics_audit(&key).matches("your CRM keeps 41,000").count();
    world.until_true("the seller is told", || told() > 0).await;
    world.silence().await;
    assert_eq!((told(), value()), (1, Some(70_000.0)), "once, and both sides rest");
    let row = world.dynamics(&id).expect("a row");
    assert_eq!(number(&row["estimatedvalue"]), Some(41_000.0));
    world.finish().await;
}
