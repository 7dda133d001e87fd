//! What connectors keep in the store: refresh tokens, sealed, and the count of their requests.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::connect::{dynamics365, partner_center, salesforce};
use crate::domain::id::AccountName;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::seal::Sealer;

/// The vault of one account and system.
pub(super) struct Vault {
    store: Arc<dyn Store>,
    sealer: Option<Sealer>,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    since: Timestamp,
}

impl Vault {
    /// A vault for `system` of `account`. Without a sealer nothing can be kept.
    #[must_use]
    pub(super) fn new(
        store: Arc<dyn Store>,
        sealer: Option<Sealer>,
        account: &AccountName,
        system: &str,
    ) -> Self {
        Self { store, sealer, name: format!("refresh_token/{account}/{system}") }
    }

    fn sealer(&self) -> Result<&Sealer, String> {
        self.sealer.as_ref().ok_or_else(|| {
            "a refresh token can only be kept sealed: set store.encryption_key in the configuration".to_owned()
        })
    }

    async fn read(&self) -> Result<Option<Kept>, String> {
        let Some(sealed) = self.store.note(&self.name).await.map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let plain = self.sealer()?.open(&sealed, self.name.as_bytes());
        let plain = plain.map_err(|_| {
            "the kept refresh token cannot be opened with store.encryption_key".to_owned()
        })?;
        serde_json::from_slice(&plain)
            .map(Some)
            .map_err(|_| "the kept refresh token is damaged".to_owned())
    }

    async fn write(&self, kept: &Kept) -> Result<(), String> {
        let plain = serde_json::to_vec(kept).map_err(|error| error.to_string())?;
        let sealed =
            self.sealer()?.seal(&plain, self.name.as_bytes()).map_err(|error| error.to_string())?;
        self.store.keep_note(&self.name, Some(sealed)).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl partner_center::RefreshTokenVault for Vault {
    async fn load(&self) -> Result<Option<partner_center::KeptToken>, String> {
        let kept = self.read().await?;
        Ok(kept.map(|kept| partner_center::KeptToken {
            token: SecretString::from(kept.token),
            since: kept.since,
        }))
    }

    async fn save(&self, token: &partner_center::KeptToken) -> Result<(), String> {
        self.write(&Kept { token: token.token.expose_secret().to_owned(), since: token.since })
            .await
    }
}

#[async_trait]
impl salesforce::RefreshTokenVault for Vault {
    async fn load(&self) -> Result<Option<SecretString>, String> {
        Ok(self.read().await?.map(|kept| SecretString::from(kept.token)))
    }

    async fn store(&self, token: &SecretString) -> Result<(), String> {
        let kept =
            Kept { token: token.expose_secret().to_owned(), since: Timestamp::from_millis(0) };
        self.write(&kept).await
    }
}

/// The count of an account's requests to a system.
pub(super) struct Requests {
    store: Arc<dyn Store>,
    name: String,
}

impl Requests {
    /// The count of `account` at `system`.
    #[must_use]
    pub(super) fn new(store: Arc<dyn Store>, account: &AccountName, system: &str) -> Self {
        Self { store, name: format!("requests/{account}/{system}") }
    }
}

#[async_trait]
impl dynamics365::RequestLedger for Requests {
    async fn load(&self) -> Result<Option<String>, String> {
        let kept = self.store.note(&self.name).await.map_err(|error| error.to_string())?;
        Ok(kept.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn save(&self, text: &str) -> Result<(), String> {
        let kept = self.store.keep_note(&self.name, Some(text.as_bytes().to_vec())).await;
        kept.map_err(|error| error.to_string())
    }
}
