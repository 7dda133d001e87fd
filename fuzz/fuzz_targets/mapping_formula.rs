//! Any text as a formula: it is refused, or it ends quickly with a value or a problem.
#![no_main]

#[path = "../bodies/mapping_formula.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|formula: &str| body::run(formula));
