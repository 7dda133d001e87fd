//! Any text as a mapping file: it compiles, or every problem has a place and can be printed.
#![no_main]

#[path = "../bodies/mapping_file.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::run(text));
