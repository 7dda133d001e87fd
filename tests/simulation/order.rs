//! I8, I9 and I17: how often events are worked, in which order, mixed with those of which other deals
//! and from how old a cursor changes nothing of what there is at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::stage::Stage;
use cosell_sync::store::{AuditQuery, Store};
use serde_json::json;

use crate::dice::finish;
use crate::harness::{Setup, Sim};
use crate::people::{self, FIELDS, record_value, referral_value};

use CrmName::{Dynamics365, Salesforce};

/// Deals that are in step, after which people edit them all before the daemon looks again.
struct Deals {
    sim: Sim,
    referrals: Vec<String>,
}

/// What there is of one deal at the end, without what only tells when and by which number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    referral: BTreeMap<String, String>,
    records: Vec<String>,
    base: String,
    conflicts: Vec<String>,
}

impl Deals {
    /// Three deals, the first of them accepted, and a lead, all of them in both CRMs.
    fn arrived(seed: u64) -> Self {
        let mut sim = Sim::new(&Setup { seed, ..Setup::with(&[Dynamics365, Salesforce]) });
        let referrals = {
            let mut world = sim.world.lock();
            let mut referrals: Vec<String> =
                (0..3).map(|_| people::referral_arrives(&mut world)).collect();
            referrals.push(people::lead_arrives(&mut world, true));
            referrals
        };
        assert!(sim.come_to_rest(), "the deals arrive");
        people::move_referral(&mut sim.world.lock(), &referrals[0], "Active", "Accepted");
        assert!(sim.come_to_rest(), "the first is accepted");
        sim.world.lock().webhooks.clear();
        Self { sim, referrals }
    }

    /// The record that was made for a referral.
    fn record(&self, crm: CrmName, referral: &str) -> String {
        let world = self.sim.world.lock();
        let mut made = world.journal.created.iter();
        let made = made.find(|(of, _, for_, _)| *of == crm && for_ == referral);
        made.expect("a record").3.clone()
    }

    /// Each deal is edited in another way: on one side, on all, in conflict, and accepted.
    fn edit(&self) {
        let [first, second, third, lead] = &self.referrals[..] else { panic!("four deals") };
        let (here, there) = (self.record(Dynamics365, first), self.record(Salesforce, second));
        let (closed, turned) = (self.record(Salesforce, third), self.record(Dynamics365, lead));
        let world = &mut self.sim.world.lock();
        people::set_referral(world, first, "details.dealValue", json!(7001));
        people::set_record(world, Dynamics365, &here, "details.dealValue", json!(7002));
        people::set_record(
            world,
            Dynamics365,
            &here,
            "details.closingDateTime",
            json!("2028-01-02"),
        );
        people::set_referral(world, second, "details.notes", json!("from Microsoft"));
        people::set_record(world, Salesforce, &there, "details.dealValue", json!(7003));
        people::move_record(world, Salesforce, &there, Stage::Active);
        people::move_record(world, Salesforce, &closed, Stage::Won);
        people::set_record(world, Dynamics365, &turned, "details.dealValue", json!(7004));
        people::move_referral(world, lead, "Active", "Accepted");
        world.webhooks.clear();
    }

    fn outcome(&self, referral: &str) -> Outcome {
        let deals = self.sim.deals();
        let deal = deals
            .iter()
            .find(|deal| deal.referral_id.as_ref().is_some_and(|id| id.as_str() == referral))
            .expect("a deal");
        let query =
            AuditQuery { deal: Some(deal.id.clone()), limit: 1000, ..AuditQuery::default() };
        let entries = finish(self.sim.memory.audit(&query)).expect("the store works");
        let mut conflicts: Vec<String> = entries
            .iter()
            .filter(|entry| entry.entry.kind == AuditKind::Conflict)
            .flat_map(|entry| &entry.entry.fields)
            .map(|change| format!("{} {} -> {}", change.field, change.before, change.after))
            .collect();
        conflicts.sort();
        let world = self.sim.world.lock();
        let stored = &world.referrals[referral].fields;
        let mut held: BTreeMap<String, String> = FIELDS
            .iter()
            .map(|field| ((*field).to_owned(), referral_value(&world, referral, field).to_string()))
            .collect();
        held.insert("state".to_owned(), format!("{}/{}", stored["status"], stored["substatus"]));
        let records = deal.links.iter().map(|link| {
            let (crm, id) = (link.record.crm, link.record.id.as_str());
            let values = FIELDS.map(|field| record_value(&world, crm, id, field).to_string());
            let row = &world.crms[&crm].rows[id];
            let stage = world.mappings[&(crm, row.kind)].stage_of(&row.fields);
            format!("{crm} {:?} {stage:?} {values:?}", link.record.kind)
        });
        let base = deal.links.iter().map(|link| format!("{:?} {:?}", link.base, link.base_stage));
        Outcome {
            referral: held,
            records: records.collect(),
            base: base.collect::<Vec<_>>().join("\n"),
            conflicts,
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.referrals.iter().map(|id| self.outcome(id)).collect()
    }
}

/// What comes of it when the events are worked in this order, each as often as it stands there.
fn worked(seed: u64, order: &[usize]) -> (Deals, Vec<Outcome>) {
    let mut deals = Deals::arrived(seed);
    deals.edit();
    for at in order {
        deals.sim.hand_in(&deals.referrals[*at], "referral-updated");
    }
    for at in order {
        // Each is worked, alone or beside the others, before it comes a second time.
        deals.sim.turn(false);
        deals.sim.hand_in(&deals.referrals[*at], "referral-updated");
        deals.sim.pass(Duration::from_secs(2));
    }
    assert!(deals.sim.come_to_rest(), "seed {seed}, {order:?}: comes to rest");
    let broken = deals.sim.world.lock().journal.broken.clone();
    assert!(broken.is_empty(), "seed {seed}, {order:?}: {broken:?}");
    let outcomes = deals.outcomes();
    (deals, outcomes)
}

#[test]
fn events_once_or_many_times_in_any_order_come_to_the_same() {
    let orders: [&[usize]; 7] = [
        &[],
        &[0, 1, 2, 3],
        &[3, 2, 1, 0],
        &[1, 1, 1, 0, 2, 2, 3],
        &[0, 3, 0, 3, 0, 3],
        &[2, 0, 2, 1, 3, 1, 0],
        &[3, 3, 3, 3, 3, 3, 3, 3],
    ];
    let (_, expected) = worked(1, &[0, 1, 2, 3]);
    assert!(expected[0].conflicts.len() == 1, "two edits of one field: {:?}", expected[0]);
    assert_eq!(expected[1].referral["details.dealValue"], "7,003", "accepted with its value");
    assert_eq!(expected[1].referral["details.notes"], "from Microsoft");
    assert_eq!(expected[2].referral["state"], r#""Closed"/"Won""#);
    assert!(expected[3].records.iter().all(|record| record.contains("Opportunity")));
    for order in orders {
        // Another seed: other turns of the same tries, so other moments at which they meet.
        for seed in 1..=8 {
            let (_, outcomes) = worked(seed, order);
            assert_eq!(outcomes, expected, "seed {seed}, {order:?}");
        }
    }
}

#[test]
fn a_deal_worked_among_others_ends_as_it_does_alone() {
    let (_, expected) = worked(1, &[0, 1, 2, 3]);
    for (at, expected) in expected.iter().enumerate() {
        let (_, outcomes) = worked(5, &[at]);
        assert_eq!(outcomes[at], *expected, "deal {at}");
    }
}

#[test]
fn reading_everything_again_from_an_older_cursor_changes_nothing() {
    for order in [&[0, 1, 2, 3][..], &[3, 1]] {
        let (mut deals, expected) = worked(3, order);
        let writes = deals.sim.world.lock().journal.writes.len();
        for state in deals.sim.world.lock().crms.values_mut() {
            state.epoch += 1;
        }
        deals.sim.start_over();
        deals.sim.restart();
        assert!(deals.sim.come_to_rest());
        assert_eq!(deals.outcomes(), expected, "{order:?}");
        let after = deals.sim.world.lock().journal.writes.split_off(writes);
        assert!(after.is_empty(), "{order:?}: {after:?}");
    }
}

/// I6 for each CRM alone and both together, for deals and leads, begun by either side: ten minutes
/// of polls, of late events and of events that come twice make no write.
#[test]
fn after_everything_agrees_ten_minutes_of_polls_write_nothing() {
    let installations: [&[CrmName]; 4] =
        [&[Dynamics365], &[Salesforce], &[Dynamics365, Salesforce], &[Salesforce, Dynamics365]];
    for crms in installations {
        let mut sim = Sim::new(&Setup::with(crms));
        {
            let world = &mut sim.world.lock();
            people::referral_arrives(world);
            people::lead_arrives(world, true);
            people::lead_arrives(world, false);
            people::record_is_shared(world, crms[0]);
            people::lead_is_shared(world, crms[0]);
        }
        assert!(sim.come_to_rest(), "{crms:?}");
        let kinds: Vec<RecordKind> = sim
            .deals()
            .iter()
            .flat_map(|deal| deal.links.iter().map(|link| link.record.kind))
            .collect();
        assert_eq!(kinds.len(), 5 * crms.len(), "{crms:?}: all five deals are in every CRM");
        let leads = kinds.iter().filter(|kind| **kind == RecordKind::Lead).count();
        assert!(leads >= 2 * crms.len(), "{crms:?}: leads among them: {kinds:?}");
        let referrals: Vec<String> = sim.world.lock().referrals.keys().cloned().collect();
        let before = sim.world.lock().journal.writes.clone();
        assert!(before.len() >= 5, "{crms:?}: there was something to write");
        for minute in 0..20 {
            for id in &referrals {
                sim.hand_in(id, "referral-updated");
            }
            if minute == 10 {
                sim.start_over();
            }
            sim.turn(true);
            sim.pass(Duration::from_secs(30));
        }
        let after = sim.world.lock().journal.writes.split_off(before.len());
        assert!(after.is_empty(), "{crms:?}: {after:?}");
    }
}
