//! `/sobjects/T/EXTFIELD/VALUE`.

use serde_json::{Value, json};

use super::data::only;
use super::{Answer, Call, rows};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};
use crate::connect::salesforce::sandbox::rows::Writer;

/// Reads, upserts or deletes the row with this external id. Conditional headers are not looked at:
/// whether the real system supports them here is not documented.
pub(super) fn row(
    org: &mut Org,
    call: &Call,
    name: &str,
    field: &str,
    value: &str,
) -> Result<Answer, Failure> {
    only(call, "HEAD,GET,PATCH,DELETE")?;
    if call.method == "PATCH" {
        org.about_to_write();
    }
    let (object, field, found) = matches(org, name, field, value, &call.user)?;
    if found.len() > 1 {
        let urls: Vec<String> =
            found.iter().map(|id| format!("{}/sobjects/{object}/{id}", call.root())).collect();
        return Ok(Answer::json(300, json!(urls)));
    }
    match (call.method.as_str(), found.first()) {
        ("PATCH", found) => {
            if found.is_none() && call.parameter("updateOnly") == Some("true") {
                return Err(Failure::not_found());
            }
            let body = call.fields()?;
            if body.keys().any(|key| key == "Id" || key.eq_ignore_ascii_case(&field)) {
                let message =
                    format!("The {field} field should not be specified in the sobject data.");
                return Err(Failure::row("INVALID_FIELD", message, &[]));
            }
            let writer = call.writer();
            let (id, created) =
                apply(org, &object, &field, value, found.map(String::as_str), body, &writer)?;
            let place = format!("{}/sobjects/{object}/{id}", call.root());
            if !created && call.release() <= 45 {
                return Ok(Answer::empty(204));
            }
            let body = json!({ "id": id, "success": true, "errors": [], "created": created });
            Ok(Answer::json(if created { 201 } else { 200 }, body).with("Location", place))
        }
        (_, None) => Err(Failure::not_found()),
        ("DELETE", Some(id)) => {
            org.about_to_write();
            org.delete(&object, id, &call.writer())?;
            Ok(Answer::empty(204))
        }
        (_, Some(id)) => rows::read(org, call, &object, &id.clone()),
    }
}

/// Object, field and ids of the rows whose external id `field` is `value`.
pub(super) fn matches(
    org: &Org,
    name: &str,
    field: &str,
    value: &str,
    user: &str,
) -> Result<(String, String, Vec<String>), Failure> {
    let object = org.object(name, false).ok_or_else(Failure::not_found)?;
    let known = org.visible(object, field, user);
    let known = known.filter(|field| field.external_id || field.name == "Id").ok_or_else(|| {
        let message =
            format!("Provided external ID field does not exist or is not accessible: {field}");
        Failure::new("NOT_FOUND", message)
    })?;
    let fold = known.unique && !known.case_sensitive;
    let found = org
        .live_rows(&object.name)
        .filter(|(_, row)| {
            let held = row.fields.get(&known.name).and_then(Value::as_str);
            held.is_some_and(|held| held == value || (fold && held.eq_ignore_ascii_case(value)))
        })
        .map(|(id, _)| id.clone())
        .collect();
    Ok((object.name.clone(), known.name.clone(), found))
}

/// Updates the row found, or creates one that carries the external id.
pub(super) fn apply(
    org: &mut Org,
    object: &str,
    field: &str,
    value: &str,
    found: Option<&str>,
    body: &Fields,
    writer: &Writer,
) -> Result<(String, bool), Failure> {
    if let Some(id) = found {
        org.update(object, id, body, writer)?;
        return Ok((id.to_owned(), false));
    }
    let mut body = body.clone();
    if field != "Id" {
        body.insert(field.to_owned(), json!(value));
    }
    Ok((org.create(object, &body, writer)?, true))
}
