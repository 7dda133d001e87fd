//! The canonical form in which both sides of a deal are compared.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::time::{Date, Timestamp};

/// One canonical value. Two sides agree on a field exactly when their values are equal.
///
/// Whoever makes one normalises first: money rounded to its currency's precision and without
/// trailing zeros, text trimmed with `\n` line ends, empty text and empty list as [`Value::Null`],
/// options by code and not by label, list items sorted by identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Value {
    /// Nothing: null, absent or empty.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// An exact decimal: an amount in major units, a percentage.
    Decimal(Decimal),
    /// Text.
    Text(String),
    /// A date without a time.
    Date(Date),
    /// A moment.
    Instant(Timestamp),
    /// A list whose items are told apart by `identity` (a solution id, an e-mail address).
    List(Vec<Item>),
}

/// One item of a [`Value::List`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// What makes it the same item on both sides, in lower case.
    pub identity: String,
    /// Its compared parts, by name: `[("email", ...), ("firstName", ...)]`, sorted by name.
    pub parts: Vec<(String, Value)>,
}

impl Value {
    /// Trimmed text with `\n` line ends; [`Value::Null`] if nothing is left.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        if text.is_empty() { Self::Null } else { Self::Text(text.to_owned()) }
    }

    /// An exact decimal without trailing zeros, so that `1.50` equals `1.5`.
    #[must_use]
    pub fn decimal(decimal: Decimal) -> Self {
        Self::Decimal(decimal.normalize())
    }

    /// A list sorted by identity; [`Value::Null`] if it is empty.
    #[must_use]
    pub fn list(mut items: Vec<Item>) -> Self {
        items.sort();
        items.dedup_by(|left, right| left.identity == right.identity);
        if items.is_empty() { Self::Null } else { Self::List(items) }
    }

    /// Whether there is nothing here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Item {
    /// Its identity as it was written, in capitals and small letters.
    fn name(&self) -> &str {
        let written = |value: &'_ Value| {
            value.as_text().is_some_and(|text| text.trim().to_lowercase() == self.identity)
        };
        let part = self.parts.iter().find(|(_, value)| written(value));
        part.and_then(|(_, value)| value.as_text()).unwrap_or(&self.identity)
    }
}

/// As a person reads it: `125,000.5`, `15 Jan 2027`, `yes`, `nothing`.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("nothing"),
            Self::Bool(true) => formatter.write_str("yes"),
            Self::Bool(false) => formatter.write_str("no"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Decimal(decimal) => formatter.write_str(&grouped(*decimal)),
            Self::Text(text) => formatter.write_str(text),
            Self::Date(date) => formatter.write_str(&date.for_people()),
            Self::Instant(instant) => formatter.write_str(&instant.for_people("UTC")),
            Self::List(items) => {
                let names: Vec<&str> = items.iter().map(Item::name).collect();
                formatter.write_str(&names.join(", "))
            }
        }
    }
}

/// Groups the whole part by thousands: `1234567.5` becomes `1,234,567.5`.
fn grouped(decimal: Decimal) -> String {
    let text = decimal.normalize().to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Item, Value};

    #[test]
    fn equal_meanings_are_equal_values() {
        assert_eq!(Value::text(" a\r\nb "), Value::text("a\nb"));
        assert_eq!(Value::text("  \n"), Value::Null);
        let decimal = |text: &str| Value::decimal(text.parse().expect("a decimal"));
        assert_eq!(decimal("1.50"), decimal("1.5000"));
        let item = |identity: &str| Item { identity: identity.to_owned(), parts: vec![] };
        assert_eq!(
            Value::list(vec![item("b"), item("a")]),
            Value::list(vec![item("a"), item("b"), item("a")])
        );
    }

    #[test]
    fn people_read_amounts_with_thousands() {
        let table = [
            ("125000", "125,000"),
            ("-1234567.50", "-1,234,567.5"),
            ("999", "999"),
            ("0.05", "0.05"),
        ];
        for (text, expected) in table {
            assert_eq!(Value::decimal(text.parse().expect("a decimal")).to_string(), expected);
        }
    }

    #[test]
    fn people_read_items_as_they_were_written() {
        let parts = vec![
            ("id".to_owned(), Value::Text("SOL-00001-XYZ".to_owned())),
            ("name".to_owned(), Value::Text("Backup".to_owned())),
        ];
        let written = Item { identity: "sol-00001-xyz".to_owned(), parts };
        let bare = Item { identity: "seller@contoso.example".to_owned(), parts: vec![] };
        let list = Value::list(vec![written, bare]);
        assert_eq!(list.to_string(), "seller@contoso.example, SOL-00001-XYZ");
    }
}
