//! Deals that a CRM refused because of a field, tried again once its row is parked or works again.

use super::parts::Parts;
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::id::DealId;
use crate::domain::notice::Subject;
use crate::store::{DeadLetter, DealKey, Release, StoreError};
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
            deal: deal_of(parts, &letter).await?,
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

/// The deal of a dead letter, so that its story tells why it was tried again.
async fn deal_of(parts: &Parts, letter: &DeadLetter) -> Result<Option<DealId>, StoreError> {
    let notice = &letter.notice.notice;
    let key = match &notice.subject {
        Subject::Deal(id) => return Ok(Some(id.clone())),
        Subject::Referral(id) => DealKey::Referral(id.clone()),
        Subject::Record(key) => DealKey::Record(key.clone()),
        Subject::Unusable(_) => return Ok(None),
    };
    let deal = parts.around.store.deal_by(&notice.account, &key).await?;
    Ok(deal.map(|deal| deal.id))
}
