//! What was found wrong with a configuration, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigProblem};

/// The problems of one configuration.
pub(super) struct Found<'f> {
    file: &'f str,
    text: &'f str,
    /// The environment variables that were laid on top; the place of the first is the one behind the
    /// end of the text, and so on.
    variables: Vec<&'f str>,
    /// Where each key begins, by its dotted path.
    keys: BTreeMap<String, usize>,
    /// Tables of which a key is missing or was set aside.
    touched: BTreeSet<String>,
    problems: Vec<(usize, ConfigProblem)>,
}

impl<'f> Found<'f> {
    /// Nothing yet.
    pub(super) fn new(file: &'f str, text: &'f str, variables: Vec<&'f str>) -> Self {
        let (keys, touched) = (BTreeMap::new(), BTreeSet::new());
        Self { file, text, variables, keys, touched, problems: Vec::new() }
    }

    /// Learns where the keys stand.
    pub(super) fn learn(&mut self, table: &DeTable<'_>) {
        self.learn_below("", table);
    }

    fn learn_below(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if above.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{above}.{}", key.get_ref())
            };
            if let DeValue::Table(below) = value.get_ref() {
                self.learn_below(&path, below);
            }
            self.keys.insert(path, key.span().start);
        }
    }

    /// A key of this table is missing or was set aside: what the table lacks is told already.
    pub(super) fn touch(&mut self, table: &[String]) {
        self.touched.insert(table.join("."));
    }

    /// A problem at a place of the text.
    pub(super) fn at(&mut self, start: usize, what: String, fix: String) {
        let place = self.place(start);
        self.problems.push((start, ConfigProblem { place, what, fix }));
    }

    /// A problem of the value of a key, or of a table as a whole.
    pub(super) fn value(&mut self, key: &str, what: &str, fix: &str) {
        let mut known = Some(key);
        let start = loop {
            let Some(path) = known else { break None };
            if let Some(start) = self.keys.get(path) {
                break Some(*start);
            }
            known = path.rsplit_once('.').map(|(above, _)| above);
        };
        match start {
            Some(start) => self.at(start, what.to_owned(), fix.to_owned()),
            None => {
                let (what, fix) = (what.to_owned(), fix.to_owned());
                self.problems.push((0, ConfigProblem { place: self.file.to_owned(), what, fix }));
            }
        }
    }

    /// Something that a table lacks; not told if a key of it is missing or was set aside.
    pub(super) fn lack(&mut self, table: &str, what: &str, fix: &str) {
        if !self.touched.contains(table) {
            self.value(table, what, fix);
        }
    }

    fn place(&self, start: usize) -> String {
        let (file, end) = (self.file, self.text.len());
        if let Some(name) = start.checked_sub(end + 1).and_then(|at| self.variables.get(at)) {
            return format!("environment variable {name}");
        }
        let before = self.text.get(..start.min(end)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        format!("{file}:{line}:{column}")
    }

    /// Every problem in the order of the file, those of variables last; `Ok` if there is none.
    pub(super) fn end(mut self) -> Result<(), ConfigError> {
        self.problems.sort_by_key(|(start, _)| *start);
        self.problems.dedup_by(|later, earlier| later.1 == earlier.1);
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError::of(self.problems.into_iter().map(|(_, problem)| problem).collect()))
    }
}
