//! The filters of formulas. A filter gets nothing but its arguments, and null stays null.
//!
//! The engine counts what a filter returns, but only afterwards: whatever could make more than it
//! was given is measured here before it is made.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value as Any};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::domain::time::{Date, Timestamp};
use crate::mapping::codec::{self, decimal_of};

/// The names of all filters.
pub(crate) const FILTERS: [&str; 24] = [
    "column",
    "contains",
    "cut",
    "date",
    "default",
    "divided_by",
    "ends_with",
    "first",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "minus",
    "number",
    "one_line",
    "plus",
    "replace",
    "round",
    "split",
    "starts_with",
    "times",
    "trim",
    "upper",
];

/// The longest text that a formula makes, in bytes.
pub(crate) const LONGEST_TEXT: usize = 64 * 1024;

/// The most items of a list that a formula looks at.
pub(crate) const MOST_ITEMS: usize = 10_000;

/// The names of all tests.
pub(crate) const TESTS: [&str; 2] = ["empty", "none"];

/// Puts every filter and test into `environment`.
pub(crate) fn install(environment: &mut Environment<'static>) {
    environment.add_filter("trim", |value: Any| text(&value, |text| text.trim().to_owned()));
    environment.add_filter("lower", |value: Any| text(&value, str::to_lowercase));
    environment.add_filter("upper", |value: Any| text(&value, str::to_uppercase));
    environment.add_filter("one_line", |value: Any| {
        text(&value, |text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    environment.add_filter("cut", |value: Any, length: usize| {
        text(&value, |text| codec::cut(text, length))
    });
    environment.add_filter("replace", replace);
    environment.add_filter("contains", |value: Any, part: String| {
        plain(&value).map(|text| text.contains(&part))
    });
    environment.add_filter("starts_with", |value: Any, part: String| {
        plain(&value).map(|text| text.starts_with(&part))
    });
    environment.add_filter("ends_with", |value: Any, part: String| {
        plain(&value).map(|text| text.ends_with(&part))
    });
    environment.add_filter(
        "default",
        |value: Any, other: Any| {
            if is_empty(&value) { other } else { value }
        },
    );
    environment.add_filter("date", date);
    install_lists(environment);
    install_numbers(environment);
    environment.add_test("empty", |value: Any| is_empty(&value));
    environment.add_test("none", |value: Any| value.is_none() || value.is_undefined());
}

fn install_lists(environment: &mut Environment<'static>) {
    environment.add_filter("first", |value: Any| items(&value).map(|all| all.into_iter().next()));
    environment
        .add_filter("last", |value: Any| items(&value).map(|all| all.into_iter().next_back()));
    environment.add_filter("length", |value: Any| match value.as_str() {
        Some(text) => Ok(text.chars().count()),
        None => items(&value).map(|all| all.len()),
    });
    environment.add_filter("column", |value: Any, name: String| {
        let all = items(&value)?;
        Ok::<_, Error>(all.iter().filter_map(|item| item.get_attr(&name).ok()).collect::<Vec<_>>())
    });
    environment.add_filter("join", join);
    environment.add_filter("split", split);
}

fn install_numbers(environment: &mut Environment<'static>) {
    environment.add_filter("int", |value: Any| {
        let decimal = decimal(&value)?.trunc();
        i64::try_from(decimal).map_err(|_| failed(format!("{decimal} is out of range")))
    });
    environment.add_filter("number", |value: Any| {
        let text = decimal(&value)?.to_string();
        text.parse::<f64>().map_err(|_| failed(format!("{text} is no number")))
    });
    environment.add_filter("plus", |left: Any, right: Any| {
        exact(decimal(&left)?.checked_add(decimal(&right)?))
    });
    environment.add_filter("minus", |left: Any, right: Any| {
        exact(decimal(&left)?.checked_sub(decimal(&right)?))
    });
    environment.add_filter("times", |left: Any, right: Any| {
        exact(decimal(&left)?.checked_mul(decimal(&right)?))
    });
    environment.add_filter("divided_by", |left: Any, right: Any| {
        let right = decimal(&right)?;
        if right.is_zero() {
            return Err(failed("a division by zero".to_owned()));
        }
        // Ten digits after the point keep a quotient within what a number in JSON can carry.
        exact(decimal(&left)?.checked_div(right).map(|quotient| quotient.round_dp(10)))
    });
    environment.add_filter("round", |value: Any, digits: Option<u32>| {
        let strategy = RoundingStrategy::MidpointNearestEven;
        let digits = digits.unwrap_or(0).min(10);
        exact(Some(decimal(&value)?.round_dp_with_strategy(digits, strategy)))
    });
}

/// Every `from` as `to`; how long the text becomes is known before it is made.
fn replace(value: Any, from: String, to: String) -> Result<Any, Error> {
    let grown = plain(&value)?.matches(from.as_str()).count().saturating_mul(to.len());
    short(grown)?;
    text(&value, |text| text.replace(&from, &to))
}

fn join(value: Any, separator: String) -> Result<String, Error> {
    let parts = items(&value)?.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let texts: usize = parts.iter().map(String::len).sum();
    short(texts.saturating_add(parts.len().saturating_mul(separator.len())))?;
    Ok(parts.join(&separator))
}

fn split(value: Any, separator: String) -> Result<Vec<String>, Error> {
    if separator.is_empty() {
        return Err(failed("`split` needs a separator".to_owned()));
    }
    let text = plain(&value)?;
    let parts = text.split(separator.as_str()).map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.take(MOST_ITEMS + 1).map(str::to_owned).collect();
    if parts.len() > MOST_ITEMS { Err(too_many()) } else { Ok(parts) }
}

/// Refuses to make a text of more than [`LONGEST_TEXT`] bytes.
fn short(bytes: usize) -> Result<(), Error> {
    if bytes <= LONGEST_TEXT {
        return Ok(());
    }
    Err(failed(format!("the text would be longer than {LONGEST_TEXT} bytes")))
}

fn too_many() -> Error {
    failed(format!("the list has more than {MOST_ITEMS} items"))
}

/// The calendar date of an instant, in UTC or the named zone.
fn date(value: Any, zone: Option<String>) -> Result<Any, Error> {
    let text = plain(&value)?;
    if text.is_empty() {
        return Ok(Any::from(()));
    }
    if let Some(date) = Date::parse(&text) {
        return Ok(Any::from(date.to_string()));
    }
    let instant = Timestamp::parse(&text).ok_or_else(|| failed(format!("{text} is no instant")))?;
    let zone = zone.as_deref().unwrap_or("UTC");
    let date = Date::of(instant, zone).ok_or_else(|| failed(format!("{zone} is no time zone")))?;
    Ok(Any::from(date.to_string()))
}

/// Applies `change` to a text or the text of a number; null stays null.
fn text(value: &Any, change: impl Fn(&str) -> String) -> Result<Any, Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(Any::from(()));
    }
    Ok(Any::from(change(&plain(value)?)))
}

/// The text of a value; empty for null. A list has none: printed it would grow with each step.
fn plain(value: &Any) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(String::new()),
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(value.to_string()),
        _ => Err(failed("a list is no text; use first, join or column before".to_owned())),
    }
}

/// The items of a list; none for anything else. A list that was multiplied is only made here, so
/// its length is asked first.
fn items(value: &Any) -> Result<Vec<Any>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            if value.len().is_some_and(|length| length > MOST_ITEMS) {
                return Err(too_many());
            }
            let all: Vec<Any> = value.try_iter()?.take(MOST_ITEMS + 1).collect();
            if all.len() > MOST_ITEMS { Err(too_many()) } else { Ok(all) }
        }
        _ => Ok(Vec::new()),
    }
}

/// Refuses a value that has more text or more items, inner ones included, than a field could use.
pub(crate) fn measure(value: &Any) -> Result<(), Error> {
    let mut items = 0;
    let mut bytes = 0;
    measure_within(value, &mut items, &mut bytes)
}

fn measure_within(value: &Any, items: &mut usize, bytes: &mut usize) -> Result<(), Error> {
    *items += 1;
    *bytes += value.as_str().map_or(0, str::len);
    short(*bytes)?;
    if *items > MOST_ITEMS {
        return Err(too_many());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.try_for_each(|item| measure_within(&item, items, bytes))
        }
        ValueKind::Map => value.try_iter()?.try_for_each(|key| {
            *bytes += key.as_str().map_or(0, str::len);
            measure_within(&value.get_item(&key)?, items, bytes)
        }),
        _ => Ok(()),
    }
}

fn is_empty(value: &Any) -> bool {
    value.is_none()
        || value.is_undefined()
        || value.as_str().is_some_and(|text| text.trim().is_empty())
        || (value.kind() == ValueKind::Seq && value.len() == Some(0))
}

/// The exact number that a number or a text stands for; null is zero.
fn decimal(value: &Any) -> Result<Decimal, Error> {
    if is_empty(value) {
        return Ok(Decimal::ZERO);
    }
    let json = match value.kind() {
        ValueKind::Number => {
            serde_json::to_value(value).map_err(|error| failed(error.to_string()))?
        }
        _ => plain(value)?.into(),
    };
    decimal_of(&json, 10).map_err(|fault| failed(fault.reason))
}

/// An exact result as text, so that no float is ever made of it.
fn exact(result: Option<Decimal>) -> Result<String, Error> {
    let result = result.ok_or_else(|| failed("the result is out of range".to_owned()))?;
    Ok(result.normalize().to_string())
}

fn failed(reason: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
