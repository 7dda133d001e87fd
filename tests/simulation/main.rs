//! The whole worker against three fake systems, with people who edit at any moment, faults before and
//! after every call, lost answers, late and doubled webhooks, and a process that is killed anywhere.
//!
//! One command for a long run (here a million seeds; each failure prints its seed):
//! `COSELL_SYNC_SIMULATION_SEEDS=1000000 cargo test --release --test simulation random`
//!
//! What must hold, by the numbers that failures are printed with, and where it is looked at. *At rest*
//! means: people have stopped, faults are over, everything is worked off. Tests elsewhere are named with
//! their file; the small model (`model`) looks at I1 to I6 and I15 in every schedule it follows.
//!
//! | rule | looked at by |
//! |---|---|
//! | I1 at rest all sides agree, or the deal waits with a reason | `check::agreement`, and there `stages_agree`, `fields_agree`, `controls_agree` |
//! | I2 no value of a person is lost silently, none is named twice for one loss | `check::losses` |
//! | I3 one record for a referral in each CRM, one referral for a record | `check::one_to_one`, `creation` |
//! | I4 nothing comes back that a person deleted | `check::one_to_one`; `scenarios::a_deleted_record_is_never_made_again` |
//! | I5 no conflict names what nobody wrote | `check::losses` |
//! | I6 it comes to rest, and then writes nothing for ten minutes; no try goes on for ever | `random::calm_down`, `random::echo_silence`; for each CRM, deals and leads, `order::after_everything_agrees_ten_minutes_of_polls_write_nothing`; with the whole daemon, `tests/it/echo.rs` |
//! | I7 few writes to each system | `check::few_writes` |
//! | I8 an event once or many times, in any order, comes to the same | `order::events_once_or_many_times_in_any_order_come_to_the_same`; `random::echo_silence` |
//! | I9 so does a deal among others | `order::a_deal_worked_among_others_ends_as_it_does_alone` |
//! | I10 what was accepted is accounted for at every step | `SimStore::check_books` after each change of the store; durable: `tests/store_crash.rs`, `tests/store_model.rs` |
//! | I11 one write of a deal at a time | `Shared::write_begins` at every write; `tests/store.rs` (`a_lane_is_claimed_by_one_at_a_time`). One process owns a store, so there are no leases to expire |
//! | I12 only what changed is written, and nothing that is not mapped | `FakeCrm::write`, `FakePartnerCenter::apply`, `check::agreement`, `lens` |
//! | I13 nothing is written past a gate | `FakePartnerCenter::apply` (no value before the accept); `tests/it/leads.rs` (`leads_switched_off_are_ignored`), `tests/it/sharing.rs` |
//! | I14 reading and writing obey the laws of a lens | `lens`; `src/mapping/codec/tests.rs`, the generated cases of every mapping file, `fuzz` |
//! | I15 at rest the base is what both sides hold | `check::fields_agree` |
//! | I16 each write has its entry, the chain is whole | `check::writes_and_entries`, `check::books`; `src/store/sled/tests.rs` (altered and missing entries) |
//! | I17 no cursor passes what is not durable, an older one changes nothing | `check::one_to_one`, `order::reading_everything_again_from_an_older_cursor_changes_nothing` |
//! | I18 no more calls than agreed | `src/connect/dynamics365/limits.rs` (`no_window_of_a_day_holds_more_than_the_budget`), `tests/salesforce/feed.rs`, `tests/it/salesforce.rs`, `src/connect/http/client.rs` |
//! | I19 a deal that can never be worked keeps no other waiting for more than one try | `isolation` |
//! | I20 only the documented moves, and none from an end | `FakePartnerCenter::apply`, `FakeCrm::write` |
//! | I21 what was erased is in no trail, no export and no byte of a store that is restored from one | `tests/store.rs` (`erasing_a_deal_keeps_the_chain_whole`) |
//! | I22 the same seed gives the same run | `the_same_seed_gives_the_same_run` |
//! | R5 the ledger balances | `check::books`, `SimStore::check_books` |
//!
//! * `COSELL_SYNC_SIMULATION_SEEDS`: how many random runs; 3,000 by default.
//! * `COSELL_SYNC_SIMULATION_FIRST`: the first seed of them; 1 by default.
//! * `COSELL_SYNC_SIMULATION_BUG_SEEDS`: so many seeds may pass before a planted bug is found.
//! * `COSELL_SYNC_MODEL_EDITS`, `COSELL_SYNC_MODEL_CRASHES`: how much happens in a schedule of the small
//!   model; each more makes it some ten times larger.
//! * `COSELL_SYNC_MODEL_WALKS`: how many random schedules of it, beyond what is exhausted.
//! * `COSELL_SYNC_SIMULATION_LOUD`: set, everything that happens is printed as it happens.
//! * `COSELL_SYNC_SIMULATION_SEED`: only this one, with everything that happened in it.

mod check;
mod creation;
mod crm;
mod dice;
mod harness;
mod isolation;
mod lens;
mod mishaps;
mod model;
mod mutants;
mod order;
mod partner_center;
mod people;
mod random;
mod relinking;
mod rereading;
mod restored;
mod scenarios;
mod store;
mod tally;
mod turned;
mod world;

use random::run;
use tally::Tally;

/// Among so many seeds every kind of mishap happens.
const ENOUGH: u64 = 500;

/// A number from the environment.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Tells what happens, if everything is to be told.
fn say(what: &str) {
    use std::io::Write as _;
    if std::env::var_os("COSELL_SYNC_SIMULATION_LOUD").is_some() {
        let _ = writeln!(std::io::stderr(), "{what}");
    }
}

#[test]
fn random_edits_and_faults_on_all_sides_lose_nothing() {
    let (first, last) = match setting("COSELL_SYNC_SIMULATION_SEED", 0) {
        0 => {
            let first = setting("COSELL_SYNC_SIMULATION_FIRST", 1);
            (first, first + setting("COSELL_SYNC_SIMULATION_SEEDS", 3000) - 1)
        }
        only => (only, only),
    };
    let half = |odd: u64| {
        (first..=last).filter(move |seed| seed % 2 == odd).map(|seed| (seed, run(seed, None)))
    };
    let reports: Vec<_> = std::thread::scope(|scope| {
        let other = scope.spawn(move || half(1).collect::<Vec<_>>());
        let mut reports: Vec<_> = half(0).collect();
        reports.extend(other.join().expect("a run that ends"));
        reports
    });
    let mut failures = Vec::new();
    let (mut edits, mut writes) = (0, 0);
    let mut met = Tally::default();
    for (seed, report) in reports {
        met.add(&report.met);
        edits += report.edits;
        writes += report.writes;
        if !report.broken.is_empty() {
            if first == last {
                failures.extend(report.notes);
            }
            failures.push(format!("seed {seed}: {}", report.broken.join("\n    ")));
        }
    }
    assert!(edits > 0 && writes > 0, "people and the daemon did something");
    if last - first >= ENOUGH {
        assert!(met.missing().is_empty(), "never happened: {:?}", met.missing());
    }
    let shown: Vec<&String> = failures.iter().take(if first == last { 5000 } else { 25 }).collect();
    assert!(failures.is_empty(), "{} runs failed: {shown:#?}", failures.len());
}

/// Beyond those that run anyway: a person who enters by hand one value of a write that never arrived, a
/// deal value that loses, comes back with its currency and loses again, and one that only went along.
#[test]
fn seeds_that_once_failed_hold() {
    for seed in [3686, 4079, 4826] {
        let broken = run(seed, None).broken;
        assert!(broken.is_empty(), "seed {seed}: {broken:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=10 {
        assert_eq!(run(seed, None).trace, run(seed, None).trace, "seed {seed}");
    }
}

/// I11 is looked at while the writes are under way, not only by what comes of them.
#[test]
fn two_tries_of_one_deal_at_once_are_seen_while_they_write() {
    let seen = |seed| {
        let report = run(seed, Some(mutants::Bug::TwoAtOnce));
        report.broken.iter().any(|rule| rule.starts_with("I11"))
    };
    assert!((1..=100).any(seen), "two writes of one deal were under way at once");
}

/// Every planted bug is found, within a stated number of seeds. The seed that is known to find it comes
/// first; where other code made it another one, all are tried. A run that fails without the bug as well
/// finds nothing.
#[test]
fn every_planted_bug_is_found() {
    let seeds = setting("COSELL_SYNC_SIMULATION_BUG_SEEDS", 2000);
    let mut missed = Vec::new();
    for (bug, known) in mutants::Bug::ALL {
        let holds = |seed: u64, bug| run(seed, bug).broken.is_empty();
        let finds = |seed: &u64| !holds(*seed, Some(bug)) && holds(*seed, bug.control());
        if !finds(&known) && !(1..=seeds).any(|seed| finds(&seed)) {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not found in {seeds} seeds each: {missed:?}");
}
