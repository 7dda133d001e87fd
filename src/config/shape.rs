//! The shape of the file: every key that is unknown, missing or of the wrong kind, at once. What is
//! wrong is set aside, what is missing gets a stand-in, and the rest is read again.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

use super::Config;
use super::error::{DID_YOU_MEAN, explain};
use super::found::Found;

/// More problems of shape than this are not looked for.
const MOST_PROBLEMS: usize = 100;

/// What serde says of a key that is needed.
const MISSING: &str = "missing field `";

/// What serde says of a key that does not exist.
const UNKNOWN: &str = "unknown field `";

/// The configuration, as far as it can be read; every problem of its shape is put into `found`.
pub(super) fn read(mut root: Spanned<DeTable<'_>>, found: &mut Found<'_>) -> Option<Config> {
    let mut set_aside = BTreeSet::new();
    for _ in 0..MOST_PROBLEMS {
        let error = match Config::deserialize(Deserializer::from(root.clone())) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let mut path = path_of(&error);
        let (what, fix) = explain(error.message());
        let meant = quoted(&fix, DID_YOU_MEAN);
        let span = error.span().unwrap_or_default();
        let missing = quoted(error.message(), MISSING);
        let told = missing.iter().any(|name| set_aside.contains(&below(&path, name)));
        if !told {
            found.at(span.start, what, fix);
        }
        if let Some((name, table)) = missing.zip(table(root.get_mut(), &path)) {
            found.touch(&path);
            let key = Spanned::new(span.clone(), Cow::Owned(name.clone()));
            table.insert(key, Spanned::new(span, stand_in(&name)));
            continue;
        }
        let unknown = quoted(error.message(), UNKNOWN);
        let meant = meant.filter(|_| unknown.is_some());
        path.extend(unknown);
        let (name, parent) = path.split_last()?;
        found.touch(parent);
        let table = table(root.get_mut(), parent)?;
        let value = table.remove(name.as_str())?;
        // What was only misspelt is not missing.
        set_aside.extend(meant.iter().map(|meant| below(parent, meant)));
        // A misspelt table is read under its right name. A value is not: it may be a secret that
        // belongs elsewhere, and serde shows what it cannot read.
        let meant = meant.filter(|meant| !table.contains_key(meant.as_str()));
        if let (Some(meant), DeValue::Table(_)) = (meant, value.get_ref()) {
            table.insert(Spanned::new(span, Cow::Owned(meant)), value);
        }
        set_aside.insert(path);
    }
    None
}

fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// The keys that lead to where an error is. The error shows them and does not give them.
fn path_of(error: &Error) -> Vec<String> {
    let shown = error.to_string();
    let mut lines = shown.lines().filter_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    let line = lines.next_back();
    line.map(|keys| keys.split('.').map(str::to_owned).collect()).unwrap_or_default()
}

/// The name that follows `words` at the beginning of a sentence, up to the next backquote.
fn quoted(sentence: &str, words: &str) -> Option<String> {
    let name = sentence.strip_prefix(words)?.split('`').next()?;
    Some(name.to_owned())
}

/// The table at a path.
fn table<'t, 'i>(root: &'t mut DeTable<'i>, path: &[String]) -> Option<&'t mut DeTable<'i>> {
    path.iter().try_fold(root, |at, step| match at.get_mut(step.as_str())?.get_mut() {
        DeValue::Table(next) => Some(next),
        _ => None,
    })
}

/// What stands in for a missing key until everything else was read. Nobody ever uses it.
fn stand_in<'i>(name: &str) -> DeValue<'i> {
    let text = |text: &'static str| DeValue::String(Cow::Borrowed(text));
    match name {
        "listen" => text("127.0.0.1:1"),
        "tenant_id" => text("stand-in.example"),
        "auth" => text("client_credentials"),
        "certificate_hosts" | "certificate_paths" => DeValue::Array(DeArray::new()),
        "server" | "store" | "accounts" | "partner_center" | "sync" => {
            let keys = match name {
                "server" => &["listen"][..],
                "store" => &["path"],
                "partner_center" => &["tenant_id", "client_id"],
                _ => &[],
            };
            let key = |key: &&'static str| (Spanned::new(0..0, Cow::Borrowed(*key)), *key);
            let pairs = keys.iter().map(key);
            let pairs = pairs.map(|(spanned, key)| (spanned, Spanned::new(0..0, stand_in(key))));
            DeValue::Table(pairs.collect())
        }
        _ => text("https://stand-in.example"),
    }
}
