//! The store on sled 0.34, made durable.
//!
//! * Owns: the directory of a store, its one writer, its marker; no type of sled leaves it.
//! * May use: `domain` and the rules in `store/engine`.
//! * Only the writer thread writes. It takes what has piled up, applies it as one batch, flushes
//!   sled, calls `fdatasync` on sled's file (sled itself does not), and answers only then.
//! * A failed flush or `fdatasync` is never repeated: every waiter and every later call fails, and
//!   the process must end.
//! * Banned: `flush_async` and `watch_prefix` of sled, which deadlock.
//!
//! In the directory: `lock`, `marker`, `data/` (sled's own), `bodies/` (values too large for sled).

mod bodies;
mod directory;
mod marker;
mod restore;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use self::directory::Directory;
use self::rows::SledRows;
use self::snapshot::Snapshot;
use self::writer::{Outcome, Request, Sync, Writer};
use super::StoreError;
use super::engine::{Rows, Work};
use super::verbs::Backend;

pub use self::directory::{holder, is_free};
pub use self::restore::{restore, set_aside};

/// Requests that may wait for the writer; more wait in their callers.
const WAITING_REQUESTS: usize = 4096;

/// The store in one directory, open in this process alone.
///
/// Dropping it answers what waits, brings the marker up to date and closes the directory; that
/// blocks for as long as the disk needs.
#[derive(Debug)]
pub struct SledStore {
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What readers and the writer share. The directory's lock goes last.
struct Shared {
    rows: SledRows,
    failure: OnceLock<StoreError>,
    _directory: Directory,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Shared {
    /// Fails once and for all if a write ever failed.
    fn usable(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

impl SledStore {
    /// Opens the store in `path`, or begins one there. Blocks; call it before the runtime is busy.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::BehindMarker`], [`StoreError::NewerSchema`] and
    /// [`StoreError::Damaged`] as they say; [`StoreError::Failed`] if the disk or sled fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, |sync| sync)
    }

    /// Opens a store whose way to the disk is wrapped, so that a test can make it fail.
    fn open_with(path: &Path, wrap: impl FnOnce(Sync) -> Sync) -> Result<Self, StoreError> {
        let directory = Directory::lock(path)?;
        let (rows, sync) = directory.open_rows()?;
        let mut writer = Writer::new(rows.clone(), wrap(sync));
        writer.identify(&directory)?;
        let shared = Arc::new(Shared { rows, failure: OnceLock::new(), _directory: directory });
        let (requests, waiting) = mpsc::channel(WAITING_REQUESTS);
        let for_writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let writer = thread.spawn(move || writer.run(waiting, &for_writer.failure));
        let writer = writer.map_err(|error| failed("cannot start the writer", &error))?;
        Ok(Self { requests: Some(requests), writer: Some(writer), shared })
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already failed every waiter.
            let _ = writer.join();
        }
    }
}

impl Backend for SledStore {
    async fn write<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.shared.usable()?;
        let (answer, answered) = oneshot::channel();
        let request: Request = Box::new(move |rows, claims| {
            let mut work = Work::new(rows, claims);
            let done = job(&mut work).and_then(|value| Ok((value, work.finish()?)));
            let (value, changes, claimed) = match done {
                Ok((value, (changes, claimed))) => (Ok(value), changes, claimed),
                Err(error) => (Err(error), Default::default(), Vec::new()),
            };
            let answer = Box::new(move |synced: Result<(), StoreError>| {
                answer.send(synced.and(value)).is_ok()
            });
            Outcome { changes, claimed, answer }
        });
        let requests = self.requests.as_ref().ok_or_else(writer_ended)?;
        requests.send(request).await.map_err(|_| writer_ended())?;
        answered.await.map_err(|_| writer_ended())?
    }

    async fn read<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.shared.usable()?;
        job(&self.shared.rows)
    }

    async fn walk<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.shared.usable()?;
        let shared = Arc::clone(&self.shared);
        let walk = tokio::task::spawn_blocking(move || job(&shared.rows));
        walk.await.map_err(|error| failed("a reader ended", &error))?
    }

    async fn freeze<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.shared.usable()?;
        let shared = Arc::clone(&self.shared);
        let walk = tokio::task::spawn_blocking(move || job(&Snapshot::begin(&shared.rows)));
        walk.await.map_err(|error| failed("a reader ended", &error))?
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.shared.usable()?;
        let writes = self.writer.as_ref().is_some_and(|writer| !writer.is_finished());
        if writes { Ok(()) } else { Err(writer_ended()) }
    }
}

/// What a caller hears whose answer will never come.
fn writer_ended() -> StoreError {
    StoreError::Failed("the writer has ended".to_owned())
}

/// An error of the disk or of sled.
fn failed(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{what}: {error}"))
}
