//! I19: a deal that can never be worked keeps no other waiting for more than one try, as long as the
//! feeds are read: what they learn shows that only one deal is ill. Where nothing else is called, its
//! failures look like those of the whole system, and it may take the one call that tries again: then the
//! other waits until it is its turn, a few tries at most.

use std::time::Duration;

use cosell_sync::connect::error::{ConnectError, Refusal};
use cosell_sync::domain::id::CrmName;
use cosell_sync::domain::stage::Stage;
use serde_json::json;

use crate::harness::{Setup, Sim};
use crate::people::{self, record_value, referral_value};

/// Where the deal that can never be worked fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Referral,
    Record,
}

/// Longer than a breaker stays open, or a probe of it is waited for.
const ONE_TRY: u64 = 35;
/// So many tries it may wait where nothing else is called.
const A_FEW: u32 = 4;

fn faults() -> Vec<(ConnectError, &'static str)> {
    let words = || "always".to_owned();
    vec![
        (ConnectError::Unavailable(words()), "a lock that nobody releases"),
        (ConnectError::Broken(words()), "a row that makes its system answer nonsense"),
        (ConnectError::Unknown(words()), "a row at which its system breaks off"),
        (ConnectError::Stale, "a record that somebody writes all the time"),
        (ConnectError::Rejected(Refusal::default()), "a rule that refuses it"),
    ]
}

/// Whether both sides hold the same value of the deal.
fn agree(sim: &Sim, crm: CrmName, referral: &str, record: &str) -> bool {
    let world = sim.world.lock();
    let here = record_value(&world, crm, record, "details.dealValue");
    referral_value(&world, referral, "details.dealValue") == here
}

#[test]
fn a_poisoned_deal_keeps_no_other_waiting_for_more_than_one_try() {
    for crm in [CrmName::Dynamics365, CrmName::Salesforce] {
        for place in [Place::Referral, Place::Record] {
            for (fault, why) in faults() {
                for seed in 1..=2 {
                    for feeds in [true, false] {
                        poisoned(seed, crm, place, (&fault, why), feeds);
                    }
                }
            }
        }
    }
}

/// Lets time pass; the feeds are read every thirty seconds if at all.
fn live(sim: &mut Sim, feeds: bool, seconds: u64) {
    for second in 1..=seconds {
        sim.pass(Duration::from_secs(1));
        sim.work();
        if feeds && second % 30 == 0 {
            sim.turn(true);
        }
    }
}

fn poisoned(
    seed: u64,
    crm: CrmName,
    place: Place,
    (fault, why): (&ConnectError, &str),
    feeds: bool,
) {
    let most = if feeds { 1 } else { A_FEW };
    let mut sim = Sim::new(&Setup { seed, ..Setup::with(&[crm]) });
    let (sick, well) = {
        let world = &mut sim.world.lock();
        (people::referral_arrives(world), people::referral_arrives(world))
    };
    assert!(sim.come_to_rest(), "both deals arrive");
    let record_of = |sim: &Sim, referral: &str| {
        let world = sim.world.lock();
        let made = world.journal.created.iter().find(|(_, _, of, _)| of == referral);
        made.expect("a record").3.clone()
    };
    let (sick_row, well_row) = (record_of(&sim, &sick), record_of(&sim, &well));
    {
        let world = &mut sim.world.lock();
        people::move_record(world, crm, &sick_row, Stage::Active);
        people::move_record(world, crm, &well_row, Stage::Active);
    }
    assert!(sim.come_to_rest(), "both deals are accepted");
    let object = if place == Place::Referral { sick.clone() } else { sick_row.clone() };
    sim.world.lock().sick = Some((object, fault.clone()));
    people::set_referral(&mut sim.world.lock(), &sick, "details.dealValue", json!(5001));
    sim.hand_in(&sick, "referral-updated");
    for round in 0..3 {
        let told = format!(
            "{crm}, {place:?}, {fault:?} ({why}), seed {seed}, feeds {feeds}, round {round}"
        );
        // Long enough alone to make its whole system look down.
        for wait in [1, 2, 4, 8, 16, 31, 5, 60, 40] {
            sim.hand_in(&sick, "referral-updated");
            live(&mut sim, feeds, wait);
        }
        let value = json!(6000 + round);
        people::set_referral(&mut sim.world.lock(), &well, "details.dealValue", value);
        sim.hand_in(&well, "referral-updated");
        sim.work();
        let mut tries = 0;
        while !agree(&sim, crm, &well, &well_row) {
            tries += 1;
            assert!(tries <= most, "{told}");
            live(&mut sim, feeds, ONE_TRY);
        }
    }
    assert!(!agree(&sim, crm, &sick, &sick_row), "{crm}, {place:?}, {why}: it never went through");
    sim.world.lock().sick = None;
    sim.retry_all();
    assert!(sim.come_to_rest());
    assert!(agree(&sim, crm, &sick, &sick_row), "{crm}, {place:?}, {why}: repaired, it catches up");
}
