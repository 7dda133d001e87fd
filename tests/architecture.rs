//! The shape of the source tree: who may import whom, crates kept inside their part, file lengths,
//! no leftovers of debugging, no path of the machine it was written on.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/table.rs"]
mod table;
#[path = "architecture/tree.rs"]
mod tree;

use tree::Source;

#[test]
fn debug_edges() {
    let mut all = std::collections::BTreeMap::<String, Vec<String>>::new();
    for source in Source::all() {
        for path in source.paths() {
            if path.segments[0] == "crate" || table::KEPT_INSIDE.iter().any(|(name, _)| *name == path.segments[0]) || table::IMPURE.contains(&path.segments[0].as_str()) {
                let to = if path.segments[0] == "crate" { tree::part(&path.segments[1..]).to_owned() } else { format!("CRATE {}", path.segments[0]) };
                if to == source.part() { continue; }
                all.entry(format!("{} -> {}{}", source.part(), to, if path.is_test { " (test)" } else { "" })).or_default().push(format!("{}:{}", source.name, path.line));
            }
        }
    }
    for (edge, places) in all {
        println!("{edge}: {} {}", places.len(), places[0]);
    }
}
