//! Rows in sled: small values in the row itself, large ones in [`Bodies`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bodies::Bodies;
use super::failed;
use crate::store::StoreError;
use crate::store::engine::keys::{Key, Table};
use crate::store::engine::rows::{Row, RowIter};
use crate::store::engine::{Change, Rows};

/// The largest value that is kept in a row, in bytes. With 8 MiB segments sled itself stays whole
/// up to here.
pub(super) const LARGEST_INLINE: usize = 64 << 10;

/// First byte of a value that follows.
const INLINE: u8 = 0;

/// First byte of a value whose name in [`Bodies`] follows.
const BODY: u8 = 1;

/// All rows of a store. Clones are the same rows.
#[derive(Clone)]
pub(super) struct SledRows {
    tree: ::sled::Db,
    bodies: Bodies,
    /// Whether any value was ever large; spares every other change a look at what it replaces.
    any_bodies: Arc<AtomicBool>,
    /// What a snapshot that is being read still needs.
    pub(super) past: Arc<Past>,
}

/// Old values of rows that changed while a snapshot is read.
#[derive(Default)]
pub(super) struct Past {
    /// Held by whoever reads a snapshot.
    pub(super) only: Mutex<()>,
    /// The values; `None` while nobody reads one.
    kept: Mutex<Option<Change>>,
}

impl Past {
    /// The old values; nothing is applied while they are looked at.
    pub(super) fn kept(&self) -> MutexGuard<'_, Option<Change>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SledRows {
    /// Rows of an open database; large values that a crash left behind are removed.
    pub(super) fn new(tree: ::sled::Db, bodies: Bodies) -> Result<Self, StoreError> {
        let any = tree.scan_prefix([Table::Body as u8]).next().is_some();
        let any_bodies = Arc::new(AtomicBool::new(any));
        let rows = Self { tree, bodies, any_bodies, past: Arc::default() };
        let names = rows.bodies.names()?;
        rows.discard(names)?;
        Ok(rows)
    }

    /// Applies changes, all or nothing, not yet durable. Returns names of large values that may
    /// have lost their last row, for [`SledRows::discard`] once the changes are durable.
    pub(super) fn apply(&self, changes: Change) -> Result<Vec<String>, StoreError> {
        let mut past = self.past.kept();
        if let Some(past) = past.as_mut() {
            for key in changes.keys().filter(|key| !past.contains_key(*key)).collect::<Vec<_>>() {
                past.insert(key.clone(), self.get(key)?);
            }
        }
        let mut batch = ::sled::Batch::default();
        let mut unused = Vec::new();
        for (key, value) in changes {
            if self.any_bodies.load(Ordering::Relaxed)
                && let Some(name) = self.body_of(&key)?
            {
                batch.remove(reference(&name, &key));
                unused.push(name);
            }
            match value {
                None => batch.remove(key),
                Some(value) if value.len() > LARGEST_INLINE => {
                    let name = self.bodies.keep(&value)?;
                    self.any_bodies.store(true, Ordering::Relaxed);
                    batch.insert(reference(&name, &key), &[INLINE]);
                    batch.insert(key, tagged(BODY, name.as_bytes()));
                }
                Some(value) => batch.insert(key, tagged(INLINE, &value)),
            }
        }
        self.tree.apply_batch(batch).map_err(|error| failed("cannot apply", &error))?;
        Ok(unused)
    }

    /// Removes those of the large values that no row names.
    pub(super) fn discard(&self, names: Vec<String>) -> Result<(), StoreError> {
        for name in names {
            if self.tree.scan_prefix(reference(&name, &[])).next().is_none() {
                self.bodies.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The name of the large value that `key` now has.
    fn body_of(&self, key: &[u8]) -> Result<Option<String>, StoreError> {
        let value = self.tree.get(key).map_err(|error| failed("cannot read", &error))?;
        Ok(value.as_deref().and_then(body_name))
    }

    /// The value in a row's bytes.
    fn value_of(&self, key: &[u8], bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match bytes.split_first() {
            Some((&INLINE, value)) => Ok(Some(value.to_vec())),
            Some((&BODY, _)) => self.large_value(key, bytes),
            _ => Err(StoreError::Damaged("a row has no known form".to_owned())),
        }
    }

    /// A large value. Its row may be replaced, and its file removed, between two reads of ours.
    fn large_value(&self, key: &[u8], bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let name = body_name(bytes).unwrap_or_default();
        if let Some(value) = self.bodies.load(&name)? {
            return Ok(Some(value));
        }
        match self.tree.get(key).map_err(|error| failed("cannot read", &error))? {
            Some(now) if now == bytes => {
                Err(StoreError::Damaged(format!("the large value {name} is gone")))
            }
            Some(now) => self.value_of(key, &now),
            None => Ok(None),
        }
    }
}

impl Rows for SledRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tree.get(key).map_err(|error| failed("cannot read", &error))? {
            Some(bytes) => self.value_of(key, &bytes),
            None => Ok(None),
        }
    }

    fn range(&self, from: &[u8], until: &[u8], backwards: bool) -> RowIter<'_> {
        let until = if from <= until { until } else { from };
        let found = self.tree.range::<&[u8], _>(from..until);
        let row = |found: Result<(::sled::IVec, ::sled::IVec), ::sled::Error>| {
            let (key, bytes) = found.map_err(|error| failed("cannot read", &error))?;
            Ok(self.value_of(&key, &bytes)?.map(|value| (key.to_vec(), value)))
        };
        if backwards {
            Box::new(found.rev().map(row).filter_map(Result::<Option<Row>, _>::transpose))
        } else {
            Box::new(found.map(row).filter_map(Result::<Option<Row>, _>::transpose))
        }
    }
}

/// The name of a large value in a row's bytes.
fn body_name(bytes: &[u8]) -> Option<String> {
    let (BODY, name) = bytes.split_first().map(|(tag, name)| (*tag, name))? else { return None };
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The key that says that `key` names the large value `name`.
fn reference(name: &str, key: &[u8]) -> Vec<u8> {
    Key::of(Table::Body).text(name).tail(key).bytes()
}

fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(value);
    bytes
}
