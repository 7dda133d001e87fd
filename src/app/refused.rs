//! Deals that a CRM refused because of a field, tried again once its row is parked or works again.

use super::parts::Parts;
use crate::domain::audit::{AuditKind, NewEntry};
use crate::store::{Release, StoreError};
use crate::sync::account::Account;

/// Dead letters looked through at once, at most.
const MOST_LETTERS: usize = 10_000;

/// The code of a hold that a refusal caused.
const REJECTED: &str = "rejected";

/// Tries everything that was refused once more. Until a field that is gone is noticed, deals are
/// refused because of it; one that was refused for another reason is held again, with that reason.
pub(super) async fn try_again(parts: &Parts, account: &Account) -> Result<(), StoreError> {
    let store = &parts.around.store;
    for letter in store.dead_letters(Some(&account.name), MOST_LETTERS).await? {
        if letter.hold.code != REJECTED {
            continue;
        }
        let reason = &letter.hold.reason;
        let entry = NewEntry {
            at: parts.around.clock.now(),
            account: account.name.clone(),
            deal: letter.deal(store.as_ref()).await?,
            kind: AuditKind::Resumed,
            actor: "daemon".to_owned(),
            summary: format!(
                "Tried again, since other fields are in use now. It was held: {reason}"
            ),
            cause: Some(format!("notice {}", letter.notice.id)),
            fields: Vec::new(),
            request_ids: Vec::new(),
            duration_ms: None,
        };
        store.release(&letter.notice.id, Release::Retry, entry).await?;
    }
    parts.wake.notify_one();
    Ok(())
}
