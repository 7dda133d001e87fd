//! Reads one value of a write: type, length, format.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::id;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::schema::{Field, Kind};
use crate::connect::salesforce::sandbox::stamp;
use crate::domain::time::{Date, Timestamp};

/// The value as it will be stored; `null` and `""` clear the field.
///
/// # Errors
///
/// The row-level error that the platform answers for this value.
pub(crate) fn read(org: &Org, field: &Field, value: &Value) -> Result<Value, Failure> {
    if field.kind == Kind::Boolean {
        return boolean(field, value);
    }
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(Value::Null);
    }
    match field.kind {
        kind if kind.is_number() => number(field, value),
        Kind::Date => date(field, value),
        Kind::DateTime => moment(field, value),
        Kind::Reference => reference(org, field, &words(field, value)?),
        Kind::Picklist => picklist(field, &words(field, value)?),
        Kind::Email => email(field, &words(field, value)?),
        _ => text(field, &words(field, value)?).map(Value::String),
    }
}

fn words(field: &Field, value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(cannot(field, value)),
    }
}

fn cannot(field: &Field, value: &Value) -> Failure {
    let found = match value {
        Value::Object(_) => "START_OBJECT".to_owned(),
        Value::Array(_) => "START_ARRAY".to_owned(),
        Value::String(text) => format!("VALUE_STRING value {text}"),
        Value::Bool(flag) => format!("VALUE_{}", flag.to_string().to_uppercase()),
        other => format!("VALUE {other}"),
    };
    let kind = field.kind.name();
    Failure::body(format!("Cannot deserialize instance of {kind} from {found}"))
}

fn boolean(field: &Field, value: &Value) -> Result<Value, Failure> {
    match value {
        Value::Bool(flag) => Ok(json!(flag)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(json!(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(json!(false)),
        Value::Null => {
            let message = format!("{}: value not of required type: null", field.label);
            Err(Failure::row("INVALID_TYPE_ON_FIELD_IN_RECORD", message, &[&field.name]))
        }
        _ => Err(cannot(field, value)),
    }
}

fn number(field: &Field, value: &Value) -> Result<Value, Failure> {
    let text = words(field, value)?;
    let exact = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(&text));
    let exact = exact.map_err(|_| cannot(field, value))?;
    let exact = exact.round_dp_with_strategy(field.scale, RoundingStrategy::MidpointAwayFromZero);
    let whole = exact.trunc().abs().to_string().len();
    let room = usize::try_from(field.precision.saturating_sub(field.scale)).unwrap_or(0);
    if whole > room.max(1) {
        let message =
            format!("{}: value outside of valid range on numeric field: {text}", field.label);
        return Err(Failure::row("NUMBER_OUTSIDE_VALID_RANGE", message, &[&field.name]));
    }
    if field.kind == Kind::Int {
        return Ok(json!(exact.to_i64().unwrap_or(0)));
    }
    Ok(json!(exact.to_f64().unwrap_or(0.0)))
}

fn date(field: &Field, value: &Value) -> Result<Value, Failure> {
    let read = value.as_str().and_then(Date::parse).ok_or_else(|| cannot(field, value))?;
    Ok(json!(read.to_string()))
}

fn moment(field: &Field, value: &Value) -> Result<Value, Failure> {
    let read = value.as_str().and_then(Timestamp::parse).ok_or_else(|| cannot(field, value))?;
    Ok(json!(stamp::wire(stamp::whole_second(read))))
}

fn text(field: &Field, text: &str) -> Result<String, Failure> {
    if text.chars().count() > field.length {
        let start: String = text.chars().take(255).collect();
        let message =
            format!("{}: data value too large: {start} (max length={})", field.label, field.length);
        return Err(Failure::row("STRING_TOO_LONG", message, &[&field.name]));
    }
    Ok(text.to_owned())
}

fn email(field: &Field, address: &str) -> Result<Value, Failure> {
    let whole = text(field, address)?;
    let good = whole.split_once('@').is_some_and(|(name, host)| {
        let dotted = host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
        !name.is_empty() && dotted && !host.contains('@')
    });
    if !good || whole.contains(char::is_whitespace) {
        let message = format!("{}: invalid email address: {whole}", field.label);
        return Err(Failure::row("INVALID_EMAIL_ADDRESS", message, &[&field.name]));
    }
    Ok(json!(whole))
}

fn picklist(field: &Field, wanted: &str) -> Result<Value, Failure> {
    let known = field.choices.iter().find(|choice| choice.value.eq_ignore_ascii_case(wanted));
    match known {
        Some(choice) => Ok(json!(choice.value)),
        None if field.restricted => {
            let message =
                format!("{}: bad value for restricted picklist field: {wanted}", field.label);
            let code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST";
            Err(Failure::row(code, message, &[&field.name]))
        }
        None => text(field, wanted).map(Value::String),
    }
}

fn reference(org: &Org, field: &Field, wanted: &str) -> Result<Value, Failure> {
    let refuse = |code: &str, message: String| Failure::row(code, message, &[&field.name]);
    let Some(id) = id::normal(wanted) else {
        let message = format!("{}: id value of incorrect type: {wanted}", field.label);
        return Err(refuse("MALFORMED_ID", message));
    };
    let targets = field.reference_to.iter().filter_map(|name| org.schema.object(name));
    let Some(target) = targets.into_iter().find(|object| id.starts_with(&object.prefix)) else {
        let message = format!("{}: id value of incorrect type: {wanted}", field.label);
        return Err(refuse("FIELD_INTEGRITY_EXCEPTION", message));
    };
    match org.stored(&target.name, &id) {
        Some(row) if row.deleted_at.is_none() => {
            if field.name == "OwnerId" && row.fields["IsActive"] == json!(false) {
                let message = format!("operation performed with inactive user [{id}]");
                return Err(refuse("INACTIVE_OWNER_OR_USER", message));
            }
            Ok(json!(id))
        }
        Some(_) => {
            Err(Failure::row("ENTITY_IS_DELETED", "entity is deleted", &[]).with_status(400))
        }
        None => Err(refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".to_owned())),
    }
}
