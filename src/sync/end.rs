//! The end of a try in which nothing more is to be written.

use super::attempt::{Attempt, Ended, ReadRecord, view};
use super::stages;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, LinkState};
use crate::domain::notice::Done;
use crate::domain::referral::{Referral, Status};
use crate::domain::time::Timestamp;
use crate::merge::{deadline, plan, sentence};

/// How often Microsoft's record is looked at once it has answered.
const RARELY: std::time::Duration = std::time::Duration::from_secs(6 * 60 * 60);

impl Attempt<'_> {
    /// The end of a try in which nothing more is to be written.
    pub(super) fn close(
        &mut self,
        mut deal: Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> (Option<Deal>, Ended) {
        // Only what is in step everywhere may be taken for an echo.
        let hold = self.hold.clone().or_else(|| self.asked.clone());
        let shadow = self.account.behaviour.shadow;
        let in_step = self.faults.is_empty() && hold.is_none() && !shadow;
        deal.referral_version = if in_step { referral.version() } else { None };
        deal.referral_state = Some(referral.state());
        stages::remember_all(&mut deal, records);
        for read in records {
            let sealed = view(read, referral).is_sealed();
            if let Some(link) = deal.link_mut(read.record.key.crm) {
                link.version = (!shadow).then(|| read.record.version.clone());
                if sealed {
                    // Too late for the record: they stay in the local trail.
                    link.pending.clear();
                }
            }
        }
        let ended = if let Some((target, fault)) = self.faults.first() {
            Ended::Failed(*target, fault.clone())
        } else if let Some(hold) = hold {
            Ended::Held(hold)
        } else {
            Ended::Done(Done::Applied, "in step")
        };
        (Some(deal), ended)
    }

    /// Without anything to write: what both sides agree on becomes the base.
    pub(super) fn settle_quietly(
        &mut self,
        deal: &mut Deal,
        plan: &plan::Plan,
        referral: &Referral,
        records: &[ReadRecord],
    ) {
        for outcome in &plan.links {
            let Some(read) = records.iter().find(|read| read.record.key.crm == outcome.crm) else {
                continue;
            };
            // In shadow mode what is only planned is not agreed on.
            let outcome = &plan.without_writes(outcome);
            self.conflicts(deal, &outcome.conflicts);
            let view = view(read, referral);
            if let Some(link) = deal.link_mut(outcome.crm) {
                crate::merge::settle::settle(
                    link,
                    outcome,
                    &view.referral_values,
                    &view.record_values,
                    view.stage,
                );
            }
        }
    }

    /// Warns of deadlines that are near and says when to look again.
    pub(super) fn deadlines(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        wait: Option<Timestamp>,
    ) {
        let now = self.around.clock.now();
        self.wake = wait.into_iter().chain(self.invitation_shows_at(deal)).min();
        self.look_again_at_microsoft(deal, referral);
        let zone = self.account.settings.time_zone.clone();
        let due = deadline::deadlines(referral, deal.microsoft.as_ref());
        for deadline in due.iter().filter(|deadline| deadline.at > now) {
            if deadline.warn_from > now {
                self.wake =
                    Some(self.wake.map_or(deadline.warn_from, |wake| wake.min(deadline.warn_from)));
                continue;
            }
            let key = sentence::key(&format!("deadline:{}", deadline.key));
            let mut told = false;
            for link in deal
                .links
                .iter_mut()
                .filter(|link| link.state == LinkState::Live && !link.told.contains(&key))
            {
                link.told.push(key.clone());
                link.tell(sentence::deadline(deadline.what, deadline.at, &zone).0);
                told = true;
            }
            if told {
                let summary = format!("{} by {}.", deadline.what, deadline.at);
                self.entry(Some(deal), AuditKind::Alerted, "daemon", summary);
                self.wake = Some(now);
            }
        }
    }

    /// While Microsoft has not ended its own record, it is looked at again from time to time.
    pub(super) fn look_again_at_microsoft(&mut self, deal: &Deal, referral: &Referral) {
        let Some(record) = deal.microsoft.as_ref().filter(|record| !record.state.is_terminal())
        else {
            return;
        };
        if referral.state().is_terminal() {
            return;
        }
        let often = self.account.behaviour.related_check;
        let waiting = record.state.status == Status::New;
        let wait = if waiting { often } else { often.max(RARELY) };
        let at = self.around.clock.now().plus(wait);
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}
