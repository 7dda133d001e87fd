//! Any JSON as a referral and as a record: every field is a value or a problem, never a panic.
#![no_main]

#[path = "../bodies/mapping_values.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::run(text));
