//! The verbs of [`Store`], once, for every way of keeping rows.

use std::future::Future;
use std::path::Path;

use async_trait::async_trait;

use super::engine::{
    Rows, Work, deals, ending, export, inbox, lanes, ledger, named, redaction, trail,
};
use super::{
    AuditQuery, Claim, Commit, CursorMove, DeadLetter, DealKey, Lane, LedgerLine, Release, Store,
    StoreError, Verification,
};
use crate::domain::audit::{AuditEntry, NewEntry};
use crate::domain::deal::Deal;
use crate::domain::id::{AccountName, DealId, NoticeId};
use crate::domain::notice::{NewNotice, Notice};
use crate::domain::time::Timestamp;

/// A way of keeping rows. Whoever implements it is a [`Store`].
pub(crate) trait Backend: Send + Sync {
    /// Runs a request. One after another; all of its changes are made and durable when this
    /// returns, or none after an error.
    fn write<T, J>(&self, job: J) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        J: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static;

    /// Reads a few rows; sees everything that was acknowledged.
    fn read<T, J>(&self, job: J) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static;

    /// Reads many rows, without holding up others.
    fn walk<T, J>(&self, job: J) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static;

    /// Reads many rows as they were at one moment, without holding up others.
    fn freeze<T, J>(&self, job: J) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static;

    /// Whether it takes writes.
    fn usable(&self) -> Result<(), StoreError>;
}

#[async_trait]
impl<B: Backend> Store for B {
    async fn enqueue(
        &self,
        notices: Vec<NewNotice>,
        cursors: Vec<CursorMove>,
        entries: Vec<NewEntry>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write(move |work| inbox::enqueue(work, notices, &cursors, entries, now)).await
    }

    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.write(move |work| lanes::claim(work, now, limit)).await
    }

    async fn give_back(&self, lane: &Lane) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.write(move |work| {
            lanes::give_back(work, lane);
            Ok(())
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.write(|work| lanes::next_due(work)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.write(move |work| ending::commit(work, commit)).await
    }

    async fn deal(&self, id: &DealId) -> Result<Option<Deal>, StoreError> {
        let id = id.clone();
        self.read(move |rows| deals::load(rows, &id)).await
    }

    async fn deal_by(
        &self,
        account: &AccountName,
        key: &DealKey,
    ) -> Result<Option<Deal>, StoreError> {
        let (account, key) = (account.clone(), key.clone());
        self.read(move |rows| deals::find(rows, &account, &key)).await
    }

    async fn deals(
        &self,
        account: Option<&AccountName>,
        after: Option<&DealId>,
        limit: usize,
    ) -> Result<Vec<Deal>, StoreError> {
        let (account, after) = (account.cloned(), after.cloned());
        self.walk(move |rows| deals::list(rows, account.as_ref(), after.as_ref(), limit)).await
    }

    async fn cursor(
        &self,
        account: &AccountName,
        feed: &str,
    ) -> Result<Option<String>, StoreError> {
        let (account, feed) = (account.clone(), feed.to_owned());
        self.read(move |rows| named::cursor(rows, &account, &feed)).await
    }

    async fn dead_letters(
        &self,
        account: Option<&AccountName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let account = account.cloned();
        self.walk(move |rows| ending::dead_letters(rows, account.as_ref(), limit)).await
    }

    async fn release(
        &self,
        id: &NoticeId,
        release: Release,
        entry: NewEntry,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |work| ending::release(work, &id, release, entry)).await
    }

    async fn dead_letter(&self, id: &NoticeId) -> Result<Option<DeadLetter>, StoreError> {
        let id = id.clone();
        self.read(move |rows| ending::dead_letter(rows, &id)).await
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.walk(move |rows| inbox::waiting(rows, limit)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let query = query.clone();
        self.walk(move |rows| trail::find(rows, &query)).await
    }

    async fn verify_audit(&self) -> Result<Verification, StoreError> {
        self.freeze(redaction::verify).await
    }

    async fn redact_audit(&self, deal: &DealId, entry: NewEntry) -> Result<usize, StoreError> {
        let deal = deal.clone();
        self.write(move |work| redaction::erase(work, &deal, entry)).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerLine>, StoreError> {
        self.read(ledger::lines).await
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.read(move |rows| named::note(rows, &name)).await
    }

    async fn keep_note(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.write(move |work| named::keep_note(work, &name, value.as_deref())).await
    }

    async fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |rows| named::notes(rows, &prefix)).await
    }

    async fn export(&self, path: &Path) -> Result<u64, StoreError> {
        let path = path.to_owned();
        self.freeze(move |rows| export::write_file(rows, &path)).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.usable()
    }
}
