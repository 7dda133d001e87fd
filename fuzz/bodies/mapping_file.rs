//! Any text as a mapping file: it compiles, or every problem has a place and can be printed.

use cosell_sync::mapping::{Source, compile, run_cases, shipped};

/// One input.
pub(crate) fn run(text: &str) {
    let load = |name: &str| {
        shipped(name)
            .map_or_else(|| Ok(Source { name: name.to_owned(), text: text.to_owned() }), Ok)
    };
    match compile("fuzz.toml", &load) {
        Ok(mapping) => {
            let report = run_cases(&mapping);
            let explained = report
                .outcomes
                .iter()
                .all(|outcome| outcome.passed == outcome.differences.is_empty());
            assert!(explained, "a case that fails without a reason");
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            assert!(!problems.to_string().is_empty(), "a problem that says nothing");
        }
    }
}
