//! Checks of a whole row: required fields, locks, uniqueness, duplicates, validation rules.

use serde_json::{Value, json};

use super::Writer;
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};

/// Refuses a row that an approval process or a conversion has locked.
pub(crate) fn locks(org: &Org, object: &str, id: &str, fields: &Fields) -> Result<(), Failure> {
    if org.approval_locks.contains(id) {
        let message = "The record you are trying to edit is locked. Please check with your admin.";
        return Err(Failure::row("ENTITY_IS_LOCKED", message, &[]));
    }
    if object == "Lead" && fields["IsConverted"] == json!(true) {
        let message = "cannot reference converted lead";
        return Err(Failure::row("CANNOT_UPDATE_CONVERTED_LEAD", message, &[]));
    }
    Ok(())
}

/// Refuses a row without its required fields.
pub(crate) fn required(org: &Org, object: &str, fields: &Fields) -> Result<(), Failure> {
    let missing: Vec<&str> = org
        .schema
        .object(object)
        .into_iter()
        .flat_map(|object| &object.fields)
        .filter(|field| field.required && fields.get(&field.name).is_none_or(Value::is_null))
        .map(|field| field.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", missing.join(", "));
    Err(Failure::row("REQUIRED_FIELD_MISSING", message, &missing))
}

/// Refuses a value of a unique field that another row holds.
pub(crate) fn unique(org: &Org, object: &str, id: &str, fields: &Fields) -> Result<(), Failure> {
    let all = org.schema.object(object).into_iter().flat_map(|object| &object.fields);
    for field in all.filter(|field| field.unique) {
        let Some(value) = fields.get(&field.name).and_then(Value::as_str) else { continue };
        let other = org.live_rows(object).find(|(other, row)| {
            other.as_str() != id
                && row.fields.get(&field.name).and_then(Value::as_str).is_some_and(|held| {
                    if field.case_sensitive {
                        held == value
                    } else {
                        held.eq_ignore_ascii_case(value)
                    }
                })
        });
        if let Some((other, _)) = other {
            let short = other.get(..15).unwrap_or(other);
            let message = format!(
                "duplicate value found: {} duplicates value on record with id: {short}",
                field.name
            );
            return Err(Failure::row("DUPLICATE_VALUE", message, &[]));
        }
    }
    Ok(())
}

/// Refuses a row that a validation rule objects to.
pub(crate) fn rules(org: &Org, object: &str, fields: &Fields) -> Result<(), Failure> {
    for (_, rule) in org.hooks.rules.iter().filter(|(guarded, _)| guarded == object) {
        if let Some((message, field)) = rule(fields) {
            let code = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
            return Err(Failure::row(code, message, &[&field]));
        }
    }
    Ok(())
}

/// Refuses a row that a duplicate rule matches, unless it only alerts and the client saves anyway.
pub(crate) fn duplicates(
    org: &Org,
    object: &str,
    id: &str,
    fields: &Fields,
    writer: &Writer,
) -> Result<(), Failure> {
    for rule in org.hooks.duplicates.iter().filter(|rule| rule.object == object) {
        if writer.allow_duplicates && !rule.block {
            continue;
        }
        let Some(value) = fields.get(&rule.field).filter(|value| !value.is_null()) else {
            continue;
        };
        let matches: Vec<&str> = org
            .live_rows(object)
            .filter(|(other, row)| {
                other.as_str() != id && row.fields.get(&rule.field) == Some(value)
            })
            .map(|(other, _)| other.as_str())
            .collect();
        if !matches.is_empty() {
            return Err(detected(object, !rule.block, &matches));
        }
    }
    Ok(())
}

/// The error of a duplicate rule, with the member that is historically spelled `duplicateResut`.
pub(crate) fn detected(object: &str, allow_save: bool, matches: &[&str]) -> Failure {
    let message = "Use one of these records?";
    let records: Vec<Value> = matches
        .iter()
        .map(|id| {
            let url = format!("/services/data/v66.0/sobjects/{object}/{id}");
            json!({
                "additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
                "record": { "attributes": { "type": object, "url": url }, "Id": id },
            })
        })
        .collect();
    let result = json!({
        "allowSave": allow_save, "duplicateRule": format!("Standard_{object}_Duplicate_Rule"),
        "duplicateRuleEntityType": object, "errorMessage": message,
        "matchResults": [{
            "entityType": object, "errors": [], "matchEngine": "FuzzyMatchEngine",
            "rule": format!("Standard_{object}_Match_Rule"), "size": records.len(),
            "success": true, "matchRecords": records,
        }],
    });
    let mut failure = Failure::new("DUPLICATES_DETECTED", message);
    failure.more.insert("duplicateResut".into(), result);
    failure
}
