//! Environment variables on top of the file: `COSELL_SYNC__SECTION__KEY=value`.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How the names of overriding variables begin.
pub const PREFIX: &str = "COSELL_SYNC__";

/// An overriding variable.
pub(super) struct Override {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    value: String,
    /// Its value as a line of TOML.
    line: String,
}

/// The overriding variables, in the order of their names.
pub(super) fn overrides(environment: impl Iterator<Item = (String, String)>) -> Vec<Override> {
    let own = environment.filter(|(name, _)| name.starts_with(PREFIX));
    let mut found: Vec<Override> = own
        .map(|(name, value)| Override { name, line: format!("value = {value}"), value })
        .collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    found
}

/// Lays the variables on top. What they bring lies behind `end`, the end of the text: the first at
/// the next place, and so on.
pub(super) fn apply<'i>(root: &mut DeTable<'i>, end: usize, overrides: &'i [Override]) {
    for (index, one) in overrides.iter().enumerate() {
        let place = end + 1 + index;
        put(root, one, place..place);
    }
}

/// Sets one value, making tables on the way. A value that is TOML is read as such, else as text.
fn put<'i>(root: &mut DeTable<'i>, one: &'i Override, place: Range<usize>) {
    let path = one.name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase);
    let path: Vec<String> = path.collect();
    let Some((key, tables)) = path.split_last() else { return };
    let named = |name: &str| Spanned::new(place.clone(), Cow::Owned(name.to_owned()));
    let mut at = root;
    for step in tables {
        let empty = || Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
        let entry = at.entry(named(step)).or_insert_with(empty);
        if !entry.get_ref().is_table() {
            *entry = empty();
        }
        let DeValue::Table(next) = entry.get_mut() else { return };
        at = next;
    }
    let read = DeTable::parse(&one.line).ok().and_then(|read| read.into_inner().remove("value"));
    let value = read.map_or(DeValue::String(Cow::Borrowed(&one.value)), Spanned::into_inner);
    // The place of the old key would be told in place of the variable.
    at.remove(key.as_str());
    at.insert(named(key), moved(value, &place));
}

/// A value with everything in it at one place.
fn moved<'i>(value: DeValue<'i>, place: &Range<usize>) -> Spanned<DeValue<'i>> {
    let value = match value {
        DeValue::Table(table) => {
            let pairs = table.into_iter().map(|(key, value)| {
                (Spanned::new(place.clone(), key.into_inner()), moved(value.into_inner(), place))
            });
            DeValue::Table(pairs.collect())
        }
        DeValue::Array(mut items) => {
            for item in items.iter_mut() {
                let value = std::mem::replace(item.get_mut(), DeValue::Boolean(false));
                *item = moved(value, place);
            }
            DeValue::Array(items)
        }
        plain => plain,
    };
    Spanned::new(place.clone(), value)
}
