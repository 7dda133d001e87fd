//! JSON of a request into the value of a column, with the limits of the column.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{Column, Kind, Table};
use crate::connect::dynamics365::sandbox::state::stamp;
use crate::domain::time::{Date, Timestamp};

/// Converts a value that is no lookup; `Null` clears.
pub(super) fn convert(table: &Table, column: &Column, value: &Json) -> Result<Json, Problem> {
    let wrong = || {
        let inner = format!(
            "Cannot convert the literal '{value}' to the expected type of '{}'.",
            column.logical
        );
        Problem::payload(&table.set, &inner)
    };
    if value.is_null() {
        return Ok(Json::Null);
    }
    match &column.kind {
        Kind::Text(max, _) | Kind::Memo(max) => {
            text(table, column, value.as_str().ok_or_else(wrong)?, *max)
        }
        Kind::Integer(min, max) => {
            let number = value.as_i64().ok_or_else(wrong)?;
            in_range(
                table,
                column,
                Decimal::from(number),
                Decimal::from(*min),
                Decimal::from(*max),
            )?;
            Ok(json!(number))
        }
        Kind::Big => value.as_i64().map(Json::from).ok_or_else(wrong),
        Kind::Double => value.as_f64().map(Json::from).ok_or_else(wrong),
        Kind::Decimal(precision) => {
            let limit = Decimal::from(100_000_000_000_i64);
            let number = decimal(value).ok_or_else(wrong)?;
            in_range(table, column, number, -limit, limit)?;
            rounded(number, *precision).ok_or_else(wrong)
        }
        Kind::Money { min, max, precision } => {
            let number = decimal(value).ok_or_else(wrong)?;
            in_range(table, column, number, Decimal::from(*min), Decimal::from(*max))?;
            rounded(number, *precision).ok_or_else(wrong)
        }
        Kind::Boolean(..) => value.as_bool().map(Json::from).ok_or_else(wrong),
        Kind::Date => {
            let date = value.as_str().and_then(Date::parse).ok_or_else(wrong)?;
            Ok(json!(date.to_string()))
        }
        Kind::Instant => {
            let instant = value.as_str().and_then(Timestamp::parse).ok_or_else(wrong)?;
            Ok(json!(stamp(instant)))
        }
        Kind::Choice(_) | Kind::State(_) | Kind::Status(_) => option(table, column, value, wrong),
        Kind::Guid => {
            let text = value.as_str().ok_or_else(wrong)?;
            let id = uuid::Uuid::parse_str(text).map_err(|_| wrong())?;
            Ok(json!(id.to_string()))
        }
        Kind::Lookup(_) => Err(wrong()),
    }
}

fn text(table: &Table, column: &Column, text: &str, max: usize) -> Result<Json, Problem> {
    if text.encode_utf16().count() > max {
        let message = format!(
            "A validation error occurred. The length of the '{}' attribute of the '{}' entity \
             exceeded the maximum allowed length of '{max}'.",
            column.logical, table.logical
        );
        return Err(Problem::new(400, "0x80044331", message));
    }
    Ok(if text.is_empty() { Json::Null } else { json!(text) })
}

fn in_range(
    table: &Table,
    column: &Column,
    number: Decimal,
    min: Decimal,
    max: Decimal,
) -> Result<(), Problem> {
    let (code, side, limit) = if number < min {
        ("0x8004432f", "below the minimum", min)
    } else if number > max {
        ("0x80044330", "above the maximum", max)
    } else {
        return Ok(());
    };
    let message = format!(
        "A validation error occurred. The value of '{}' on record of type '{}' is outside the \
         valid range: {number} is {side} of {limit}.",
        column.logical, table.logical
    );
    Err(Problem::new(400, code, message))
}

fn option(
    table: &Table,
    column: &Column,
    value: &Json,
    wrong: impl Fn() -> Problem,
) -> Result<Json, Problem> {
    let number = value.as_i64().ok_or_else(wrong)?;
    if column.options().iter().any(|option| option.value == number) {
        return Ok(json!(number));
    }
    let message = format!(
        "A validation error occurred. The value {number} of '{}' on record of type '{}' is \
         outside the valid range.",
        column.logical, table.logical
    );
    Err(Problem::new(400, "0x8004431a", message))
}

/// Reads a JSON number exactly as it was written.
pub(in super::super) fn decimal(value: &Json) -> Option<Decimal> {
    let Json::Number(number) = value else { return None };
    let text = number.to_string();
    Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

fn rounded(number: Decimal, precision: u32) -> Option<Json> {
    serde_json::from_str(&number.round_dp(precision).to_string()).ok()
}
