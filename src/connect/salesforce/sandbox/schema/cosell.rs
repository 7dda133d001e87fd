//! The custom fields of the co-sell package.

use super::field::{Field, Kind, checkbox, text};

/// The labels of *How can Microsoft help*.
const HELP: &[&str] = &[
    "Workload specific value proposition",
    "Customer technical architecture",
    "Proof of concept or demo",
    "Quotes or licensing",
    "Post sales customer success",
    "General or other",
];

/// The fields on Opportunity and Lead. `prefix` is empty or `Microsoft__`.
pub(crate) fn fields(prefix: &str, unique: bool) -> Vec<Field> {
    let name = |own: &str| format!("{prefix}{own}__c");
    vec![
        checkbox(&name("Sync_With_Partner_Center")),
        text(&name("Referral_Identifier"), 100).external_id(unique),
        Field::new(&name("Referral_Link"), Kind::Url, 255),
        Field::new(&name("How_can_Microsoft_help"), Kind::Picklist, 255)
            .choices(HELP)
            .restricted(true),
        text(&name("Products"), 255),
        Field::new(&name("Sync_Audit"), Kind::TextArea, 100_000),
        checkbox(&name("Visibility")),
        text(&name("Microsoft_CRM_Identifier"), 100),
        text(&name("Sync_Token"), 100),
        text(&name("Sync_Status"), 100),
    ]
}
