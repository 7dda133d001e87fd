//! Deal registration: asked for by a check box of a won deal, sent once, corrected where Microsoft
//! asks for it, its status brought back.
//!
//! Not safe to repeat, so an intent goes ahead. After a lost answer the referral is read first: a
//! registration there is ours. If the referral was read too early to show it, its version is old and
//! Partner Center refuses the second one. A correction has landed if its values are there.

use serde_json::{Value as Json, json};

use super::attempt::{Attempt, ReadRecord, view};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{
    Conflict, Deal, Intent, IntentAction, LinkState, Standing, Target, Values,
};
use crate::domain::id::CrmName;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::mapping::registration::RegistrationRule;
use crate::merge::registration::correct::{self, Correction, Verdict, verdict};
use crate::merge::registration::{operations, prepare};
use crate::merge::sentence::{self, Line};
use crate::merge::settle;
use crate::store::StoreError;

/// What is to be sent of a registration, and what follows once it has landed.
struct Sending {
    crm: CrmName,
    operations: Vec<Json>,
    /// By JSON Patch path: what both sides agree on then.
    values: Values,
    losers: Vec<Conflict>,
    line: Line,
}

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
            self.settle_registration(deal, referral, false);
            if let Some(correction) = self.asked_correction(deal, referral, records) {
                self.send_registration(deal, referral, correction).await?;
            }
        } else if let Some(registration) = self.asked_registration(deal, referral, records) {
            self.send_registration(deal, referral, registration).await?;
        }
        self.show_registration(deal, referral, records).await
    }

    /// The registration that a seller asked for, if nothing stands against it; else the seller is
    /// told everything at once.
    fn asked_registration(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> Option<Sending> {
        let now = self.around.clock.now();
        for read in records {
            let Some(rule) = read.mapping.registration() else { continue };
            if !is_ticked(read, rule) {
                continue;
            }
            let (crm, fields) = (read.record.key.crm, &read.record.fields);
            match prepare(rule, fields, referral, deal.microsoft.as_ref(), now) {
                Ok(registration) => {
                    return Some(Sending {
                        crm,
                        operations: operations(&registration),
                        values: correct::values(&registration),
                        losers: Vec::new(),
                        line: sentence::registered(),
                    });
                }
                Err(missing) => {
                    let line = sentence::not_registered(&missing);
                    let key = sentence::key(&line.0);
                    self.tell(deal, crm, &key, &line, AuditKind::Alerted);
                }
            }
        }
        None
    }

    /// What the seller changed of a registration that Microsoft wants corrected. What Microsoft says
    /// of it is told first.
    fn asked_correction(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> Option<Sending> {
        let verdict = verdict(referral)?;
        let mut found = None;
        for read in records {
            let Some(rule) = read.mapping.registration() else { continue };
            let crm = read.record.key.crm;
            let Some(link) = deal.link(crm).filter(|_| is_ticked(read, rule)) else { continue };
            let ours = correct::is_ours(&link.base);
            self.tell(deal, crm, &verdict.key, &told_of(&verdict, ours), AuditKind::Alerted);
            if verdict.correctable && ours && found.is_none() {
                found = self.correction(deal, referral, read);
            }
        }
        found
    }

    /// What the seller of one record changed, if nothing stands against it.
    fn correction(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        read: &ReadRecord,
    ) -> Option<Sending> {
        let (crm, rule) = (read.record.key.crm, read.mapping.registration()?);
        let (fields, now) = (&read.record.fields, self.around.clock.now());
        let ready =
            prepare(rule, fields, referral, deal.microsoft.as_ref(), now).and_then(|ready| {
                let fixed = correct::fixed(&ready, referral);
                if fixed.is_empty() { Ok(ready) } else { Err(fixed) }
            });
        let ready = match ready {
            Ok(ready) => ready,
            Err(against) => {
                let line = sentence::not_corrected(&against);
                let key = sentence::key(&line.0);
                self.tell(deal, crm, &key, &line, AuditKind::Alerted);
                return None;
            }
        };
        let wanted = correct::values(&ready);
        let held = correct::held(referral, &wanted);
        let link = deal.link_mut(crm)?;
        let same: Values = wanted
            .iter()
            .filter(|(path, wanted)| held.get(*path) == Some(wanted))
            .map(|(path, wanted)| (path.clone(), wanted.clone()))
            .collect();
        settle::settle_landed(link, &same, &same, &held, true);
        let found = correct::corrections(&wanted, &held, &link.base);
        let winner = Target::Crm(crm);
        (!found.is_empty()).then(|| Sending {
            crm,
            operations: correct::correcting(&found),
            values: found.iter().map(|one| (one.path.clone(), one.wanted.clone())).collect(),
            losers: found.iter().filter_map(|one| Correction::conflict(one, winner)).collect(),
            line: correct::line(&found),
        })
    }

    /// Sends a registration or its correction, unless Microsoft has refused the very same one.
    async fn send_registration(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        sending: Sending,
    ) -> Result<(), StoreError> {
        let Sending { crm, operations, values, losers, line } = sending;
        let refused = sentence::topic_key("registration refused", &json!(operations).to_string());
        // Somebody may have repaired what stood against it.
        let refused_before = deal.link(crm).is_none_or(|link| link.told.contains(&refused));
        if refused_before && !self.is_asked() {
            return Ok(());
        }
        let Some(expect) = referral.version() else { return Ok(()) };
        deal.intents.retain(|intent| intent.action != IntentAction::Register);
        deal.intents.push(Intent {
            token: self.around.randomness.guid(),
            target: Target::PartnerCenter,
            action: IntentAction::Register,
            expect: Some(expect.clone()),
            sent: values,
            columns: std::collections::BTreeMap::new(),
            stage: None,
            losers,
            from: vec![crm],
            lines: vec![(crm, line.0)],
            doubtful: false,
            at: self.around.clock.now(),
        });
        self.keep(deal).await?;
        let client = &self.account.partner_center;
        let answer = client.register_deal(&referral.id(), &expect, &operations).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        match answer {
            Ok(fresh) => {
                *referral = fresh;
                self.settle_registration(deal, referral, true);
            }
            // Whether it landed is looked up before anything is sent again.
            Err(fault @ ConnectError::Unknown(_)) => {
                self.faults.push((Target::PartnerCenter, fault));
            }
            Err(fault) => {
                deal.intents.retain(|intent| intent.action != IntentAction::Register);
                if let ConnectError::Rejected(refusal) = &fault {
                    let line =
                        sentence::registration_refused(&refusal.message, is_registered(referral));
                    self.tell(deal, crm, &refused, &line, AuditKind::Refused);
                } else {
                    self.faults.push((Target::PartnerCenter, fault));
                }
            }
        }
        Ok(())
    }

    /// A registration is there: if an open intent is behind it, both sides agree on what was sent and
    /// its seller is told. A correction without an answer that is not there had not landed: it is
    /// planned anew.
    fn settle_registration(&mut self, deal: &mut Deal, referral: &Referral, answered: bool) {
        let is_open = |intent: &Intent| intent.action == IntentAction::Register;
        let Some(at) = deal.intents.iter().position(is_open) else { return };
        let intent = deal.intents.remove(at);
        let held = correct::held(referral, &intent.sent);
        let Some((crm, line)) = intent.lines.first() else { return };
        let Some(link) = deal.link_mut(*crm) else { return };
        let corrects = correct::is_ours(&link.base);
        if corrects && !answered && held != intent.sent {
            let summary = "A correction of the registration had not landed and is planned anew.";
            self.entry(Some(deal), AuditKind::Resumed, "partner_center", summary.to_owned());
            return;
        }
        settle::settle_landed(link, &intent.sent, &intent.sent, &held, true);
        self.conflicts(deal, &intent.losers);
        // The same correction may be made once more, the registration may not.
        let detail = if corrects { intent.token.as_str() } else { "" };
        let key = sentence::topic_key("registration sent", detail);
        self.tell(deal, *crm, &key, &Line(line.clone()), AuditKind::Wrote);
    }

    /// Tells a seller once. A record that takes no more writes leaves it in the local trail.
    fn tell(&mut self, deal: &mut Deal, crm: CrmName, key: &str, line: &Line, kind: AuditKind) {
        let Some(link) =
            deal.link_mut(crm).filter(|link| !link.told.iter().any(|told| told == key))
        else {
            return;
        };
        settle::remember_told(link, &[key.to_owned()], &[]);
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
    ) -> Result<(), StoreError> {
        let Some(status) = status_of(referral) else { return Ok(()) };
        for read in records.iter_mut() {
            let crm = read.record.key.crm;
            let rule = read.mapping.registration();
            let Some(field) = rule.and_then(|rule| rule.status.clone()) else { continue };
            let live = deal.link(crm).is_some_and(|link| link.state == LinkState::Live);
            let shown = read.record.fields.get(&field).and_then(Json::as_str) == Some(status);
            if !live || shown || view(read, referral).is_sealed() {
                continue;
            }
            let word = deal.link(crm).and_then(|link| link.standing).unwrap_or(Standing::Closed);
            let more = Fields::from_iter([(field, json!(status))]);
            let summary = format!("the registration status {status}");
            let shown = self.book_with(deal, read, (word, None), (more, &summary)).await?;
            if let Err(fault) = shown {
                self.fault(deal, Target::Crm(crm), fault);
            }
        }
        Ok(())
    }
}

fn is_registered(referral: &Referral) -> bool {
    let registrations = referral.get("registrations").and_then(Json::as_array);
    registrations.is_some_and(|registrations| !registrations.is_empty())
}

fn is_ticked(read: &ReadRecord, rule: &RegistrationRule) -> bool {
    let name = rule.register.as_ref();
    name.and_then(|name| read.record.fields.get(name)?.as_bool()) == Some(true)
}

/// What a seller is told of what Microsoft says.
fn told_of(verdict: &Verdict, ours: bool) -> Line {
    let reason = verdict.reason.as_deref();
    match (verdict.correctable, ours) {
        (true, true) => sentence::correction_asked(reason),
        (true, false) => sentence::correction_elsewhere(reason),
        (false, _) => sentence::registration_failed(reason),
    }
}

/// Microsoft's word for where the registration is.
fn status_of(referral: &Referral) -> Option<&str> {
    let newest = || referral.get("registrations")?.as_array()?.last()?.get("status")?.as_str();
    referral.text("registrationStatus").or_else(newest)
}
