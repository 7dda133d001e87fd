//! Signs in by the Secure Application Model: one refresh token, two audiences.
//!
//! * Owns: the order of refresh tokens (stored, then configured), the rotation, the memory of
//!   refusals.
//! * A replacement refresh token is saved before the access token is used. A crash in between is
//!   harmless: the old one stays valid.
//! * A refusal is remembered, so that a dead token is not sent again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::der::not_after;
use super::grant::{self, GrantError, Granted, audience_parameters, check_audience};
use super::settings::{Credential, Family, Settings};
use crate::connect::error::ConnectError;
use crate::connect::http::{Http, Token, TokenSource, renew_at};
use crate::domain::clock::Randomness;
use crate::domain::digest::sha256;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// A refresh token does not live longer than this without being used, in days.
const REFRESH_TOKEN_DAYS: u64 = 90;

/// A refresh token as kept.
#[derive(Debug, Clone)]
pub struct KeptToken {
    /// The token.
    pub token: SecretString,
    /// When it was received.
    pub since: Timestamp,
}

/// Keeps the newest refresh token of one account, sealed.
#[async_trait]
pub trait RefreshTokenVault: Send + Sync {
    /// The token kept, if there is one. The error is a sentence without secrets.
    async fn load(&self) -> Result<Option<KeptToken>, String>;

    /// Keeps `token` in place of the last one; durable when this returns.
    async fn save(&self, token: &KeptToken) -> Result<(), String>;
}

/// What a staged credential is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// The token endpoint took it.
    Works,
    /// The token endpoint refused it; what to do.
    Refused(String),
    /// It could not be told; why.
    Untold(String),
}

/// A refusal of the application, not of its token, may be repaired at Entra without our being told:
/// after this long it is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(5 * 60);

/// A sign-in that was refused and is not tried again for now.
struct Refusal {
    mark: String,
    text: String,
    /// `None`: until the token or the credential changes.
    until: Option<Timestamp>,
}

/// The application and its user, signed in for both families.
pub(super) struct Principal {
    pub(super) settings: Arc<Settings>,
    pub(super) http: Http,
    pub(super) randomness: Arc<dyn Randomness>,
    credential: ArcSwap<Credential>,
    generation: AtomicU64,
    configured: ArcSwapOption<SecretString>,
    vault: Arc<dyn RefreshTokenVault>,
    /// Fingerprints of what was refused, with the sentence for the admin. Its lock also keeps two
    /// rotations from overtaking each other.
    refused: Mutex<Vec<Refusal>>,
}

impl Principal {
    pub(super) fn new(
        settings: Arc<Settings>,
        http: Http,
        credential: Credential,
        configured: Option<SecretString>,
        vault: Arc<dyn RefreshTokenVault>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            settings,
            http,
            randomness,
            credential: ArcSwap::from_pointee(credential),
            generation: AtomicU64::new(0),
            configured: ArcSwapOption::from_pointee(configured),
            vault,
            refused: Mutex::new(Vec::new()),
        }
    }

    /// Uses another credential from now on.
    pub(super) fn replace_credential(&self, credential: Credential) {
        self.credential.store(Arc::new(credential));
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets what was refused.
    pub(super) async fn forget(&self) {
        self.refused.lock().await.clear();
    }

    /// Days until the stored refresh token dies if it is not used.
    pub(super) async fn days_left(&self) -> Option<u32> {
        let kept = self.vault.load().await.ok()??;
        let age = self.http.clock().now().since(kept.since).as_secs() / 86_400;
        u32::try_from(REFRESH_TOKEN_DAYS.saturating_sub(age)).ok()
    }

    /// A new access token for `family`.
    pub(super) async fn sign_in(&self, family: Family) -> Result<Granted, ConnectError> {
        let mut refused = self.refused.lock().await;
        let now = self.http.clock().now();
        refused.retain(|refusal| refusal.until.is_none_or(|until| now < until));
        let candidates = self.candidates().await?;
        let mut first_refusal = None;
        for candidate in &candidates {
            let mark = self.mark(candidate);
            if let Some(refusal) = refused.iter().find(|refusal| refusal.mark == mark) {
                first_refusal.get_or_insert_with(|| refusal.text.clone());
                continue;
            }
            match self.redeem(&self.credential.load(), candidate, family).await {
                Ok(granted) => {
                    self.keep(&granted).await?;
                    return Ok(granted);
                }
                Err(GrantError::Refused(cause, text)) => {
                    if !cause.is_about_the_token() {
                        // The application itself is refused: another token cannot help.
                        let until = Some(self.http.clock().now().plus(ASKED_AGAIN));
                        refused.extend(candidates.iter().map(|token| Refusal {
                            mark: self.mark(token),
                            text: text.clone(),
                            until,
                        }));
                        return Err(ConnectError::Unauthorized(text));
                    }
                    refused.push(Refusal { mark, text: text.clone(), until: None });
                    first_refusal.get_or_insert(text);
                }
                Err(other) => return Err(other.into()),
            }
        }
        Err(ConnectError::Unauthorized(first_refusal.unwrap_or_else(|| {
            "there is no refresh token yet: sign in with `cosell-sync login`".to_owned()
        })))
    }

    /// Tries a credential that is not in use yet. The replacement token of the answer is dropped:
    /// the one in use stays valid.
    pub(super) async fn try_credential(&self, staged: &Credential) -> Trial {
        let candidates = match self.candidates().await {
            Ok(candidates) => candidates,
            Err(error) => return Trial::Untold(error.to_string()),
        };
        let mut untold =
            "there is no refresh token to try it with; sign in with `cosell-sync login`";
        let mut last = None;
        for candidate in &candidates {
            match self.redeem(staged, candidate, Family::Referrals).await {
                Ok(_) => return Trial::Works,
                Err(GrantError::Refused(cause, text)) if !cause.is_about_the_token() => {
                    return Trial::Refused(text);
                }
                Err(error) => last = Some(ConnectError::from(error).to_string()),
            }
        }
        if let Some(last) = &last {
            untold = last;
        }
        Trial::Untold(untold.to_owned())
    }

    /// When the certificate in use ends; `None` for a secret, whose end only Entra knows.
    pub(super) fn credential_ends(&self) -> Option<Timestamp> {
        match self.credential.load().as_ref() {
            Credential::Secret(_) => None,
            Credential::Certificate { certificate, .. } => not_after(certificate),
        }
    }

    /// Sends any grant with the credential in use.
    pub(super) async fn grant(
        &self,
        parameters: Vec<(&'static str, String)>,
    ) -> Result<Granted, GrantError> {
        let credential = self.credential.load_full();
        grant::ask(&self.http, &self.settings, &credential, self.randomness.as_ref(), parameters)
            .await
    }

    async fn redeem(
        &self,
        credential: &Credential,
        token: &SecretString,
        family: Family,
    ) -> Result<Granted, GrantError> {
        let mut parameters = audience_parameters(&self.settings, family);
        parameters.push(("grant_type", "refresh_token".to_owned()));
        parameters.push(("refresh_token", token.expose_secret().to_owned()));
        let randomness = self.randomness.as_ref();
        let granted =
            grant::ask(&self.http, &self.settings, credential, randomness, parameters).await?;
        check_audience(&self.settings, family, &granted).map_err(GrantError::Other)?;
        Ok(granted)
    }

    /// The stored token, then the configured one.
    async fn candidates(&self) -> Result<Vec<SecretString>, ConnectError> {
        let stored = self.vault.load().await.map_err(|error| {
            ConnectError::Unavailable(format!("the stored refresh token cannot be read: {error}"))
        })?;
        let mut candidates: Vec<SecretString> = stored.map(|kept| kept.token).into_iter().collect();
        if let Some(configured) = self.configured.load_full() {
            let known =
                candidates.iter().any(|token| token.expose_secret() == configured.expose_secret());
            if !known {
                candidates.push(configured.as_ref().clone());
            }
        }
        Ok(candidates)
    }

    async fn keep(&self, granted: &Granted) -> Result<(), ConnectError> {
        let Some(token) = granted.refresh.clone() else { return Ok(()) };
        let kept = KeptToken { token, since: self.http.clock().now() };
        self.vault.save(&kept).await.map_err(|error| {
            ConnectError::Unavailable(format!("the new refresh token cannot be stored: {error}"))
        })
    }

    /// Names a token together with the credential it is sent with, without holding either.
    fn mark(&self, token: &SecretString) -> String {
        let generation = self.generation.load(Ordering::SeqCst);
        format!("{generation}-{}", sha256(token.expose_secret().as_bytes()))
    }
}

/// Signs in for one family.
pub(super) struct FamilySignIn {
    pub(super) principal: Arc<Principal>,
    pub(super) family: Family,
}

#[async_trait]
impl TokenSource for FamilySignIn {
    async fn sign_in(&self, serial: u64) -> Result<Token, ConnectError> {
        let granted = self.principal.sign_in(self.family).await?;
        Ok(Token {
            secret: granted.access,
            renew_at: renew_at(self.now(), granted.lifetime),
            instance: None,
            serial,
        })
    }

    fn now(&self) -> Timestamp {
        self.principal.http.clock().now()
    }
}
