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
    warnings: Vec<(usize, ConfigProblem)>,
}

impl<'f> Found<'f> {
    /// Nothing yet.
    pub(super) fn new(file: &'f str, text: &'f str, variables: Vec<&'f str>) -> Self {
        let (keys, touched) = (BTreeMap::new(), BTreeSet::new());
        Self { file, text, variables, keys, touched, problems: Vec::new(), warnings: Vec::new() }
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
        let problem = self.problem(start, what, fix);
        self.problems.push((start, problem));
    }

    /// A problem of the value of a key, or of a table as a whole.
    pub(super) fn value(&mut self, key: &str, what: &str, fix: &str) {
        let found = self.of(key, what, fix);
        self.problems.push(found);
    }

    /// As [`Found::value`], but nothing that must be changed.
    pub(super) fn warn(&mut self, key: &str, what: &str, fix: &str) {
        let found = self.of(key, what, fix);
        self.warnings.push(found);
    }

    fn of(&self, key: &str, what: &str, fix: &str) -> (usize, ConfigProblem) {
        let (what, fix) = (what.to_owned(), fix.to_owned());
        let mut known = Some(key);
        while let Some(path) = known {
            if let Some(start) = self.keys.get(path) {
                return (*start, self.problem(*start, what, fix));
            }
            known = path.rsplit_once('.').map(|(above, _)| above);
        }
        (0, ConfigProblem { place: self.file.to_owned(), excerpt: None, what, fix })
    }

    /// Something that a table lacks; not told if a key of it is missing or was set aside.
    pub(super) fn lack(&mut self, table: &str, what: &str, fix: &str) {
        if !self.touched.contains(table) {
            self.value(table, what, fix);
        }
    }

    fn problem(&self, start: usize, what: String, fix: String) -> ConfigProblem {
        let (file, end) = (self.file, self.text.len());
        if let Some(name) = start.checked_sub(end + 1).and_then(|at| self.variables.get(at)) {
            let place = format!("environment variable {name}");
            return ConfigProblem { place, excerpt: None, what, fix };
        }
        let before = self.text.get(..start.min(end)).unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        let line = self.text.lines().nth(number - 1).unwrap_or_default();
        ConfigProblem {
            place: format!("{file}:{number}:{column}"),
            excerpt: self.excerpt(line, number, column),
            what,
            fix,
        }
    }

    /// Every problem in the order of the file, those of variables last; the warnings if there is none.
    pub(super) fn end(mut self) -> Result<Vec<ConfigProblem>, ConfigError> {
        let in_order = |mut all: Vec<(usize, ConfigProblem)>| -> Vec<ConfigProblem> {
            all.sort_by_key(|(start, _)| *start);
            all.dedup_by(|later, earlier| later.1 == earlier.1);
            all.into_iter().map(|(_, problem)| problem).collect()
        };
        let problems = in_order(std::mem::take(&mut self.problems));
        if problems.is_empty() {
            Ok(in_order(self.warnings))
        } else {
            Err(ConfigError::of(problems))
        }
    }

    /// The line of a problem with a caret below. Of a value nothing is shown: it may be a secret that
    /// does not belong there; nor of a line that is not known to begin with a key.
    fn excerpt(&self, line: &str, number: usize, column: usize) -> Option<String> {
        let shown = match line.split_once('=') {
            Some((key, _)) => {
                let last = key.trim().rsplit('.').next().unwrap_or_default().trim_matches('"');
                let names = self.keys.keys().map(|path| path.rsplit('.').next());
                names.into_iter().flatten().find(|name| *name == last)?;
                format!("{key}= ...")
            }
            None if line.starts_with('[') && !self.keys.is_empty() => line.to_owned(),
            None => return None,
        };
        let number = number.to_string();
        let indent = " ".repeat(number.len());
        let under = " ".repeat(column.min(shown.chars().count()).saturating_sub(1));
        Some(format!("{indent} |\n{number} | {shown}\n{indent} | {under}^"))
    }
}
