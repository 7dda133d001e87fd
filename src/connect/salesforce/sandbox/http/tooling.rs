//! The Tooling API as far as custom fields need it.

use serde_json::json;

use super::{Answer, Call, query, resources, rows};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Org, Row};
use crate::connect::salesforce::sandbox::schema::{self, Field};
use crate::connect::salesforce::sandbox::setup;

/// Answers everything below `/tooling`.
pub(super) fn answer(org: &mut Org, call: &Call, rest: &[&str]) -> Result<Answer, Failure> {
    match (call.method.as_str(), rest) {
        (_, ["query", rest @ ..]) => query::answer(org, call, rest, true),
        ("GET", ["sobjects", name, "describe"]) => resources::describe(org, call, name, true),
        ("POST", ["sobjects", "CustomField"]) => create(org, call),
        ("GET", ["sobjects", "CustomField", id]) => rows::read(org, call, "CustomField", id),
        ("PATCH", ["sobjects", "CustomField", id]) => change(org, call, id),
        ("DELETE", ["sobjects", "CustomField", id]) => remove(org, call, id),
        (method, ["sobjects", "CustomField", ..]) => {
            Err(Failure::method(method, "HEAD,GET,POST,PATCH,DELETE"))
        }
        _ => Err(Failure::not_found()),
    }
}

fn create(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    if !org.is_permitted("CustomizeApplication") {
        let message = "insufficient access rights on object id";
        return Err(Failure::row("INSUFFICIENT_ACCESS_OR_READONLY", message, &[]));
    }
    let full_name = call.body["FullName"].as_str().unwrap_or_default().to_owned();
    let integrity =
        |message: String| Failure::row("FIELD_INTEGRITY_EXCEPTION", message, &["FullName"]);
    let bad = || integrity(format!("Invalid fullName {full_name}"));
    let (object, prefix, name) = setup::field_parts(&full_name).ok_or_else(bad)?;
    let (_, api_name) = full_name.split_once('.').ok_or_else(bad)?;
    let ours = prefix == "Microsoft" && org.options.package_installed;
    let foreign = !prefix.is_empty() && !ours;
    let shaped = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|all| all.is_ascii_alphanumeric() || all == '_')
        && !name.contains("__")
        && !name.ends_with('_');
    if foreign || !shaped {
        return Err(integrity(format!(
            "The Custom Field API Name you provided {name} on object {object} can only contain \
             alphanumeric characters, must begin with a letter, cannot end with an underscore or \
             contain two consecutive underscore characters, and must be unique across all {object} \
             fields."
        )));
    }
    let known = org.object(object, false).ok_or_else(bad)?;
    let object = known.name.clone();
    if known.field(api_name).is_some() {
        let message = format!("There is already a field named {name} on {object}.");
        return Err(Failure::row("DUPLICATE_DEVELOPER_NAME", message, &["FullName"]));
    }
    let field = schema::from_metadata(api_name, &call.body["Metadata"])?;
    let id = setup::register_field(org, &full_name, &call.body["Metadata"], &call.user);
    install(org, &object, field);
    org.usage.log.writes += 1;
    let body = json!({ "id": id, "success": true, "errors": [], "warnings": [], "infos": [] });
    Ok(Answer::json(201, body))
}

/// Puts the field into the schema, in the place of an older form of it.
fn install(org: &mut Org, object: &str, field: Field) {
    if let Some(object) = org.schema.object_mut(object) {
        object.fields.retain(|old| old.name != field.name);
        object.fields.push(field);
    }
    setup::complete_rows(org, object);
}

fn change(org: &mut Org, call: &Call, id: &str) -> Result<Answer, Failure> {
    let (id, row) = org.live("CustomField", id)?;
    let mut fields = row.fields.clone();
    let full_name = fields["FullName"].as_str().unwrap_or_default().to_owned();
    let (object, api_name) = full_name.split_once('.').ok_or_else(Failure::not_found)?;
    let mut field = schema::from_metadata(api_name, &call.body["Metadata"])?;
    let before = org.schema.object(object).and_then(|object| object.field(api_name));
    if let Some(before) = before {
        field.open_to_read = before.open_to_read;
        field.open_to_edit = before.open_to_edit;
    }
    fields.insert("Metadata".into(), call.body["Metadata"].clone());
    org.touch(&mut fields, &call.user);
    org.put("CustomField", &id, Some(Row { fields, deleted_at: None }));
    install(org, object, field);
    org.usage.log.writes += 1;
    Ok(Answer::empty(204))
}

fn remove(org: &mut Org, call: &Call, id: &str) -> Result<Answer, Failure> {
    let (id, row) = org.live("CustomField", id)?;
    let full_name = row.fields["FullName"].as_str().unwrap_or_default().to_owned();
    let (object, api_name) = full_name.split_once('.').ok_or_else(Failure::not_found)?;
    if let Some(object) = org.schema.object_mut(object) {
        object.fields.retain(|field| field.name != api_name);
    }
    org.delete("CustomField", &id, &call.writer())?;
    Ok(Answer::empty(204))
}
