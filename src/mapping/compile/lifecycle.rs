//! What the `[[stage]]` rows must do together: every stage of the lifecycle can be set, those that a
//! seller chooses can be seen, no row is in vain, and a stage that was set is read as itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::Ground;
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::Fields;
use crate::domain::stage::Stage;
use crate::mapping::compiled::{code, fits};
use crate::mapping::file::StageRow;
use crate::mapping::problem::{Findings, Place};
use crate::mapping::rule::StageRule;

/// So many records are tried out at most; of a larger table it is not told which rows are in vain.
const MOST_RECORDS: usize = 20_000;

/// Checks compiled rows, each beside the row of the file.
pub(super) fn check(
    rules: &[StageRule],
    rows: &[StageRow],
    ground: &Ground<'_>,
    findings: &mut Findings,
) {
    complete(rules, rows, ground, findings);
    let Some(records) = records(rules) else { return };
    let seen: Vec<Option<usize>> = records.iter().map(|record| first(rules, record)).collect();
    let mut in_vain = false;
    for (at, (rule, row)) in rules.iter().zip(rows).enumerate() {
        if rule.when.is_empty() || seen.contains(&Some(at)) {
            continue;
        }
        in_vain = true;
        let fitting: Vec<&Fields> =
            records.iter().filter(|record| fits(&rule.when, record)).collect();
        never_reached(&rules[..at], &fitting, &row.place, findings);
    }
    if in_vain {
        return;
    }
    for stage in rules.iter().map(|rule| rule.stage).collect::<BTreeSet<_>>() {
        comes_back(stage, rules, rows, &records, findings);
    }
}

/// A row that is the first to fit no record.
fn never_reached(
    earlier: &[StageRule],
    fitting: &[&Fields],
    place: &Place,
    findings: &mut Findings,
) {
    if fitting.is_empty() {
        findings.add(place, "this row is never reached: no record fits it");
        return;
    }
    let covers = |rule: &&StageRule| {
        !rule.when.is_empty() && fitting.iter().all(|record| fits(&rule.when, record))
    };
    let message = match earlier.iter().find(covers) {
        Some(rule) => format!(
            "this row is never reached: the earlier row for `{}` fits whatever it fits",
            rule.stage.as_str()
        ),
        None => "this row is never reached: the earlier rows together fit whatever it fits".into(),
    };
    findings.add_with(place, message, "put the narrower row first");
}

/// The stages that Partner Center may bring a record into.
fn to_set(kind: RecordKind) -> &'static [Stage] {
    use Stage::{Active, Declined, Error, Expired, Lost, OnHold, Won};
    match kind {
        RecordKind::Opportunity => &[OnHold, Active, Won, Lost, Declined, Expired, Error],
        RecordKind::Lead => &[OnHold, Active, Lost, Declined, Expired, Error],
    }
}

/// The stages that a seller chooses.
fn to_see(kind: RecordKind) -> &'static [Stage] {
    match kind {
        RecordKind::Opportunity => &[Stage::OnHold, Stage::Active, Stage::Won, Stage::Lost],
        RecordKind::Lead => &[Stage::OnHold, Stage::Active, Stage::Lost],
    }
}

fn complete(rules: &[StageRule], rows: &[StageRow], ground: &Ground<'_>, findings: &mut Findings) {
    let start = Place::default();
    let all = rows.first().map_or(&start, |row| &row.place);
    let mut missing = Vec::new();
    for stage in to_set(ground.kind) {
        let own: Vec<(&StageRule, &StageRow)> =
            rules.iter().zip(rows).filter(|(rule, _)| rule.stage == *stage).collect();
        let word = stage.as_str();
        let Some((_, row)) = own.first() else {
            missing.push(format!("`{word}`"));
            continue;
        };
        if !own.iter().any(|(rule, _)| rule.sets()) {
            let closes = (ground.crm, ground.kind)
                == (CrmName::Dynamics365, RecordKind::Opportunity)
                && stage.is_closed();
            let way = if closes { "give it `close`, or `write`" } else { "give it `write`" };
            let message =
                format!("no row says how to set `{word}`, which Partner Center may ask for");
            findings.add_with(&row.place, message, way);
        }
        if to_see(ground.kind).contains(stage) && own.iter().all(|(rule, _)| rule.when.is_empty()) {
            let message = format!("no row says how to see `{word}`, which a seller may choose");
            findings.add_with(&row.place, message, "give it `when`");
        }
    }
    if !missing.is_empty() {
        findings.add_with(
            all,
            format!("there is no [[stage]] row for {}", missing.join(", ")),
            "the [[stage]] rows of a file take the place of all rows of the file it extends",
        );
    }
}

/// A record that was brought into a stage must be able to be read as that stage, if it can be seen.
fn comes_back(
    stage: Stage,
    rules: &[StageRule],
    rows: &[StageRow],
    records: &[Fields],
    findings: &mut Findings,
) {
    let own = |rule: &StageRule| rule.stage == stage;
    let setting = rules.iter().zip(rows).find(|(rule, _)| own(rule) && rule.sets());
    let Some((setting, row)) = setting else { return };
    if !rules.iter().any(|rule| own(rule) && !rule.when.is_empty()) {
        return;
    }
    let told: Vec<(&String, &Json)> = setting
        .write
        .iter()
        .filter(|(name, _)| rules.iter().any(|rule| rule.when.contains_key(*name)))
        .collect();
    let written = |record: &&Fields| {
        told.iter().all(|(name, value)| record.get(*name).map(code) == Some(code(value)))
    };
    let read: BTreeSet<Stage> = records
        .iter()
        .filter(written)
        .filter_map(|record| first(rules, record))
        .map(|at| rules[at].stage)
        .collect();
    if told.is_empty() || read.is_empty() || read.contains(&stage) {
        return;
    }
    let words: Vec<String> = read.iter().map(|stage| format!("`{}`", stage.as_str())).collect();
    let message = format!(
        "a record that is brought into `{}` by this row is read as {}",
        stage.as_str(),
        words.join(" or ")
    );
    findings.add_with(&row.place, message, "write what the row's own `when` fits");
}

/// The row by which a record is read.
fn first(rules: &[StageRule], record: &Fields) -> Option<usize> {
    rules.iter().position(|rule| !rule.when.is_empty() && fits(&rule.when, record))
}

/// Every record that the rows can tell apart: each field holds one of the values that a row names, or
/// something else. `None` if these are more than are looked at.
fn records(rules: &[StageRule]) -> Option<Vec<Fields>> {
    let mut values: BTreeMap<&String, BTreeMap<String, Json>> = BTreeMap::new();
    for (name, value) in rules.iter().flat_map(|rule| &rule.when) {
        let known = values.entry(name).or_default();
        let one = std::slice::from_ref(value);
        let each = value.as_array().map_or(one, Vec::as_slice);
        known.extend(each.iter().map(|value| (code(value), value.clone())));
    }
    for (name, value) in rules.iter().flat_map(|rule| &rule.write) {
        if let Some(known) = values.get_mut(name) {
            known.insert(code(value), value.clone());
        }
    }
    for known in values.values_mut() {
        if known.values().all(Json::is_boolean) {
            known.extend([true, false].map(|value| (value.to_string(), Json::Bool(value))));
        } else {
            // No value of a file is an object: it stands for whatever no row names.
            known.insert("{}".to_owned(), Json::Object(Fields::new()));
        }
    }
    let count = values.values().try_fold(1_usize, |count, known| count.checked_mul(known.len()));
    let mut records = vec![Fields::new()];
    if count.is_none_or(|count| count > MOST_RECORDS) {
        return None;
    }
    for (name, known) in values {
        records = records
            .into_iter()
            .flat_map(|record| {
                known.values().map(move |value| {
                    let mut record = record.clone();
                    record.insert(name.clone(), value.clone());
                    record
                })
            })
            .collect();
    }
    Some(records)
}
