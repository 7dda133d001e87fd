//! The store comes back from a backup, and both sides have gone on in the meantime: what is overwritten
//! because of the old memory is named, and nothing else happens.

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::deal::Deal;
use cosell_sync::domain::id::CrmName;
use cosell_sync::domain::stage::Stage;
use cosell_sync::store::{AuditQuery, Commit, Store};
use serde_json::json;

use crate::dice::finish;
use crate::harness::{Setup, Sim};
use crate::people::{self, record_value, referral_value};

const FIELD: &str = "details.closingDateTime";

/// A deal that was in step on 2027-01-01 when the backup was taken.
struct Bench {
    sim: Sim,
    crm: CrmName,
    referral: String,
    record: String,
    backup: Deal,
}

impl Bench {
    fn new(crm: CrmName) -> Self {
        let mut sim = Sim::new(&Setup::with(&[crm]));
        let referral = people::referral_arrives(&mut sim.world.lock());
        assert!(sim.come_to_rest(), "the deal arrives");
        let record = sim.world.lock().journal.created[0].3.clone();
        people::move_record(&mut sim.world.lock(), crm, &record, Stage::Active);
        assert!(sim.come_to_rest(), "it is accepted");
        let mut bench = Self { backup: sim.deals()[0].clone(), sim, crm, referral, record };
        bench.there("2027-01-01");
        assert!(bench.sim.come_to_rest());
        bench.backup = bench.sim.deals()[0].clone();
        bench
    }

    fn there(&self, date: &str) {
        let value = json!(format!("{date}T00:00:00Z"));
        people::set_referral(&mut self.sim.world.lock(), &self.referral, FIELD, value);
    }

    fn here(&self, date: &str) {
        let mut world = self.sim.world.lock();
        people::set_record(&mut world, self.crm, &self.record, FIELD, json!(date));
    }

    /// What a restore does to the deal, and everything that follows.
    fn restore(&mut self) {
        self.backup.doubt();
        let commit = Commit { deal: Some(self.backup.clone()), ..Commit::default() };
        finish(self.sim.memory.commit(commit)).expect("stored");
        self.sim.restart();
        self.sim.start_over();
        assert!(self.sim.come_to_rest());
    }

    /// The date on both sides, and every value that was named as lost since `entries`.
    fn outcome(&self, entries: usize) -> (String, String, Vec<String>) {
        let world = self.sim.world.lock();
        let there = referral_value(&world, &self.referral, FIELD).to_string();
        let here = record_value(&world, self.crm, &self.record, FIELD).to_string();
        let lost = self.conflicts();
        (there, here, lost[..lost.len() - entries].to_vec())
    }

    fn conflicts(&self) -> Vec<String> {
        let query = AuditQuery {
            kind: Some(AuditKind::Conflict),
            limit: usize::MAX,
            ..AuditQuery::default()
        };
        let entries = finish(self.sim.memory.audit(&query)).expect("the store works");
        let fields = entries.iter().flat_map(|entry| &entry.entry.fields);
        fields.map(|change| change.before.to_string()).collect()
    }
}

#[test]
fn what_an_old_memory_overwrites_is_named() {
    // Synced after the backup at Partner Center or in the CRM; then, unseen by the daemon, here or
    // there; what stays; what is named.
    type Row = (
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
        &'static str,
        &'static [&'static str],
        &'static str,
    );
    let table: [Row; 5] = [
        (None, None, None, "1 Jan 2027", &[], "nothing happened"),
        (Some("2027-02-02"), None, None, "2 Feb 2027", &[], "both hold what was synced since"),
        (None, None, Some("2027-03-03"), "3 Mar 2027", &["1 Jan 2027"], "which is newer?"),
        (
            Some("2027-02-02"),
            None,
            Some("2027-01-01"),
            "2 Feb 2027",
            &["1 Jan 2027"],
            "the seller went back to what the backup holds: the old base says Microsoft moved",
        ),
        (
            Some("2027-02-02"),
            Some("2027-01-01"),
            None,
            "2 Feb 2027",
            &["1 Jan 2027"],
            "Microsoft went back: the old base says the seller moved",
        ),
    ];
    for crm in [CrmName::Dynamics365, CrmName::Salesforce] {
        for (synced, there, here, stays, named, why) in table {
            let mut bench = Bench::new(crm);
            if let Some(date) = synced {
                bench.there(date);
                assert!(bench.sim.come_to_rest());
            }
            there.into_iter().for_each(|date| bench.there(date));
            here.into_iter().for_each(|date| bench.here(date));
            let before = bench.conflicts().len();
            bench.restore();
            let named: Vec<String> = named.iter().map(|&value| value.to_owned()).collect();
            let expected = (stays.to_owned(), stays.to_owned(), named);
            assert_eq!(bench.outcome(before), expected, "{crm}: {why}");
            let certain = bench.sim.deals()[0].links[0].base[FIELD].clone();
            assert!(!certain.doubtful, "{crm}: it is certain again, {why}");
            let writes = bench.sim.world.lock().journal.writes.len();
            assert!(bench.sim.come_to_rest());
            assert_eq!(
                bench.sim.world.lock().journal.writes.len(),
                writes,
                "{crm}: silence, {why}"
            );
        }
    }
}

/// Salesforce takes edits of a closed record. What its seller wrote there after the end was never sent,
/// so that no old memory of it may overwrite it.
#[test]
fn what_was_written_after_the_end_stays() {
    let mut bench = Bench::new(CrmName::Salesforce);
    people::move_record(&mut bench.sim.world.lock(), bench.crm, &bench.record, Stage::Lost);
    assert!(bench.sim.come_to_rest());
    bench.backup = bench.sim.deals()[0].clone();
    bench.here("2027-03-03");
    assert!(bench.sim.come_to_rest());
    let before = bench.conflicts().len();
    bench.restore();
    let expected = ("1 Jan 2027".to_owned(), "3 Mar 2027".to_owned(), Vec::new());
    assert_eq!(bench.outcome(before), expected);
}
