//! A custom field from the metadata that the Tooling API was given.

use serde_json::Value;

use super::field::{Choice, Field, Kind};
use crate::connect::salesforce::sandbox::failure::Failure;

/// Builds the field `api_name` (with `__c`). Nobody may read it until it is granted.
///
/// # Errors
///
/// An unknown type, or a key that the type requires and `metadata` lacks.
pub(crate) fn from_metadata(api_name: &str, metadata: &Value) -> Result<Field, Failure> {
    let kind = metadata["type"].as_str().unwrap_or_default();
    let mut field = match kind {
        "Checkbox" => {
            if metadata["defaultValue"].is_null() {
                return Err(missing("defaultValue"));
            }
            Field::new(api_name, Kind::Boolean, 0)
        }
        "Text" => Field::new(api_name, Kind::Text, length(metadata, 1, 255)?),
        "Url" => Field::new(api_name, Kind::Url, 255),
        "Date" => Field::new(api_name, Kind::Date, 0),
        "Currency" | "Number" => {
            let size = |name: &str| {
                let size = metadata[name].as_u64().and_then(|size| u32::try_from(size).ok());
                size.ok_or_else(|| missing(name))
            };
            let (precision, scale) = (size("precision")?, size("scale")?);
            if precision > 18 || scale > precision {
                let message = "The sum of the digits must be 18 or fewer";
                return Err(Failure::row("FIELD_INTEGRITY_EXCEPTION", message, &["precision"]));
            }
            Field::new(api_name, Kind::Currency, 0).digits(precision, scale)
        }
        "Picklist" => picklist(api_name, metadata)?,
        "LongTextArea" => {
            if metadata["visibleLines"].is_null() {
                return Err(missing("visibleLines"));
            }
            Field::new(api_name, Kind::TextArea, length(metadata, 256, 131_072)?)
        }
        other => {
            let message = format!("'{other}' is not a valid value for the enum 'FieldType'");
            return Err(Failure::body(message));
        }
    };
    field.label = metadata["label"].as_str().ok_or_else(|| missing("label"))?.to_owned();
    field.external_id = metadata["externalId"].as_bool().unwrap_or(false);
    field.unique = metadata["unique"].as_bool().unwrap_or(false);
    field.case_sensitive = metadata["caseSensitive"].as_bool().unwrap_or(false);
    field.required = metadata["required"].as_bool().unwrap_or(false);
    // A required field cannot be hidden; every other one starts hidden from everybody.
    field.open_to_read = field.required;
    field.open_to_edit = field.required;
    Ok(field)
}

fn picklist(api_name: &str, metadata: &Value) -> Result<Field, Failure> {
    let set = &metadata["valueSet"];
    let values =
        set["valueSetDefinition"]["value"].as_array().ok_or_else(|| missing("valueSet"))?;
    let mut field = Field::new(api_name, Kind::Picklist, 255);
    field.restricted = set["restricted"].as_bool().unwrap_or(false);
    field.choices = values
        .iter()
        .map(|value| {
            let name = value["fullName"].as_str().or_else(|| value["valueName"].as_str());
            let name = name.unwrap_or_default().to_owned();
            Choice {
                label: value["label"].as_str().unwrap_or(&name).to_owned(),
                default: value["default"].as_bool().unwrap_or(false),
                value: name,
            }
        })
        .collect();
    Ok(field)
}

fn length(metadata: &Value, least: u64, most: u64) -> Result<usize, Failure> {
    let length = metadata["length"].as_u64().ok_or_else(|| missing("length"))?;
    if !(least..=most).contains(&length) {
        let message = format!("Length must be between {least} and {most}");
        return Err(Failure::row("FIELD_INTEGRITY_EXCEPTION", message, &["length"]));
    }
    Ok(usize::try_from(length).unwrap_or(usize::MAX))
}

fn missing(key: &str) -> Failure {
    let message = format!("Required field is missing: {key}");
    Failure::row("FIELD_INTEGRITY_EXCEPTION", message, &[key])
}
