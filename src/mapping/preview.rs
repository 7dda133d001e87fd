//! What a mapping makes of one referral or record, field by field, with the row that did it.

use serde::Serialize;
use serde_json::Value as Json;

use super::compiled::{Mapping, Row};
use super::rule::{FieldRule, Occasion, SideValues};
use crate::domain::deal::Values;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;

/// What to preview.
#[derive(Debug, Clone, Copy)]
pub enum PreviewInput<'i> {
    /// What this referral writes to the CRM.
    Referral(&'i Referral, Occasion),
    /// What this flat record writes to Partner Center.
    Record(&'i Fields, Occasion),
}

/// One field of a preview.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreviewLine {
    /// Canonical field name.
    pub field: String,
    /// Words for people.
    pub label: String,
    /// Where the value comes from: a path, a field, or the formula.
    pub from: String,
    /// Where it goes: a field or a path.
    pub to: String,
    /// What the source holds; null for a formula.
    pub source: Json,
    /// The canonical value as a person reads it.
    pub value: Option<String>,
    /// What is written; `None` if nothing is, see [`PreviewLine::note`].
    pub target: Option<Json>,
    /// Why nothing is written, or what is wrong.
    pub note: Option<String>,
    /// The row that did it: `dynamics365-opportunity.toml:41`.
    pub rule: String,
}

/// Shows what `mapping` makes of `input`: one line for each row that can travel that way.
#[must_use]
pub fn preview(mapping: &Mapping, input: PreviewInput<'_>) -> Vec<PreviewLine> {
    let (side, to_crm, occasion) = match input {
        PreviewInput::Referral(referral, occasion) => {
            (mapping.read_referral(referral), true, occasion)
        }
        PreviewInput::Record(record, occasion) => (mapping.read_record(record), false, occasion),
    };
    let rows = mapping.rules.iter().zip(&mapping.rows).filter(|(rule, _)| match to_crm {
        true => rule.direction.to_crm(),
        false => rule.direction.to_partner_center(),
    });
    rows.map(|(rule, row)| line(mapping, rule, row, input, &side, occasion)).collect()
}

fn line(
    mapping: &Mapping,
    rule: &FieldRule,
    row: &Row,
    input: PreviewInput<'_>,
    side: &SideValues,
    occasion: Occasion,
) -> PreviewLine {
    let path = rule.referral.clone().unwrap_or_default();
    let field = rule.crm.clone().unwrap_or_default();
    let formula = row.to_crm.as_ref().or(row.to_partner_center.as_ref());
    let (from, to, source) = match input {
        PreviewInput::Referral(referral, _) => {
            (path, field, row.path.as_ref().and_then(|path| path.get(referral)))
        }
        PreviewInput::Record(record, _) => {
            let source = record.get(&field);
            (field, path, source)
        }
    };
    let value = side.values.get(&rule.name);
    let acts = match occasion {
        Occasion::Create => rule.on_create,
        Occasion::Update => rule.on_update,
    };
    let (target, note) = match side.problems.iter().find(|problem| problem.field == rule.name) {
        Some(problem) => (None, Some(format!("{}; {}", problem.reason, problem.fix))),
        None if !acts => (None, Some("not written on this occasion".to_owned())),
        None if value.is_none() => (None, Some("its condition does not hold".to_owned())),
        None => written(mapping, rule, row, input, side, occasion),
    };
    PreviewLine {
        field: rule.name.clone(),
        label: rule.label.clone(),
        from: formula.map_or(from, |formula| formula.text().to_owned()),
        to,
        source: source.cloned().unwrap_or(Json::Null),
        value: value.map(ToString::to_string),
        target,
        note,
        rule: rule.place.clone(),
    }
}

/// What this one row writes.
fn written(
    mapping: &Mapping,
    rule: &FieldRule,
    row: &Row,
    input: PreviewInput<'_>,
    side: &SideValues,
    occasion: Occasion,
) -> (Option<Json>, Option<String>) {
    let value = side.values.get(&rule.name);
    let only: Values = value.map(|value| (rule.name.clone(), value.clone())).into_iter().collect();
    let one = mapping.only(&rule.place);
    let result = match input {
        PreviewInput::Referral(referral, _) => one
            .write_record(&only, Some(referral), occasion)
            .map(|fields| rule.crm.as_ref().and_then(|field| fields.get(field)).cloned()),
        PreviewInput::Record(..) => one
            .write_referral(&only, None, occasion)
            .map(|paths| row.path.as_ref().and_then(|path| paths.get(&path.root)).cloned()),
    };
    match result {
        Ok(Some(json)) => (Some(json), None),
        Ok(None) => (None, Some("empty, so nothing is written".to_owned())),
        Err(problems) => {
            let problems = problems.into_iter();
            let words = problems.map(|problem| format!("{}; {}", problem.reason, problem.fix));
            (None, Some(words.collect::<Vec<_>>().join("; ")))
        }
    }
}
