//! Rows that the live schema does not allow: they are left out, and the others are used.

use std::sync::Arc;

use super::compiled::{Mapping, Row, record_fields, repeated};
use super::registration::RegistrationRule;
use super::rule::{FieldRule, ParkedRow};

/// What is wrong with a record field.
enum Hurdle {
    Missing,
    NotWritable,
}

impl Mapping {
    /// Rows that are left out because of what the CRM has or lets us write, with the reason.
    #[must_use]
    pub fn parked(&self) -> &[ParkedRow] {
        &self.parked
    }

    /// Fields whose rows expect that the live schema may lack them.
    #[must_use]
    pub fn optional_fields(&self) -> Vec<&str> {
        let rows = self.rules.iter().zip(&self.rows).filter(|(_, row)| row.optional_field);
        rows.filter_map(|(rule, _)| rule.crm.as_deref()).collect()
    }

    /// Record fields without which nothing of this kind can be kept in step: those that join record
    /// and referral, and those that tell the stage.
    #[must_use]
    pub fn indispensable_fields(&self) -> Vec<&str> {
        let control = [&self.control.referral_id, &self.control.sync, &self.control.audit];
        let stages = self.stages.iter().flat_map(|rule| rule.when.keys().chain(rule.write.keys()));
        let mut fields: Vec<&str> = control.into_iter().chain(stages).map(String::as_str).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// The mapping without the record fields named in `missing`: their rows are parked, optional
    /// control fields are dropped, and none of them is read. Without one of its fields the
    /// registration is dropped as a whole.
    #[must_use]
    pub fn without(&self, missing: &[&str]) -> Self {
        let gone = |field: &str| missing.contains(&field);
        let mut mapping = self.clone();
        mapping.park(|rule, row| {
            let formulas = [&row.when, &row.to_partner_center].into_iter().flatten();
            let read = formulas.flat_map(record_fields).chain(rule.crm.as_deref());
            let mut read = read.filter(|field| gone(field));
            read.next().map(|field| (field.to_owned(), Hurdle::Missing))
        });
        let control = &mut mapping.control;
        for field in [
            &mut control.link,
            &mut control.help,
            &mut control.solutions,
            &mut control.visibility,
            &mut control.microsoft_id,
            &mut control.token,
            &mut control.status,
        ] {
            if field.as_deref().is_some_and(gone) {
                *field = None;
            }
        }
        if self.registration.iter().flat_map(RegistrationRule::fields).any(|field| gone(field)) {
            mapping.registration = None;
        }
        mapping.shape.fields.retain(|field| !gone(field));
        mapping.shape.token_field = mapping.control.token.clone();
        mapping
    }

    /// The mapping without the rows that would write a field for which `may_write` says no; it is
    /// asked with the field and whether the record is being made.
    #[must_use]
    pub fn where_writable(&self, may_write: impl Fn(&str, bool) -> bool) -> Self {
        let mut mapping = self.clone();
        mapping.park(|rule, _| {
            let field = rule.crm.as_deref().filter(|_| rule.direction.to_crm())?;
            let refused = (rule.on_create && !may_write(field, true))
                || (rule.on_update && !may_write(field, false));
            refused.then(|| (field.to_owned(), Hurdle::NotWritable))
        });
        mapping
    }

    /// The mapping whose new records point only where `may_point` lets their lookup fields point. A
    /// related row that no record and no other row points to is not looked for.
    #[must_use]
    pub fn where_pointable(&self, may_point: impl Fn(&str) -> bool) -> Self {
        let mut mapping = self.clone();
        for rule in &mut mapping.related {
            let (kept, lost): (Vec<String>, Vec<String>) =
                std::mem::take(&mut rule.fields).into_iter().partition(|field| may_point(field));
            rule.fields = kept;
            mapping.parked.extend(lost.into_iter().map(|field| {
                ParkedRow {
                field: rule.name.clone(),
                label: format!("{} of new records", rule.name),
                reason: format!(
                    "the {} of {} has no field {field} that we may fill",
                    mapping.kind,
                    mapping.crm.title()
                ),
                crm_field: field,
                optional: false,
                fix: "give our user (or its permission set) the right to edit it, or name another \
                      field in the [[related]] row; then run `cosell-sync mapping reload`"
                    .to_owned(),
                place: mapping.file.clone(),
            }
            }));
        }
        let links = mapping.related.iter().flat_map(|rule| &rule.create_links);
        let needed: Vec<String> = links.map(|(_, name)| name.clone()).collect();
        mapping.related.retain(|rule| !rule.fields.is_empty() || needed.contains(&rule.name));
        mapping
    }

    /// Parks every row for which `hurdle` names one.
    fn park(&mut self, hurdle: impl Fn(&FieldRule, &Row) -> Option<(String, Hurdle)>) {
        let rows: Vec<(FieldRule, Arc<Row>)> =
            std::mem::take(&mut self.rules).into_iter().zip(self.rows.drain(..)).collect();
        for (rule, row) in rows {
            match hurdle(&rule, &row) {
                Some((field, hurdle)) => {
                    let parked = self.parked_row(&rule, row.optional_field, field, &hurdle);
                    self.parked.push(parked);
                }
                None => {
                    self.rules.push(rule);
                    self.rows.push(row);
                }
            }
        }
        // Of two rows with one name the first may be gone.
        self.repeated = repeated(&self.rules);
    }

    fn parked_row(
        &self,
        rule: &FieldRule,
        optional: bool,
        field: String,
        hurdle: &Hurdle,
    ) -> ParkedRow {
        let (crm, kind) = (self.crm.title(), self.kind);
        let (reason, fix) = match hurdle {
            Hurdle::Missing if optional => (
                format!("the {kind} of {crm} has no field {field}"),
                "`cosell-sync provision --apply` makes it; then run `cosell-sync mapping reload`",
            ),
            Hurdle::Missing => (
                format!("the {kind} of {crm} has no field {field}"),
                "make it in the CRM, or give the row `optional_field = true` and run `cosell-sync \
                 provision --apply`; then run `cosell-sync mapping reload`",
            ),
            Hurdle::NotWritable => (
                format!("{crm} does not let us write {field} of the {kind}"),
                "give our user (or its permission set) the right to edit it, or give the row \
                 `direction = \"to_partner_center\"`; then run `cosell-sync mapping reload`",
            ),
        };
        ParkedRow {
            field: rule.name.clone(),
            label: rule.label.clone(),
            crm_field: field,
            optional,
            reason,
            fix: fix.to_owned(),
            place: rule.place.clone(),
        }
    }
}
