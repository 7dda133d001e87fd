//! One write to a record: what goes into it, and what its answer moves.

use serde_json::{Value as Json, json};

use super::attempt::{Attempt, ReadRecord, breaker};
use super::entries::Written;
use super::execute::{Sent, meant_by, not_convertible, settle_part};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Intent, IntentAction, Standing, Target, Values};
use crate::domain::id::RecordKind;
use crate::domain::record::{Close, Fields, Record};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::rule::{Occasion, StageRule};
use crate::merge::plan::{LinkOutcome, RecordWrite};
use crate::merge::sentence::{self, Line};
use crate::merge::settle;
use crate::merge::view::standing_value;

impl Attempt<'_> {
    /// Records the intent of a write to a record, and what its seller is to be told.
    pub(super) fn promise(&mut self, deal: &mut Deal, write: &RecordWrite, records: &[ReadRecord]) {
        let Some(read) = records.iter().find(|read| read.record.key.crm == write.crm) else {
            return;
        };
        let action = match close_rule(read, write.stage) {
            Some(_) => IntentAction::Close,
            None => IntentAction::Update,
        };
        let intent = Intent {
            token: self.around.randomness.guid(),
            target: Target::Crm(write.crm),
            action,
            expect: Some(read.record.version.clone()),
            sent: write.values.clone(),
            columns: std::collections::BTreeMap::new(),
            stage: write.stage,
            losers: write.conflicts.clone(),
            from: Vec::new(),
            lines: Vec::new(),
            doubtful: false,
            at: self.around.clock.now(),
        };
        deal.intents.retain(|other| other.target != intent.target);
        deal.intents.push(intent);
        if let Some(link) = deal.link_mut(write.crm) {
            write.lines.iter().for_each(|line| link.tell(line.0.clone()));
        }
    }

    /// One write to a record, conditional on the version read.
    pub(super) async fn write_record(
        &mut self,
        deal: &mut Deal,
        write: RecordWrite,
        outcome: Option<&LinkOutcome>,
        referral: &Referral,
        records: &mut [ReadRecord],
    ) -> Result<(), ConnectError> {
        let target = Target::Crm(write.crm);
        let Some(part) = self.account.part(write.crm) else { return Ok(()) };
        let Some(read) = records.iter_mut().find(|read| read.record.key.crm == write.crm) else {
            return Ok(());
        };
        let token = deal
            .intents
            .iter()
            .find(|intent| intent.target == target)
            .map(|intent| intent.token.clone());
        let mut pending = deal.link(write.crm).map(|link| link.pending.clone()).unwrap_or_default();
        pending.extend(write.about_this.iter().map(|line| line.0.clone()));
        let fields = self.fields_for(&write, &pending, token.as_deref(), referral, read)?;
        let before = read.mapping.read_record(&read.record.fields).values;
        let started = self.around.clock.now();
        let shape = read.mapping.shape();
        let expect = read.record.version.clone();
        let answer = match close_rule(read, write.stage) {
            Some(rule) => {
                let close = closing(rule, referral, read);
                part.crm.close(&read.record, &expect, &close, &fields, shape).await
            }
            None => part.crm.update(&read.record, &expect, &fields, shape).await,
        };
        if let Some(breaker) = breaker(self.account, target) {
            breaker.learn(&answer, self.around.clock.now());
        }
        match answer {
            Ok(record) => {
                read.record = record;
                self.landed(deal, &write, outcome, referral, records, &before, started);
                Ok(())
            }
            Err(fault) => {
                if !matches!(fault, ConnectError::Unknown(_)) {
                    deal.intents.retain(|intent| intent.target != target);
                }
                if self.park_refused(deal, target, &fault, (read, &write.values)) {
                    // Read and planned anew, without what was refused.
                    return Err(ConnectError::Stale);
                }
                Err(fault)
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one confirmed write with everything that it moves"
    )]
    pub(super) fn landed(
        &mut self,
        deal: &mut Deal,
        write: &RecordWrite,
        outcome: Option<&LinkOutcome>,
        referral: &Referral,
        records: &[ReadRecord],
        before: &Values,
        started: crate::domain::time::Timestamp,
    ) {
        let target = Target::Crm(write.crm);
        deal.intents.retain(|intent| intent.target != target);
        if let Some(link) = deal.link_mut(write.crm) {
            link.pending.clear();
            link.standing = Some(write.standing);
        }
        if let Some(outcome) = outcome {
            let read = records.iter().find(|read| read.record.key.crm == write.crm);
            let meant = read.map(|read| meant_by(read, &write.values, referral));
            let sent = Sent { meant: meant.unwrap_or_default(), before: before.clone() };
            // What went to Partner Center was settled before; what somebody changed there since must
            // still count as changed.
            let which = |field: &str| write.values.contains_key(field);
            let stage = write.stage.is_some();
            // What the record was given is what Partner Center held when it was planned.
            let there = Sent { meant: Values::new(), before: write.values.clone() };
            settle_part(deal, outcome, referral, records, which, stage, (&there, &sent));
            if let Some(read) = read {
                self.tell_ignored(deal, read, &sent);
            }
        }
        let stage = write.stage.map(|stage| ("stage", Value::text(stage.as_str())));
        let done = Written { sent: &write.values, stage, before, others: Vec::new(), started };
        self.wrote(deal, target, done);
        self.conflicts(deal, &write.conflicts);
    }

    /// Tells the seller which values the CRM did not take. They are not sent again until they change.
    fn tell_ignored(&mut self, deal: &mut Deal, read: &ReadRecord, sent: &Sent) {
        let crm = read.record.key.crm;
        let held = read.mapping.read_record(&read.record.fields).values;
        for rule in read.mapping.fields() {
            let field = &rule.name;
            let (Some(meant), Some(held), Some(before)) =
                (sent.meant.get(field), held.get(field), sent.before.get(field))
            else {
                continue;
            };
            let Some(link) = deal.link_mut(crm) else { return };
            let line = sentence::not_taken(&rule.label, meant, held);
            let key = sentence::topic_key(&format!("not taken:{field}"), &line.0);
            if !settle::ignored(meant, held, before) || link.told.contains(&key) {
                continue;
            }
            settle::remember_told(link, &[key], &[]);
            link.tell(line.0.clone());
            self.entry(Some(deal), AuditKind::Refused, crm.as_str(), line.0);
            self.wake = Some(self.around.clock.now());
        }
    }

    /// Every field of one write: values, stage, control fields, audit text, status, token.
    pub(super) fn fields_for(
        &self,
        write: &RecordWrite,
        pending: &[String],
        token: Option<&str>,
        referral: &Referral,
        read: &ReadRecord,
    ) -> Result<Fields, ConnectError> {
        let written = read.mapping.write_record(&write.values, Some(referral), Occasion::Update);
        let mut fields = written.map_err(|problems| not_convertible(&problems))?;
        if let Some(rule) = stage_rule(read, write.stage)
            && rule.close.is_none()
        {
            fields.extend(rule.write.clone());
        }
        fields.extend(write.control.clone());
        let lines: Vec<Line> = pending.iter().cloned().map(Line).collect();
        fields.extend(self.bookkeeping(read, &lines, write.standing, token));
        Ok(fields)
    }

    /// The control fields that go with every write.
    pub(super) fn bookkeeping(
        &self,
        read: &ReadRecord,
        lines: &[Line],
        word: Standing,
        token: Option<&str>,
    ) -> Fields {
        let control = read.mapping.control();
        let mut fields = Fields::new();
        if !lines.is_empty() {
            let before =
                read.record.fields.get(&control.audit).and_then(Json::as_str).unwrap_or_default();
            let zone = &self.account.settings.time_zone;
            let text = sentence::audit_text(
                before,
                lines,
                self.around.clock.now(),
                zone,
                control.audit_length,
            );
            fields.insert(control.audit.clone(), json!(text));
        }
        if let (Some(field), Some(token)) = (&control.token, token) {
            fields.insert(field.clone(), json!(token));
        }
        if let Some(field) = &control.status {
            fields.insert(field.clone(), standing_value(control, word));
        }
        fields
    }
}

/// Whether a record has ended and takes no more writes: by a closing action, or as a lead.
pub(super) fn is_closed_for_good(read: &ReadRecord) -> bool {
    let stage = read.mapping.stage_of(&read.record.fields);
    if read.record.key.kind == RecordKind::Lead {
        return stage.is_some_and(Stage::ends_a_lead);
    }
    close_rule(read, stage.filter(|stage| stage.is_closed())).is_some()
}

fn stage_rule(read: &ReadRecord, stage: Option<Stage>) -> Option<&StageRule> {
    read.mapping.stage_to_set(stage?)
}

fn close_rule(read: &ReadRecord, stage: Option<Stage>) -> Option<&StageRule> {
    stage_rule(read, stage).filter(|rule| rule.close.is_some())
}

/// The closing action for a stage that ends the deal.
fn closing(rule: &StageRule, referral: &Referral, read: &ReadRecord) -> Close {
    let close = rule.close.unwrap_or(crate::mapping::rule::CloseRule { won: false, status: -1 });
    let values = read.mapping.read_referral(referral).values;
    let actual_value = match values.get("details.dealValue") {
        Some(Value::Decimal(amount)) if close.won => Some(*amount),
        _ => None,
    };
    let closed = referral.text("closedDateTime").and_then(crate::domain::time::Timestamp::parse);
    Close {
        won: close.won,
        status: close.status,
        subject: format!("Closed at Microsoft Partner Center as {}", rule.stage.for_people()),
        description: referral.text("statusReason").map(str::to_owned),
        actual_value,
        actual_date: closed.map(crate::domain::time::Timestamp::date),
    }
}

/// Whether the record carries the token of the write that an intent speaks of.
pub(super) fn token_of<'a>(read: &'a ReadRecord, record: &'a Record) -> Option<&'a str> {
    record.fields.get(read.mapping.control().token.as_ref()?)?.as_str()
}
