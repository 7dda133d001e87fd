//! Wrong mapping files and what is said about them: one file each in `tests/mapping_catalogue/`, all
//! messages in `tests/mapping_catalogue/messages.snap`.

use std::fmt::Write as _;
use std::path::Path;

use cosell_sync::mapping::{Source, compile, shipped};

#[test]
fn every_wrong_file_is_refused_with_the_place_and_a_way_out() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mapping_catalogue");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .expect("the catalogue")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 60, "the catalogue has {} files", names.len());
    let load = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name));
        match (shipped(name), text) {
            (Some(base), _) => Ok(base),
            (None, Ok(text)) => Ok(Source { name: name.to_owned(), text }),
            (None, Err(_)) => Err("there is no such file".to_owned()),
        }
    };
    let mut all = String::new();
    for name in &names {
        match compile(name, &load) {
            Ok(_) => panic!("{name} compiled although it is wrong"),
            Err(problems) => {
                assert!(!problems.0.is_empty(), "{name} was refused without a reason");
                writeln!(all, "==== {name}\n{problems}\n").expect("text");
            }
        }
    }
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("messages", all);
    });
}
