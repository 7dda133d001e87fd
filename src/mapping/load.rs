//! Mapping files in a directory. The only part of mapping that reads files.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::compile::compile;
use super::compiled::Mapping;
use super::problem::{Problem, Problems, Source, nearest};

/// The largest mapping file, in bytes.
const LARGEST: u64 = 1 << 20;

/// What begins the name of a file of the program among the texts of a folder; no name in a folder
/// has a slash.
pub const OF_THE_PROGRAM: &str = "shipped/";

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

/// Compiles every `*.toml` of `directory`; see [`MappingFolder::compile`].
///
/// # Errors
///
/// Every problem of every file.
pub fn load_directory(directory: &Path) -> Result<Vec<Mapping>, Problems> {
    MappingFolder::read(directory)?.compile()
}

/// The mapping files of a folder as they stood when they were read, so that what is checked, what is
/// used and what is kept is one and the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingFolder {
    /// The folder as it is shown to people.
    shown: PathBuf,
    /// Each file's text, or why it must not be read.
    files: BTreeMap<String, Result<String, String>>,
    /// Files of the program that the folder extended when it was kept: another program may have
    /// others.
    kept: BTreeMap<String, String>,
    /// What is to be told about the directory itself.
    warnings: Vec<String>,
}

impl MappingFolder {
    /// Reads every `*.toml` of `directory`.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or has no mapping file. A file that cannot or must not be read
    /// is a problem of [`MappingFolder::compile`] only.
    pub fn read(directory: &Path) -> Result<Self, Problems> {
        let files = names(directory)?.into_iter().map(|name| {
            let text = read(directory, &name);
            (name, text)
        });
        Ok(Self {
            shown: directory.to_owned(),
            files: files.collect(),
            kept: BTreeMap::new(),
            warnings: open_to_all(directory).into_iter().collect(),
        })
    }

    /// The [`MappingFolder::texts`] of another time or place; `shown` names them to people.
    #[must_use]
    pub fn of(shown: &str, texts: &BTreeMap<String, String>) -> Self {
        let (mut files, mut kept) = (BTreeMap::new(), BTreeMap::new());
        for (name, text) in texts {
            match name.strip_prefix(OF_THE_PROGRAM) {
                Some(name) => drop(kept.insert(name.to_owned(), text.clone())),
                None => drop(files.insert(name.clone(), Ok(text.clone()))),
            }
        }
        Self { shown: shown.into(), files, kept, warnings: Vec::new() }
    }

    /// The texts of the files that could be read, by name, and of the program's own files that they
    /// extend: with another program these may say something else.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        let mut texts = self.own_texts();
        for (name, text) in self.own_texts() {
            let Some(base) = extended(&text) else { continue };
            let here = base != name && self.files.contains_key(&base);
            if let Some(source) = self.shipped(&base).filter(|_| !here) {
                texts.insert(format!("{OF_THE_PROGRAM}{base}"), source.text);
            }
        }
        texts
    }

    /// The texts of the files that could be read and lie in the folder itself, by name.
    #[must_use]
    pub fn own_texts(&self) -> BTreeMap<String, String> {
        let files = self.files.iter();
        let read =
            files.filter_map(|(name, text)| Some((name.clone(), text.as_ref().ok()?.clone())));
        read.collect()
    }

    /// Whether every file could be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.files.values().all(Result::is_ok)
    }

    /// What is not wrong with the files, but with where they lie.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Compiles every file. One that another one extends is only its base. What a file extends is
    /// sought in the folder, then among the files that come with the program.
    ///
    /// # Errors
    ///
    /// Every problem of every file: those of [`compile`], files that are too large, not UTF-8,
    /// writable by everyone, or links out of the directory, and two files for one kind of record.
    pub fn compile(&self) -> Result<Vec<Mapping>, Problems> {
        let mut problems = Vec::new();
        let mut mappings: Vec<Mapping> = Vec::new();
        for name in self.tops() {
            let begun = Cell::new(false);
            let load = |wanted: &str| {
                let itself = wanted == name && !begun.replace(true);
                match self.shipped(wanted) {
                    // A file may extend the shipped file of its own name.
                    Some(base) if wanted == name && !itself => Ok(base),
                    _ => self.source(wanted, itself),
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

    fn no_such_file(&self, wanted: &str) -> String {
        let plain = "there is no such file in the directory";
        match nearest(wanted, self.files.keys().map(String::as_str)) {
            Some(near) => format!("{plain} (`{near}` is there)"),
            None => plain.to_owned(),
        }
    }

    /// The files to compile: those that no other one extends, and one of each circle of files that
    /// extend one another, whose problem is to be told.
    fn tops(&self) -> Vec<&String> {
        let bases: BTreeMap<&String, String> =
            self.files.keys().filter_map(|name| Some((name, self.base(name)?))).collect();
        let extended: BTreeSet<&String> = bases.values().collect();
        let mut tops: Vec<&String> =
            self.files.keys().filter(|name| !extended.contains(name)).collect();
        let mut reached = BTreeSet::new();
        let follow = |from: &String, reached: &mut BTreeSet<String>| {
            let mut next = Some(from);
            while let Some(name) = next.filter(|name| reached.insert((*name).clone())) {
                next = bases.get(name);
            }
        };
        tops.iter().for_each(|top| follow(top, &mut reached));
        // Of a circle the one that may go on to the shipped file of its own name.
        let (own, others): (Vec<&String>, Vec<&String>) =
            self.files.keys().partition(|name| shipped(name).is_some());
        for name in own.into_iter().chain(others) {
            if !reached.contains(name) {
                tops.push(name);
                follow(name, &mut reached);
            }
        }
        tops
    }

    /// What the file extends, if it names another file of the folder.
    fn base(&self, name: &str) -> Option<String> {
        let text = self.files.get(name)?.as_ref().ok()?;
        extended(text).filter(|base| base != name && self.files.contains_key(base))
    }

    /// The program's own file of that name, as it was when the folder was kept.
    fn shipped(&self, name: &str) -> Option<Source> {
        let mut source = shipped(name)?;
        if let Some(text) = self.kept.get(name) {
            source.text.clone_from(text);
        }
        Some(source)
    }

    /// The text of `wanted`: the file `itself`, or what it extends. A base that the folder lacks is
    /// the program's own.
    fn source(&self, wanted: &str, itself: bool) -> Result<Source, String> {
        match self.files.get(wanted) {
            Some(text) => Ok(Source {
                name: self.shown.join(wanted).display().to_string(),
                text: text.clone()?,
            }),
            None => match self.shipped(wanted).filter(|_| !itself) {
                Some(shipped) => Ok(shipped),
                None if !is_plain(wanted) => Err(not_plain(wanted)),
                None => Err(self.no_such_file(wanted)),
            },
        }
    }
}

/// What a mapping file extends.
fn extended(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    table.get("extends")?.as_str().map(str::to_owned)
}

/// The names of the mapping files, sorted.
fn names(directory: &Path) -> Result<Vec<String>, Problems> {
    let shown = directory.display().to_string();
    let fail = |message: String, way: &str| {
        Problems(vec![Problem::of_file(&shown, message, Some(way.to_owned()))])
    };
    let entries = fs::read_dir(directory).map_err(|error| {
        let way = "name a folder that our user may read";
        fail(format!("the directory cannot be read: {error}"), way)
    })?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml") && !name.starts_with('.'))
        .collect();
    names.sort();
    if names.is_empty() {
        let way = "copy the shipped mapping files there";
        return Err(fail("there is no mapping file (*.toml) in the directory".to_owned(), way));
    }
    Ok(names)
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

/// A name, and no way to another place.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
}

fn not_plain(name: &str) -> String {
    format!("`{name}` is not the name of a file in the directory")
}

/// The real path of `name`, which must lie in the directory.
fn inside(directory: &Path, name: &str) -> Result<PathBuf, String> {
    if !is_plain(name) {
        return Err(not_plain(name));
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

/// A warning if everyone may put files into the directory. It is none of an error, since systems that
/// mount files for containers give such directories, read-only.
#[cfg(unix)]
fn open_to_all(directory: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(directory).ok()?.permissions().mode();
    (mode & 0o002 != 0).then(|| {
        let shown = directory.display();
        format!(
            "everyone may put files into {shown}: take that permission away (chmod o-w {shown})"
        )
    })
}

#[cfg(not(unix))]
fn open_to_all(_directory: &Path) -> Option<String> {
    None
}

#[cfg(not(unix))]
fn refuse_world_writable(_metadata: &fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::MappingFolder;

    #[test]
    fn what_is_kept_compiles_as_it_did_with_the_program_of_that_time() {
        let own = "extends = \"salesforce-lead.toml\"\n";
        let files = BTreeMap::from([("contoso.toml".to_owned(), own.to_owned())]);
        let mut texts = MappingFolder::of("here", &files).texts();
        let name = "shipped/salesforce-lead.toml";
        let names: Vec<&str> = texts.keys().map(String::as_str).collect();
        assert_eq!(names, ["contoso.toml", name], "with the file of the program");
        assert_eq!(MappingFolder::of("here", &texts).own_texts(), files);

        let version = |texts: &BTreeMap<String, String>| {
            let compiled = MappingFolder::of("kept", texts).compile().expect("good files");
            compiled[0].version().to_owned()
        };
        assert_eq!(version(&files), version(&texts), "the same program");
        let base = texts.get_mut(name).expect("the base");
        base.push_str("\n# as it was a year ago\n");
        assert_ne!(version(&files), version(&texts), "another program");
    }
}
