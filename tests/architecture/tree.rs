//! The source files of the library and the program, with the module each of them is.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use crate::scan::{self, Path, Token};
use crate::table::{RULES, Rule};

/// One source file.
pub(crate) struct Source {
    /// Its path below the package, with `/`.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// `["crate", "sync", "retry"]`.
    module: Vec<String>,
    /// Whether all of it is for tests.
    pub(crate) is_test: bool,
}

impl Source {
    /// Every `.rs` file below `src`.
    pub(crate) fn all() -> Vec<Self> {
        let mut files = Vec::new();
        collect(&package().join("src"), &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.to_owned());
            }
        });
        files.sort();
        files.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &FilePath) -> Self {
        let name = path.strip_prefix(package()).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap();
        let words = name.trim_start_matches("src/").trim_end_matches(".rs").split('/');
        let mut module = vec!["crate".to_owned()];
        module.extend(words.filter(|word| !matches!(*word, "mod" | "lib")).map(str::to_owned));
        let is_test = module
            .iter()
            .any(|word| matches!(word.as_str(), "tests" | "testing") || word.ends_with("_tests"));
        Self { tokens: scan::tokens(&text), name, text, module, is_test }
    }

    /// The part of the tree that the file belongs to.
    pub(crate) fn part(&self) -> &'static str {
        part(&self.module[1..])
    }

    /// Its module path below the crate, with `/`.
    pub(crate) fn module(&self) -> String {
        self.module[1..].join("/")
    }

    /// Whether it is a part of an emulator.
    pub(crate) fn is_emulator(&self) -> bool {
        self.module.iter().any(|word| word == "sandbox")
    }

    /// What it names, with `crate` in front of what is ours.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = scan::paths(&self.tokens, &self.module);
        for path in &mut paths {
            path.is_test |= self.is_test;
            if path.segments[0] == "cosell_sync" {
                "crate".clone_into(&mut path.segments[0]);
            }
        }
        paths
    }

    /// Lines that are not covered by `#[cfg(test)]`.
    pub(crate) fn production_lines(&self) -> usize {
        let covered =
            self.tokens.chunk_by(|one, next| one.is_test == next.is_test).filter_map(|run| {
                let (first, last) = (run.first()?, run.last()?);
                first.is_test.then(|| last.line + 1 - first.line)
            });
        let covered: usize = covered.sum();
        if self.is_test { 0 } else { self.text.lines().count() - covered }
    }
}

/// The part that a module path below the crate belongs to; empty for the crate's own root.
pub(crate) fn part(module: &[String]) -> &'static str {
    (0..=module.len())
        .rev()
        .map(|length| module[..length].join("/"))
        .find_map(|name| RULES.iter().find(|rule| rule.part == name))
        .map_or("", |rule| rule.part)
}

/// The rule of a part.
pub(crate) fn rule(part: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.part == part)
}

/// The folder of the package.
pub(crate) fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Calls `visit` with every file below `folder`, except what is built or fetched.
pub(crate) fn collect(folder: &FilePath, visit: &mut dyn FnMut(&FilePath)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if matches!(name, "target" | ".git" | "node_modules") {
            continue;
        }
        if path.is_dir() { collect(&path, visit) } else { visit(&path) }
    }
}
