//! The feeds: what changed in each system since we last looked, made durable before the cursor moves.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::account::{Account, CrmPart, Surroundings};
use super::{columns, stages};
use crate::connect::error::ConnectError;
use crate::domain::deal::{Deal, Link};
use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::domain::record::Record;
use crate::domain::referral::Referral;
use crate::domain::time::Timestamp;
use crate::store::{CursorMove, DealKey, StoreError};

/// Pages read in one poll, at most: a feed that never ends is a fault of the other side.
const MOST_PAGES: u32 = 10_000;

/// One feed of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// Partner Center's list by modification time.
    PartnerCenter,
    /// A CRM's change feed for one kind of record.
    Crm(CrmName, RecordKind),
}

impl Feed {
    /// The name of its cursor.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::PartnerCenter => "partner_center".to_owned(),
            Self::Crm(crm, kind) => format!("{crm}/{kind}"),
        }
    }
}

/// How a feed is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FeedHealth {
    /// When it was last read to its end.
    pub last_success: Option<Timestamp>,
    /// Why the last poll failed; `None` if it did not.
    pub fault: Option<String>,
    /// Notices it has put into the inbox since the start.
    pub notices: u64,
}

/// Why a poll ended early.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The other side.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The store; the process must end.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads one feed again and again.
pub struct Poller {
    around: Surroundings,
    account: Arc<Account>,
    feed: Feed,
    every: Duration,
    wake: Arc<Notify>,
    hint: Arc<Notify>,
    start_over: AtomicBool,
    /// The feed is being read from its start, perhaps in several polls.
    full_read: AtomicBool,
    health: Mutex<FeedHealth>,
}

impl Poller {
    /// A poller that reads `feed` each `every`, and at once when `hint` is notified; it notifies
    /// `wake` when the inbox got something.
    #[must_use]
    pub fn new(
        around: Surroundings,
        account: Arc<Account>,
        feed: Feed,
        every: Duration,
        wake: Arc<Notify>,
    ) -> Self {
        let hint = Arc::new(Notify::new());
        Self {
            around,
            account,
            feed,
            every,
            wake,
            hint,
            start_over: AtomicBool::new(false),
            full_read: AtomicBool::new(false),
            health: Mutex::default(),
        }
    }

    /// The account it belongs to.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The feed it reads.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// Asks for a poll now.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Asks for a poll now that reads the feed from its start. A poll under way ends first, so that
    /// its last cursor cannot undo this.
    pub fn start_over(&self) {
        self.start_over.store(true, Ordering::Release);
        self.hint();
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> FeedHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Polls until `stop`.
    ///
    /// # Errors
    ///
    /// If the store fails; faults of the other side are waited out.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            let nap = match self.poll().await {
                Ok(()) => self.every,
                Err(PollError::Store(error)) => return Err(error),
                Err(PollError::Connect(ConnectError::Throttled(wait))) => wait.max(self.every),
                Err(PollError::Connect(_)) => self.every.max(Duration::from_secs(5)),
            };
            tokio::select! {
                () = self.around.clock.sleep(nap) => {}
                () = self.hint.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Reads the feed to its end once.
    ///
    /// # Errors
    ///
    /// A fault of the other side, with everything read so far kept; or of the store.
    #[tracing::instrument(name = "feed.poll", skip_all, fields(feed = %self.feed.name(), account = %self.account.name))]
    pub async fn poll(&self) -> Result<(), PollError> {
        if self.start_over.swap(false, Ordering::AcqRel) {
            self.forget_cursor().await?;
        }
        let polled = match self.feed {
            Feed::PartnerCenter => self.poll_partner_center().await,
            Feed::Crm(crm, kind) => match self.account.part(crm) {
                Some(part) => self.poll_crm(part, kind).await,
                None => Ok(()),
            },
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match &polled {
            Ok(()) => {
                health.last_success = Some(self.around.clock.now());
                health.fault = None;
            }
            Err(error) => {
                if !matches!(error, PollError::Connect(ConnectError::Throttled(_))) {
                    tracing::warn!("The feed could not be read to its end: {error}");
                }
                health.fault = Some(error.to_string());
            }
        }
        polled
    }

    async fn poll_partner_center(&self) -> Result<(), PollError> {
        for _ in 0..MOST_PAGES {
            let cursor = self.around.store.cursor(&self.account.name, &self.feed.name()).await?;
            self.note_start(cursor.as_deref());
            self.account.breaker.pass(self.around.clock.now())?;
            let page = self.account.partner_center.changes(cursor.as_deref()).await;
            self.account.breaker.learn(&page, self.around.clock.now());
            let page = page?;
            let mut notices = Vec::new();
            for referral in &page.referrals {
                if !self.is_known(referral).await? {
                    let subject = Subject::Referral(referral.id());
                    // One that has ended is not begun under any settings.
                    let ended = referral.state().is_terminal();
                    let key = version_key(referral).filter(|_| ended || !self.is_full_read());
                    notices.push(self.notice(subject, "listed", key));
                }
            }
            self.keep(notices, page.cursor).await?;
            if !page.more {
                self.full_read.store(false, Ordering::Release);
                return Ok(());
            }
        }
        Err(ConnectError::Broken("the list of referrals has no end".to_owned()).into())
    }

    /// Whether this very version of a referral is what a deal is in step with.
    async fn is_known(&self, referral: &Referral) -> Result<bool, StoreError> {
        let key = DealKey::Referral(referral.id());
        let deal = self.around.store.deal_by(&self.account.name, &key).await?;
        Ok(deal.is_some_and(|deal| {
            let own = deal.referral_id.as_ref() == Some(&referral.id());
            let microsofts = deal.microsoft.as_ref().is_some_and(|record| {
                record.id == referral.id()
                    && record.state == referral.state()
                    && record.number.as_deref() == referral.text("trackingInfo.microsoftMsxId")
            });
            own && deal.referral_version == referral.version() || microsofts
        }))
    }

    async fn poll_crm(&self, part: &CrmPart, kind: RecordKind) -> Result<(), PollError> {
        let Some(mapping) = part.mapping(kind) else { return Ok(()) };
        let mut full_read: Option<BTreeSet<RecordId>> = None;
        for _ in 0..MOST_PAGES {
            let cursor = self.around.store.cursor(&self.account.name, &self.feed.name()).await?;
            self.note_start(cursor.as_deref());
            if cursor.is_none() && full_read.is_none() {
                full_read = Some(BTreeSet::new());
            }
            part.pass(self.around.clock.now())?;
            let page = part.crm.changes(kind, cursor.as_deref(), mapping.shape()).await;
            part.breaker.learn(&page, self.around.clock.now());
            let page = match page {
                Err(ConnectError::CursorExpired) => {
                    tracing::warn!("The cursor has expired: everything is compared once");
                    self.forget_cursor().await?;
                    full_read = Some(BTreeSet::new());
                    continue;
                }
                other => other?,
            };
            let mut notices = Vec::new();
            for record in &page.changed {
                if let Some(seen) = &mut full_read {
                    seen.insert(record.key.id.clone());
                }
                if self.concerns_us(record, &mapping).await? {
                    let version = Some(record.version.0.clone()).filter(|_| !self.is_full_read());
                    notices.push(self.notice(
                        Subject::Record(record.key.clone()),
                        "changed",
                        version,
                    ));
                }
            }
            for id in &page.deleted {
                let key = RecordKey { crm: part.name(), kind, id: id.clone() };
                // A feed may name a deletion again and again; once it is known it is no news.
                let deal = self.deal_of(&key).await?;
                let links = deal.iter().flat_map(|deal| &deal.links);
                if links.into_iter().any(|link| link.record == key && !link.is_cut()) {
                    notices.push(self.notice(Subject::Record(key), "deleted", None));
                }
            }
            if !page.more
                && let Some(seen) = &full_read
            {
                notices.extend(self.absent(part.name(), kind, seen).await?);
            }
            self.keep(notices, page.cursor).await?;
            if !page.more {
                self.full_read.store(false, Ordering::Release);
                return Ok(());
            }
        }
        Err(ConnectError::Broken("the change feed has no end".to_owned()).into())
    }

    /// Without a cursor everything is read, from here to the feed's end.
    fn note_start(&self, cursor: Option<&str>) {
        if cursor.is_none() {
            self.full_read.store(true, Ordering::Release);
        }
    }

    /// Whether everything is offered again, also what was looked at and ignored: settings may have
    /// changed since.
    fn is_full_read(&self) -> bool {
        self.full_read.load(Ordering::Acquire)
    }

    /// Linked records that a full read did not show: looked at one by one, since absence from a list
    /// is never a deletion.
    async fn absent(
        &self,
        crm: CrmName,
        kind: RecordKind,
        seen: &BTreeSet<RecordId>,
    ) -> Result<Vec<NewNotice>, StoreError> {
        let mut notices = Vec::new();
        let mut after = None;
        loop {
            let deals =
                self.around.store.deals(Some(&self.account.name), after.as_ref(), 500).await?;
            let Some(last) = deals.last() else { return Ok(notices) };
            after = Some(last.id.clone());
            for link in deals.iter().flat_map(|deal| deal.links.iter()) {
                let key = &link.record;
                let ours = key.crm == crm && key.kind == kind && !link.is_cut();
                if ours && !seen.contains(&key.id) {
                    notices.push(self.notice(Subject::Record(key.clone()), "absent", None));
                }
            }
        }
    }

    /// A record concerns us if it is shared, carries a referral or is linked, and is not exactly what
    /// its deal is in step with.
    async fn concerns_us(
        &self,
        record: &Record,
        mapping: &crate::mapping::Mapping,
    ) -> Result<bool, StoreError> {
        let control = mapping.control();
        let shared =
            record.fields.get(&control.sync).and_then(serde_json::Value::as_bool) == Some(true);
        let carries = record.fields.get(&control.referral_id).and_then(serde_json::Value::as_str);
        let deal = self.deal_of(&record.key).await?;
        let Some(deal) = deal else {
            return Ok(shared || carries.is_some_and(|id| !id.is_empty()));
        };
        let was_lead = deal.links.iter().any(|link| link.lead.as_ref() == Some(&record.key));
        if was_lead {
            return Ok(false);
        }
        let link = deal.links.iter().find(|link| link.record == record.key);
        // A new mapping that keeps a value in another field, or reads the stage in another way, is for
        // deals that nobody touches, too.
        let in_step = |link: &Link| {
            let moved =
                columns::have_moved(link, mapping) || stages::is_to_be_looked_at(link, mapping);
            !link.is_cut() && !moved && link.version.as_ref() == Some(&record.version)
        };
        Ok(link.is_none_or(|link| !in_step(link)))
    }

    async fn deal_of(&self, key: &RecordKey) -> Result<Option<Deal>, StoreError> {
        self.around.store.deal_by(&self.account.name, &DealKey::Record(key.clone())).await
    }

    /// A notice of this feed. The same `version` of the same record is the same notice; without one
    /// it is news whenever it is read.
    fn notice(&self, subject: Subject, event: &str, version: Option<String>) -> NewNotice {
        let name = match &subject {
            Subject::Referral(id) => id.to_string(),
            Subject::Record(key) => key.to_string(),
            Subject::Deal(id) => id.to_string(),
            Subject::Unusable(reason) => reason.clone(),
        };
        let source = match self.feed {
            Feed::PartnerCenter => Source::PartnerCenterFeed,
            Feed::Crm(CrmName::Dynamics365, _) => Source::Dynamics365,
            Feed::Crm(CrmName::Salesforce, _) => Source::Salesforce,
        };
        // What was only looked at in shadow mode is still to be done after it.
        let mode = if self.account.behaviour.shadow { "shadow/" } else { "" };
        NewNotice {
            account: self.account.name.clone(),
            source,
            subject,
            event: event.to_owned(),
            dedupe: version.map(|version| format!("{mode}{}/{name}/{version}", self.feed.name())),
            due: self.around.clock.now(),
        }
    }

    /// Notices and cursor together: the cursor never moves past what is not durable.
    async fn keep(&self, notices: Vec<NewNotice>, cursor: String) -> Result<(), StoreError> {
        let moved = CursorMove {
            account: self.account.name.clone(),
            feed: self.feed.name(),
            cursor: Some(cursor),
        };
        let known = self.around.store.cursor(&self.account.name, &self.feed.name()).await?;
        if notices.is_empty() && known == moved.cursor {
            return Ok(());
        }
        let fresh = self
            .around
            .store
            .enqueue(notices, vec![moved], Vec::new(), self.around.clock.now())
            .await?;
        if fresh > 0 {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            health.notices += fresh as u64;
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn forget_cursor(&self) -> Result<(), StoreError> {
        let moved =
            CursorMove { account: self.account.name.clone(), feed: self.feed.name(), cursor: None };
        self.around
            .store
            .enqueue(Vec::new(), vec![moved], Vec::new(), self.around.clock.now())
            .await?;
        Ok(())
    }
}

fn version_key(referral: &Referral) -> Option<String> {
    referral.version().map(|version| version.0)
}
