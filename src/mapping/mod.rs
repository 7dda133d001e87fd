//! Mapping files: what a field of a referral is called in a CRM, and how its value is converted.
//!
//! * Owns: the file format, its compilation with every problem at once, reversible conversions,
//!   formulas, and the cases that files carry.
//! * May use: `domain`. No store, no network, no clock: a mapping is a pure function. Only
//!   [`load`] reads files.
//! * Everything that depends on names, stages or options of a CRM is in the files, nothing in Rust.
//!
//! Start reading at [`compile()`], which makes a [`Mapping`] of a file, then [`Mapping`] itself.

mod cases;
mod codec;
mod compile;
mod compiled;
mod diff;
mod file;
mod formula;
mod knowledge;
mod live;
mod load;
mod parked;
mod path;
mod preview;
mod problem;
pub mod registration;
pub mod rule;
mod schema;
mod table;
mod write;

pub use cases::{CaseOutcome, CaseReport, run_cases};
pub use compile::compile;
pub use compiled::Mapping;
pub use diff::{DiffLine, DiffReport, diff};
pub use live::{LiveField, Mismatch};
pub use load::{
    MappingFolder, OF_THE_PROGRAM, load_directory, load_shipped, shipped, shipped_files,
};
pub use preview::{PreviewInput, PreviewLine, preview};
pub use problem::{Problem, Problems, Source};
pub use schema::json_schema;
