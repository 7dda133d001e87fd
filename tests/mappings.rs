//! Every case in `mappings/*.toml` holds, and shows every row in every direction it travels.

use std::path::Path;

use cosell_sync::mapping::{load_directory, run_cases};

#[test]
fn every_case_of_the_shipped_files_holds_and_shows_every_row() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mappings = load_directory(&directory).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(mappings.len(), 4, "two CRMs, opportunities and leads");
    for mapping in &mappings {
        let report = run_cases(mapping);
        for outcome in &report.outcomes {
            assert!(
                outcome.passed,
                "{}: {}: {:#?}",
                mapping.file(),
                outcome.name,
                outcome.differences
            );
        }
        assert_eq!(report.uncovered, Vec::<String>::new(), "{}", mapping.file());
    }
}
