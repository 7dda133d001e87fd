//! From canonical values to what each side is to hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::compiled::{Mapping, Row, problem_of};
use super::path::ReferralPath;
use super::rule::{FieldProblem, FieldRule, Occasion};
use crate::domain::deal::Values;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::domain::value::Value;

impl Mapping {
    /// The record fields for the canonical `values`: those whose rows travel to the CRM on this
    /// `occasion`. A name that no row has is left out; on a create so is an empty value, or the
    /// row's default takes its place. `referral` decides conditions over it.
    ///
    /// Flat: a dotted name finds the related row by that attribute
    /// (`"transactioncurrencyid.isocurrencycode": "EUR"`).
    ///
    /// # Errors
    ///
    /// Every value that does not fit its field.
    pub fn write_record(
        &self,
        values: &Values,
        referral: Option<&Referral>,
        occasion: Occasion,
    ) -> Result<Fields, Vec<FieldProblem>> {
        let mut fields = Map::new();
        let mut problems = Vec::new();
        let mut context = None;
        for (rule, row) in self.active(occasion).filter(|(rule, _)| rule.direction.to_crm()) {
            let Some(field) = &rule.crm else { continue };
            let Some(value) = chosen(values.get(&rule.name), row, occasion) else { continue };
            let converted =
                match referral.map(|referral| row.rests(referral, &self.paths, &mut context)) {
                    Some(Ok(true)) => continue,
                    Some(Err(fault)) => Err(fault),
                    _ => row.converter.to_record(value),
                };
            match converted {
                Ok(json) => {
                    fields.insert(field.clone(), json);
                }
                Err(fault) => problems.push(problem_of(rule, fault)),
            }
        }
        if problems.is_empty() { Ok(fields) } else { Err(problems) }
    }

    /// The dotted referral paths and their JSON for the canonical `values`: those whose rows travel
    /// to Partner Center on this `occasion`. A list is written whole: an item that `current` has too
    /// keeps the members that are not mapped.
    ///
    /// # Errors
    ///
    /// Every value that does not fit its field.
    pub fn write_referral(
        &self,
        values: &Values,
        current: Option<&Referral>,
        occasion: Occasion,
    ) -> Result<BTreeMap<String, Json>, Vec<FieldProblem>> {
        let mut paths = BTreeMap::new();
        let mut problems = Vec::new();
        let mut context = None;
        let rows = self.active(occasion).filter(|(rule, _)| rule.direction.to_partner_center());
        for (rule, row) in rows {
            let Some(path) = &row.path else { continue };
            let Some(value) = chosen(values.get(&rule.name), row, occasion) else { continue };
            let known = current.and_then(|referral| path.get(referral));
            let converted =
                match current.map(|referral| row.rests(referral, &self.paths, &mut context)) {
                    Some(Ok(true)) => continue,
                    Some(Err(fault)) => Err(fault),
                    _ => row.converter.to_referral(value, known),
                };
            match converted {
                Ok(json) => put(&mut paths, path, json, current),
                Err(fault) => problems.push(problem_of(rule, fault)),
            }
        }
        if problems.is_empty() { Ok(paths) } else { Err(problems) }
    }

    /// The rows that act on `occasion`.
    fn active(&self, occasion: Occasion) -> impl Iterator<Item = (&FieldRule, &Row)> {
        let rows = self.rows.iter().map(std::convert::AsRef::as_ref);
        self.rules.iter().zip(rows).filter(move |(rule, _)| match occasion {
            Occasion::Create => rule.on_create,
            Occasion::Update => rule.on_update,
        })
    }
}

/// The value to write: on a create the row's default takes the place of nothing.
fn chosen<'v>(value: Option<&'v Value>, row: &'v Row, occasion: Occasion) -> Option<&'v Value> {
    match (value, occasion) {
        (Some(value), _) if !value.is_null() => Some(value),
        (_, Occasion::Create) => row.default.as_ref(),
        (value, Occasion::Update) => value,
    }
}

/// Puts `json` at `path`; a path into a list changes a copy of the whole list.
fn put(
    paths: &mut BTreeMap<String, Json>,
    path: &ReferralPath,
    json: Json,
    current: Option<&Referral>,
) {
    let root = paths.entry(path.root.clone()).or_insert_with(|| {
        let inside = path.inside.as_ref();
        let known = inside.and_then(|_| current?.get(&path.root)).cloned();
        known.unwrap_or(Json::Null)
    });
    path.set_inside(root, json);
}
