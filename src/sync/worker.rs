//! The claim loop: takes lanes that are due, runs one try of each, commits how it ended.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::account::{Account, Surroundings};
use super::attempt::{Attempt, Ended, breaker};
use super::retry::{Next, Outage, Policy};
use crate::connect::error::ConnectError;
use crate::connect::evidence;
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::deal::{Deal, Standing, Target};
use crate::domain::hold::Hold;
use crate::domain::id::AccountName;
use crate::domain::notice::{Done, NewNotice, Source, Subject};
use crate::domain::time::Timestamp;
use crate::store::{Claim, Commit, Ending, Fate, StoreError};

/// The loop never waits longer than this before it looks again.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// Works the inbox of all accounts.
pub struct Worker {
    around: Surroundings,
    accounts: BTreeMap<AccountName, Arc<Account>>,
    retry: Policy,
    lanes: usize,
    wake: Arc<Notify>,
}

impl Worker {
    /// A worker with at most `lanes` tries at once. `wake` is notified by whoever fills the inbox.
    #[must_use]
    pub fn new(
        around: Surroundings,
        accounts: Vec<Arc<Account>>,
        retry: Policy,
        lanes: usize,
        wake: Arc<Notify>,
    ) -> Self {
        let accounts =
            accounts.into_iter().map(|account| (account.name.clone(), account)).collect();
        Self { around, accounts, retry, lanes: lanes.max(1), wake }
    }

    /// Works until `stop`, then finishes what it holds. Whoever cannot wait drops the future: what
    /// was not committed is claimed again after the next start.
    ///
    /// # Errors
    ///
    /// If the store fails; the process must end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        let mut tries: JoinSet<Result<(), StoreError>> = JoinSet::new();
        while !stop.is_cancelled() {
            let woken = self.wake.notified();
            let room = self.lanes.saturating_sub(tries.len());
            let claims = if room == 0 {
                Vec::new()
            } else {
                self.around.store.claim(self.around.clock.now(), room).await?
            };
            let idle = claims.is_empty();
            for claim in claims {
                let worker = Arc::clone(&self);
                tries.spawn(async move { worker.work(claim).await });
            }
            if idle {
                self.rest(&mut tries, woken, &stop).await?;
            }
        }
        while let Some(ended) = tries.join_next().await {
            ended.unwrap_or_else(|gone| Err(lost(&gone)))?;
        }
        Ok(())
    }

    /// Waits for a try to end, a notice to come, one to become due, or the end.
    async fn rest(
        &self,
        tries: &mut JoinSet<Result<(), StoreError>>,
        woken: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let now = self.around.clock.now();
        let due = self.around.store.next_due().await?;
        let nap = due
            .map_or(LONGEST_NAP, |due| due.since(now).clamp(Duration::from_millis(1), LONGEST_NAP));
        tokio::select! {
            Some(ended) = tries.join_next() => ended.unwrap_or_else(|gone| Err(lost(&gone))),
            () = woken => Ok(()),
            () = self.around.clock.sleep(nap) => Ok(()),
            () = stop.cancelled() => Ok(()),
        }
    }

    /// Runs everything that is due now, one lane after another, until nothing is: for tests and the
    /// simulation. Returns how many tries were made.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn settle(&self) -> Result<u32, StoreError> {
        let mut tries = 0;
        loop {
            let claims = self.around.store.claim(self.around.clock.now(), 1).await?;
            let Some(claim) = claims.into_iter().next() else { return Ok(tries) };
            self.work(claim).await?;
            tries += 1;
        }
    }

    /// One try of one lane, with its end committed. A panic inside holds the deal, it never vanishes.
    #[tracing::instrument(name = "sync.try", skip_all, fields(lane = ?claim.lane.subject, outcome = tracing::field::Empty))]
    async fn work(&self, claim: Claim) -> Result<(), StoreError> {
        evidence::gathering(self.work_once(claim)).await
    }

    async fn work_once(&self, claim: Claim) -> Result<(), StoreError> {
        let Some(account) = self.accounts.get(&claim.lane.account) else {
            let reason = format!("the account `{}` is not configured any more", claim.lane.account);
            let hold =
                Hold::new("no_account", reason, "Put the account back, or discard the notice.");
            return self.finish(&claim, None, Fate::Held(hold), Vec::new(), Vec::new()).await;
        };
        let mut attempt = Attempt::new(&self.around, account, &claim);
        let outcome = AssertUnwindSafe(attempt.run(claim.deal.clone())).catch_unwind().await;
        let (mut deal, ended) = match outcome {
            Ok(outcome) => outcome?,
            Err(_) => (claim.deal.clone(), Ended::Held(panicked())),
        };
        let failed = match &ended {
            Ended::Failed(target, _) => Some(*target),
            _ => None,
        };
        let fate = self.fate(&claim, &deal, ended, &mut attempt.entries);
        if let (Some(failed), Some(deal)) = (failed, &mut deal) {
            self.show(&claim, deal, failed, &fate, &mut attempt).await?;
        }
        if let (Some(wake), Some(deal), Fate::Done(_) | Fate::Held(_)) =
            (attempt.wake, &deal, &fate)
        {
            attempt.follow.push(later(account, deal, wake));
        }
        self.finish(&claim, deal, fate, attempt.entries, attempt.follow).await
    }

    /// What becomes of the notices.
    fn fate(
        &self,
        claim: &Claim,
        deal: &Option<Deal>,
        ended: Ended,
        entries: &mut Vec<NewEntry>,
    ) -> Fate {
        let now = self.around.clock.now();
        match ended {
            Ended::Done(done, why) => {
                if done == Done::Ignored && deal.is_none() {
                    let summary =
                        format!("{} was ignored: {why}.", subject_name(&claim.lane.subject));
                    entries.push(self.entry(claim, deal, AuditKind::Received, summary));
                }
                Fate::Done(done)
            }
            Ended::Later(at, reason) => Fate::Retry { at, counts: false, reason },
            Ended::Held(hold) => {
                entries.push(self.entry(claim, deal, AuditKind::Held, hold.reason.clone()));
                Fate::Held(hold)
            }
            Ended::Failed(target, fault) => {
                let attempt = claim.notices.iter().map(|notice| notice.attempts).max().unwrap_or(0);
                let outage = self.outage(claim, target);
                match self.retry.next(attempt, &fault, outage, self.around.randomness.unit()) {
                    Next::Again(wait, counts) => {
                        let reason = format!("{}: {fault}", target.as_str());
                        // An open write is told even in an outage: support can look it up.
                        if counts || matches!(fault, ConnectError::Unknown(_)) {
                            entries.push(self.entry(
                                claim,
                                deal,
                                AuditKind::Retried,
                                reason.clone(),
                            ));
                        }
                        Fate::Retry { at: now.plus(wait), counts, reason }
                    }
                    Next::Hold => {
                        let hold = gave_up(target, &fault, attempt + 1);
                        entries.push(self.entry(claim, deal, AuditKind::Held, hold.reason.clone()));
                        Fate::Held(hold)
                    }
                }
            }
        }
    }

    /// Shows the sellers of a deal whose try has failed how it stands: at once where a person must
    /// act, after some minutes where it is tried again.
    async fn show(
        &self,
        claim: &Claim,
        deal: &mut Deal,
        failed: Target,
        fate: &Fate,
        attempt: &mut Attempt<'_>,
    ) -> Result<(), StoreError> {
        let word = match fate {
            Fate::Held(hold) => {
                let concerned = |crm| failed == Target::PartnerCenter || failed == Target::Crm(crm);
                for link in deal.links.iter_mut().filter(|link| concerned(link.record.crm)) {
                    link.hold.get_or_insert_with(|| hold.clone());
                }
                Standing::NeedsAttention
            }
            Fate::Retry { .. }
                if self.age(claim) >= attempt.account.behaviour.show_waiting_after =>
            {
                Standing::Waiting
            }
            Fate::Retry { .. } | Fate::Done(_) => return Ok(()),
        };
        attempt.show_failing(deal, failed, word).await
    }

    /// Since when the oldest notice of a lane waits.
    fn age(&self, claim: &Claim) -> Duration {
        let now = self.around.clock.now();
        let first = claim.notices.iter().map(|notice| notice.received).min().unwrap_or(now);
        now.since(first)
    }

    /// Whether the system as a whole fails, not only for this lane.
    fn outage(&self, claim: &Claim, target: Target) -> Option<Outage> {
        let account = self.accounts.get(&claim.lane.account)?;
        breaker(account, target).filter(|breaker| breaker.is_failing())?;
        Some(Outage { age: self.age(claim) })
    }

    async fn finish(
        &self,
        claim: &Claim,
        deal: Option<Deal>,
        fate: Fate,
        entries: Vec<NewEntry>,
        notices: Vec<NewNotice>,
    ) -> Result<(), StoreError> {
        let outcome = match &fate {
            Fate::Done(_) => "done",
            Fate::Retry { .. } => "retry",
            Fate::Held(_) => "held",
        };
        tracing::Span::current().record("outcome", outcome);
        tracing::info!("A try ended: {outcome}");
        let now = self.around.clock.now();
        let deal = deal.filter(|deal| claim.deal.as_ref() != Some(deal)).map(|mut deal| {
            deal.changed = now;
            deal
        });
        let ending = Ending {
            lane: claim.lane.clone(),
            notices: claim.notices.iter().map(|notice| notice.id.clone()).collect(),
            fate,
        };
        let commit = Commit {
            deal,
            ending: Some(ending),
            notices,
            entries,
            now: Some(now),
            ..Commit::default()
        };
        self.around.store.commit(commit).await
    }

    fn entry(
        &self,
        claim: &Claim,
        deal: &Option<Deal>,
        kind: AuditKind,
        summary: String,
    ) -> NewEntry {
        NewEntry {
            at: self.around.clock.now(),
            account: claim.lane.account.clone(),
            deal: deal.as_ref().map(|deal| deal.id.clone()),
            kind,
            actor: "daemon".to_owned(),
            summary,
            cause: claim.notices.last().map(|notice| format!("notice {}", notice.id)),
            fields: Vec::new(),
            request_ids: open_writes(kind),
            duration_ms: None,
        }
    }
}

/// The request ids of writes that no other entry told of: what became of them is open.
fn open_writes(kind: AuditKind) -> Vec<String> {
    if !matches!(kind, AuditKind::Retried | AuditKind::Held) {
        return Vec::new();
    }
    let ids = evidence::take();
    if !ids.is_empty() {
        tracing::warn!(request_ids = ids.join(" "), "A write at Partner Center did not succeed");
    }
    ids
}

fn subject_name(subject: &Subject) -> String {
    match subject {
        Subject::Referral(id) => format!("Referral {id}"),
        Subject::Record(key) => format!("Record {key}"),
        Subject::Deal(id) => format!("Deal {id}"),
        Subject::Unusable(reason) => format!("An event ({reason})"),
    }
}

/// A try that ended without committing: what it held must be claimed anew, by a fresh process.
fn lost(gone: &JoinError) -> StoreError {
    StoreError::Failed(format!("a try was lost before it was committed: {gone}"))
}

fn panicked() -> Hold {
    Hold::new(
        "internal_error",
        "The daemon made a mistake while it worked on this deal. Nothing is lost.",
        "Report it with the output of `cosell-sync why`, then retry.",
    )
}

/// The system failed more often than a try is repeated.
fn gave_up(target: Target, fault: &ConnectError, tries: u32) -> Hold {
    let reason = format!("{tries} tries failed, the last at {}: {fault}", target.as_str());
    Hold::new("gave_up", reason, "Look at the system with `cosell-sync doctor`, then retry.")
        .with_evidence(fault.to_string())
}

/// A notice to look at a deal again at a certain time. One for each moment.
fn later(account: &Account, deal: &Deal, at: Timestamp) -> NewNotice {
    NewNotice {
        account: account.name.clone(),
        source: Source::Daemon,
        subject: Subject::Deal(deal.id.clone()),
        event: "deadline".to_owned(),
        dedupe: None,
        due: at,
    }
}
