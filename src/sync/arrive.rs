//! A referral arrives: the deal is begun, and its records are found or made.

use super::account::CrmPart;
use super::attempt::{Attempt, Ended, ReadRecord, link, view};
use super::columns;
use super::create::{settle_made, values_for_creation};
use super::execute::stage_meant;
use super::write::token_of;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, IntentAction, Link, StageAgreement, Standing, Target, Values};
use crate::domain::hold::Hold;
use crate::domain::id::{DealId, RecordId, RecordKey, RecordKind, ReferralId};
use crate::domain::notice::{Done, Subject};
use crate::domain::record::Record;
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::Mapping;
use crate::merge::settle;
use crate::store::{DealKey, StoreError};

/// What reading or making a record came to.
pub(super) type Read = Result<Option<ReadRecord>, ConnectError>;

impl Attempt<'_> {
    /// A referral that no deal is known for.
    pub(super) async fn arrive(
        &mut self,
        id: &ReferralId,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let referral = match self.fetch_referral(id).await {
            Ok(Some(referral)) => referral,
            Ok(None) => return Ok((None, self.not_there_yet())),
            Err(fault) => return Ok((None, Ended::Failed(Target::PartnerCenter, fault))),
        };
        if referral.is_microsofts() {
            return self.microsoft_arrives(&referral).await;
        }
        if let Some(ended) = self.belongs_elsewhere(id, &referral).await? {
            return Ok((None, ended));
        }
        if referral.state().is_terminal() {
            return Ok((
                None,
                Ended::Done(Done::Ignored, "the referral had ended before it was known here"),
            ));
        }
        if self.account.crms.iter().all(|part| self.kind_for(&referral, part).is_none()) {
            return Ok((None, Ended::Done(Done::Ignored, "leads are not kept in step here")));
        }
        let deal = self.begin(&referral);
        self.entry(
            Some(&deal),
            AuditKind::Linked,
            "daemon",
            "A deal arrived from Partner Center.".to_owned(),
        );
        self.bring_in_step(deal).await
    }

    /// A fresh deal for a referral.
    pub(super) fn begin(&self, referral: &Referral) -> Deal {
        let now = self.around.clock.now();
        Deal {
            id: DealId::new(self.around.randomness.guid()),
            account: self.account.name.clone(),
            referral_id: Some(referral.id()),
            engagement_id: referral.engagement_id(),
            microsoft_referral_id: None,
            microsoft: None,
            referral_version: None,
            referral_state: None,
            links: Vec::new(),
            intents: Vec::new(),
            created: now,
            changed: now,
        }
    }

    /// Microsoft's own record: our deal of the same engagement is looked at instead.
    async fn microsoft_arrives(
        &mut self,
        microsofts: &Referral,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let Some(engagement) = microsofts.engagement_id() else {
            return Ok((
                None,
                Ended::Done(Done::Ignored, "Microsoft's own record, without an engagement"),
            ));
        };
        let now = self.around.clock.now();
        let key = DealKey::Engagement(engagement.clone());
        if let Some(deal) = self.around.store.deal_by(&self.account.name, &key).await? {
            self.follow_up(Subject::Deal(deal.id), "related-referral", now);
            return Ok((
                None,
                Ended::Done(Done::Ignored, "Microsoft's own record; our deal is looked at instead"),
            ));
        }
        match self.account.partner_center.engagement(&engagement).await {
            Ok(parties) => {
                for own in parties.iter().filter(|party| !party.is_microsofts()) {
                    self.follow_up(Subject::Referral(own.id()), "related-referral", now);
                }
                Ok((
                    None,
                    Ended::Done(
                        Done::Ignored,
                        "Microsoft's own record; our referral is looked at instead",
                    ),
                ))
            }
            Err(fault) => Ok((None, Ended::Failed(Target::PartnerCenter, fault))),
        }
    }

    /// A referral that a CRM record is just being shared as: that try finishes it, or has just done
    /// so. Looked up afresh, since that try runs in a lane of its own.
    async fn belongs_elsewhere(
        &mut self,
        id: &ReferralId,
        referral: &Referral,
    ) -> Result<Option<Ended>, StoreError> {
        let key = DealKey::Referral(id.clone());
        if let Some(deal) = self.around.store.deal_by(&self.account.name, &key).await? {
            return Ok(Some(self.belongs_to(deal)));
        }
        let Some(reference) = referral.text("externalReferenceId") else { return Ok(None) };
        for part in &self.account.crms {
            for kind in part.kinds() {
                let key = RecordKey { crm: part.name(), kind, id: RecordId::new(reference) };
                let deal =
                    self.around.store.deal_by(&self.account.name, &DealKey::Record(key)).await?;
                let Some(deal) = deal else { continue };
                if deal.referral_id.is_none() {
                    let at = self.around.clock.now().plus(std::time::Duration::from_secs(1));
                    return Ok(Some(Ended::Later(at, "the record is being shared".to_owned())));
                }
                if deal.referral_id.as_ref() == Some(id) {
                    return Ok(Some(self.belongs_to(deal)));
                }
            }
        }
        Ok(None)
    }

    /// Leaves the work to the lane of the deal.
    fn belongs_to(&mut self, deal: Deal) -> Ended {
        self.follow_up(Subject::Deal(deal.id), "arrived", self.around.clock.now());
        Ended::Done(Done::Ignored, "its deal is looked at instead")
    }

    /// Finds or makes the record of a deal in a CRM where it has none yet.
    pub(super) async fn make_record(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Read, StoreError> {
        let Some(kind) = self.kind_for(referral, part) else { return Ok(Ok(None)) };
        let Some(mapping) = part.mapping(kind) else { return Ok(Ok(None)) };
        let begun = deal.intents.iter().any(|intent| {
            intent.target == Target::Crm(part.name()) && intent.action == IntentAction::Create
        });
        if referral.state().is_terminal() && !begun {
            return Ok(Ok(None));
        }
        let found = match self.find_record(deal, kind, &mapping, referral, part).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(record) = found {
            let read = self.adopt(deal, record, mapping, referral);
            // Its seller may have turned a lead that we had just made.
            let moved = Box::pin(self.follow_conversion(deal, part, &read, referral)).await?;
            return Ok(moved.unwrap_or(Ok(Some(read))));
        }
        if kind == RecordKind::Opportunity && referral.class().is_lead() {
            match self.lead_made_before(deal, referral, part).await? {
                Ok(None) => {}
                moved => return Ok(moved),
            }
        }
        if referral.state().is_terminal() {
            deal.intents.retain(|intent| intent.target != Target::Crm(part.name()));
            return Ok(Ok(None));
        }
        if self.account.behaviour.shadow {
            let summary = format!("Would create the {kind} in {}.", part.name().title());
            let given = (&values_for_creation(&mapping, referral), Stage::of(&referral.state()));
            self.would_create(Some(deal), Target::Crm(part.name()), summary, given);
            return Ok(Ok(None));
        }
        if let Some(reference) = self.foreign_reference(deal, referral)
            && self.account.behaviour.hold_foreign_reference
        {
            let refusal = crate::connect::error::Refusal {
                code: "foreign_reference".to_owned(),
                message: format!("the referral names the record {reference}, which is not here"),
                ..Default::default()
            };
            return Ok(Err(ConnectError::Rejected(refusal)));
        }
        self.create_record(deal, kind, mapping, referral, part).await
    }

    /// A lead that was made for the referral before it was accepted, in a try that was cut off: the
    /// deal goes on with it, and with what it becomes.
    async fn lead_made_before(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Read, StoreError> {
        let kind = RecordKind::Lead;
        let Some(mapping) = part.mapping(kind).filter(|_| self.account.behaviour.leads) else {
            return Ok(Ok(None));
        };
        let lead = match self.find_record(deal, kind, &mapping, referral, part).await? {
            Ok(Some(lead)) => lead,
            Ok(None) => return Ok(Ok(None)),
            Err(fault) => return Ok(Err(fault)),
        };
        let read = self.adopt(deal, lead, mapping, referral);
        let moved = Box::pin(self.follow_conversion(deal, part, &read, referral)).await?;
        Ok(moved.unwrap_or(Ok(Some(read))))
    }

    /// Looks for a record that carries the referral's id, then for the one the referral names.
    pub(super) async fn find_record(
        &mut self,
        deal: &Deal,
        kind: RecordKind,
        mapping: &Mapping,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Result<Option<Record>, ConnectError>, StoreError> {
        let id = referral.id();
        let mut found = match part.crm.find_by_referral(kind, id.as_str(), mapping.shape()).await {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        if found.len() > 1 {
            let ids = found.iter().map(|record| record.key.id.to_string()).collect();
            return Ok(Err(ConnectError::Ambiguous(ids)));
        }
        if let Some(record) = found.pop() {
            return Ok(Ok(Some(record)));
        }
        let named = referral.text("externalReferenceId").filter(|named| looks_like_id(named));
        let Some(named) = named.filter(|_| deal.links.is_empty()) else { return Ok(Ok(None)) };
        let record = match part.crm.fetch(kind, &RecordId::new(named), mapping.shape()).await {
            Ok(record) => record,
            Err(ConnectError::NotFound(_) | ConnectError::Rejected(_)) => None,
            Err(fault) => return Ok(Err(fault)),
        };
        let free = |record: &Record| {
            let held = record
                .fields
                .get(&mapping.control().referral_id)
                .and_then(serde_json::Value::as_str);
            held.is_none_or(|held| held.is_empty() || held.eq_ignore_ascii_case(id.as_str()))
        };
        Ok(Ok(record.filter(free)))
    }

    /// The record id that the referral names, if it is none of ours. Said once in the trail.
    fn foreign_reference(&mut self, deal: &Deal, referral: &Referral) -> Option<String> {
        let named = referral.text("externalReferenceId")?;
        if deal.links.iter().flat_map(Link::records).any(|record| record.id.as_str() == named) {
            return None;
        }
        let summary =
            format!("The referral names the record {named}, which is not here. It was left alone.");
        self.entry(Some(deal), AuditKind::Alerted, "daemon", summary);
        Some(named.to_owned())
    }

    /// Links a record that exists already.
    pub(super) fn adopt(
        &mut self,
        deal: &mut Deal,
        record: Record,
        mapping: std::sync::Arc<Mapping>,
        referral: &Referral,
    ) -> ReadRecord {
        let crm = record.key.crm;
        let mut fresh = link(&record);
        fresh.columns = columns::of(&mapping);
        let read = ReadRecord { record, mapping };
        let token = token_of(&read, &read.record);
        let created_by_us = deal.intents.iter().any(|intent| {
            intent.target == Target::Crm(crm)
                && intent.action == IntentAction::Create
                && token.is_none_or(|token| settle::landed_by_token(intent, token))
        });
        if created_by_us {
            self.settle_creation(deal, &mut fresh, &read, referral);
            fresh.standing = Some(Standing::InSync);
        } else if let (Some(referral_stage), Some(record_stage)) =
            (Stage::of(&referral.state()), view(&read, referral).stage)
            && !referral_stage.is_closed()
        {
            fresh.base_stage =
                Some(StageAgreement { referral: referral_stage, record: record_stage });
        }
        deal.intents.retain(|intent| intent.target != Target::Crm(crm));
        deal.links.retain(|link| link.record.crm != crm);
        deal.links.push(fresh);
        let (kind, summary) = if created_by_us {
            (AuditKind::Wrote, format!("Created {} in {}.", read.record.key.id, crm.title()))
        } else {
            (AuditKind::Linked, format!("Linked to {} in {}.", read.record.key.id, crm.title()))
        };
        self.entry(Some(deal), kind, crm.as_str(), summary);
        read
    }

    /// What a creation sent is what both sides agreed on; what was edited since is an edit.
    fn settle_creation(
        &self,
        deal: &Deal,
        fresh: &mut crate::domain::deal::Link,
        read: &ReadRecord,
        referral: &Referral,
    ) {
        let crm = read.record.key.crm;
        let intent = deal.intents.iter().find(|intent| intent.target == Target::Crm(crm));
        let Some(intent) = intent else { return };
        // What a mapping of then put into another field is not what is read in the field of now.
        let sent = columns::unmoved(&intent.sent, &intent.columns, &read.mapping);
        let sent: Values = sent.map(|(field, value)| (field.clone(), value.clone())).collect();
        settle_made(fresh, &sent, read, referral);
        // Whoever filled in since what was left out, the CRM or a seller: it is named when it loses.
        for (field, agreed) in &mut fresh.base {
            agreed.doubtful |= sent.get(field).is_some_and(Value::is_null);
        }
        if let Some(stage) = intent.stage {
            let seen = view(read, referral).stage;
            let record = stage_meant(read, stage).or(seen).unwrap_or(stage);
            fresh.base_stage = Some(StageAgreement { referral: stage, record });
        }
        settle::doubt(fresh, intent);
    }
}

/// Whether a text could be a record id of one of the CRMs: a GUID, or 15 or 18 letters and digits.
fn looks_like_id(text: &str) -> bool {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric());
    ReferralId::parse(text).is_some() || plain && (text.len() == 15 || text.len() == 18)
}

/// A hold for a record that another deal holds already.
pub(super) fn taken(crm: crate::domain::id::CrmName, other: &RecordId) -> Hold {
    Hold::new(
        "two_records",
        format!(
            "Another record in {} ({other}) carries the same Referral Identifier.",
            crm.title()
        ),
        "Empty the Referral Identifier of the record that is wrong, then retry.",
    )
}
