//! Any text as a formula: it is refused, or it ends quickly with a value or a problem.

use cosell_sync::domain::referral::Referral;
use cosell_sync::mapping::{Source, compile, shipped};
use serde_json::json;

/// One input.
pub(crate) fn run(formula: &str) {
    let row = format!(
        "extends = \"salesforce-opportunity.toml\"\n[[field]]\ncrm = \"Fuzz__c\"\ntype = \"text\"\nto_crm = {}\n",
        json!(formula)
    );
    let load = |name: &str| {
        shipped(name).map_or_else(|| Ok(Source { name: name.to_owned(), text: row.clone() }), Ok)
    };
    let Ok(mapping) = compile("fuzz.toml", &load) else { return };
    let referral = Referral::from_json(json!({
        "id": "11111111-2222-4333-8444-555555555555", "name": "Northwind", "salesStage": "20",
        "details": { "dealValue": 0.1, "notes": "n" }, "team": [{ "email": "seller@contoso.example" }],
    }));
    if let Some(referral) = referral {
        let side = mapping.read_referral(&referral);
        let problem = side.problems.iter().any(|problem| problem.field == "Fuzz__c");
        assert!(problem != side.values.contains_key("Fuzz__c"), "neither a value nor a problem");
    }
}
