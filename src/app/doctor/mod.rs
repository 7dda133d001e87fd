//! Looks at everything live and says what is wrong and how to repair it.

mod crm;
mod notes;
mod partner_center;

use super::parts::Parts;
use super::systems;
use crate::admin::operations::Finding;
use notes::Notes;

/// Everything, the program itself first.
pub(super) async fn examine(parts: &Parts) -> Vec<Finding> {
    let mut found = store(parts).await;
    for account in &parts.accounts {
        found.extend(partner_center::look(parts, account).await);
        found.extend(partner_center::webhook(parts, account).await);
        for part in &account.crms {
            found.extend(crm::look(parts, account, part).await);
        }
    }
    found
}

async fn store(parts: &Parts) -> Vec<Finding> {
    let mut notes = Notes { account: None, area: "store", found: Vec::new() };
    match parts.around.store.health().await {
        Ok(()) => notes.ok("The store takes writes."),
        Err(error) => notes.problem(error.to_string(), "See docs/runbook.md, section Restore."),
    }
    match systems::sealer(&parts.config) {
        Ok(Some(_)) => notes.ok("Refresh tokens are kept encrypted."),
        Ok(None) => notes.advice(
            "No encryption key is configured: a refresh token cannot be kept.",
            "Set store.encryption_key to a file made with `openssl rand -hex 32`.",
        ),
        Err(error) => notes.problem(error.to_string(), "Correct store.encryption_key."),
    }
    notes.found
}
