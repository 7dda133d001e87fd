//! One whole try: read both sides, plan, write, until nothing is left to write.

use std::sync::Arc;

use super::account::{Account, Surroundings};
use super::breaker::Breaker;
use super::columns;
use super::holds::unusable;
use super::read::speaks_of_others;
use crate::connect::error::ConnectError;
use crate::domain::audit::NewEntry;
use crate::domain::deal::{Deal, Link, LinkState, Standing, Target};
use crate::domain::hold::Hold;
use crate::domain::id::CrmName;
use crate::domain::notice::{Done, NewNotice, Notice, Source, Subject};
use crate::domain::record::Record;
use crate::domain::referral::Referral;
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::merge::plan;
use crate::merge::view::RecordView;
use crate::store::{Claim, Lane, StoreError};

/// So many rounds of reading and writing in one try; more is a ping-pong.
const MOST_ROUNDS: u32 = 8;

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
    pub(super) asked: Option<Hold>,
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
        self.relink(&mut deal, &mut referral).await?;
        let mut records = self.read_records(&mut deal, &referral).await?;
        self.forget_refusals(&mut deal, &referral, &records);
        self.recover(&mut deal, &referral, &records).await?;
        columns::heed_all(&mut deal, &records);
        for _ in 0..MOST_ROUNDS {
            let plan = self.plan(&deal, &referral, &records);
            self.note_holds(&mut deal, &plan);
            self.note_parked(&mut deal, &plan);
            if plan.writes_nothing() || self.account.behaviour.shadow {
                self.record_shadow(&mut deal, &plan, &referral, &records);
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
                    self.tell_held(deal, records).await?;
                    records.retain(|read| !asked_by.contains(&read.record.key.crm));
                }
                (Target::Crm(crm), fault) => {
                    self.fault(deal, target, fault);
                    self.tell_held(deal, records).await?;
                    records.retain(|read| read.record.key.crm != crm);
                }
            }
        }
        if read_again && over.is_none() {
            *records = self.read_records(deal, referral).await?;
            // The admin may have brought other mapping files in the meantime.
            columns::heed_all(deal, records);
        }
        Ok(over)
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
            && deal
                .links
                .iter()
                .all(|link| link.pending.is_empty() && link.standing != Some(Standing::Waiting))
            && self.wanted_crms(deal).iter().all(|part| deal.link(part.name()).is_some())
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
        mapping,
        record_values: mapping.read_record(&read.record.fields),
        referral_values: mapping.read_referral(referral),
        stage: mapping.stage_of(&read.record.fields),
        fields: mapping.fields(),
        control: mapping.control(),
        stages: mapping.stages(),
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
        stage_doubtful: false,
        stage_seen: None,
        hold: None,
        told: Vec::new(),
        columns: std::collections::BTreeMap::new(),
        former: std::collections::BTreeMap::new(),
        lead: None,
        parked: Vec::new(),
        standing: None,
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
