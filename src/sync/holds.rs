//! What waits for a person: which links a refusal holds, and what their sellers are told.

use super::attempt::{Attempt, ReadRecord};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Link, Parked, Remembered, Target, Values};
use crate::domain::hold::Hold;
use crate::domain::id::CrmName;
use crate::domain::notice::{Notice, Source};
use crate::domain::referral::Referral;
use crate::mapping::Mapping;
use crate::mapping::rule::FieldRule;
use crate::merge::plan;

impl Attempt<'_> {
    /// Files a fault of one system: a hold of its link where a person must act, else a retry.
    pub(super) fn fault(&mut self, deal: &mut Deal, target: Target, fault: ConnectError) {
        if !self.hold_link(deal, target, &fault) {
            self.faults.push((target, fault));
        }
    }

    pub(super) fn note_holds(&mut self, deal: &mut Deal, plan: &plan::Plan) {
        let asks =
            |link: &Link| link.hold.as_ref().is_some_and(|hold| hold.code == plan::BOTH_CHANGED);
        for link in deal.links.iter_mut().filter(|link| asks(link)) {
            link.hold = None;
        }
        for (crm, hold) in &plan.holds {
            if let Some(link) = deal.link_mut(*crm) {
                link.hold = Some(hold.clone());
            }
        }
        self.asked = plan.holds.first().map(|(_, hold)| hold.clone());
    }

    /// Notes which fields rest now, with an entry for each that begins or ceases to.
    pub(super) fn note_parked(&mut self, deal: &mut Deal, plan: &plan::Plan) {
        for outcome in &plan.links {
            let (crm, now) = (outcome.crm, &outcome.parked);
            let Some(link) = deal.link_mut(crm) else { continue };
            let before = std::mem::replace(&mut link.parked, now.clone());
            for one in now.iter().filter(|one| !before.contains(one)) {
                let Parked { field, reason, fix, .. } = one;
                let summary = format!("{field} rests, everything else goes on: {reason} {fix}");
                self.entry(Some(deal), AuditKind::Held, crm.as_str(), summary);
            }
            let again = |old: &&Parked| now.iter().all(|one| one.field != old.field);
            for one in before.iter().filter(again) {
                let summary = format!("{} is kept in step again.", one.field);
                self.entry(Some(deal), AuditKind::Resumed, crm.as_str(), summary);
            }
        }
    }

    /// Lets the fields rest that a refusal names, if all of them are values that were `sent`: the
    /// rest is planned anew without them. `false` if the refusal is about anything else.
    pub(super) fn park_refused(
        &mut self,
        deal: &mut Deal,
        target: Target,
        fault: &ConnectError,
        (read, sent): (&ReadRecord, &Values),
    ) -> bool {
        let rules = refused_rules(&read.mapping, target, fault, sent);
        let (ConnectError::Rejected(refusal), false) = (fault, rules.is_empty()) else {
            return false;
        };
        let crm = read.record.key.crm;
        let system = title(target);
        for rule in rules {
            let Some((link, value)) = deal.link_mut(crm).zip(sent.get(&rule.name)) else {
                continue;
            };
            link.parked.retain(|one| one.field != rule.name);
            link.parked.push(Parked {
                field: rule.name.clone(),
                reason: format!("{system} did not take the {}: {}", rule.label, refusal.message),
                fix: "Change the value, or the rule that refuses it.".to_owned(),
                refused: Some((target, Remembered::of(value))),
            });
            let summary =
                format!("{system} refused {}; everything else goes on: {fault}", rule.name);
            let mut entry =
                self.new_entry(Some(deal), AuditKind::Refused, target.as_str(), summary);
            if entry.request_ids.is_empty() {
                entry.request_ids = refusal.request_id.iter().cloned().collect();
            }
            self.entries.push(entry);
        }
        true
    }

    /// What a system refused is tried once more where somebody has changed what refused it, where a
    /// person asks for it, and where everything is compared.
    pub(super) fn forget_refusals(
        &self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) {
        let asked = self.is_asked();
        let referral_moved = deal.referral_version != referral.version();
        for link in &mut deal.links {
            let read = records.iter().find(|read| read.record.key == link.record);
            let record_moved =
                read.is_some_and(|read| link.version.as_ref() != Some(&read.record.version));
            link.parked.retain(|one| match one.refused {
                Some((Target::PartnerCenter, _)) => !asked && !referral_moved,
                Some((Target::Crm(_), _)) => !asked && !record_moved,
                None => true,
            });
        }
    }

    /// Whether a person or the comparison wants everything tried again.
    pub(super) fn is_asked(&self) -> bool {
        let asks =
            |notice: &Notice| matches!(notice.notice.source, Source::Reconcile | Source::Operator);
        self.notices.iter().any(asks)
    }

    /// Holds the link that a refusal concerns; `false` if it is no matter for a person.
    pub(super) fn hold_link(
        &mut self,
        deal: &mut Deal,
        target: Target,
        fault: &ConnectError,
    ) -> bool {
        let concerned: Vec<CrmName> = match target {
            Target::PartnerCenter => deal.links.iter().map(|link| link.record.crm).collect(),
            Target::Crm(crm) => vec![crm],
        };
        self.hold_links(deal, target, &concerned, fault)
    }

    /// Holds the links of the CRMs that a refusal concerns; `false` if it is no matter for a person.
    pub(super) fn hold_links(
        &mut self,
        deal: &mut Deal,
        target: Target,
        concerned: &[CrmName],
        fault: &ConnectError,
    ) -> bool {
        let Some(hold) = hold_for(target, fault) else { return false };
        for link in &mut deal.links {
            if concerned.contains(&link.record.crm) {
                link.hold = Some(hold.clone());
            }
        }
        deal.intents.retain(|intent| intent.target != target);
        let system = title(target);
        let mut entry = self.new_entry(
            Some(deal),
            AuditKind::Refused,
            target.as_str(),
            format!("{system} refused: {fault}"),
        );
        if entry.request_ids.is_empty() {
            entry.request_ids = request_id(fault).into_iter().collect();
        }
        self.entries.push(entry);
        self.hold.get_or_insert(hold);
        true
    }
}

/// The rules of the fields that a refusal names, if all of them are values that were `sent`; none if
/// it is about anything else.
pub(super) fn refused_rules<'m>(
    mapping: &'m Mapping,
    target: Target,
    fault: &ConnectError,
    sent: &Values,
) -> Vec<&'m FieldRule> {
    let ConnectError::Rejected(refusal) = fault else { return Vec::new() };
    let of_field = |named: &String| {
        let is_meant = |rule: &&FieldRule| {
            let end = if target == Target::PartnerCenter { &rule.referral } else { &rule.crm };
            let end = end.as_deref().unwrap_or_default();
            let row = end.split('.').next().unwrap_or_default();
            let same = end.eq_ignore_ascii_case(named) || row.eq_ignore_ascii_case(named);
            same && sent.contains_key(&rule.name)
        };
        mapping.fields().iter().find(is_meant)
    };
    let rules: Option<Vec<&FieldRule>> = refusal.fields.iter().map(of_field).collect();
    rules.unwrap_or_default()
}

/// The name of a system for people.
fn title(target: Target) -> &'static str {
    match target {
        Target::PartnerCenter => "Microsoft Partner Center",
        Target::Crm(crm) => crm.title(),
    }
}

/// The hold for a fault that only a person can clear.
fn hold_for(target: Target, fault: &ConnectError) -> Option<Hold> {
    let system = title(target);
    match fault {
        ConnectError::Rejected(refusal) => {
            let fields = if refusal.fields.is_empty() {
                String::new()
            } else {
                format!(" (fields: {})", refusal.fields.join(", "))
            };
            let reason = format!("{system} did not accept a change: {}{fields}", refusal.message);
            let fix = "Correct the value in the record or the rule that refuses it, then retry.";
            Some(Hold::new("rejected", reason, fix).with_evidence(fault.to_string()))
        }
        ConnectError::Ambiguous(ids) => {
            let reason =
                format!("{system} holds several records for this referral: {}.", ids.join(", "));
            let fix = "Keep one of them: empty the Referral Identifier of the others, then retry.";
            Some(Hold::new("two_records", reason, fix))
        }
        _ => None,
    }
}

fn request_id(fault: &ConnectError) -> Option<String> {
    match fault {
        ConnectError::Rejected(refusal)
        | ConnectError::Exists(refusal)
        | ConnectError::NotFound(refusal) => refusal.request_id.clone(),
        _ => None,
    }
}

/// A genuine event that names no referral.
pub(super) fn unusable(reason: &str) -> Hold {
    Hold::new(
        "unusable_event",
        format!("An event of Partner Center names no referral: {reason}."),
        "Nothing is lost: the list of referrals covers it. Discard it once you have looked at it.",
    )
}
