//! A person ties a deal to another record than before.
//!
//! Asked for by a notice of the deal's own lane, so that it never meets another try. Everything is
//! looked at before anything is changed, and each step is skipped where it was done already: a try
//! that is cut off goes on from there.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::account::CrmPart;
use super::attempt::{Attempt, ReadRecord};
use super::write::{is_closed_for_good, token_of};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::IntentAction::Update;
use crate::domain::deal::{Deal, Intent, IntentAction, Standing, Target};
use crate::domain::id::{RecordKey, ReferralId};
use crate::domain::notice::Notice;
use crate::domain::record::{Fields, Record};
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

/// The records that notices ask to tie their deal to.
pub(super) fn asked(notices: &[Notice]) -> Vec<RecordKey> {
    let asked = notices.iter().filter_map(|one| one.notice.event.strip_prefix(ASKED));
    asked.filter_map(RecordKey::parse).collect()
}

impl Attempt<'_> {
    /// Ties the deal to the records that a person asked for. What stands against it is told in the
    /// trail and changes nothing.
    pub(super) async fn relink(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
    ) -> Result<(), StoreError> {
        for key in asked(self.notices) {
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
                Ok(old) => old,
                Err(fault) => return Ok(Err(fault)),
            },
            None => None,
        };
        if let Some(old) = &old {
            self.recover_left(deal, referral, (old, &read));
        }
        let old = old.filter(|old| carried(old) == Some(referral.id()));
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
        if let Err(fault) = self.name_record(deal, referral, &read.record.key).await? {
            return Ok(Err(fault));
        }
        if let Some(old) = old
            && let Err(fault) = self.free(deal, part, &old, &read.record.key).await?
        {
            return Ok(Err(fault));
        }
        let read = match self.mark(deal, part, read, referral, sentence::relinked()).await? {
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

    /// What became of writes to the record that the deal leaves whose answers are missing: afterwards
    /// only the other one is read. What an earlier try has written to that is told when it is marked.
    fn recover_left(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        (old, read): (&ReadRecord, &ReadRecord),
    ) {
        let target = Target::Crm(old.record.key.crm);
        let marked = token_of(read, &read.record).unwrap_or_default();
        let own = |intent: &Intent| {
            let update = matches!(intent.action, Update | IntentAction::Close);
            update && intent.target == target && intent.token != marked
        };
        for intent in deal.intents.extract_if(.., |intent| own(intent)).collect::<Vec<_>>() {
            self.recover_record(deal, &intent, referral, old);
        }
    }

    /// Where the referral names the record that the deal leaves, it is to name the new one.
    async fn name_record(
        &mut self,
        deal: &mut Deal,
        referral: &mut Referral,
        key: &RecordKey,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let named = referral.text("externalReferenceId").map(str::to_owned);
        let old = deal.link(key.crm).map(|link| link.record.id.as_str().to_owned());
        let ended = referral.state().is_terminal();
        if named.is_none() || named != old || old.as_deref() == Some(key.id.as_str()) || ended {
            return Ok(Ok(()));
        }
        let Some(expect) = referral.version() else { return Ok(Ok(())) };
        let changes: BTreeMap<String, Json> =
            BTreeMap::from([("externalReferenceId".to_owned(), json!(key.id.as_str()))]);
        // What an earlier try meant to write is not there.
        deal.intents.retain(|intent| {
            let plain = intent.sent.is_empty() && intent.stage.is_none();
            !(plain && (intent.target, intent.action) == (Target::PartnerCenter, Update))
        });
        let token = self.promise_other(deal, Target::PartnerCenter, Update, &expect);
        for intent in deal.intents.iter_mut().filter(|intent| intent.token == token) {
            intent.from.push(key.crm);
        }
        self.keep(deal).await?;
        let client = &self.account.partner_center;
        let answer = client.patch(&referral.id(), &expect, &changes).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        if !matches!(answer, Err(ConnectError::Unknown(_))) {
            deal.intents.retain(|intent| intent.token != token);
        }
        match answer {
            Ok(fresh) => *referral = fresh,
            Err(fault) => {
                // Whether it landed is to be seen in what is there now.
                if let Ok(Some(fresh)) = self.fetch_referral(&referral.id()).await {
                    *referral = fresh;
                }
                return Ok(Err(fault));
            }
        }
        let summary = "Wrote externalReferenceId to Partner Center.".to_owned();
        self.entry(Some(deal), AuditKind::Wrote, "partner_center", summary);
        Ok(Ok(()))
    }

    /// Takes the referral off the record that the deal leaves, and the box, so that it is not offered
    /// as a deal of its own.
    async fn free(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        old: &ReadRecord,
        to: &RecordKey,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let control = old.mapping.control();
        let told = (Standing::Paused, sentence::left_for(to.id.as_str()));
        let fields = Fields::from_iter([
            (control.referral_id.clone(), Json::Null),
            (control.sync.clone(), json!(false)),
        ]);
        if let Err(fault) = self.write_control(deal, part, old, (fields, told)).await? {
            return Ok(Err(fault));
        }
        let summary = format!("Freed {} in {}.", old.record.key.id, part.name().title());
        self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), summary);
        Ok(Ok(()))
    }

    /// Gives a record that takes the place of another the referral and the ticked box, unless an
    /// earlier try has done so.
    pub(super) async fn mark(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        read: ReadRecord,
        referral: &Referral,
        line: Line,
    ) -> Result<Result<ReadRecord, ConnectError>, StoreError> {
        let control = read.mapping.control();
        let ticked = read.record.fields.get(&control.sync).and_then(Json::as_bool) == Some(true);
        if ticked && carried(&read) == Some(referral.id()) {
            self.tell_landed(deal, &read);
            return Ok(Ok(read));
        }
        let fields = Fields::from_iter([
            (control.referral_id.clone(), json!(referral.id().as_str())),
            (control.sync.clone(), json!(true)),
        ]);
        let what = (fields, (Standing::InSync, line));
        let record = match self.write_control(deal, part, &read, what).await? {
            Ok(record) => record,
            Err(fault) => return Ok(Err(fault)),
        };
        let summary =
            format!("Wrote the referral to {} in {}.", record.key.id, part.name().title());
        self.entry(Some(deal), AuditKind::Wrote, part.name().as_str(), summary);
        Ok(Ok(ReadRecord { record, mapping: read.mapping }))
    }

    /// One write of control fields with a line for the seller, to a record that is not, or not for
    /// long, that of the deal. It goes by an intent, so that the trail tells of it whatever happens.
    async fn write_control(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        read: &ReadRecord,
        (mut fields, (word, line)): (Fields, (Standing, Line)),
    ) -> Result<Result<Record, ConnectError>, StoreError> {
        let expect = read.record.version.clone();
        let token = self.promise_other(deal, Target::Crm(part.name()), Update, &expect);
        self.keep(deal).await?;
        fields.extend(self.bookkeeping(read, &[line], word, Some(&token)));
        let answer = part.crm.update(&read.record, &expect, &fields, read.mapping.shape()).await;
        part.breaker.learn(&answer, self.around.clock.now());
        if !matches!(answer, Err(ConnectError::Unknown(_))) {
            deal.intents.retain(|intent| intent.token != token);
        }
        Ok(answer)
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
