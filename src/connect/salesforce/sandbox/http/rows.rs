//! `/sobjects/T` and `/sobjects/T/ID`.

use serde_json::{Value, json};

use super::conditions;
use super::data::only;
use super::{Answer, Call};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};
use crate::connect::salesforce::sandbox::schema;

/// `GET` and `POST /sobjects/T`.
pub(super) fn table(org: &mut Org, call: &Call, name: &str) -> Result<Answer, Failure> {
    let object = org.object(name, false).ok_or_else(Failure::not_found)?;
    only(call, "HEAD,GET,POST")?;
    if call.method != "POST" {
        let body =
            json!({ "objectDescribe": schema::global(object, &call.version), "recentItems": [] });
        return Ok(Answer::json(200, body));
    }
    let object = object.name.clone();
    org.about_to_write();
    let id = org.create(&object, call.fields()?, &call.writer())?;
    let place = format!("{}/sobjects/{object}/{id}", call.root());
    let body = json!({ "id": id, "success": true, "errors": [] });
    Ok(Answer::json(201, body).with("Location", place))
}

/// `GET`, `PATCH` and `DELETE /sobjects/T/ID`.
pub(super) fn row(org: &mut Org, call: &Call, name: &str, id: &str) -> Result<Answer, Failure> {
    let object = org.object(name, false).ok_or_else(Failure::not_found)?.name.clone();
    only(call, "HEAD,GET,PATCH,DELETE")?;
    match call.method.as_str() {
        "PATCH" => {
            org.about_to_write();
            let body = call.fields()?;
            if body.keys().any(|key| key.eq_ignore_ascii_case("Id")) {
                let message = "The Id field should not be specified in the sobject data.";
                return Err(Failure::row("INVALID_FIELD_FOR_INSERT_UPDATE", message, &["Id"]));
            }
            let (id, row) = org.live(&object, id)?;
            if let Err(failure) = conditions::check(org, call, &object, &row.fields) {
                return if failure.code.is_empty() { Ok(Answer::empty(412)) } else { Err(failure) };
            }
            org.update(&object, &id, body, &call.writer())?;
            Ok(Answer::empty(204))
        }
        "DELETE" => {
            org.about_to_write();
            org.delete(&object, id, &call.writer())?;
            Ok(Answer::empty(204))
        }
        _ => read(org, call, &object, id),
    }
}

/// One row as `GET` answers it.
pub(super) fn read(org: &mut Org, call: &Call, object: &str, id: &str) -> Result<Answer, Failure> {
    let (id, row) = org.live(object, id)?;
    let stamp = conditions::modified(&row.fields).http_date();
    if conditions::unchanged(call, object, &row.fields) {
        return Ok(Answer::empty(304).with("Last-Modified", stamp));
    }
    let names = call.parameter("fields").map(|names| names.split(',').collect::<Vec<_>>());
    let body = show(org, call, object, &id, names.as_deref())?;
    let tag = conditions::tag(&row.fields);
    org.usage.log.reads += 1;
    let answer = Answer::json(200, body).with("Last-Modified", stamp);
    Ok(if object == "Account" { answer.with("ETag", tag) } else { answer })
}

/// The row with the fields that the user may see, or the ones named.
pub(super) fn show(
    org: &Org,
    call: &Call,
    object: &str,
    id: &str,
    names: Option<&[&str]>,
) -> Result<Value, Failure> {
    let (id, row) = org.live(object, id)?;
    let known = org.schema.object(object).ok_or_else(Failure::not_found)?;
    let url = format!("{}/sobjects/{object}/{id}", call.root());
    let mut record = Fields::new();
    record.insert("attributes".into(), json!({ "type": object, "url": url }));
    match names {
        None => {
            for field in &known.fields {
                if org.access(known, field, &call.user).0 {
                    let value = row.fields.get(&field.name).cloned().unwrap_or_default();
                    record.insert(field.name.clone(), value);
                }
            }
        }
        Some(names) => {
            for name in names.iter().map(|name| name.trim()) {
                let field = org.visible(known, name, &call.user).ok_or_else(|| {
                    let message = format!("No such column '{name}' on sobject of type {object}");
                    Failure::new("INVALID_FIELD", message)
                })?;
                let value = row.fields.get(&field.name).cloned().unwrap_or_default();
                record.insert(field.name.clone(), value);
            }
            record.insert("Id".into(), json!(id));
        }
    }
    Ok(Value::Object(record))
}
