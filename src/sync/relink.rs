//! A person ties a deal to another record than before.
//!
//! Asked for by a notice of the deal's own lane, so that it never meets another try. Everything is
//! looked at before anything is changed, and each step is skipped where it was done already: a try
//! that is cut off goes on from there.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::account::CrmPart;
use super::attempt::{Attempt, ReadRecord};
use super::write::is_closed_for_good;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Standing, Target};
use crate::domain::id::{RecordKey, ReferralId};
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::merge::sentence::{self, Line};
use crate::store::{DealKey, StoreError};

/// How the event of a notice begins that asks for another record.
const ASKED: &str = "relink:";

/// The event of a notice that asks to tie its deal to `record`.
#[must_use]
pub fn event(record: &RecordKey) -> String {
    format!("{ASKED}{record}")
}

impl Attempt<'_> {
    /// Ties the deal to the records that a person asked for. What stands against it is told in the
    /// trail and changes nothing.
    pub(super) async fn relink(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
    ) -> Result<(), StoreError> {
        let asked = self.notices.iter().filter_map(|notice| {
            notice.notice.event.strip_prefix(ASKED).and_then(RecordKey::parse)
        });
        for key in asked.collect::<Vec<_>>() {
            if is_at_work(deal, &key) || self.account.behaviour.shadow {
                continue;
            }
            if let Err(fault) = self.relink_to(deal, referral, &key).await? {
                self.fault(deal, Target::Crm(key.crm), fault);
            }
        }
        Ok(())
    }

    async fn relink_to(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        asked: &RecordKey,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let Some(part) = self.account.part(asked.crm) else { return Ok(Ok(())) };
        let read = match self.look_at(part, asked).await {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(read) = read else {
            self.not_relinked(deal, asked, "there is no such record");
            return Ok(Ok(()));
        };
        // Its own id, in the one way that its CRM writes it.
        let key = &read.record.key.clone();
        if is_at_work(deal, key) {
            return Ok(Ok(()));
        }
        let holder = DealKey::Record(key.clone());
        let taken = self.around.store.deal_by(&self.account.name, &holder).await?;
        if taken.is_some_and(|other| other.id != deal.id) {
            self.not_relinked(deal, key, "it belongs to another deal");
            return Ok(Ok(()));
        }
        let old = deal.link(key.crm).filter(|link| !link.is_cut() && link.record != *key);
        let old = match old.map(|link| link.record.clone()) {
            Some(old) => match self.look_at(part, &old).await {
                Ok(old) => old.filter(|old| carried(old) == Some(referral.id())),
                Err(fault) => return Ok(Err(fault)),
            },
            None => None,
        };
        let against = match carried(&read) {
            Some(other) if other != referral.id() => Some("it carries another referral"),
            _ if is_closed_for_good(&read) => Some("it is closed and takes no changes"),
            _ if old.as_ref().is_some_and(is_closed_for_good) => {
                Some("the record of today is closed and cannot be freed")
            }
            _ => None,
        };
        if let Some(against) = against {
            self.not_relinked(deal, key, against);
            return Ok(Ok(()));
        }
        let moved = self.tie(deal, referral, part, (old, read)).await?;
        Ok(moved)
    }

    /// The three steps: Partner Center names the new record, the old one is freed, the link moves.
    async fn tie(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        part: &CrmPart,
        (old, read): (Option<ReadRecord>, ReadRecord),
    ) -> Result<Result<(), ConnectError>, StoreError> {
        if let Err(fault) = self.name_record(deal, referral, &read.record.key).await {
            return Ok(Err(fault));
        }
        // Whatever was written stands in the trail, also if the try is cut off before its end.
        self.keep(deal).await?;
        if let Some(old) = old
            && let Err(fault) = self.free(deal, part, &old, &read.record.key).await
        {
            return Ok(Err(fault));
        }
        self.keep(deal).await?;
        let read = match self.mark(deal, part, read, referral, sentence::relinked()).await {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        let ReadRecord { record, mapping } = read;
        let crm = record.key.crm;
        deal.intents.retain(|intent| intent.target != Target::Crm(crm));
        self.adopt(deal, record, mapping, referral);
        self.keep(deal).await?;
        Ok(Ok(()))
    }

    /// Where the referral names the record that the deal leaves, it is to name the new one.
    async fn name_record(
        &mut self,
        deal: &Deal,
        referral: &mut Referral,
        key: &RecordKey,
    ) -> Result<(), ConnectError> {
        let named = referral.text("externalReferenceId").map(str::to_owned);
        let old = deal.link(key.crm).map(|link| link.record.id.as_str().to_owned());
        let ended = referral.state().is_terminal();
        if named.is_none() || named != old || old.as_deref() == Some(key.id.as_str()) || ended {
            return Ok(());
        }
        let Some(expect) = referral.version() else { return Ok(()) };
        let changes: BTreeMap<String, Json> =
            BTreeMap::from([("externalReferenceId".to_owned(), json!(key.id.as_str()))]);
        let client = &self.account.partner_center;
        let answer = client.patch(&referral.id(), &expect, &changes).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        *referral = answer?;
        let summary = "Wrote externalReferenceId to Partner Center.".to_owned();
        self.entry(Some(deal), AuditKind::Wrote, "partner_center", summary);
        Ok(())
    }

    /// Takes the referral off the record that the deal leaves, and the box, so that it is not offered
    /// as a deal of its own.
    async fn free(
        &mut self,
        deal: &Deal,
        part: &CrmPart,
        old: &ReadRecord,
        to: &RecordKey,
    ) -> Result<(), ConnectError> {
        let control = old.mapping.control();
        let lines = [sentence::left_for(to.id.as_str())];
        let mut fields: Fields = self.bookkeeping(old, &lines, Standing::Paused, None);
        fields.insert(control.referral_id.clone(), Json::Null);
        fields.insert(control.sync.clone(), json!(false));
        let expect = old.record.version.clone();
        let answer = part.crm.update(&old.record, &expect, &fields, old.mapping.shape()).await;
        part.breaker.learn(&answer, self.around.clock.now());
        answer?;
        let summary = format!("Freed {} in {}.", old.record.key.id, part.name().title());
        self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), summary);
        Ok(())
    }

    /// Gives a record that takes the place of another the referral and the ticked box, unless an
    /// earlier try has done so.
    pub(super) async fn mark(
        &mut self,
        deal: &Deal,
        part: &CrmPart,
        read: ReadRecord,
        referral: &Referral,
        line: Line,
    ) -> Result<ReadRecord, ConnectError> {
        let ReadRecord { record, mapping } = &read;
        let control = mapping.control();
        let ticked = record.fields.get(&control.sync).and_then(Json::as_bool) == Some(true);
        if ticked && carried(&read) == Some(referral.id()) {
            return Ok(read);
        }
        let mut fields: Fields = self.bookkeeping(&read, &[line], Standing::InSync, None);
        fields.insert(control.referral_id.clone(), json!(referral.id().as_str()));
        fields.insert(control.sync.clone(), json!(true));
        let expect = record.version.clone();
        let answer = part.crm.update(record, &expect, &fields, mapping.shape()).await;
        part.breaker.learn(&answer, self.around.clock.now());
        let record = answer?;
        let summary =
            format!("Wrote the referral to {} in {}.", record.key.id, part.name().title());
        self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), summary);
        Ok(ReadRecord { record, mapping: read.mapping })
    }

    async fn look_at(
        &self,
        part: &CrmPart,
        key: &RecordKey,
    ) -> Result<Option<ReadRecord>, ConnectError> {
        let Some(mapping) = part.mapping(key.kind) else { return Ok(None) };
        part.pass(self.around.clock.now())?;
        let read = part.crm.fetch(key.kind, &key.id, mapping.shape()).await;
        part.breaker.learn(&read, self.around.clock.now());
        Ok(read?.map(|record| ReadRecord { record, mapping }))
    }

    fn not_relinked(&mut self, deal: &Deal, key: &RecordKey, why: &str) {
        let summary = format!("The deal was not tied to {key}: {why}.");
        self.entry(Some(deal), AuditKind::Refused, "daemon", summary);
    }
}

/// Whether the deal works with this record already.
fn is_at_work(deal: &Deal, key: &RecordKey) -> bool {
    deal.link(key.crm).is_some_and(|link| link.record == *key && !link.is_cut())
}

/// The referral that a record carries.
fn carried(read: &ReadRecord) -> Option<ReferralId> {
    let field = &read.mapping.control().referral_id;
    let held = read.record.fields.get(field).and_then(Json::as_str)?;
    ReferralId::parse(held.trim())
}
