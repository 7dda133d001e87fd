//! A lead becomes an opportunity, and its deal goes on with that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::account::CrmPart;
use super::arrive::Read;
use super::attempt::{Attempt, ReadRecord, link};
use super::columns;
use super::execute::not_convertible;
use super::stages::is_only_reread;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{
    Agreement, Deal, IntentAction, Link, Remembered, StageAgreement, Target, Values,
};
use crate::domain::id::{RecordId, RecordKind, ReferralId};
use crate::domain::record::{Fields, Record};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::Mapping;
use crate::mapping::rule::Occasion;
use crate::merge::field::agree;
use crate::merge::sentence;
use crate::merge::settle::stuck;
use crate::store::{DealKey, StoreError};

impl Attempt<'_> {
    /// A lead that was turned into an opportunity, by its seller or because the referral was
    /// accepted: the link moves on to the opportunity. `None` if nothing was turned.
    ///
    /// The lead is judged by the mapping that it was read by: files that came since have not been
    /// heeded for it.
    pub(super) async fn follow_conversion(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        read: &ReadRecord,
        referral: &Referral,
    ) -> Result<Option<Read>, StoreError> {
        let (lead, lead_mapping) = (&read.record, Arc::clone(&read.mapping));
        if lead.key.kind != RecordKind::Lead || self.account.behaviour.shadow {
            return Ok(None);
        }
        let Some(mapping) = part.mapping(RecordKind::Opportunity) else { return Ok(None) };
        let link = deal.link(part.name());
        let Some(turns) = who_turns(link, lead, &lead_mapping, referral) else { return Ok(None) };
        self.recover_lead(deal, part, lead, &lead_mapping, referral);
        if let Some(link) = deal.link_mut(part.name()) {
            columns::heed(link, &lead.fields, &lead_mapping);
        }
        let status = qualified_status(&lead_mapping);
        let opportunity = match part.crm.qualify(lead, &status, lead_mapping.shape()).await {
            Ok(opportunity) => opportunity,
            Err(fault) => return Ok(Some(Err(fault))),
        };
        let Some(id) = opportunity else {
            deal.links.retain(|link| link.record.crm != part.name());
            let summary = format!(
                "{} does not let us turn the lead into an opportunity; one was made beside it.",
                part.name().title()
            );
            self.entry(Some(deal), AuditKind::Linked, part.name().as_str(), summary);
            return self.make_opportunity(deal, mapping, referral, part).await.map(Some);
        };
        let record = match self.opportunity_of(deal, part, lead, (&id, &mapping)).await? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(fault) => return Ok(Some(Err(fault))),
        };
        // Turning is no conditional write: the seller may have edited the lead just before. Now it is
        // read-only.
        let final_lead = part.crm.fetch(RecordKind::Lead, &lead.key.id, lead_mapping.shape()).await;
        let lead = match &final_lead {
            Ok(read) => read.as_ref().unwrap_or(lead),
            Err(fault) => return Ok(Some(Err(fault.clone()))),
        };
        let turned =
            Turned { lead, lead_mapping: &lead_mapping, by_seller: turns == Turns::Seller };
        let read = ReadRecord { record, mapping };
        match self.move_link(deal, part, read, &turned, referral).await? {
            Ok(read) => Ok(Some(self.paused_or_live(deal, referral, read).await?)),
            Err(fault) => Ok(Some(Err(fault))),
        }
    }

    /// Reads the opportunity that a lead became. A seller may have chosen one that was there before: that
    /// of another deal is left to that deal.
    async fn opportunity_of(
        &self,
        deal: &Deal,
        part: &CrmPart,
        lead: &Record,
        (id, mapping): (&RecordId, &Mapping),
    ) -> Result<Result<Option<Record>, ConnectError>, StoreError> {
        let record = match part.crm.fetch(RecordKind::Opportunity, id, mapping.shape()).await {
            Ok(Some(record)) => record,
            other => return Ok(other),
        };
        let key = DealKey::Record(record.key.clone());
        let other = self.around.store.deal_by(&self.account.name, &key).await?;
        let holds = |other: &Deal| {
            let link = other.link(part.name()).filter(|link| link.record == record.key);
            other.id != deal.id && link.is_some_and(|link| !link.is_cut())
        };
        if other.as_ref().is_some_and(holds) {
            let ids = vec![lead.key.id.to_string(), record.key.id.to_string()];
            return Ok(Err(ConnectError::Ambiguous(ids)));
        }
        Ok(Ok(Some(record)))
    }

    /// The opportunity of a lead that was turned without one. The lead is not looked for again: it
    /// would be turned, and found, for ever.
    async fn make_opportunity(
        &mut self,
        deal: &mut Deal,
        mapping: Arc<Mapping>,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Read, StoreError> {
        let kind = RecordKind::Opportunity;
        match self.find_record(deal, kind, &mapping, referral, part).await? {
            Ok(Some(record)) => Ok(Ok(Some(self.adopt(deal, record, mapping, referral)))),
            Ok(None) => self.create_record(deal, kind, mapping, referral, part).await,
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// What became of a write to the lead whose answer is missing: afterwards only the opportunity is
    /// read.
    fn recover_lead(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        lead: &Record,
        mapping: &Arc<Mapping>,
        referral: &Referral,
    ) {
        let target = Target::Crm(part.name());
        let read = ReadRecord { record: lead.clone(), mapping: Arc::clone(mapping) };
        for intent in deal.intents.clone().iter().filter(|intent| intent.target == target) {
            if intent.action == IntentAction::Update {
                self.recover_record(deal, intent, referral, &read);
            }
        }
        // Whether an earlier try has tied the opportunity is to be seen there.
        deal.intents
            .retain(|intent| intent.target != target || intent.action == IntentAction::Qualify);
    }

    /// Ties the deal to the opportunity that its lead became.
    async fn move_link(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        read: ReadRecord,
        turned: &Turned<'_>,
        referral: &Referral,
    ) -> Result<Result<ReadRecord, ConnectError>, StoreError> {
        self.tell_landed(deal, &read);
        let ReadRecord { record, mapping } = read;
        let old = deal.link(part.name()).cloned().unwrap_or_else(|| link(turned.lead));
        let tied = was_tied(&record, &mapping, turned, &referral.id());
        let (mut base, carried) = after_conversion(&old, turned, &record, &mapping, tied);
        let mut fields = match mapping.write_record(&carried, Some(referral), Occasion::Update) {
            Ok(fields) => fields,
            Err(problems) => return Ok(Err(not_convertible(&problems))),
        };
        let active = mapping.stage_to_set(Stage::Active);
        let waits = mapping.stage_of(&record.fields) == Some(Stage::OnHold);
        // A seller who turns the lead takes the deal on, whatever stage the CRM begins with.
        if let Some(rule) = active.filter(|_| turned.by_seller && waits && !tied) {
            fields.extend(rule.write.clone());
        }
        let control = mapping.control();
        let before = record.fields.get(&control.audit).and_then(Json::as_str).unwrap_or_default();
        if !tied {
            let line = sentence::lead_became_this();
            let now = self.around.clock.now();
            let zone = &self.account.settings.time_zone;
            let text = sentence::audit_text(before, &[line], now, zone, control.audit_length);
            fields.insert(control.audit.clone(), json!(text));
            let ticked = is_ticked(turned.lead, turned.lead_mapping);
            fields.insert(control.sync.clone(), json!(ticked));
        }
        fields.insert(control.referral_id.clone(), json!(referral.id().as_str()));
        fields.retain(|name, value| record.fields.get(name) != Some(value));
        let before = mapping.read_record(&record.fields).values;
        let record = match self.tie_opportunity(deal, part, record, fields, &mapping).await? {
            Ok(record) => record,
            Err(fault) => return Ok(Err(fault)),
        };
        let after = mapping.read_record(&record.fields).values;
        settle_carried(&mut base, &carried, &before, &after);
        let fresh = Link {
            base,
            base_stage: Some(StageAgreement { referral: Stage::OnHold, record: Stage::OnHold }),
            // Both sides may have agreed on other stages since it was tied.
            stage_doubtful: old.stage_doubtful || tied,
            told: old.told,
            pending: old.pending,
            columns: columns::of(&mapping),
            lead: Some(old.record),
            ..link(&record)
        };
        deal.intents.retain(|intent| intent.target != Target::Crm(part.name()));
        deal.links.retain(|link| link.record.crm != part.name());
        deal.links.push(fresh);
        let summary = format!(
            "The lead became the opportunity {} in {}.",
            record.key.id,
            part.name().title()
        );
        self.entry(Some(deal), AuditKind::Linked, part.name().as_str(), summary);
        Ok(Ok(ReadRecord { record, mapping }))
    }

    /// Writes the referral and whatever else goes with it to the opportunity.
    async fn tie_opportunity(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        record: Record,
        mut fields: Fields,
        mapping: &Mapping,
    ) -> Result<Result<Record, ConnectError>, StoreError> {
        if fields.is_empty() {
            return Ok(Ok(record));
        }
        let target = Target::Crm(part.name());
        let expect = record.version.clone();
        let token = self.promise_other(deal, target, IntentAction::Qualify, &expect);
        self.keep(deal).await?;
        fields.extend(mapping.control().token.clone().map(|field| (field, json!(token))));
        let answer = part.crm.update(&record, &expect, &fields, mapping.shape()).await;
        if !matches!(answer, Err(ConnectError::Unknown(_))) {
            deal.intents.retain(|intent| intent.token != token);
        }
        if let Ok(record) = &answer {
            let tied =
                format!("Wrote the referral to {} in {}.", record.key.id, part.name().title());
            self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), tied);
        }
        Ok(answer)
    }
}

/// Who makes an opportunity of a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turns {
    /// Its seller has done so.
    Seller,
    /// We do, because the referral was accepted.
    Daemon,
}

/// Who makes an opportunity of a lead; `None` where nobody does. There is no way back from it, so that
/// a lead that only changed files take for a converted one waits like any other.
fn who_turns(
    link: Option<&Link>,
    lead: &Record,
    mapping: &Mapping,
    referral: &Referral,
) -> Option<Turns> {
    let there = Stage::of(&referral.state());
    let reread = link.filter(|link| is_only_reread(link, &lead.fields, mapping));
    // A lead that its seller has closed stays closed, whatever the files make of it.
    let was_there = reread.and_then(|link| link.base_stage).map(|base| base.referral);
    let waits = match mapping.stage_of(&lead.fields) {
        Some(Stage::Active) if reread.is_none() => return Some(Turns::Seller),
        Some(Stage::Active) => true,
        Some(Stage::OnHold) => was_there.is_none() || was_there != there,
        _ => false,
    };
    // One that is un-ticked is left alone. A deal that was accepted and won between two looks was
    // accepted all the same.
    let accepted = matches!(there, Some(Stage::Active | Stage::Won));
    (waits && accepted && is_ticked(lead, mapping)).then_some(Turns::Daemon)
}

/// A lead that has become an opportunity.
struct Turned<'t> {
    lead: &'t Record,
    lead_mapping: &'t Mapping,
    /// Its seller did it, not we.
    by_seller: bool,
}

fn is_ticked(record: &Record, mapping: &Mapping) -> bool {
    record.fields.get(&mapping.control().sync).and_then(Json::as_bool) == Some(true)
}

/// Whether an earlier try has tied the opportunity already and its end is not remembered: it was cut
/// off, or the store comes from a backup. The opportunity carries our referral then, and our line or a
/// token that the CRM did not copy from the lead. What it holds now may be anybody's edit since.
fn was_tied(
    opportunity: &Record,
    mapping: &Mapping,
    turned: &Turned<'_>,
    own: &ReferralId,
) -> bool {
    let text = |record: &Record, field: Option<&String>| -> String {
        let held = field.and_then(|field| record.fields.get(field)).and_then(Json::as_str);
        held.unwrap_or_default().to_owned()
    };
    let control = mapping.control();
    let token = text(opportunity, control.token.as_ref());
    let of_lead = text(turned.lead, turned.lead_mapping.control().token.as_ref());
    let line = sentence::lead_became_this().0;
    // A seller may have turned the lead into the opportunity of a deal of before.
    let is_ours = text(opportunity, Some(&control.referral_id)).eq_ignore_ascii_case(own.as_str());
    let is_told = text(opportunity, Some(&control.audit)).contains(&line);
    is_ours && (is_told || !token.is_empty() && token != of_lead)
}

/// What the lead's mapping says that a qualified lead is to hold.
fn qualified_status(mapping: &Mapping) -> String {
    let rule = mapping.stage_to_set(Stage::Active);
    match rule.and_then(|rule| rule.write.values().next_back()) {
        Some(serde_json::Value::String(status)) => status.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// What both sides agreed on when a lead has just become an opportunity, and the lead's values that the
/// opportunity does not hold: they go on there, as they were agreed on or as the seller's edits that
/// were not sent yet. What the CRM filled in by itself is nobody's edit, so that the referral's values
/// replace it.
///
/// An opportunity that was `tied` before has got all that already: nothing is carried once more, and
/// nothing is taken for the CRM's own.
fn after_conversion(
    link: &Link,
    turned: &Turned<'_>,
    opportunity: &Record,
    mapping: &Mapping,
    tied: bool,
) -> (BTreeMap<String, Agreement>, Values) {
    let of_lead = turned.lead_mapping.read_record(&turned.lead.fields).values;
    let of_opportunity = mapping.read_record(&opportunity.fields).values;
    let mut base = BTreeMap::new();
    let mut carried = Values::new();
    for (field, here) in &of_opportunity {
        let (agreed, value) = (link.base.get(field), of_lead.get(field));
        match (agreed, value.filter(|value| agreed.is_some() || !value.is_null())) {
            (_, Some(value)) => {
                base.extend(agreed.map(|agreed| (field.clone(), agreed.clone())));
                if value != here {
                    carried.insert(field.clone(), value.clone());
                }
            }
            (_, None) if tied => {}
            (_, None) => agree(&mut base, field, &Value::Null, here),
        }
    }
    if tied {
        let carried = std::mem::take(&mut carried);
        settle_carried(&mut base, &carried, &Values::new(), &of_opportunity);
    }
    (base, carried)
}

/// What was carried and had been agreed on stays so as the opportunity holds it, cut or rounded.
fn settle_carried(
    base: &mut BTreeMap<String, Agreement>,
    carried: &Values,
    before: &Values,
    after: &Values,
) {
    for (field, value) in carried {
        let (Some(agreed), Some(held)) = (base.get_mut(field), after.get(field)) else { continue };
        if agreed.record.is(value) {
            let before = before.get(field).unwrap_or(value);
            agreed.record = Remembered::of(stuck(value, held, before));
        }
    }
}
