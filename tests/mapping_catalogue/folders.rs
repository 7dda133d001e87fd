//! What may be wrong with a folder of mapping files (M3, M12), whatever stands in the files.

use std::fs;
use std::path::Path;

use cosell_sync::mapping::{MappingFolder, load_directory};
use tempfile::TempDir;

const GOOD: &str = "extends = \"salesforce-lead.toml\"\n";

/// Names and contents.
type Files<'f> = &'f [(&'f str, &'f [u8])];

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("a file");
    }
    folder
}

fn refused(folder: &Path) -> String {
    load_directory(folder).expect_err("it must be refused").to_string()
}

#[test]
fn m3_a_file_of_a_hundred_megabytes_is_refused_unread() {
    let folder = folder(&[("good.toml", GOOD.as_bytes())]);
    let large = fs::File::create(folder.path().join("large.toml")).expect("a file");
    large.set_len(100 << 20).expect("a length");
    let said = refused(folder.path());
    assert!(said.contains("larger than 1048576 bytes") && said.contains("large.toml"), "{said}");
    assert!(!said.contains("good.toml"), "the others are not blamed: {said}");
}

#[test]
fn m12_a_folder_that_cannot_be_used_says_what_to_do() {
    let empty = folder(&[("notes.txt", b"no mapping")]);
    let said = refused(empty.path());
    assert!(said.contains("no mapping file") && said.contains("copy the shipped"), "{said}");
    let said = refused(&empty.path().join("nowhere"));
    assert!(said.contains("cannot be read") && said.contains("help:"), "{said}");
    let said = refused(&empty.path().join("notes.txt"));
    assert!(said.contains("cannot be read"), "a file is no folder: {said}");
}

#[test]
fn files_that_extend_one_another_are_refused_and_not_overlooked() {
    let table: [(Files<'_>, &str); 3] = [
        (
            &[("a.toml", b"extends = \"b.toml\""), ("b.toml", b"extends = \"a.toml\"")],
            "extend one another in a circle",
        ),
        (
            &[
                ("a.toml", b"extends = \"b.toml\""),
                ("b.toml", b"extends = \"c.toml\""),
                ("c.toml", b"extends = \"b.toml\""),
                ("good.toml", GOOD.as_bytes()),
            ],
            "extend one another in a circle",
        ),
        (
            &[
                ("own.toml", b"extends = \"contoso-bas.toml\""),
                ("contoso-base.toml", GOOD.as_bytes()),
            ],
            "no such file in the directory (`contoso-base.toml` is there)",
        ),
    ];
    for (files, expected) in table {
        let folder = folder(files);
        let said = refused(folder.path());
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // A file of the shipped one's name may stand between.
    let folder = folder(&[
        ("salesforce-lead.toml", b"extends = \"contoso.toml\""),
        ("contoso.toml", b"extends = \"salesforce-lead.toml\""),
    ]);
    let said = load_directory(folder.path()).map(|mappings| mappings.len());
    assert_eq!(said.map_err(|problems| problems.to_string()), Ok(1));
}

#[cfg(unix)]
#[test]
fn m12_links_in_a_circle_or_to_nothing_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = folder(&[]);
    symlink(folder.path().join("b.toml"), folder.path().join("a.toml")).expect("a link");
    symlink(folder.path().join("a.toml"), folder.path().join("b.toml")).expect("a link");
    symlink(folder.path().join("gone.txt"), folder.path().join("c.toml")).expect("a link");
    let said = refused(folder.path());
    for name in ["a.toml", "b.toml", "c.toml"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    symlink(folder.path(), folder.path().join("d.toml")).expect("a link");
    assert!(refused(folder.path()).contains("is not a file"), "a link to the folder itself");
}

#[cfg(unix)]
#[test]
fn m12_links_within_the_folder_are_followed_as_mounted_configuration_has_them() {
    use std::os::unix::fs::symlink;
    let folder = folder(&[]);
    let inner = folder.path().join("..data");
    fs::create_dir(&inner).expect("a directory");
    fs::write(inner.join("contoso.toml"), GOOD).expect("a file");
    symlink("..data/contoso.toml", folder.path().join("contoso.toml")).expect("a link");
    let loaded = load_directory(folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.len(), 1);
}

#[cfg(unix)]
#[test]
fn m12_a_folder_open_to_everyone_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder(&[("contoso.toml", GOOD.as_bytes())]);
    let read = MappingFolder::read(folder.path()).expect("a folder");
    assert_eq!(read.warnings(), &[] as &[String]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
    let read = MappingFolder::read(folder.path()).expect("a folder");
    assert!(read.warnings()[0].contains("chmod o-w"), "{:?}", read.warnings());
    assert!(read.compile().is_ok());
}

/// What is compiled is what was read, whatever becomes of the files in the meantime.
#[test]
fn what_was_read_is_what_is_compiled() {
    let folder = folder(&[("contoso.toml", GOOD.as_bytes())]);
    let read = MappingFolder::read(folder.path()).expect("a folder");
    fs::write(folder.path().join("contoso.toml"), "nonsense").expect("a file");
    assert!(read.compile().is_ok());
    assert_eq!(read.texts()["contoso.toml"], GOOD);
    assert!(load_directory(folder.path()).is_err());
}
