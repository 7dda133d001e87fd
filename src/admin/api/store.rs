//! `/backup` and `/login`: what goes into and out of the store as a whole, and who signs in.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::Sent;
use super::super::{Admin, Problem};
use super::{WHO, account};
use crate::admin::operations::CredentialTest;
use crate::domain::secret::SecretString;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    path: PathBuf,
}

/// `POST /backup`: writes everything to a new file on the daemon's machine.
pub(super) async fn backup(
    State(admin): State<Arc<Admin>>,
    Sent(backup): Sent<Backup>,
) -> Result<Json<Json_>, Problem> {
    if !backup.path.is_absolute() {
        return Err(Problem::bad_request("`path` is not an absolute path."));
    }
    if backup.path.symlink_metadata().is_ok() {
        return Err(Problem::bad_request(format!(
            "{} exists; a backup never replaces a file.",
            backup.path.display()
        )));
    }
    let lines = admin.store.export(&backup.path).await?;
    Ok(Json(json!({ "path": backup.path, "lines": lines })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    account: Option<String>,
    refresh_token: String,
}

/// `POST /login`: keeps the refresh token of a completed sign-in, sealed. It is never shown again.
pub(super) async fn keep_login(
    State(admin): State<Arc<Admin>>,
    Sent(login): Sent<Login>,
) -> Result<Json<Json_>, Problem> {
    let account = account(&admin, login.account.as_deref())?;
    let token = SecretString::from(login.refresh_token);
    admin.operations.keep_login(&account, token, WHO).await?;
    Ok(Json(json!({ "account": account, "kept": true })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Staged {
    account: Option<String>,
    credential: String,
}

/// `POST /login/test-secret`: tries a credential of Partner Center without using or keeping it.
pub(super) async fn test_secret(
    State(admin): State<Arc<Admin>>,
    Sent(staged): Sent<Staged>,
) -> Result<Json<CredentialTest>, Problem> {
    let account = account(&admin, staged.account.as_deref())?;
    let credential = SecretString::from(staged.credential);
    Ok(Json(admin.operations.test_credential(&account, credential).await?))
}
