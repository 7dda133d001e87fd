//! The one thread that writes.

use std::io;
use std::sync::OnceLock;

use tokio::sync::mpsc;

use super::directory::Directory;
use super::failed;
use super::marker::Marker;
use super::rows::SledRows;
use crate::store::engine::identity::{self, Identity};
use crate::store::engine::rows::apply_claims;
use crate::store::engine::{Change, Claims, Rows, Work};
use crate::store::{Lane, StoreError};

/// Most requests in one batch.
const BATCH: usize = 256;

/// The marker may lag by this many changes, and never lead.
const MARKER_LAG: u64 = 128;

/// Carries everything applied so far to the disk.
pub(super) type Sync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// One request: runs on the rows as they are when its turn comes.
pub(super) type Request = Box<dyn FnOnce(&dyn Rows, &Claims) -> Outcome + Send>;

/// What a request wants, and how it is told.
pub(super) struct Outcome {
    /// Rows to change.
    pub(super) changes: Change,
    /// Lanes to be claimed or set free.
    pub(super) claimed: Vec<(Lane, bool)>,
    /// Tells the caller; `false` if nobody listens any more.
    pub(super) answer: Answer,
}

/// The writer and all that only it may touch.
pub(super) struct Writer {
    rows: SledRows,
    sync: Sync,
    claims: Claims,
    marker: Option<Marker>,
}

impl Writer {
    /// A writer on `rows`.
    pub(super) fn new(rows: SledRows, sync: Sync) -> Self {
        Self { rows, sync, claims: Claims::new(), marker: None }
    }

    /// Compares the store with its marker, and begins a new one if both are missing.
    pub(super) fn identify(&mut self, directory: &Directory) -> Result<(), StoreError> {
        let found = identity::identify(&self.rows)?;
        let promised = directory.marker()?;
        let identity = match (found, promised) {
            (None, None) => self.begin()?,
            (found, Some(promised)) => directory.compare(found, &promised)?,
            (Some(found), None) => found,
        };
        self.marker = Some(Marker::write(directory.path(), identity)?);
        Ok(())
    }

    /// Begins a store.
    #[expect(
        clippy::disallowed_methods,
        reason = "two stores never share an id, in a simulation too"
    )]
    fn begin(&mut self) -> Result<Identity, StoreError> {
        let id = uuid::Uuid::new_v4().to_string();
        let mut work = Work::new(&self.rows, &self.claims);
        identity::found(&mut work, &id)?;
        let (changes, _) = work.finish()?;
        self.make_durable(changes)?;
        identity::identify(&self.rows)?.ok_or_else(|| StoreError::Damaged("no identity".to_owned()))
    }

    /// Serves requests until nobody can send any more.
    pub(super) fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        failure: &OnceLock<StoreError>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        while requests.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (changes, answers) = self.work_off(batch.drain(..));
            let done = match failure.get() {
                Some(failure) => Err(failure.clone()),
                None if changes.is_empty() => Ok(()),
                None => self.make_durable(changes),
            };
            if let Err(error) = &done {
                let _ = failure.set(error.clone());
            }
            self.answer(answers, &done);
            if done.is_ok()
                && let Err(error) = self.update_marker(MARKER_LAG)
            {
                let _ = failure.set(error);
            }
        }
        if failure.get().is_none()
            && let Err(error) = self.update_marker(1)
        {
            let _ = failure.set(error);
        }
    }

    /// Runs requests one after another, each on what those before it left.
    fn work_off(&mut self, requests: impl Iterator<Item = Request>) -> (Change, Vec<Waiter>) {
        let nothing = Claims::new();
        let mut so_far = Work::new(&self.rows, &nothing);
        let mut answers = Vec::new();
        for request in requests {
            let Outcome { changes, claimed, answer } = request(&so_far, &self.claims);
            so_far.changes.extend(changes);
            let taken = claimed.iter().filter(|(_, taken)| *taken);
            answers.push((answer, taken.map(|(lane, _)| lane.clone()).collect()));
            apply_claims(&mut self.claims, claimed);
        }
        (so_far.changes, answers)
    }

    /// Applies changes, all or nothing, and waits for the disk.
    fn make_durable(&mut self, changes: Change) -> Result<(), StoreError> {
        let unused = self.rows.apply(changes)?;
        (self.sync)().map_err(|error| failed("cannot reach the disk", &error))?;
        self.rows.discard(unused)
    }

    /// Tells every caller, and sets lanes free whose claimer went away.
    fn answer(&mut self, waiters: Vec<Waiter>, done: &Result<(), StoreError>) {
        for (answer, taken) in waiters {
            if !answer(done.clone()) {
                for lane in taken {
                    self.claims.remove(&lane);
                }
            }
        }
    }

    /// Brings the marker up to date if it lags by `lag` changes.
    fn update_marker(&mut self, lag: u64) -> Result<(), StoreError> {
        let (Some(marker), Some(identity)) = (&mut self.marker, identity::identify(&self.rows)?)
        else {
            return Ok(());
        };
        marker.follow(identity.sequence, lag)
    }
}

/// A caller who waits for the disk: how to tell it, and the lanes it claimed.
type Waiter = (Answer, Vec<Lane>);

/// Tells one caller; `false` if nobody listens any more.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) -> bool + Send>;
