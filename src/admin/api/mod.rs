//! `/api/v1/...`: JSON for administrators and the command line.

mod audit;
mod csv;
mod dead_letters;
mod deals;
mod mappings;
mod openapi;
mod status;
mod store;
mod view;
mod webhook;
mod why;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{Admin, Problem};
use crate::domain::id::AccountName;

/// Most items of one page.
const MOST_ITEMS: usize = 500;
/// Items of one page if nothing is asked for.
const FEW_ITEMS: usize = 50;
/// Whoever holds the admin token, in the audit trail.
const WHO: &str = "admin";

/// All routes below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/status", get(status::status))
        .route("/doctor", get(status::doctor))
        .route("/deals", get(deals::list))
        .route("/deals/{id}", get(deals::show))
        .route("/deals/{id}/relink", post(deals::relink))
        .route("/shadow/report", get(work::shadow))
        .route("/why", get(why::why))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/release", post(dead_letters::release_many))
        .route("/dead-letters/{id}", get(dead_letters::show))
        .route("/dead-letters/{id}/retry", post(dead_letters::retry))
        .route("/dead-letters/{id}/discard", post(dead_letters::discard))
        .route("/audit", get(audit::list))
        .route("/audit/export", get(audit::export))
        .route("/audit/verify", post(audit::verify))
        .route("/audit/redact", post(audit::redact))
        .route("/reconcile", post(work::reconcile))
        .route("/backfill", get(work::progress).post(work::backfill))
        .route("/backfill/preview", get(work::preview))
        .route("/provision", post(work::provision))
        .route("/webhook", get(webhook::show))
        .route("/webhook/register", post(webhook::register))
        .route("/webhook/test", post(webhook::test))
        .route("/mappings", get(mappings::list))
        .route("/mappings/preview", get(mappings::preview))
        .route("/mappings/diff", post(mappings::diff))
        .route("/mappings/history", get(mappings::history))
        .route("/mappings/reload", post(mappings::reload))
        .route("/mappings/rollback", post(mappings::roll_back))
        .route("/login", post(store::keep_login))
        .route("/login/test-secret", post(store::test_secret))
        .route("/backup", post(store::backup))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
}

async fn nothing() -> Problem {
    Problem::not_found("There is no such route.", "See /api/v1/openapi.json for those there are.")
}

/// How many items a page has, from what was asked for.
fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(FEW_ITEMS).clamp(1, MOST_ITEMS)
}

/// The account asked for; the only one if none was named.
fn account(admin: &Admin, name: Option<&str>) -> Result<AccountName, Problem> {
    let accounts = admin.operations.accounts();
    match (name, accounts.as_slice()) {
        (Some(name), known) => {
            let found = known.iter().find(|account| account.as_str() == name);
            found.cloned().ok_or_else(|| unknown_account(name, known))
        }
        (None, [only]) => Ok(only.clone()),
        (None, known) => {
            Err(Problem::bad_request(format!("Name the account; there are {}.", names(known))))
        }
    }
}

/// The account asked for, or all of them.
fn optional_account(admin: &Admin, name: Option<&str>) -> Result<Option<AccountName>, Problem> {
    name.map(|name| account(admin, Some(name))).transpose()
}

fn unknown_account(name: &str, known: &[AccountName]) -> Problem {
    Problem::not_found(
        format!("There is no account `{name}`."),
        &format!("Name one of {}.", names(known)),
    )
}

fn names(known: &[AccountName]) -> String {
    known.iter().map(AccountName::as_str).collect::<Vec<_>>().join(", ")
}
