//! `/webhook`: the one registration of a partner tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::super::extract::{Asked, Sent};
use super::super::operations::{WebhookTest, WebhookView};
use super::super::{Admin, Problem};
use super::{WHO, account};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    account: Option<String>,
    #[serde(default)]
    take_over: bool,
}

/// `GET /webhook`: who holds the registration.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Asked(which): Asked<Which>,
) -> Result<Json<WebhookView>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.webhook(&account).await?))
}

/// `POST /webhook/register`: makes it ours; another tool's is replaced only with `take_over`.
pub(super) async fn register(
    State(admin): State<Arc<Admin>>,
    Sent(which): Sent<Which>,
) -> Result<Json<WebhookView>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.register_webhook(&account, which.take_over, WHO).await?))
}

/// `POST /webhook/test`: asks for a test event and tells what became of it.
pub(super) async fn test(
    State(admin): State<Arc<Admin>>,
    Sent(which): Sent<Which>,
) -> Result<Json<WebhookTest>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(admin.operations.test_webhook(&account).await?))
}
