//! The directory of a store: locked, cleaned up, opened, and compared with its marker.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::bodies::Bodies;
use super::failed;
use super::marker::{self, Promise};
use super::rows::SledRows;
use super::writer::Sync;
use crate::store::StoreError;
use crate::store::engine::export::sync_parent;
use crate::store::engine::identity::Identity;

/// Locked by whoever has the store open; holds its process id.
const LOCK: &str = "lock";

/// Fixed when a store begins. Large enough that a value of 64 KB never goes to one of sled's own
/// side files, which it does not sync.
const SEGMENT_BYTES: usize = 8 << 20;

/// What sled may keep in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// sled collects garbage only in this rhythm, so it must have one.
const FLUSH_EVERY_MS: u64 = 500;

/// A directory that no other process has open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, readable by its owner only, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| failed("cannot make the directory", &error))?;
        let options =
            File::options().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = options.map_err(|error| failed("cannot open the lock", &error))?;
        match lock.try_lock() {
            Ok(()) => {
                name_holder(&lock).map_err(|error| failed("cannot write the lock", &error))?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed("cannot lock the directory", &error)),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the marker promises.
    pub(super) fn marker(&self) -> Result<Option<Promise>, StoreError> {
        marker::read(&self.path)
    }

    /// Opens the rows in the directory, and the way to make them durable.
    pub(super) fn open_rows(&self) -> Result<(SledRows, Sync), StoreError> {
        let opened = open_rows(&self.path)?;
        sync_parent(&self.path).map_err(|error| failed("cannot sync the parent", &error))?;
        Ok(opened)
    }

    /// Refuses a store that is older than its marker, or another one.
    pub(super) fn compare(
        &self,
        found: Option<Identity>,
        promised: &Promise,
    ) -> Result<Identity, StoreError> {
        let sequence = found.as_ref().map_or(0, |found| found.sequence);
        match found {
            Some(found) if found.id != promised.store => Err(StoreError::Damaged(format!(
                "the marker belongs to store {}, the data to store {}",
                promised.store, found.id
            ))),
            Some(found) if sequence >= promised.sequence => Ok(found),
            _ => Err(StoreError::BehindMarker {
                path: self.path.display().to_string(),
                found: sequence,
                expected: promised.sequence,
            }),
        }
    }
}

/// Whether it is certain that nobody has the store in `path` open.
#[must_use]
pub fn is_free(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => lock.try_lock_shared().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The id of the process that has, or last had, the store in `path` open; `None` if it cannot be told.
#[must_use]
pub fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path.join(LOCK)).ok()?.trim().parse().ok()
}

/// Writes our process id into the lock, so that whoever is refused can tell who holds it.
fn name_holder(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

/// Opens the rows under `path`, which nobody else has open.
pub(super) fn open_rows(path: &Path) -> Result<(SledRows, Sync), StoreError> {
    let data = path.join("data");
    remove_unfinished_snapshots(&data)
        .map_err(|error| failed("cannot remove an unfinished snapshot", &error))?;
    let config = ::sled::Config::new()
        .path(&data)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    // sled panics on some damaged files instead of returning an error.
    let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
    let opened = opened.map_err(|_| StoreError::Damaged("sled cannot read its files".to_owned()));
    let database = opened?.map_err(|error| failed("sled cannot open", &error))?;
    let file = make_files_durable(path, &data);
    let file = file.map_err(|error| failed("cannot sync the store's files", &error))?;
    let rows = SledRows::new(database.clone(), Bodies::open(&path.join("bodies"))?)?;
    let sync: Sync = Box::new(move || {
        database.flush().map_err(io::Error::other)?;
        file.sync_data()
    });
    Ok((rows, sync))
}

/// Removes what a crash during sled's opening left behind; sled would take it for a snapshot and
/// fail. Without it the log is read again, which gives the same rows.
fn remove_unfinished_snapshots(data: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Syncs what sled does not: its settings and the directories. Returns sled's one large file.
fn make_files_durable(path: &Path, data: &Path) -> io::Result<File> {
    File::open(data.join("conf"))?.sync_all()?;
    let file = File::options().read(true).write(true).open(data.join("db"))?;
    file.sync_all()?;
    File::open(data)?.sync_all()?;
    File::open(path)?.sync_all()?;
    Ok(file)
}
