//! A compiled mapping and how it reads the two sides.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::cases::Case;
use super::codec::Fault;
use super::codec::convert::Converter;
use super::codec::currency::minor_digits;
use super::formula::{Context, Formula};
use super::path::ReferralPath;
use super::problem::{Place, Source};
use super::registration::RegistrationRule;
use super::rule::{
    Control, FieldProblem, FieldRule, ParkedRow, RelatedRule, SideValues, StageRule,
};
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::{Fields, Shape};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;

/// The currency that amounts of a deal are in.
const CURRENCY: &str = "details.currency";

/// A compiled mapping between referrals and one kind of record of one CRM.
///
/// Immutable and cheap to share; made by [`super::compile()`]. All conversions are pure.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(super) crm: CrmName,
    pub(super) kind: RecordKind,
    pub(super) file: String,
    pub(super) version: String,
    pub(super) shape: Shape,
    pub(super) rules: Vec<FieldRule>,
    pub(super) rows: Vec<Arc<Row>>,
    /// Of each row, whether an earlier one has the same name; what that one reads counts.
    pub(super) repeated: Vec<bool>,
    pub(super) control: Control,
    pub(super) registration: Option<RegistrationRule>,
    pub(super) stages: Vec<StageRule>,
    pub(super) related: Vec<RelatedRule>,
    /// Rows that are left out, with the reason.
    pub(super) parked: Vec<ParkedRow>,
    pub(super) cases: Arc<[Case]>,
    /// The file and the files it extends, to show where something stands.
    pub(super) sources: Arc<[Source]>,
    /// Every path that some formula reads, so that only these are handed to formulas.
    pub(super) paths: Arc<[String]>,
}

/// One compiled `[[field]]` row; its rule stands at the same index of [`Mapping::rules`].
#[derive(Debug)]
pub(super) struct Row {
    pub(super) path: Option<ReferralPath>,
    pub(super) converter: Converter,
    pub(super) when: Option<Formula>,
    pub(super) to_crm: Option<Formula>,
    pub(super) to_partner_center: Option<Formula>,
    pub(super) default: Option<Value>,
    pub(super) optional_field: bool,
    /// Where the row begins.
    pub(super) spot: Place,
}

impl Mapping {
    /// The CRM that the mapping is for.
    #[must_use]
    pub fn crm(&self) -> CrmName {
        self.crm
    }

    /// The kind of record that the mapping is for.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The file it was compiled from, as shown to people.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Which contents it was compiled from: the first 12 hex digits of the SHA-256 over the file
    /// and the files it extends.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Every record field that is to be read.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The rules of all fields, in the order of the file. Two rules may share a name if they travel
    /// in opposite directions.
    #[must_use]
    pub fn fields(&self) -> &[FieldRule] {
        &self.rules
    }

    /// The control fields.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The fields by which a won deal is registered with Microsoft; `None` if none is.
    #[must_use]
    pub fn registration(&self) -> Option<&RegistrationRule> {
        self.registration.as_ref()
    }

    /// The stages; the first that fits a record wins.
    #[must_use]
    pub fn stages(&self) -> &[StageRule] {
        &self.stages
    }

    /// Rows of other tables that a new record points to, in the order they are looked up.
    #[must_use]
    pub fn related(&self) -> &[RelatedRule] {
        &self.related
    }

    /// The mapping with only the rows at `place`.
    pub(super) fn only(&self, place: &str) -> Self {
        let kept = self.rules.iter().zip(&self.rows).filter(|(rule, _)| rule.place == place);
        let (rules, rows): (Vec<_>, Vec<_>) =
            kept.map(|(rule, row)| (rule.clone(), Arc::clone(row))).unzip();
        let repeated = repeated(&rules);
        Self { rules, rows, repeated, ..self.clone() }
    }

    /// The canonical values of a referral. Formulas to the CRM are evaluated here and named by
    /// their CRM field.
    #[must_use]
    pub fn read_referral(&self, referral: &Referral) -> SideValues {
        let mut context = None;
        let mut side = SideValues::default();
        for ((rule, row), repeated) in self.rules.iter().zip(&self.rows).zip(&self.repeated) {
            if !(*repeated && side.values.contains_key(&rule.name)) {
                let reading = row.read_referral(referral, &self.paths, &mut context);
                take(&mut side, rule, reading);
            }
        }
        self.round(&mut side);
        side
    }

    /// The canonical values of a flat record. Formulas to Partner Center are evaluated here and
    /// named by their referral path. A field that the record does not have is empty.
    #[must_use]
    pub fn read_record(&self, record: &Fields) -> SideValues {
        let mut context = None;
        let mut side = SideValues::default();
        for ((rule, row), repeated) in self.rules.iter().zip(&self.rows).zip(&self.repeated) {
            if !(*repeated && side.values.contains_key(&rule.name)) {
                let field = rule.crm.as_deref();
                let reading = row.read_record(field, record, &self.paths, &mut context);
                take(&mut side, rule, reading);
            }
        }
        self.round(&mut side);
        side
    }

    /// Whether `record` is what the row's field takes of a longer text of the referral: its beginning,
    /// as long as the field or as the row cuts it. `false` where the row knows no length.
    #[must_use]
    pub fn holds_cut(&self, rule: &FieldRule, referral: &Value, record: &Value) -> bool {
        let row = self.rules.iter().zip(&self.rows).find(|(one, _)| *one == rule);
        match (row, referral, record) {
            (Some((_, row)), Value::Text(long), Value::Text(short)) => {
                row.converter.cuts(long).any(|cut| Value::text(&cut) == Value::text(short))
            }
            _ => false,
        }
    }

    /// Rounds amounts half to even to the digits of their side's currency.
    fn round(&self, side: &mut SideValues) {
        let digits = minor_digits(side.values.get(CURRENCY).and_then(Value::as_text));
        for (rule, row) in self.rules.iter().zip(&self.rows) {
            if row.converter.by_currency
                && let Some(Value::Decimal(amount)) = side.values.get_mut(&rule.name)
            {
                *amount = amount.round_dp(digits).normalize();
            }
        }
    }

    /// The stage that a record is in; `None` if no row fits.
    #[must_use]
    pub fn stage_of(&self, record: &Fields) -> Option<Stage> {
        let fits = |rule: &&StageRule| !rule.when.is_empty() && fits(&rule.when, record);
        self.stages.iter().find(fits).map(|rule| rule.stage)
    }

    /// The row by which a record is brought into `stage`: the first that writes or closes.
    #[must_use]
    pub fn stage_to_set(&self, stage: Stage) -> Option<&StageRule> {
        self.stages.iter().find(|rule| rule.stage == stage && rule.sets())
    }

    /// What a record holds in the fields that tell its stage; null where it has none.
    #[must_use]
    pub fn stage_fields(&self, record: &Fields) -> Fields {
        let names = self.stages.iter().flat_map(|rule| rule.when.keys());
        names.map(|name| (name.clone(), record.get(name).cloned().unwrap_or_default())).collect()
    }
}

/// Of each rule, whether an earlier one has its name.
pub(super) fn repeated(rules: &[FieldRule]) -> Vec<bool> {
    let mut names = BTreeSet::new();
    rules.iter().map(|rule| !names.insert(rule.name.as_str())).collect()
}

/// A value, or nothing while the row rests.
type Reading = Result<Option<Value>, Fault>;

/// Puts what was read of one field into `side`.
fn take(side: &mut SideValues, rule: &FieldRule, reading: Reading) {
    match reading {
        Ok(Some(value)) => {
            side.values.insert(rule.name.clone(), value);
        }
        Ok(None) => {}
        Err(fault) => {
            let problem = problem_of(rule, fault);
            if !side.problems.contains(&problem) {
                side.problems.push(problem);
            }
        }
    }
}

/// A fault as a problem of `rule`'s field.
pub(super) fn problem_of(rule: &FieldRule, fault: Fault) -> FieldProblem {
    FieldProblem { field: rule.name.clone(), reason: fault.reason, fix: fault.fix }
}

impl Row {
    fn read_referral(
        &self,
        referral: &Referral,
        paths: &[String],
        context: &mut Option<Context>,
    ) -> Reading {
        if self.rests(referral, paths, context)? {
            return Ok(None);
        }
        if let Some(formula) = &self.to_crm {
            let context = context.get_or_insert_with(|| Context::referral(referral, paths));
            return self.converter.canonical(&formula.value(context)?).map(Some);
        }
        let json = self.path.as_ref().and_then(|path| path.get(referral));
        self.converter.of_referral(json.unwrap_or(&Json::Null)).map(Some)
    }

    fn read_record(
        &self,
        field: Option<&str>,
        record: &Fields,
        paths: &[String],
        context: &mut Option<Context>,
    ) -> Reading {
        if let Some(when) = self.when.as_ref().filter(|when| when.reads("record"))
            && !when.holds(context.get_or_insert_with(|| Context::record(record, paths)))?
        {
            return Ok(None);
        }
        if let Some(formula) = &self.to_partner_center {
            let context = context.get_or_insert_with(|| Context::record(record, paths));
            return self.converter.canonical(&formula.value(context)?).map(Some);
        }
        let json = field.and_then(|field| record.get(field));
        self.converter.of_record(json.unwrap_or(&Json::Null)).map(Some)
    }

    /// Every path that its formulas read.
    pub(super) fn formulas(&self) -> impl Iterator<Item = &String> {
        let formulas = [&self.when, &self.to_crm, &self.to_partner_center];
        formulas.into_iter().flatten().flat_map(Formula::paths)
    }

    /// Whether a condition over the referral keeps the row from acting.
    pub(super) fn rests(
        &self,
        referral: &Referral,
        paths: &[String],
        context: &mut Option<Context>,
    ) -> Result<bool, Fault> {
        let Some(when) = self.when.as_ref().filter(|when| when.reads("referral")) else {
            return Ok(false);
        };
        let context = context.get_or_insert_with(|| Context::referral(referral, paths));
        when.holds(context).map(|holds| !holds)
    }
}

/// The record fields that a formula reads, flat.
pub(super) fn record_fields(formula: &Formula) -> impl Iterator<Item = &str> {
    formula.paths().iter().filter_map(|path| path.strip_prefix("record."))
}

/// Whether a record holds what a stage is recognised by.
pub(super) fn fits(when: &Fields, record: &Fields) -> bool {
    when.iter()
        .all(|(field, expected)| fits_value(record.get(field).unwrap_or(&Json::Null), expected))
}

/// Whether a record's value is the one a stage asks for: codes are compared by their text, so that
/// `2` and `"2"` are the same; a list in the file fits if one of its values does.
fn fits_value(actual: &Json, expected: &Json) -> bool {
    match (actual, expected) {
        (_, Json::Array(any)) => any.iter().any(|one| fits_value(actual, one)),
        (Json::Null, Json::Bool(false)) => true,
        (Json::String(_) | Json::Number(_), Json::String(_) | Json::Number(_)) => {
            code(actual) == code(expected)
        }
        (left, right) => left == right,
    }
}

/// A code as text.
pub(super) fn code(json: &Json) -> String {
    match json {
        Json::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}
