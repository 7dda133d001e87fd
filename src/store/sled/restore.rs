//! A store from an export.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{self, Directory};
use super::failed;
use super::marker::{self, Marker};
use crate::store::StoreError;
use crate::store::engine::identity;
use crate::store::engine::{Change, Rows};
use crate::store::engine::{deals, export};

/// Rows that are applied together.
const ROWS_AT_ONCE: usize = 1000;

/// Rebuilds the store in `path` from the export at `from`, and returns the number of rows.
///
/// A store that is already there is moved to `replaced-1` (or the next free number) beside it, and
/// only after the export has been read to its end. Interrupted at any point, the directory either
/// opens as before or is refused as behind its marker, and restoring can be repeated.
///
/// What both sides of a deal last agreed on is marked as old ([`Deal::doubt`]): they may have agreed
/// on something else since the export.
///
/// [`Deal::doubt`]: crate::domain::deal::Deal::doubt
///
/// # Errors
///
/// [`StoreError::Locked`] if the store is open; [`StoreError::Damaged`] if the export is not whole;
/// [`StoreError::Failed`] if the disk fails.
pub fn restore(from: &Path, path: &Path) -> Result<u64, StoreError> {
    let directory = Directory::lock(path)?;
    let building = path.join("restoring");
    remove_folder(&building).map_err(|error| failed("cannot clean up", &error))?;
    fs::create_dir_all(&building).map_err(|error| failed("cannot begin", &error))?;
    let (count, identity) = build(from, &building)?;
    swap(directory.path(), &building).map_err(|error| failed("cannot move the store", &error))?;
    Marker::write(directory.path(), identity)?;
    remove_folder(&building).map_err(|error| failed("cannot clean up", &error))?;
    Ok(count)
}

/// Builds a complete, durable store in `building`.
fn build(from: &Path, building: &Path) -> Result<(u64, identity::Identity), StoreError> {
    let (rows, mut sync) = directory::open_rows(building)?;
    let mut changes = Change::new();
    let count = export::read_file(from, &mut |row| {
        let (key, value) = deals::doubted(row)?;
        changes.insert(key, Some(value));
        if changes.len() >= ROWS_AT_ONCE {
            rows.apply(std::mem::take(&mut changes))?;
        }
        Ok(())
    })?;
    rows.apply(changes)?;
    sync().map_err(|error| failed("cannot reach the disk", &error))?;
    let identity = identity::identify(&rows as &dyn Rows)?;
    let identity =
        identity.ok_or_else(|| StoreError::Damaged("an export of nothing".to_owned()))?;
    Ok((count, identity))
}

/// Puts what was built in place of what is there, which is kept aside.
fn swap(path: &Path, building: &Path) -> io::Result<()> {
    let parts = ["data", "bodies"];
    if parts.iter().any(|part| path.join(part).exists()) {
        let aside = free_name(path);
        fs::create_dir(&aside)?;
        for part in parts.iter().filter(|part| path.join(part).exists()) {
            fs::rename(path.join(part), aside.join(part))?;
        }
    }
    for part in parts.iter().rev() {
        fs::rename(building.join(part), path.join(part))?;
    }
    fs::File::open(path)?.sync_all()
}

/// Moves the store in `path` aside, so that the next open begins an empty one. Returns where it is now;
/// `None` if there was none. Interrupted at any point, the directory is refused as behind its marker,
/// and this can be repeated.
///
/// # Errors
///
/// [`StoreError::Locked`] if the store is open; [`StoreError::Failed`] if the disk fails.
pub fn set_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let directory = Directory::lock(path)?;
    let parts = ["data", "bodies", marker::FILE];
    if !parts.iter().any(|part| path.join(part).exists()) {
        return Ok(None);
    }
    let aside = free_name(directory.path());
    let moved = fs::create_dir(&aside).and_then(|()| {
        // The marker goes last: without it an empty store would be taken for a new one.
        for part in parts.iter().filter(|part| path.join(part).exists()) {
            fs::rename(path.join(part), aside.join(part))?;
        }
        fs::File::open(path)?.sync_all()
    });
    moved.map_err(|error| failed("cannot move the store", &error))?;
    Ok(Some(aside))
}

/// The first `replaced-…` that does not exist.
fn free_name(path: &Path) -> PathBuf {
    let names = (1u32..).map(|number| path.join(format!("replaced-{number}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.join("replaced"))
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
