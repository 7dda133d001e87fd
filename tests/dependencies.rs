//! The crates that are built into the program: how many, from where, under which licence, none of
//! the banned ones, no new double. The lists of `deny.toml` are read, so that they stand once.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crates in the default build, with those that only build others. Measured; raise it only together
/// with the line in `Cargo.toml` that says what the new crate is for.
const MOST_CRATES: usize = 220;

/// Crates that are built in more than one version because crates we need disagree.
const DOUBLES: &[&str] = &[
    "base64",
    "getrandom",
    "hashbrown",
    "parking_lot",
    "parking_lot_core",
    "rand",
    "rand_chacha",
    "rand_core",
    "syn",
];

/// One crate that is built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// What `cargo tree` notes in parentheses: a folder, a repository, `proc-macro`.
    notes: String,
    licence: String,
}

/// What the program is built of, in the default build for Linux; not what its tests need.
fn built() -> BTreeSet<Crate> {
    built_with("")
}

/// As [`built`], with cargo features on top.
fn built_with(features: &str) -> BTreeSet<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(["--features", features])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> = lines.lines().filter_map(read).collect();
    assert!(crates.len() > 100, "the tree was not read:\n{lines}");
    crates
}

/// Reads `name v1.2.3 (note)|licence`; `None` for an empty line and for our own package.
fn read(line: &str) -> Option<Crate> {
    let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
    let mut words = package.splitn(3, ' ').map(str::to_owned);
    let (name, version) = (words.next()?, words.next()?);
    let notes = words.next().unwrap_or_default();
    (name != "cosell-sync").then(|| Crate { name, version, notes, licence: licence.to_owned() })
}

fn deny() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn no_more_crates_than_were_agreed() {
    let count = built().len();
    assert!(count <= MOST_CRATES, "{count} crates, at most {MOST_CRATES} are agreed");
}

#[test]
fn no_banned_crate() {
    let (crates, deny) = (built(), deny());
    let banned = deny["bans"]["deny"].as_array().unwrap();
    assert!(!banned.is_empty());
    for ban in banned {
        let name = ban["crate"].as_str().unwrap();
        assert!(crates.iter().all(|one| one.name != name), "{name} is built: {}", ban["reason"]);
    }
}

/// Change events are gRPC: of all bans, the one on HTTP/2 is lifted, and no other.
#[test]
fn the_feature_with_change_events_brings_one_banned_crate() {
    let (crates, deny) = (built_with("pubsub"), deny());
    let banned: BTreeSet<_> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|ban| ban["crate"].as_str())
        .collect();
    let found = crates.iter().map(|one| one.name.as_str()).filter(|name| banned.contains(name));
    assert_eq!(found.collect::<Vec<_>>(), ["h2"]);
}

#[test]
fn no_new_double() {
    let mut counts = BTreeMap::<_, usize>::new();
    for one in built() {
        *counts.entry(one.name).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    assert_eq!(counts.into_keys().collect::<Vec<_>>(), DOUBLES);
}

#[test]
fn every_crate_comes_from_the_registry() {
    for one in built_with("pubsub") {
        let is_plain = matches!(one.notes.as_str(), "" | "(proc-macro)");
        assert!(is_plain, "{} comes from {}", one.name, one.notes);
    }
}

#[test]
fn every_licence_is_one_we_may_ship() {
    let deny = deny();
    let allowed = deny["licenses"]["allow"].as_array().unwrap();
    let allowed: Vec<_> = allowed.iter().filter_map(|one| one.as_str()).collect();
    for Crate { name, licence, .. } in built_with("pubsub") {
        assert!(is_allowed(&licence, &allowed), "{name}: {licence:?}");
    }
}

/// Whether an SPDX expression can be met with the licences in `allowed`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let met = match words.next() {
        Some("(") => any_of(words, allowed) && words.next() == Some(")"),
        Some(name) => allowed.contains(&name),
        None => false,
    };
    if words.next_if_eq(&"WITH").is_some() {
        // An exception only widens what the licence grants.
        words.next();
    }
    met
}

#[test]
fn a_licence_expression_is_read_as_spdx_means_it() {
    let table = [
        ("MIT", true, "one"),
        ("GPL-3.0", false, "not on the list"),
        ("GPL-3.0 OR MIT", true, "a choice"),
        ("MIT/Apache-2.0", true, "the old way to write a choice"),
        ("MIT AND GPL-3.0", false, "both bind"),
        ("(MIT OR GPL-3.0) AND ISC", true, "a choice within"),
        ("GPL-3.0 OR MIT AND ISC", true, "AND binds closer"),
        ("Apache-2.0 WITH LLVM-exception", true, "an exception only grants more"),
        ("", false, "none given"),
        ("MIT MIT", false, "no expression"),
    ];
    for (expression, expected, why) in table {
        assert_eq!(is_allowed(expression, &["MIT", "Apache-2.0", "ISC"]), expected, "{why}");
    }
}
