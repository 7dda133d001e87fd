//! What a store says about itself: its schema, its id, how many changes it has seen.

use super::{Rows, Work, keys};
use crate::store::StoreError;

/// The schema this program writes; an older one is migrated on opening, a newer one refused.
pub(crate) const SCHEMA: u32 = 1;

/// Which store it is and how far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Told apart from every other store; kept by a restored one.
    pub(crate) id: String,
    /// Changes so far.
    pub(crate) sequence: u64,
}

/// Makes an empty store one of ours.
pub(crate) fn found(work: &mut Work<'_>, id: &str) -> Result<(), StoreError> {
    work.put(keys::meta("schema"), &SCHEMA)?;
    work.put(keys::meta("store"), id)
}

/// Who the store is; `None` if it is empty.
///
/// # Errors
///
/// [`StoreError::NewerSchema`] if a newer program wrote it.
pub(crate) fn identify(rows: &dyn Rows) -> Result<Option<Identity>, StoreError> {
    let Some(found) = rows.load::<u32>(&keys::meta("schema"))? else { return Ok(None) };
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { found, known: SCHEMA });
    }
    let id = rows.load(&keys::meta("store"))?;
    let id = id.ok_or_else(|| StoreError::Damaged("the store has lost its id".to_owned()))?;
    let sequence = rows.load(&keys::meta("sequence"))?.unwrap_or(0);
    Ok(Some(Identity { id, sequence }))
}
