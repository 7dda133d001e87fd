//! Deal registration: asked for by a check box of a won deal, sent once, its status brought back.
//!
//! Not safe to repeat, so an intent goes ahead. After a lost answer the referral is read first: a
//! registration there is ours. If the referral was read too early to show it, its version is old and
//! Partner Center refuses the second one.

use serde_json::{Value as Json, json};

use super::attempt::{Attempt, ReadRecord, view};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Intent, IntentAction, LinkState, Stage, Target, Values};
use crate::domain::id::CrmName;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::merge::registration::{operations, prepare};
use crate::merge::sentence::{self, Line};
use crate::store::StoreError;

impl Attempt<'_> {
    /// Registers a won deal whose seller asked for it, and shows what became of it in the CRM.
    pub(super) async fn register(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        records: &mut [ReadRecord],
    ) -> Result<(), StoreError> {
        let mapped = records.iter().any(|read| read.mapping.registration().is_some());
        let won = Stage::of(&referral.state()) == Some(Stage::Won);
        let troubled = !self.faults.is_empty() || deal.hold().is_some();
        if !mapped || !won || troubled || self.account.behaviour.shadow {
            return Ok(());
        }
        if is_registered(referral) {
            self.settle_registration(deal);
        } else if let Some((crm, operations)) = self.asked_registration(deal, referral, records) {
            self.send_registration(deal, referral, crm, &operations).await?;
        }
        self.show_registration(deal, referral, records).await;
        Ok(())
    }

    /// The registration that a seller asked for, if nothing stands against it; else the seller is
    /// told everything at once.
    fn asked_registration(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> Option<(CrmName, Vec<Json>)> {
        let now = self.around.clock.now();
        for read in records {
            let Some(rule) = read.mapping.registration() else { continue };
            let fields = &read.record.fields;
            let ticked = rule.register.as_ref().and_then(|name| fields.get(name)?.as_bool());
            if ticked != Some(true) {
                continue;
            }
            let crm = read.record.key.crm;
            match prepare(rule, fields, referral, deal.microsoft.as_ref(), now) {
                Ok(registration) => return Some((crm, operations(&registration))),
                Err(missing) => {
                    let line = sentence::not_registered(&missing);
                    let key = sentence::key(&line.0);
                    self.tell(deal, crm, &key, &line, AuditKind::Alerted);
                }
            }
        }
        None
    }

    /// Sends the registration, unless Microsoft has refused the very same one.
    async fn send_registration(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        crm: CrmName,
        operations: &[Json],
    ) -> Result<(), StoreError> {
        let refused = sentence::key(&format!("refused:{}", json!(operations)));
        if deal.link(crm).is_none_or(|link| link.told.contains(&refused)) {
            return Ok(());
        }
        let Some(expect) = referral.version() else { return Ok(()) };
        deal.intents.retain(|intent| intent.action != IntentAction::Register);
        deal.intents.push(Intent {
            token: self.around.randomness.guid(),
            target: Target::PartnerCenter,
            action: IntentAction::Register,
            expect: Some(expect.clone()),
            sent: Values::new(),
            columns: std::collections::BTreeMap::new(),
            stage: None,
            losers: Vec::new(),
            from: vec![crm],
            lines: Vec::new(),
            at: self.around.clock.now(),
        });
        self.keep(deal).await?;
        let client = &self.account.partner_center;
        let answer = client.register_deal(&referral.id(), &expect, operations).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        match answer {
            Ok(fresh) => {
                *referral = fresh;
                self.settle_registration(deal);
            }
            // Whether it landed is looked up before anything is sent again.
            Err(fault @ ConnectError::Unknown(_)) => {
                self.faults.push((Target::PartnerCenter, fault));
            }
            Err(fault) => {
                deal.intents.retain(|intent| intent.action != IntentAction::Register);
                if let ConnectError::Rejected(refusal) = &fault {
                    let line = sentence::registration_refused(&refusal.message);
                    self.tell(deal, crm, &refused, &line, AuditKind::Refused);
                } else {
                    self.faults.push((Target::PartnerCenter, fault));
                }
            }
        }
        Ok(())
    }

    /// A registration is there: if it is ours, its seller is told.
    fn settle_registration(&mut self, deal: &mut Deal) {
        let open = deal.intents.iter().find(|intent| intent.action == IntentAction::Register);
        let Some(crm) = open.and_then(|intent| intent.from.first().copied()) else { return };
        deal.intents.retain(|intent| intent.action != IntentAction::Register);
        let line = sentence::registered();
        let key = sentence::key(&line.0);
        self.tell(deal, crm, &key, &line, AuditKind::Wrote);
    }

    /// Tells a seller once. A record that takes no more writes leaves it in the local trail.
    fn tell(&mut self, deal: &mut Deal, crm: CrmName, key: &str, line: &Line, kind: AuditKind) {
        let Some(link) =
            deal.link_mut(crm).filter(|link| !link.told.iter().any(|told| told == key))
        else {
            return;
        };
        link.told.push(key.to_owned());
        link.tell(line.0.clone());
        self.entry(Some(deal), kind, "partner_center", line.0.clone());
        self.wake = Some(self.around.clock.now());
    }

    /// Writes Microsoft's status of the registration to each record that may still be written.
    async fn show_registration(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &mut [ReadRecord],
    ) {
        let Some(status) = status_of(referral) else { return };
        for read in records.iter_mut() {
            let crm = read.record.key.crm;
            let rule = read.mapping.registration();
            let Some(field) = rule.and_then(|rule| rule.status.clone()) else { continue };
            let Some(part) = self.account.part(crm) else { continue };
            let live = deal.link(crm).is_some_and(|link| link.state == LinkState::Live);
            let shown = read.record.fields.get(&field).and_then(Json::as_str) == Some(status);
            if !live || shown || view(read, referral).is_sealed() {
                continue;
            }
            let mut fields = Fields::new();
            fields.insert(field, json!(status));
            let expect = read.record.version.clone();
            let answer =
                part.crm.update(&read.record, &expect, &fields, read.mapping.shape()).await;
            part.breaker.learn(&answer, self.around.clock.now());
            match answer {
                Ok(record) => {
                    read.record = record;
                    let summary =
                        format!("Wrote the registration status {status} to {}.", crm.title());
                    self.entry(Some(deal), AuditKind::Wrote, crm.as_str(), summary);
                }
                Err(fault) => self.fault(deal, Target::Crm(crm), fault),
            }
        }
    }
}

fn is_registered(referral: &Referral) -> bool {
    let registrations = referral.get("registrations").and_then(Json::as_array);
    registrations.is_some_and(|registrations| !registrations.is_empty())
}

/// Microsoft's word for where the registration is.
fn status_of(referral: &Referral) -> Option<&str> {
    let newest = || referral.get("registrations")?.as_array()?.last()?.get("status")?.as_str();
    referral.text("registrationStatus").or_else(newest)
}
