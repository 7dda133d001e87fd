//! `/status` and `/doctor`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value as Json_, json};

use super::super::operations::Status;
use super::super::{Admin, Problem};

/// `GET /status`: how everything is doing; asks no remote system.
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, Problem> {
    Ok(Json(admin.operations.status().await?))
}

/// `GET /doctor`: checks the live systems; takes as long as they do.
pub(super) async fn doctor(State(admin): State<Arc<Admin>>) -> Result<Json<Json_>, Problem> {
    Ok(Json(json!({ "findings": admin.operations.doctor().await? })))
}
