//! A store that lives as long as its process, for tests and the simulation.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::engine::rows::apply_claims;
use super::engine::{Change, Claims, Rows, Work, identity};
use super::verbs::Backend;

/// Keeps every row in memory; obeys every law of [`Store`](super::Store) but durability.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    claims: Claims,
}

impl State {
    /// Runs one request.
    fn run<T>(
        &mut self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.found()?;
        let mut work = Work::new(&self.rows, &self.claims);
        let answer = job(&mut work)?;
        let (changes, claimed) = work.finish()?;
        self.apply(changes);
        apply_claims(&mut self.claims, claimed);
        Ok(answer)
    }

    /// Begins the store, if it is not begun.
    fn found(&mut self) -> Result<(), StoreError> {
        if identity::identify(&self.rows)?.is_none() {
            let mut work = Work::new(&self.rows, &self.claims);
            identity::found(&mut work, "memory")?;
            let (changes, _) = work.finish()?;
            self.apply(changes);
        }
        Ok(())
    }

    fn apply(&mut self, changes: Change) {
        for (key, value) in changes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets which lanes are claimed, as the end of a process does.
    pub fn restart(&self) {
        self.state().claims.clear();
    }

    /// A request that panicked changed nothing, so the state is whole even then.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryStore {
    async fn write<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.state().run(job)
    }

    async fn read<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        job(&self.state().rows)
    }

    async fn walk<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.read(job).await
    }

    async fn freeze<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        let mut state = self.state();
        state.found()?;
        job(&state.rows)
    }

    fn usable(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
