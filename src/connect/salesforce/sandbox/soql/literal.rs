//! Unquoted values: numbers, booleans, dates, and dates relative to today.

use std::time::Duration;

use super::ast::Literal;
use crate::domain::time::{Date, Timestamp};

const DAY: i64 = 86_400_000;

/// Relative dates without a number.
const PLAIN: [&str; 14] = [
    "TODAY",
    "YESTERDAY",
    "TOMORROW",
    "THIS_WEEK",
    "LAST_WEEK",
    "NEXT_WEEK",
    "THIS_MONTH",
    "LAST_MONTH",
    "NEXT_MONTH",
    "LAST_90_DAYS",
    "NEXT_90_DAYS",
    "THIS_QUARTER",
    "THIS_YEAR",
    "THIS_FISCAL_YEAR",
];
/// Relative dates with a number.
const COUNTED: [&str; 2] = ["LAST_N_DAYS", "NEXT_N_DAYS"];

/// Reads an unquoted value; `None` if it is none.
pub(crate) fn read(word: &str) -> Option<Literal> {
    let upper = word.to_uppercase();
    match upper.as_str() {
        "TRUE" => return Some(Literal::Bool(true)),
        "FALSE" => return Some(Literal::Bool(false)),
        "NULL" => return Some(Literal::Null),
        _ => {}
    }
    if PLAIN.contains(&upper.as_str()) {
        return Some(Literal::Relative(upper, None));
    }
    if let Some((name, count)) = upper.split_once(':')
        && COUNTED.contains(&name)
    {
        return Some(Literal::Relative(name.to_owned(), count.parse().ok().filter(|n| *n > 0)))
            .filter(|literal| !matches!(literal, Literal::Relative(_, None)));
    }
    if !word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    if let Some(date) = Date::parse(word) {
        return Some(Literal::Date(date));
    }
    if word.contains('T') {
        // Without an offset the platform refuses it, so the lenient reading is guarded.
        let zoned = word.ends_with('Z') || word.get(19..)?.contains(['+', '-']);
        return Timestamp::parse(word).filter(|_| zoned).map(Literal::DateTime);
    }
    word.parse().ok().filter(|number: &f64| number.is_finite()).map(Literal::Number)
}

/// The half-open span of a relative date, from `now` in UTC.
pub(crate) fn span(name: &str, count: Option<i64>, now: Timestamp) -> (Timestamp, Timestamp) {
    let today = now.date().midnight_utc().as_millis();
    let days = |from: i64, to: i64| (today + from * DAY, today + to * DAY);
    // 1970-01-01 was a Thursday; the week of the default locale begins on Sunday.
    let weekday = (today.div_euclid(DAY) + 4).rem_euclid(7);
    let count = count.unwrap_or(90);
    let (from, to) = match name {
        "YESTERDAY" => days(-1, 0),
        "TOMORROW" => days(1, 2),
        "THIS_WEEK" => days(-weekday, 7 - weekday),
        "LAST_WEEK" => days(-weekday - 7, -weekday),
        "NEXT_WEEK" => days(7 - weekday, 14 - weekday),
        "LAST_90_DAYS" | "LAST_N_DAYS" => days(-count, 1),
        "NEXT_90_DAYS" | "NEXT_N_DAYS" => days(1, count + 1),
        "THIS_MONTH" => months(now, 0, 1, 1),
        "LAST_MONTH" => months(now, -1, 1, 1),
        "NEXT_MONTH" => months(now, 1, 1, 1),
        "THIS_QUARTER" => months(now, 0, 3, 3),
        "THIS_YEAR" | "THIS_FISCAL_YEAR" => months(now, 0, 12, 12),
        _ => days(0, 1),
    };
    (Timestamp::from_millis(from), Timestamp::from_millis(to))
}

/// The block of `size` months around now (aligned to `align`), moved by `shift` months.
fn months(now: Timestamp, shift: i64, size: i64, align: i64) -> (i64, i64) {
    let text = now.date().to_string();
    let part = |from: usize, to: usize| {
        text.get(from..to).and_then(|part| part.parse::<i64>().ok()).unwrap_or(1)
    };
    let month = part(0, 4) * 12 + part(5, 7) - 1;
    let first = (month + shift).div_euclid(align) * align;
    let start = |month: i64| {
        let day = format!("{:04}-{:02}-01", month.div_euclid(12), month.rem_euclid(12) + 1);
        Date::parse(&day).map_or(0, |date| date.midnight_utc().as_millis())
    };
    (start(first), start(first + size))
}

/// The span of one day.
pub(crate) fn day(date: Date) -> (Timestamp, Timestamp) {
    let start = date.midnight_utc();
    (start, start.plus(Duration::from_secs(86_400)))
}
