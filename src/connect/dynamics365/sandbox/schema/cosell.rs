//! Co-sell columns: ours, and those that Microsoft's own connector leaves behind.

use super::{Choice, Column, Kind};

const HELP: [&str; 6] = [
    "Workload specific value proposition",
    "Customer technical architecture",
    "Proof of concept or demo",
    "Quotes or licensing",
    "Post sales customer success",
    "General or other",
];

fn help(logical: &str) -> Column {
    let options = HELP
        .iter()
        .zip(727_000_000_i64..)
        .map(|(label, value)| Choice { value, label: (*label).to_owned(), state: None })
        .collect();
    Column::new(logical, Kind::Choice(options)).labelled("How can Microsoft help?")
}

/// The columns that the shipped mapping uses.
pub(in super::super) fn cosell_columns() -> Vec<Column> {
    [
        Column::boolean("pc_SyncWithPartnerCenter").labelled("Sync with Partner Center"),
        Column::text("pc_ReferralIdentifier", 100).labelled("Referral Identifier"),
        Column::new("pc_ReferralLink", Kind::Text(255, "Url")).labelled("Referral Link"),
        help("pc_HowCanMicrosoftHelp"),
        Column::text("pc_Solutions", 255).labelled("Solutions"),
        Column::new("pc_Audit", Kind::Memo(100_000)).labelled("Audit"),
        Column::boolean("pc_Visibility").labelled("Microsoft Partner Center Referral Visibility"),
        Column::text("pc_MicrosoftCrmIdentifier", 100).labelled("Microsoft CRM Identifier"),
        Column::text("pc_SyncToken", 100).labelled("Sync Token"),
        Column::text("pc_SyncStatus", 100).labelled("Sync Status"),
    ]
    .into_iter()
    .map(Column::custom)
    .collect()
}

/// A text column of the organisation's own.
pub(in super::super) fn own_text(name: &str) -> Column {
    Column::text(name, 255).custom()
}

/// The columns of Microsoft's connector. Its display names are documented, its logical names are
/// not: `mspc_` is this emulator's invention, so find them by label.
pub(in super::super) fn connector_columns() -> Vec<Column> {
    [
        Column::boolean("mspc_SyncWithPartnerCenter").labelled("Sync with Partner Center"),
        Column::text("mspc_ReferralIdentifier", 100).labelled("Referral Identifier"),
        Column::new("mspc_ReferralLink", Kind::Text(255, "Url")).labelled("Referral Link"),
        help("mspc_HowCanMicrosoftHelp"),
        Column::boolean("mspc_Visibility").labelled("Microsoft Partner Center Referral Visibility"),
        Column::text("mspc_MicrosoftCrmIdentifier", 100).labelled("Microsoft CRM Identifier"),
        Column::text("mspc_Products", 255).labelled("Products"),
        Column::new("mspc_Audit", Kind::Memo(100_000)).labelled("Audit"),
    ]
    .into_iter()
    .map(Column::custom)
    .collect()
}
