//! A lead becomes an opportunity, and its seller goes on there at once. The process is killed at every
//! single point of it, or its store comes from a backup of before: what the seller wrote in the
//! opportunity stays.

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::deal::Deal;
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::stage::Stage;
use cosell_sync::merge::sentence;
use cosell_sync::store::{AuditQuery, Commit, Store};
use serde_json::{Value as Json, json};

use crate::check;
use crate::creation::Plan;
use crate::crm;
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

    /// The seller turns the lead into an opportunity that is there already, as Salesforce lets them.
    fn turn_into(&self, opportunity: &str) {
        let mut world = self.sim.world.lock();
        let state = world.crms.entry(self.crm).or_default();
        state.turned.insert(self.lead.clone(), opportunity.to_owned());
        let over = json!({ "Status": "Closed - Converted", "IsConverted": true });
        people::set_control(&mut world, self.crm, &self.lead, over);
    }

    /// Everything that the opportunity holds.
    fn all_of(&self, opportunity: &str) -> Fields {
        self.sim.world.lock().crms[&self.crm].rows[opportunity].fields.clone()
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

    /// What is named as overwritten: the field and what it held.
    fn lost(&self) -> Vec<(String, String)> {
        let kind = Some(AuditKind::Conflict);
        let query = AuditQuery { kind, limit: usize::MAX, ..AuditQuery::default() };
        let entries = finish(self.sim.memory.audit(&query)).expect("the store works");
        let fields = entries.iter().flat_map(|entry| &entry.entry.fields);
        fields.map(|change| (change.field.clone(), change.before.to_string())).collect()
    }

    fn named_as_lost(&self) -> Vec<String> {
        self.lost().into_iter().map(|(_, held)| held).collect()
    }

    /// The store is that of `backup`, and the daemon begins anew.
    fn restore(&mut self, mut backup: Deal) {
        backup.doubt();
        let commit = Commit { deal: Some(backup), ..Commit::default() };
        finish(self.sim.memory.commit(commit)).expect("stored");
        self.sim.restart();
        self.sim.start_over();
        assert!(!self.is_over(), "the lead is linked again");
        self.rest();
        assert!(self.is_over(), "and turned again");
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
            let backup = bench.sim.deals()[0].clone();
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
            bench.restore(backup);
            let named = bench.named_as_lost();
            for (held, wrote) in bench.held(&opportunity).iter().zip(&wrote) {
                let known = held == wrote || named.contains(wrote);
                assert!(known, "{crm}, told: {told}: {wrote} is lost, {named:?}");
            }
        }
    }
}

#[test]
fn the_stage_that_a_seller_went_back_to_is_named_when_the_store_comes_from_a_backup() {
    for crm in CRMS {
        let mut bench = Bench::new(crm);
        let backup = bench.sim.deals()[0].clone();
        let opportunity = bench.turn();
        bench.rest();
        people::move_record(&mut bench.sim.world.lock(), crm, &opportunity, Stage::OnHold);
        bench.rest();
        let before = bench.all_of(&opportunity);
        bench.restore(backup);
        let mapping = bench.sim.world.lock().mapping_of(crm, &opportunity).stage_fields(&before);
        let stays =
            mapping.iter().all(|(name, held)| bench.all_of(&opportunity).get(name) == Some(held));
        let named = bench.lost().iter().any(|(field, _)| field == "stage");
        assert!(stays || named, "{crm}: {:?}", bench.lost());
    }
}

#[test]
fn a_lead_that_was_turned_into_the_opportunity_of_another_deal_waits_for_a_person() {
    let crm = CrmName::Salesforce;
    let mut bench = Bench::new(crm);
    let opportunity = people::record_is_shared(&mut bench.sim.world.lock(), crm);
    bench.rest();
    let (before, deals) = (bench.all_of(&opportunity), bench.sim.deals().len());
    bench.turn_into(&opportunity);
    bench.rest();
    assert_eq!(bench.all_of(&opportunity), before, "the other deal's record is as it was");
    let holders =
        |deal: &&Deal| deal.link(crm).is_some_and(|link| link.record.id.as_str() == opportunity);
    assert_eq!(
        (bench.sim.deals().len(), bench.sim.deals().iter().filter(holders).count()),
        (deals, 1)
    );
    let held = bench
        .sim
        .deals()
        .iter()
        .filter_map(|deal| deal.hold().map(|hold| hold.code.to_string()))
        .collect::<Vec<_>>();
    assert_eq!(held, ["two_records"], "and the deal of the lead waits");
    bench.edit(&opportunity);
    bench.rest();
    assert_eq!(check::untold(&bench.sim), [], "the other deal goes on");
}

#[test]
fn a_lead_that_was_turned_into_an_opportunity_of_before_takes_all_it_held_along() {
    let crm = CrmName::Salesforce;
    let mut bench = Bench::new(crm);
    let wrote = bench.edit(&bench.lead.clone());
    let opportunity = {
        let mut world = bench.sim.world.lock();
        let control = world.mappings[&(crm, RecordKind::Opportunity)].control().clone();
        let mut of_before = json!({ "Name": "Northwind of last year", "StageName": "Prospecting" });
        of_before[control.audit.as_str()] = json!(sentence::lead_became_this().0);
        of_before[control.referral_id.as_str()] = json!("5f0c1a52-1d0b-4a57-9c2e-3d9a54f1b001");
        let Json::Object(fields) = of_before else { unreachable!("an object") };
        crm::insert(&mut world, crm, RecordKind::Opportunity, &fields)
    };
    bench.turn_into(&opportunity);
    bench.rest();
    assert!(bench.is_over(), "the deal goes on with it");
    bench.check(&opportunity, &wrote, "carried along");
}
