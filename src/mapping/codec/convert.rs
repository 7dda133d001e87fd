//! From JSON to the canonical value and back, at each of the two ends.

use serde_json::Value as Json;

use super::text::one_line;
use super::{Fault, ListShape, Step, Zone, cut, decimal_of, html, json_of, shown};
use crate::domain::time::{Date, Timestamp};
use crate::domain::value::Value;
use crate::mapping::rule::FieldKind;

/// How the values of one row are converted.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    /// The canonical type.
    pub(crate) kind: FieldKind,
    /// Digits after the point of money and decimals.
    pub(crate) scale: u32,
    /// Once the currency is known, an amount is rounded to its digits.
    pub(crate) by_currency: bool,
    /// Steps from the referral to the record.
    pub(crate) steps: Vec<Step>,
    /// For lists: what an item is.
    pub(crate) list: Option<ListShape>,
}

impl Converter {
    /// The canonical value of what the referral holds.
    pub(crate) fn of_referral(&self, json: &Json) -> Result<Value, Fault> {
        if is_empty(json) {
            return Ok(Value::Null);
        }
        let decoded = match json {
            Json::String(text) if self.steps.iter().any(|step| matches!(step, Step::HtmlText)) => {
                Json::String(html::decode(text))
            }
            _ => return self.canonical(json),
        };
        self.canonical(&decoded)
    }

    /// The canonical value of what the record holds.
    pub(crate) fn of_record(&self, json: &Json) -> Result<Value, Fault> {
        if is_empty(json) {
            return Ok(Value::Null);
        }
        let mut json = std::borrow::Cow::Borrowed(json);
        for step in self.steps.iter().rev() {
            match (step, &self.list, json.as_str()) {
                (Step::Lookup(lookup), ..) => {
                    json = std::borrow::Cow::Owned(lookup.to_referral(&json)?)
                }
                (Step::Split(separator), Some(list), Some(text)) => {
                    return Ok(list.split(text, *separator));
                }
                _ => {}
            }
        }
        self.canonical(&json)
    }

    /// What the record is to hold.
    pub(crate) fn to_record(&self, value: &Value) -> Result<Json, Fault> {
        if value.is_null() {
            return Ok(Json::Null);
        }
        let mut json = match (value, &self.list) {
            (Value::List(items), Some(list)) => match self.separator() {
                Some(separator) => Json::String(list.join(items, separator)?),
                None => list.write(items, None),
            },
            _ => plain_json(value)?,
        };
        for step in &self.steps {
            json = record_step(step, json)?;
        }
        Ok(json)
    }

    /// What the record's field takes of a text that is too long for it: cut as the row does it, and
    /// as a field does it. Nothing if the text fits, or no length is known.
    pub(crate) fn cuts(&self, text: &str) -> impl Iterator<Item = String> {
        let length = self.steps.iter().find_map(|step| match step {
            Step::Max(length) | Step::Limit(length) => Some(*length),
            _ => None,
        });
        let length = length.filter(|length| text.chars().count() > *length);
        length
            .into_iter()
            .flat_map(|length| [cut(text, length), text.chars().take(length).collect()])
    }

    /// What the referral is to hold. A list item that `current` has too keeps its other members.
    pub(crate) fn to_referral(&self, value: &Value, current: Option<&Json>) -> Result<Json, Fault> {
        let json = match (value, &self.list) {
            (Value::Null, Some(_)) => return Ok(Json::Array(Vec::new())),
            (Value::Null, None) => return Ok(Json::Null),
            (Value::List(items), Some(list)) => return Ok(list.write(items, current)),
            (Value::Date(date), _) => match self.zone() {
                Some(zone) => Json::String(instant_text(zone.midnight(*date)?)),
                None => plain_json(value)?,
            },
            _ => plain_json(value)?,
        };
        self.steps.iter().try_fold(json, |json, step| match step {
            Step::Max(_) | Step::Limit(_) => record_step(step, json),
            _ => Ok(json),
        })
    }

    /// The canonical value of JSON whose steps are undone.
    pub(crate) fn canonical(&self, json: &Json) -> Result<Value, Fault> {
        if is_empty(json) {
            return Ok(Value::Null);
        }
        match self.kind {
            FieldKind::Text => self.text(json),
            FieldKind::Option => self.option(json),
            FieldKind::Money | FieldKind::Decimal => {
                decimal_of(json, self.scale).map(Value::decimal)
            }
            FieldKind::Integer => integer(json),
            FieldKind::Boolean => boolean(json),
            FieldKind::Date => self.date(json),
            FieldKind::Instant => json
                .as_str()
                .and_then(Timestamp::parse)
                .map(Value::Instant)
                .ok_or_else(|| not("an instant", json, "2027-01-15T09:30:00Z")),
            FieldKind::List => match &self.list {
                Some(list) => list.read(json),
                None => Err(not("a list", json, "[]")),
            },
        }
    }

    fn text(&self, json: &Json) -> Result<Value, Fault> {
        match json {
            Json::String(text) => Ok(self.cased(text)),
            Json::Number(number) => Ok(self.cased(&number.to_string())),
            Json::Bool(value) => Ok(self.cased(if *value { "true" } else { "false" })),
            other => Err(not("text", other, "\"text\"")),
        }
    }

    /// Text in the form that both sides are compared in.
    fn cased(&self, text: &str) -> Value {
        let has = |wanted: fn(&Step) -> bool| self.steps.iter().any(wanted);
        let text = match has(|step| matches!(step, Step::OneLine)) {
            true => std::borrow::Cow::Owned(one_line(text)),
            false => std::borrow::Cow::Borrowed(text),
        };
        if has(|step| matches!(step, Step::Upper)) {
            return Value::text(&text.to_uppercase());
        }
        // Nearly all text needs nothing but a look; `Value::text` copies it three times.
        match text.trim() {
            "" => Value::Null,
            trimmed if !trimmed.contains('\r') => Value::Text(trimmed.to_owned()),
            _ => Value::text(&text),
        }
    }

    fn option(&self, json: &Json) -> Result<Value, Fault> {
        match json {
            Json::String(text) => Ok(self.cased(text)),
            Json::Bool(value) => Ok(Value::Bool(*value)),
            Json::Number(_) => integer(json),
            other => Err(not("an option", other, "\"code\"")),
        }
    }

    fn date(&self, json: &Json) -> Result<Value, Fault> {
        let text = json.as_str().unwrap_or_default();
        if let Some(date) = Date::parse(text) {
            return Ok(Value::Date(date));
        }
        let instant = Timestamp::parse(text).filter(|_| self.zone().is_some());
        let date = instant.and_then(|instant| self.zone()?.date(instant));
        date.map(Value::Date).ok_or_else(|| not("a date", json, "2027-01-15"))
    }

    fn zone(&self) -> Option<&Zone> {
        self.steps.iter().find_map(|step| match step {
            Step::Date(zone) => Some(zone),
            _ => None,
        })
    }

    fn separator(&self) -> Option<char> {
        self.steps.iter().find_map(|step| match step {
            Step::Split(separator) => Some(*separator),
            _ => None,
        })
    }
}

impl Zone {
    /// The date on which `instant` falls here.
    fn date(&self, instant: Timestamp) -> Option<Date> {
        match &self.0 {
            None => Some(instant.date()),
            Some(zone) => Date::of(instant, zone),
        }
    }

    /// The moment at which `date` begins here. A zone that moved across the date line left out a
    /// whole day, which therefore cannot be written.
    fn midnight(&self, date: Date) -> Result<Timestamp, Fault> {
        let Some(zone) = &self.0 else { return Ok(date.midnight_utc()) };
        let civil = date.to_string().parse::<jiff::civil::Date>().ok();
        civil
            .and_then(|civil| civil.in_tz(zone).ok())
            .map(|start| Timestamp::from_millis(start.timestamp().as_millisecond()))
            .filter(|start| self.date(*start) == Some(date))
            .ok_or_else(|| {
                Fault::new(
                    format!("there was no {date} in the time zone {zone}"),
                    "enter the day before or after",
                )
            })
    }
}

/// What a step makes of a value on its way to the record.
fn record_step(step: &Step, json: Json) -> Result<Json, Fault> {
    let text = match (step, json) {
        (Step::Lookup(lookup), json) => return lookup.to_record(&json),
        (_, Json::String(text)) => text,
        (_, other) => return Ok(other),
    };
    Ok(Json::String(match step {
        Step::Max(length) => cut(&text, *length),
        Step::Limit(length) if text.chars().count() > *length => {
            return Err(Fault::new(
                format!("the text is longer than {length} characters"),
                format!("shorten it to {length} characters"),
            ));
        }
        _ => text,
    }))
}

/// A canonical value as JSON without any step.
pub(crate) fn plain_json(value: &Value) -> Result<Json, Fault> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Decimal(decimal) => json_of(*decimal)?,
        Value::Text(text) => Json::String(text.clone()),
        Value::Date(date) => Json::String(date.to_string()),
        Value::Instant(instant) => Json::String(instant_text(*instant)),
        Value::List(_) => {
            return Err(Fault::new("a list does not fit into one field", "use `split` in the row"));
        }
    })
}

/// Null, an empty text, an empty list: nothing.
fn is_empty(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::String(text) => text.trim().is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whole seconds without a fraction, as Partner Center writes close dates.
fn instant_text(instant: Timestamp) -> String {
    instant.to_string().replace(".000Z", "Z")
}

fn integer(json: &Json) -> Result<Value, Fault> {
    let whole = match json {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let whole = match whole {
        Some(whole) => Some(whole),
        None => decimal_of(json, 10)
            .ok()
            .filter(|decimal| decimal.scale() == 0)
            .and_then(|decimal| i64::try_from(decimal).ok()),
    };
    whole.map(Value::Integer).ok_or_else(|| not("a whole number", json, "42"))
}

fn boolean(json: &Json) -> Result<Value, Fault> {
    match json {
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Number(number) if number.as_i64() == Some(0) => Ok(Value::Bool(false)),
        Json::Number(number) if number.as_i64() == Some(1) => Ok(Value::Bool(true)),
        Json::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Json::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        other => Err(not("yes or no", other, "true")),
    }
}

fn not(expected: &str, json: &Json, example: &str) -> Fault {
    Fault::new(
        format!("{} is not {expected}", shown(json)),
        format!("enter {expected}, for example {example}"),
    )
}
