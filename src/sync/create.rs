//! A record is made: what it is given, and what both sides agree on afterwards.

use std::collections::BTreeSet;

use serde_json::json;

use super::account::CrmPart;
use super::arrive::Read;
use super::attempt::{Attempt, ReadRecord, link, view};
use super::columns;
use super::execute::not_convertible;
use super::holds::refused_rules;
use crate::connect::error::ConnectError;
use crate::domain::audit::{AuditKind, FieldChange};
use crate::domain::deal::{
    Deal, Intent, IntentAction, Link, StageAgreement, Standing, Target, Values,
};
use crate::domain::id::RecordKind;
use crate::domain::record::{Fields, Record};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::Mapping;
use crate::mapping::rule::Occasion;
use crate::merge::field::agree;
use crate::merge::sentence;
use crate::merge::settle;
use crate::merge::view::standing_value;
use crate::store::StoreError;

impl Attempt<'_> {
    /// Makes the record, with an intent that finds it again after a lost answer. Where the CRM refuses
    /// fields by name, it is made without them and their groups: they rest, and are told of.
    pub(super) async fn create_record(
        &mut self,
        deal: &mut Deal,
        kind: RecordKind,
        mapping: std::sync::Arc<Mapping>,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Read, StoreError> {
        let related = match self.related(&mapping, referral, part).await {
            Ok(related) => related,
            Err(fault) => return Ok(Err(fault)),
        };
        let target = Target::Crm(part.name());
        let all = values_for_creation(&mapping, referral);
        let (mut sent, mut refusals) = (all.clone(), Vec::new());
        let record = loop {
            let fields = (&sent, &related);
            match self.try_to_create(deal, kind, &mapping, referral, part, fields).await? {
                Ok(record) => break record,
                Err(fault) => {
                    let refused = refused_rules(&mapping, target, &fault, &sent);
                    // What is sent only now would be missing for good, and nobody told of it.
                    if refused.is_empty() || refused.iter().any(|rule| !rule.on_update) {
                        return Ok(Err(fault));
                    }
                    refused.iter().for_each(|rule| leave_out(&mapping, &mut sent, &rule.name));
                    refusals.push(fault);
                }
            }
        };
        let read = self.created(deal, record, mapping, referral, &sent);
        for fault in &refusals {
            self.park_refused(deal, target, fault, (&read, &all));
        }
        Ok(Ok(Some(read)))
    }

    /// One call that makes the record.
    async fn try_to_create(
        &mut self,
        deal: &mut Deal,
        kind: RecordKind,
        mapping: &Mapping,
        referral: &Referral,
        part: &CrmPart,
        (sent, related): (&Values, &Fields),
    ) -> Result<Result<Record, ConnectError>, StoreError> {
        let stage = Stage::of(&referral.state());
        let intent = Intent {
            token: self.around.randomness.guid(),
            target: Target::Crm(part.name()),
            action: IntentAction::Create,
            expect: None,
            sent: with_left_out(mapping, referral, sent),
            columns: columns::of(mapping),
            stage,
            losers: Vec::new(),
            from: Vec::new(),
            lines: Vec::new(),
            doubtful: false,
            at: self.around.clock.now(),
        };
        let fields = match self.creation(mapping, referral, sent, stage, related, &intent.token) {
            Ok(fields) => fields,
            Err(fault) => return Ok(Err(fault)),
        };
        deal.intents.retain(|other| other.target != intent.target);
        deal.intents.push(intent);
        self.keep(deal).await?;
        let id = referral.id();
        let answer = part.crm.create(kind, id.as_str(), &fields, mapping.shape()).await;
        let open =
            matches!(answer, Ok(_) | Err(ConnectError::Unknown(_) | ConnectError::Exists(_)));
        if !open {
            deal.intents.retain(|intent| intent.target != Target::Crm(part.name()));
        }
        Ok(answer)
    }

    /// The link and base of a record just made: what it really holds is what both sides agree on.
    fn created(
        &mut self,
        deal: &mut Deal,
        record: Record,
        mapping: std::sync::Arc<Mapping>,
        referral: &Referral,
        sent: &Values,
    ) -> ReadRecord {
        let crm = record.key.crm;
        let mut fresh = link(&record);
        fresh.columns = columns::of(&mapping);
        let read = ReadRecord { record, mapping };
        let given = with_left_out(&read.mapping, referral, sent);
        settle_made(&mut fresh, &given, &read, referral);
        let seen = view(&read, referral);
        fresh.standing = Some(Standing::InSync);
        if let (Some(referral), Some(record)) = (Stage::of(&referral.state()), seen.stage) {
            fresh.base_stage = Some(StageAgreement { referral, record });
        }
        deal.intents.retain(|intent| intent.target != Target::Crm(crm));
        deal.links.retain(|link| link.record.crm != crm);
        deal.links.push(fresh);
        self.tell_created(deal, &read, sent);
        read
    }

    /// What a record began with is as much to be explained as what it became.
    fn tell_created(&mut self, deal: &Deal, read: &ReadRecord, sent: &Values) {
        let crm = read.record.key.crm;
        let summary = format!("Created {} in {}.", read.record.key.id, crm.title());
        let mut entry = self.new_entry(Some(deal), AuditKind::Wrote, crm.as_str(), summary);
        let rules = read.mapping.fields().iter();
        let written: BTreeSet<&String> = rules
            .filter(|rule| rule.on_create && rule.direction.to_crm())
            .map(|rule| &rule.name)
            .collect();
        let filled =
            sent.iter().filter(|(field, value)| !value.is_null() && written.contains(field));
        let change = |(field, after): (&String, &Value)| FieldChange {
            field: field.clone(),
            before: Value::Null,
            after: after.clone(),
        };
        entry.fields = filled.map(change).collect();
        self.entries.push(entry);
    }

    /// Every field of a new record.
    fn creation(
        &self,
        mapping: &Mapping,
        referral: &Referral,
        sent: &Values,
        stage: Option<Stage>,
        related: &Fields,
        token: &str,
    ) -> Result<Fields, ConnectError> {
        let written = mapping.write_record(sent, Some(referral), Occasion::Create);
        let mut fields = written.map_err(|problems| not_convertible(&problems))?;
        fields.extend(related.clone());
        let stage = stage.unwrap_or(Stage::OnHold);
        if let Some(rule) = mapping.stage_to_set(stage) {
            fields.extend(rule.write.clone());
        }
        let control = mapping.control();
        fields.insert(control.sync.clone(), json!(true));
        let zone = &self.account.settings.time_zone;
        let lines = [sentence::arrived(stage)];
        let text =
            sentence::audit_text("", &lines, self.around.clock.now(), zone, control.audit_length);
        fields.insert(control.audit.clone(), json!(text));
        if let (Some(field), Some(link)) = (&control.link, sentence::link(control, referral)) {
            fields.insert(field.clone(), json!(link));
        }
        let shared = referral.get("consent.consentToShareReferralWithMicrosoftSellers");
        if let (Some(field), Some(json @ serde_json::Value::Bool(true))) =
            (&control.visibility, shared)
        {
            fields.insert(field.clone(), json.clone());
        }
        if let Some(field) = &control.token {
            fields.insert(field.clone(), json!(token));
        }
        if let Some(field) = &control.status {
            fields.insert(field.clone(), standing_value(control, Standing::InSync));
        }
        Ok(fields)
    }
}

/// What a new record was given, where whatever was left out is null.
fn with_left_out(mapping: &Mapping, referral: &Referral, sent: &Values) -> Values {
    let wanted = values_wanted(mapping, referral).into_keys();
    let mut all: Values = wanted.map(|field| (field, Value::Null)).collect();
    all.extend(sent.clone());
    all
}

/// Moves the base of a record just made to what it was `given`: see [`with_left_out`]. What the CRM
/// filled in where a value was left out is no edit of anybody's.
pub(super) fn settle_made(link: &mut Link, given: &Values, read: &ReadRecord, referral: &Referral) {
    let (left_out, sent): (Values, Values) =
        given.clone().into_iter().partition(|(_, value)| value.is_null());
    let meant = read.mapping.write_record(&sent, Some(referral), Occasion::Create);
    let meant = meant.map(|fields| read.mapping.read_record(&fields).values);
    let now = read.mapping.read_record(&read.record.fields).values;
    settle::settle_landed(link, &sent, &meant.unwrap_or_default(), &now, false);
    for field in left_out.keys() {
        if let Some(held) = now.get(field) {
            agree(&mut link.base, field, &Value::Null, held);
        }
    }
}

/// The canonical values that a new record is given: all that it can hold.
pub(super) fn values_for_creation(mapping: &Mapping, referral: &Referral) -> Values {
    let mut values = values_wanted(mapping, referral);
    let written = mapping.write_record(&values, Some(referral), Occasion::Create);
    // What the record cannot hold rests, with its whole group, and is told once the record is there.
    for problem in written.err().into_iter().flatten() {
        leave_out(mapping, &mut values, &problem.field);
    }
    values
}

/// The canonical values that a new record is to be given.
fn values_wanted(mapping: &Mapping, referral: &Referral) -> Values {
    let values = mapping.read_referral(referral).values;
    let sent = |name: &String| {
        mapping
            .fields()
            .iter()
            .any(|rule| rule.name == *name && rule.on_create && rule.direction.to_crm())
    };
    values.into_iter().filter(|(name, value)| sent(name) && !value.is_null()).collect()
}

/// Takes a field out of `values`, with its whole group.
fn leave_out(mapping: &Mapping, values: &mut Values, field: &str) {
    let group = group_of(mapping, field);
    values.retain(|name, _| name != field && (group.is_none() || group_of(mapping, name) != group));
}

fn group_of<'m>(mapping: &'m Mapping, name: &str) -> Option<&'m str> {
    let rule = mapping.fields().iter().find(|rule| rule.name == name);
    rule.and_then(|rule| rule.group.as_deref())
}
