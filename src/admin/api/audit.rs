//! `/audit`: the local trail.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::{Asked, Sent};
use super::super::{Admin, Problem};
use super::{WHO, csv, optional_account, page_size, why};
use crate::domain::audit::{AuditEntry, AuditKind, NewEntry};
use crate::domain::time::Timestamp;
use crate::store::{AuditQuery, StoreError, Verification};

/// Entries read at once for an export.
const AT_ONCE: usize = 500;

#[derive(Deserialize)]
pub(super) struct Filter {
    account: Option<String>,
    deal: Option<String>,
    kind: Option<AuditKind>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<u64>,
    limit: Option<usize>,
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Jsonl,
    Csv,
}

impl Filter {
    /// What to ask the store. `deal` may be any id that `why` takes.
    async fn query(&self, admin: &Admin) -> Result<AuditQuery, Problem> {
        let deal = match &self.deal {
            Some(id) => Some(deal(admin, id).await?),
            None => None,
        };
        Ok(AuditQuery {
            account: optional_account(admin, self.account.as_deref())?,
            deal,
            kind: self.kind,
            from: self.from,
            until: self.until,
            before: self.before,
            limit: page_size(self.limit),
        })
    }
}

async fn deal(admin: &Admin, id: &str) -> Result<crate::domain::id::DealId, Problem> {
    let found = why::find(admin, id).await?;
    found.map(|deal| deal.id).ok_or_else(|| {
        Problem::not_found(
            format!("No deal is known by `{id}`."),
            "Give the id of a referral, of a record, or of a deal as `links` shows them.",
        )
    })
}

/// `GET /audit`: `items` newest first, and `next` to go on before.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(filter): Asked<Filter>,
) -> Result<Json<Json_>, Problem> {
    let query = filter.query(&admin).await?;
    let items = admin.store.audit(&query).await?;
    let next = items.last().filter(|_| items.len() == query.limit).map(|entry| entry.number);
    Ok(Json(json!({ "items": items, "next": next })))
}

/// `GET /audit/export`: everything that fits the filter, newest first, as JSON Lines or CSV.
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Asked(filter): Asked<Filter>,
) -> Result<Response, Problem> {
    let query = AuditQuery { limit: AT_ONCE, ..filter.query(&admin).await? };
    let csv = filter.format == Some(Format::Csv);
    let kind = if csv { "text/csv; charset=utf-8" } else { "application/jsonl; charset=utf-8" };
    let pages = stream::try_unfold((Some(query), csv), move |(query, head)| {
        let admin = Arc::clone(&admin);
        async move {
            let Some(query) = query else { return Ok::<_, StoreError>(None) };
            let entries = admin.store.audit(&query).await?;
            let mut text = if head { csv::HEAD.to_owned() } else { String::new() };
            entries.iter().for_each(|entry| text.push_str(&line(entry, csv)));
            let last = entries.last().filter(|_| entries.len() == AT_ONCE);
            let next = last.map(|last| AuditQuery { before: Some(last.number), ..query.clone() });
            Ok(Some((text, (next, false))))
        }
    });
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pages)).into_response())
}

fn line(entry: &AuditEntry, csv: bool) -> String {
    if csv {
        return csv::line(entry);
    }
    let json = serde_json::to_string(entry).unwrap_or_default();
    format!("{json}\n")
}

/// `POST /audit/verify`: walks the whole chain.
pub(super) async fn verify(State(admin): State<Arc<Admin>>) -> Result<Json<Verification>, Problem> {
    Ok(Json(admin.store.verify_audit().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redaction {
    deal: String,
}

/// `POST /audit/redact`: erases personal data about a deal; cannot be undone.
pub(super) async fn redact(
    State(admin): State<Arc<Admin>>,
    Sent(redaction): Sent<Redaction>,
) -> Result<Json<Json_>, Problem> {
    let found = why::find(&admin, &redaction.deal).await?;
    let Some(found) = found else {
        return Err(deal(&admin, &redaction.deal).await.err().unwrap_or_else(|| {
            Problem::not_found("The deal is gone.", "List deals with `links`.")
        }));
    };
    let entry = NewEntry {
        at: admin.clock.now(),
        account: found.account.clone(),
        deal: Some(found.id.clone()),
        kind: AuditKind::Redacted,
        actor: WHO.to_owned(),
        summary: "Personal data of earlier entries was erased by an administrator.".to_owned(),
        cause: None,
        fields: Vec::new(),
        request_ids: Vec::new(),
        duration_ms: None,
    };
    let covered = admin.store.redact_audit(&found.id, entry).await?;
    Ok(Json(json!({ "redacted": covered, "deal": found.id })))
}
