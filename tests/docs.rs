//! The runbook keeps up with the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The code of every hold that the program makes, read from its source without tests.
fn hold_codes() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut codes = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for call in program.split("Hold::new(").skip(1) {
            let first = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            codes.extend(first.map(|(code, _)| code.to_owned()));
        }
    }
    assert!(codes.contains("ping_pong"), "{codes:?}");
    codes
}

#[test]
fn every_hold_code_is_in_the_runbook() {
    let runbook = include_str!("../docs/runbook.md");
    for code in hold_codes() {
        assert!(runbook.contains(&format!("| `{code}` |")), "`{code}` is not in the runbook");
    }
}

#[test]
fn every_metric_of_the_runbook_exists() {
    let source = include_str!("../src/telemetry/metrics.rs");
    let runbook = include_str!("../docs/runbook.md");
    let named = runbook.lines().filter_map(|line| line.strip_prefix("| `cosell_sync_"));
    let names: Vec<&str> =
        named.map(|rest| rest.split(['`', '{']).next().unwrap_or_default()).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let registered = format!("\"{}\"", name.trim_end_matches("_total"));
        assert!(source.contains(&registered), "the program has no metric {name}");
    }
}
