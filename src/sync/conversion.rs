//! A lead becomes an opportunity, and its deal goes on with that.

use std::collections::BTreeMap;

use serde_json::json;

use super::account::CrmPart;
use super::arrive::Read;
use super::attempt::{Attempt, ReadRecord, link};
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Agreement, Deal, Link, Stage, StageAgreement};
use crate::domain::id::RecordKind;
use crate::domain::record::{Fields, Record};
use crate::domain::referral::Referral;
use crate::domain::value::Value;
use crate::mapping::Mapping;
use crate::merge::field::agree;
use crate::merge::sentence::{self, Line};
use crate::store::StoreError;

impl Attempt<'_> {
    /// A lead that was turned into an opportunity, by its seller or because the referral was
    /// accepted: the link moves on to the opportunity. `None` if nothing was turned.
    pub(super) async fn follow_conversion(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        lead: &Record,
        referral: &Referral,
    ) -> Result<Option<Read>, StoreError> {
        if lead.key.kind != RecordKind::Lead {
            return Ok(None);
        }
        let (Some(lead_mapping), Some(mapping)) =
            (part.mapping(RecordKind::Lead), part.mapping(RecordKind::Opportunity))
        else {
            return Ok(None);
        };
        let turned_by_seller = lead_mapping.stage_of(&lead.fields) == Some(Stage::Active);
        let accepted = Stage::of(&referral.state()) == Some(Stage::Active);
        if !turned_by_seller && !accepted || self.account.behaviour.shadow {
            return Ok(None);
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
            return self.make_record(deal, referral, part).await.map(Some);
        };
        let record = match part.crm.fetch(RecordKind::Opportunity, &id, mapping.shape()).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(fault) => return Ok(Some(Err(fault))),
        };
        let base = deal.link(part.name()).map_or_else(BTreeMap::new, |link| {
            base_after_conversion(link, lead, &lead_mapping, &record, &mapping)
        });
        let active = mapping.stages().iter().find(|rule| rule.stage == Stage::Active);
        let waits = mapping.stage_of(&record.fields) == Some(Stage::OnHold);
        // A seller who turns the lead takes the deal on, whatever stage the CRM begins with.
        let stage = active.filter(|_| turned_by_seller && waits).map(|rule| rule.write.clone());
        let read = ReadRecord { record, mapping };
        Ok(Some(self.move_link(deal, part, read, base, stage.unwrap_or_default(), referral).await))
    }

    /// Ties the deal to the opportunity that its lead became.
    async fn move_link(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        read: ReadRecord,
        base: BTreeMap<String, Agreement>,
        stage: Fields,
        referral: &Referral,
    ) -> Read {
        let ReadRecord { record, mapping } = read;
        let control = mapping.control();
        let zone = &self.account.settings.time_zone;
        let before = record
            .fields
            .get(&control.audit)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let lines = [Line("The lead became this opportunity.".to_owned())];
        let text = sentence::audit_text(
            before,
            &lines,
            self.around.clock.now(),
            zone,
            control.audit_length,
        );
        let mut fields = stage;
        fields.insert(control.referral_id.clone(), json!(referral.id().as_str()));
        fields.insert(control.sync.clone(), json!(true));
        fields.insert(control.audit.clone(), json!(text));
        let expect = record.version.clone();
        let record = part.crm.update(&record, &expect, &fields, mapping.shape()).await?;
        let tied = format!("Wrote the referral to {} in {}.", record.key.id, part.name().title());
        self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), tied);
        let mut fresh = link(&record);
        fresh.base = base;
        fresh.base_stage = Some(StageAgreement { referral: Stage::OnHold, record: Stage::OnHold });
        deal.links.retain(|link| link.record.crm != part.name());
        deal.links.push(fresh);
        let summary = format!(
            "The lead became the opportunity {} in {}.",
            record.key.id,
            part.name().title()
        );
        self.entry(Some(deal), AuditKind::Linked, part.name().as_str(), summary);
        Ok(Some(ReadRecord { record, mapping }))
    }
}

/// What the lead's mapping says that a qualified lead is to hold.
fn qualified_status(mapping: &Mapping) -> String {
    let rule = mapping.stages().iter().find(|rule| rule.stage == Stage::Active);
    match rule.and_then(|rule| rule.write.values().next_back()) {
        Some(serde_json::Value::String(status)) => status.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// What both sides agreed on when a lead has just become an opportunity: what the CRM filled in by
/// itself is nobody's edit, so that the referral's values replace it; what the seller changed in the
/// lead, and was not sent yet, still counts as an edit.
fn base_after_conversion(
    link: &Link,
    lead: &Record,
    lead_mapping: &Mapping,
    opportunity: &Record,
    mapping: &Mapping,
) -> BTreeMap<String, Agreement> {
    let of_lead = lead_mapping.read_record(&lead.fields).values;
    let mut base = BTreeMap::new();
    for (field, here) in &mapping.read_record(&opportunity.fields).values {
        match (link.base.get(field), of_lead.get(field)) {
            (Some(agreed), Some(value)) if !agreed.record.is(value) => {
                base.insert(field.clone(), agreed.clone());
            }
            _ => agree(&mut base, field, &Value::Null, here),
        }
    }
    base
}
