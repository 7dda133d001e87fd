//! The marker: how far the store got, kept outside sled.
//!
//! sled may open empty after a power cut and report no error. The marker tells, so that an empty or
//! older store is refused instead of taken for a new one. It lags a little and never leads.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failed;
use crate::store::StoreError;
use crate::store::engine::export::sync_parent;
use crate::store::engine::identity::Identity;

/// Name of the file.
pub(super) const FILE: &str = "marker";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promise {
    /// The store's id.
    pub(super) store: String,
    /// Changes that were durable when it was written.
    pub(super) sequence: u64,
}

/// The marker of an open store.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
    promise: Promise,
}

impl Marker {
    /// Writes the marker for a store that is known to be as far as `identity` says.
    pub(super) fn write(directory: &Path, identity: Identity) -> Result<Self, StoreError> {
        let promise = Promise { store: identity.id, sequence: identity.sequence };
        let marker = Self { path: directory.join(FILE), promise };
        marker.replace()?;
        Ok(marker)
    }

    /// Writes it again if `sequence`, which is durable, is `lag` or more ahead.
    pub(super) fn follow(&mut self, sequence: u64, lag: u64) -> Result<(), StoreError> {
        if sequence < self.promise.sequence.saturating_add(lag) {
            return Ok(());
        }
        self.promise.sequence = sequence;
        self.replace()
    }

    /// Replaces the file as a whole: written, synced, renamed, the directory synced.
    fn replace(&self) -> Result<(), StoreError> {
        let partial = self.path.with_extension("partial");
        let text = serde_json::to_vec(&self.promise);
        let text = text.map_err(|error| failed("cannot write the marker", &error))?;
        let written = File::create(&partial).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&partial, &self.path))
            .and_then(|()| sync_parent(&self.path))
            .map_err(|error| failed("cannot write the marker", &error))
    }
}

/// What the marker in `directory` says; `None` if there is none.
pub(super) fn read(directory: &Path) -> Result<Option<Promise>, StoreError> {
    let text = match fs::read(directory.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("cannot read the marker", &error)),
    };
    let promise = serde_json::from_slice(&text);
    promise.map(Some).map_err(|_| StoreError::Damaged("the marker file".to_owned()))
}
