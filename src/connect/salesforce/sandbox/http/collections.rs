//! `/composite/sobjects`: up to 200 rows in one call; 200 even if rows fail.

use serde_json::{Value, json};

use super::{Answer, Call, rows, upsert};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};

const MOST: usize = 200;
const MOST_READ: usize = 2_000;

/// What happened to one row: its id and whether it was created.
type Outcome = Result<(String, Option<bool>), Failure>;

/// Answers everything below `/composite/sobjects`.
pub(super) fn answer(org: &mut Org, call: &Call, rest: &[&str]) -> Result<Answer, Failure> {
    match (call.method.as_str(), rest) {
        ("POST", []) => save(org, call, |org, call, object, row| {
            Ok((org.create(object, row, &call.writer())?, None))
        }),
        ("PATCH", []) => save(org, call, |org, call, object, row| {
            let mut row = row.clone();
            let id = take(&mut row, "Id").ok_or_else(|| {
                Failure::row("MISSING_ARGUMENT", "Id not specified in an update call", &[])
            })?;
            let (id, _) = org.live(object, &id).map_err(|failure| failure.with_status(400))?;
            org.update(object, &id, &row, &call.writer())?;
            Ok((id, None))
        }),
        ("PATCH", [name, field]) => {
            let (object, field, _) = upsert::matches(org, name, field, "", &call.user)?;
            save(org, call, move |org, call, _, row| upsert_row(org, call, &object, &field, row))
        }
        ("DELETE", []) => delete(org, call),
        ("POST", [name]) => {
            let ids = strings(&call.body["ids"]);
            let fields = strings(&call.body["fields"]);
            read(org, call, name, &ids, &fields)
        }
        ("GET", [name]) => {
            let list = |name: &str| -> Vec<String> {
                let text = call.parameter(name).unwrap_or_default();
                text.split(',').map(|part| part.trim().to_owned()).collect()
            };
            read(org, call, name, &list("ids"), &list("fields"))
        }
        (method, _) => Err(Failure::method(method, "GET,POST,PATCH,DELETE")),
    }
}

fn upsert_row(org: &mut Org, call: &Call, object: &str, field: &str, row: &Fields) -> Outcome {
    let mut row = row.clone();
    let value = take(&mut row, field).ok_or_else(|| {
        Failure::row("MISSING_ARGUMENT", format!("{field} not specified"), &[field])
    })?;
    let (_, _, found) = upsert::matches(org, object, field, &value, &call.user)?;
    if found.len() > 1 {
        let message =
            format!("{field}: more than one record found for external id field: {found:?}");
        return Err(Failure::row("DUPLICATE_EXTERNAL_ID", message, &[field]));
    }
    let found = found.first().map(String::as_str);
    let (id, created) = upsert::apply(org, object, field, &value, found, &row, &call.writer())?;
    Ok((id, Some(created)))
}

fn save(
    org: &mut Org,
    call: &Call,
    mut one: impl FnMut(&mut Org, &Call, &str, &Fields) -> Outcome,
) -> Result<Answer, Failure> {
    let records = call.body["records"].as_array().cloned().unwrap_or_default();
    limit(records.len(), MOST)?;
    org.about_to_write();
    let all_or_none = call.body["allOrNone"].as_bool().unwrap_or(false);
    Ok(transaction(org, &records, all_or_none, |org, record| {
        let kind = record["attributes"]["type"].as_str().unwrap_or_default();
        let object = org.object(kind, false).map(|object| object.name.clone());
        let object = object.ok_or_else(|| {
            let message = format!("sObject type '{kind}' is not supported.");
            Failure::row("INVALID_TYPE", message, &[])
        })?;
        let row = record.as_object().ok_or_else(|| Failure::body("a record must be an object"))?;
        one(org, call, &object, row)
    }))
}

fn delete(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    let ids: Vec<Value> =
        call.parameter("ids").unwrap_or_default().split(',').map(|id| json!(id.trim())).collect();
    limit(ids.len(), MOST)?;
    org.about_to_write();
    let all_or_none = call.parameter("allOrNone") == Some("true");
    Ok(transaction(org, &ids, all_or_none, |org, id| {
        let id = id.as_str().unwrap_or_default();
        let object = org.schema.objects().find(|object| id.starts_with(&object.prefix));
        let malformed = || Failure::row("MALFORMED_ID", format!("bad id {id}"), &[]);
        let object = object.ok_or_else(malformed)?.name.clone();
        org.delete(&object, id, &call.writer())?;
        Ok((crate::connect::salesforce::sandbox::id::normal(id).unwrap_or_default(), None))
    }))
}

/// Handles the rows in order; with `all_or_none` one failure undoes them all.
fn transaction(
    org: &mut Org,
    rows: &[Value],
    all_or_none: bool,
    mut one: impl FnMut(&mut Org, &Value) -> Outcome,
) -> Answer {
    let nested = org.in_transaction();
    if !nested {
        org.begin();
    }
    let mut outcomes: Vec<Outcome> = rows.iter().map(|row| one(org, row)).collect();
    let undo = all_or_none && outcomes.iter().any(Result::is_err);
    if !nested {
        org.end(!undo);
    }
    if undo {
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
            let message = "Record rolled back because not all records were valid and the request \
                           was using AllOrNone header";
            *outcome = Err(Failure::row("ALL_OR_NONE_OPERATION_ROLLED_BACK", message, &[]));
        }
    }
    let results: Vec<Value> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok((id, None)) => json!({ "id": id, "success": true, "errors": [] }),
            Ok((id, Some(created))) => {
                json!({ "id": id, "success": true, "errors": [], "created": created })
            }
            Err(failure) => json!({ "success": false, "errors": [failure.row_json()] }),
        })
        .collect();
    Answer::json(200, json!(results))
}

fn read(
    org: &mut Org,
    call: &Call,
    name: &str,
    ids: &[String],
    fields: &[String],
) -> Result<Answer, Failure> {
    limit(ids.len(), MOST_READ)?;
    let object = org.object(name, false).ok_or_else(Failure::not_found)?.name.clone();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let mut records = Vec::new();
    for id in ids {
        match rows::show(org, call, &object, id, Some(&fields)) {
            Ok(record) => records.push(record),
            Err(failure) if failure.status == 404 => records.push(Value::Null),
            Err(failure) => return Err(failure),
        }
    }
    org.usage.log.reads += records.len();
    Ok(Answer::json(200, json!(records)))
}

fn limit(count: usize, most: usize) -> Result<(), Failure> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let message =
        format!("record limit reached. cannot submit more than {most} records in this batch");
    Err(Failure::new("INVALID_BATCH_SIZE", message))
}

fn take(row: &mut Fields, name: &str) -> Option<String> {
    let key = row.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    row.remove(&key)?.as_str().map(str::to_owned)
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
