//! All rows as they were at one moment, read while the writer goes on.
//!
//! sled has no snapshots. While one is read, the writer keeps the old value of every row that it
//! changes, in the same step as the change; the reader takes that value instead of the new one.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use super::rows::SledRows;
use crate::store::StoreError;
use crate::store::engine::rows::{Row, RowIter, overlaid};
use crate::store::engine::{Change, Rows};

/// Rows that are read in one step, during which the writer waits.
const CHUNK: usize = 500;

/// The rows at the moment this was made. Only one exists at a time.
pub(super) struct Snapshot<'a> {
    rows: &'a SledRows,
    _only: MutexGuard<'a, ()>,
}

impl<'a> Snapshot<'a> {
    /// Waits until no other snapshot is read, and begins one.
    pub(super) fn begin(rows: &'a SledRows) -> Self {
        let only = rows.past.only.lock().unwrap_or_else(PoisonError::into_inner);
        *rows.past.kept() = Some(Change::new());
        Self { rows, _only: only }
    }

    /// The next rows of a range.
    fn chunk(&self, from: &[u8], until: &[u8], backwards: bool) -> Result<Vec<Row>, StoreError> {
        let past = self.rows.past.kept();
        let nothing = Change::new();
        let past = past.as_ref().unwrap_or(&nothing);
        let now = self.rows.range(from, until, backwards);
        overlaid(now, past, from, until, backwards).take(CHUNK).collect()
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        *self.rows.past.kept() = None;
    }
}

impl Rows for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let past = self.rows.past.kept();
        let kept = past.as_ref().and_then(|past| past.get(key));
        kept.map_or_else(|| self.rows.get(key), |value| Ok(value.clone()))
    }

    fn range(&self, from: &[u8], until: &[u8], backwards: bool) -> RowIter<'_> {
        let (mut from, mut until) = (from.to_vec(), until.to_vec());
        let mut chunk = VecDeque::new();
        let mut last_chunk = false;
        Box::new(std::iter::from_fn(move || {
            if chunk.is_empty() && !last_chunk {
                match self.chunk(&from, &until, backwards) {
                    Ok(rows) => chunk = rows.into(),
                    Err(error) => {
                        last_chunk = true;
                        return Some(Err(error));
                    }
                }
                last_chunk = chunk.len() < CHUNK;
                match chunk.back() {
                    Some((key, _)) if backwards => until.clone_from(key),
                    Some((key, _)) => from = [key.as_slice(), &[0]].concat(),
                    None => {}
                }
            }
            chunk.pop_front().map(Ok)
        }))
    }
}
