//! A lead becomes an opportunity, and its seller goes on there at once. The process is killed at every
//! single point of it, or its store comes from a backup of before: what the seller wrote in the
//! opportunity stays.

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::stage::Stage;
use cosell_sync::store::{AuditQuery, Commit, Store};
use serde_json::{Value as Json, json};

use crate::check;
use crate::creation::Plan;
use crate::dice::finish;
use crate::harness::{Setup, Sim};
use crate::people::{self, FIELDS, record_value, referral_value};

const CRMS: [CrmName; 2] = [CrmName::Dynamics365, CrmName::Salesforce];

/// A lead in step.
struct Bench {
    sim: Sim,
    crm: CrmName,
    referral: String,
    lead: String,
}

impl Bench {
    fn new(crm: CrmName) -> Self {
        let mut sim = Sim::new(&Setup::with(&[crm]));
        let referral = people::lead_arrives(&mut sim.world.lock(), true);
        assert!(sim.come_to_rest(), "the lead arrives");
        let (_, kind, _, lead) = sim.world.lock().journal.created[0].clone();
        assert_eq!(kind, RecordKind::Lead);
        Self { sim, crm, referral, lead }
    }

    /// The seller turns the lead; the opportunity that it becomes.
    fn turn(&self) -> String {
        let mut world = self.sim.world.lock();
        people::move_record(&mut world, self.crm, &self.lead, Stage::Active);
        world.crms[&self.crm].turned[&self.lead].clone()
    }

    /// The seller writes another value into every field of the opportunity, what it holds then.
    fn edit(&self, opportunity: &str) -> Vec<String> {
        let mut world = self.sim.world.lock();
        for field in FIELDS {
            people::edit_record(&mut world, self.crm, opportunity, field);
        }
        drop(world);
        self.held(opportunity)
    }

    fn held(&self, opportunity: &str) -> Vec<String> {
        let world = self.sim.world.lock();
        let value = |field| record_value(&world, self.crm, opportunity, field).to_string();
        FIELDS.map(value).to_vec()
    }

    /// Whether the daemon has written to the opportunity and does not know of it.
    fn is_tied_unknown(&self, opportunity: &str) -> bool {
        let tied = {
            let world = self.sim.world.lock();
            let control = world.mapping_of(self.crm, opportunity).control().clone();
            let row = &world.crms[&self.crm].rows[opportunity];
            row.fields.get(&control.referral_id) == Some(&json!(self.referral))
        };
        tied && !self.is_over()
    }

    /// Whether the deal goes on with the opportunity.
    fn is_over(&self) -> bool {
        self.sim.deals()[0].links[0].record.kind == RecordKind::Opportunity
    }

    fn named_as_lost(&self) -> Vec<String> {
        let kind = Some(AuditKind::Conflict);
        let query = AuditQuery { kind, limit: usize::MAX, ..AuditQuery::default() };
        let entries = finish(self.sim.memory.audit(&query)).expect("the store works");
        let fields = entries.iter().flat_map(|entry| &entry.entry.fields);
        fields.map(|change| change.before.to_string()).collect()
    }

    fn rest(&mut self) {
        loop {
            let kills = self.sim.world.lock().journal.kills;
            assert!(self.sim.come_to_rest(), "{}: no rest", self.crm);
            if self.sim.world.lock().journal.kills == kills {
                return;
            }
        }
    }

    /// Both sides hold what the seller wrote.
    fn check(&self, opportunity: &str, wrote: &[String], place: &str) {
        assert_eq!(self.held(opportunity), wrote, "{place}: in the opportunity");
        let world = self.sim.world.lock();
        let there = FIELDS.map(|field| referral_value(&world, &self.referral, field).to_string());
        assert_eq!(there.as_slice(), wrote, "{place}: at Partner Center");
    }
}

#[test]
fn what_the_seller_goes_on_with_stays_wherever_the_process_is_killed() {
    for crm in CRMS {
        let mut between = 0;
        for point in 1.. {
            let mut bench = Bench::new(crm);
            bench.sim.world.lock().plan = Plan::killed_at(point);
            let opportunity = bench.turn();
            while !bench.sim.turn(true) && bench.sim.world.lock().plan.points() < 500 {
                bench.sim.pass(std::time::Duration::from_secs(45));
            }
            if bench.sim.world.lock().journal.kills == 0 || bench.is_over() {
                break;
            }
            if bench.is_tied_unknown(&opportunity) {
                between += 1;
                let wrote = bench.edit(&opportunity);
                bench.rest();
                bench.check(&opportunity, &wrote, &format!("{crm} killed at {point}"));
                assert_eq!(check::untold(&bench.sim), [], "{crm} killed at {point}: all is told");
            }
        }
        assert!(between > 0, "{crm}: it was killed between the write and its end");
    }
}

#[test]
fn what_the_seller_went_on_with_stays_or_is_named_when_the_store_comes_from_a_backup() {
    for crm in CRMS {
        for told in [true, false] {
            let mut bench = Bench::new(crm);
            let mut backup = bench.sim.deals()[0].clone();
            let opportunity = bench.turn();
            bench.rest();
            bench.edit(&opportunity);
            bench.rest();
            let wrote = bench.edit(&opportunity);
            if !told {
                // So many lines were written since that the one of the beginning is gone.
                let mut world = bench.sim.world.lock();
                let field = world.mapping_of(crm, &opportunity).control().audit.clone();
                let mut empty = json!({});
                empty[field.as_str()] = Json::Null;
                people::set_control(&mut world, crm, &opportunity, empty);
            }
            backup.doubt();
            let commit = Commit { deal: Some(backup), ..Commit::default() };
            finish(bench.sim.memory.commit(commit)).expect("stored");
            bench.sim.restart();
            bench.sim.start_over();
            assert!(!bench.is_over(), "the lead is linked again");
            bench.rest();
            assert!(bench.is_over(), "and turned again");
            let named = bench.named_as_lost();
            for (held, wrote) in bench.held(&opportunity).iter().zip(&wrote) {
                let known = held == wrote || named.contains(wrote);
                assert!(known, "{crm}, told: {told}: {wrote} is lost, {named:?}");
            }
        }
    }
}
