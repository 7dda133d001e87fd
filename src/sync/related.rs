//! The customer account and contact of an arriving deal: found, made, or asked about.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::account::CrmPart;
use super::attempt::Attempt;
use crate::connect::crm::Search;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::id::RecordId;
use crate::domain::record::{Fields, Reference};
use crate::domain::referral::Referral;
use crate::mapping::Mapping;
use crate::mapping::rule::{Match, RelatedRule};
use crate::merge::account::{Candidate, Choice, choose};

/// Candidates looked at, at most; more of one name cannot be told apart anyway.
const MOST_CANDIDATES: usize = 20;

impl Attempt<'_> {
    /// The lookup fields of a new record, by the mapping's `[[related]]` rules.
    pub(super) async fn related(
        &mut self,
        mapping: &Mapping,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Fields, ConnectError> {
        let mut fields = Fields::new();
        let mut found: BTreeMap<String, Reference> = BTreeMap::new();
        for rule in mapping.related() {
            let Some(wanted) = wanted(rule, referral) else { continue };
            let _turn = part.turn(&rule.table, &wanted).await;
            let choice = self.choose_row(rule, wanted, referral, part).await?;
            let id = match choice {
                Choice::Reuse(id) => RecordId::new(id),
                Choice::Create if self.account.behaviour.create_missing => {
                    self.make_row(rule, referral, part, &found).await?
                }
                Choice::Create => continue,
                Choice::Ambiguous(ids) => return Err(ambiguous(rule, referral, &ids)),
            };
            let reference = Reference { table: rule.table.clone(), id };
            for field in &rule.fields {
                fields.insert(field.clone(), json!(reference));
            }
            found.insert(rule.name.clone(), reference);
        }
        Ok(fields)
    }

    async fn choose_row(
        &self,
        rule: &RelatedRule,
        wanted: String,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Choice, ConnectError> {
        let (field, _) = key(rule);
        let postal = match &rule.by {
            Match::NameAndPostalCode { postal_code, .. } => Some(postal_code),
            Match::Equal { .. } => None,
        };
        let rows = part
            .crm
            .search(&Search {
                table: rule.table.clone(),
                equals: vec![(field.clone(), wanted)],
                fields: postal.iter().map(|(field, _)| field.clone()).collect(),
                limit: MOST_CANDIDATES,
            })
            .await?;
        let candidates: Vec<Candidate> = rows
            .iter()
            .map(|row| Candidate {
                id: row.id.to_string(),
                postal_code: postal
                    .and_then(|(field, _)| row.fields.get(field))
                    .and_then(Json::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            })
            .collect();
        let postal_code = postal.and_then(|(_, path)| text_at(referral, path)).unwrap_or_default();
        Ok(choose(&candidates, &postal_code))
    }

    async fn make_row(
        &mut self,
        rule: &RelatedRule,
        referral: &Referral,
        part: &CrmPart,
        found: &BTreeMap<String, Reference>,
    ) -> Result<RecordId, ConnectError> {
        let mut fields = Fields::new();
        for (field, path) in &rule.create {
            if let Some(text) = text_at(referral, path) {
                fields.insert(field.clone(), json!(text));
            }
        }
        for (field, name) in &rule.create_links {
            if let Some(reference) = found.get(name) {
                fields.insert(field.clone(), json!(reference));
            }
        }
        let id = part.crm.create_row(&rule.table, &fields).await?;
        let summary = format!("Made the {} in {}.", rule.name, part.name().title());
        self.entry(None, AuditKind::Wrote, part.name().as_str(), summary);
        Ok(id)
    }
}

/// The field that a row is looked for by, and where the referral holds its value.
fn key(rule: &RelatedRule) -> &(String, String) {
    match &rule.by {
        Match::NameAndPostalCode { name, .. } => name,
        Match::Equal { field } => field,
    }
}

/// What a row must say; `None` if the referral does not say enough to look for one.
fn wanted(rule: &RelatedRule, referral: &Referral) -> Option<String> {
    text_at(referral, &key(rule).1)
}

/// Two customers fit equally well: a person chooses, nobody guesses.
fn ambiguous(rule: &RelatedRule, referral: &Referral, ids: &[String]) -> ConnectError {
    let name = referral.text("customerProfile.name").unwrap_or("the customer");
    ConnectError::Rejected(crate::connect::error::Refusal {
        status: 0,
        code: format!("{}_ambiguous", rule.name),
        message: format!(
            "several {} rows fit {name}: {}. Merge them, or give one the postal code of the referral.",
            rule.name,
            ids.join(", ")
        ),
        fields: rule.fields.clone(),
        request_id: None,
    })
}

/// The text at a dotted path of a referral, where a number takes an item of a list.
fn text_at(referral: &Referral, path: &str) -> Option<String> {
    let mut steps = path.split('.');
    let mut at = referral.fields().get(steps.next()?)?;
    for step in steps {
        at = match step.parse::<usize>() {
            Ok(place) => at.get(place)?,
            Err(_) => at.get(step)?,
        };
    }
    let text = match at {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
