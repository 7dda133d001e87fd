//! A TOML table read key by key: wrong types and unknown keys are noted, reading goes on.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Number, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::CaseKey;
use super::problem::{Findings, Place, Spot, nearest};

/// What a whole number is called in messages.
const WHOLE: &str = "a whole number";

/// One table of a mapping file. Every key that is asked for is known; [`Table::finish`] reports the
/// others.
pub(crate) struct Table<'t, 'i> {
    file: usize,
    name: &'static str,
    place: Place,
    entries: &'t DeTable<'i>,
    asked: BTreeSet<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// Begins reading `entries`, which `name` describes in messages: `a [[field]] row`.
    pub(crate) fn new(
        file: usize,
        name: &'static str,
        place: Place,
        entries: &'t DeTable<'i>,
    ) -> Self {
        Self { file, name, place, entries, asked: BTreeSet::new() }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The value of `key`, if it is there.
    fn get(&mut self, key: &'static str) -> Option<(&'t DeValue<'i>, Place)> {
        self.asked.insert(key);
        let value = self.entries.get(key)?;
        Some((value.get_ref(), Place { file: self.file, span: value.span() }))
    }

    /// The text of `key`.
    pub(crate) fn text(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Option<Spot<String>> {
        let (value, place) = self.get(key)?;
        match value {
            DeValue::String(text) => Some(Spot { value: text.to_string(), place }),
            other => {
                wrong_type(key, "text in quotes", other, &place, findings);
                None
            }
        }
    }

    /// Yes or no of `key`.
    pub(crate) fn boolean(&mut self, key: &'static str, findings: &mut Findings) -> Option<bool> {
        let (value, place) = self.get(key)?;
        match value {
            DeValue::Boolean(value) => Some(*value),
            other => {
                wrong_type(key, "true or false", other, &place, findings);
                None
            }
        }
    }

    /// The whole number of `key`.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Option<Spot<i64>> {
        let (value, place) = self.get(key)?;
        match json(value) {
            Json::Number(number) if number.is_i64() => {
                Some(Spot { value: number.as_i64().unwrap_or_default(), place })
            }
            _ => {
                wrong_type(key, WHOLE, value, &place, findings);
                None
            }
        }
    }

    /// The list of texts of `key`; a single text counts as a list of one.
    pub(crate) fn texts(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<Spot<String>>> {
        let (value, place) = self.get(key)?;
        let items = match value {
            DeValue::String(text) => return Some(vec![Spot { value: text.to_string(), place }]),
            DeValue::Array(items) => items,
            other => {
                wrong_type(key, "a list of texts", other, &place, findings);
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            let place = Place { file: self.file, span: item.span() };
            match item.get_ref() {
                DeValue::String(text) => texts.push(Spot { value: text.to_string(), place }),
                other => wrong_type(key, "a list of texts", other, &place, findings),
            }
        }
        Some(texts)
    }

    /// Any value of `key`, as JSON.
    pub(crate) fn json(&mut self, key: &'static str) -> Option<Spot<Json>> {
        let (value, place) = self.get(key)?;
        Some(Spot { value: json(value), place })
    }

    /// Where the keys of the tables in the table of `key` stand, dotted where tables stand in tables; of
    /// an inner value that is no table, where its own key stands.
    pub(crate) fn inner_keys(&mut self, table: &'static str) -> Vec<CaseKey> {
        let Some((DeValue::Table(sides), _)) = self.get(table) else { return Vec::new() };
        let mut keys = Vec::new();
        for (side, value) in sides {
            let mut add = |key: String, span| {
                let place = Place { file: self.file, span };
                keys.push(CaseKey { table, side: side.get_ref().to_string(), key, place });
            };
            match value.get_ref() {
                DeValue::Table(fields) => dotted(fields, "", &mut add),
                _ => add(String::new(), value.span()),
            }
        }
        keys
    }

    /// The table of `key`, as JSON with the place of each entry.
    pub(crate) fn map(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<(Spot<String>, Spot<Json>)>> {
        let (value, place) = self.get(key)?;
        let DeValue::Table(entries) = value else {
            wrong_type(key, "a table", value, &place, findings);
            return None;
        };
        let entries = entries.iter().map(|(key, value)| {
            let name = Place { file: self.file, span: key.span() };
            let place = Place { file: self.file, span: value.span() };
            let key = Spot { value: key.get_ref().to_string(), place: name };
            (key, Spot { value: json(value.get_ref()), place })
        });
        Some(entries.collect())
    }

    /// The table of `key`.
    pub(crate) fn table(
        &mut self,
        key: &'static str,
        name: &'static str,
        findings: &mut Findings,
    ) -> Option<Table<'t, 'i>> {
        let (value, place) = self.get(key)?;
        let DeValue::Table(entries) = value else {
            wrong_type(key, "a table", value, &place, findings);
            return None;
        };
        Some(Table::new(self.file, name, place, entries))
    }

    /// The tables inside the table of `key`, each with its name.
    pub(crate) fn named(
        &mut self,
        key: &'static str,
        name: &'static str,
        findings: &mut Findings,
    ) -> Vec<(Spot<String>, Table<'t, 'i>)> {
        let Some(outer) = self.table(key, name, findings) else { return Vec::new() };
        let mut tables = Vec::new();
        for (key, value) in outer.entries.iter() {
            let spot = Spot {
                value: key.get_ref().to_string(),
                place: Place { file: self.file, span: key.span() },
            };
            let place = Place { file: self.file, span: value.span() };
            match value.get_ref() {
                DeValue::Table(entries) => {
                    tables.push((spot, Table::new(self.file, name, place, entries)));
                }
                other => wrong_type(&spot.value, "a table", other, &place, findings),
            }
        }
        tables
    }

    /// The rows of the list of tables of `key`.
    pub(crate) fn rows(
        &mut self,
        key: &'static str,
        name: &'static str,
        findings: &mut Findings,
    ) -> Vec<Table<'t, 'i>> {
        let Some((value, place)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            let hint = format!("`{key}` is a list of tables: begin each with `[[{key}]]`");
            findings.add(&place, hint);
            return Vec::new();
        };
        let mut rows = Vec::new();
        for item in items.iter() {
            let place = Place { file: self.file, span: item.span() };
            match item.get_ref() {
                DeValue::Table(entries) => {
                    rows.push(Table::new(self.file, name, place, entries));
                }
                other => wrong_type(key, "a list of tables", other, &place, findings),
            }
        }
        rows
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, findings: &mut Findings) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if self.asked.contains(name) {
                continue;
            }
            let place = Place { file: self.file, span: key.span() };
            let message = format!("unknown key `{name}` in {}", self.name);
            match nearest(name, self.asked.iter().copied()) {
                Some(near) => findings.add_with(&place, message, format!("did you mean `{near}`?")),
                None => {
                    let keys: Vec<&str> = self.asked.iter().copied().collect();
                    findings.add_with(&place, message, format!("known: {}", keys.join(", ")));
                }
            }
        }
    }
}

/// Notes a value of the wrong type.
fn wrong_type(
    key: &str,
    expected: &str,
    found: &DeValue<'_>,
    place: &Place,
    findings: &mut Findings,
) {
    let found = match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) if expected == WHOLE => "one that is too large",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date; dates are written in quotes",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    findings.add(place, format!("`{key}` must be {expected}, found {found}"));
}

/// A TOML value as JSON. Dates become their text.
/// Every key of a table, with those of the tables in it behind a dot.
fn dotted(table: &DeTable<'_>, before: &str, add: &mut dyn FnMut(String, Range<usize>)) {
    for (key, value) in table {
        let name = format!("{before}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => dotted(inner, &format!("{name}."), add),
            _ => add(name, key.span()),
        }
    }
}

fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Json::String(number.as_str().to_owned()), |number| number.into()),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(|| Json::String(number.as_str().to_owned()), Json::Number),
        DeValue::Boolean(value) => Json::Bool(*value),
        DeValue::Datetime(date) => Json::String(date.to_string()),
        DeValue::Array(items) => {
            Json::Array(items.iter().map(|item| json(item.get_ref())).collect())
        }
        DeValue::Table(entries) => Json::Object(object(entries)),
    }
}

fn object(entries: &DeTable<'_>) -> Map<String, Json> {
    let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), json(value.get_ref()))
    };
    entries.iter().map(pair).collect()
}
