//! Random runs: people edit on all sides while calls fail, answers get lost and the process dies.

use std::time::Duration;

use cosell_sync::domain::id::CrmName;

use crate::check::broken_rules;
use crate::dice::Dice;
use crate::harness::{Mapped, Setup, Sim};
use crate::mishaps;
use crate::mutants::Bug;
use crate::people::{self, FIELDS};
use crate::tally::{Mishap, Tally};
use crate::world::{Chaos, World};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) broken: Vec<String>,
    pub(crate) trace: u64,
    pub(crate) edits: u64,
    pub(crate) writes: usize,
    /// What went wrong.
    pub(crate) met: Tally,
    pub(crate) notes: Vec<String>,
}

/// One run of `seed`.
pub(crate) fn run(seed: u64, bug: Option<Bug>) -> Report {
    let mut dice = Dice::new(seed ^ 0xC0FFEE);
    let mut imports = Dice::new(seed ^ 0x001A_B0B5);
    let (dynamics, salesforce) = (CrmName::Dynamics365, CrmName::Salesforce);
    let crms: &[CrmName] = match dice.below(4) {
        0 => &[dynamics],
        1 => &[salesforce],
        2 => &[dynamics, salesforce],
        _ => &[salesforce, dynamics],
    };
    let mapped = if dice.below(3) == 0 { Mapped::Asking } else { Mapped::Usual };
    let shadow = dice.below(6) == 0;
    let mut sim = Sim::new(&Setup { seed, bug, mapped, shadow, ..Setup::with(crms) });
    let faults = dice.below(3);
    let chaos = Chaos {
        fault: [0, 40, 120][faults],
        edit: [5, 15, 40][dice.below(3)],
        kill: [0, 2, 8][dice.below(3)],
        lag: [0, 1500, 4000][dice.below(3)],
        refusals: dice.below(3) == 0,
        storm: [0, 0, 400][dice.below(3)],
    };
    {
        let mut world = sim.world.lock();
        skew_clocks(&mut world, &mut dice, crms);
        world.chaos = chaos;
        for _ in 0..1 + dice.below(2) {
            something_arrives(&mut world, &mut dice);
        }
    }
    let mut broken = Vec::new();
    if shadow {
        for _ in 0..4 {
            busy_time(&mut sim, &mut dice, crms);
            something_is_imported(&mut sim.world.lock(), &mut imports, crms);
        }
        broken.extend(leave_shadow(&mut sim));
    }
    for _ in 0..8 + dice.below(16) {
        busy_time(&mut sim, &mut dice, crms);
        something_is_imported(&mut sim.world.lock(), &mut imports, crms);
    }
    broken.extend(calm_down(&mut sim));
    if broken.is_empty() {
        broken = broken_rules(&sim);
    }
    if broken.is_empty() {
        broken = echo_silence(&mut sim);
    }
    let mut world = sim.world.lock();
    let (edits, writes) = (world.journal.acts, world.journal.writes.len());
    let met = std::mem::take(&mut world.journal.met);
    // Only of a run that failed: thousands of them would fill the memory.
    let notes = std::mem::take(&mut world.journal.notes);
    let notes = if broken.is_empty() { Vec::new() } else { notes };
    Report { broken, trace: world.trace(), edits, writes, met, notes }
}

/// Each system's clock is up to two minutes early or late.
fn skew_clocks(world: &mut World, dice: &mut Dice, crms: &[CrmName]) {
    world.partner_skew = dice.below(240_000) as i64 - 120_000;
    if world.partner_skew.abs() > 60_000 {
        world.met(Mishap::PartnerCenterSkewed);
    }
    for crm in crms {
        let skew = dice.below(240_000) as i64 - 120_000;
        world.crms.entry(*crm).or_default().skew = skew;
        if skew.abs() > 60_000 {
            world.met(Mishap::CrmSkewed);
        }
    }
}

fn something_arrives(world: &mut World, dice: &mut Dice) {
    match dice.below(5) {
        kind @ 0..2 => people::lead_arrives(world, kind == 0),
        _ => people::referral_arrives(world),
    };
}

fn something_is_imported(world: &mut World, dice: &mut Dice, crms: &[CrmName]) {
    if dice.below(40) == 0 {
        people::import(world, crms[dice.below(crms.len())], FIELDS[dice.below(FIELDS.len())]);
    }
}

/// Nothing was written while everything was only planned; from now on it is done.
fn leave_shadow(sim: &mut Sim) -> Vec<String> {
    let writes = std::mem::take(&mut sim.world.lock().journal.writes);
    sim.setup.shadow = false;
    sim.world.lock().met(Mishap::ShadowLeft);
    sim.restart();
    sim.start_over();
    writes.iter().map(|write| format!("shadow: a write in shadow mode: {write:?}")).collect()
}

fn busy_time(sim: &mut Sim, dice: &mut Dice, crms: &[CrmName]) {
    {
        let mut world = sim.world.lock();
        for _ in 0..dice.below(4) {
            people::edit_something(&mut world);
        }
        match dice.below(30) {
            0 => something_arrives(&mut world, dice),
            1 | 2 => {
                let crm = crms[dice.below(crms.len())];
                match dice.below(3) {
                    0 => people::lead_is_shared(&mut world, crm),
                    _ => people::record_is_shared(&mut world, crm),
                };
            }
            4 => mishaps::copy_a_record(&mut world),
            5 => mishaps::merge_a_lead(&mut world, crms[dice.below(crms.len())]),
            3 => {
                for state in world.crms.values_mut() {
                    state.epoch += 1;
                }
                world.note("cursors expire".to_owned());
            }
            _ => {}
        }
    }
    match dice.below(60) {
        0 => sim.change_mappings(Mapped::Moved),
        1 => sim.change_mappings(sim.setup.mapped),
        2..8 => mishaps::answer_questions(&mut sim.world.lock(), &sim.deals()),
        _ => {}
    }
    sim.deliver(dice.below(4));
    sim.turn(false);
    let pause = [200, 1_500, 8_000, 60_000][dice.below(4)];
    sim.pass(Duration::from_millis(dice.below(pause) as u64));
}

/// The people go home, the faults end, everything is worked off; what was refused is retried.
fn calm_down(sim: &mut Sim) -> Vec<String> {
    {
        let mut world = sim.world.lock();
        world.chaos = Chaos::default();
        world.note("calm".to_owned());
    }
    // The comparison of every night: what the admin's new files mean for deals that nobody touches.
    let sleepless = [Some(Bug::NoNight), Some(Bug::ExpiredMeansNow)];
    if !sleepless.contains(&sim.setup.bug) {
        sim.start_over();
    }
    sim.pass(Duration::from_secs(700));
    for _ in 0..4 {
        if !sim.come_to_rest() {
            return vec!["I6: the daemon never comes to rest".to_owned()];
        }
        let deals = sim.deals();
        mishaps::answer_questions(&mut sim.world.lock(), &deals);
        mishaps::clear_copies(&mut sim.world.lock(), &deals);
        if sim.retry_all() == 0 {
            break;
        }
        sim.pass(Duration::from_secs(10));
    }
    if !sim.come_to_rest() {
        return vec!["I6: the daemon never comes to rest".to_owned()];
    }
    let letters = sim.dead_letters();
    let endless = letters.iter().filter(|letter| letter.hold.code == "ping_pong");
    endless.map(|letter| format!("I6: a try never ends: {:?}", letter.notice)).collect()
}

/// I6 and I8: late and doubled webhooks and ten minutes of polling cause no write.
fn echo_silence(sim: &mut Sim) -> Vec<String> {
    let before = sim.world.lock().journal.writes.len();
    for _ in 0..20 {
        sim.deliver(5);
        sim.turn(true);
        sim.pass(Duration::from_secs(30));
    }
    let world = sim.world.lock();
    let after = &world.journal.writes[before..];
    after.iter().map(|write| format!("I6: a write in the silence: {write:?}")).collect()
}
