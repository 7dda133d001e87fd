//! The whole program on real sled between the emulators, over real HTTP: how fast a burst of changes
//! goes through, how long one takes, and how many calls each costs. Both ways, Salesforce only.
//!
//! `cargo bench --bench burst` takes a few minutes, because calls to Partner Center are limited to 19
//! a second; that limit, not the machine, sets the pace. `COSELL_SYNC_BURST=100` makes it shorter.
//! `CONTRIBUTING.md` has the figures to compare with.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests, which need more of it")]
mod support;

use support::{Setup, Side};

/// Changes of one burst, unless the environment says otherwise.
const CHANGES: usize = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn measure() {
    let asked = std::env::var("COSELL_SYNC_BURST").ok().and_then(|text| text.parse().ok());
    let count = asked.unwrap_or(CHANGES);
    let mut world = Setup::salesforce_only().ordinary_polls().start().await;
    let deals = world.arrivals(count).await;
    let rounds = [
        ("at rest, from Microsoft", Side::PartnerCenter, 1, 81_000.0),
        ("at rest, from Salesforce", Side::Salesforce, 1, 82_000.0),
        ("burst, from Microsoft", Side::PartnerCenter, count, 83_000.0),
        ("burst, from Salesforce", Side::Salesforce, count, 84_000.0),
    ];
    for (name, side, changes, value) in rounds {
        let measured = world.burst(side, &deals[..changes.min(deals.len())], value).await;
        println!("{name}: {measured}");
    }
    world.check_and_stop().await;
}
