//! Values too large for sled, each in a synced file of its own that is named by its hash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failed;
use crate::domain::digest::sha256;
use crate::store::StoreError;
use crate::store::engine::export::sync_parent;

/// The folder of large values. Clones are the same folder.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    folder: PathBuf,
}

impl Bodies {
    /// Opens the folder, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let made = fs::create_dir_all(folder).and_then(|()| sync_parent(folder));
        made.map_err(|error| failed("cannot make `bodies`", &error))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Stores a value, durable when this returns, and gives its name.
    pub(super) fn keep(&self, value: &[u8]) -> Result<String, StoreError> {
        let name = sha256(value);
        self.write(&name, value).map_err(|error| failed("cannot store a large value", &error))?;
        Ok(name)
    }

    fn write(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let partial = self.folder.join(format!("{name}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&partial, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }

    /// The value of this name; `None` if there is none.
    pub(super) fn load(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.folder.join(name)) {
            Ok(value) if sha256(&value) == name => Ok(Some(value)),
            Ok(_) => Err(StoreError::Damaged(format!("the large value {name}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("cannot read a large value", &error)),
        }
    }

    /// Removes a value that nothing names any more.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("cannot remove a large value", &error))
            }
            _ => Ok(()),
        }
    }

    /// The names of all files in the folder, whole or not.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = fs::read_dir(&self.folder);
        let names = entries.and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        names.map_err(|error| failed("cannot list large values", &error))
    }
}
