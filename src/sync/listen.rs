//! Streams of events beside the feeds: hints that come sooner. The feed stays the one that misses
//! nothing; a stream that fails costs time and nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::account::{Account, Surroundings};
use super::feeds::{Feed, FeedHealth, PollError, Poller};
use super::retry::{Next, Policy};
use crate::connect::error::ConnectError;
use crate::connect::events::{EventBatch, EventHint};
use crate::domain::id::{CrmName, RecordKey, RecordKind};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::store::{CursorMove, DealKey, StoreError};

/// Listens to the stream beside one feed.
pub struct Listener {
    around: Surroundings,
    account: Arc<Account>,
    crm: CrmName,
    kind: RecordKind,
    feed: Arc<Poller>,
    wake: Arc<Notify>,
    policy: Policy,
    health: Mutex<FeedHealth>,
}

impl Listener {
    /// A listener beside `feed`, if that is a feed of a CRM that has a stream of events. It notifies
    /// `wake` when the inbox got something, and hints `feed` when events were lost.
    #[must_use]
    pub fn beside(around: &Surroundings, feed: &Arc<Poller>, wake: &Arc<Notify>) -> Option<Self> {
        let Feed::Crm(crm, kind) = feed.feed() else { return None };
        let account = Arc::clone(feed.account());
        account.part(crm)?.crm.events()?;
        Some(Self {
            around: around.clone(),
            account,
            crm,
            kind,
            feed: Arc::clone(feed),
            wake: Arc::clone(wake),
            policy: Policy::default(),
            health: Mutex::default(),
        })
    }

    /// The account it belongs to.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The name of its place in the store, and of itself.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/events", self.feed.feed().name())
    }

    /// How it is doing; a batch without events is a success too.
    #[must_use]
    pub fn health(&self) -> FeedHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens until `stop`.
    ///
    /// # Errors
    ///
    /// If the store fails; faults of the other side are waited out.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let mut heard = false;
            let ended = tokio::select! {
                ended = self.listen(&mut heard) => ended,
                () = stop.cancelled() => return Ok(()),
            };
            failures = if heard { 0 } else { failures + 1 };
            let nap = match ended {
                Ok(never) => match never {},
                Err(PollError::Store(error)) => return Err(error),
                Err(PollError::Connect(fault)) => self.take_fault(&fault, failures).await?,
            };
            tokio::select! {
                () = self.around.clock.sleep(nap) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Opens the stream where it was left and takes its batches until it breaks.
    async fn listen(&self, heard: &mut bool) -> Result<std::convert::Infallible, PollError> {
        let lost = || ConnectError::Broken("the CRM has no stream of events".to_owned());
        let part = self.account.part(self.crm).ok_or_else(lost)?;
        let source = part.crm.events().ok_or_else(lost)?;
        part.pass(self.around.clock.now())?;
        let place = self.around.store.cursor(&self.account.name, &self.name()).await?;
        let mut stream = source.listen(self.kind, place.as_deref()).await?;
        let mut from_now_on = place.is_none();
        loop {
            let mapping = part.mapping(self.kind).ok_or_else(lost)?;
            let batch = stream.next(mapping.shape()).await?;
            // What changed before the stream began was not told.
            let behind = batch.behind || std::mem::take(&mut from_now_on);
            self.keep(batch).await?;
            *heard = true;
            if behind {
                self.feed.hint();
            }
        }
    }

    /// What follows when the stream broke: the wait before the next one.
    async fn take_fault(
        &self,
        fault: &ConnectError,
        failures: u32,
    ) -> Result<Duration, StoreError> {
        if matches!(fault, ConnectError::CursorExpired) {
            tracing::warn!("The stream's place has expired: the feed is read");
            self.move_to(Vec::new(), None).await?;
            self.feed.hint();
        }
        if !matches!(fault, ConnectError::Throttled(_)) {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            if health.fault.is_none() {
                tracing::warn!("{} broke off: {fault}", self.name());
            }
            health.fault = Some(fault.to_string());
        }
        let jitter = self.around.randomness.unit();
        Ok(match self.policy.next(failures.saturating_sub(1), fault, None, jitter) {
            Next::Again(wait, _) => wait,
            Next::Hold => self.policy.longest,
        })
    }

    /// Makes a batch durable together with the place after it.
    async fn keep(&self, batch: EventBatch) -> Result<(), StoreError> {
        let mut notices = Vec::new();
        for hint in batch.hints {
            let id = hint.id.clone();
            let key = RecordKey { crm: self.crm, kind: self.kind, id };
            if hint.concerns_us || self.is_known(&key).await? {
                notices.push(self.notice(key, hint));
            }
        }
        let fresh = match batch.place {
            Some(place) => self.move_to(notices, Some(place)).await?,
            None if notices.is_empty() => 0,
            None => {
                let now = self.around.clock.now();
                self.around.store.enqueue(notices, Vec::new(), Vec::new(), now).await?
            }
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.last_success = Some(self.around.clock.now());
        health.fault = None;
        health.notices += fresh as u64;
        if fresh > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn move_to(
        &self,
        notices: Vec<NewNotice>,
        place: Option<String>,
    ) -> Result<usize, StoreError> {
        let moved =
            CursorMove { account: self.account.name.clone(), feed: self.name(), cursor: place };
        let now = self.around.clock.now();
        self.around.store.enqueue(notices, vec![moved], Vec::new(), now).await
    }

    async fn is_known(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let key = DealKey::Record(key.clone());
        Ok(self.around.store.deal_by(&self.account.name, &key).await?.is_some())
    }

    fn notice(&self, key: RecordKey, hint: EventHint) -> NewNotice {
        let dedupe =
            (!hint.event_id.is_empty()).then(|| format!("{}/{}/{key}", self.name(), hint.event_id));
        NewNotice {
            account: self.account.name.clone(),
            source: match self.crm {
                CrmName::Dynamics365 => Source::Dynamics365,
                CrmName::Salesforce => Source::Salesforce,
            },
            subject: Subject::Record(key),
            event: hint.event,
            dedupe,
            due: self.around.clock.now(),
        }
    }
}
