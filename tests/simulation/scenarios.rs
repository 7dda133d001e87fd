//! The lifecycle table of the product contract, row by row, in both directions, for each CRM.

use std::time::Duration;

use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::stage::Stage;
use cosell_sync::merge::view::WonEarly;
use serde_json::{Value as Json, json};

use crate::check::is_cut;
use crate::harness::{Setup, Sim};
use crate::people::{self, record_value, referral_value};

const CRMS: [CrmName; 2] = [CrmName::Dynamics365, CrmName::Salesforce];

/// What a person does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// At Partner Center.
    There(&'static str, &'static str),
    /// In the CRM.
    Here(Stage),
    /// The seller changes the deal value.
    Value,
}

use Act::{Here, There, Value};

/// One deal with its record, in step.
struct Deal {
    sim: Sim,
    crm: CrmName,
    referral: String,
    record: String,
}

impl Deal {
    fn arrived(crm: CrmName, won_early: WonEarly) -> Self {
        let mut sim = Sim::new(&Setup { won_early, ..Setup::with(&[crm]) });
        let referral = people::referral_arrives(&mut sim.world.lock());
        assert!(sim.come_to_rest(), "the deal arrives");
        let record = sim.world.lock().journal.created[0].3.clone();
        Self { sim, crm, referral, record }
    }

    fn act(&mut self, act: Act) {
        {
            let mut world = self.sim.world.lock();
            match act {
                There(status, substatus) => {
                    people::move_referral(&mut world, &self.referral, status, substatus);
                }
                Here(stage) => people::move_record(&mut world, self.crm, &self.record, stage),
                Value => {
                    people::edit_record(&mut world, self.crm, &self.record, "details.dealValue")
                }
            }
        }
        assert!(self.sim.come_to_rest(), "{act:?} comes to rest");
    }

    /// The state at Partner Center and the stage in the CRM.
    fn states(&self) -> (String, Stage) {
        let world = self.sim.world.lock();
        let fields = &world.referrals[&self.referral].fields;
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let row = &world.crms[&self.crm].rows[&self.record];
        let stage =
            world.mapping_of(self.crm, &self.record).stage_of(&row.fields).expect("a stage");
        (format!("{}/{}", text("status"), text("substatus")), stage)
    }

    fn audit_text(&self) -> String {
        let world = self.sim.world.lock();
        let field = world.mapping_of(self.crm, &self.record).control().audit.clone();
        let row = &world.crms[&self.crm].rows[&self.record];
        row.fields.get(&field).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// Whether both sides hold the same, or the record as much of it as its field takes.
    fn values_agree(&self) -> bool {
        let world = self.sim.world.lock();
        people::FIELDS.iter().all(|field| {
            let there = referral_value(&world, &self.referral, field);
            let here = record_value(&world, self.crm, &self.record, field);
            there == here || is_cut(self.crm, &there, &here)
        })
    }
}

#[test]
fn every_row_of_the_lifecycle_table_holds_in_both_directions() {
    use Stage::{Active, Lost, OnHold, Won};
    let table: &[(&[Act], &str, Stage, &str)] = &[
        (&[], "New/Pending", OnHold, "an opportunity arrives and waits in the on-hold stage"),
        (&[Value], "New/Pending", OnHold, "seller edits are kept until the accept"),
        (&[There("Active", "Accepted")], "Active/Accepted", Active, "accepted at Partner Center"),
        (&[Here(Active)], "Active/Accepted", Active, "moved to an active stage: accepted"),
        (&[Value, Here(Active)], "Active/Accepted", Active, "accepted with what the seller edited"),
        (&[Here(Active), There("Closed", "Won")], "Closed/Won", Won, "won at Partner Center"),
        (&[Here(Active), Here(Won)], "Closed/Won", Won, "won in the CRM"),
        (&[Here(Won)], "Closed/Won", Won, "won while still New: accept, then win"),
        (&[Here(Active), There("Closed", "Lost")], "Closed/Lost", Lost, "lost at Partner Center"),
        (&[Here(Active), Here(Lost)], "Closed/Lost", Lost, "lost in the CRM"),
        (&[There("Closed", "Declined")], "Closed/Declined", Lost, "declined at Partner Center"),
        (&[Here(Lost)], "Closed/Declined", Lost, "closed while New: declined"),
        (
            &[There("Closed", "Expired")],
            "Closed/Expired",
            Lost,
            "expired, from Partner Center only",
        ),
        (&[There("Closed", "Error")], "Closed/Error", Lost, "an error, from Partner Center only"),
    ];
    for crm in CRMS {
        for (acts, referral, record, why) in table {
            let mut deal = Deal::arrived(crm, WonEarly::Send);
            for act in *acts {
                deal.act(*act);
            }
            assert_eq!(deal.states(), ((*referral).to_owned(), *record), "{crm}: {why}");
            let waits = *referral == "New/Pending" && !acts.is_empty();
            assert_eq!(deal.values_agree(), !waits, "{crm}: values, {why}");
            assert!(deal.sim.dead_letters().is_empty(), "{crm}: nothing is held, {why}");
            let broken = &deal.sim.world.lock().journal.broken;
            assert!(broken.is_empty(), "{crm}: {why}: {broken:?}");
        }
    }
}

#[test]
fn accepting_sends_the_seller_s_values_in_the_same_patch() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        deal.act(Value);
        deal.act(Here(Stage::Active));
        let world = deal.sim.world.lock();
        let patches: Vec<&str> = world
            .journal
            .writes
            .iter()
            .filter(|write| write.object == deal.referral && write.what.contains("status"))
            .map(|write| write.what.as_str())
            .collect();
        assert_eq!(patches.len(), 1, "{crm}: {patches:?}");
        assert!(patches[0].contains("details.dealValue"), "{crm}: {patches:?}");
    }
}

#[test]
fn an_early_win_waits_by_itself_if_told_to() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Wait);
        deal.act(Here(Stage::Won));
        assert_eq!(deal.states(), ("Active/Accepted".to_owned(), Stage::Won), "{crm}: it waits");
        deal.sim.pass(Duration::from_secs(73 * 60 * 60));
        assert!(deal.sim.come_to_rest());
        assert_eq!(deal.states(), ("Closed/Won".to_owned(), Stage::Won), "{crm}: the time is up");
    }
}

#[test]
fn what_is_closed_at_partner_center_is_final_and_said_once() {
    let crm = CrmName::Salesforce;
    let mut deal = Deal::arrived(crm, WonEarly::Send);
    deal.act(There("Closed", "Declined"));
    let before = referral_value(&deal.sim.world.lock(), &deal.referral, "details.dealValue");
    deal.act(Value);
    deal.act(Value);
    let after = referral_value(&deal.sim.world.lock(), &deal.referral, "details.dealValue");
    assert_eq!(before, after, "later edits are not pushed");
    let told = deal.audit_text().matches("Later changes here are not sent").count();
    assert_eq!(told, 1, "{}", deal.audit_text());
}

#[test]
fn a_deleted_record_is_never_made_again() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        crate::crm::delete(&mut deal.sim.world.lock(), crm, &deal.record);
        assert!(deal.sim.come_to_rest());
        people::edit_referral(&mut deal.sim.world.lock(), &deal.referral, "details.notes");
        assert!(deal.sim.come_to_rest());
        let world = deal.sim.world.lock();
        assert_eq!(world.journal.created.len(), 1, "{crm}: no new record");
        assert_eq!(world.referrals[&deal.referral].fields["status"], "New", "left alone");
    }
}

#[test]
fn a_record_that_was_only_hidden_goes_on_when_it_can_be_read_again() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        deal.act(Here(Stage::Active));
        crate::crm::delete(&mut deal.sim.world.lock(), crm, &deal.record);
        assert!(deal.sim.come_to_rest());
        assert!(deal.sim.deals()[0].links[0].is_cut(), "{crm}: it cannot be read");
        crate::crm::restore(&mut deal.sim.world.lock(), crm, &deal.record);
        deal.act(There("Closed", "Lost"));
        assert_eq!(deal.states().1, Stage::Active, "{crm}: nobody has looked at it yet");
        deal.sim.start_over();
        assert!(deal.sim.come_to_rest());
        assert_eq!(deal.states().1, Stage::Lost, "{crm}: it caught up");
        assert!(!deal.sim.deals()[0].links[0].is_cut(), "{crm}: the link goes on");
    }
}

#[test]
fn an_unticked_deal_rests_and_catches_up_when_ticked() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        deal.act(Here(Stage::Active));
        let sync = deal.sim.world.lock().mapping_of(crm, &deal.record).control().sync.clone();
        let tick = |on: bool| {
            let mut fields = json!({});
            fields[sync.as_str()] = json!(on);
            fields
        };
        people::set_control(&mut deal.sim.world.lock(), crm, &deal.record, tick(false));
        deal.act(Value);
        assert!(!deal.values_agree(), "{crm}: paused");
        people::edit_referral(&mut deal.sim.world.lock(), &deal.referral, "details.notes");
        people::set_control(&mut deal.sim.world.lock(), crm, &deal.record, tick(true));
        assert!(deal.sim.come_to_rest());
        assert!(deal.values_agree(), "{crm}: both edits survive");
    }
}

#[test]
fn a_shared_record_becomes_one_referral_and_one_request_for_help() {
    for crm in CRMS {
        let mut sim = Sim::new(&Setup::with(&[crm]));
        let record = people::record_is_shared(&mut sim.world.lock(), crm);
        assert!(sim.come_to_rest());
        {
            let mut world = sim.world.lock();
            // Microsoft wants a contact of the customer; one of the shipped mappings carries none.
            for stored in world.referrals.values_mut() {
                stored.fields["customerProfile"]["team"] =
                    json!([{ "email": "buyer@fabrikam.example" }]);
            }
            let control = world.mapping_of(crm, &record).control().clone();
            let (label, _) = control.help_codes[0].clone();
            let code = label.parse::<i64>().map_or_else(|_| json!(label), |code| json!(code));
            let mut help = json!({});
            help[control.help.as_deref().expect("mapped")] = code;
            people::set_control(&mut world, crm, &record, help);
        }
        assert!(sim.come_to_rest());
        let made = sim.world.lock().journal.made.clone();
        let kinds: Vec<&str> = made.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["externalReferenceId", "engagementId"], "{crm}");
        assert_eq!(made[0].1, record, "{crm}");
    }
}

#[test]
fn a_deal_shared_from_one_crm_arrives_in_the_other() {
    for primary in CRMS {
        let other = if primary == CRMS[0] { CRMS[1] } else { CRMS[0] };
        let mut sim = Sim::new(&Setup::with(&[primary, other]));
        let record = people::record_is_shared(&mut sim.world.lock(), primary);
        assert!(sim.come_to_rest());
        let (twin, referral) = {
            let world = sim.world.lock();
            let (crm, _, referral, twin) = &world.journal.created[0];
            assert_eq!(*crm, other);
            (twin.clone(), referral.clone())
        };
        people::edit_record(&mut sim.world.lock(), primary, &record, "details.notes");
        assert!(sim.come_to_rest());
        let world = sim.world.lock();
        let here = record_value(&world, primary, &record, "details.notes");
        assert_eq!(referral_value(&world, &referral, "details.notes"), here, "the hub");
        let there = record_value(&world, other, &twin, "details.notes");
        assert!(here == there || is_cut(other, &here, &there), "{here} and {there}");
        assert_eq!(people::reference(&world, &referral), Some(record), "the primary's id");
    }
}

#[test]
fn shadow_mode_writes_nothing() {
    let mut sim = Sim::new(&Setup { shadow: true, ..Setup::with(&CRMS) });
    people::referral_arrives(&mut sim.world.lock());
    people::record_is_shared(&mut sim.world.lock(), CrmName::Dynamics365);
    for _ in 0..20 {
        sim.turn(true);
        sim.pass(Duration::from_secs(60));
    }
    let world = sim.world.lock();
    assert!(world.journal.writes.is_empty(), "{:?}", world.journal.writes);
}

#[test]
fn a_long_outage_of_everything_holds_nothing() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        deal.act(Here(Stage::Active));
        deal.sim.world.lock().chaos.fault = 1000;
        people::edit_referral(&mut deal.sim.world.lock(), &deal.referral, "details.notes");
        deal.sim.deliver(10);
        for _ in 0..300 {
            deal.sim.turn(true);
            deal.sim.pass(Duration::from_secs(45));
        }
        assert!(deal.sim.dead_letters().is_empty(), "{crm}: hours without an answer hold nothing");
        deal.sim.world.lock().chaos.fault = 0;
        assert!(deal.sim.come_to_rest());
        assert!(deal.values_agree(), "{crm}: it catches up by itself");
    }
}

#[test]
fn a_deal_whose_tries_all_fail_while_others_go_on_waits_for_a_person() {
    for crm in CRMS {
        let mut sim = Sim::new(&Setup::with(&[crm]));
        // Everything can be read, and every write finds that somebody was faster.
        sim.world.lock().chaos.storm = 1000;
        people::referral_arrives(&mut sim.world.lock());
        for _ in 0..40 {
            sim.turn(true);
            sim.pass(Duration::from_secs(300));
        }
        let letters = sim.dead_letters();
        let codes: Vec<&str> = letters.iter().map(|letter| letter.hold.code.as_str()).collect();
        assert_eq!(codes, ["gave_up"], "{crm}: {letters:?}");
        assert!(letters[0].hold.reason.starts_with("16 tries failed"), "{crm}: {letters:?}");
        sim.world.lock().chaos.storm = 0;
        assert_eq!(sim.retry_all(), 1, "{crm}");
        assert!(sim.come_to_rest());
        assert_eq!(sim.world.lock().journal.created.len(), 1, "{crm}: it arrives");
        assert!(sim.dead_letters().is_empty(), "{crm}");
    }
}

#[test]
fn what_was_ignored_is_offered_again_when_everything_is_read_anew() {
    for crm in CRMS {
        let mut sim = Sim::new(&Setup { shadow: true, ..Setup::with(&[crm]) });
        people::record_is_shared(&mut sim.world.lock(), crm);
        assert!(sim.come_to_rest());
        sim.setup.shadow = false;
        sim.restart();
        sim.start_over();
        assert!(sim.come_to_rest());
        assert_eq!(sim.world.lock().journal.made.len(), 1, "{crm}: shared under today's settings");
    }
}

#[test]
fn two_records_with_one_referral_are_held_and_never_guessed_about() {
    for crm in CRMS {
        let mut deal = Deal::arrived(crm, WonEarly::Send);
        {
            let mut world = deal.sim.world.lock();
            let fields = world.crms[&crm].rows[&deal.record].fields.clone();
            crate::crm::insert(&mut world, crm, RecordKind::Opportunity, &fields);
        }
        assert!(deal.sim.come_to_rest());
        let letters = deal.sim.dead_letters();
        assert_eq!(letters.len(), 1, "{crm}: the copy waits for a person");
        assert_eq!(letters[0].hold.code, "two_records", "{crm}");
        deal.act(Here(Stage::Active));
        assert_eq!(
            deal.states(),
            ("Active/Accepted".to_owned(), Stage::Active),
            "the deal goes on"
        );
    }
}
