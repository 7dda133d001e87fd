//! Exact numbers: JSON numbers are read through their text and never pass through a float.

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Number, Value as Json};

use super::{Fault, shown};

/// A JSON number is exact up to this many significant digits; a longer one is refused.
const SIGNIFICANT_DIGITS: u32 = 15;

/// The smallest whole number that has one digit too many.
const FIRST_TOO_LONG: u128 = 10_u128.pow(SIGNIFICANT_DIGITS);

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
    let mut digits = decimal.mantissa().unsigned_abs();
    while digits >= FIRST_TOO_LONG && digits.is_multiple_of(10) {
        digits /= 10;
    }
    if digits < FIRST_TOO_LONG { Ok(()) } else { Err(too_long(decimal)) }
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
