//! What must be true once the people have stopped, the faults are over and everything is worked off.

use std::collections::{BTreeMap, BTreeSet};

use cosell_sync::domain::audit::{AuditEntry, AuditKind};
use cosell_sync::domain::deal::{Deal, Link, LinkState, Target};
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::referral::Referral;
use cosell_sync::domain::stage::Stage;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::Direction;
use cosell_sync::store::{AuditQuery, Store};
use serde_json::Value as Json;

use crate::crm;
use crate::dice::finish;
use crate::harness::Sim;
use crate::partner_center;
use crate::people::{self, FIELDS};
use crate::world::{Edit, OURS, World, Write};

/// So many writes are made to a system without anybody's edit or a fault.
const FEW: u64 = 6;

/// Every rule that is broken, with where; empty if all hold.
pub(crate) fn broken_rules(sim: &Sim) -> Vec<String> {
    let deals = sim.deals();
    let query = AuditQuery { limit: usize::MAX, ..AuditQuery::default() };
    let entries = finish(sim.memory.audit(&query)).expect("the store works");
    let world = sim.world.lock();
    let mut broken = world.journal.broken.clone();
    for deal in &deals {
        agreement(&world, deal, &mut broken);
        losses(&world, deal, &entries, &mut broken);
    }
    one_to_one(&world, &deals, &mut broken);
    writes_and_entries(&world, &entries, &mut broken);
    few_writes(&world, &mut broken);
    drop(world);
    books(sim, &mut broken);
    broken
}

/// I16 and the ledger: the chain verifies, and every notice is accounted for.
fn books(sim: &Sim, broken: &mut Vec<String>) {
    let chain = finish(sim.memory.verify_audit()).expect("the store works");
    if chain.broken_at.is_some() {
        broken.push(format!("I16: the chain of the audit trail is broken: {chain:?}"));
    }
    for line in finish(sim.memory.ledger()).expect("the store works") {
        if !line.balances() {
            broken.push(format!("R5: the ledger does not balance: {line:?}"));
        }
    }
}

/// I1 and I15: both sides agree, as far as the contract says that they do, and the base is what both
/// hold.
fn agreement(world: &World, deal: &Deal, broken: &mut Vec<String>) {
    let Some(id) = &deal.referral_id else {
        let begun = !deal.intents.is_empty();
        let held = deal.links.iter().any(|link| link.hold.is_some());
        if begun && !held {
            broken.push(format!("I1: deal {} has no referral", deal.id));
        }
        return;
    };
    let Some(stored) = world.referrals.get(id.as_str()) else {
        broken.push(format!("I1: the referral {id} does not exist"));
        return;
    };
    let referral = partner_center::shown(stored);
    let unmapped = referral.text("unmapped").unwrap_or_default();
    if !unmapped.starts_with("keep-") {
        broken.push(format!("I12: an unmapped field of {id} changed"));
    }
    let rests = deal.links.iter().any(|link| link.state != LinkState::Live || link.hold.is_some());
    if !deal.intents.is_empty() && !rests {
        broken.push(format!("I1: deal {} still has intents {:?}", deal.id, deal.intents));
    }
    for link in &deal.links {
        let key = &link.record;
        let row = world.crms.get(&key.crm).and_then(|state| state.rows.get(key.id.as_str()));
        match row.filter(|row| !row.deleted) {
            None if !matches!(link.state, LinkState::Tombstone { .. }) => {
                broken.push(format!("I1: {key} is gone and its link is {:?}", link.state));
            }
            None => {}
            Some(row) => {
                let kept = ["pc_unmapped", "Unmapped__c"].iter().any(|field| {
                    let held = row.fields.get(*field).and_then(Json::as_str);
                    held.is_some_and(|held| held.starts_with("keep-"))
                });
                if !kept {
                    broken.push(format!("I12: an unmapped field of {key} changed"));
                }
                if link.state == LinkState::Live && link.hold.is_none() {
                    stages_agree(world, &referral, link, broken);
                    fields_agree(world, &referral, link, broken);
                    controls_agree(world, &referral, link, broken);
                }
            }
        }
    }
}

fn stages_agree(world: &World, referral: &Referral, link: &Link, broken: &mut Vec<String>) {
    let key = &link.record;
    let row = &world.crms[&key.crm].rows[key.id.as_str()];
    let record = world.mappings[&(key.crm, key.kind)].stage_of(&row.fields);
    let (Some(there), Some(here)) = (Stage::of(&referral.state()), record) else {
        broken.push(format!("I1: a stage of {key} cannot be read"));
        return;
    };
    let fits = match there {
        Stage::OnHold => here == Stage::OnHold,
        // A lead that was accepted has become an opportunity.
        Stage::Active => !here.is_closed() && key.kind == RecordKind::Opportunity,
        // Both may have ended differently at the same moment; then both are final.
        _ => here.is_closed(),
    };
    if !fits {
        broken.push(format!("I1: {key} is {} and its referral {}", here.as_str(), there.as_str()));
    }
}

fn fields_agree(world: &World, referral: &Referral, link: &Link, broken: &mut Vec<String>) {
    let key = &link.record;
    let row = &world.crms[&key.crm].rows[key.id.as_str()];
    let mapping = &world.mappings[&(key.crm, key.kind)];
    let here = mapping.read_record(&row.fields).values;
    let there = mapping.read_referral(referral).values;
    let state = referral.state();
    if state.is_terminal() || crm::is_sealed(key.crm, &row.fields) {
        return;
    }
    let waits = Stage::of(&state) == Some(Stage::OnHold);
    for rule in mapping.fields().iter().filter(|rule| rule.on_update) {
        let (Some(left), Some(right)) = (there.get(&rule.name), here.get(&rule.name)) else {
            continue;
        };
        let base = link.base.get(&rule.name);
        let referral_is_base = base.is_some_and(|base| base.referral.is(left));
        let record_is_base = base.is_some_and(|base| base.record.is(right));
        let two_way = rule.direction == Direction::Both;
        let (name, held) = (&rule.name, format!("{left} there, {right} here, base {base:?}"));
        if waits && two_way {
            // Edits of the seller wait for the accept, together with what goes with them.
            continue;
        }
        if two_way && left != right && !is_cut(key.crm, left, right) {
            broken.push(format!("I1: {name} of {key} differs: {held}"));
        } else if two_way
            && !(left.is_null() && right.is_null())
            && !(referral_is_base && record_is_base)
        {
            broken.push(format!("I15: the base of {name} of {key} is not what both hold: {held}"));
        }
    }
}

/// Whether the record holds exactly as much of the referral's text as its field takes.
pub(crate) fn is_cut(crm: CrmName, referral: &Value, record: &Value) -> bool {
    let (Some(long), Some(short)) = (referral.as_text(), record.as_text()) else { return false };
    crm == CrmName::Salesforce && crm::cut(long).is_some_and(|cut| cut == short)
}

fn controls_agree(world: &World, referral: &Referral, link: &Link, broken: &mut Vec<String>) {
    let key = &link.record;
    let row = &world.crms[&key.crm].rows[key.id.as_str()];
    let mapping = &world.mappings[&(key.crm, key.kind)];
    let over = mapping.stage_of(&row.fields).is_some_and(Stage::is_closed);
    if crm::is_sealed(key.crm, &row.fields) || key.kind == RecordKind::Lead && over {
        return;
    }
    let control = world.mappings[&(key.crm, key.kind)].control();
    let held = row.fields.get(&control.referral_id).and_then(Json::as_str).unwrap_or_default();
    if held != referral.id().as_str() {
        broken.push(format!("I1: the identifier of {key} is {held:?}, not {}", referral.id()));
    }
    if !link.pending.is_empty() {
        broken.push(format!("I1: {key} was not told {:?}", link.pending));
    }
    let text = row.fields.get(&control.audit).and_then(Json::as_str).unwrap_or_default();
    if let Some(line) = told_twice(text) {
        broken.push(format!("A: a line about a conflict stands twice in {key}: {line}"));
    }
}

/// A line about a conflict that stands twice with the same line of its field before it. A value that
/// came back in between may lose a second time, and then something else was told of its field.
fn told_twice(text: &str) -> Option<&str> {
    let sentence = |line: &str| line.split_once(" – ").map_or(0, |(time, _)| time.len() + 5);
    let of_field = |line: &str, field: &str| line[sentence(line)..].starts_with(field);
    let mut seen = BTreeSet::new();
    text.lines().enumerate().find_map(|(at, line)| {
        let (field, _) = line[sentence(line)..].split_once(" changed here")?;
        let before = text.lines().skip(at + 1).find(|line| of_field(line, field));
        (before == Some(line) || !seen.insert((line, before))).then_some(line)
    })
}

/// I2 and I5: no value of a person vanishes, and no conflict is invented.
fn losses(world: &World, deal: &Deal, entries: &[AuditEntry], broken: &mut Vec<String>) {
    let Some(referral) = &deal.referral_id else { return };
    let of_deal = |edit: &&Edit| match edit.side {
        Target::PartnerCenter => edit.object == referral.as_str(),
        // What was written in a lead goes on in the opportunity that it became.
        Target::Crm(crm) => deal.links.iter().any(|link| {
            let id = link.record.id.as_str();
            let turned = world.crms[&crm].turned.get(&edit.object);
            link.record.crm == crm && (id == edit.object || turned.is_some_and(|made| made == id))
        }),
    };
    let edits: Vec<(usize, &Edit)> =
        world.journal.edits.iter().enumerate().filter(|(_, edit)| of_deal(edit)).collect();
    let mut named: BTreeMap<(String, String), u32> = BTreeMap::new();
    // The newest entry comes first.
    let conflicts = entries
        .iter()
        .rev()
        .filter(|entry| entry.entry.kind == AuditKind::Conflict)
        .filter(|entry| entry.entry.deal.as_ref() == Some(&deal.id));
    for change in conflicts.flat_map(|entry| &entry.entry.fields) {
        if change.field == "stage" {
            continue;
        }
        // A value that stayed came back, with a later edit of what is decided together with it (a deal
        // value with its currency): when it loses again, that is named again.
        if let Some(times) = named.get_mut(&(change.field.clone(), change.after.to_string())) {
            *times = 0;
        }
        let times = named.entry((change.field.clone(), change.before.to_string())).or_default();
        *times += 1;
        if *times == 2 {
            broken.push(format!("I2: {} = {} is named twice", change.field, change.before));
        }
        let written =
            edits.iter().any(|(_, edit)| edit.field == change.field && edit.value == change.before)
                || deal.links.iter().any(Link::is_cut);
        if FIELDS.contains(&change.field.as_str()) && !written {
            broken.push(format!("I5: nobody wrote {} = {}", change.field, change.before));
        }
        if change.before == change.after {
            broken.push(format!("I5: {} lost to itself: {}", change.field, change.before));
        }
    }
    // What a write is to name once its answer is known, on a link that rests now.
    for conflict in deal.intents.iter().flat_map(|intent| &intent.losers) {
        named.entry((conflict.field.clone(), conflict.lost.to_string())).or_default();
    }
    for (at, edit) in &edits {
        let known = named.contains_key(&(edit.field.clone(), edit.value.to_string()));
        // What stood in a record that its owner deleted is nobody's loss.
        let deleted =
            deal.links.iter().any(|link| link.is_cut() && link.record.id.as_str() == edit.object);
        let nothing =
            deleted || edit.value.is_null() || edit.agreed || is_undone(&edits, *at, edit);
        if !known && !nothing && is_lost(world, deal, &edits, *at, edit) {
            broken.push(format!(
                "I2: {} = {} of {:?} {} is lost",
                edit.field, edit.value, edit.side, edit.object
            ));
        }
    }
}

/// Whether a person only took back what was entered a moment before, between two looks of anybody: then
/// nothing was edited. What stood there before is followed as what it was.
fn is_undone(edits: &[(usize, &Edit)], at: usize, edit: &Edit) -> bool {
    let same = |(before, other): &&(usize, &Edit)| {
        *before < at
            && (other.side, &other.object, &other.field) == (edit.side, &edit.object, &edit.field)
    };
    let last = edits.iter().rev().find(same);
    last.is_some_and(|(_, other)| other.moment == edit.moment && other.saw == edit.value)
}

/// Whether a value is neither anywhere at the end, nor was overwritten by somebody who saw it.
fn is_lost(world: &World, deal: &Deal, edits: &[(usize, &Edit)], at: usize, edit: &Edit) -> bool {
    let same = |side: Target, value: &Value| match side {
        _ if *value == edit.value => true,
        Target::PartnerCenter => false,
        Target::Crm(crm) => is_cut(crm, &edit.value, value),
    };
    let seen = edits.iter().any(|(later, other)| {
        *later > at && other.field == edit.field && same(other.side, &other.saw)
    });
    let mut referrals =
        deal.referral_id.iter().map(|id| people::referral_value(world, id.as_str(), &edit.field));
    let mut records = deal.links.iter().map(|link| {
        let (crm, id) = (link.record.crm, link.record.id.as_str());
        (Target::Crm(crm), people::record_value(world, crm, id, &edit.field))
    });
    !seen
        && !referrals.any(|value| same(Target::PartnerCenter, &value))
        && !records.any(|(side, value)| same(side, &value))
}

/// I3 and I4: one record for a referral, one referral for a record, one of Microsoft's for an
/// engagement, and none again after a person deleted it.
fn one_to_one(world: &World, deals: &[Deal], broken: &mut Vec<String>) {
    let mut created: BTreeMap<(CrmName, &str), Vec<&str>> = BTreeMap::new();
    for (crm, _, referral, id) in &world.journal.created {
        created.entry((*crm, referral)).or_default().push(id);
    }
    for ((crm, referral), ids) in created {
        if ids.len() > 1 {
            broken.push(format!("I3/I4: {crm} has records {ids:?} made for {referral}"));
        }
    }
    let mut made: BTreeMap<&(String, String), u32> = BTreeMap::new();
    for what in &world.journal.made {
        *made.entry(what).or_default() += 1;
    }
    for ((kind, what), times) in made {
        if times > 1 {
            broken.push(format!("I3: {times} referrals were made for {kind} {what}"));
        }
    }
    let mut held: BTreeMap<&str, u32> = BTreeMap::new();
    for deal in deals {
        if let Some(id) = &deal.referral_id {
            *held.entry(id.as_str()).or_default() += 1;
        }
    }
    for (id, times) in held {
        if times > 1 {
            broken.push(format!("I3: {times} deals hold the referral {id}"));
        }
    }
    for (id, stored) in &world.referrals {
        let open = stored.fields["status"] != "Closed" && stored.fields["organizationId"] == OURS;
        if open
            && !deals
                .iter()
                .any(|deal| deal.referral_id.as_ref().is_some_and(|held| held.as_str() == id))
        {
            broken.push(format!("I17: the open referral {id} was never seen"));
        }
    }
}

/// I16: an entry for each write.
fn writes_and_entries(world: &World, entries: &[AuditEntry], broken: &mut Vec<String>) {
    let unsure = world.journal.kills + world.journal.lost_answers;
    for (target, writes, wrote) in told(world, entries) {
        if wrote > writes || writes - wrote > unsure {
            broken.push(format!(
                "I16: {writes} writes to {} have {wrote} entries, {unsure} answers were lost",
                target.as_str()
            ));
        }
    }
}

/// Every system whose writes do not all stand in the trail, also those of a process that was killed.
pub(crate) fn untold(sim: &Sim) -> Vec<(Target, u64, u64)> {
    let query = AuditQuery { limit: usize::MAX, ..AuditQuery::default() };
    let entries = finish(sim.memory.audit(&query)).expect("the store works");
    let all = told(&sim.world.lock(), &entries);
    all.into_iter().filter(|(_, writes, wrote)| writes != wrote).collect()
}

/// The writes to each system, and the entries that tell of one.
fn told(world: &World, entries: &[AuditEntry]) -> Vec<(Target, u64, u64)> {
    let count = |target: Target| {
        let tells = |entry: &&AuditEntry| {
            let (kind, summary) = (entry.entry.kind, &entry.entry.summary);
            entry.entry.actor == target.as_str()
                && (kind == AuditKind::Wrote && !summary.starts_with("Made the")
                    || kind == AuditKind::Resumed && summary.contains("missing had landed"))
        };
        let wrote = entries.iter().filter(tells).count() as u64;
        let plain = |write: &&Write| write.target == target && write.what != crm::QUALIFY;
        let writes = world.journal.writes.iter().filter(plain).count() as u64;
        (target, writes, wrote)
    };
    targets(world).map(count).collect()
}

/// I7: to each system no more writes than people edited, two more for each fault, and a constant.
///
/// The bound is that of one system, not of all together: what one person edits is written to every
/// other side once, and the record it came from is told of it in one line (a write of its own).
fn few_writes(world: &World, broken: &mut Vec<String>) {
    let journal = &world.journal;
    let upsets = journal.faults + journal.kills;
    let bound = journal.acts + 2 * upsets + FEW;
    for target in targets(world) {
        let writes = journal.writes.iter().filter(|write| write.target == target).count() as u64;
        if writes > bound {
            let (acts, system) = (journal.acts, target.as_str());
            broken.push(format!("I7: {writes} writes to {system}, {acts} edits, {upsets} faults"));
        }
    }
}

/// Every system.
fn targets(world: &World) -> impl Iterator<Item = Target> {
    world.crms.keys().map(|crm| Target::Crm(*crm)).chain([Target::PartnerCenter])
}
