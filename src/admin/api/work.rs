//! `/reconcile`, `/backfill` and `/provision`: work that a person starts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::{Asked, Sent};
use super::super::operations::{BackfillProgress, Forecast, Queued, ShadowReport};
use super::super::{Admin, Problem};
use super::{WHO, account, optional_account, page_size};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    account: Option<String>,
}

/// `POST /reconcile`: compares every deal of one account, or of all.
pub(super) async fn reconcile(
    State(admin): State<Arc<Admin>>,
    Sent(which): Sent<Which>,
) -> Result<Json<Queued>, Problem> {
    let account = optional_account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.reconcile(account.as_ref(), WHO).await?))
}

#[derive(Deserialize)]
pub(super) struct Compared {
    account: Option<String>,
    limit: Option<usize>,
}

/// `GET /shadow/report`: what shadow mode planned, beside what the systems hold now.
pub(super) async fn shadow(
    State(admin): State<Arc<Admin>>,
    Asked(which): Asked<Compared>,
) -> Result<Json<ShadowReport>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.shadow_report(&account, page_size(which.limit)).await?))
}

/// `GET /backfill/preview`: what a first load would find.
pub(super) async fn preview(
    State(admin): State<Arc<Admin>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Forecast>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.preview_backfill(&account).await?))
}

/// `POST /backfill`: begins a first load, or begins it again.
pub(super) async fn backfill(
    State(admin): State<Arc<Admin>>,
    Sent(which): Sent<Which>,
) -> Result<Json<BackfillProgress>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.backfill(&account, WHO).await?))
}

/// `GET /backfill`: how far it is.
pub(super) async fn progress(
    State(admin): State<Arc<Admin>>,
    Asked(which): Asked<Which>,
) -> Result<Json<BackfillProgress>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    let progress = admin.operations.backfill_progress(&account).await?;
    progress
        .map(Json)
        .ok_or_else(|| Problem::not_found("No first load was begun.", "Begin one with `backfill`."))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provisioning {
    account: Option<String>,
    #[serde(default)]
    apply: bool,
}

/// `POST /provision`: what the CRMs lack; made only with `apply`.
pub(super) async fn provision(
    State(admin): State<Arc<Admin>>,
    Sent(wanted): Sent<Provisioning>,
) -> Result<Json<Json_>, Problem> {
    let account = optional_account(&admin, wanted.account.as_deref())?;
    let steps = admin.operations.provision(account.as_ref(), wanted.apply, WHO).await?;
    Ok(Json(json!({ "applied": wanted.apply, "steps": steps })))
}
