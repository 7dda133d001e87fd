//! A change event: which records it names, and whether they are ours. Values of fields are only
//! looked at to see whether a record is shared; the lists of changed fields, which are bit maps over
//! the schema, are not needed for that: an event carries the new value of what changed.

use std::sync::Once;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::Name;
use apache_avro::types::Value;

use crate::domain::record::Shape;

/// Most that one value of an event may take in memory, in bytes: an event has at most 1 MB.
const MOST_BYTES: usize = 1 << 20;

/// What is taken from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The table.
    pub(super) entity: String,
    /// `UPDATE`, `GAP_CREATE` and so on.
    pub(super) kind: String,
    /// The records, as they are told: a wildcard is possible.
    pub(super) ids: Vec<String>,
    /// The name that an API client gave itself.
    pub(super) client: Option<String>,
    /// Who made the change.
    pub(super) user: String,
    /// The event says that the record is shared or carries a referral.
    pub(super) concerns_us: bool,
}

/// Reads a schema as the service gives it.
pub(super) fn schema(text: &str) -> Result<Schema, String> {
    static BOUND: Once = Once::new();
    BOUND.call_once(|| {
        apache_avro::util::max_allocation_bytes(MOST_BYTES);
    });
    let schema = Schema::parse_str(text).map_err(|error| error.to_string())?;
    if contains_itself(&schema, &mut Vec::new()) {
        // A value of it could be nested deeper than the stack is.
        return Err("the schema contains itself".to_owned());
    }
    Ok(schema)
}

/// Whether a type names one that it stands in. Types that stand elsewhere may be named freely: they
/// are looked at where they stand.
fn contains_itself<'s>(schema: &'s Schema, around: &mut Vec<&'s Name>) -> bool {
    match schema {
        Schema::Ref { name } => around.contains(&name),
        Schema::Array(array) => contains_itself(&array.items, around),
        Schema::Map(map) => contains_itself(&map.types, around),
        Schema::Union(union) => union.variants().iter().any(|one| contains_itself(one, around)),
        Schema::Record(record) => {
            around.push(&record.name);
            let found = record.fields.iter().any(|field| contains_itself(&field.schema, around));
            around.pop();
            found
        }
        _ => false,
    }
}

/// Reads an event.
pub(super) fn read(schema: &Schema, payload: &[u8], shape: &Shape) -> Result<Change, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
    let value = reader.read_value(&mut &*payload).map_err(|error| error.to_string())?;
    let Value::Record(fields) = value else { return Err("it is no record".to_owned()) };
    let Some(Value::Record(header)) = field(&fields, "ChangeEventHeader") else {
        return Err("it has no header".to_owned());
    };
    let text = |name: &str| field(header, name).and_then(text);
    let shared = matches!(field(&fields, &shape.sync_field), Some(Value::Boolean(true)));
    let referral = field(&fields, &shape.referral_field).and_then(self::text);
    let ids = match field(header, "recordIds") {
        Some(Value::Array(ids)) => ids.iter().filter_map(self::text).collect(),
        _ => Vec::new(),
    };
    let origin = text("changeOrigin").unwrap_or_default();
    Ok(Change {
        entity: text("entityName").ok_or("it names no object")?,
        kind: text("changeType").ok_or("it names no kind of change")?,
        ids,
        client: origin.split_once("client=").map(|(_, client)| client.to_owned()),
        user: text("commitUser").unwrap_or_default(),
        concerns_us: shared || referral.is_some_and(|id| !id.is_empty()),
    })
}

/// A field's value, out of its union.
fn field<'v>(fields: &'v [(String, Value)], name: &str) -> Option<&'v Value> {
    let (_, value) = fields.iter().find(|(found, _)| found == name)?;
    match value {
        Value::Union(_, inner) => Some(inner),
        other => Some(other),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) | Value::Enum(_, text) => Some(text.clone()),
        Value::Union(_, inner) => text(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use serde_json::json;

    use super::{Change, read, schema};
    use crate::domain::record::Shape;

    /// An event as the guide shows it, cut to a few fields.
    fn layout() -> String {
        let optional = |name: &str, of: serde_json::Value| json!({ "name": name, "type": ["null", of], "default": null });
        json!({
            "name": "OpportunityChangeEvent", "type": "record", "namespace": "com.sforce.eventbus",
            "fields": [
                { "name": "ChangeEventHeader", "type": {
                    "name": "ChangeEventHeader", "type": "record", "fields": [
                        { "name": "entityName", "type": "string" },
                        { "name": "recordIds", "type": { "type": "array", "items": "string" } },
                        { "name": "changeType", "type": {
                            "name": "ChangeType", "type": "enum",
                            "symbols": ["CREATE", "UPDATE", "GAP_UPDATE"] } },
                        { "name": "changeOrigin", "type": "string" },
                        { "name": "commitUser", "type": "string" },
                    ] } },
                optional("Sync__c", json!("boolean")),
                optional("Referral__c", json!("string")),
            ],
        })
        .to_string()
    }

    fn shape() -> Shape {
        Shape {
            sync_field: "Sync__c".to_owned(),
            referral_field: "Referral__c".to_owned(),
            ..Shape::default()
        }
    }

    fn payload(origin: &str, shared: Option<bool>, referral: Option<&str>) -> Vec<u8> {
        let text = |text: &str| Value::String(text.to_owned());
        let union = |value: Option<Value>| match value {
            Some(value) => Value::Union(1, Box::new(value)),
            None => Value::Union(0, Box::new(Value::Null)),
        };
        let header = Value::Record(vec![
            ("entityName".to_owned(), text("Opportunity")),
            ("recordIds".to_owned(), Value::Array(vec![text("006000000000001AAA"), text("006*")])),
            ("changeType".to_owned(), Value::Enum(1, "UPDATE".to_owned())),
            ("changeOrigin".to_owned(), text(origin)),
            ("commitUser".to_owned(), text("005000000000001AAA")),
        ]);
        let value = Value::Record(vec![
            ("ChangeEventHeader".to_owned(), header),
            ("Sync__c".to_owned(), union(shared.map(Value::Boolean))),
            ("Referral__c".to_owned(), union(referral.map(text))),
        ]);
        let schema = schema(&layout()).expect("a schema");
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        writer.write_value_to_vec(value).expect("an event")
    }

    #[test]
    fn ids_and_what_makes_a_record_ours_are_taken() {
        let schema = schema(&layout()).expect("a schema");
        let table = [
            (None, None, false, "another field changed"),
            (Some(true), None, true, "the box was ticked"),
            (Some(false), None, false, "the box was cleared"),
            (None, Some("4e0e"), true, "a referral was entered"),
            (None, Some(""), false, "the referral was cleared"),
        ];
        for (shared, referral, ours, why) in table {
            let origin = "com/salesforce/api/rest/66.0;client=cosell-sync";
            let change = read(&schema, &payload(origin, shared, referral), &shape());
            let expected = Change {
                entity: "Opportunity".to_owned(),
                kind: "UPDATE".to_owned(),
                ids: vec!["006000000000001AAA".to_owned(), "006*".to_owned()],
                client: Some("cosell-sync".to_owned()),
                user: "005000000000001AAA".to_owned(),
                concerns_us: ours,
            };
            assert_eq!(change, Ok(expected), "{why}");
        }
        let change = read(&schema, &payload("", None, None), &shape()).expect("an event");
        assert_eq!(change.client, None, "a person at the user interface");
    }

    #[test]
    fn what_is_no_event_is_refused_without_harm() {
        let known = schema(&layout()).expect("a schema");
        let whole = payload("", Some(true), None);
        // The reader takes a missing end for empty fields; ids are never made up.
        for length in 0..whole.len() {
            if let Ok(change) = read(&known, &whole[..length], &shape()) {
                assert_eq!(change.ids, ["006000000000001AAA", "006*"], "cut at {length}");
            }
        }
        assert!(read(&known, &whole[..30], &shape()).is_err(), "cut within an id");
        let huge = [b"\x16Opportunity".as_slice(), &[0xfe; 8], &[0x01]].concat();
        assert!(read(&known, &huge, &shape()).is_err(), "an array without end");
        let itself = json!({
            "name": "Node", "type": "record",
            "fields": [{ "name": "next", "type": ["null", "Node"] }],
        });
        assert_eq!(
            schema(&itself.to_string()).err().as_deref(),
            Some("the schema contains itself")
        );
        assert!(schema("{").is_err());
    }
}
