//! The shipped mapping files, wrong ones, and what a mapping does with real values.

use std::path::Path;

use cosell_sync::mapping::{load_directory, run_cases};

#[path = "mapping_catalogue/bad_input.rs"]
mod bad_input;
#[path = "mapping_catalogue/catalogue.rs"]
mod catalogue;
#[path = "mapping_catalogue/use_of_a_mapping.rs"]
mod use_of_a_mapping;

#[test]
fn every_case_of_the_shipped_files_holds_and_shows_every_row() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mappings = load_directory(&directory).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(mappings.len(), 4, "two CRMs, opportunities and leads");
    for mapping in &mappings {
        let report = run_cases(mapping);
        for outcome in &report.outcomes {
            let differences = &outcome.differences;
            assert!(outcome.passed, "{}: {}: {differences:#?}", mapping.file(), outcome.name);
        }
        assert_eq!(report.uncovered, Vec::<String>::new(), "{}", mapping.file());
    }
}
