//! Entries of the audit trail about the program itself.

use super::parts::Parts;
use crate::connect::evidence;
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::id::AccountName;
use crate::store::StoreError;

/// Notes something that an administrator or the program did.
pub(super) async fn note(
    parts: &Parts,
    account: &AccountName,
    kind: AuditKind,
    who: &str,
    summary: String,
    cause: Option<String>,
) -> Result<(), StoreError> {
    let now = parts.around.clock.now();
    let entry = NewEntry { cause, ..entry(parts, account, kind, who, summary) };
    parts.around.store.enqueue(Vec::new(), Vec::new(), vec![entry], now).await?;
    Ok(())
}

/// An entry about something that an administrator or the program did.
pub(super) fn entry(
    parts: &Parts,
    account: &AccountName,
    kind: AuditKind,
    who: &str,
    summary: String,
) -> NewEntry {
    NewEntry {
        at: parts.around.clock.now(),
        account: account.clone(),
        deal: None,
        kind,
        actor: who.to_owned(),
        summary,
        cause: None,
        fields: Vec::new(),
        request_ids: evidence::take(),
        duration_ms: None,
    }
}

/// Raises an alert: in the log and in the trail.
pub(super) async fn raise(parts: &Parts, account: &AccountName, summary: &str) {
    tracing::warn!(account = %account, "{summary}");
    let noted = note(parts, account, AuditKind::Alerted, "daemon", summary.to_owned(), None).await;
    if let Err(error) = noted {
        tracing::error!("The alert could not be kept: {error}");
    }
}
