//! Schemas and payloads of change events.

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};

use crate::connect::salesforce::sandbox::org::{Fields, Org};
use crate::connect::salesforce::sandbox::schema::{Field, Kind};
use crate::domain::time::{Date, Timestamp};

/// The values of `changeType`.
const CHANGE_TYPES: [&str; 9] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
];

/// System fields that no event carries.
const NEVER: [&str; 3] = ["Id", "IsDeleted", "SystemModstamp"];

/// What the header of an event says.
pub(super) struct Header<'a> {
    pub(super) object: &'a str,
    pub(super) ids: Vec<String>,
    pub(super) change: &'a str,
    pub(super) origin: String,
    pub(super) user: String,
    pub(super) at: Timestamp,
    pub(super) number: i64,
}

/// The fields that events of `object` carry to the integration user, in the order of the schema.
fn carried<'o>(org: &'o Org, object: &str) -> Vec<&'o Field> {
    let Some(object) = org.schema.object(object) else { return Vec::new() };
    let seen = |field: &&Field| {
        !NEVER.contains(&field.name.as_str())
            && org.visible(object, &field.name, &org.integration_user).is_some()
    };
    object.fields.iter().filter(seen).collect()
}

/// The schema of the events of `object`, as JSON.
pub(super) fn schema(org: &Org, object: &str) -> String {
    let texts = json!({ "type": "array", "items": "string" });
    let plain = |name: &str, of: Value| json!({ "name": name, "type": of });
    let header = json!({
        "name": "ChangeEventHeader", "type": "record",
        "fields": [
            plain("entityName", json!("string")),
            plain("recordIds", texts.clone()),
            plain("changeType", json!({ "name": "ChangeType", "type": "enum", "symbols": CHANGE_TYPES })),
            plain("changeOrigin", json!("string")),
            plain("transactionKey", json!("string")),
            plain("sequenceNumber", json!("int")),
            plain("commitTimestamp", json!("long")),
            plain("commitNumber", json!("long")),
            plain("commitUser", json!("string")),
            plain("nulledFields", texts.clone()),
            plain("diffFields", texts.clone()),
            plain("changedFields", texts),
        ],
    });
    let mut fields = vec![plain("ChangeEventHeader", header)];
    for field in carried(org, object) {
        let of = ["null", avro_type(field.kind)];
        fields.push(json!({ "name": field.name, "type": of, "default": null }));
    }
    json!({
        "name": format!("{object}ChangeEvent"), "namespace": "com.sforce.eventbus",
        "type": "record", "fields": fields,
    })
    .to_string()
}

fn avro_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Currency | Kind::Percent => "double",
        Kind::Int => "int",
        Kind::Date | Kind::DateTime => "long",
        _ => "string",
    }
}

/// The payload of an event: `changed` holds the new value of every field that changed.
pub(super) fn payload(org: &Org, schema: &str, header: &Header<'_>, changed: &Fields) -> Vec<u8> {
    let carried = carried(org, header.object);
    let place = |wanted: &dyn Fn(&Value) -> bool| {
        let is = |field: &&Field| changed.get(&field.name).is_some_and(wanted);
        // The header is at place 0.
        let places = carried.iter().enumerate().filter(|(_, field)| is(field));
        bit_map(places.map(|(at, _)| at + 1))
    };
    let (all, nulled) = (place(&|_| true), place(&Value::is_null));
    let mut fields = vec![("ChangeEventHeader".to_owned(), head(header, &all, &nulled))];
    for field in &carried {
        let value = changed.get(&field.name).and_then(|value| value_of(field.kind, value));
        let value = match value {
            Some(value) => Avro::Union(1, Box::new(value)),
            None => Avro::Union(0, Box::new(Avro::Null)),
        };
        fields.push((field.name.clone(), value));
    }
    let schema = Schema::parse_str(schema).ok();
    let writer =
        schema.as_ref().and_then(|schema| GenericDatumWriter::builder(schema).build().ok());
    let written = writer.and_then(|writer| writer.write_value_to_vec(Avro::Record(fields)).ok());
    written.unwrap_or_default()
}

fn head(header: &Header<'_>, changed: &[String], nulled: &[String]) -> Avro {
    let text = |text: &str| Avro::String(text.to_owned());
    let texts = |all: &[String]| Avro::Array(all.iter().map(|one| text(one)).collect());
    let kind = CHANGE_TYPES.iter().position(|known| *known == header.change).unwrap_or(1);
    let kind = Avro::Enum(u32::try_from(kind).unwrap_or(1), header.change.to_owned());
    let transaction = format!("00000000-0000-4000-8000-{:012x}", header.number);
    let fields = [
        ("entityName", text(header.object)),
        ("recordIds", texts(&header.ids)),
        ("changeType", kind),
        ("changeOrigin", text(&header.origin)),
        ("transactionKey", text(&transaction)),
        ("sequenceNumber", Avro::Int(1)),
        ("commitTimestamp", Avro::Long(header.at.as_millis())),
        ("commitNumber", Avro::Long(header.number)),
        ("commitUser", text(&header.user)),
        ("nulledFields", texts(nulled)),
        ("diffFields", texts(&[])),
        ("changedFields", texts(changed)),
    ];
    Avro::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A hexadecimal number with the bit of each place set; nothing without one.
fn bit_map(places: impl Iterator<Item = usize>) -> Vec<String> {
    let mut bytes: Vec<u8> = Vec::new();
    for place in places {
        if bytes.len() <= place / 8 {
            bytes.resize(place / 8 + 1, 0);
        }
        bytes[place / 8] |= 1 << (place % 8);
    }
    if bytes.is_empty() {
        return Vec::new();
    }
    let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect();
    vec![format!("0x{digits}")]
}

#[allow(clippy::cast_possible_truncation, reason = "an int field holds an int")]
fn value_of(kind: Kind, value: &Value) -> Option<Avro> {
    match kind {
        _ if value.is_null() => None,
        Kind::Boolean => value.as_bool().map(Avro::Boolean),
        Kind::Currency | Kind::Percent => value.as_f64().map(Avro::Double),
        Kind::Int => value.as_f64().map(|number| Avro::Int(number as i32)),
        Kind::Date => {
            let date = Date::parse(value.as_str()?)?;
            let midnight = Timestamp::parse(&format!("{date}T00:00:00Z"))?;
            Some(Avro::Long(midnight.as_millis()))
        }
        Kind::DateTime => {
            let at = Timestamp::parse(&value.as_str()?.replace("+0000", "Z"))?;
            Some(Avro::Long(at.as_millis()))
        }
        _ => Some(Avro::String(value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
    }
}

#[cfg(test)]
mod tests {
    use super::bit_map;

    #[test]
    fn changed_fields_are_a_bit_map_over_the_schema() {
        let places = [5, 6, 7, 10, 24, 26, 29, 30];
        assert_eq!(bit_map(places.into_iter()), ["0x650004E0"], "the example of the guide");
        assert!(bit_map([].into_iter()).is_empty());
    }
}
