//! The names that a case may use: those of a case that no row knows would never show anything.

use std::collections::BTreeSet;

use crate::domain::id::{CrmName, RecordKind};
use crate::mapping::knowledge::{field_names, referral_names};
use crate::mapping::path::without_index;
use crate::mapping::problem::{Findings, Place};
use crate::mapping::rule::FieldRule;

/// What the rows of a mapping read and write.
#[derive(Debug, Default)]
pub(crate) struct KnownNames {
    /// Paths of the referral that some row reads.
    referral_read: BTreeSet<String>,
    /// Paths of the referral that some row writes.
    referral_written: BTreeSet<String>,
    /// Fields of the record that are read.
    record_read: BTreeSet<String>,
    /// Fields of the record that some row writes.
    record_written: BTreeSet<String>,
    /// Canonical names, for problems.
    fields: BTreeSet<String>,
    /// Every field that the systems are known to have: to give one that no row reads is harmless.
    standard: BTreeSet<String>,
    /// The words for stages.
    stages: Vec<&'static str>,
}

impl KnownNames {
    /// Collects the names of `rules`; `record_read` are all fields that are read, `formulas` the
    /// paths that formulas read, `stages` the words for stages.
    pub(crate) fn of<'r>(
        rules: impl Iterator<Item = &'r FieldRule>,
        record_read: &[String],
        formulas: &[String],
        (crm, kind): (CrmName, RecordKind),
        stages: Vec<&'static str>,
    ) -> Self {
        let record_read = record_read.iter().cloned().collect();
        let standard = field_names(crm, kind).into_iter();
        let standard = standard.chain(referral_names().map(str::to_owned)).collect();
        let mut known = Self { record_read, standard, stages, ..Self::default() };
        for rule in rules {
            known.fields.insert(rule.name.clone());
            known.referral_read.extend(rule.referral.clone());
            if rule.direction.to_crm() {
                known.record_written.extend(rule.crm.clone());
            }
            if rule.direction.to_partner_center() {
                known.referral_written.extend(rule.referral.clone());
            }
        }
        let paths = formulas.iter().filter_map(|path| path.strip_prefix("referral."));
        known.referral_read.extend(paths.map(str::to_owned));
        if formulas.iter().any(|path| path == "referral") {
            known.referral_read.insert(String::new());
        }
        known
    }

    /// Notes a key of `given` or `expect` that no row reads or writes.
    pub(super) fn check_key(
        &self,
        table: &str,
        side: &str,
        key: &str,
        place: &Place,
        findings: &mut Findings,
    ) {
        let (names, does) = match (table, side) {
            ("given", "referral") => (&self.referral_read, "reads"),
            ("given", _) => (&self.record_read, "reads"),
            (_, "referral") => (&self.referral_written, "writes"),
            _ => (&self.record_written, "writes"),
        };
        let standard = table == "given" && self.standard.contains(&without_index(key));
        if standard || names.contains("") || names.iter().any(|name| is_part(name, key)) {
            return;
        }
        let of = if side == "referral" { "the referral" } else { "the record" };
        let message = format!("no row {does} `{key}` of {of}");
        findings.unknown(place, message, key, names.iter().map(String::as_str));
    }

    /// Notes a stage that there is not.
    pub(super) fn check_stage(&self, stage: &str, place: &Place, findings: &mut Findings) {
        let words = self.stages.iter().copied().chain(["none"]);
        if !words.clone().any(|word| word == stage) {
            findings.unknown(place, format!("there is no stage `{stage}`"), stage, words);
        }
    }

    /// Notes a problem expected of a field that no row has.
    pub(super) fn check_problem(&self, field: &str, place: &Place, findings: &mut Findings) {
        if !self.fields.contains(field) {
            let names = self.fields.iter().map(String::as_str);
            findings.unknown(place, format!("no row is for `{field}`"), field, names);
        }
    }
}

/// Whether `key` is `name`, or one is inside the other: `team.0.email` of `team`.
fn is_part(name: &str, key: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    inside(name, key) || inside(key, name) || without_index(name) == key
}
