//! Reads both sides of a deal: the referral, Microsoft's own record, the record of every link.

use super::account::CrmPart;
use super::arrive::Read;
use super::attempt::{Attempt, Ended, ReadRecord};
use super::stages;
use super::write::is_closed_for_good;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, IntentAction, Link, LinkState, MicrosoftRecord, Target};
use crate::domain::id::{CrmName, RecordKind, ReferralId};
use crate::domain::notice::{Done, Notice, Source, Subject};
use crate::domain::record::Record;
use crate::domain::referral::{Referral, Status};
use crate::merge::{plan, sentence};
use crate::store::{DealKey, StoreError};

impl<'a> Attempt<'a> {
    /// The CRMs in which this deal is to be.
    pub(super) fn wanted_crms(&self, _deal: &Deal) -> Vec<&'a CrmPart> {
        self.account.crms.iter().collect()
    }

    /// A referral that cannot be read: perhaps not yet, later perhaps never.
    pub(super) fn not_there_yet(&self) -> Ended {
        let now = self.around.clock.now();
        let first = self.notices.iter().map(|notice| notice.received).min().unwrap_or(now);
        if now.since(first) < self.account.behaviour.not_found_patience {
            let at = now.plus(std::time::Duration::from_secs(20));
            return Ended::Later(at, "the referral cannot be read yet".to_owned());
        }
        Ended::Done(Done::Ignored, "the referral does not exist, or is not visible to this account")
    }

    pub(super) async fn fetch_referral(
        &self,
        id: &ReferralId,
    ) -> Result<Option<Referral>, ConnectError> {
        let now = self.around.clock.now();
        self.account.breaker.pass(now)?;
        let answer = self.account.partner_center.referral(id).await;
        self.account.breaker.learn(&answer, self.around.clock.now());
        answer
    }

    /// Reads Microsoft's own record where somebody spoke of it, or where it is not known yet.
    pub(super) async fn look_at_microsoft(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
    ) -> Result<(), ConnectError> {
        deal.engagement_id = deal.engagement_id.take().or_else(|| referral.engagement_id());
        let own = referral.id();
        let known = deal.microsoft.is_some();
        let spoken_of = self.notices.iter().any(|notice| {
            let source = notice.notice.source;
            speaks_of_others(notice, &own)
                || matches!(source, Source::Reconcile | Source::Operator)
                || source == Source::Daemon && known
        });
        let first_look = deal.microsoft.is_none() && deal.referral_version.is_none();
        let shared = referral.text("type").is_some_and(|kind| kind.eq_ignore_ascii_case("Shared"));
        let now = self.around.clock.now();
        let invited = self.invitation_shows_at(deal).is_some_and(|at| at <= now);
        if !(spoken_of || invited || first_look && shared) {
            return Ok(());
        }
        let Some(engagement) = deal.engagement_id.clone() else { return Ok(()) };
        let parties = self.account.partner_center.engagement(&engagement).await?;
        let microsofts =
            parties.iter().find(|party| party.is_microsofts() && party.id() != referral.id());
        if let Some(record) = microsofts {
            self.remember_microsoft(deal, record);
            self.invited(deal);
        } else if invited {
            deal.intents.retain(|intent| intent.action != IntentAction::Invite);
        }
        Ok(())
    }

    pub(super) fn remember_microsoft(&mut self, deal: &mut Deal, record: &Referral) {
        let read = MicrosoftRecord {
            id: record.id(),
            state: record.state(),
            number: record.text("trackingInfo.microsoftMsxId").map(str::to_owned),
            help: record.text("inviteContext.assistanceRequestCode").map(str::to_owned),
            created: record.created(),
        };
        deal.microsoft_referral_id = Some(read.id.clone());
        if deal.microsoft.as_ref() != Some(&read) {
            let summary = format!("Microsoft's own record of the deal is {}.", read.state);
            self.entry(Some(deal), AuditKind::Fetched, "partner_center", summary);
            deal.microsoft = Some(read);
        }
    }

    /// Reads the record of every link, makes missing ones, follows moved ones. A CRM that fails is
    /// left out; the others go on.
    pub(super) async fn read_records(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
    ) -> Result<Vec<ReadRecord>, StoreError> {
        let mut records = Vec::new();
        for part in self.wanted_crms(deal) {
            let target = Target::Crm(part.name());
            if self.faults.iter().any(|(failed, _)| *failed == target) {
                continue;
            }
            let hold = deal.link(part.name()).and_then(|link| link.hold.as_ref());
            if hold.is_some_and(|hold| hold.code != plan::BOTH_CHANGED) {
                continue;
            }
            let read = match part.pass(self.around.clock.now()) {
                Ok(()) => self.read_record(deal, referral, part).await?,
                Err(open) => Err(open),
            };
            part.breaker.learn(&read, self.around.clock.now());
            match read {
                Ok(Some(read)) => records.push(read),
                Ok(None) => {}
                Err(fault) => self.fault(deal, target, fault),
            }
        }
        // Before anything can fail: what was just made or found is not remembered yet.
        stages::remember_all(deal, &records);
        Ok(records)
    }

    pub(super) async fn read_record(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        part: &CrmPart,
    ) -> Result<Result<Option<ReadRecord>, ConnectError>, StoreError> {
        let Some(link) = deal.link(part.name()).cloned() else {
            return self.make_record(deal, referral, part).await;
        };
        if link.is_cut() && !self.asks_for(&link) {
            return Ok(Ok(None));
        }
        let Some(mapping) = part.mapping(link.record.kind) else { return Ok(Ok(None)) };
        let read = part.crm.fetch(link.record.kind, &link.record.id, mapping.shape()).await;
        let record = match read {
            Ok(Some(record)) => record,
            Ok(None) => {
                if !link.is_cut() {
                    self.bury(deal, part.name());
                }
                return Ok(Ok(None));
            }
            Err(fault) => return Ok(Err(fault)),
        };
        self.unbury(deal, part.name());
        self.heed_stage(deal, &record, &mapping);
        let record = match self.follow_merge(deal, part, record, referral).await? {
            Ok(record) => record,
            Err(fault) => return Ok(Err(fault)),
        };
        let read = ReadRecord { record, mapping };
        if let Some(moved) = self.follow_conversion(deal, part, &read, referral).await? {
            return Ok(moved);
        }
        self.paused_or_live(deal, referral, read).await
    }

    /// A record that was merged into another by its CRM answers under the other's id: the link goes
    /// on with that, unless another deal has it already.
    async fn follow_merge(
        &mut self,
        deal: &mut Deal,
        part: &CrmPart,
        record: Record,
        referral: &Referral,
    ) -> Result<Result<Record, ConnectError>, StoreError> {
        let crm = record.key.crm;
        // One CRM writes an id in two lengths; both are the same record.
        let same = |one: &str, other: &str| one == other || one.get(..15) == other.get(..15);
        let now = record.key.id.as_str();
        let moved = deal.link(crm).filter(|link| {
            let short = crm == CrmName::Salesforce && same(link.record.id.as_str(), now);
            link.record != record.key && !short
        });
        let Some((old, was_live)) =
            moved.map(|link| (link.record.clone(), link.state == LinkState::Live))
        else {
            return Ok(Ok(record));
        };
        let key = DealKey::Record(record.key.clone());
        let other = self.around.store.deal_by(&self.account.name, &key).await?;
        if other.is_some_and(|other| other.id != deal.id) {
            let ids = vec![old.id.to_string(), record.key.id.to_string()];
            return Ok(Err(ConnectError::Ambiguous(ids)));
        }
        let mut record = record;
        if let Some(mapping) = part.mapping(record.key.kind) {
            let read = ReadRecord { record, mapping };
            // The box of the row that is gone was ticked; nobody has un-ticked it.
            let rests = !was_live || self.account.behaviour.shadow || is_closed_for_good(&read);
            let marked = match rests {
                true => Ok(read),
                false => self.mark(deal, part, read, referral, sentence::merged()).await?,
            };
            match marked {
                Ok(read) => record = read.record,
                // Not followed before it is marked: an unmarked row reads as one that was un-ticked.
                Err(fault) => return Ok(Err(fault)),
            }
        }
        if let Some(link) = deal.link_mut(crm) {
            link.record = record.key.clone();
            link.version = None;
        }
        let summary = format!("{old} was merged into {}; the deal goes on with it.", record.key.id);
        self.entry(Some(deal), AuditKind::Linked, crm.as_str(), summary);
        Ok(Ok(record))
    }

    /// Whether a lost record is to be looked for: somebody spoke of it, or everything is compared.
    pub(super) fn asks_for(&self, link: &Link) -> bool {
        self.notices.iter().any(|notice| {
            let everything = matches!(notice.notice.source, Source::Reconcile | Source::Operator);
            everything || notice.notice.subject == Subject::Record(link.record.clone())
        })
    }

    /// A record that cannot be read any more: the link becomes a tombstone, the referral is left
    /// alone. Whether it was deleted or only hidden from us cannot be told.
    pub(super) fn bury(&mut self, deal: &mut Deal, crm: CrmName) {
        deal.intents.retain(|intent| intent.target != Target::Crm(crm));
        if let Some(link) = deal.link_mut(crm) {
            let reason = "the record was deleted, or we may not see it any more".to_owned();
            link.state = LinkState::Tombstone { reason };
        }
        let summary = format!(
            "The record in {} was deleted, or we may not see it any more. The referral was left alone.",
            crm.title()
        );
        self.entry(Some(deal), AuditKind::Alerted, crm.as_str(), summary);
    }

    /// A lost record is there again: its link goes on.
    pub(super) fn unbury(&mut self, deal: &mut Deal, crm: CrmName) {
        let Some(link) = deal.link_mut(crm).filter(|link| link.is_cut()) else { return };
        link.state = LinkState::Live;
        let summary = format!("The record in {} is there again; syncing goes on.", crm.title());
        self.entry(Some(deal), AuditKind::Resumed, crm.as_str(), summary);
    }

    /// Follows the seller's check box: un-ticked pauses, ticked again goes on with a merge.
    pub(super) async fn paused_or_live(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        read: ReadRecord,
    ) -> Result<Read, StoreError> {
        let crm = read.record.key.crm;
        let control = read.mapping.control();
        let shared = read.record.fields.get(&control.sync).and_then(serde_json::Value::as_bool)
            == Some(true);
        let now_paused = !shared;
        let Some(link) = deal.link_mut(crm) else { return Ok(Ok(None)) };
        let was_paused = link.state == LinkState::Paused;
        if now_paused == was_paused {
            return self.rests_or_goes_on(deal, referral, read, now_paused).await;
        }
        link.state = if now_paused { LinkState::Paused } else { LinkState::Live };
        let (kind, word) =
            if now_paused { (AuditKind::Held, "paused") } else { (AuditKind::Resumed, "resumed") };
        if !now_paused {
            link.tell(sentence::resumed().0);
        }
        let summary = format!("The seller {word} syncing in {}.", crm.title());
        self.entry(Some(deal), kind, crm.as_str(), summary);
        self.rests_or_goes_on(deal, referral, read, now_paused).await
    }

    async fn rests_or_goes_on(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        read: ReadRecord,
        paused: bool,
    ) -> Result<Read, StoreError> {
        if !paused {
            return Ok(Ok(Some(read)));
        }
        Ok(self.show_paused(deal, referral, read).await?.map(|()| None))
    }

    /// The kind of record a referral becomes; `None` if leads are switched off or not mapped.
    pub(super) fn kind_for(&self, referral: &Referral, part: &CrmPart) -> Option<RecordKind> {
        let waiting_lead = referral.class().is_lead() && referral.state().status == Status::New;
        let kind = if waiting_lead { RecordKind::Lead } else { RecordKind::Opportunity };
        if kind == RecordKind::Lead && !self.account.behaviour.leads {
            return None;
        }
        part.mapping(kind).map(|_| kind)
    }
}

/// Whether a notice is about another party's referral of the engagement, such as Microsoft's.
pub(super) fn speaks_of_others(notice: &Notice, own: &ReferralId) -> bool {
    let another = matches!(&notice.notice.subject, Subject::Referral(id) if id != own);
    another || notice.notice.event.starts_with("related-")
}
