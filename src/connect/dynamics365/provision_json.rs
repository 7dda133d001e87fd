//! Bodies of definitions that provisioning sends.

use serde_json::{Value as Json, json};

use crate::connect::crm::WantedField;

/// The column type for a wanted kind; `None` for a kind that cannot be made.
pub(super) fn attribute_type(kind: &str) -> Option<&'static str> {
    match kind {
        "boolean" | "flag" => Some("Boolean"),
        "text" | "url" => Some("String"),
        "long_text" => Some("Memo"),
        "option" => Some("Picklist"),
        "date" => Some("DateTime"),
        "amount" | "rate" => Some("Decimal"),
        _ => None,
    }
}

/// Whether a column of type `found` can hold a wanted kind.
pub(super) fn fits(kind: &str, found: &str) -> bool {
    let also: &[&str] = match kind {
        // A check box, or the words for it.
        "flag" | "date" => &["String"],
        "amount" | "rate" => &["Money", "Double", "Integer", "BigInt", "String"],
        _ => &[],
    };
    attribute_type(kind) == Some(found) || also.contains(&found)
}

fn label(text: &str, language: i64) -> Json {
    json!({
        "@odata.type": "Microsoft.Dynamics.CRM.Label",
        "LocalizedLabels": [{
            "@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel",
            "Label": text,
            "LanguageCode": language,
        }],
    })
}

/// The schema name: the prefix as it is, then each word with a capital: `pc_ReferralIdentifier`.
fn schema_name(field: &WantedField, prefix: &str) -> String {
    let rest = field.name.strip_prefix(prefix).unwrap_or(&field.name).trim_start_matches('_');
    let words: String = field.label.chars().filter(char::is_ascii_alphanumeric).collect();
    // The label spells the words of the name only where nothing else was chosen.
    let rest = if words.eq_ignore_ascii_case(rest) { words } else { rest.to_owned() };
    format!("{prefix}_{rest}")
}

/// The body of a new column; `None` for a kind that cannot be made. Option values are the
/// publisher's prefix followed by four digits.
pub(super) fn column(
    field: &WantedField,
    prefix: &str,
    language: i64,
    option_prefix: i64,
) -> Option<Json> {
    let kind = attribute_type(&field.kind)?;
    let mut json = json!({
        "@odata.type": format!("Microsoft.Dynamics.CRM.{kind}AttributeMetadata"),
        "AttributeType": kind,
        "AttributeTypeName": {"Value": format!("{kind}Type")},
        "SchemaName": schema_name(field, prefix),
        "DisplayName": label(&field.label, language),
        "Description": label(&field.label, language),
        "RequiredLevel": {"Value": "None"},
    });
    match field.kind.as_str() {
        "boolean" | "flag" => {
            json["DefaultValue"] = json!(false);
            json["OptionSet"] = json!({
                "@odata.type": "Microsoft.Dynamics.CRM.BooleanOptionSetMetadata",
                "TrueOption": {"Value": 1, "Label": label("Yes", language)},
                "FalseOption": {"Value": 0, "Label": label("No", language)},
            });
        }
        "text" | "url" => {
            let format = if field.kind == "url" { "Url" } else { "Text" };
            json["MaxLength"] = json!(field.max_length);
            json["FormatName"] = json!({"Value": format});
        }
        "date" => {
            json["Format"] = json!("DateOnly");
            json["DateTimeBehavior"] = json!({"Value": "DateOnly"});
        }
        "amount" | "rate" => {
            json["Precision"] = json!(if field.kind == "rate" { 6 } else { 2 });
            json["MinValue"] = json!(0);
            json["MaxValue"] = json!(100_000_000_000_i64);
        }
        "long_text" => {
            json["MaxLength"] = json!(field.max_length);
            json["Format"] = json!("TextArea");
        }
        _ => {
            let first = option_prefix * 10_000;
            let options: Vec<Json> = (first..)
                .zip(&field.options)
                .map(|(value, text)| json!({"Value": value, "Label": label(text, language)}))
                .collect();
            json["OptionSet"] = json!({
                "@odata.type": "Microsoft.Dynamics.CRM.OptionSetMetadata",
                "IsGlobal": false,
                "OptionSetType": "Picklist",
                "Options": options,
            });
        }
    }
    Some(json)
}

/// The body of a new alternate key on one column.
pub(super) fn key(field: &WantedField, language: i64) -> Json {
    json!({
        "SchemaName": format!("{}_key", field.name),
        "DisplayName": label(&format!("{} key", field.label), language),
        "KeyAttributes": [field.name],
    })
}

#[cfg(test)]
mod tests {
    use super::{column, fits, schema_name};
    use crate::connect::crm::{SellerAccess, WantedField};

    fn wanted(name: &str, label: &str, kind: &str) -> WantedField {
        WantedField {
            name: name.to_owned(),
            label: label.to_owned(),
            kind: kind.to_owned(),
            max_length: 100,
            options: vec!["First".to_owned(), "Second".to_owned()],
            unique: false,
            sellers: SellerAccess::Edit,
        }
    }

    #[test]
    fn the_schema_name_is_the_column_name_but_for_case() {
        let table = [
            ("pc_referralidentifier", "Referral Identifier", "pc_ReferralIdentifier"),
            ("pc_help", "How can Microsoft help?", "pc_help"),
        ];
        for (name, label, expected) in table {
            let found = schema_name(&wanted(name, label, "text"), "pc");
            assert_eq!(found, expected);
            assert_eq!(found.to_lowercase(), name, "the logical name is its lower case");
        }
    }

    #[test]
    fn each_kind_has_its_column_and_may_be_held_by_others() {
        let table = [
            ("flag", "Boolean", &["Boolean", "String"][..], "Picklist"),
            ("boolean", "Boolean", &["Boolean"], "String"),
            ("date", "DateTime", &["DateTime", "String"], "Boolean"),
            ("amount", "Decimal", &["Decimal", "Money", "Double", "String"], "DateTime"),
            ("rate", "Decimal", &["Decimal", "Money", "Double", "String"], "DateTime"),
            ("text", "String", &["String"], "Memo"),
        ];
        for (kind, made, also, never) in table {
            let json = column(&wanted("pc_x", "X", kind), "pc", 1033, 72_700).expect("a body");
            assert_eq!(json["AttributeType"], made, "{kind}");
            assert!(also.iter().all(|found| fits(kind, found)) && !fits(kind, never), "{kind}");
        }
        let rate = column(&wanted("pc_x", "X", "rate"), "pc", 1033, 72_700).expect("a body");
        assert_eq!(rate["Precision"], 6, "a rate has more digits than an amount");
    }

    #[test]
    fn options_get_the_publishers_numbers() {
        let json =
            column(&wanted("pc_help", "Help", "option"), "pc", 1033, 72_700).expect("a body");
        let values: Vec<_> = json["OptionSet"]["Options"]
            .as_array()
            .expect("options")
            .iter()
            .map(|option| option["Value"].as_i64())
            .collect();
        assert_eq!(values, [Some(727_000_000), Some(727_000_001)]);
        assert_eq!(column(&wanted("pc_x", "X", "map"), "pc", 1033, 72_700), None);
    }
}
