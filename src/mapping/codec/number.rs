//! Exact numbers: JSON numbers are read through their text and never pass through a float.

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Number, Value as Json};

use super::{Fault, shown};

/// A JSON number is exact up to this many significant digits; a longer one is refused.
const SIGNIFICANT_DIGITS: usize = 15;

/// Reads a number, or a text that is a number, rounded half to even to `scale` digits.
pub(crate) fn decimal_of(json: &Json, scale: u32) -> Result<Decimal, Fault> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_owned(),
        other => return Err(not_a_number(other)),
    };
    if text.len() > 60 {
        return Err(not_a_number(json));
    }
    let read = if text.contains(['e', 'E']) {
        Decimal::from_scientific(&text)
    } else {
        Decimal::from_str_exact(&text)
    };
    let decimal = read.map_err(|_| not_a_number(json))?;
    check_digits(decimal)?;
    Ok(decimal.round_dp_with_strategy(scale, RoundingStrategy::MidpointNearestEven).normalize())
}

/// The JSON number of `decimal`, which reads back as exactly the same.
pub(crate) fn json_of(decimal: Decimal) -> Result<Json, Fault> {
    check_digits(decimal)?;
    let decimal = decimal.normalize();
    if decimal.scale() == 0
        && let Ok(whole) = i64::try_from(decimal)
    {
        return Ok(Json::Number(whole.into()));
    }
    let float: f64 = decimal.to_string().parse().map_err(|_| too_long(decimal))?;
    Number::from_f64(float).map(Json::Number).ok_or_else(|| too_long(decimal))
}

/// Refuses a number that a JSON number cannot carry exactly.
fn check_digits(decimal: Decimal) -> Result<(), Fault> {
    let digits = decimal.normalize().mantissa().unsigned_abs().to_string();
    let digits = digits.trim_end_matches('0').len();
    if digits <= SIGNIFICANT_DIGITS { Ok(()) } else { Err(too_long(decimal)) }
}

fn too_long(decimal: Decimal) -> Fault {
    Fault::new(
        format!("{decimal} has more than {SIGNIFICANT_DIGITS} significant digits"),
        "enter a number with fewer digits",
    )
}

fn not_a_number(json: &Json) -> Fault {
    Fault::new(format!("{} is not a number", shown(json)), "enter a number")
}
