//! One whole try: read both sides, plan, write, until nothing is left to write.

use std::sync::Arc;

use super::account::{Account, CrmPart, Surroundings};
use super::breaker::Breaker;
use super::columns;
use crate::connect::error::ConnectError;
use crate::domain::audit::{AuditKind, FieldChange, NewEntry};
use crate::domain::deal::{Deal, IntentAction, Link, LinkState, MicrosoftRecord, Target};
use crate::domain::hold::Hold;
use crate::domain::id::{CrmName, RecordKind, ReferralId};
use crate::domain::notice::{Done, NewNotice, Notice, Source, Subject};
use crate::domain::record::Record;
use crate::domain::referral::{Referral, Status};
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::merge::view::RecordView;
use crate::merge::{deadline, plan, sentence};
use crate::store::{Claim, Lane, StoreError};

/// So many rounds of reading and writing in one try; more is a ping-pong.
const MOST_ROUNDS: u32 = 8;

/// How often Microsoft's record is looked at once it has answered.
const RARELY: std::time::Duration = std::time::Duration::from_secs(6 * 60 * 60);

/// How a try went, besides what it committed on the way.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing is left to do.
    Done(Done, &'static str),
    /// Something failed; the retry policy decides what follows.
    Failed(Target, ConnectError),
    /// To be tried again at this time, without blame.
    Later(Timestamp, String),
    /// A person must act.
    Held(Hold),
}

/// One try.
pub(super) struct Attempt<'a> {
    pub(super) around: &'a Surroundings,
    pub(super) account: &'a Account,
    pub(super) lane: Lane,
    pub(super) notices: &'a [Notice],
    /// The version of the mapping files that the try began with.
    pub(super) mapping_version: Arc<String>,
    /// Entries for the next commit.
    pub(super) entries: Vec<NewEntry>,
    /// Notices for the next commit.
    pub(super) follow: Vec<NewNotice>,
    /// Faults of single systems; the others went on.
    pub(super) faults: Vec<(Target, ConnectError)>,
    /// The first hold of any link for a fault.
    pub(super) hold: Option<Hold>,
    /// The first hold of the newest plan: gone as soon as there is no reason for it any more.
    asked: Option<Hold>,
    /// When something is due by itself.
    pub(super) wake: Option<Timestamp>,
}

/// What one round of a try works on.
struct Round<'r> {
    deal: &'r mut Deal,
    referral: &'r mut Referral,
    records: &'r mut Vec<ReadRecord>,
}

/// A CRM record with what it was read by.
pub(super) struct ReadRecord {
    pub(super) record: Record,
    pub(super) mapping: Arc<Mapping>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(around: &'a Surroundings, account: &'a Account, claim: &'a Claim) -> Self {
        Self {
            around,
            account,
            lane: claim.lane.clone(),
            notices: &claim.notices,
            mapping_version: account.mapping_version(),
            entries: Vec::new(),
            follow: Vec::new(),
            faults: Vec::new(),
            hold: None,
            asked: None,
            wake: None,
        }
    }

    /// Runs the try. The deal as it ends up is in the first part, for the last commit.
    ///
    /// # Errors
    ///
    /// Only [`StoreError`]: a fault outside is an ending, not an error of this function.
    pub(super) async fn run(
        &mut self,
        deal: Option<Deal>,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        match deal {
            Some(deal) => self.bring_in_step(deal).await,
            None => match self.lane.subject.clone() {
                Subject::Referral(id) => self.arrive(&id).await,
                Subject::Record(key) => self.offered(&key).await,
                Subject::Deal(_) => Ok((None, Ended::Done(Done::Ignored, "the deal is not known"))),
                Subject::Unusable(reason) => Ok((None, Ended::Held(unusable(&reason)))),
            },
        }
    }

    /// Brings a known deal in step.
    #[allow(clippy::too_many_lines, reason = "one whole try, told in its order")]
    pub(super) async fn bring_in_step(
        &mut self,
        mut deal: Deal,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let was_held = deal.hold().is_some();
        for link in &mut deal.links {
            link.hold = None;
        }
        let Some(referral_id) = deal.referral_id.clone() else {
            return self.continue_offer(deal).await;
        };
        let mut referral = match self.fetch_referral(&referral_id).await {
            Ok(Some(referral)) => referral,
            Ok(None) => return Ok((Some(deal), self.not_there_yet())),
            Err(fault) => return Ok((Some(deal), Ended::Failed(Target::PartnerCenter, fault))),
        };
        if !was_held && self.is_echo(&deal, &referral) {
            return Ok((
                Some(deal),
                Ended::Done(Done::Ignored, "nothing changed since it was last in step"),
            ));
        }
        if let Err(fault) = self.look_at_microsoft(&mut deal, &referral).await {
            self.faults.push((Target::PartnerCenter, fault));
        }
        let mut records = self.read_records(&mut deal, &referral).await?;
        columns::heed(&mut deal, &records);
        self.recover(&mut deal, &referral, &records).await?;
        for _ in 0..MOST_ROUNDS {
            let plan = self.plan(&deal, &referral, &records);
            self.note_holds(&mut deal, &plan);
            if plan.writes_nothing() || self.account.behaviour.shadow {
                self.record_shadow(&deal, &plan);
                self.settle_quietly(&mut deal, &plan, &referral, &records);
                self.deadlines(&mut deal, &referral, plan.wait);
                self.register(&mut deal, &mut referral, &mut records).await?;
                return Ok(self.close(deal, &referral, &records));
            }
            let asked_by = asked_by(&plan);
            let faults = self.execute(&mut deal, plan, &mut referral, &mut records).await?;
            let round = Round { deal: &mut deal, referral: &mut referral, records: &mut records };
            if let Some(ended) = self.after(round, faults, &asked_by).await? {
                return Ok((Some(deal), ended));
            }
        }
        let hold = Hold::new(
            "ping_pong",
            "Both sides keep changing this deal in answer to each other.",
            "Look for a workflow or another sync tool that edits the same fields, then retry.",
        );
        for link in &mut deal.links {
            link.hold = Some(hold.clone());
        }
        Ok((Some(deal), Ended::Held(hold)))
    }

    /// Prepares the next round after the faults of one, every one of them; `Some` if the try is over.
    async fn after(
        &mut self,
        round: Round<'_>,
        faults: Vec<(Target, ConnectError)>,
        asked_by: &[CrmName],
    ) -> Result<Option<Ended>, StoreError> {
        let Round { deal, referral, records } = round;
        let mut read_again = false;
        let mut over = None;
        for (target, fault) in faults {
            match (target, fault) {
                (Target::PartnerCenter, ConnectError::Stale) => {
                    match self.fetch_referral(&referral.id()).await {
                        Ok(Some(fresh)) => *referral = fresh,
                        Ok(None) => over = Some(self.not_there_yet()),
                        Err(fault) => over = Some(Ended::Failed(target, fault)),
                    }
                }
                (Target::Crm(_), ConnectError::Stale) => read_again = true,
                (Target::PartnerCenter, fault) => {
                    if !self.hold_links(deal, target, asked_by, &fault) {
                        over = Some(Ended::Failed(target, fault));
                        continue;
                    }
                    self.tell_held(deal, records).await;
                    records.retain(|read| !asked_by.contains(&read.record.key.crm));
                }
                (Target::Crm(crm), fault) => {
                    self.fault(deal, target, fault);
                    self.tell_held(deal, records).await;
                    records.retain(|read| read.record.key.crm != crm);
                }
            }
        }
        if read_again && over.is_none() {
            *records = self.read_records(deal, referral).await?;
        }
        Ok(over)
    }

    /// The end of a try in which nothing more is to be written.
    fn close(
        &mut self,
        mut deal: Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> (Option<Deal>, Ended) {
        // Only what is in step everywhere may be taken for an echo.
        let hold = self.hold.clone().or_else(|| self.asked.clone());
        let shadow = self.account.behaviour.shadow;
        let in_step = self.faults.is_empty() && hold.is_none() && !shadow;
        deal.referral_version = if in_step { referral.version() } else { None };
        deal.referral_state = Some(referral.state());
        for read in records {
            let sealed = view(read, referral).is_sealed();
            if let Some(link) = deal.link_mut(read.record.key.crm) {
                link.version = (!shadow).then(|| read.record.version.clone());
                if sealed {
                    // Too late for the record: they stay in the local trail.
                    link.pending.clear();
                }
            }
        }
        let ended = if let Some((target, fault)) = self.faults.first() {
            Ended::Failed(*target, fault.clone())
        } else if let Some(hold) = hold {
            Ended::Held(hold)
        } else {
            Ended::Done(Done::Applied, "in step")
        };
        (Some(deal), ended)
    }

    /// Whether nothing can have changed: only Partner Center spoke, and its version is the one of
    /// the last time everything was in step.
    fn is_echo(&self, deal: &Deal, referral: &Referral) -> bool {
        let own = referral.id();
        let only_partner_center = self.notices.iter().all(|notice| {
            let from = matches!(
                notice.notice.source,
                Source::PartnerCenterWebhook | Source::PartnerCenterFeed
            );
            from && notice.attempts == 0 && !speaks_of_others(notice, &own)
        });
        only_partner_center
            && deal.intents.is_empty()
            && deal.referral_version.is_some()
            && deal.referral_version == referral.version()
            && deal.links.iter().all(|link| link.pending.is_empty())
            && self.wanted_crms(deal).iter().all(|part| deal.link(part.name()).is_some())
    }

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
    async fn look_at_microsoft(
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
    async fn read_records(
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
        Ok(records)
    }

    /// Files a fault of one system: a hold of its link where a person must act, else a retry.
    pub(super) fn fault(&mut self, deal: &mut Deal, target: Target, fault: ConnectError) {
        if !self.hold_link(deal, target, &fault) {
            self.faults.push((target, fault));
        }
    }

    async fn read_record(
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
        if let Some(moved) = self.follow_conversion(deal, part, &record, referral).await? {
            return Ok(moved);
        }
        Ok(Ok(self.paused_or_live(deal, ReadRecord { record, mapping })))
    }

    /// Whether a lost record is to be looked for: somebody spoke of it, or everything is compared.
    fn asks_for(&self, link: &Link) -> bool {
        self.notices.iter().any(|notice| {
            let everything = matches!(notice.notice.source, Source::Reconcile | Source::Operator);
            everything || notice.notice.subject == Subject::Record(link.record.clone())
        })
    }

    /// A record that cannot be read any more: the link becomes a tombstone, the referral is left
    /// alone. Whether it was deleted or only hidden from us cannot be told.
    fn bury(&mut self, deal: &mut Deal, crm: CrmName) {
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
    fn unbury(&mut self, deal: &mut Deal, crm: CrmName) {
        let Some(link) = deal.link_mut(crm).filter(|link| link.is_cut()) else { return };
        link.state = LinkState::Live;
        let summary = format!("The record in {} is there again; syncing goes on.", crm.title());
        self.entry(Some(deal), AuditKind::Resumed, crm.as_str(), summary);
    }

    /// Follows the seller's check box: un-ticked pauses, ticked again goes on with a merge.
    fn paused_or_live(&mut self, deal: &mut Deal, read: ReadRecord) -> Option<ReadRecord> {
        let crm = read.record.key.crm;
        let control = read.mapping.control();
        let shared = read.record.fields.get(&control.sync).and_then(serde_json::Value::as_bool)
            == Some(true);
        let now_paused = !shared;
        let link = deal.link_mut(crm)?;
        let was_paused = link.state == LinkState::Paused;
        if now_paused == was_paused {
            return (!now_paused).then_some(read);
        }
        link.state = if now_paused { LinkState::Paused } else { LinkState::Live };
        let (kind, word) =
            if now_paused { (AuditKind::Held, "paused") } else { (AuditKind::Resumed, "resumed") };
        if !now_paused {
            link.pending.push(sentence::resumed().0);
        }
        let summary = format!("The seller {word} syncing in {}.", crm.title());
        self.entry(Some(deal), kind, crm.as_str(), summary);
        (!now_paused).then_some(read)
    }

    /// The plan for what was read.
    pub(super) fn plan(
        &self,
        deal: &Deal,
        referral: &Referral,
        records: &[ReadRecord],
    ) -> plan::Plan {
        let situation = crate::merge::view::Situation {
            deal,
            referral,
            records: records.iter().map(|read| view(read, referral)).collect(),
            settings: &self.account.settings,
            now: self.around.clock.now(),
        };
        plan::plan(&situation)
    }

    fn note_holds(&mut self, deal: &mut Deal, plan: &plan::Plan) {
        let asks =
            |link: &Link| link.hold.as_ref().is_some_and(|hold| hold.code == plan::BOTH_CHANGED);
        for link in deal.links.iter_mut().filter(|link| asks(link)) {
            link.hold = None;
        }
        for (crm, hold) in &plan.holds {
            if let Some(link) = deal.link_mut(*crm) {
                link.hold = Some(hold.clone());
            }
        }
        self.asked = plan.holds.first().map(|(_, hold)| hold.clone());
    }

    /// Holds the link that a refusal concerns; `false` if it is no matter for a person.
    pub(super) fn hold_link(
        &mut self,
        deal: &mut Deal,
        target: Target,
        fault: &ConnectError,
    ) -> bool {
        let concerned: Vec<CrmName> = match target {
            Target::PartnerCenter => deal.links.iter().map(|link| link.record.crm).collect(),
            Target::Crm(crm) => vec![crm],
        };
        self.hold_links(deal, target, &concerned, fault)
    }

    /// Holds the links of the CRMs that a refusal concerns; `false` if it is no matter for a person.
    fn hold_links(
        &mut self,
        deal: &mut Deal,
        target: Target,
        concerned: &[CrmName],
        fault: &ConnectError,
    ) -> bool {
        let Some(hold) = hold_for(target, fault) else { return false };
        for link in &mut deal.links {
            if concerned.contains(&link.record.crm) {
                link.hold = Some(hold.clone());
            }
        }
        deal.intents.retain(|intent| intent.target != target);
        let system = match target {
            Target::PartnerCenter => "Microsoft Partner Center",
            Target::Crm(crm) => crm.title(),
        };
        let mut entry = self.new_entry(
            Some(deal),
            AuditKind::Refused,
            target.as_str(),
            format!("{system} refused: {fault}"),
        );
        entry.request_ids = request_id(fault).into_iter().collect();
        self.entries.push(entry);
        self.hold.get_or_insert(hold);
        true
    }

    /// Without anything to write: what both sides agree on becomes the base.
    fn settle_quietly(
        &mut self,
        deal: &mut Deal,
        plan: &plan::Plan,
        referral: &Referral,
        records: &[ReadRecord],
    ) {
        if self.account.behaviour.shadow && !plan.writes_nothing() {
            return;
        }
        for outcome in &plan.links {
            let Some(read) = records.iter().find(|read| read.record.key.crm == outcome.crm) else {
                continue;
            };
            self.conflicts(deal, &outcome.conflicts);
            let view = view(read, referral);
            if let Some(link) = deal.link_mut(outcome.crm) {
                crate::merge::settle::settle(
                    link,
                    outcome,
                    &view.referral_values,
                    &view.record_values,
                    view.stage,
                );
            }
        }
    }

    /// Shadow mode: what would have been written.
    fn record_shadow(&mut self, deal: &Deal, plan: &plan::Plan) {
        if !self.account.behaviour.shadow || plan.writes_nothing() {
            return;
        }
        if let Some(write) = &plan.partner_center {
            let fields = write
                .values
                .values()
                .flatten()
                .map(|(field, value)| changed(field, value))
                .collect();
            let summary = "Would write to Partner Center.".to_owned();
            let mut entry =
                self.new_entry(Some(deal), AuditKind::WouldWrite, "partner_center", summary);
            entry.fields = fields;
            self.entries.push(entry);
        }
        for write in &plan.crms {
            let summary = format!("Would write to {}.", write.crm.title());
            let mut entry =
                self.new_entry(Some(deal), AuditKind::WouldWrite, write.crm.as_str(), summary);
            entry.fields =
                write.values.iter().map(|(field, value)| changed(field, value)).collect();
            self.entries.push(entry);
        }
    }

    /// Warns of deadlines that are near and says when to look again.
    fn deadlines(&mut self, deal: &mut Deal, referral: &Referral, wait: Option<Timestamp>) {
        let now = self.around.clock.now();
        self.wake = wait.into_iter().chain(self.invitation_shows_at(deal)).min();
        self.look_again_at_microsoft(deal, referral);
        let zone = self.account.settings.time_zone.clone();
        let due = deadline::deadlines(referral, deal.microsoft.as_ref());
        for deadline in due.iter().filter(|deadline| deadline.at > now) {
            if deadline.warn_from > now {
                self.wake =
                    Some(self.wake.map_or(deadline.warn_from, |wake| wake.min(deadline.warn_from)));
                continue;
            }
            let key = sentence::key(&format!("deadline:{}", deadline.key));
            let mut told = false;
            for link in deal
                .links
                .iter_mut()
                .filter(|link| link.state == LinkState::Live && !link.told.contains(&key))
            {
                link.told.push(key.clone());
                link.pending.push(sentence::deadline(deadline.what, deadline.at, &zone).0);
                told = true;
            }
            if told {
                let summary = format!("{} by {}.", deadline.what, deadline.at);
                self.entry(Some(deal), AuditKind::Alerted, "daemon", summary);
                self.wake = Some(now);
            }
        }
    }

    /// While Microsoft has not ended its own record, it is looked at again from time to time.
    fn look_again_at_microsoft(&mut self, deal: &Deal, referral: &Referral) {
        let Some(record) = deal.microsoft.as_ref().filter(|record| !record.state.is_terminal())
        else {
            return;
        };
        if referral.state().is_terminal() {
            return;
        }
        let often = self.account.behaviour.related_check;
        let waiting = record.state.status == Status::New;
        let wait = if waiting { often } else { often.max(RARELY) };
        let at = self.around.clock.now().plus(wait);
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
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
fn speaks_of_others(notice: &Notice, own: &ReferralId) -> bool {
    let another = matches!(&notice.notice.subject, Subject::Referral(id) if id != own);
    another || notice.notice.event.starts_with("related-")
}

/// The CRMs whose records asked for what a plan sends to Partner Center; all of them where none did.
fn asked_by(plan: &plan::Plan) -> Vec<CrmName> {
    let write = plan.partner_center.iter().flat_map(|write| write.asked_by.iter().copied());
    let asked: Vec<CrmName> = write.chain(plan.invite).collect();
    if asked.is_empty() { plan.links.iter().map(|link| link.crm).collect() } else { asked }
}

/// One record and the referral, as the record's mapping reads them.
pub(super) fn view<'b>(read: &'b ReadRecord, referral: &Referral) -> RecordView<'b> {
    let mapping = &read.mapping;
    RecordView {
        record: &read.record,
        record_values: mapping.read_record(&read.record.fields),
        referral_values: mapping.read_referral(referral),
        stage: mapping.stage_of(&read.record.fields),
        fields: mapping.fields(),
        control: mapping.control(),
        stages: mapping.stages(),
    }
}

fn changed(field: &str, value: &crate::domain::value::Value) -> FieldChange {
    FieldChange {
        field: field.to_owned(),
        before: crate::domain::value::Value::Null,
        after: value.clone(),
    }
}

fn request_id(fault: &ConnectError) -> Option<String> {
    match fault {
        ConnectError::Rejected(refusal)
        | ConnectError::Exists(refusal)
        | ConnectError::NotFound(refusal) => refusal.request_id.clone(),
        _ => None,
    }
}

/// A genuine event that names no referral.
fn unusable(reason: &str) -> Hold {
    Hold::new(
        "unusable_event",
        format!("An event of Partner Center names no referral: {reason}."),
        "Nothing is lost: the list of referrals covers it. Discard it once you have looked at it.",
    )
}

/// The hold for a fault that only a person can clear.
fn hold_for(target: Target, fault: &ConnectError) -> Option<Hold> {
    let system = match target {
        Target::PartnerCenter => "Microsoft Partner Center",
        Target::Crm(crm) => crm.title(),
    };
    match fault {
        ConnectError::Rejected(refusal) => {
            let fields = if refusal.fields.is_empty() {
                String::new()
            } else {
                format!(" (fields: {})", refusal.fields.join(", "))
            };
            let reason = format!("{system} did not accept a change: {}{fields}", refusal.message);
            let fix = "Correct the value in the record or the rule that refuses it, then retry.";
            Some(Hold::new("rejected", reason, fix).with_evidence(fault.to_string()))
        }
        ConnectError::Ambiguous(ids) => {
            let reason =
                format!("{system} holds several records for this referral: {}.", ids.join(", "));
            let fix = "Keep one of them: empty the Referral Identifier of the others, then retry.";
            Some(Hold::new("two_records", reason, fix))
        }
        _ => None,
    }
}

/// A fresh link.
pub(super) fn link(record: &Record) -> Link {
    Link {
        record: record.key.clone(),
        state: LinkState::Live,
        version: Some(record.version.clone()),
        base: std::collections::BTreeMap::new(),
        base_stage: None,
        hold: None,
        told: Vec::new(),
        columns: std::collections::BTreeMap::new(),
        pending: Vec::new(),
    }
}

/// The breaker of a target.
pub(super) fn breaker(account: &Account, target: Target) -> Option<&Breaker> {
    match target {
        Target::PartnerCenter => Some(&account.breaker),
        Target::Crm(crm) => account.part(crm).map(|part| &part.breaker),
    }
}
