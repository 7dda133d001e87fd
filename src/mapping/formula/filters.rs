//! The filters of formulas. A filter gets nothing but its arguments, and null stays null.

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
    environment.add_filter("replace", |value: Any, from: String, to: String| {
        text(&value, |text| text.replace(&from, &to))
    });
    environment.add_filter("contains", |value: Any, part: String| plain(&value).contains(&part));
    environment
        .add_filter("starts_with", |value: Any, part: String| plain(&value).starts_with(&part));
    environment.add_filter("ends_with", |value: Any, part: String| plain(&value).ends_with(&part));
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
    environment.add_filter("first", |value: Any| items(&value).into_iter().next());
    environment.add_filter("last", |value: Any| items(&value).into_iter().next_back());
    environment.add_filter("length", |value: Any| match value.as_str() {
        Some(text) => text.chars().count(),
        None => items(&value).len(),
    });
    environment.add_filter("column", |value: Any, name: String| {
        items(&value).iter().filter_map(|item| item.get_attr(&name).ok()).collect::<Vec<_>>()
    });
    environment.add_filter("join", |value: Any, separator: String| {
        items(&value).iter().map(plain).collect::<Vec<_>>().join(&separator)
    });
    environment.add_filter("split", |value: Any, separator: String| {
        let text = plain(&value);
        let parts = text.split(separator.as_str()).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    });
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

/// The calendar date of an instant, in UTC or the named zone.
fn date(value: Any, zone: Option<String>) -> Result<Any, Error> {
    let text = plain(&value);
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
fn text(value: &Any, change: impl Fn(&str) -> String) -> Any {
    if value.is_none() || value.is_undefined() {
        return Any::from(());
    }
    Any::from(change(&plain(value)))
}

/// The text of a value; empty for null.
fn plain(value: &Any) -> String {
    if value.is_none() || value.is_undefined() { String::new() } else { value.to_string() }
}

/// The items of a list; none for anything else.
fn items(value: &Any) -> Vec<Any> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map(Iterator::collect).unwrap_or_default()
        }
        _ => Vec::new(),
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
    let json = serde_json::to_value(value).map_err(|error| failed(error.to_string()))?;
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
