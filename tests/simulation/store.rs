//! The store as the daemon sees it: the memory store, with a moment before and after each verb that
//! writes, and with the bugs that can be planted in a store.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cosell_sync::domain::audit::{AuditEntry, AuditKind, NewEntry};
use cosell_sync::domain::deal::{Deal, LinkState};
use cosell_sync::domain::id::{AccountName, DealId, NoticeId};
use cosell_sync::domain::notice::{NewNotice, Notice};
use cosell_sync::domain::time::Timestamp;
use cosell_sync::store::memory::MemoryStore;
use cosell_sync::store::{
    AuditQuery, Claim, Commit, CursorMove, DeadLetter, DealKey, Fate, Lane, LedgerLine, Release,
    Store, StoreError, Verification,
};

use crate::mutants::Bug;
use crate::world::{Journal, Shared};

/// The wrapper.
pub(crate) struct SimStore {
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) world: Shared,
}

/// Keeps what both sides of a deal agree on, for those who edit it.
fn remember_agreed(journal: &mut Journal, deal: &Deal) {
    let referral = deal.referral_id.as_ref().map(ToString::to_string).unwrap_or_default();
    journal.agreed.retain(|(object, _), _| *object != referral);
    for link in deal.links.iter().filter(|link| !link.is_cut()) {
        for (field, agreed) in &link.base {
            let there = (referral.clone(), field.clone());
            journal.agreed.entry(there).or_default().push(agreed.referral.clone());
            let here = (link.record.id.to_string(), field.clone());
            journal.agreed.insert(here, vec![agreed.record.clone()]);
        }
    }
}

impl SimStore {
    fn spoil(&self, commit: &mut Commit) {
        let mut world = self.world.lock();
        let Some(deal) = &mut commit.deal else { return };
        let deal_id = deal.id.to_string();
        for id in [&deal.referral_id, &deal.microsoft_referral_id].into_iter().flatten() {
            world.journal.deal_of.insert(id.to_string(), deal_id.clone());
        }
        if let Some(id) = &deal.engagement_id {
            world.journal.deal_of.insert(id.to_string(), deal_id.clone());
        }
        remember_agreed(&mut world.journal, deal);
        for link in &deal.links {
            world.journal.linked.insert(link.record.clone());
            for record in link.records() {
                world.journal.deal_of.insert(record.id.to_string(), deal_id.clone());
            }
        }
        if world.has(Bug::NoIntent) {
            deal.intents.clear();
        }
        if world.has(Bug::LoserNotInIntent) {
            deal.intents.iter_mut().for_each(|intent| intent.losers.clear());
        }
        if world.has(Bug::NoBase) {
            deal.links.iter_mut().for_each(|link| link.base.clear());
        }
        if world.has(Bug::NoTombstone) {
            deal.links.retain(|link| !matches!(link.state, LinkState::Tombstone { .. }));
        }
    }
}

impl SimStore {
    /// I10: whatever was accepted is accounted for at every step, and stays accepted.
    async fn check_books(&self) -> Result<(), StoreError> {
        let lines = self.memory.ledger().await?;
        let mut world = self.world.lock();
        for line in lines {
            let source = line.source.as_str();
            let before = world.journal.accepted.insert(source, line.accepted).unwrap_or(0);
            if !line.balances() || line.accepted < before {
                world.broken("I10", format!("{before} were accepted before {line:?}"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SimStore {
    async fn enqueue(
        &self,
        mut notices: Vec<NewNotice>,
        cursors: Vec<CursorMove>,
        entries: Vec<NewEntry>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.world.moment().await;
        if !cursors.is_empty() {
            let mut world = self.world.lock();
            if world.has(Bug::CursorBeforeNotices) && world.dice.permille(200) {
                notices.clear();
            }
        }
        let fresh = self.memory.enqueue(notices, cursors, entries, now).await?;
        self.check_books().await?;
        self.world.moment().await;
        Ok(fresh)
    }

    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.world.moment().await;
        if self.world.lock().has(Bug::TwoAtOnce) {
            self.memory.restart();
        }
        let claims = self.memory.claim(now, limit).await?;
        for claim in &claims {
            let sources: Vec<&str> =
                claim.notices.iter().map(|notice| notice.notice.event.as_str()).collect();
            self.world.lock().note(format!("claim {:?} {sources:?}", claim.lane.subject));
        }
        self.world.moment().await;
        Ok(claims)
    }

    async fn give_back(&self, lane: &Lane) -> Result<(), StoreError> {
        self.memory.give_back(lane).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.memory.next_due().await
    }

    async fn commit(&self, mut commit: Commit) -> Result<(), StoreError> {
        self.world.moment().await;
        self.spoil(&mut commit);
        if self.world.lock().has(Bug::AuditLost) {
            commit
                .entries
                .retain(|entry| entry.kind != AuditKind::Wrote || entry.at.as_secs() % 5 != 0);
        }
        for entry in &commit.entries {
            self.world
                .lock()
                .note(format!("audit {:?} {} {}", entry.kind, entry.actor, entry.summary));
        }
        if let Some(ending) = &commit.ending {
            let mut world = self.world.lock();
            world.note(format!("ended {:?}", ending.fate));
            if let Fate::Held(hold) = &ending.fate
                && hold.code == "internal_error"
            {
                world.broken("panic", "a try panicked");
            }
        }
        let goes_on = commit.ending.is_none();
        if !(goes_on && self.world.lock().has(Bug::IntentNotDurable)) {
            self.memory.commit(commit).await?;
            self.check_books().await?;
        }
        self.world.moment().await;
        Ok(())
    }

    async fn deal(&self, id: &DealId) -> Result<Option<Deal>, StoreError> {
        self.memory.deal(id).await
    }

    async fn deal_by(
        &self,
        account: &AccountName,
        key: &DealKey,
    ) -> Result<Option<Deal>, StoreError> {
        self.world.moment().await;
        self.memory.deal_by(account, key).await
    }

    async fn deals(
        &self,
        account: Option<&AccountName>,
        after: Option<&DealId>,
        limit: usize,
    ) -> Result<Vec<Deal>, StoreError> {
        self.memory.deals(account, after, limit).await
    }

    async fn cursor(
        &self,
        account: &AccountName,
        feed: &str,
    ) -> Result<Option<String>, StoreError> {
        self.memory.cursor(account, feed).await
    }

    async fn dead_letters(
        &self,
        account: Option<&AccountName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.memory.dead_letters(account, limit).await
    }

    async fn release(
        &self,
        id: &NoticeId,
        release: Release,
        entry: NewEntry,
    ) -> Result<bool, StoreError> {
        self.memory.release(id, release, entry).await
    }

    async fn dead_letter(&self, id: &NoticeId) -> Result<Option<DeadLetter>, StoreError> {
        self.memory.dead_letter(id).await
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.memory.waiting(limit).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.memory.audit(query).await
    }

    async fn verify_audit(&self) -> Result<Verification, StoreError> {
        self.memory.verify_audit().await
    }

    async fn redact_audit(&self, deal: &DealId, entry: NewEntry) -> Result<usize, StoreError> {
        self.memory.redact_audit(deal, entry).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerLine>, StoreError> {
        self.memory.ledger().await
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.note(name).await
    }

    async fn keep_note(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        self.memory.keep_note(name, value).await
    }

    async fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memory.notes(prefix).await
    }

    async fn export(&self, path: &Path) -> Result<u64, StoreError> {
        self.memory.export(path).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.memory.health().await
    }
}
