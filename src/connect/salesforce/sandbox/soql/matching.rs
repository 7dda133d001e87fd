//! Whether a stored value meets a comparison.

use std::cmp::Ordering;

use serde_json::Value;

use super::ast::{Literal, Operator};
use super::lexer::plain;
use super::literal;
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::id;
use crate::connect::salesforce::sandbox::schema::{Field, Kind};
use crate::domain::time::{Date, Timestamp};

/// A literal that fits the field it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Null,
    Text(String),
    Exact(String),
    Id(String),
    Number(f64),
    Bool(bool),
    /// Half-open span in milliseconds.
    Span(i64, i64),
    Pattern(String),
}

/// Turns a literal into what `field` is compared with.
///
/// # Errors
///
/// A literal of the wrong type, an operator that the type lacks, a long text.
pub(crate) fn operand(
    field: &Field,
    operator: Operator,
    literal: &Literal,
    now: Timestamp,
) -> Result<Operand, Failure> {
    if field.is_long_text() {
        let message = format!("field '{}' can not be filtered in a query call", field.name);
        return Err(Failure::new("INVALID_FIELD", message));
    }
    let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
    let patterned = operator == Operator::Like;
    let textual = !matches!(field.kind, Kind::Boolean | Kind::Date | Kind::DateTime)
        && !field.kind.is_number();
    let is_id = matches!(field.kind, Kind::Id | Kind::Reference);
    if (patterned && (!textual || is_id)) || (ordered && field.kind == Kind::Boolean) {
        let message = format!("invalid operator on {} field", field.kind.name());
        return Err(Failure::new("INVALID_QUERY_FILTER_OPERATOR", message));
    }
    if *literal == Literal::Null && field.kind != Kind::Boolean && !ordered {
        return Ok(Operand::Null);
    }
    match (field.kind, literal) {
        (Kind::Id | Kind::Reference, Literal::Text(text)) => {
            let id = id::normal(text).ok_or_else(|| {
                Failure::new("INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {text}"))
            })?;
            Ok(Operand::Id(id))
        }
        (Kind::Boolean, Literal::Bool(flag)) => Ok(Operand::Bool(*flag)),
        (kind, Literal::Number(number)) if kind.is_number() => Ok(Operand::Number(*number)),
        (Kind::DateTime, Literal::DateTime(at)) => {
            Ok(Operand::Span(at.as_millis(), at.as_millis() + 1))
        }
        (Kind::Date, Literal::Date(date)) => Ok(span(literal::day(*date))),
        (Kind::Date | Kind::DateTime, Literal::Relative(name, count)) => {
            Ok(span(literal::span(name, *count, now)))
        }
        (_, Literal::Text(text)) if textual && patterned => {
            Ok(Operand::Pattern(text.to_lowercase()))
        }
        (_, Literal::Text(text)) if textual && field.case_sensitive => {
            Ok(Operand::Exact(plain(text)))
        }
        (_, Literal::Text(text)) if textual => Ok(Operand::Text(plain(text).to_lowercase())),
        _ => Err(wrong_type(field)),
    }
}

fn span((from, to): (Timestamp, Timestamp)) -> Operand {
    Operand::Span(from.as_millis(), to.as_millis())
}

fn wrong_type(field: &Field) -> Failure {
    let (kind, quotes) = match field.kind {
        Kind::DateTime => ("dateTime", "should not be enclosed in quotes"),
        Kind::Date => ("date", "should not be enclosed in quotes"),
        Kind::Boolean => ("boolean", "should not be enclosed in quotes"),
        kind if kind.is_number() => ("double", "should not be enclosed in quotes"),
        _ => ("string", "should be enclosed in quotes"),
    };
    let name = &field.name;
    let message =
        format!("value of filter criterion for field '{name}' must be of type {kind} and {quotes}");
    Failure::new("INVALID_FIELD", message)
}

/// Whether `value` meets the comparison. A null value meets only `= NULL` and `!=`.
pub(crate) fn meets(value: &Value, operator: Operator, operand: &Operand) -> bool {
    if value.is_null() || *operand == Operand::Null {
        let equal = value.is_null() && *operand == Operand::Null;
        return match operator {
            Operator::Equal => equal,
            Operator::NotEqual => !equal,
            _ => false,
        };
    }
    if let Operand::Pattern(pattern) = operand {
        let text = value.as_str().unwrap_or_default().to_lowercase();
        let (pattern, text): (Vec<char>, Vec<char>) =
            (pattern.chars().collect(), text.chars().collect());
        return like(&pattern, &text);
    }
    let Some(order) = order(value, operand) else { return false };
    match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterOrEqual => order != Ordering::Less,
        Operator::Like => false,
    }
}

fn order(value: &Value, operand: &Operand) -> Option<Ordering> {
    match operand {
        Operand::Text(text) => Some(value.as_str()?.to_lowercase().cmp(text)),
        Operand::Exact(text) | Operand::Id(text) => Some(value.as_str()?.cmp(text)),
        Operand::Number(number) => value.as_f64()?.partial_cmp(number),
        Operand::Bool(flag) => Some(value.as_bool()?.cmp(flag)),
        Operand::Span(from, to) => {
            let at = millis(value.as_str()?)?;
            Some(if at < *from {
                Ordering::Less
            } else if at >= *to {
                Ordering::Greater
            } else {
                Ordering::Equal
            })
        }
        Operand::Null | Operand::Pattern(_) => None,
    }
}

/// A stored date or dateTime in milliseconds.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let moment = Date::parse(text).map(Date::midnight_utc).or_else(|| Timestamp::parse(text))?;
    Some(moment.as_millis())
}

/// `%` is any run, `_` one character, a backslash takes the next one as it is. Linear in memory,
/// and each wildcard remembers only its last try, so no pattern takes exponential time.
fn like(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some('\\') if pattern.get(p + 1) == text.get(t) => {
                p += 2;
                t += 1;
                continue;
            }
            Some(wanted) if *wanted != '\\' && (*wanted == '_' || Some(wanted) == text.get(t)) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from + 1));
        p = star + 1;
        t = from + 1;
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|character| *character == '%'))
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns_match_as_documented() {
        let table = [
            ("con%", "contoso", true, "a run at the end"),
            ("%oso", "contoso", true, "a run at the start"),
            ("c_n%o", "contoso", true, "both wildcards"),
            ("con", "contoso", false, "no wildcard means equal"),
            ("100\\%", "100%", true, "an escaped percent sign"),
            ("100\\%", "1000", false, "it is no wildcard then"),
            ("%a%b%c", "aXbXc", true, "several runs"),
            ("", "", true, "nothing equals nothing"),
        ];
        for (pattern, text, expected, why) in table {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(like(&chars(pattern), &chars(text)), expected, "{pattern} {text}: {why}");
        }
    }
}
