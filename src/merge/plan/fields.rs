//! The fields of one link: what each verdict of the three-way merge means for the plan.

use super::{BOTH_CHANGED, Draft};
use crate::domain::deal::{Conflict, Target};
use crate::domain::hold::Hold;
use crate::domain::id::RecordKind;
use crate::domain::referral::{self, FROZEN_AFTER_SHARE};
use crate::domain::value::Value;
use crate::mapping::rule::FieldRule;
use crate::merge::field::{self, Sides, Stamps, Verdict};
use crate::merge::sentence;

impl Draft<'_> {
    pub(super) fn fields(&mut self) {
        let stamps = Stamps {
            referral: self.situation.referral.updated(),
            record: self.view.record.modified,
            margin: self.situation.settings.newest_margin,
            ended: self.situation.referral.state().is_terminal(),
        };
        let rules: Vec<FieldRule> =
            self.view.fields.iter().filter(|rule| rule.on_update).cloned().collect();
        for unit in field::units(&rules) {
            let sides: Vec<Sides<'_>> = unit.iter().filter_map(|rule| self.sides(rule)).collect();
            if sides.len() < unit.len() {
                continue;
            }
            let verdicts = field::decide(&sides, stamps);
            let owned: Vec<(FieldRule, Value, Value, Verdict)> = sides
                .iter()
                .zip(verdicts)
                .map(|(sides, verdict)| {
                    (sides.rule.clone(), sides.referral.clone(), sides.record.clone(), verdict)
                })
                .collect();
            let problems = self.unwritable(&owned);
            let rests = !problems.is_empty();
            self.rest(problems);
            let waiting = self.incomplete(&owned);
            let waits: Vec<String> = waiting.iter().map(|one| one.field.clone()).collect();
            self.rest(waiting);
            for (rule, referral, record, verdict) in owned {
                if !(rests || waits.contains(&rule.name)) || verdict == Verdict::Agreed {
                    self.apply(&rule, referral, record, &verdict);
                }
            }
        }
        self.rest_unread();
    }

    /// Both sides of one field; `None` if either could not be read, which parks the field.
    fn sides<'b>(&'b self, rule: &'b FieldRule) -> Option<Sides<'b>> {
        let referral = self.view.referral_values.values.get(&rule.name)?;
        let record = self.view.record_values.values.get(&rule.name)?;
        let base = self.link.base.get(&rule.name);
        let cut = self.view.mapping.holds_cut(rule, referral, record);
        Some(Sides { rule, base, referral, record, cut })
    }

    fn apply(&mut self, rule: &FieldRule, referral: Value, record: Value, verdict: &Verdict) {
        match verdict {
            Verdict::Still => {}
            Verdict::Agreed => self.settled.push(rule.name.clone()),
            Verdict::ToCrm => {
                self.bring(rule, referral);
            }
            Verdict::PartnerCenterWins => {
                if self.bring(rule, referral.clone()) {
                    self.losses.push(self.conflict(rule, Target::PartnerCenter, referral, record));
                }
            }
            Verdict::ToPartnerCenter => {
                self.offer(rule, record);
            }
            Verdict::CrmWins => {
                if self.offer(rule, record.clone()) {
                    let crm = Target::Crm(self.view.crm());
                    self.referral_losses.push(self.conflict(rule, crm, record, referral));
                }
            }
            Verdict::Ask => self.ask(rule, &referral, &record),
        }
    }

    fn conflict(&self, rule: &FieldRule, winner: Target, kept: Value, lost: Value) -> Conflict {
        let crm = Target::Crm(self.view.crm());
        let loser = if winner == crm { Target::PartnerCenter } else { crm };
        let agreed = self.link.base.get(&rule.name);
        let doubtful = agreed.is_some_and(|agreed| agreed.doubtful);
        let policy = if doubtful { "restored" } else { rule.conflict.as_str() }.to_owned();
        Conflict { field: rule.name.clone(), winner, kept, loser, lost, policy }
    }

    /// Takes a value to the record, unless the record is closed and cannot be written any more, when
    /// it stays in the local trail. Returns whether it will be written.
    fn bring(&mut self, rule: &FieldRule, value: Value) -> bool {
        if self.record_is_sealed() {
            // A lead that was turned hands this on to its opportunity; and a deal that goes on may only
            // look closed, by mapping files that are put right later.
            let ended = self.situation.referral.state().is_terminal();
            if ended && self.view.kind() != RecordKind::Lead {
                self.settled.push(rule.name.clone());
            }
            return false;
        }
        self.settled.push(rule.name.clone());
        self.to_crm.insert(rule.name.clone(), value);
        true
    }

    /// Whether a value could go to Partner Center at all, were the deal accepted.
    pub(super) fn may_be_sent(&self, rule: &FieldRule, value: &Value) -> bool {
        let ended = self.situation.referral.state().is_terminal();
        let emptied = rule.required && value.is_null();
        let frozen = self.is_shared() && referral::is_frozen(&rule.name, FROZEN_AFTER_SHARE);
        !(ended || emptied || frozen)
    }

    /// Offers a value to Partner Center. Returns whether it will be sent.
    fn offer(&mut self, rule: &FieldRule, value: Value) -> bool {
        let name = rule.name.clone();
        // Not settled: should Partner Center still change the value, the seller's is named as lost.
        if self.situation.referral.state().is_terminal() {
            if let Some(stage) = self.referral_stage {
                self.tell_once("terminal", "", sentence::closed_at_microsoft(stage));
            }
            return false;
        }
        if rule.required && value.is_null() {
            self.settled.push(name.clone());
            self.tell_once(&format!("cleared:{name}"), "", sentence::not_cleared(&rule.label));
            return false;
        }
        if self.is_shared() && referral::is_frozen(&name, FROZEN_AFTER_SHARE) {
            self.settled.push(name.clone());
            self.tell_once(&format!("frozen:{name}"), "", sentence::frozen(&rule.label));
            return false;
        }
        if !self.accepted {
            return false;
        }
        self.to_partner_center.insert(name.clone(), value);
        self.settled.push(name);
        true
    }

    fn ask(&mut self, rule: &FieldRule, referral: &Value, record: &Value) {
        let reason =
            format!("{} was changed to {record} here and to {referral} at Microsoft.", rule.label);
        let fix = "Enter the value that is to stay on either side, or set both to the same value.";
        self.hold.get_or_insert(Hold::new(BOTH_CHANGED, reason, fix));
        let line = sentence::both_changed(&rule.label, record, referral);
        let both = format!("{referral}:{record}");
        self.tell_once(&format!("ask:{}", rule.name), &both, line);
    }
}
