//! What changes cost in calls to Salesforce, at rest and in a burst. Counted, never timed.

use crate::support::{Setup, Side};

#[expect(clippy::print_stdout, reason = "the figures are shown with `--nocapture`")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_rest_costs_two_calls() {
    let mut world = Setup::salesforce_only().ordinary_polls().start().await;
    let deals = world.arrivals(1).await;
    for (side, value) in [
        (Side::PartnerCenter, 81_000.0),
        (Side::Salesforce, 82_000.0),
        (Side::PartnerCenter, 83_000.0),
        (Side::PartnerCenter, 84_000.0),
        (Side::Salesforce, 85_000.0),
        (Side::Salesforce, 86_000.0),
    ] {
        let measured = world.burst(side, &deals, value).await;
        println!("at rest, {side:?}: {measured}");
        assert!(measured.salesforce_calls_beside_polls() <= 2.0, "{side:?}: {measured}");
    }
    world.check_and_stop().await;
}

#[expect(clippy::print_stdout, reason = "the figures are shown with `--nocapture`")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_five_hundred_changes_costs_a_fifth_of_a_call_each() {
    let mut world = Setup::salesforce_only().ordinary_polls().start().await;
    let deals = world.arrivals(500).await;
    for (side, value) in [(Side::PartnerCenter, 81_000.0), (Side::Salesforce, 82_000.0)] {
        let measured = world.burst(side, &deals, value).await;
        println!("burst, {side:?}: {measured}");
        assert!(measured.salesforce_calls_per_change() <= 0.2, "{side:?}: {measured}");
    }
    world.check_and_stop().await;
}
