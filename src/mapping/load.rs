//! Mapping files in a directory. The only part of mapping that reads files.

use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::compile::compile;
use super::compiled::Mapping;
use super::problem::{Problem, Problems, Source};

/// The largest mapping file, in bytes.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The files that come with the program, which a customer's file may extend.
const SHIPPED: [(&str, &str); 4] = [
    ("dynamics365-opportunity.toml", include_str!("../../mappings/dynamics365-opportunity.toml")),
    ("dynamics365-lead.toml", include_str!("../../mappings/dynamics365-lead.toml")),
    ("salesforce-opportunity.toml", include_str!("../../mappings/salesforce-opportunity.toml")),
    ("salesforce-lead.toml", include_str!("../../mappings/salesforce-lead.toml")),
];

/// The file of that name as it comes with the program.
#[must_use]
pub fn shipped(name: &str) -> Option<Source> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(Source { name: format!("shipped {name}"), text: (*text).to_owned() })
}

/// Compiles the files that come with the program, for a start without a directory.
///
/// # Errors
///
/// None in a released program: the tests compile the same files.
pub fn load_shipped() -> Result<Vec<Mapping>, Problems> {
    let load = |name: &str| shipped(name).ok_or_else(|| "there is no such file".to_owned());
    SHIPPED.iter().map(|(name, _)| compile(name, &load)).collect()
}

/// Every file that comes with the program: name and text.
#[must_use]
pub fn shipped_files() -> &'static [(&'static str, &'static str)] {
    &SHIPPED
}

/// Compiles every `*.toml` of `directory`. A file that another one extends is only its base. What a
/// file extends is sought in the directory, then among the files that come with the program.
///
/// # Errors
///
/// Every problem of every file: those of [`compile`], files that are too large, not UTF-8, writable
/// by everyone, or links out of the directory, and two files for one kind of record.
pub fn load_directory(directory: &Path) -> Result<Vec<Mapping>, Problems> {
    let names = names(directory)?;
    let mut problems = Vec::new();
    let mut mappings: Vec<Mapping> = Vec::new();
    let bases: Vec<String> = names.iter().filter_map(|name| base(directory, name)).collect();
    for name in names.iter().filter(|name| !bases.contains(name)) {
        let begun = Cell::new(false);
        let load = |wanted: &str| {
            let itself = wanted == name && !begun.replace(true);
            match shipped(wanted) {
                // A file may extend the shipped file of its own name.
                Some(base) if wanted == name && !itself => Ok(base),
                _ => source(directory, wanted, itself),
            }
        };
        match compile(name, &load) {
            Ok(mapping) => mappings.push(mapping),
            Err(found) => problems.extend(found.0),
        }
    }
    for (at, later) in mappings.iter().enumerate() {
        let same =
            |earlier: &&Mapping| (earlier.crm(), earlier.kind()) == (later.crm(), later.kind());
        if let Some(earlier) = mappings[..at].iter().find(same) {
            let message = format!(
                "{} and {} both map the {} of {}",
                earlier.file(),
                later.file(),
                later.kind().as_str(),
                later.crm().title()
            );
            let way = "remove one, or let one extend the other";
            problems.push(Problem::of_file(later.file(), message, Some(way.to_owned())));
        }
    }
    if problems.is_empty() { Ok(mappings) } else { Err(Problems(problems)) }
}

/// The names of the mapping files, sorted.
fn names(directory: &Path) -> Result<Vec<String>, Problems> {
    let shown = directory.display().to_string();
    let fail = |message: String| Problems(vec![Problem::of_file(&shown, message, None)]);
    let entries = fs::read_dir(directory)
        .map_err(|error| fail(format!("the directory cannot be read: {error}")))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml") && !name.starts_with('.'))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(fail("there is no mapping file (*.toml) in the directory".to_owned()));
    }
    Ok(names)
}

/// What the file extends, if it names another file of the directory.
fn base(directory: &Path, name: &str) -> Option<String> {
    let text = read(directory, name).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let base = table.get("extends")?.as_str()?;
    (base != name && directory.join(base).is_file()).then(|| base.to_owned())
}

/// The text of `wanted`: the file `itself`, or what it extends. A base that the directory lacks is
/// the program's own.
fn source(directory: &Path, wanted: &str, itself: bool) -> Result<Source, String> {
    let path = directory.join(wanted);
    if !itself
        && fs::symlink_metadata(&path).is_err()
        && let Some(shipped) = shipped(wanted)
    {
        return Ok(shipped);
    }
    let text = read(directory, wanted)?;
    Ok(Source { name: path.display().to_string(), text })
}

/// Reads one file of the directory, or says why it must not be read.
fn read(directory: &Path, name: &str) -> Result<String, String> {
    let path = inside(directory, name)?;
    // Asked before it is opened too: opening a pipe would wait for a writer.
    if !path.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = fs::File::open(&path).map_err(|error| format!("cannot be read: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.len() > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    refuse_world_writable(&metadata)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("is not UTF-8: byte {} is wrong", error.utf8_error().valid_up_to() + 1)
    })
}

/// The real path of `name`, which must lie in the directory.
fn inside(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
    if !plain {
        return Err(format!("`{name}` is not the name of a file in the directory"));
    }
    let real =
        |path: &Path| path.canonicalize().map_err(|error| format!("cannot be read: {error}"));
    let path = real(&directory.join(name))?;
    if path.starts_with(real(directory)?) {
        Ok(path)
    } else {
        Err("is a link to a place outside the directory".to_owned())
    }
}

#[cfg(unix)]
fn refuse_world_writable(metadata: &fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o002 == 0 {
        return Ok(());
    }
    Err("can be written by everyone: take that permission away (chmod o-w)".to_owned())
}

#[cfg(not(unix))]
fn refuse_world_writable(_metadata: &fs::Metadata) -> Result<(), String> {
    Ok(())
}
