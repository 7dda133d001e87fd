//! Two CRMs on one deal: whose values go first.

use super::{Draft, ReferralWrite};
use crate::domain::deal::{Conflict, Target};

/// Two CRMs that send different values of one field, or of fields that go together: the first, the
/// primary, wins.
pub(super) fn settle_clashes(drafts: &mut [Draft<'_>]) {
    for later in 1..drafts.len() {
        let (winners, rest) = drafts.split_at_mut(later);
        let Some(draft) = rest.first_mut() else { continue };
        for winner in winners.iter() {
            let names: Vec<String> = draft.to_partner_center.keys().cloned().collect();
            for name in names.into_iter().filter(|name| winner.sends_unit_of(name)) {
                draft.lose_to(winner, &name);
            }
        }
    }
}

/// One PATCH carries the values of one CRM only, the others follow in the next round: so that after a
/// lost answer it is certain whose values went.
pub(super) fn one_sender(drafts: &mut [Draft<'_>]) {
    let first = drafts.iter().position(|draft| !draft.to_partner_center.is_empty());
    for draft in drafts.iter_mut().skip(first.map_or(usize::MAX, |first| first + 1)) {
        for name in std::mem::take(&mut draft.to_partner_center).into_keys() {
            draft.settled.retain(|settled| *settled != name);
            draft.referral_losses.retain(|loss| loss.field != name);
        }
    }
}

/// A value that is about to be replaced at Partner Center is not carried to the other CRM first.
pub(super) fn drop_overtaken(drafts: &mut [Draft<'_>], write: &ReferralWrite) {
    for draft in drafts {
        let crm = draft.view.crm();
        for (source, values) in &write.values {
            if *source == crm {
                continue;
            }
            for (name, value) in values {
                if draft.to_crm.get(name).is_some_and(|brought| brought != value) {
                    draft.to_crm.remove(name);
                    draft.settled.retain(|settled| settled != name);
                    draft.losses.retain(|loss| loss.field != *name);
                }
            }
        }
    }
}

impl Draft<'_> {
    /// Whether this draft sends `name`, or a field that goes together with it.
    fn sends_unit_of(&self, name: &str) -> bool {
        let group = |name: &str| {
            let rule = self.view.fields.iter().find(|rule| rule.name == name);
            rule.and_then(|rule| rule.group.as_deref())
        };
        let wanted = group(name);
        self.to_partner_center
            .keys()
            .any(|sent| sent == name || wanted.is_some() && group(sent) == wanted)
    }

    /// Gives up a value that another CRM's record overrules.
    fn lose_to(&mut self, winner: &Draft<'_>, name: &str) {
        let Some(kept) = winner.view.record_values.values.get(name) else { return };
        if self.to_partner_center.get(name) == Some(kept) {
            return;
        }
        let Some(lost) = self.to_partner_center.remove(name) else { return };
        // What Partner Center loses is named by the winner alone.
        self.referral_losses.retain(|loss| loss.field != name);
        if self.record_is_sealed() {
            // Nothing is lost: a closed record keeps what it holds.
            return;
        }
        self.to_crm.insert(name.to_owned(), kept.clone());
        let base = self.link.base.get(name);
        if base.is_some_and(|base| base.record.is(&lost) && !base.doubtful) {
            // It only went along with its group: nobody wrote it here since it was agreed on, and who
            // overwrote it elsewhere has named it.
            return;
        }
        self.losses.push(Conflict {
            field: name.to_owned(),
            winner: Target::Crm(winner.view.crm()),
            kept: kept.clone(),
            loser: Target::Crm(self.view.crm()),
            lost,
            policy: "primary_crm".to_owned(),
        });
    }
}
