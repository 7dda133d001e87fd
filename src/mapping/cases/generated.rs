//! Values made from a fixed seed: what is written must read back the same.

use rust_decimal::Decimal;

use super::CaseOutcome;
use crate::domain::time::{Date, Timestamp};
use crate::domain::value::{Item, Value};
use crate::mapping::codec::Step;
use crate::mapping::codec::convert::Converter;
use crate::mapping::compiled::{Mapping, Row};
use crate::mapping::problem::Problem;
use crate::mapping::rule::{Direction, FieldKind, FieldRule};

/// Values tried for each row.
const CASES: u64 = 1_000;

/// One outcome for each row that travels both ways without an accepted loss.
pub(super) fn run(mapping: &Mapping) -> Vec<CaseOutcome> {
    let rows = mapping.rules.iter().zip(&mapping.rows);
    rows.filter(|(rule, row)| {
        let loses = row.converter.steps.iter().any(|step| step.loses().is_some());
        rule.direction == Direction::Both && !loses
    })
    .map(|(rule, row)| outcome(mapping, rule, row))
    .collect()
}

fn outcome(mapping: &Mapping, rule: &FieldRule, row: &Row) -> CaseOutcome {
    let mut differences = Vec::new();
    let words = words(&row.converter);
    for seed in 0..CASES {
        let value = match words.len() {
            0 => value(&row.converter, &mut Seed(seed)),
            count => words[usize::try_from(seed).unwrap_or(0) % count].clone(),
        };
        differences.extend(round_trip(&row.converter, &value));
        if differences.len() >= 3 {
            break;
        }
    }
    let problems = differences.iter().map(|difference| {
        let message = format!("`{}` does not come back unchanged: {difference}", rule.name);
        let way = "give the row one direction, or a codec that can be undone".to_owned();
        Problem::at(&row.spot, &mapping.sources, message, Some(way))
    });
    CaseOutcome {
        name: format!("{} comes back unchanged from both sides", rule.name),
        passed: differences.is_empty(),
        problems: problems.collect(),
        differences,
    }
}

/// What is lost of `value` at either end; a refusal loses nothing.
fn round_trip(converter: &Converter, value: &Value) -> Option<String> {
    if let Ok(json) = converter.to_record(value) {
        let back = converter.of_record(&json).ok();
        if back.as_ref() != Some(value) {
            return Some(format!("the record holds {json} for {value:?} and reads back {back:?}"));
        }
    }
    if let Ok(json) = converter.to_referral(value, None) {
        let back = converter.of_referral(&json).ok();
        if back.as_ref() != Some(value) {
            return Some(format!(
                "the referral holds {json} for {value:?} and reads back {back:?}"
            ));
        }
    }
    None
}

/// The words that a lookup knows, in canonical form; nothing for a row without one.
fn words(converter: &Converter) -> Vec<Value> {
    let lookup = converter.steps.iter().find_map(|step| match step {
        Step::Lookup(lookup) => Some(lookup),
        _ => None,
    });
    let pairs = lookup.map_or(&[][..], |lookup| lookup.pairs.as_slice());
    pairs.iter().filter_map(|(referral, _)| converter.of_referral(referral).ok()).collect()
}

fn value(converter: &Converter, seed: &mut Seed) -> Value {
    let upper = converter.steps.iter().any(|step| matches!(step, Step::Upper));
    match converter.kind {
        FieldKind::Text | FieldKind::Option => {
            let text = seed.text();
            Value::text(&if upper { text.to_uppercase() } else { text })
        }
        FieldKind::Money | FieldKind::Decimal => {
            let units = i64::try_from(seed.next() % 10_000_000_000_000).unwrap_or(0);
            Value::decimal(Decimal::new(units - 5_000_000_000_000, converter.scale))
        }
        FieldKind::Integer => Value::Integer(i64::try_from(seed.next() >> 1).unwrap_or(0)),
        FieldKind::Boolean => Value::Bool(seed.next().is_multiple_of(2)),
        FieldKind::Date => Value::Date(seed.date()),
        FieldKind::Instant => Value::Instant(seed.instant()),
        FieldKind::List => {
            Value::list((0..seed.next() % 5).map(|_| item(converter, seed)).collect())
        }
    }
}

fn item(converter: &Converter, seed: &mut Seed) -> Item {
    let number = seed.next() % 100_000;
    let identity = format!("SOL-{number:05}-XYZ");
    let mut parts = Vec::new();
    if let Some(list) = &converter.list {
        for part in &list.parts {
            let text = if *part == list.identity { identity.clone() } else { seed.text() };
            parts.push((part.clone(), Value::text(&text)));
        }
    }
    parts.sort();
    Item { identity: identity.to_lowercase(), parts }
}

/// A row of numbers that looks random and is the same each time (SplitMix64).
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Text with what breaks converters: entities, separators, line breaks, letters of many bytes.
    fn text(&mut self) -> String {
        const PIECES: [&str; 14] =
            ["Contoso", " ", "&amp;", "&", ";", ",", "\n", "\r\n", "é", "漢", "\"", "'", "0", "  "];
        let count = PIECES.len() as u64;
        (0..self.next() % 12)
            .map(|_| PIECES[usize::try_from(self.next() % count).unwrap_or(0)])
            .collect()
    }

    fn instant(&mut self) -> Timestamp {
        let seconds = i64::try_from(self.next() % 4_000_000_000).unwrap_or(0);
        Timestamp::from_millis(seconds * 1000)
    }

    fn date(&mut self) -> Date {
        self.instant().date()
    }
}
