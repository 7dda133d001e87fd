//! Carries a plan out: intent, write, read back, base. Partner Center first, then each CRM.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::attempt::{Attempt, ReadRecord, view};
use super::entries::Written;
use super::stages;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Intent, IntentAction, Target, Values};
use crate::domain::id::CrmName;
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::rule::Occasion;
use crate::merge::plan::{LinkOutcome, Plan, RecordWrite, ReferralWrite};
use crate::merge::sentence;
use crate::merge::{settle, share};
use crate::store::StoreError;

/// The faults of a round, each with the system that had it.
type Faults = Vec<(Target, ConnectError)>;

/// The path of the consent to share a deal with Microsoft's sellers.
const SHARE: &str = "consent.consentToShareReferralWithMicrosoftSellers";

impl Attempt<'_> {
    /// Carries `plan` out as far as it goes and returns every fault.
    pub(super) async fn execute(
        &mut self,
        deal: &mut Deal,
        plan: Plan,
        referral: &mut Referral,
        records: &mut [ReadRecord],
    ) -> Result<Faults, StoreError> {
        // Whatever becomes of the writes: what a record held when its stage was agreed on stays known.
        stages::remember_all(deal, records);
        let mut patched: BTreeMap<CrmName, Sent> = BTreeMap::new();
        if let Some(write) = &plan.partner_center {
            // What one CRM sent is a change for the links of the others.
            for read in records.iter() {
                let crm = read.record.key.crm;
                let meant = write.values.get(&crm).cloned().unwrap_or_default();
                let before = read.mapping.read_referral(referral).values;
                patched.insert(crm, Sent { meant, before });
            }
            let lines = lines_of(&plan.crms);
            if let Err(fault) = self.patch(deal, write, lines, referral, records).await? {
                return Ok(vec![(Target::PartnerCenter, fault)]);
            }
        }
        // A PATCH that landed is followed up whatever becomes of the invitation.
        let mut faults = Faults::new();
        if let Some(crm) = plan.invite
            && let Err(fault) = self.invite(deal, referral, records, crm).await?
        {
            faults.push((Target::PartnerCenter, fault));
        }
        for outcome in &plan.links {
            self.conflicts(deal, &outcome.conflicts);
            let written = plan.crms.iter().find(|write| write.crm == outcome.crm);
            settle_part(
                deal,
                outcome,
                referral,
                records,
                |field| written.is_none_or(|write| !write.values.contains_key(field)),
                written.is_none_or(|write| write.stage.is_none()),
                (patched.get(&outcome.crm).unwrap_or(&Sent::default()), &Sent::default()),
            );
        }
        for write in &plan.crms {
            self.promise(deal, write, records);
        }
        stages::remember_all(deal, records);
        self.keep(deal).await?;
        for write in plan.crms {
            let crm = write.crm;
            let outcome = plan.links.iter().find(|outcome| outcome.crm == crm);
            if let Err(fault) = self.write_record(deal, write, outcome, referral, records).await {
                faults.push((Target::Crm(crm), fault));
            }
        }
        stages::remember_all(deal, records);
        Ok(faults)
    }

    /// The one PATCH of our referral.
    async fn patch(
        &mut self,
        deal: &mut Deal,
        write: &ReferralWrite,
        lines: Vec<(CrmName, String)>,
        referral: &mut Referral,
        records: &[ReadRecord],
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let changes = match changes_for(write, referral, records) {
            Ok(changes) => changes,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(expect) = referral.version() else {
            return Ok(Err(ConnectError::Broken("the referral came without a version".to_owned())));
        };
        let sent: Values = write.values.values().flat_map(|values| values.clone()).collect();
        let before = known_values(referral, records);
        let intent = Intent {
            token: self.around.randomness.guid(),
            target: Target::PartnerCenter,
            action: IntentAction::Update,
            expect: Some(expect.clone()),
            sent: sent.clone(),
            columns: BTreeMap::new(),
            stage: write.stage,
            losers: write.conflicts.clone(),
            from: self.senders(write),
            lines,
            doubtful: false,
            at: self.around.clock.now(),
        };
        let token = intent.token.clone();
        deal.intents.push(intent);
        self.keep(deal).await?;
        let started = self.around.clock.now();
        let answer = self.account.partner_center.patch(&referral.id(), &expect, &changes).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        match answer {
            Ok(fresh) => {
                *referral = fresh;
                deal.intents.retain(|intent| intent.token != token);
                let stage = write.stage.map(|stage| ("status", Value::text(stage.as_str())));
                let done =
                    Written { sent: &sent, stage, before: &before, others: others(write), started };
                self.wrote(deal, Target::PartnerCenter, done);
                self.conflicts(deal, &write.conflicts);
                Ok(Ok(()))
            }
            Err(fault) => {
                if !matches!(fault, ConnectError::Unknown(_)) {
                    deal.intents.retain(|intent| intent.token != token);
                }
                let sender = |read: &&ReadRecord| write.values.contains_key(&read.record.key.crm);
                if let Some(read) = records.iter().find(sender)
                    && self.park_refused(deal, Target::PartnerCenter, &fault, (read, &sent))
                {
                    // Read and planned anew, without what was refused.
                    return Ok(Err(ConnectError::Stale));
                }
                Ok(Err(fault))
            }
        }
    }

    /// The CRMs whose values a PATCH sends, or whose record it names if it sends nothing else.
    fn senders(&self, write: &ReferralWrite) -> Vec<CrmName> {
        let names = write.external_reference.is_some() && write.stage.is_none();
        let named = (names && write.values.is_empty()).then_some(self.account.settings.primary_crm);
        write.values.keys().copied().chain(named).collect()
    }

    /// Makes Microsoft's referral in the engagement, unless it is there already.
    async fn invite(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        records: &[ReadRecord],
        crm: CrmName,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let Some(read) = records.iter().find(|read| read.record.key.crm == crm) else {
            return Ok(Ok(()));
        };
        let seen = view(read, referral);
        let Some(Ok(help)) = seen.help() else { return Ok(Ok(())) };
        let Some(engagement) = referral.engagement_id() else {
            let reason = "the referral came without an engagement".to_owned();
            return Ok(Err(ConnectError::Broken(reason)));
        };
        let now = self.around.clock.now();
        let ready = self.invitation_shows_at(deal);
        if let Some(ready) = ready.filter(|ready| now < *ready) {
            return Ok(Err(ConnectError::Throttled(ready.since(now))));
        }
        let parties = match self.account.partner_center.engagement(&engagement).await {
            Ok(parties) => parties,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(there) =
            parties.iter().find(|party| party.is_microsofts() && party.id() != referral.id())
        {
            self.remember_microsoft(deal, there);
            self.invited(deal);
            return Ok(Ok(()));
        }
        deal.intents.retain(|intent| intent.action != IntentAction::Invite);
        deal.intents.push(Intent {
            token: self.around.randomness.guid(),
            target: Target::PartnerCenter,
            action: IntentAction::Invite,
            expect: None,
            sent: Values::new(),
            columns: BTreeMap::new(),
            stage: None,
            losers: Vec::new(),
            from: vec![crm],
            lines: Vec::new(),
            doubtful: false,
            at: self.around.clock.now(),
        });
        self.keep(deal).await?;
        let notes = referral.text("inviteContext.notes");
        let answer =
            self.account.partner_center.create(&share::invitation(referral, help, notes)).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        match answer {
            Ok(record) => {
                self.remember_microsoft(deal, &record);
                self.invited(deal);
                Ok(Ok(()))
            }
            Err(fault) => {
                if !matches!(fault, ConnectError::Unknown(_)) {
                    deal.intents.retain(|intent| intent.action != IntentAction::Invite);
                }
                Ok(Err(fault))
            }
        }
    }

    /// From when on a list shows what an invitation without an answer has made; `None` if there is no
    /// such invitation.
    pub(super) fn invitation_shows_at(
        &self,
        deal: &Deal,
    ) -> Option<crate::domain::time::Timestamp> {
        let open = deal.intents.iter().filter(|intent| intent.action == IntentAction::Invite);
        open.map(|intent| intent.at.plus(self.account.behaviour.list_lag)).max()
    }

    /// Microsoft's record is there: if it is our invitation that made it, its seller is told.
    pub(super) fn invited(&mut self, deal: &mut Deal) {
        let open = deal.intents.iter().find(|intent| intent.action == IntentAction::Invite);
        let Some(from) = open.map(|intent| intent.from.clone()) else { return };
        deal.intents.retain(|intent| intent.action != IntentAction::Invite);
        for link in deal.links.iter_mut().filter(|link| from.contains(&link.record.crm)) {
            link.tell(sentence::help_asked().0);
        }
        let summary = "Microsoft was asked for help.".to_owned();
        self.entry(Some(deal), AuditKind::Wrote, "partner_center", summary);
    }
}

/// The values of one confirmed write.
#[derive(Default)]
pub(super) struct Sent {
    /// What the target holds when it is given exactly what was sent.
    pub(super) meant: Values,
    /// What it held before.
    pub(super) before: Values,
}

impl Sent {
    /// Takes out of what was read back whatever somebody else wrote in the meantime.
    fn correct(&self, read_back: &mut Values) {
        for (field, held) in read_back {
            match (self.meant.get(field), self.before.get(field)) {
                (Some(meant), before) => {
                    *held = settle::stuck(meant, held, before.unwrap_or(meant)).clone();
                }
                (None, Some(before)) => *held = before.clone(),
                (None, None) => {}
            }
        }
    }
}

/// What a record holds when it is given exactly `sent`, as far as the mapping knows it.
pub(super) fn meant_by(read: &ReadRecord, sent: &Values, referral: &Referral) -> Values {
    let written = read.mapping.write_record(sent, Some(referral), Occasion::Update);
    let held = written.map(|fields| read.mapping.read_record(&fields).values).unwrap_or_default();
    sent.iter()
        .map(|(field, value)| (field.clone(), held.get(field).unwrap_or(value).clone()))
        .collect()
}

/// The stage in which a record is found after it was brought to `stage`; `None` if the mapping does
/// not tell, because the CRM has no stage of its own for it.
pub(super) fn stage_meant(read: &ReadRecord, stage: Stage) -> Option<Stage> {
    let seen =
        read.mapping.stages().iter().any(|rule| rule.stage == stage && !rule.when.is_empty());
    read.mapping.stage_to_set(stage).filter(|_| seen).map(|rule| rule.stage)
}

/// Settles those fields of an outcome that `which` picks, and the stage if told to.
pub(super) fn settle_part(
    deal: &mut Deal,
    outcome: &LinkOutcome,
    referral: &Referral,
    records: &[ReadRecord],
    which: impl Fn(&str) -> bool,
    stage: bool,
    (to_referral, to_record): (&Sent, &Sent),
) {
    let Some(read) = records.iter().find(|read| read.record.key.crm == outcome.crm) else { return };
    let mut seen = view(read, referral);
    to_referral.correct(&mut seen.referral_values.values);
    to_record.correct(&mut seen.record_values.values);
    let mut part = outcome.clone();
    part.settled.retain(|field| which(field));
    if !stage {
        part.stage = None;
    }
    if let Some(link) = deal.link_mut(outcome.crm) {
        settle::settle(link, &part, &seen.referral_values, &seen.record_values, seen.stage);
    }
}

fn lines_of(writes: &[RecordWrite]) -> Vec<(CrmName, String)> {
    let each = |write: &RecordWrite| -> Vec<(CrmName, String)> {
        write.lines.iter().map(|line| (write.crm, line.0.clone())).collect()
    };
    writes.iter().flat_map(each).collect()
}

/// Every patched path with its JSON.
fn changes_for(
    write: &ReferralWrite,
    referral: &Referral,
    records: &[ReadRecord],
) -> Result<BTreeMap<String, Json>, ConnectError> {
    let mut changes = BTreeMap::new();
    for (crm, values) in &write.values {
        let Some(read) = records.iter().find(|read| read.record.key.crm == *crm) else { continue };
        let converted = read.mapping.write_referral(values, Some(referral), Occasion::Update);
        changes.extend(converted.map_err(|problems| not_convertible(&problems))?);
    }
    if let Some(state) = write.stage.and_then(Stage::referral_state) {
        changes.insert("status".to_owned(), json!(state.status.as_str()));
        changes.insert("substatus".to_owned(), json!(state.substatus.as_str()));
    }
    if let Some(reason) = &write.reason {
        changes.insert("statusReason".to_owned(), json!(reason));
    }
    if write.share {
        changes.insert(SHARE.to_owned(), json!(true));
    }
    if let Some(reference) = &write.external_reference {
        changes.insert("externalReferenceId".to_owned(), json!(reference));
    }
    Ok(changes)
}

/// What a PATCH sends besides values and stage, by the paths of the referral.
fn others(write: &ReferralWrite) -> Vec<&'static str> {
    let sent = [
        (write.reason.is_some(), "statusReason"),
        (write.share, SHARE),
        (write.external_reference.is_some(), "externalReferenceId"),
    ];
    sent.into_iter().filter_map(|(is_sent, path)| is_sent.then_some(path)).collect()
}

/// A value that cannot be converted is refused before anything is sent.
pub(super) fn not_convertible(problems: &[crate::mapping::rule::FieldProblem]) -> ConnectError {
    let message: Vec<String> =
        problems.iter().map(|problem| format!("{} {}", problem.reason, problem.fix)).collect();
    ConnectError::Rejected(crate::connect::error::Refusal {
        status: 0,
        code: "not_convertible".to_owned(),
        message: message.join(" "),
        fields: problems.iter().map(|problem| problem.field.clone()).collect(),
        request_id: None,
    })
}

fn known_values(referral: &Referral, records: &[ReadRecord]) -> Values {
    records.iter().flat_map(|read| read.mapping.read_referral(referral).values).collect()
}
