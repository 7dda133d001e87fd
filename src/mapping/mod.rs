//! Mapping files: what a field of a referral is called in a CRM, and how its value is converted.
//!
//! * Owns: the file format, its compilation with every problem at once, reversible conversions,
//!   formulas, and the cases that files carry.
//! * May use: `domain`. No store, no network, no clock: a mapping is a pure function.
//! * Everything that depends on names, stages or options of a CRM is in the files, nothing in Rust.

pub mod rule;
