//! The admin changes what a stage of the CRM means, or goes back to files that mean something else by it.
//! Nobody moved a deal by that; who really moves one is heard as before.

use std::time::Duration;

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::stage::Stage;
use cosell_sync::merge::view::WonEarly;
use cosell_sync::store::{AuditQuery, Store};
use serde_json::{Value as Json, json};

use crate::creation::Plan;
use crate::dice::finish;
use crate::harness::{Mapped, Setup, Sim};
use crate::people;

const CRMS: [CrmName; 2] = [CrmName::Dynamics365, CrmName::Salesforce];

/// One deal with its record, in step by the usual files.
struct Deal {
    sim: Sim,
    crm: CrmName,
    referral: String,
    record: String,
}

/// What happens to it.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The files change; nobody looks at the deal yet.
    Files(Mapped),
    /// The seller edits a value, so that the deal is looked at.
    Look,
    /// Everything is compared, as every night.
    Night,
    /// The seller moves the record to what the usual files call this stage.
    Here(Stage),
    /// So it is, and nobody looks at the deal yet.
    Unseen(Stage),
    /// The seller moves the record to what all files take for accepted.
    Further,
    /// So it is, and nobody looks at the deal yet.
    FurtherUnseen,
    /// The seller ticks or un-ticks the box.
    Ticked(bool),
    /// The daemon begins anew, only watching or not.
    Watching(bool),
    /// Somebody moves the referral.
    There(&'static str, &'static str),
}

use Event::{Files, Further, FurtherUnseen, Here, Look, Night, There, Ticked, Unseen, Watching};

impl Deal {
    fn arrived(crm: CrmName, won_early: WonEarly, lead: bool) -> Self {
        let mut sim = Sim::new(&Setup { won_early, ..Setup::with(&[crm]) });
        let referral = {
            let world = &mut sim.world.lock();
            if lead { people::lead_arrives(world, true) } else { people::referral_arrives(world) }
        };
        assert!(sim.come_to_rest(), "the deal arrives");
        let record = sim.world.lock().journal.created[0].3.clone();
        Self { sim, crm, referral, record }
    }

    fn happens(&mut self, event: Event) {
        let (crm, record) = (self.crm, self.record.clone());
        {
            let world = &mut self.sim.world.lock();
            match event {
                Files(_) | Night | Watching(_) => {}
                Ticked(on) => {
                    let field = world.mapping_of(crm, &record).control().sync.clone();
                    people::set_control(world, crm, &record, json!({ field: on }));
                }
                Look => people::edit_record(world, crm, &record, "details.notes"),
                Here(stage) | Unseen(stage) => people::move_record(world, crm, &record, stage),
                Further | FurtherUnseen => {
                    people::set_control(world, crm, &record, further(crm));
                }
                There(status, substatus) => {
                    people::move_referral(world, &self.referral, status, substatus);
                }
            }
        }
        match event {
            Files(to) => return self.sim.change_mappings(to),
            Unseen(_) | FurtherUnseen => return,
            Night => self.sim.start_over(),
            Watching(only) => {
                self.sim.setup.shadow = only;
                self.sim.restart();
            }
            _ => {}
        }
        assert!(self.sim.come_to_rest(), "{event:?} comes to rest");
    }

    /// The state at Partner Center.
    fn state(&self) -> String {
        let world = self.sim.world.lock();
        let fields = &world.referrals[&self.referral].fields;
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text("status"), text("substatus"))
    }

    /// What the deal goes on with.
    fn kind(&self) -> Option<RecordKind> {
        self.sim.deals()[0].link(self.crm).map(|link| link.record.kind)
    }

    /// What the trail says of files that read a stage in another way.
    fn told(&self) -> Vec<String> {
        let query = AuditQuery { limit: 10_000, ..AuditQuery::default() };
        let entries = finish(self.sim.memory.audit(&query)).expect("the store works");
        let told = entries.into_iter().map(|entry| entry.entry);
        told.filter(|entry| entry.kind == AuditKind::Configured)
            .map(|entry| entry.summary)
            .collect()
    }
}

/// An open stage that none of the files names.
fn further(crm: CrmName) -> Json {
    match crm {
        CrmName::Dynamics365 => json!({ "statuscode": 100_000_001 }),
        CrmName::Salesforce => json!({ "StageName": "Needs Analysis" }),
    }
}

#[test]
fn a_stage_that_is_only_read_in_another_way_moves_nothing() {
    use Stage::{Active, Lost, Won};
    let (other, usual) = (Files(Mapped::Reread), Files(Mapped::Usual));
    let table: &[(&[Event], &str, usize, &str)] = &[
        (&[other, Look], "New/Pending", 1, "a new deal is not accepted"),
        (&[other, Night], "New/Pending", 1, "nor by the comparison of the night"),
        (&[other, Look, usual, Look], "New/Pending", 2, "nor by going back"),
        (&[other, Look, usual, Look, Here(Active)], "Active/Accepted", 2, "its seller accepts it"),
        (&[other, Here(Lost)], "Closed/Declined", 1, "closed in between: declined"),
        (&[other, Look, Here(Won)], "Closed/Won", 1, "won afterwards, and not only accepted"),
        (&[FurtherUnseen, other, Look], "Active/Accepted", 0, "accepted before anybody looked"),
        (&[other, Look, Further], "Active/Accepted", 1, "accepted among what is read alike"),
        (&[other, Look, FurtherUnseen, usual, Look], "Active/Accepted", 2, "and the files go back"),
        (&[Further, other, usual, Here(Active)], "Active/Accepted", 0, "accepted once and for all"),
        (&[Unseen(Won), other, Look], "Closed/Won", 1, "won before anybody looked"),
        (&[other, Look, There("Active", "Accepted")], "Active/Accepted", 1, "accepted there"),
        (&[Here(Active), other, Look], "Active/Accepted", 1, "there is no way back to new"),
        (&[Here(Active), other, Here(Won)], "Closed/Won", 1, "won in between"),
        (&[Here(Active), other, Look, usual, Here(Lost)], "Closed/Lost", 2, "and lost after all"),
        (&[Here(Active), Here(Won), other, Night], "Closed/Won", 0, "the end means what it meant"),
    ];
    for crm in CRMS {
        for (events, expected, told, why) in table {
            let mut deal = Deal::arrived(crm, WonEarly::Send, false);
            events.iter().for_each(|event| deal.happens(*event));
            assert_eq!(deal.state(), *expected, "{crm}: {why}");
            assert_eq!(deal.told().len(), *told, "{crm}: {why}: {:?}", deal.told());
            assert!(deal.sim.dead_letters().is_empty(), "{crm}: nothing is held, {why}");
            let broken = &deal.sim.world.lock().journal.broken;
            assert!(broken.is_empty(), "{crm}: {why}: {broken:?}");
        }
    }
}

#[test]
fn a_person_reads_what_the_files_changed_and_what_to_do() {
    let mut deal = Deal::arrived(CrmName::Salesforce, WonEarly::Send, false);
    deal.happens(Files(Mapped::Reread));
    deal.happens(Look);
    assert_eq!(
        deal.told(),
        ["The mapping files read the opportunity in Salesforce that holds IsClosed = \
          false, IsWon = false, StageName = Prospecting as accepted; it was read as waiting for an answer \
          before. Nobody moved it by that, so nothing is sent for it. At Partner Center the deal is waiting \
          for an answer: to change that, move it there, or move the record to another stage and back."]
    );
}

#[test]
fn a_win_that_waits_is_not_taken_for_a_changed_file() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Wait, false);
        deal.happens(Here(Stage::Active));
        deal.happens(Here(Stage::Won));
        assert_eq!(deal.state(), "Active/Accepted", "{crm}: it waits for 72 hours");
        deal.happens(Files(Mapped::Reread));
        deal.sim.pass(Duration::from_secs(73 * 60 * 60));
        assert!(deal.sim.come_to_rest(), "{crm}: the 72 hours are over");
        assert_eq!(deal.state(), "Closed/Won", "{crm}");
    }
}

#[test]
fn a_lead_is_not_turned_because_the_files_read_it_so() {
    use RecordKind::{Lead, Opportunity};
    let (other, usual) = (Files(Mapped::Reread), Files(Mapped::Usual));
    let accepted = There("Active", "Accepted");
    let table: &[(&[Event], RecordKind, &str, &str)] = &[
        (&[other, Look, Night], Lead, "New/Pending", "nobody turned it, nor accepted it"),
        (&[other, Look, accepted], Opportunity, "Active/Accepted", "once it is accepted"),
        (
            &[other, Look, usual, accepted],
            Opportunity,
            "Active/Accepted",
            "so it is by the old files",
        ),
        (
            &[other, Look, Here(Stage::Active)],
            Opportunity,
            "Active/Accepted",
            "its seller turns it",
        ),
        (&[other, There("Closed", "Expired")], Lead, "Closed/Expired", "nobody answered"),
        (&[other, Look, There("Closed", "Declined")], Lead, "Closed/Declined", "declined there"),
        (&[other, Ticked(false), accepted], Lead, "Active/Accepted", "it is left alone"),
        (
            &[other, Ticked(false), accepted, Ticked(true)],
            Opportunity,
            "Active/Accepted",
            "left alone as long as its seller wants that",
        ),
        (
            &[other, Watching(true), Look, accepted, Watching(false), Look],
            Opportunity,
            "Active/Accepted",
            "accepted while nothing was to be written",
        ),
    ];
    for crm in CRMS {
        for (events, kind, state, why) in table {
            let mut deal = Deal::arrived(crm, WonEarly::Send, true);
            assert_eq!(deal.kind(), Some(Lead), "{crm}");
            events.iter().for_each(|event| deal.happens(*event));
            assert_eq!(deal.kind(), Some(*kind), "{crm}: {why}");
            assert_eq!(deal.state(), *state, "{crm}: {why}");
            let broken = &deal.sim.world.lock().journal.broken;
            assert!(broken.is_empty(), "{crm}: {why}: {broken:?}");
        }
    }
}

#[test]
fn a_lead_is_not_turned_by_files_that_come_while_it_is_looked_at() {
    for crm in CRMS {
        for point in 1.. {
            let mut deal = Deal::arrived(crm, WonEarly::Send, true);
            deal.sim.world.lock().plan = Plan::files_change_at(point, Mapped::Reread);
            deal.happens(Look);
            if deal.sim.world.lock().plan.points() < point {
                assert!(point > 10, "{crm}: they came at every point");
                break;
            }
            deal.happens(Look);
            assert_eq!(deal.kind(), Some(RecordKind::Lead), "{crm}, at {point}");
            assert_eq!(deal.state(), "New/Pending", "{crm}, at {point}");
        }
    }
}

#[test]
fn files_that_come_after_a_kill_accept_nothing_either() {
    for crm in CRMS {
        let mut known = 0;
        for point in 1.. {
            let mut sim = Sim::new(&Setup::with(&[crm]));
            let referral = people::referral_arrives(&mut sim.world.lock());
            sim.world.lock().plan = Plan::killed_at(point);
            let mut turns = 0;
            while !sim.turn(true) && turns < 6 {
                turns += 1;
                sim.pass(Duration::from_secs(45));
            }
            if sim.world.lock().journal.kills == 0 {
                break;
            }
            let mut deals = sim.deals();
            let link = deals.pop().and_then(|mut deal| deal.links.pop());
            let Some(record) = link.map(|link| link.record.id.to_string()) else { continue };
            known += 1;
            let mut deal = Deal { sim, crm, referral, record };
            deal.happens(Files(Mapped::Reread));
            deal.happens(Look);
            assert_eq!(deal.state(), "New/Pending", "{crm}, killed at {point}");
        }
        assert!(known > 5, "{crm}: it was killed with a record that is known");
    }
}

#[test]
fn a_link_from_before_stages_were_remembered_learns_them_in_the_night() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send, false);
        let mut old = deal.sim.deals().remove(0);
        for link in &mut old.links {
            let mut json = serde_json::to_value(&*link).expect("written");
            assert_ne!(json.as_object_mut().and_then(|all| all.remove("stage_seen")), None);
            *link = serde_json::from_value(json).expect("an older one is readable");
            assert_eq!(link.stage_seen, None);
        }
        let commit = cosell_sync::store::Commit { deal: Some(old), ..Default::default() };
        finish(deal.sim.memory.commit(commit)).expect("stored");
        deal.happens(Night);
        deal.happens(Files(Mapped::Reread));
        deal.happens(Look);
        assert_eq!(deal.state(), "New/Pending", "{crm}");
        assert_eq!(deal.told().len(), 1, "{crm}");
    }
}
