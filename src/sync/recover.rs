//! After a crash or a lost answer: did the write land?

use super::attempt::{Attempt, ReadRecord, view};
use super::execute::token_of;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Intent, IntentAction, Stage, StageAgreement, Target, Values};
use crate::domain::referral::Referral;
use crate::mapping::rule::Occasion;
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
                (_, IntentAction::Create | IntentAction::Qualify) => deal.intents.push(intent),
                (_, IntentAction::Invite) => {}
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
        let landed = records.iter().any(|read| {
            let values = read.mapping.read_referral(referral).values;
            deal.link(read.record.key.crm)
                .is_some_and(|link| settle::landed_by_value(intent, link, &values, stage, moved))
        });
        self.decided(deal, intent, landed);
        if !landed {
            return;
        }
        for read in records.iter().filter(|read| intent.from.contains(&read.record.key.crm)) {
            let sent = converted(read, &intent.sent, referral);
            if let Some(link) = deal.link_mut(read.record.key.crm) {
                settle::settle_landed(link, &intent.sent, &sent, true);
            }
        }
        for (crm, line) in &intent.lines {
            if let Some(link) = deal.link_mut(*crm) {
                link.pending.push(line.clone());
            }
        }
        if let Some(sent) = intent.stage {
            for read in records {
                let seen = view(read, referral);
                let Some(record) = seen.stage else { continue };
                let further = sent == Stage::Active && record == Stage::Won;
                if let Some(link) = deal.link_mut(read.record.key.crm) {
                    let base = link.base_stage.map_or(Stage::OnHold, |base| base.record);
                    let record = if further { base } else { record };
                    link.base_stage = Some(StageAgreement { referral: sent, record });
                }
            }
        }
    }

    fn recover_record(
        &mut self,
        deal: &mut Deal,
        intent: &Intent,
        referral: &Referral,
        read: &ReadRecord,
    ) {
        let crm = read.record.key.crm;
        let seen = view(read, referral);
        let landed = match token_of(read, &read.record) {
            Some(token) => settle::landed_by_token(intent, token),
            None => {
                let moved = intent.expect.as_ref() != Some(&read.record.version);
                let values = &seen.record_values.values;
                deal.link(crm).is_some_and(|link| {
                    settle::landed_by_value(intent, link, values, seen.stage, moved)
                })
            }
        };
        self.decided(deal, intent, landed);
        if !landed {
            return;
        }
        let written = read.mapping.write_record(&intent.sent, Some(referral), Occasion::Update);
        let held =
            written.map(|fields| read.mapping.read_record(&fields).values).unwrap_or_default();
        if let Some(link) = deal.link_mut(crm) {
            settle::settle_landed(link, &intent.sent, &held, false);
            link.pending.clear();
            if let (Some(sent), Some(record)) = (intent.stage, seen.stage) {
                link.base_stage = Some(StageAgreement { referral: sent, record });
            }
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

/// What the referral holds when it is given exactly `sent`.
fn converted(read: &ReadRecord, sent: &Values, referral: &Referral) -> Values {
    let now = read.mapping.read_referral(referral).values;
    sent.iter()
        .map(|(field, value)| {
            let held = now.get(field).filter(|held| *held == value).unwrap_or(value);
            (field.clone(), held.clone())
        })
        .collect()
}
