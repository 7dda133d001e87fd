//! From shadow mode to live: what was only looked at is done after it.

use super::parts::Parts;
use super::{AppError, backfill};
use crate::admin::operations::OperationError;
use crate::store::StoreError;

/// Remembers which accounts run in shadow mode. One that ran in it the last time and no longer does
/// reads every feed from the start.
///
/// # Errors
///
/// [`AppError::Store`]: no setting is wrong, so the program is to be started again.
pub(super) async fn settle(parts: &Parts) -> Result<(), AppError> {
    for account in &parts.accounts {
        let note = format!("shadow/{}", account.name);
        let store = &parts.around.store;
        let was = store.note(&note).await?.is_some();
        match (was, account.behaviour.shadow) {
            (false, true) => store.keep_note(&note, Some(Vec::new())).await?,
            (true, false) => {
                let begun = backfill::begin(parts, &account.name, "daemon").await;
                begun.map_err(|error| match error {
                    OperationError::Store(error) => error,
                    other => StoreError::Failed(other.to_string()),
                })?;
                store.keep_note(&note, None).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
