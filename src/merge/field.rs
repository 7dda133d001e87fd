//! The three-way merge of fields: what moved since both sides agreed, and who wins.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::deal::{Agreement, Remembered};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::mapping::rule::{Direction, FieldRule, Policy};

/// One field with what both sides hold and what they last agreed on.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// Its rule.
    pub rule: &'a FieldRule,
    /// What both sides held when they last agreed; `None` if they never did.
    pub base: Option<&'a Agreement>,
    /// What the referral holds.
    pub referral: &'a Value,
    /// What the record holds.
    pub record: &'a Value,
    /// The record holds exactly as much of the referral's text as its field takes: an earlier write
    /// that was cut, and no words of anybody's own. Only where the length of the field is known.
    pub cut: bool,
}

/// The modification stamps that the two systems gave their records, for [`Policy::Newest`].
#[derive(Debug, Clone, Copy)]
pub struct Stamps {
    /// Partner Center's.
    pub referral: Option<Timestamp>,
    /// The CRM's.
    pub record: Timestamp,
    /// Closer together than this nobody is newer.
    pub margin: Duration,
    /// The deal has ended at Partner Center. Nothing can be sent there any more, so that what it holds
    /// stays, whatever the policy says.
    pub ended: bool,
}

/// What is to happen to one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing moved.
    Still,
    /// Both sides mean the same: it becomes the base.
    Agreed,
    /// The referral's value goes to the record.
    ToCrm,
    /// The record's value goes to the referral.
    ToPartnerCenter,
    /// Both moved; the referral's value goes to the record and the record's value loses.
    PartnerCenterWins,
    /// Both moved; the record's value goes to the referral and the referral's value loses.
    CrmWins,
    /// Both moved; a person decides.
    Ask,
}

/// Decides the fields of one unit: a single field, or all fields of a group.
///
/// A group moves as one: if both sides moved any of its fields, and the result would differ, the
/// policy of the first field that differs decides for all.
#[must_use]
pub fn decide(unit: &[Sides<'_>], stamps: Stamps) -> Vec<Verdict> {
    let referral_moved = unit.iter().any(|sides| sides.referral_moved());
    let record_moved = unit.iter().any(|sides| sides.record_moved());
    if referral_moved && record_moved {
        let clash = unit.iter().find(|sides| sides.clashes(unit.len() > 1));
        if let Some(clash) = clash {
            let stays = stamps.ended || unit.iter().any(Sides::was_never_filled);
            let policy = if stays { Policy::PartnerCenter } else { clash.rule.conflict };
            let verdict = winner(policy, stamps);
            return unit.iter().map(|sides| sides.under(&verdict)).collect();
        }
    }
    unit.iter().map(Sides::alone).collect()
}

impl Sides<'_> {
    fn referral_moved(&self) -> bool {
        if self.rule.direction == Direction::ToPartnerCenter {
            return false;
        }
        match self.base {
            Some(base) => !base.referral.is(self.referral),
            None => self.referral != self.record && !self.referral.is_null(),
        }
    }

    fn record_moved(&self) -> bool {
        if self.rule.direction == Direction::ToCrm {
            return false;
        }
        match self.base {
            Some(base) => !(base.record.is(self.record) || base.doubtful && self.cut),
            None => self.referral != self.record && !self.record.is_null() && !self.cut,
        }
    }

    /// Whether the record has never held what Partner Center holds and cannot be without: beside an
    /// empty amount the currency that a CRM fills in by itself is nobody's word on the amount.
    fn was_never_filled(&self) -> bool {
        let empty = self.record.is_null() && !self.referral.is_null();
        self.base.is_none() && self.rule.required && empty
    }

    /// Whether both sides may have agreed on something else since the base.
    fn is_doubtful(&self) -> bool {
        self.base.is_some_and(|base| base.doubtful) && self.rule.direction == Direction::Both
    }

    /// Whether this field stands in the way: the values differ, and in a group it moved at all, or
    /// alone it moved on both sides.
    fn clashes(&self, in_group: bool) -> bool {
        let (referral, record) = (self.referral_moved(), self.record_moved());
        self.referral != self.record
            && if in_group { referral || record } else { referral && record }
    }

    fn alone(&self) -> Verdict {
        match (self.referral_moved(), self.record_moved()) {
            _ if self.referral == self.record => self.agreed_or_still(),
            (true, _) => self.bring(),
            (false, true) => self.offer(),
            (false, false) if self.is_doubtful() => self.agreed_or_still(),
            (false, false) => Verdict::Still,
        }
    }

    /// The referral's value goes to the record. After a restore nobody knows whether the record's
    /// is newer than the base: it is named.
    fn bring(&self) -> Verdict {
        let overwrites = self.is_doubtful() && !self.record.is_null() && !self.cut;
        if overwrites { Verdict::PartnerCenterWins } else { Verdict::ToCrm }
    }

    /// The same the other way.
    fn offer(&self) -> Verdict {
        let overwrites = self.is_doubtful() && !self.referral.is_null();
        if overwrites { Verdict::CrmWins } else { Verdict::ToPartnerCenter }
    }

    /// What both hold becomes the base, unless it is for sure already.
    fn agreed_or_still(&self) -> Verdict {
        let known = self.base.is_some_and(|base| {
            base.referral.is(self.referral) && base.record.is(self.record) && !base.doubtful
        });
        if known { Verdict::Still } else { Verdict::Agreed }
    }

    fn under(&self, verdict: &Verdict) -> Verdict {
        if self.referral == self.record {
            return self.agreed_or_still();
        }
        match verdict {
            Verdict::PartnerCenterWins if !self.record_moved() => self.bring(),
            Verdict::CrmWins if !self.referral_moved() => self.offer(),
            other => other.clone(),
        }
    }
}

fn winner(policy: Policy, stamps: Stamps) -> Verdict {
    match policy {
        Policy::PartnerCenter => Verdict::PartnerCenterWins,
        Policy::Crm => Verdict::CrmWins,
        Policy::Ask => Verdict::Ask,
        Policy::Newest => {
            let Some(referral) = stamps.referral else { return Verdict::Ask };
            let apart = referral.since(stamps.record).max(stamps.record.since(referral));
            if apart < stamps.margin {
                Verdict::Ask
            } else if referral > stamps.record {
                Verdict::PartnerCenterWins
            } else {
                Verdict::CrmWins
            }
        }
    }
}

/// Records that both sides now hold these values.
pub fn agree(
    base: &mut BTreeMap<String, Agreement>,
    field: &str,
    referral: &Value,
    record: &Value,
) {
    let agreement = Agreement {
        referral: Remembered::of(referral),
        record: Remembered::of(record),
        doubtful: false,
    };
    base.insert(field.to_owned(), agreement);
}

/// Splits rules into units: each group together, every other field alone, in the order of the file.
#[must_use]
pub fn units(rules: &[FieldRule]) -> Vec<Vec<&FieldRule>> {
    let mut units: Vec<Vec<&FieldRule>> = Vec::new();
    for rule in rules {
        let same_group = |unit: &&mut Vec<&FieldRule>| {
            rule.group.is_some() && unit.first().is_some_and(|first| first.group == rule.group)
        };
        match units.iter_mut().find(same_group) {
            Some(unit) => unit.push(rule),
            None => units.push(vec![rule]),
        }
    }
    units
}

#[cfg(test)]
mod tests;
