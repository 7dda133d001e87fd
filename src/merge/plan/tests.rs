use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Plan, plan};
use crate::domain::deal::{
    Deal, Intent, IntentAction, Link, LinkState, Parked, Remembered, StageAgreement, Standing,
    Target, Values,
};
use crate::domain::id::{AccountName, CrmName, DealId, RecordId, RecordKey, RecordKind};
use crate::domain::record::{Fields, Record, Version};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::mapping::{Mapping, load_directory};
use crate::merge::field::agree;
use crate::merge::settle::{self, settle, settle_landed};
use crate::merge::view::{RecordView, Settings, Situation, WonEarly};

const ID: &str = "11111111-2222-4333-8444-555555555555";

/// A deal in step with its opportunity of Dynamics 365.
struct Bench {
    mapping: Mapping,
    settings: Settings,
    deal: Deal,
    referral: Json,
    record: Fields,
}

impl Bench {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
        let shipped = load_directory(&folder).expect("the shipped mappings");
        let mapping = shipped.into_iter().find(|mapping| {
            mapping.crm() == CrmName::Dynamics365 && mapping.kind() == RecordKind::Opportunity
        });
        let mut bench = Self {
            mapping: mapping.expect("one of them"),
            settings: Settings {
                primary_crm: CrmName::Dynamics365,
                won_before_72h: WonEarly::Send,
                newest_margin: Duration::from_secs(5),
                time_zone: "UTC".to_owned(),
            },
            deal: deal(),
            referral: json!({
                "id": ID, "name": "Northwind ERP move", "externalReferenceId": "r-1",
                "status": "Active", "substatus": "Accepted", "organizationId": "contoso",
                "createdDateTime": "2026-09-01T00:00:00Z", "eTag": "\"1\"",
                "updatedDateTime": "2026-09-10T00:00:00Z",
                "details": { "dealValue": 100, "currency": "EUR", "notes": "Begin" },
            }),
            record: Fields::new(),
        };
        let record = json!({
            "pc_referralidentifier": ID, "pc_syncwithpartnercenter": true, "statecode": 0,
            "statuscode": 1, "name": "Northwind ERP move", "estimatedvalue": 100,
            "transactioncurrencyid.isocurrencycode": "EUR", "description": "Begin",
            "pc_syncstatus": "In sync",
        });
        bench.record = record.as_object().expect("an object").clone();
        let here = bench.mapping.read_record(&bench.record).values;
        let there = bench.mapping.read_referral(&bench.read()).values;
        for (field, value) in &there {
            let held = here.get(field).unwrap_or(value);
            agree(&mut bench.deal.links[0].base, field, value, held);
        }
        // What the template of the link makes of it is in the record too.
        let plan = bench.plan();
        for (field, value) in plan.crms.iter().flat_map(|write| write.control.clone()) {
            bench.record.insert(field, value);
        }
        assert!(bench.plan().writes_nothing(), "{:#?}", bench.plan());
        bench
    }

    fn read(&self) -> Referral {
        Referral::from_json(self.referral.clone()).expect("a referral")
    }

    fn plan(&self) -> Plan {
        self.look(plan)
    }

    fn look<T>(&self, what: impl FnOnce(&Situation<'_>) -> T) -> T {
        let record = Record {
            key: self.deal.links[0].record.clone(),
            version: Version("1".to_owned()),
            modified: Timestamp::parse("2026-09-10T00:00:00Z").expect("an instant"),
            fields: self.record.clone(),
        };
        let referral = self.read();
        let view = RecordView {
            record: &record,
            mapping: &self.mapping,
            record_values: self.mapping.read_record(&self.record),
            referral_values: self.mapping.read_referral(&referral),
            stage: self.mapping.stage_of(&self.record),
            fields: self.mapping.fields(),
            control: self.mapping.control(),
            stages: self.mapping.stages(),
        };
        what(&Situation {
            deal: &self.deal,
            referral: &referral,
            records: vec![view],
            settings: &self.settings,
            now: Timestamp::parse("2026-09-20T00:00:00Z").expect("an instant"),
        })
    }

    /// As after a write that landed: what the record holds, and what the base remembers.
    fn carry_out(&mut self, plan: &Plan) {
        for write in &plan.crms {
            let referral = self.read();
            let occasion = crate::mapping::rule::Occasion::Update;
            let fields = self.mapping.write_record(&write.values, Some(&referral), occasion);
            self.record.extend(fields.expect("only what fits is planned"));
            let held = self.look(|one| one.records[0].standing_value(write.standing));
            self.record.insert("pc_syncstatus".to_owned(), held.expect("mapped"));
            self.deal.links[0].standing = Some(write.standing);
        }
        let there = self.mapping.read_referral(&self.read());
        let here = self.mapping.read_record(&self.record);
        let stage = self.mapping.stage_of(&self.record);
        for outcome in &plan.links {
            self.deal.links[0].parked = outcome.parked.clone();
            settle(&mut self.deal.links[0], outcome, &there, &here, stage);
        }
    }
}

fn deal() -> Deal {
    let now = Timestamp::from_millis(0);
    let record = RecordKey {
        crm: CrmName::Dynamics365,
        kind: RecordKind::Opportunity,
        id: RecordId::new("r-1"),
    };
    let active = StageAgreement { referral: Stage::Active, record: Stage::Active };
    Deal {
        id: DealId::new("d-1"),
        account: AccountName::new("contoso"),
        referral_id: None,
        engagement_id: None,
        microsoft_referral_id: None,
        microsoft: None,
        referral_version: None,
        referral_state: None,
        links: vec![Link {
            record,
            state: LinkState::Live,
            version: None,
            base: std::collections::BTreeMap::new(),
            base_stage: Some(active),
            stage_doubtful: false,
            hold: None,
            told: Vec::new(),
            pending: Vec::new(),
            columns: std::collections::BTreeMap::new(),
            former: std::collections::BTreeMap::new(),
            stage_seen: None,
            lead: None,
            parked: Vec::new(),
            standing: Some(Standing::InSync),
        }],
        intents: Vec::new(),
        created: now,
        changed: now,
    }
}

#[test]
fn a_value_that_does_not_fit_rests_alone_is_told_once_and_goes_on_when_changed() {
    let mut bench = Bench::new();
    bench.referral["statusReason"] = json!("x".repeat(1500));
    bench.referral["details"]["dealValue"] = json!(250);
    let first = bench.plan();
    let write = first.crms.first().expect("a write");
    assert_eq!(write.values.keys().collect::<Vec<_>>(), ["details.dealValue"]);
    assert_eq!(write.standing, Standing::NeedsAttention);
    assert!(write.lines.iter().any(|line| line.0.starts_with("Not synced:")), "{write:?}");
    assert_eq!(first.links[0].parked.len(), 1);
    assert!(!first.links[0].settled.contains(&"statusReason".to_owned()));
    bench.carry_out(&first);
    assert!(bench.plan().writes_nothing(), "no second try: {:?}", bench.plan());
    assert_eq!(bench.plan().links[0].parked.len(), 1, "it still rests");

    bench.referral["statusReason"] = json!("y".repeat(1600));
    assert!(bench.plan().writes_nothing(), "the same reason is told once: {:?}", bench.plan());
    bench.referral["statusReason"] = json!("Budget");
    let last = bench.plan();
    assert_eq!(last.crms[0].values.keys().collect::<Vec<_>>(), ["statusReason"]);
    assert_eq!(last.crms[0].standing, Standing::InSync);
    bench.carry_out(&last);
    assert!(bench.plan().writes_nothing() && bench.plan().links[0].parked.is_empty());
}

/// A deal that another tool linked, so that nothing is known of what both sides agreed on: only a text
/// as long as the column is taken for one that was cut.
#[test]
fn a_shorter_text_of_an_adopted_record_is_the_seller_s_own_unless_its_column_is_full() {
    let long = "Ask again in May. ".repeat(130);
    let full: String = long.chars().take(2000).collect();
    let table = [
        (full.as_str(), false, "as much as the column holds"),
        ("Ask again in May.", true, "the seller's own, shorter words"),
        (&full[..1999], true, "one letter less than the column holds"),
    ];
    for (held, is_named, why) in table {
        let mut bench = Bench::new();
        bench.referral["details"]["notes"] = json!(long);
        bench.record.insert("description".to_owned(), json!(held));
        bench.deal.links[0].base.remove("details.notes");
        let plan = bench.plan();
        let of_crms = plan.crms.iter().flat_map(|write| &write.conflicts);
        let of_referral = plan.partner_center.iter().flat_map(|write| &write.conflicts);
        let named = of_crms.chain(of_referral).any(|one| one.field == "details.notes");
        let asked = plan.holds.len() == 1;
        assert_eq!(named || asked, is_named, "{why}: {plan:?}");
    }
}

#[test]
fn a_seller_is_told_of_a_row_without_a_field_once_and_beside_something_else() {
    let mut bench = Bench::new();
    bench.mapping = bench.mapping.without(&["description"]);
    assert!(bench.plan().writes_nothing(), "not for its own sake");
    let mut told = Vec::new();
    for value in [250, 300] {
        bench.referral["details"]["dealValue"] = json!(value);
        let plan = bench.plan();
        told.extend(plan.crms[0].lines.iter().map(|line| line.0.clone()));
        bench.carry_out(&plan);
    }
    let expected = "Not synced: Notes; the opportunity of Dynamics 365 has no field description. Your \
                    administrator knows what to do.";
    assert_eq!(told, [expected]);
    assert!(bench.plan().writes_nothing());
}

#[test]
fn a_field_that_does_not_fit_keeps_its_group_back() {
    let mut bench = Bench::new();
    bench.referral["details"]["dealValue"] = json!(250);
    bench.referral["details"]["currency"] = json!("USD");
    bench.referral["details"]["notes"] = json!("More");
    let refused = (Target::Crm(CrmName::Dynamics365), Remembered::of(&Value::text("USD")));
    bench.deal.links[0].parked.push(Parked {
        field: "details.currency".to_owned(),
        reason: "Dynamics 365 did not take it.".to_owned(),
        fix: "Change it.".to_owned(),
        refused: Some(refused),
    });
    let first = bench.plan();
    let written: Vec<&String> = first.crms.iter().flat_map(|write| write.values.keys()).collect();
    assert_eq!(written, ["details.notes"], "neither currency nor value: {first:#?}");
    bench.referral["details"]["currency"] = json!("CHF");
    let next = bench.plan();
    assert!(next.crms[0].values.contains_key("details.currency"), "another value is tried");
    assert!(next.links[0].parked.is_empty());
}

#[test]
fn what_was_told_is_remembered_by_topic_and_never_pushes_anything_out() {
    let mut bench = Bench::new();
    bench.deal.links[0].told.push(crate::merge::sentence::key("was_visible"));
    for round in 0..200 {
        bench.referral["statusReason"] = json!("z".repeat(1500 + round));
        let plan = bench.plan();
        bench.carry_out(&plan);
    }
    let told = &bench.deal.links[0].told;
    assert!(told.len() < 5, "{told:?}");
    assert!(told.contains(&crate::merge::sentence::key("was_visible")));
}

#[test]
fn the_status_field_shows_each_word_once() {
    let mut bench = Bench::new();
    bench.record.insert("pc_syncstatus".to_owned(), json!("My own words"));
    assert!(bench.plan().writes_nothing(), "what a person writes over it stays");
    bench.deal.links[0].standing = None;
    let plan = bench.plan();
    assert!(plan.crms[0].standing_is_due && plan.crms[0].values.is_empty());
    bench.carry_out(&plan);
    assert!(bench.plan().writes_nothing());
    bench.referral["status"] = json!("Closed");
    bench.referral["substatus"] = json!("Lost");
    assert_eq!(bench.plan().crms[0].standing, Standing::Closed);
}

/// Nothing can be sent any more once a deal has ended. What the seller edits then stays in the
/// record, and is named as lost should Partner Center change the same value after all.
#[test]
fn an_edit_after_the_end_is_named_when_it_is_overwritten() {
    let mut bench = Bench::new();
    bench.referral["status"] = json!("Closed");
    bench.referral["substatus"] = json!("Lost");
    let plan = bench.plan();
    bench.carry_out(&plan);
    bench.record.insert("description".to_owned(), json!("Ask again in May"));
    let plan = bench.plan();
    assert!(plan.partner_center.is_none(), "it is not sent");
    bench.carry_out(&plan);
    assert_eq!(bench.record["description"], "Ask again in May", "and stays");
    bench.referral["details"]["notes"] = json!("Lost to Fabrikam");
    let plan = bench.plan();
    let lost = plan
        .crms
        .iter()
        .flat_map(|write| &write.conflicts)
        .find(|one| one.field == "details.notes");
    let lost = lost.expect("a conflict");
    assert_eq!(lost.lost, Value::text("Ask again in May"));
    assert_eq!(lost.winner, Target::PartnerCenter);
    assert_eq!(plan.crms[0].values["details.notes"], Value::text("Lost to Fabrikam"));
}

/// After a restore nobody knows what was agreed on since. A referral that has ended and holds what the
/// backup says has not moved all the same: the seller's edit after the end stays, and nobody lost.
#[test]
fn an_edit_after_the_end_stays_when_the_store_comes_from_a_backup() {
    let table = [
        ("Begin", None, "only the seller has written"),
        ("Lost to Fabrikam", Some("Ask again in May"), "both sides moved since the backup: named"),
    ];
    for (there, lost, why) in table {
        let mut bench = Bench::new();
        bench.referral["status"] = json!("Closed");
        bench.referral["substatus"] = json!("Lost");
        let plan = bench.plan();
        bench.carry_out(&plan);
        bench.record.insert("description".to_owned(), json!("Ask again in May"));
        bench.referral["details"]["notes"] = json!(there);
        bench.deal.doubt();
        let plan = bench.plan();
        let of_crms = plan.crms.iter().flat_map(|write| &write.conflicts);
        let named: Vec<&Value> = of_crms.map(|one| &one.lost).collect();
        let expected: Vec<Value> = lost.into_iter().map(Value::text).collect();
        assert_eq!(named, expected.iter().collect::<Vec<_>>(), "{why}");
        bench.carry_out(&plan);
        let held = if lost.is_some() { there } else { "Ask again in May" };
        assert_eq!(bench.record["description"], held, "{why}");
        let plan = bench.plan();
        bench.carry_out(&plan);
        assert!(bench.plan().writes_nothing(), "{why}: {:#?}", bench.plan());
    }
}

/// An amount without its currency, or a currency beside the amount of before, is another amount: what
/// goes together waits for what was emptied, is told, and goes once it is whole again.
#[test]
fn what_goes_together_waits_for_one_that_was_emptied() {
    let mut bench = Bench::new();
    bench.record.insert("estimatedvalue".to_owned(), Json::Null);
    bench.record.insert("transactioncurrencyid.isocurrencycode".to_owned(), json!("USD"));
    let plan = bench.plan();
    assert!(plan.partner_center.is_none(), "{plan:#?}");
    let told: Vec<&str> = plan.crms[0].lines.iter().map(|line| line.0.as_str()).collect();
    assert!(told.iter().any(|line| line.contains("which is empty. Enter")), "{told:?}");
    assert_eq!(plan.crms[0].standing, Standing::NeedsAttention);
    bench.carry_out(&plan);
    assert!(bench.plan().writes_nothing(), "it waits: {:#?}", bench.plan());

    bench.record.insert("estimatedvalue".to_owned(), json!(300));
    let write = bench.plan().partner_center.expect("it is whole again");
    let sent: Vec<&String> = write.values.values().flat_map(|values| values.keys()).collect();
    assert_eq!(sent, ["details.currency", "details.dealValue"]);
    assert!(bench.plan().links[0].parked.is_empty());
}

/// What is edited in a closed record is not sent, and what Partner Center changes after all arrives
/// with everything that goes together with it.
#[test]
fn after_the_end_what_goes_together_arrives_whole() {
    let mut bench = Bench::new();
    bench.referral["status"] = json!("Closed");
    bench.referral["substatus"] = json!("Lost");
    let plan = bench.plan();
    bench.carry_out(&plan);
    bench.record.insert("transactioncurrencyid.isocurrencycode".to_owned(), json!("USD"));
    bench.referral["details"]["dealValue"] = json!(70);
    let plan = bench.plan();
    assert!(plan.partner_center.is_none(), "{plan:#?}");
    bench.carry_out(&plan);
    assert_eq!(bench.record["estimatedvalue"], 70);
    assert_eq!(bench.record["transactioncurrencyid.isocurrencycode"], "EUR", "not 70 USD");
    let lost: Vec<&Value> = plan.crms[0].conflicts.iter().map(|one| &one.lost).collect();
    assert_eq!(lost, [&Value::text("USD")], "the seller's currency is named");
}

/// A backup is old in everything: what it puts aside for a mapping of before, what it meant to write,
/// the stages.
#[test]
fn nothing_that_comes_from_a_backup_is_certain() {
    let mut bench = Bench::new();
    let agreed = bench.deal.links[0].base["details.notes"].clone();
    let columns = std::collections::BTreeMap::from([("stepname".to_owned(), agreed)]);
    bench.deal.links[0].former.insert("details.notes".to_owned(), columns);
    let sent = Values::from([("details.notes".to_owned(), Value::text("Begin"))]);
    bench.deal.intents.push(Intent {
        token: "t-1".to_owned(),
        target: Target::PartnerCenter,
        action: IntentAction::Update,
        expect: None,
        sent: sent.clone(),
        columns: std::collections::BTreeMap::new(),
        stage: Some(Stage::Active),
        losers: Vec::new(),
        from: vec![CrmName::Dynamics365],
        lines: Vec::new(),
        doubtful: false,
        at: Timestamp::from_millis(0),
    });
    bench.deal.doubt();
    let link = &mut bench.deal.links[0];
    assert!(link.former["details.notes"]["stepname"].doubtful);
    assert!(link.stage_doubtful && link.base["details.notes"].doubtful);
    settle_landed(link, &sent, &sent, &sent, true);
    assert!(!link.base["details.notes"].doubtful, "a write of now");
    settle::doubt(link, &bench.deal.intents[0]);
    assert!(link.base["details.notes"].doubtful, "one of the backup");
    assert!(link.base.values().all(|agreed| agreed.doubtful));
}

/// Where a stage of Partner Center overwrites one of the record that may be newer than the backup, it
/// is named; where both are as the backup says, it is certain again and names nothing later.
#[test]
fn a_stage_that_an_old_memory_overwrites_is_named() {
    let mut bench = Bench::new();
    bench.deal.doubt();
    let plan = bench.plan();
    bench.carry_out(&plan);
    assert!(!bench.deal.links[0].stage_doubtful, "both are as the backup says");
    for (doubtful, named) in [(false, Vec::new()), (true, vec![Value::text("active")])] {
        let mut bench = Bench::new();
        bench.deal.links[0].stage_doubtful = doubtful;
        bench.referral["status"] = json!("Closed");
        bench.referral["substatus"] = json!("Lost");
        let plan = bench.plan();
        assert_eq!(plan.crms[0].stage, Some(Stage::Lost));
        let lost: Vec<Value> = plan.crms[0].conflicts.iter().map(|one| one.lost.clone()).collect();
        assert_eq!(lost, named, "doubtful: {doubtful}");
    }
}

/// Dynamics 365 fills in the currency of an organisation by itself, beside an amount that nobody entered:
/// that is no word on the amount of a deal that is tied to such a record.
#[test]
fn an_amount_that_was_never_entered_does_not_win_over_that_of_the_referral() {
    let mut bench = Bench::new();
    bench.deal.links[0].base.retain(|field, _| !field.starts_with("details."));
    bench.record.insert("estimatedvalue".to_owned(), Json::Null);
    bench.record.insert("transactioncurrencyid.isocurrencycode".to_owned(), json!("USD"));
    let plan = bench.plan();
    assert!(plan.partner_center.is_none(), "{plan:#?}");
    let lost: Vec<&Value> = plan.crms[0].conflicts.iter().map(|one| &one.lost).collect();
    assert_eq!(lost, [&Value::text("USD")], "it is named all the same");
    bench.carry_out(&plan);
    assert_eq!(bench.record["estimatedvalue"], 100);
    assert_eq!(bench.record["transactioncurrencyid.isocurrencycode"], "EUR");
    assert!(bench.plan().links[0].parked.is_empty());
}

/// Mapping files may read an open record as closed. What Partner Center changes meanwhile arrives once
/// they are put right.
#[test]
fn what_changes_while_a_live_deal_only_looks_closed_arrives_later() {
    let mut bench = Bench::new();
    let seen = |record| Some(StageAgreement { referral: Stage::Active, record });
    bench.record.insert("statecode".to_owned(), json!(2));
    bench.deal.links[0].base_stage = seen(Stage::Lost);
    bench.referral["details"]["dealValue"] = json!(150);
    let plan = bench.plan();
    assert!(plan.writes_nothing(), "{plan:#?}");
    bench.carry_out(&plan);
    bench.record.insert("statecode".to_owned(), json!(0));
    bench.deal.links[0].base_stage = seen(Stage::Active);
    let plan = bench.plan();
    bench.carry_out(&plan);
    assert_eq!(bench.record["estimatedvalue"], 150);
}
