//! Versions of the mapping files that were in use: who brought each, when, why and what it changed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::alert;
use super::mapping_start::Begun;
use super::mappings::{compiled, folder, reload_in_turn};
use super::parts::Parts;
use crate::admin::operations::{MappingVersion, OperationError};
use crate::domain::audit::AuditKind;
use crate::domain::digest::sha256;
use crate::domain::id::AccountName;
use crate::domain::time::Timestamp;
use crate::mapping::{MappingFolder, OF_THE_PROGRAM};
use crate::store::{Store, StoreError};
use crate::sync::account::Account;

/// Versions kept for each account.
const VERSIONS: usize = 50;
/// Changed lines kept for each version.
const MOST_LINES: usize = 200;
/// What begins a line of a mapping file that says why it was changed.
const WHY: &str = "# why:";
/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

/// The files of a folder, by name.
pub(super) type Files = BTreeMap<String, String>;

/// A version as it is kept in the store.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) version: MappingVersion,
    pub(super) files: Files,
}

/// The first 12 hex digits of the SHA-256 over names and texts.
pub(super) fn version(files: &Files) -> String {
    let mut bytes = Vec::new();
    for (name, text) in files {
        bytes.extend_from_slice(format!("{name}\0{}\0{text}", text.len()).as_bytes());
    }
    sha256(&bytes).chars().take(12).collect()
}

/// Keeps the version of `files`, unless it is the newest kept one. Without a reason given, the lines
/// `# why: ...` that the files got are the reason.
pub(super) async fn record(
    parts: &Parts,
    account: &AccountName,
    files: Files,
    who: &str,
    why: Option<&str>,
) -> Result<(), StoreError> {
    let versions = kept(parts.around.store.as_ref(), account).await?;
    let newest = versions.last().map(|(_, kept)| kept);
    if newest.is_some_and(|newest| newest.files == files) {
        return Ok(());
    }
    let now = parts.around.clock.now();
    let changes = newest.map(|newest| changed_lines(&newest.files, &files)).unwrap_or_default();
    let why =
        why.map(shortened).or_else(|| newest.and_then(|newest| reason(&newest.files, &files)));
    let summary = match &why {
        Some(why) => format!("Mapping version {} is in use: {why}", version(&files)),
        None => format!("Mapping version {} is in use.", version(&files)),
    };
    let (name, who_came) = (version(&files), who.to_owned());
    let version = MappingVersion { version: name, since: now, who: who_came, why, changes };
    let cause = newest.map(|newest| format!("version {} before", newest.version.version));
    let json = serde_json::to_vec(&Kept { version, files })
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let name = format!("mapping/{account}/{:016}", number_after(versions.last(), now));
    parts.around.store.keep_note(&name, Some(json)).await?;
    let surplus = (versions.len() + 1).saturating_sub(VERSIONS);
    for (name, _) in versions.iter().take(surplus) {
        parts.around.store.keep_note(name, None).await?;
    }
    alert::note(parts, account, AuditKind::Configured, who, summary, cause).await
}

/// The number of the next version: above that of the newest one, whatever the clock says. The first
/// numbers were instants.
fn number_after(newest: Option<&(String, Kept)>, now: Timestamp) -> i64 {
    let number = newest.and_then(|(name, _)| name.rsplit('/').next()?.parse::<i64>().ok());
    number.map_or_else(|| now.as_millis(), |number| now.as_millis().max(number + 1))
}

/// Gives the newest kept version a reason: its files were in use before anyone could say why.
pub(super) async fn give_reason(
    parts: &Parts,
    account: &AccountName,
    who: &str,
    why: &str,
) -> Result<(), StoreError> {
    record(parts, account, parts.mappings.files(account), who, None).await?;
    let Some((name, mut newest)) = kept(parts.around.store.as_ref(), account).await?.pop() else {
        return Ok(());
    };
    let why = shortened(why);
    let summary = format!("Why mapping version {} is in use: {why}", newest.version.version);
    newest.version.why = Some(why);
    let json =
        serde_json::to_vec(&newest).map_err(|error| StoreError::Failed(error.to_string()))?;
    parts.around.store.keep_note(&name, Some(json)).await?;
    alert::note(parts, account, AuditKind::Configured, who, summary, None).await
}

/// The lines that say why, as far as the old files did not have them.
fn reason(old: &Files, new: &Files) -> Option<String> {
    let lines = |files: &Files| {
        let lines = files.values().flat_map(|text| text.lines());
        let said = lines.filter_map(|line| line.trim().strip_prefix(WHY)).map(str::trim);
        said.filter(|why| !why.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = lines(old);
    let mut said = lines(new);
    said.retain(|why| !before.contains(why));
    said.dedup();
    (!said.is_empty()).then(|| shortened(&said.join("; ")))
}

fn shortened(why: &str) -> String {
    why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_REASON).collect()
}

/// The kept versions, oldest first.
pub(super) async fn kept(
    store: &dyn Store,
    account: &AccountName,
) -> Result<Vec<(String, Kept)>, StoreError> {
    let notes = store.notes(&format!("mapping/{account}/")).await?;
    let mut versions = Vec::new();
    for (name, json) in notes {
        let kept = serde_json::from_slice(&json)
            .map_err(|error| StoreError::Damaged(format!("{name}: {error}")))?;
        versions.push((name, kept));
    }
    versions.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(versions)
}

/// The files of the newest kept version; `None` if none is kept.
pub(super) async fn newest(
    store: &dyn Store,
    account: &AccountName,
) -> Result<Option<Files>, StoreError> {
    Ok(kept(store, account).await?.pop().map(|(_, kept)| kept.files))
}

/// Lines that only one of two sets of files has. A file of the program counts only where both have
/// it: to extend it or not is a line of the file that does.
fn changed_lines(old: &Files, new: &Files) -> Vec<String> {
    let only = |files: &Files, others: &Files, sign: char| {
        let mut lines = Vec::new();
        let counts = |name: &str| !name.starts_with(OF_THE_PROGRAM) || others.contains_key(name);
        for (name, text) in files.iter().filter(|(name, _)| counts(name)) {
            let mut other: Vec<&str> =
                others.get(name).map(|text| text.lines().collect()).unwrap_or_default();
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
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
    let versions = kept(parts.around.store.as_ref(), account).await?;
    Ok(versions.into_iter().rev().map(|(_, kept)| kept.version).collect())
}

/// The kept version of that name.
pub(super) async fn find(
    parts: &Parts,
    account: &AccountName,
    wanted: &str,
) -> Result<Kept, OperationError> {
    let versions = kept(parts.around.store.as_ref(), account).await?;
    let found = versions.into_iter().rev().find(|(_, kept)| kept.version.version == wanted);
    found.map(|(_, kept)| kept).ok_or_else(|| OperationError::NotFound {
        what: format!("No mapping version `{wanted}` is kept."),
        fix: "List them with `mapping history`.".to_owned(),
    })
}

/// Puts the files of an earlier version back. Files that it lacks are set aside, not removed.
pub(super) async fn roll_back(
    parts: &Parts,
    account: &Account,
    wanted: &str,
    who: &str,
    why: Option<&str>,
) -> Result<MappingVersion, OperationError> {
    let refused = |what: String, fix: &str| OperationError::Refused { what, fix: fix.to_owned() };
    let found = find(parts, &account.name, wanted).await?;
    let Some(folder) = folder(parts, &account.name) else {
        return Err(refused("The account has no folder of mappings.".to_owned(), "Configure one."));
    };
    // What the files extend is this program's by now.
    let mut own = found.files;
    own.retain(|name, _| !name.starts_with(OF_THE_PROGRAM));
    let read = MappingFolder::of(&format!("version {wanted}"), &own);
    let whole = compiled(&read).map_err(|why| {
        let what =
            format!("With this program, version {wanted} is bad; nothing was changed.\n{why}\n");
        refused(what, "Choose another one of `mapping history`, or correct the files by hand.")
    })?;
    let files = read.texts();
    let back = MappingVersion { version: version(&files), ..found.version };
    let _turn = parts.mappings.turn.lock().await;
    put_back(&folder, &own).map_err(|error| {
        let what = format!("{} cannot be written: {error}.", folder.display());
        refused(what, "Give the daemon's user the right to write there, or copy the files by hand.")
    })?;
    let mut reason = format!("back to version {wanted}");
    reason.extend(why.map(|why| format!(": {why}")));
    if parts.started.is_none() {
        // No daemon runs: the files are used at its next start.
        record(parts, &account.name, files.clone(), who, Some(&reason)).await?;
        parts.mappings.begin_with(&account.name, Begun { files, whole, rejected: None });
        return Ok(back);
    }
    let confirmed = Some(back.version.as_str());
    if let Some(why) = reload_in_turn(parts, account, who, Some(&reason), confirmed).await {
        return Err(refused(format!("The files are back, but not in use: {why}"), "Repair them."));
    }
    Ok(back)
}

/// The mapping files of a folder, also those that cannot be read.
fn on_disk(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.retain(|name| name.ends_with(".toml") && !name.starts_with('.'));
    Ok(names)
}

/// Writes the files, and sets every other mapping file aside.
fn put_back(folder: &Path, files: &Files) -> std::io::Result<()> {
    for (name, text) in files {
        let partial = folder.join(format!(".{name}.partial"));
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, folder.join(name))?;
    }
    for name in on_disk(folder)?.iter().filter(|name| !files.contains_key(*name)) {
        std::fs::rename(folder.join(name), folder.join(format!("{name}.set-aside")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Files, Kept, changed_lines, number_after, on_disk, put_back, reason, version};
    use crate::admin::operations::MappingVersion;
    use crate::domain::time::Timestamp;

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
    fn a_file_of_the_program_counts_where_both_extend_it() {
        let mine = ("a.toml", "extends");
        let old = files(&[mine, ("shipped/b.toml", "one\n")]);
        let new = files(&[mine, ("shipped/b.toml", "two\n")]);
        assert_eq!(changed_lines(&old, &new), ["- shipped/b.toml: one", "+ shipped/b.toml: two"]);
        assert_ne!(version(&old), version(&new), "it is another version");
        assert!(changed_lines(&files(&[mine]), &new).is_empty(), "nobody kept it before");
    }

    #[test]
    fn the_newest_version_has_the_highest_number_whatever_the_clock_says() {
        let at = |millis| Timestamp::from_millis(millis);
        let kept = |number: i64| {
            let version = MappingVersion {
                version: "a".to_owned(),
                since: at(0),
                who: "start".to_owned(),
                why: None,
                changes: Vec::new(),
            };
            (format!("mapping/contoso/{number:016}"), Kept { version, files: Files::new() })
        };
        let table = [
            (None, 2000, 2000, "the first"),
            (Some(kept(1000)), 2000, 2000, "a clock that goes on"),
            (Some(kept(2000)), 2000, 2001, "within one millisecond"),
            (Some(kept(2000)), 500, 2001, "a clock that was set back"),
        ];
        for (newest, now, expected, why) in table {
            assert_eq!(number_after(newest.as_ref(), at(now)), expected, "{why}");
        }
    }

    #[test]
    fn only_what_is_newly_said_is_the_reason() {
        let old = files(&[("a.toml", "# why: the first reason\n[control]\n")]);
        let table = [
            ("# why: the first reason\n# more\n", None, "it is the reason of before"),
            ("# why: a new field\n", Some("a new field"), "said anew"),
            (
                "# why: the first reason\n  # why:  by  Contoso \n",
                Some("by Contoso"),
                "one more line",
            ),
            ("# why:\n", None, "nothing is said"),
        ];
        for (text, expected, why) in table {
            let new = files(&[("a.toml", text)]);
            assert_eq!(reason(&old, &new).as_deref(), expected, "{why}");
        }
    }

    #[test]
    fn files_come_back_and_others_are_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = files(&[("a.toml", "one")]);
        std::fs::write(folder.path().join("a.toml"), "two").expect("written");
        std::fs::write(folder.path().join("b.toml"), "three").expect("written");
        std::fs::write(folder.path().join("c.toml"), b"\xff").expect("written");
        put_back(folder.path(), &old).expect("put back");
        assert_eq!(on_disk(folder.path()).expect("names"), ["a.toml"], "the unreadable one too");
        let text = std::fs::read_to_string(folder.path().join("a.toml")).expect("a file");
        assert_eq!(text, old["a.toml"]);
        assert!(folder.path().join("b.toml.set-aside").exists(), "nothing is removed");
    }
}
