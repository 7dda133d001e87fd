//! From shadow mode to live: what was only looked at is done after it.

use super::backfill;
use super::parts::Parts;
use crate::admin::operations::OperationError;

/// Remembers which accounts run in shadow mode. One that ran in it the last time and no longer does
/// reads every feed from the start.
pub(super) async fn settle(parts: &Parts) -> Result<(), OperationError> {
    for account in &parts.accounts {
        let note = format!("shadow/{}", account.name);
        let store = &parts.around.store;
        let was = store.note(&note).await?.is_some();
        match (was, account.behaviour.shadow) {
            (false, true) => store.keep_note(&note, Some(Vec::new())).await?,
            (true, false) => {
                backfill::begin(parts, &account.name, "daemon").await?;
                store.keep_note(&note, None).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
