//! Values that follow from others: the stage table, names, fiscal period, expected revenue.

use serde_json::{Value, json};

use crate::connect::salesforce::sandbox::org::{Fields, Org};

/// Fills what the platform computes. `given` names the fields of this write.
pub(crate) fn fill(org: &Org, object: &str, fields: &mut Fields, given: &Fields) {
    match object {
        "Opportunity" => opportunity(org, fields, given),
        "OpportunityLineItem" => {
            let part = |name: &str| fields[name].as_f64().unwrap_or_default();
            let total = (part("Quantity") * part("UnitPrice") * 100.0).round() / 100.0;
            fields.insert("TotalPrice".into(), json!(total));
        }
        "Lead" | "Contact" | "User" => full_name(fields),
        _ => {}
    }
}

fn opportunity(org: &Org, fields: &mut Fields, given: &Fields) {
    if given.contains_key("StageName") {
        let name = fields["StageName"].as_str().unwrap_or_default().to_owned();
        let stage = org.options.stages.iter().find(|stage| stage.name == name);
        fields.insert("IsClosed".into(), json!(stage.is_some_and(|stage| stage.closed)));
        fields.insert("IsWon".into(), json!(stage.is_some_and(|stage| stage.won)));
        let forecast = stage.map_or("Pipeline", |stage| stage.forecast.as_str()).to_owned();
        if given.get("ForecastCategoryName").is_none_or(Value::is_null) {
            fields.insert("ForecastCategoryName".into(), json!(forecast));
        }
        if given.get("Probability").is_none_or(Value::is_null) {
            let probability = f64::from(stage.map_or(0, |stage| stage.probability));
            fields.insert("Probability".into(), json!(probability));
        }
    }
    let category = fields["ForecastCategoryName"].clone();
    fields.insert("ForecastCategory".into(), category);
    let expected = match (fields["Amount"].as_f64(), fields["Probability"].as_f64()) {
        (Some(amount), Some(probability)) => json!((amount * probability).round() / 100.0),
        _ => Value::Null,
    };
    fields.insert("ExpectedRevenue".into(), expected);
    let close = fields["CloseDate"].as_str().unwrap_or_default().to_owned();
    let part =
        |from: usize, to: usize| close.get(from..to).and_then(|text| text.parse::<i64>().ok());
    if let (Some(year), Some(month)) = (part(0, 4), part(5, 7)) {
        fields.insert("FiscalYear".into(), json!(year));
        fields.insert("FiscalQuarter".into(), json!((month + 2) / 3));
    }
}

fn full_name(fields: &mut Fields) {
    let part = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    let whole = format!("{} {}", part("FirstName"), part("LastName"));
    fields.insert("Name".into(), json!(whole.trim()));
}
