//! The client: tokens, headers and faults of every call.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use secrecy::SecretString;

use super::auth::{FamilySignIn, Principal, RefreshTokenVault, Trial};
use super::fault;
use super::settings::{Credential, Family, Settings};
use crate::connect::error::ConnectError;
use crate::connect::evidence;
use crate::connect::http::address::is_safe;
use crate::connect::http::{Answer, Call, Http, Purpose, Token, TokenCache};
use crate::domain::clock::{Clock, Randomness};
use crate::domain::time::Timestamp;

/// Speaks to one partner tenant.
pub struct Client {
    pub(super) settings: Arc<Settings>,
    pub(super) http: Http,
    pub(super) principal: Arc<Principal>,
    pub(super) referrals: TokenCache<FamilySignIn>,
    pub(super) center: TokenCache<FamilySignIn>,
    /// Set once the service has refused to filter by `externalReferenceId`.
    pub(super) external_reference_refused: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("tenant", &self.settings.tenant).finish()
    }
}

impl Client {
    /// A client that has not signed in yet. `configured` is the refresh token to use where the vault
    /// holds none or holds one that is refused.
    ///
    /// # Errors
    ///
    /// A sentence if the TLS settings cannot be used, or if an address is neither https nor plain
    /// http to a loopback host: secrets would travel in the open.
    pub fn new(
        settings: Settings,
        credential: Credential,
        configured: Option<SecretString>,
        vault: Arc<dyn RefreshTokenVault>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, String> {
        for url in [&settings.token_url, &settings.referrals_url, &settings.webhooks_url] {
            if !is_safe(url) {
                return Err(format!("{url} is neither https nor a loopback address"));
            }
        }
        let settings = Arc::new(settings);
        let http = Http::new(&settings.http, Arc::clone(&clock))?;
        let login = Http::new(&settings.http, clock)?;
        let principal = Arc::new(Principal::new(
            Arc::clone(&settings),
            login,
            credential,
            configured,
            vault,
            randomness,
        ));
        let cache =
            |family| TokenCache::new(FamilySignIn { principal: Arc::clone(&principal), family });
        let (referrals, center) = (cache(Family::Referrals), cache(Family::Center));
        Ok(Self {
            settings,
            http,
            principal,
            referrals,
            center,
            external_reference_refused: AtomicBool::new(false),
        })
    }

    /// Forgets tokens and remembered refusals, so that the next call signs in afresh.
    pub async fn forget(&self) {
        self.principal.forget().await;
        self.referrals.forget().await;
        self.center.forget().await;
    }

    /// Uses another credential from the next sign-in on.
    pub fn replace_credential(&self, credential: Credential) {
        self.principal.replace_credential(credential);
    }

    /// Tries a staged credential against the token endpoint without putting it in use.
    pub async fn try_credential(&self, staged: &Credential) -> Trial {
        self.principal.try_credential(staged).await
    }

    /// When the certificate that is signed in with ends; `None` for a secret.
    #[must_use]
    pub fn credential_ends(&self) -> Option<Timestamp> {
        self.principal.credential_ends()
    }

    /// Sends the call that `build` makes, with one renewal of the token on a 401, and gives back any
    /// 2xx answer. A wait that the service asks for closes the gate of the whole principal.
    pub(super) async fn exchange(
        &self,
        family: Family,
        purpose: Purpose,
        build: impl Fn() -> Call + Send + Sync,
    ) -> Result<Answer, ConnectError> {
        let answer = self.exchange_apart(family, purpose, build).await;
        if let Err(ConnectError::Throttled(wait)) = &answer {
            self.http.close_gate(*wait);
        }
        answer
    }

    /// As [`Client::exchange`], for a call with a limit of its own: its wait holds up nothing else.
    pub(super) async fn exchange_apart(
        &self,
        family: Family,
        purpose: Purpose,
        build: impl Fn() -> Call + Send + Sync,
    ) -> Result<Answer, ConnectError> {
        let answer = self.send(family, purpose, &build).await?;
        let now = self.http.clock().now();
        if answer.is_success() { Ok(answer) } else { Err(fault::sort(&answer, purpose, now)) }
    }

    /// Sends; a 401 that a new token may cure is tried once more. A refused call changed nothing, so
    /// that is safe for writes too.
    async fn send(
        &self,
        family: Family,
        purpose: Purpose,
        build: &(impl Fn() -> Call + Send + Sync),
    ) -> Result<Answer, ConnectError> {
        let tokens = match family {
            Family::Referrals => &self.referrals,
            Family::Center => &self.center,
        };
        let correlation = self.principal.randomness.guid();
        let token = tokens.token().await?;
        let answer = self.send_once(purpose, build(), &token, &correlation).await?;
        if !fault::is_stale_token(&answer) {
            return Ok(answer);
        }
        tokens.refused(&token).await;
        let token = tokens.token().await?;
        self.send_once(purpose, build(), &token, &correlation).await
    }

    /// One call; the ids of a write are kept as evidence, also where no answer comes.
    async fn send_once(
        &self,
        purpose: Purpose,
        call: Call,
        token: &Token,
        correlation: &str,
    ) -> Result<Answer, ConnectError> {
        let request = self.principal.randomness.guid();
        let call = call
            .header("accept", "application/json")
            .header("client-request-id", request.clone())
            .header("ms-requestid", request.clone())
            .header("ms-correlationid", correlation);
        let answer = self.http.send(call.bearer(&token.secret)).await;
        if purpose == Purpose::Write {
            let theirs = answer.as_ref().ok().and_then(fault::request_id);
            evidence::note(theirs.unwrap_or(request));
            evidence::note(format!("correlation:{correlation}"));
        }
        answer.map_err(|error| match error {
            // A write whose answer is too long to read may have landed all the same.
            ConnectError::Broken(text) if purpose == Purpose::Write => ConnectError::Unknown(text),
            other => other,
        })
    }
}
