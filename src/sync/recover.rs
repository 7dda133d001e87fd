//! After a crash or a lost answer: did the write land?

use super::attempt::{Attempt, ReadRecord, view};
use super::columns;
use super::execute::{meant_by, stage_meant};
use super::relink;
use super::standing::shown;
use super::write::token_of;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Conflict, Deal, Intent, IntentAction, StageAgreement, Target, Values};
use crate::domain::id::{CrmName, RecordKey};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::merge::settle;
use crate::store::StoreError;

impl Attempt<'_> {
    /// Decides every open intent of a deal: what landed moves the base, what did not is forgotten and
    /// planned anew. An intent whose system cannot be read now stays.
    pub(super) async fn recover(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> Result<(), StoreError> {
        if deal.intents.is_empty() {
            return Ok(());
        }
        let intents = std::mem::take(&mut deal.intents);
        for intent in intents {
            match (intent.target, intent.action) {
                (
                    _,
                    IntentAction::Create
                    | IntentAction::Qualify
                    | IntentAction::Invite
                    | IntentAction::Register,
                ) => {
                    deal.intents.push(intent);
                }
                (Target::PartnerCenter, _) => self.recover_patch(deal, &intent, referral, records),
                (Target::Crm(crm), _) => {
                    match records.iter().find(|read| read.record.key.crm == crm) {
                        Some(read) => self.recover_record(deal, &intent, referral, read),
                        None => deal.intents.push(intent),
                    }
                }
            }
        }
        self.keep(deal).await
    }

    fn recover_patch(
        &mut self,
        deal: &mut Deal,
        intent: &Intent,
        referral: &Referral,
        records: &[ReadRecord],
    ) {
        let moved = intent.expect != referral.version();
        let stage = Stage::of(&referral.state());
        let senders: Vec<(CrmName, Values)> = deal
            .links
            .iter()
            .map(|link| &link.record)
            .filter(|key| intent.from.is_empty() || intent.from.contains(&key.crm))
            .filter_map(|key| Some((key.crm, self.account.part(key.crm)?.mapping(key.kind)?)))
            .map(|(crm, mapping)| (crm, mapping.read_referral(referral).values))
            .collect();
        let landed = senders.iter().any(|(crm, now)| {
            deal.link(*crm)
                .is_some_and(|link| settle::landed_by_value(intent, link, now, stage, moved))
        });
        let asked = relink::asked(self.notices);
        let landed = landed || moved && names_record(deal, &asked, intent, referral);
        self.decided(deal, intent, landed);
        if !landed {
            // A value that was to lose and is gone lost, whoever overwrote it.
            let gone = |conflict: &&Conflict| {
                let now = senders.iter().find_map(|(_, now)| now.get(&conflict.field));
                moved && now.is_some_and(|now| *now != conflict.lost)
            };
            let losers: Vec<Conflict> = intent.losers.iter().filter(gone).cloned().collect();
            self.conflicts(deal, &losers);
            for (crm, now) in &senders {
                if let Some(link) = deal.link_mut(*crm).filter(|_| moved) {
                    settle::doubt_half_landed(intent, link, now);
                }
            }
            return;
        }
        for (crm, now) in senders.iter().filter(|(crm, _)| intent.from.contains(crm)) {
            if let Some(link) = deal.link_mut(*crm) {
                settle::settle_landed(link, &intent.sent, &intent.sent, now, true);
                settle::doubt(link, intent);
            }
        }
        for (crm, line) in &intent.lines {
            if let Some(link) = deal.link_mut(*crm) {
                link.tell(line.clone());
            }
        }
        if let Some(sent) = intent.stage {
            agree_on_sent(deal, sent, referral, records);
        }
    }

    pub(super) fn recover_record(
        &mut self,
        deal: &mut Deal,
        intent: &Intent,
        referral: &Referral,
        read: &ReadRecord,
    ) {
        let crm = read.record.key.crm;
        let seen = view(read, referral);
        let moved = intent.expect.as_ref() != Some(&read.record.version);
        let values = &seen.record_values.values;
        let token = token_of(read, &read.record);
        let landed = match token {
            Some(token) => settle::landed_by_token(intent, token),
            None => deal.link(crm).is_some_and(|link| {
                settle::landed_by_value(intent, link, values, seen.stage, moved)
            }),
        };
        self.decided(deal, intent, landed);
        if !landed {
            if let Some(link) = deal.link_mut(crm).filter(|_| token.is_none() && moved) {
                settle::doubt_half_landed(intent, link, values);
            }
            return;
        }
        let meant = meant_by(read, &intent.sent, referral);
        if let Some(link) = deal.link_mut(crm) {
            let now = &seen.record_values.values;
            let sent = columns::unmoved(&intent.sent, &link.columns, &read.mapping);
            let sent: Values = sent.map(|(field, value)| (field.clone(), value.clone())).collect();
            settle::settle_landed(link, &sent, &meant, now, false);
            link.pending.clear();
            link.standing = shown(read);
            if let Some(sent) = intent.stage
                && let Some(record) = stage_meant(read, sent).or(seen.stage)
            {
                link.agree_on_stages(StageAgreement { referral: sent, record });
            }
            settle::doubt(link, intent);
        }
    }

    /// A write without values to a record that takes the place of another: its token tells that it
    /// landed in an earlier try.
    pub(super) fn tell_landed(&mut self, deal: &mut Deal, read: &ReadRecord) {
        let target = Target::Crm(read.record.key.crm);
        let Some(token) = token_of(read, &read.record) else { return };
        let landed = deal.intents.iter().position(|intent| {
            let plain = intent.sent.is_empty() && intent.stage.is_none();
            plain && intent.target == target && settle::landed_by_token(intent, token)
        });
        if let Some(intent) = landed.map(|at| deal.intents.remove(at)) {
            self.decided(deal, &intent, true);
        }
    }

    fn decided(&mut self, deal: &Deal, intent: &Intent, landed: bool) {
        let verdict = if landed { "had landed" } else { "had not landed and is planned anew" };
        let summary = format!("A write whose answer was missing {verdict}.");
        self.entry(Some(deal), AuditKind::Resumed, intent.target.as_str(), summary);
        if landed {
            self.conflicts(deal, &intent.losers);
        }
    }
}

/// Whether an intent without values was to name a record in the referral that is named there now: the
/// one that was `asked` for, or else the one of the deal.
fn names_record(deal: &Deal, asked: &[RecordKey], intent: &Intent, referral: &Referral) -> bool {
    let plain = intent.sent.is_empty() && intent.stage.is_none();
    let held = referral.text("externalReferenceId").filter(|_| plain);
    let meant = |crm: &CrmName| {
        let new = asked.iter().find(|key| key.crm == *crm);
        new.or_else(|| deal.link(*crm).map(|link| &link.record))
    };
    let mut keys = intent.from.iter().filter_map(meant);
    held.is_some_and(|held| keys.any(|key| key.id.as_str() == held))
}

/// Both sides agree on a stage that landed at Partner Center, as far as the records asked for it.
fn agree_on_sent(deal: &mut Deal, sent: Stage, referral: &Referral, records: &[ReadRecord]) {
    for read in records {
        let seen = view(read, referral);
        let Some(record) = seen.stage else { continue };
        // A record that did not move is still to be brought to the new stage.
        let link = deal.link(read.record.key.crm);
        if link.and_then(|link| link.base_stage).is_some_and(|base| base.record == record) {
            continue;
        }
        // Nor did one ask for this stage that is in another: it is still to follow.
        let asked = match sent {
            Stage::Active => matches!(record, Stage::Active | Stage::Won),
            Stage::Won => record == Stage::Won,
            _ => record.is_closed() && record != Stage::Won,
        };
        if !asked {
            continue;
        }
        let further = sent == Stage::Active && record == Stage::Won;
        if let Some(link) = deal.link_mut(read.record.key.crm) {
            let base = link.base_stage.map_or(Stage::OnHold, |base| base.record);
            let record = if further { base } else { record };
            link.agree_on_stages(StageAgreement { referral: sent, record });
        }
    }
}
