//! Rows to the seam's flat fields, in one form whatever the field.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::describe::Table;
use super::{lists, soql};
use crate::connect::error::ConnectError;
use crate::domain::digest::sha256;
use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use crate::domain::record::{Fields, Record, Shape, Version};
use crate::domain::time::Timestamp;

/// Fields that follow a lead into its opportunity; read with every lead.
const LEAD_FIELDS: [&str; 2] = ["IsConverted", "ConvertedOpportunityId"];

/// What to read for a shape: its fields, its control fields, and what a lead's conversion tells.
pub(super) fn paths(kind: RecordKind, shape: &Shape) -> Vec<String> {
    let control =
        [Some(&shape.referral_field), Some(&shape.sync_field), shape.token_field.as_ref()];
    let lead: &[&str] = if kind == RecordKind::Lead { &LEAD_FIELDS } else { &[] };
    let mut paths: Vec<String> = Vec::new();
    let wanted = shape
        .fields
        .iter()
        .chain(control.into_iter().flatten())
        .map(String::as_str)
        .chain(lead.iter().copied());
    for path in wanted.filter(|path| !path.is_empty()) {
        if !paths.iter().any(|known| known.eq_ignore_ascii_case(path)) {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// `Id, SystemModstamp, ...`: the field list of a query for `paths`.
pub(super) fn select(table: &Table, paths: &[String]) -> String {
    let mut select = String::from("Id, SystemModstamp");
    for path in paths.iter().filter(|path| table.list(path).is_none()) {
        if !path.eq_ignore_ascii_case("Id") && !path.eq_ignore_ascii_case("SystemModstamp") {
            select.push_str(", ");
            select.push_str(path);
        }
    }
    for list in lists::mapped(table, paths) {
        select.push_str(", ");
        select.push_str(&lists::within(&list));
    }
    select
}

/// A record from a row of a query for `paths`.
///
/// # Errors
///
/// [`ConnectError::Broken`] if the row has no id or no stamp: nothing may be written against it.
pub(super) fn record(
    kind: RecordKind,
    table: &Table,
    paths: &[String],
    row: &Json,
) -> Result<Record, ConnectError> {
    let modified = stamp(row)?;
    let fields = fields(table, paths, row);
    Ok(Record {
        key: RecordKey { crm: CrmName::Salesforce, kind, id: id(row)? },
        version: version(modified, &fields),
        modified,
        fields,
    })
}

/// `STAMP#DIGEST`: a stamp has whole seconds, so two edits in one second differ only in the digest
/// of what the row says.
fn version(modified: Timestamp, fields: &Fields) -> Version {
    let sorted: BTreeMap<&String, String> =
        fields.iter().map(|(name, value)| (name, value.to_string())).collect();
    let digest = sha256(format!("{sorted:?}").as_bytes());
    Version(format!("{modified}#{}", digest.get(..16).unwrap_or(&digest)))
}

/// The stamp of a version that [`record`] made.
pub(super) fn stamp_of(version: &Version) -> Option<Timestamp> {
    let (stamp, _) = version.0.split_once('#')?;
    Timestamp::parse(stamp)
}

/// The id of a row.
pub(super) fn id(row: &Json) -> Result<RecordId, ConnectError> {
    row.get("Id")
        .and_then(Json::as_str)
        .and_then(soql::long_id)
        .map(RecordId::new)
        .ok_or_else(|| ConnectError::Broken("a row without an id".to_owned()))
}

/// The stamp of a row.
pub(super) fn stamp(row: &Json) -> Result<Timestamp, ConnectError> {
    row.get("SystemModstamp")
        .and_then(Json::as_str)
        .and_then(Timestamp::parse)
        .ok_or_else(|| ConnectError::Broken("a row without SystemModstamp".to_owned()))
}

/// The values of `paths` in a row, named as asked.
pub(super) fn fields(table: &Table, paths: &[String], row: &Json) -> Fields {
    paths
        .iter()
        .map(|path| {
            let value = match table.list(path) {
                Some((way, column)) => {
                    let rows = at_path(row, &way.name).get("records").and_then(Json::as_array);
                    let rows = rows.into_iter().flatten();
                    lists::joined(rows.map(|below| at_path(below, column)))
                }
                None => {
                    let kind = table.field(path).map(|field| field.kind.as_str());
                    value(kind, at_path(row, path))
                }
            };
            (path.clone(), value)
        })
        .collect()
}

/// The value at a dotted path; names are compared without case, as Salesforce does.
fn at_path<'a>(row: &'a Json, path: &str) -> &'a Json {
    static NULL: Json = Json::Null;
    let mut at = row;
    for part in path.split('.') {
        let found = at.as_object().and_then(|object| {
            object.get(part).or_else(|| {
                let mut members = object.iter();
                members.find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|(_, value)| value)
            })
        });
        match found {
            Some(found) => at = found,
            None => return &NULL,
        }
    }
    at
}

/// One value in the seam's form. `kind` is unknown for a field of a related row: an instant is then
/// told by its form.
fn value(kind: Option<&str>, raw: &Json) -> Json {
    match (kind, raw) {
        (_, Json::String(text)) if text.is_empty() => Json::Null,
        (Some("datetime"), Json::String(text)) => instant(text),
        (None, Json::String(text)) if looks_like_instant(text) => instant(text),
        (Some("textarea"), Json::String(text)) => {
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            if text.trim().is_empty() { Json::Null } else { Json::String(text) }
        }
        (Some("int" | "long"), Json::Number(number)) => whole(number),
        (_, Json::Object(_)) => Json::Null,
        (_, raw) => raw.clone(),
    }
}

fn instant(text: &str) -> Json {
    Timestamp::parse(text).map_or(Json::Null, |at| Json::String(at.to_string()))
}

/// `2026-09-01T10:00:00.000+0000`: the one form in which Salesforce writes instants.
fn looks_like_instant(text: &str) -> bool {
    text.len() == 28
        && text.ends_with("+0000")
        && text.as_bytes().get(10) == Some(&b'T')
        && Timestamp::parse(text).is_some()
}

/// `7.0` as `7` where the field holds whole numbers.
#[allow(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
fn whole(number: &serde_json::Number) -> Json {
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Json::from(float as i64),
        _ => Json::Number(number.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{at_path, paths, select, stamp_of, value, version};
    use crate::connect::salesforce::describe::Table;
    use crate::domain::id::RecordKind;
    use crate::domain::record::Shape;
    use crate::domain::time::Timestamp;

    #[test]
    fn values_have_one_form() {
        let table = [
            (
                Some("datetime"),
                json!("2026-09-01T10:00:00.000+0000"),
                json!("2026-09-01T10:00:00.000Z"),
                "offset without a colon",
            ),
            (
                None,
                json!("2026-09-01T10:00:00.000+0000"),
                json!("2026-09-01T10:00:00.000Z"),
                "of a related row",
            ),
            (Some("date"), json!("2026-12-31"), json!("2026-12-31"), "a date never shifts"),
            (
                Some("string"),
                json!("2026-09-01T10:00:00.000+0000"),
                json!("2026-09-01T10:00:00.000+0000"),
                "text that looks like an instant",
            ),
            (Some("string"), json!(""), Json::Null, "empty is null"),
            (Some("textarea"), json!("a\r\nb\rc"), json!("a\nb\nc"), "one kind of line end"),
            (Some("textarea"), json!(" \r\n"), Json::Null, "nothing but space"),
            (Some("currency"), json!(125_000.55), json!(125_000.55), "money is exact"),
            (Some("int"), json!(7.0), json!(7), "whole numbers"),
            (Some("boolean"), json!(false), json!(false), "a check box"),
            (Some("reference"), Json::Null, Json::Null, "an empty lookup"),
        ];
        for (kind, raw, expected, why) in table {
            assert_eq!(value(kind, &raw), expected, "{why}");
        }
    }

    #[test]
    fn paths_reach_related_rows_and_stop_at_null() {
        let row = json!({ "Name": "A", "Account": { "Name": "Contoso" }, "Owner": null });
        assert_eq!(at_path(&row, "Account.Name"), &json!("Contoso"));
        assert_eq!(at_path(&row, "account.name"), &json!("Contoso"));
        assert_eq!(at_path(&row, "Owner.Email"), &Json::Null);
    }

    #[test]
    fn two_edits_within_one_second_are_two_versions() {
        let at = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let holding = |amount: u32| json!({ "Amount": amount }).as_object().cloned();
        let [first, second] = [1, 2].map(|amount| holding(amount).unwrap_or_default());
        assert_ne!(version(at, &first), version(at, &second));
        assert_eq!(version(at, &first), version(at, &first));
        assert_eq!(stamp_of(&version(at, &first)), Some(at));
    }

    #[test]
    fn only_what_the_shape_names_is_read() {
        let shape = Shape {
            fields: vec!["Name".to_owned(), "Account.Name".to_owned(), "Id".to_owned()],
            referral_field: "Ref__c".to_owned(),
            sync_field: "Sync__c".to_owned(),
            token_field: None,
        };
        let select = select(&Table::of(&[]), &paths(RecordKind::Opportunity, &shape));
        assert_eq!(select, "Id, SystemModstamp, Name, Account.Name, Ref__c, Sync__c");
        let table = Table::of(&[("Lines", "Line", "OpportunityId")]);
        let listed = ["Lines.Product2.Name", "Name", "lines.Code"].map(str::to_owned);
        let expected = "Id, SystemModstamp, Name, \
                        (SELECT Product2.Name, Code FROM Lines WHERE IsDeleted = FALSE)";
        assert_eq!(super::select(&table, &listed), expected);
        let lead = paths(RecordKind::Lead, &shape);
        assert!(lead.iter().any(|path| path == "ConvertedOpportunityId"));
    }
}
