//! What waits for a person: which links a refusal holds, and what their sellers are told.

use super::attempt::{Attempt, ReadRecord};
use super::write::is_closed_for_good;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Link, Target};
use crate::domain::hold::Hold;
use crate::domain::id::CrmName;
use crate::merge::plan;
use crate::merge::sentence::{self, Line};

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
        let system = match target {
            Target::PartnerCenter => "Microsoft Partner Center",
            Target::Crm(crm) => crm.title(),
        };
        let mut entry = self.new_entry(
            Some(deal),
            AuditKind::Refused,
            target.as_str(),
            format!("{system} refused: {fault}"),
        );
        entry.request_ids = request_id(fault).into_iter().collect();
        self.entries.push(entry);
        self.hold.get_or_insert(hold);
        true
    }

    /// Tells the sellers of held links why, in one bookkeeping write. A record that refuses even
    /// that is left alone; the reason stands in the dead-letter list all the same.
    pub(super) async fn tell_held(&mut self, deal: &mut Deal, records: &mut [ReadRecord]) {
        for read in records.iter_mut() {
            let crm = read.record.key.crm;
            let Some(part) = self.account.part(crm) else { continue };
            if is_closed_for_good(read) {
                continue;
            }
            let Some(link) = deal.link_mut(crm) else { continue };
            let Some(hold) = link.hold.clone() else { continue };
            let key = sentence::key(&format!("hold:{}", hold.reason));
            if link.told.contains(&key) {
                continue;
            }
            link.told.push(key);
            let lines = [Line(format!("Not synced: {}", hold.reason))];
            let fields = self.bookkeeping(read, &lines, "needs_attention", None);
            let expect = read.record.version.clone();
            let told = part.crm.update(&read.record, &expect, &fields, read.mapping.shape()).await;
            if let Ok(record) = told {
                read.record = record;
                let summary = format!("Wrote the reason of the hold to {}.", crm.title());
                self.entry(Some(deal), AuditKind::Wrote, crm.as_str(), summary);
            }
        }
    }
}

/// The hold for a fault that only a person can clear.
fn hold_for(target: Target, fault: &ConnectError) -> Option<Hold> {
    let system = match target {
        Target::PartnerCenter => "Microsoft Partner Center",
        Target::Crm(crm) => crm.title(),
    };
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
