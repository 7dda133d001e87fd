//! `/deals`: every deal, a page at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::{Asked, Sent};
use super::super::{Admin, Problem};
use super::view::{DealLine, Waiting};
use super::{WHO, optional_account, page_size, why};
use crate::domain::id::{DealId, RecordKey};

/// Deals looked through for one page of held ones, at most.
const MOST_LOOKED_AT: usize = 20_000;
/// Waiting notices that are looked at, at most.
pub(super) const MOST_WAITING: usize = 5_000;

#[derive(Deserialize)]
pub(super) struct Page {
    account: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    held: bool,
}

/// `GET /deals`: `items` in the order of their ids, and `next` to go on after.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Json_>, Problem> {
    let account = optional_account(&admin, page.account.as_deref())?;
    let limit = page_size(page.limit);
    let waiting = waiting(&admin).await?;
    let mut after = page.after.map(DealId::new);
    let mut items = Vec::new();
    let mut looked_at = 0;
    let next = loop {
        let deals = admin.store.deals(account.as_ref(), after.as_ref(), limit).await?;
        let ended = deals.len() < limit;
        looked_at += deals.len();
        for deal in deals {
            if items.len() < limit {
                after = Some(deal.id.clone());
                if !page.held || deal.needs_a_person() || waiting.holds(&deal) {
                    items.push(DealLine::of(&deal, &waiting));
                }
            }
        }
        if items.len() >= limit || looked_at >= MOST_LOOKED_AT {
            break after;
        }
        if ended {
            break None;
        }
    };
    Ok(Json(json!({ "items": items, "next": next })))
}

async fn waiting(admin: &Admin) -> Result<Waiting, Problem> {
    let waiting = admin.store.waiting(MOST_WAITING).await?;
    let held = admin.store.dead_letters(None, MOST_WAITING).await?;
    Ok(Waiting::of(&waiting, &held, admin.clock.now()))
}

/// `GET /deals/{id}`: one deal with its links, bases, holds and intents.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Json_>, Problem> {
    let deal = admin.store.deal(&DealId::new(id.clone())).await?.ok_or_else(|| {
        Problem::not_found(format!("There is no deal `{id}`."), "List them with `links`.")
    })?;
    let waiting = waiting(&admin).await?;
    Ok(Json(json!({ "summary": DealLine::of(&deal, &waiting), "deal": deal })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Relink {
    record: String,
}

/// `POST /deals/{id}/relink`: ties the deal to another record, in its own lane.
pub(super) async fn relink(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Sent(asked): Sent<Relink>,
) -> Result<Json<Json_>, Problem> {
    let deal = why::find(&admin, &id).await?.ok_or_else(|| {
        Problem::not_found(format!("There is no deal `{id}`."), "List them with `links`.")
    })?;
    let record = RecordKey::parse(asked.record.trim()).ok_or_else(|| {
        Problem::bad_request(format!(
            "`{}` names no record; write it as `links` shows it: salesforce/opportunity/006...",
            asked.record
        ))
    })?;
    admin.operations.relink(&deal, &record, WHO).await?;
    Ok(Json(json!({ "deal": deal.id, "record": record.to_string() })))
}
