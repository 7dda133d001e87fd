//! The shipped mapping files, wrong ones, and what a mapping does with real values.

use std::path::Path;

use cosell_sync::mapping::{load_directory, run_cases};

#[path = "mapping_catalogue/bad_input.rs"]
mod bad_input;
#[path = "mapping_catalogue/catalogue.rs"]
mod catalogue;
#[path = "mapping_catalogue/folders.rs"]
mod folders;
#[path = "mapping_catalogue/fuzz.rs"]
mod fuzz;
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

#[test]
fn the_files_of_microsofts_default_mapping_hold_and_show_what_they_change() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/examples");
    let mappings = load_directory(&directory).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(mappings.len(), 2, "opportunities of two CRMs");
    for mapping in &mappings {
        let report = run_cases(mapping);
        assert!(report.passed(), "{}: {report:#?}", mapping.file());
        let own = mapping.fields().iter().filter(|rule| rule.place.contains("microsoft-default"));
        let names: Vec<&str> = own.map(|rule| rule.name.as_str()).collect();
        assert!(names.len() >= 6, "{names:?}");
        let unseen =
            |row: &&String| row.split(' ').next().is_some_and(|name| names.contains(&name));
        let unseen: Vec<_> = report.uncovered.iter().filter(unseen).collect();
        assert!(unseen.is_empty(), "{}: no case shows {unseen:?}", mapping.file());
    }
}
