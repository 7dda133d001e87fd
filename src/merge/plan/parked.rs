//! Fields that rest: what cannot be read, converted or taken by the other side. Everything else goes
//! on, and the same value is not tried again before somebody changes it.

use super::Draft;
use crate::domain::deal::{Parked, Target, Values};
use crate::domain::value::Value;
use crate::mapping::rule::{FieldProblem, FieldRule, Occasion};
use crate::merge::field::Verdict;
use crate::merge::sentence;

impl Draft<'_> {
    /// Everything that keeps one unit of fields from being written as decided.
    pub(super) fn unwritable(&self, unit: &[(FieldRule, Value, Value, Verdict)]) -> Vec<Parked> {
        let each = unit.iter().flat_map(|(rule, referral, record, verdict)| match verdict {
            Verdict::ToCrm | Verdict::PartnerCenterWins => self.not_for_record(rule, referral),
            Verdict::ToPartnerCenter | Verdict::CrmWins => self.not_for_referral(rule, record),
            Verdict::Still | Verdict::Agreed | Verdict::Ask => Vec::new(),
        });
        each.collect()
    }

    /// The values of a group that would go to Partner Center without one that is empty in the record and
    /// cannot be emptied there: an amount of before would stand beside a currency of now. They wait for
    /// it, and stay unsettled until then.
    pub(super) fn incomplete(&self, unit: &[(FieldRule, Value, Value, Verdict)]) -> Vec<Parked> {
        let kept = unit.iter().find(|(rule, referral, record, _)| {
            rule.required && record.is_null() && !referral.is_null()
        });
        let Some((kept, ..)) = kept else { return Vec::new() };
        let goes = |(rule, _, value, verdict): &&(FieldRule, Value, Value, Verdict)| {
            let sent = matches!(verdict, Verdict::ToPartnerCenter | Verdict::CrmWins);
            sent && rule.name != kept.name && self.may_be_sent(rule, value)
        };
        let waits = |(rule, ..): &(FieldRule, Value, Value, Verdict)| Parked {
            field: rule.name.clone(),
            reason: format!("{} goes together with {}, which is empty.", rule.label, kept.label),
            fix: format!("Enter {}.", kept.label),
            refused: None,
        };
        unit.iter().filter(goes).map(waits).collect()
    }

    /// Why a value of the referral does not fit the record.
    pub(super) fn not_for_record(&self, rule: &FieldRule, value: &Value) -> Vec<Parked> {
        if self.record_is_sealed() {
            return Vec::new();
        }
        if let Some(refused) = self.refused(rule, Target::Crm(self.view.crm()), value) {
            return vec![refused];
        }
        let (one, referral) = (single(rule, value), Some(self.situation.referral));
        let written = self.view.mapping.write_record(&one, referral, Occasion::Update);
        written.err().into_iter().flatten().map(parked).collect()
    }

    /// Why a value of the record does not fit the referral.
    fn not_for_referral(&self, rule: &FieldRule, value: &Value) -> Vec<Parked> {
        if !self.may_be_sent(rule, value) {
            return Vec::new();
        }
        if let Some(refused) = self.refused(rule, Target::PartnerCenter, value) {
            return vec![refused];
        }
        let (one, referral) = (single(rule, value), Some(self.situation.referral));
        let written = self.view.mapping.write_referral(&one, referral, Occasion::Update);
        written.err().into_iter().flatten().map(parked).collect()
    }

    /// The refusal of this very value, if there was one.
    fn refused(&self, rule: &FieldRule, target: Target, value: &Value) -> Option<Parked> {
        let same = |one: &&Parked| {
            let told = one.refused.as_ref();
            one.field == rule.name && told.is_some_and(|(by, what)| *by == target && what.is(value))
        };
        self.link.parked.iter().find(same).cloned()
    }

    /// Lets fields rest: the seller is told once for each reason.
    pub(super) fn rest(&mut self, fields: Vec<Parked>) {
        for field in fields {
            let line = sentence::parked(&field.reason, &field.fix);
            self.tell_once(&format!("parked:{}", field.field), &field.reason, line);
            if !self.parked.contains(&field) {
                self.parked.push(field);
            }
        }
    }

    /// A field that could not be read rests.
    pub(super) fn rest_unread(&mut self) {
        let (referral, record) = (&self.view.referral_values, &self.view.record_values);
        let unread = referral.problems.iter().chain(&record.problems).cloned();
        self.rest(unread.map(parked).collect());
    }
}

fn single(rule: &FieldRule, value: &Value) -> Values {
    Values::from([(rule.name.clone(), value.clone())])
}

fn parked(problem: FieldProblem) -> Parked {
    Parked { field: problem.field, reason: problem.reason, fix: problem.fix, refused: None }
}
