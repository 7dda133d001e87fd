//! Mapping files while the program runs: a good change is in use at once, a bad one is refused and
//! the old stays; every version that was in use is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::alert;
use super::parts::Parts;
use super::schema::{lacking, refined};
use crate::admin::operations::{MappingState, MappingVersion, OperationError};
use crate::domain::audit::AuditKind;
use crate::domain::deal::hex;
use crate::domain::id::AccountName;
use crate::mapping::{LARGEST, Mapping, load_directory, run_cases};
use crate::store::StoreError;
use crate::sync::account::Account;

/// Changes that follow one another this closely are one change.
const SETTLE: Duration = Duration::from_millis(300);
/// The files are compared this often even if the system tells of no change.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Who changed the mappings if the files did.
const WATCHER: &str = "files";
/// Versions kept for each account.
const VERSIONS: usize = 50;
/// Changed lines kept for each version.
const MOST_LINES: usize = 200;

/// The files of a folder, by name.
type Files = BTreeMap<String, String>;

/// What is in use, per account.
#[derive(Default)]
pub(super) struct MappingFiles {
    in_use: Mutex<BTreeMap<AccountName, InUse>>,
    /// Held while files are taken into use: one change after another.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct InUse {
    files: Files,
    rejected: Option<String>,
}

/// A version as it is kept in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    version: MappingVersion,
    files: Files,
}

impl MappingFiles {
    /// Remembers the files that an account was built from.
    pub(super) fn remember(&self, account: &AccountName, folder: &Path) {
        self.change(account, |own| own.files = read(folder));
    }

    /// Whether the files on the disk are in use.
    pub(super) fn state(&self, account: &AccountName) -> MappingState {
        let own = self.in_use(account);
        MappingState { version: version(&own.files), rejected: own.rejected }
    }

    fn in_use(&self, account: &AccountName) -> InUse {
        let all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(account).cloned().unwrap_or_default()
    }

    fn change(&self, account: &AccountName, change: impl FnOnce(&mut InUse)) {
        let mut all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(account.clone()).or_default());
    }
}

/// The mapping files of a folder; those that cannot be read are left to the compiler to report.
fn read(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let wanted = name.ends_with(".toml") && !name.starts_with('.') && is_small(&entry.path());
        wanted.then(|| std::fs::read_to_string(entry.path()).ok().map(|text| (name, text)))?
    });
    named.collect()
}

/// A file that the compiler would read: no pipe, which would keep us waiting, and not too large.
fn is_small(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST)
}

/// The first 12 hex digits of the SHA-256 over names and texts.
fn version(files: &Files) -> String {
    let mut bytes = Vec::new();
    for (name, text) in files {
        bytes.extend_from_slice(format!("{name}\0{}\0{text}", text.len()).as_bytes());
    }
    hex(&bytes).chars().take(12).collect()
}

fn folder(parts: &Parts, account: &AccountName) -> Option<PathBuf> {
    parts.settings(account).map(|own| parts.config.path(&own.sync.mappings))
}

/// Watches the folders of all accounts until `stop`.
pub(super) async fn watch(parts: Arc<Parts>, stop: CancellationToken) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_| {
        // A full channel already tells that something changed.
        let _ = tell.try_send(());
    });
    let mut watcher = watcher
        .inspect_err(|error| tracing::warn!("Folders cannot be watched, only looked at: {error}"))
        .ok();
    for account in &parts.accounts {
        if let Err(error) = record(&parts, &account.name, "start").await {
            tracing::error!("The mapping version could not be kept: {error}");
        }
        let folder = folder(&parts, &account.name);
        if let (Some(watcher), Some(folder)) = (&mut watcher, folder)
            && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
        {
            tracing::warn!("{} cannot be watched, only looked at: {error}", folder.display());
        }
    }
    loop {
        tokio::select! {
            Some(()) = told.recv() => {
                parts.around.clock.sleep(SETTLE).await;
                while told.try_recv().is_ok() {}
            }
            () = parts.around.clock.sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        for account in &parts.accounts {
            reload(&parts, account, WATCHER).await;
        }
    }
}

/// Uses the files on the disk if they changed and are good; tells why they are not in use otherwise.
pub(super) async fn reload(parts: &Parts, account: &Account, who: &str) -> Option<String> {
    let _turn = parts.mappings.turn.lock().await;
    let folder = folder(parts, &account.name)?;
    let files = read(&folder);
    let before = parts.mappings.in_use(&account.name);
    // Asked for by a person, the live schema is compared again too: `provision` may have made fields.
    if files == before.files && who == WATCHER {
        parts.mappings.change(&account.name, |own| own.rejected = None);
        return None;
    }
    match use_files(account, &folder).await {
        Ok(()) => {
            account.name_mappings(&version(&files));
            parts.mappings.change(&account.name, |own| {
                own.files = files;
                own.rejected = None;
            });
            if let Err(error) = record(parts, &account.name, who).await {
                tracing::error!("The mapping version could not be kept: {error}");
            }
            None
        }
        Err(why) => {
            if before.rejected.as_ref() != Some(&why) {
                tracing::error!(account = %account.name, "The mapping files are not used: {why}");
            }
            parts.mappings.change(&account.name, |own| own.rejected = Some(why.clone()));
            Some(why)
        }
    }
}

/// Compiles the files, runs their cases, compares them with the live schema and uses them.
async fn use_files(account: &Account, folder: &Path) -> Result<(), String> {
    let folder = folder.to_owned();
    let compiled = tokio::task::spawn_blocking(move || compiled(&folder)).await;
    let mappings = compiled.map_err(|error| error.to_string())??;
    let mut ready = Vec::new();
    for part in &account.crms {
        let own: Vec<_> =
            mappings.iter().filter(|mapping| mapping.crm() == part.name()).cloned().collect();
        if own.is_empty() {
            return Err(format!("no mapping file is for {}", part.name().title()));
        }
        let no_schema =
            |fault| format!("the schema of {} cannot be read now: {fault}", part.name().title());
        let own = refined(part, own).await.map_err(no_schema)?;
        for mapping in &own {
            let lacking = lacking(part, mapping).await.map_err(no_schema)?;
            if !lacking.is_empty() {
                return Err(format!(
                    "{}: the {} of {} has no {}; make it first, or give its row \
                     `optional_field = true`, then `provision --apply` makes it",
                    mapping.file(),
                    mapping.kind(),
                    part.name().title(),
                    lacking.join(", "),
                ));
            }
        }
        ready.push((part, own));
    }
    // All or nothing: every part is ready before the first is replaced.
    for (part, own) in ready {
        part.replace_mappings(own);
    }
    Ok(())
}

/// The mappings of a folder, if they compile and every case holds.
fn compiled(folder: &Path) -> Result<Vec<Arc<Mapping>>, String> {
    let mappings = load_directory(folder).map_err(|problems| problems.to_string())?;
    for mapping in &mappings {
        let report = run_cases(mapping);
        if let Some(failed) = report.outcomes.iter().find(|outcome| !outcome.passed) {
            let differences = failed.differences.join("; ");
            let (file, name) = (mapping.file(), &failed.name);
            return Err(format!("{file}: the case \"{name}\" does not hold: {differences}"));
        }
    }
    Ok(mappings.into_iter().map(Arc::new).collect())
}

/// Keeps the version in use, unless it is the newest kept one.
async fn record(parts: &Parts, account: &AccountName, who: &str) -> Result<(), StoreError> {
    let files = parts.mappings.in_use(account).files;
    let versions = kept(parts, account).await?;
    let newest = versions.last().map(|(_, kept)| kept);
    if newest.is_some_and(|newest| newest.files == files) {
        return Ok(());
    }
    let now = parts.around.clock.now();
    let changes = newest.map(|newest| changed_lines(&newest.files, &files)).unwrap_or_default();
    let version =
        MappingVersion { version: version(&files), since: now, who: who.to_owned(), changes };
    let summary = format!("Mapping version {} is in use.", version.version);
    let cause = newest.map(|newest| format!("version {} before", newest.version.version));
    let json = serde_json::to_vec(&Kept { version, files })
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let name = format!("mapping/{account}/{:016}", now.as_millis());
    parts.around.store.keep_note(&name, Some(json)).await?;
    let surplus = (versions.len() + 1).saturating_sub(VERSIONS);
    for (name, _) in versions.iter().take(surplus) {
        parts.around.store.keep_note(name, None).await?;
    }
    alert::note(parts, account, AuditKind::Configured, who, summary, cause).await
}

/// The kept versions, oldest first.
async fn kept(parts: &Parts, account: &AccountName) -> Result<Vec<(String, Kept)>, StoreError> {
    let notes = parts.around.store.notes(&format!("mapping/{account}/")).await?;
    let mut versions = Vec::new();
    for (name, json) in notes {
        let kept = serde_json::from_slice(&json)
            .map_err(|error| StoreError::Damaged(format!("{name}: {error}")))?;
        versions.push((name, kept));
    }
    versions.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(versions)
}

/// Lines that only one of two sets of files has.
fn changed_lines(old: &Files, new: &Files) -> Vec<String> {
    let only = |files: &Files, others: &Files, sign: char| {
        let mut lines = Vec::new();
        for (name, text) in files {
            let mut other: Vec<&str> =
                others.get(name).map(|text| text.lines().collect()).unwrap_or_default();
            for line in text.lines() {
                match other.iter().position(|known| *known == line) {
                    Some(at) => drop(other.swap_remove(at)),
                    None => lines.push(format!("{sign} {name}: {line}")),
                }
            }
        }
        lines
    };
    let mut lines = only(old, new, '-');
    lines.extend(only(new, old, '+'));
    lines.truncate(MOST_LINES);
    lines
}

/// Versions that were in use, newest first.
pub(super) async fn history(
    parts: &Parts,
    account: &AccountName,
) -> Result<Vec<MappingVersion>, OperationError> {
    let versions = kept(parts, account).await?;
    Ok(versions.into_iter().rev().map(|(_, kept)| kept.version).collect())
}

/// Puts the files of an earlier version back. Files that it lacks are set aside, not removed.
pub(super) async fn roll_back(
    parts: &Parts,
    account: &Account,
    wanted: &str,
    who: &str,
) -> Result<MappingVersion, OperationError> {
    let refused = |what: String, fix: &str| OperationError::Refused { what, fix: fix.to_owned() };
    let versions = kept(parts, &account.name).await?;
    let found = versions.into_iter().rev().find(|(_, kept)| kept.version.version == wanted);
    let Some((_, found)) = found else {
        return Err(OperationError::NotFound {
            what: format!("No mapping version `{wanted}` is kept."),
            fix: "List them with `mapping history`.".to_owned(),
        });
    };
    let Some(folder) = folder(parts, &account.name) else {
        return Err(refused("The account has no folder of mappings.".to_owned(), "Configure one."));
    };
    put_back(&folder, &found.files).map_err(|error| {
        let what = format!("{} cannot be written: {error}.", folder.display());
        refused(what, "Give the daemon's user the right to write there, or copy the files by hand.")
    })?;
    if parts.started.is_none() {
        // No daemon runs: the files are used at its next start.
        parts.mappings.remember(&account.name, &folder);
        record(parts, &account.name, who).await?;
    } else if let Some(why) = reload(parts, account, who).await {
        return Err(refused(format!("The files are back, but not in use: {why}"), "Repair them."));
    }
    Ok(found.version)
}

fn put_back(folder: &Path, files: &Files) -> std::io::Result<()> {
    for (name, text) in files {
        let partial = folder.join(format!(".{name}.partial"));
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, folder.join(name))?;
    }
    for name in read(folder).keys().filter(|name| !files.contains_key(*name)) {
        std::fs::rename(folder.join(name), folder.join(format!("{name}.set-aside")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Files, changed_lines, put_back, read, version};

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_version_names_its_contents() {
        let one = files(&[("a.toml", "x"), ("b.toml", "y")]);
        assert_eq!(version(&one), version(&one.clone()));
        assert_ne!(version(&one), version(&files(&[("a.toml", "x"), ("b.toml", "z")])));
        assert_ne!(version(&one), version(&files(&[("a.toml", "x\0b.toml\0y")])));
    }

    #[test]
    fn the_lines_that_differ_are_told() {
        let old = files(&[("a.toml", "one\ntwo\n")]);
        let new = files(&[("a.toml", "one\nthree\n"), ("b.toml", "four\n")]);
        let lines = changed_lines(&old, &new);
        assert_eq!(lines, ["- a.toml: two", "+ a.toml: three", "+ b.toml: four"]);
    }

    #[test]
    fn files_come_back_and_others_are_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = files(&[("a.toml", "one")]);
        std::fs::write(folder.path().join("a.toml"), "two").expect("written");
        std::fs::write(folder.path().join("b.toml"), "three").expect("written");
        put_back(folder.path(), &old).expect("put back");
        assert_eq!(read(folder.path()), old);
        assert!(folder.path().join("b.toml.set-aside").exists(), "nothing is removed");
    }
}
