//! The shape of the source tree: who may import whom, crates kept inside their part, file lengths,
//! no leftovers of debugging, no path of the machine it was written on.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/scan_tests.rs"]
mod scan_tests;
#[path = "architecture/table.rs"]
mod table;
#[path = "architecture/tree.rs"]
mod tree;

use scan::Path;
use table::{Emulators, IMPURE, KEPT_INSIDE, LONGER, MOST_LINES, PURE, READS_FILES, RULES};
use tree::Source;

/// What `check` finds wrong in any file, one line each.
fn complaints(check: impl Fn(&Source, &Path) -> Option<String>) -> Vec<String> {
    let sources = Source::all();
    assert!(sources.len() > 100, "the source files were not found");
    let mut found = Vec::new();
    for source in &sources {
        for path in source.paths() {
            found.extend(check(source, &path).map(|what| format!("{}:{what}", at(source, &path))));
        }
    }
    found
}

fn at(source: &Source, path: &Path) -> String {
    format!("{}:{}", source.name, path.line)
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
}

/// Whether `part` is `pattern` or, if that ends in `*`, below it.
fn covers(pattern: &str, part: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == part, |above| part.starts_with(above))
}

#[test]
fn a_part_names_only_what_the_table_allows() {
    assert_none(&complaints(|source, path| {
        let target = tree::part(path.segments.strip_prefix(&["crate".to_owned()])?);
        let own = source.part();
        // A test may name the emulator that it runs against.
        let is_emulator = target.ends_with("sandbox");
        let is_fine = target == own
            || target.is_empty()
            || (path.is_test && is_emulator)
            || tree::rule(own)?.may_name.iter().any(|pattern| covers(pattern, target));
        (!is_fine).then(|| format!(" {own} may not import {target}"))
    }));
}

#[test]
fn every_source_file_belongs_to_a_part_and_every_part_exists() {
    let sources = Source::all();
    let homeless: Vec<_> = sources
        .iter()
        .filter(|source| source.part().is_empty() && source.name != "src/lib.rs")
        .map(|source| format!("{} is in no part of the table", source.name))
        .collect();
    assert_none(&homeless);
    let unknown: Vec<_> = RULES
        .iter()
        .flat_map(|rule| rule.may_name)
        .filter(|name| !name.ends_with('*') && !RULES.iter().any(|rule| rule.part == **name))
        .map(|name| format!("the table allows {name}, which is no part"))
        .collect();
    assert_none(&unknown);
}

#[test]
fn a_crate_stays_inside_its_part() {
    assert_none(&complaints(|source, path| {
        let (name, places, emulators) =
            KEPT_INSIDE.iter().find(|(name, ..)| *name == path.segments[0])?;
        let module = source.module();
        let is_emulator = source.is_emulator() && *emulators == Emulators::May;
        let is_fine = path.is_test
            || is_emulator
            || places
                .iter()
                .any(|place| module == *place || module.starts_with(&format!("{place}/")));
        (!is_fine).then(|| format!(" {module} may not use the crate {name}"))
    }));
}

#[test]
fn a_pure_part_computes_and_nothing_else() {
    assert_none(&complaints(|source, path| {
        let written = path.segments.join("::");
        let named = IMPURE
            .iter()
            .find(|name| written == **name || written.starts_with(&format!("{name}::")))?;
        let is_fine = path.is_test
            || !PURE.contains(&source.part())
            || (source.module().as_str(), *named) == READS_FILES;
        (!is_fine).then(|| format!(" {} is pure and may not use {named}", source.part()))
    }));
}

#[test]
fn a_file_is_short() {
    let mut found = Vec::new();
    for source in Source::all() {
        let lines = source.production_lines();
        let listed = LONGER.iter().find(|(name, _)| *name == source.name);
        let most = listed.map_or(MOST_LINES, |(_, most)| *most);
        if lines > most {
            found.push(format!("{} has {lines} lines, at most {most} are allowed", source.name));
        }
        if listed.is_some() && lines <= MOST_LINES {
            found.push(format!("{} is short enough: take it off the list", source.name));
        }
    }
    assert_none(&found);
}

#[test]
fn nothing_of_debugging_is_left() {
    let leftovers = ["dbg", "todo", "unimplemented", "print", "println", "eprint", "eprintln"];
    let mut found = Vec::new();
    for source in Source::all().iter().filter(|source| !source.is_test) {
        // The program may speak to its user; the library returns what there is to say.
        let may_print = source.name == "src/main.rs";
        for pair in source.tokens.windows(2).filter(|pair| pair[1].text == "!" && !pair[0].is_test)
        {
            let word = pair[0].text.as_str();
            if leftovers.contains(&word) && !(may_print && word.ends_with("println")) {
                found.push(format!("{}:{}: {word}!", source.name, pair[0].line));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let homes = ["home", "Users", "root", "work", "workspace"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    tree::collect(&tree::package(), &mut |file| {
        let Ok(text) = std::fs::read_to_string(file) else { return };
        for (number, line) in text.lines().enumerate() {
            let is_absolute = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|one| one.is_whitespace() || "\"'`(=:".contains(one))
            };
            if homes.iter().any(|home| line.match_indices(home.as_str()).any(is_absolute)) {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    });
    assert_none(&found);
}
