//! What people do that a two-way sync dislikes most: copies, merges, new mappings, answers to questions.

use cosell_sync::domain::deal::{Deal, Target};
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::Policy;
use serde_json::{Value as Json, json};

use crate::crm;
use crate::harness::{Mapped, mappings};
use crate::people::{self, FIELDS, record_value, referral_value};
use crate::tally::Mishap;
use crate::world::World;

/// A seller copies a linked record, its Referral Identifier and all. Dynamics 365 refuses the second
/// row of a key; in Salesforce the field need not be unique.
pub(crate) fn copy_a_record(world: &mut World) {
    let crm = CrmName::Salesforce;
    let Some(id) = linked(world, crm, RecordKind::Opportunity) else { return };
    world.journal.acts += 1;
    let fields = world.crms[&crm].rows[&id].fields.clone();
    let copy = crm::insert(world, crm, RecordKind::Opportunity, &without_mark(fields));
    inherits(world, crm, &copy);
    world.note(format!("person {crm} copies {id} to {copy}"));
    world.met(Mishap::Copied);
}

/// A seller merges a linked lead into another row that takes over all it held.
pub(crate) fn merge_a_lead(world: &mut World, crm: CrmName) {
    let Some(id) = linked(world, crm, RecordKind::Lead) else { return };
    if crm::is_sealed(crm, &world.crms[&crm].rows[&id].fields) {
        return;
    }
    world.journal.acts += 1;
    let fields = world.crms[&crm].rows[&id].fields.clone();
    let master = crm::insert(world, crm, RecordKind::Lead, &without_mark(fields));
    inherits(world, crm, &master);
    crm::delete(world, crm, &id);
    world.note(format!("person {crm} merges {id} into {master}"));
    world.met(Mishap::Merged);
}

/// A linked row that is still there.
fn linked(world: &mut World, crm: CrmName, kind: RecordKind) -> Option<String> {
    let there = |id: &str| {
        let row = world.crms.get(&crm).and_then(|state| state.rows.get(id));
        row.is_some_and(|row| !row.deleted)
    };
    let keys = world.journal.linked.iter().filter(|key| key.crm == crm && key.kind == kind);
    let ids: Vec<String> =
        keys.map(|key| key.id.to_string()).filter(|id| there(id.as_str())).collect();
    world.dice.pick(&ids).cloned()
}

/// Each row has its own mark that nobody may touch.
fn without_mark(mut fields: Fields) -> Fields {
    fields.remove("pc_unmapped");
    fields.remove("Unmapped__c");
    fields
}

/// What a copy holds was written by whoever made it.
fn inherits(world: &mut World, crm: CrmName, id: &str) {
    for field in FIELDS {
        let value = record_value(world, crm, id, field);
        people::written(world, Target::Crm(crm), id, field, value, Value::Null);
    }
}

/// A person clears up after a copy: the row that no deal is linked to carries the identifier of one
/// that has a record no more.
pub(crate) fn clear_copies(world: &mut World, deals: &[Deal]) {
    let linked = |crm: CrmName, id: &str| {
        let records = deals.iter().flat_map(|deal| &deal.links).flat_map(|link| link.records());
        records.into_iter().any(|key| key.crm == crm && key.id.as_str() == id)
    };
    let mut copies = Vec::new();
    for (crm, state) in &world.crms {
        for (id, row) in state.rows.iter().filter(|(id, row)| !row.deleted && !linked(*crm, id)) {
            let control = world.mappings[&(*crm, row.kind)].control();
            let carried = row.fields.get(&control.referral_id).and_then(Json::as_str);
            let known = deals.iter().any(|deal| {
                deal.referral_id.as_ref().is_some_and(|held| Some(held.as_str()) == carried)
            });
            if known && !crm::is_sealed(*crm, &row.fields) {
                copies.push((*crm, id.clone(), control.referral_id.clone(), control.sync.clone()));
            }
        }
    }
    for (crm, id, referral_id, sync) in copies {
        let mut fields = Fields::new();
        fields.insert(referral_id, Json::Null);
        fields.insert(sync, json!(false));
        world.note(format!("person {crm} {id} is cleared of its identifier"));
        people::set_control(world, crm, &id, Json::Object(fields));
    }
}

/// People answer what they were asked: where both sides of a field were changed and the mapping says
/// `ask`, the one that is to stay is entered on the other side too.
pub(crate) fn answer_questions(world: &mut World, deals: &[Deal]) {
    for deal in deals {
        let Some(referral) = deal.referral_id.as_ref().map(ToString::to_string) else { continue };
        for link in deal.links.iter().filter(|link| link.hold.is_some() && !link.is_cut()) {
            let (crm, id) = (link.record.crm, link.record.id.as_str());
            for field in FIELDS {
                let mapping = world.mapping_of(crm, id);
                let rule = mapping.fields().iter().find(|rule| rule.name == field);
                let asks = rule.is_some_and(|rule| rule.conflict == Policy::Ask);
                let there = referral_value(world, &referral, field);
                let here = record_value(world, crm, id, field);
                if asks && there != here && !crate::check::is_cut(crm, &there, &here) {
                    world.met(Mishap::Answered);
                    people::copy_to_referral(world, crm, id, &referral, field);
                }
            }
        }
    }
}

/// The admin brings other mapping files. What a record held in a field that no value is kept in any
/// more was seen by whoever decided that.
pub(crate) fn change_mappings(world: &mut World, to: Mapped) {
    for (of, mapping) in &mut world.mappings {
        *mapping = mappings(to)[of].clone();
    }
    world.note(format!("the mapping files are now {to:?}"));
    match to {
        Mapped::Moved => world.met(Mishap::MappingMoved),
        Mapped::Usual | Mapped::Asking => world.met(Mishap::MappingBack),
        Mapped::Reread => {}
    }
}

/// Notes in every record, before another field takes their place.
pub(crate) fn see_all_notes(world: &mut World) {
    let mut rows = Vec::new();
    for (crm, state) in &world.crms {
        rows.extend(state.rows.keys().map(|id| (*crm, id.clone())));
    }
    for (crm, id) in rows {
        let saw = record_value(world, crm, &id, "details.notes");
        people::written(world, Target::Crm(crm), &id, "details.notes", Value::Null, saw);
    }
}
