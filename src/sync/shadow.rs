//! Shadow mode: what would have been written, in the trail, once for each plan.

use super::attempt::{Attempt, ReadRecord, view};
use crate::domain::audit::{AuditKind, FieldChange};
use crate::domain::deal::{Deal, Target, Values};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::merge::{plan, sentence, settle};

impl Attempt<'_> {
    /// Records what `plan` would write, beside what the target holds now.
    pub(super) fn record_shadow(
        &mut self,
        deal: &mut Deal,
        plan: &plan::Plan,
        referral: &Referral,
        records: &[ReadRecord],
    ) {
        if !self.account.behaviour.shadow {
            return;
        }
        if let Some(write) = &plan.partner_center {
            let before: Values = records
                .iter()
                .flat_map(|read| view(read, referral).referral_values.values)
                .collect();
            let values = write.values.values().flatten();
            let stage = (write.stage, Stage::of(&referral.state()));
            self.would_write(deal, Target::PartnerCenter, changes(values, &before, stage));
        }
        if let Some(crm) = plan.invite {
            let summary = format!("Would ask Microsoft for help, as {} says.", crm.title());
            self.say_once(deal, Target::PartnerCenter, summary, Vec::new());
        }
        for write in &plan.crms {
            let Some(read) = records.iter().find(|read| read.record.key.crm == write.crm) else {
                continue;
            };
            let seen = view(read, referral);
            let before = &seen.record_values.values;
            let stage = (write.stage, seen.stage);
            let fields = changes(write.values.iter(), before, stage);
            self.would_write(deal, Target::Crm(write.crm), fields);
        }
    }

    /// Records what a new record or referral would be given.
    pub(super) fn would_create(
        &mut self,
        deal: Option<&Deal>,
        target: Target,
        summary: String,
        (values, stage): (&Values, Option<Stage>),
    ) {
        let mut entry = self.new_entry(deal, AuditKind::WouldWrite, target.as_str(), summary);
        entry.fields = changes(values.iter(), &Values::new(), (stage, None));
        self.entries.push(entry);
    }

    fn would_write(&mut self, deal: &mut Deal, target: Target, fields: Vec<FieldChange>) {
        let system = match target {
            Target::PartnerCenter => "Partner Center",
            Target::Crm(crm) => crm.title(),
        };
        self.say_once(deal, target, format!("Would write to {system}."), fields);
    }

    /// The same plan again is no news.
    fn say_once(
        &mut self,
        deal: &mut Deal,
        target: Target,
        summary: String,
        fields: Vec<FieldChange>,
    ) {
        let topic = format!("shadow:{}:{summary}", target.as_str());
        let key = sentence::topic_key(&topic, &format!("{fields:?}"));
        let link = match target {
            Target::PartnerCenter => deal.links.first_mut(),
            Target::Crm(crm) => deal.link_mut(crm),
        };
        let Some(link) = link.filter(|link| !link.told.contains(&key)) else { return };
        settle::remember_told(link, &[key], &[]);
        let mut entry = self.new_entry(Some(deal), AuditKind::WouldWrite, target.as_str(), summary);
        entry.fields = fields;
        self.entries.push(entry);
    }
}

fn changes<'v>(
    values: impl Iterator<Item = (&'v String, &'v Value)>,
    before: &Values,
    (to, from): (Option<Stage>, Option<Stage>),
) -> Vec<FieldChange> {
    let of_stage = |stage: Stage| Value::text(stage.as_str());
    let stage = to.map(|to| FieldChange {
        field: "stage".to_owned(),
        before: from.map(of_stage).unwrap_or_default(),
        after: of_stage(to),
    });
    let values = values.map(|(field, after)| FieldChange {
        field: field.clone(),
        before: before.get(field).cloned().unwrap_or_default(),
        after: after.clone(),
    });
    values.chain(stage).collect()
}
