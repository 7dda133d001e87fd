//! A person ties a deal to another record. The process is killed at every single point of it: at the
//! end one record carries the referral, the other is free, and each was told once.

use cosell_sync::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use cosell_sync::domain::notice::{NewNotice, Source, Subject};
use cosell_sync::domain::stage::Stage;
use cosell_sync::store::Store;
use cosell_sync::sync::relink;
use serde_json::{Value as Json, json};

use crate::creation::Plan;
use crate::dice::finish;
use crate::harness::{Setup, Sim, contoso};
use crate::people;
use crate::{check, crm};

/// A deal in step, and another record that is to take the place of its own.
struct Bench {
    sim: Sim,
    crm: CrmName,
    referral: String,
    old: String,
    new: String,
}

impl Bench {
    fn new(crm: CrmName) -> Self {
        let mut sim = Sim::new(&Setup::with(&[crm]));
        let referral = people::referral_arrives(&mut sim.world.lock());
        assert!(sim.come_to_rest(), "the deal arrives");
        let old = sim.world.lock().journal.created[0].3.clone();
        people::move_record(&mut sim.world.lock(), crm, &old, Stage::Active);
        assert!(sim.come_to_rest(), "it is accepted");
        let new = {
            let mut world = sim.world.lock();
            // What the other record held before nobody follows: its own words stay its own.
            let copied = world.crms[&crm].rows[&old].fields.clone();
            let control = world.mapping_of(crm, &old).control().clone();
            let own = [&control.referral_id, &control.sync, &control.audit];
            let kept =
                |name: &String| !own.contains(&name) && !name.to_lowercase().contains("unmapped");
            let fields = copied.into_iter().filter(|(name, _)| kept(name)).collect();
            crm::insert(&mut world, crm, RecordKind::Opportunity, &fields)
        };
        assert!(sim.come_to_rest(), "a record that nobody shares");
        Self { sim, crm, referral, old, new }
    }

    /// Asks for the other record, kills the process at `point`, and lets everything come to rest.
    /// The points there were.
    fn relink(&mut self, point: u64) -> u64 {
        let id = RecordId::new(self.new.as_str());
        let key = RecordKey { crm: self.crm, kind: RecordKind::Opportunity, id };
        let notice = NewNotice {
            account: contoso(),
            source: Source::Operator,
            subject: Subject::Deal(self.sim.deals()[0].id.clone()),
            event: relink::event(&key),
            dedupe: None,
            due: self.sim.now(),
        };
        let now = self.sim.now();
        finish(self.sim.memory.enqueue(vec![notice], Vec::new(), Vec::new(), now)).expect("stored");
        self.sim.world.lock().plan = Plan::killed_at(point);
        loop {
            let kills = self.sim.world.lock().journal.kills;
            assert!(self.sim.come_to_rest(), "{} at {point}: no rest", self.crm);
            if self.sim.world.lock().journal.kills == kills {
                return self.sim.world.lock().plan.points();
            }
        }
    }

    fn check(&self, point: u64) {
        let place = format!("{} killed at {point}", self.crm);
        let broken = check::broken_rules(&self.sim);
        assert!(broken.is_empty(), "{place}: {broken:?}");
        assert_eq!(
            check::untold(&self.sim),
            [],
            "{place}: every write is told, whatever was cut off"
        );
        assert!(self.sim.dead_letters().is_empty(), "{place}: nobody has to help");
        let deal = &self.sim.deals()[0];
        assert_eq!(deal.links[0].record.id.as_str(), self.new, "{place}: the link moved");
        let world = self.sim.world.lock();
        let control = world.mapping_of(self.crm, &self.new).control();
        let held = |id: &str, field: &String| {
            world.crms[&self.crm].rows[id].fields.get(field).cloned().unwrap_or_default()
        };
        assert_eq!(held(&self.new, &control.referral_id), json!(self.referral), "{place}");
        assert_eq!(held(&self.old, &control.referral_id), Json::Null, "{place}: it is free");
        assert_eq!(held(&self.new, &control.sync), json!(true), "{place}");
        assert_eq!(held(&self.old, &control.sync), json!(false), "{place}: and rests");
        assert_eq!(people::reference(&world, &self.referral), Some(self.new.clone()), "{place}");
        assert_eq!(world.journal.created.len(), 1, "{place}: nothing was made");
        for (id, line) in [(&self.new, "tied the deal"), (&self.old, "another record")] {
            let text = held(id, &control.audit);
            let text = text.as_str().unwrap_or_default();
            assert_eq!(text.matches(line).count(), 1, "{place}: told once: {text}");
        }
    }
}

#[test]
fn one_record_carries_the_referral_wherever_the_process_is_killed() {
    for crm in [CrmName::Dynamics365, CrmName::Salesforce] {
        let mut whole = Bench::new(crm);
        let end = whole.relink(0);
        whole.check(0);
        assert!(end > 20, "{end} points");
        for point in 1..=end {
            let mut bench = Bench::new(crm);
            bench.relink(point);
            assert_eq!(bench.sim.world.lock().journal.kills, 1, "{crm} at {point}");
            bench.check(point);
        }
    }
}
