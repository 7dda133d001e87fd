//! The targets of `fuzz/` over their seeds, and over what random changes make of them: a short look in
//! every run of the tests at what the fuzzer looks for in hours.
//!
//! `COSELL_SYNC_FUZZ_RUNS`: changed inputs for each target, 1,000 by default.
//! `COSELL_SYNC_FUZZ_SEED`: the number that the changes follow from, 1 by default.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/bodies/mapping_file.rs"]
mod mapping_file;
#[path = "../../fuzz/bodies/mapping_formula.rs"]
mod mapping_formula;
#[path = "../../fuzz/bodies/mapping_values.rs"]
mod mapping_values;

/// Words that change more than a letter does.
const WORDS: [&str; 24] = [
    "[[field]]\n",
    "[[stage]]\n",
    "[[case]]\n",
    "extends = \"fuzz.toml\"\n",
    "\"",
    "'''",
    "{",
    "}",
    "[",
    "]",
    "= ",
    "0.1",
    "-9223372036854775808",
    "1e308",
    "null",
    "\\u0000",
    "\u{feff}",
    "ß",
    "\r\n",
    "|",
    "**",
    "//",
    "referral.",
    "lookup:",
];

/// A row of numbers that is the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, many: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let next = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        usize::try_from(next % many.max(1) as u64).expect("it is below a usize")
    }

    /// A place between two letters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn changed(&mut self, seeds: &[String]) -> String {
        let mut text = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let (one, other) = (self.place(&text), self.place(&text));
            let (from, to) = (one.min(other), one.max(other));
            match self.below(6) {
                0 => text.insert_str(from, WORDS[self.below(WORDS.len())]),
                1 => text.replace_range(from..to, ""),
                2 => {
                    let part = text[from..to].to_owned();
                    let at = self.place(&text);
                    text.insert_str(at, &part);
                }
                3 => {
                    let donor = &seeds[self.below(seeds.len())];
                    let (start, end) = (self.place(donor), self.place(donor));
                    text.insert_str(from, &donor[start.min(end)..start.max(end)]);
                }
                4 => text.truncate(to),
                _ => {
                    let letter = char::from(32 + u8::try_from(self.below(95)).expect("a letter"));
                    text.insert(from, letter);
                }
            }
        }
        text
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs a target over its seeds and changes of them; what makes it fail is shown.
fn look(target: &str, run: fn(&str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let seeds = std::fs::read_dir(&folder).expect("the seeds");
    let mut seeds: Vec<String> = seeds
        .map(|seed| std::fs::read_to_string(seed.expect("a seed").path()).expect("text"))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let mut numbers = Numbers(number("COSELL_SYNC_FUZZ_SEED", 1) as u64);
    let runs = number("COSELL_SYNC_FUZZ_RUNS", 1000);
    let changed: Vec<String> = (0..runs).map(|_| numbers.changed(&seeds)).collect();
    for input in seeds.iter().chain(&changed) {
        let held = catch_unwind(AssertUnwindSafe(|| run(input)));
        assert!(held.is_ok(), "{target} fails with {input:?}");
    }
}

#[test]
fn any_text_as_a_mapping_file_compiles_or_is_refused_with_a_reason() {
    look("mapping_file", mapping_file::run);
}

#[test]
fn any_text_as_a_formula_gives_a_value_or_a_problem() {
    look("mapping_formula", mapping_formula::run);
}

#[test]
fn any_json_as_either_side_is_read_and_written_without_a_panic() {
    look("mapping_values", mapping_values::run);
}
