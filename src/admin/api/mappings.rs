//! `/mappings`: what is in use, what it would do, and how to go back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::{Asked, Sent};
use super::super::operations::{MappingState, MappingVersion, PreviewSubject};
use super::super::{Admin, Problem};
use super::{WHO, account, page_size};
use crate::domain::id::{CrmName, RecordKind};

/// `GET /mappings`: the mappings in use.
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Json_> {
    Json(json!({ "items": admin.operations.mappings() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preview {
    account: Option<String>,
    crm: CrmName,
    #[serde(default = "opportunity")]
    kind: RecordKind,
    referral: Option<String>,
    record: Option<String>,
    #[serde(default)]
    new: bool,
}

fn opportunity() -> RecordKind {
    RecordKind::Opportunity
}

/// `GET /mappings/preview`: what a mapping makes of one live referral or record; writes nothing.
pub(super) async fn preview(
    State(admin): State<Arc<Admin>>,
    Asked(asked): Asked<Preview>,
) -> Result<Json<Json_>, Problem> {
    if asked.referral.is_some() == asked.record.is_some() {
        return Err(Problem::bad_request("Give either `referral` or `record`."));
    }
    let account = account(&admin, asked.account.as_deref())?;
    let subject = PreviewSubject {
        crm: asked.crm,
        kind: asked.kind,
        referral: asked.referral,
        record: asked.record,
        new: asked.new,
    };
    Ok(Json(json!(admin.operations.preview(&account, &subject).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Diff {
    account: Option<String>,
    #[serde(default = "in_use")]
    old: String,
    new: String,
    limit: Option<usize>,
}

fn in_use() -> String {
    "in-use".to_owned()
}

/// `POST /mappings/diff`: what the new files would write differently from the old ones. Either is an
/// absolute folder on this machine, a version of the history, or `in-use`.
pub(super) async fn diff(
    State(admin): State<Arc<Admin>>,
    Sent(asked): Sent<Diff>,
) -> Result<Json<Json_>, Problem> {
    let account = account(&admin, asked.account.as_deref())?;
    let samples = page_size(asked.limit);
    let items = admin.operations.diff_mappings(&account, &asked.old, &asked.new, samples).await?;
    Ok(Json(json!({ "items": items })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    account: Option<String>,
}

/// `GET /mappings/history`: earlier versions, newest first.
pub(super) async fn history(
    State(admin): State<Arc<Admin>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Json_>, Problem> {
    let account = account(&admin, which.account.as_deref())?;
    Ok(Json(json!({ "items": admin.operations.mapping_history(&account).await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reload {
    account: Option<String>,
    why: Option<String>,
    confirm: Option<String>,
}

/// `POST /mappings/reload`: uses the files on the disk now; answers why not, if they are not good.
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    Sent(asked): Sent<Reload>,
) -> Result<Json<MappingState>, Problem> {
    let account = account(&admin, asked.account.as_deref())?;
    let (why, confirmed) = (asked.why.as_deref(), asked.confirm.as_deref());
    Ok(Json(admin.operations.reload_mappings(&account, WHO, why, confirmed).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    account: Option<String>,
    version: String,
    why: Option<String>,
}

/// `POST /mappings/rollback`: puts the files of an earlier version back and uses them.
pub(super) async fn roll_back(
    State(admin): State<Arc<Admin>>,
    Sent(asked): Sent<Rollback>,
) -> Result<Json<MappingVersion>, Problem> {
    let account = account(&admin, asked.account.as_deref())?;
    let why = asked.why.as_deref();
    Ok(Json(admin.operations.roll_back_mappings(&account, &asked.version, WHO, why).await?))
}
