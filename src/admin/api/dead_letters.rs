//! `/dead-letters`: what waits for a person.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::{Asked, Sent};
use super::super::{Admin, Problem};
use super::{WHO, optional_account, page_size};
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::id::NoticeId;
use crate::store::{DeadLetter, Release};

/// Dead letters looked through at once, at most.
const MOST_LETTERS: usize = 10_000;

#[derive(Deserialize)]
pub(super) struct Page {
    account: Option<String>,
    code: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /dead-letters`: `items` oldest first, and `next` to go on after.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Json_>, Problem> {
    let account = optional_account(&admin, page.account.as_deref())?;
    let limit = page_size(page.limit);
    let letters = admin.store.dead_letters(account.as_ref(), MOST_LETTERS).await?;
    let wanted = letters.into_iter().filter(|letter| {
        let later = page.after.as_deref().is_none_or(|after| letter.notice.id.as_str() > after);
        later && page.code.as_deref().is_none_or(|code| letter.hold.code == code)
    });
    let mut items: Vec<DeadLetter> = wanted.take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|letter| letter.notice.id.clone());
    Ok(Json(json!({ "items": items, "next": next })))
}

/// `GET /dead-letters/{id}`: one of them.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<DeadLetter>, Problem> {
    let letter = admin.store.dead_letter(&NoticeId::new(id.clone())).await?;
    letter.map(Json).ok_or_else(|| missing(&id))
}

/// `POST /dead-letters/{id}/retry`: back into the inbox with a clean count of tries.
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Json_>, Problem> {
    one(&admin, &id, Release::Retry).await
}

/// `POST /dead-letters/{id}/discard`: done, as ignored.
pub(super) async fn discard(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Json_>, Problem> {
    one(&admin, &id, Release::Discard).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Many {
    decision: Release,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    account: Option<String>,
    code: Option<String>,
}

/// `POST /dead-letters/release`: the named ones, or all, or all of an account or code. Answers how
/// many were released.
pub(super) async fn release_many(
    State(admin): State<Arc<Admin>>,
    Sent(many): Sent<Many>,
) -> Result<Json<Json_>, Problem> {
    if many.all != many.ids.is_empty() {
        return Err(Problem::bad_request("Give either `ids` or `all`."));
    }
    let account = optional_account(&admin, many.account.as_deref())?;
    let mut letters = Vec::new();
    if many.all {
        let code = many.code.as_deref();
        letters = admin.store.dead_letters(account.as_ref(), MOST_LETTERS).await?;
        letters.retain(|letter| code.is_none_or(|code| letter.hold.code == code));
    }
    for id in &many.ids {
        let letter = admin.store.dead_letter(&NoticeId::new(id.clone())).await?;
        letters.push(letter.ok_or_else(|| missing(id))?);
    }
    let mut released = 0;
    for letter in &letters {
        released += usize::from(release(&admin, letter, many.decision).await?);
    }
    admin.operations.wake();
    Ok(Json(json!({ "released": released })))
}

async fn one(admin: &Admin, id: &str, decision: Release) -> Result<Json<Json_>, Problem> {
    let letter = admin.store.dead_letter(&NoticeId::new(id)).await?.ok_or_else(|| missing(id))?;
    let released = release(admin, &letter, decision).await?;
    admin.operations.wake();
    Ok(Json(json!({ "released": usize::from(released) })))
}

async fn release(admin: &Admin, letter: &DeadLetter, decision: Release) -> Result<bool, Problem> {
    let (kind, word) = match decision {
        Release::Retry => (AuditKind::Resumed, "Tried again"),
        Release::Discard => (AuditKind::Operated, "Discarded"),
    };
    let notice = &letter.notice;
    let entry = NewEntry {
        at: admin.clock.now(),
        account: notice.notice.account.clone(),
        deal: letter.deal(admin.store.as_ref()).await?,
        kind,
        actor: WHO.to_owned(),
        summary: format!("{word} by an administrator. It was held: {}", letter.hold.reason),
        cause: Some(format!("notice {}", notice.id)),
        fields: Vec::new(),
        request_ids: Vec::new(),
        duration_ms: None,
    };
    Ok(admin.store.release(&notice.id, decision, entry).await?)
}

fn missing(id: &str) -> Problem {
    Problem::not_found(
        format!("There is no dead letter `{id}`."),
        "It may have been released already; list them with `dead-letters list`.",
    )
}
