//! The scanner sees what is written in each of the ways people write it, and nothing else.

use crate::scan::{paths, tokens};

#[test]
fn every_way_to_name_a_module_is_seen() {
    let table = [
        // (source in the module crate::a::b, paths, why)
        ("use crate::x::Y;", "crate::x::Y", "the plain way"),
        ("use crate::{x::Y, z};", "crate::x::Y crate::z", "a group"),
        ("use crate::x::{self, y::{Z as W}};", "crate::x::self crate::x::y::Z", "nested, renamed"),
        ("use super::c::D;", "crate::a::c::D", "relative to the parent"),
        ("use self::c::D;", "crate::a::b::c::D", "relative to itself"),
        ("pub(crate) use crate::x::*;", "crate::x::*", "everything, passed on"),
        ("fn f(y: &crate::x::Y) {}", "crate::x::Y", "a type in a signature"),
        ("let y = super::super::x::f();", "crate::x::f", "a call"),
        ("mod c { use super::D; }", "crate::a::b::D", "a module written inside"),
        ("mod c {} use super::D;", "crate::a::D", "after such a module"),
        ("use crate::x; fn f() { x::g() }", "crate::x crate::x::g", "by a name brought in"),
        ("use crate::x as w; fn f() { w::g() }", "crate::x crate::x::g", "by another name"),
        ("tokio::select! {}", "tokio::select", "a macro"),
        ("#[tokio::test] fn f() {}", "tokio::test", "an attribute"),
        ("use sled;", "sled", "a crate as a whole"),
        ("// use crate::x::Y;\n/* crate::x */", "", "a comment"),
        ("let s = \"crate::x::Y \\\" crate::z\";", "", "a string"),
        ("let s = r#\"crate::x \" crate::y\"#;", "", "a raw string"),
        ("fn f<'a>(c: &'a str) -> char { '\"' } // \" crate::x", "", "a lifetime, a character"),
    ];
    let module = ["crate", "a", "b"].map(str::to_owned);
    for (source, expected, why) in table {
        let seen: Vec<_> =
            paths(&tokens(source), &module).iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(seen.join(" "), expected, "{why}: {source}");
    }
}

#[test]
fn what_is_for_tests_is_marked_up_to_its_end() {
    let source =
        "use a::B;\n#[cfg(test)]\nuse c::D;\n#[cfg(test)]\nmod tests { use e::F; }\nuse g::H;";
    let seen: Vec<_> = paths(&tokens(source), &["crate".to_owned()])
        .iter()
        .map(|path| (path.segments.join("::"), path.line, path.is_test))
        .collect();
    let expected = [("a::B", 1, false), ("c::D", 3, true), ("e::F", 5, true), ("g::H", 6, false)];
    assert_eq!(seen, expected.map(|(path, line, is_test)| (path.to_owned(), line, is_test)));
}
