//! Any JSON as a referral and as a record: every field is a value or a problem, never a panic.

use std::sync::LazyLock;

use cosell_sync::domain::referral::Referral;
use cosell_sync::mapping::rule::Occasion;
use cosell_sync::mapping::{Mapping, Source, compile, shipped};
use serde_json::Value as Json;

static MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    let names = ["dynamics365-opportunity.toml", "salesforce-opportunity.toml"];
    let load = |name: &str| -> Result<Source, String> { shipped(name).ok_or_else(String::new) };
    names.iter().filter_map(|name| compile(name, &load).ok()).collect()
});

/// One input.
pub(crate) fn run(text: &str) {
    let Ok(mut json) = serde_json::from_str::<Json>(text) else { return };
    for mapping in MAPPINGS.iter() {
        if let Some(record) = json.as_object() {
            let side = mapping.read_record(record);
            let _ = mapping.write_referral(&side.values, None, Occasion::Create);
            let _ = mapping.stage_of(record);
        }
        if json.is_object() {
            json["id"] = "11111111-2222-4333-8444-555555555555".into();
        }
        if let Some(referral) = Referral::from_json(json.clone()) {
            let side = mapping.read_referral(&referral);
            let _ = mapping.write_record(&side.values, Some(&referral), Occasion::Create);
            let _ = mapping.write_referral(&side.values, Some(&referral), Occasion::Update);
        }
    }
}
