//! Signing in: signed assertion, client credentials, or a refresh token that may rotate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use url::Url;

use super::identity::{Identity, may_call};
use super::settings::{Auth, RefreshTokenVault, Settings};
use super::wire;
use crate::connect::error::ConnectError;
use crate::connect::http::jwt::{Algorithm, SigningKey};
use crate::connect::http::{Answer, Call, Http, Token, TokenSource, renew_at};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// How far ahead an assertion expires: what Salesforce tolerates for clocks that differ.
const ASSERTION_LIFE: Duration = Duration::from_secs(180);

/// Signs in to one organisation.
pub(super) struct SignIn {
    settings: Arc<Settings>,
    http: Arc<Http>,
    token_url: Url,
    key: Option<SigningKey>,
    vault: Option<Arc<dyn RefreshTokenVault>>,
    rotated: Mutex<Option<SecretString>>,
    identity: Mutex<Option<Identity>>,
    calls: AtomicU64,
}

/// What a token request ended with.
enum Outcome {
    Granted(Answer),
    Refused { error: String, description: String, skewed: bool },
}

impl SignIn {
    /// Reads the key; nothing is called.
    pub(super) fn new(
        settings: Arc<Settings>,
        http: Arc<Http>,
        vault: Option<Arc<dyn RefreshTokenVault>>,
    ) -> Result<Self, String> {
        let key = match &settings.auth {
            Auth::Jwt { private_key, .. } => {
                Some(SigningKey::from_pem(private_key.expose_secret().as_bytes())?)
            }
            Auth::ClientCredentials { .. } | Auth::RefreshToken { .. } => None,
        };
        let token_url = match &settings.token_url {
            Some(url) => url.clone(),
            None => settings
                .url
                .join("/services/oauth2/token")
                .map_err(|error| format!("`{}` is no base address: {error}", settings.url))?,
        };
        Ok(Self {
            settings,
            http,
            token_url,
            key,
            vault,
            rotated: Mutex::new(None),
            identity: Mutex::new(None),
            calls: AtomicU64::new(0),
        })
    }

    /// Who we are, once signed in.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls made for signing in.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn grant(&self) -> Result<Answer, ConnectError> {
        match &self.settings.auth {
            Auth::Jwt { client_id, username, audience, .. } => {
                let assertion = self.assertion(client_id, username, audience)?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                self.ask(&[("grant_type", grant), ("assertion", &assertion)]).await?.or_refused()
            }
            Auth::ClientCredentials { client_id, secret } => self
                .ask(&[
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_secret", secret.expose_secret()),
                ])
                .await?
                .or_refused(),
            Auth::RefreshToken { client_id, secret, refresh_token } => {
                self.refresh(client_id, secret.as_ref(), refresh_token.as_ref()).await
            }
        }
    }

    fn assertion(
        &self,
        client_id: &str,
        username: &str,
        audience: &str,
    ) -> Result<String, ConnectError> {
        let expires = self.now().plus(ASSERTION_LIFE).as_secs();
        let claims = json!({ "iss": client_id, "sub": username, "aud": audience, "exp": expires });
        let key = self.key.as_ref().ok_or_else(|| unusable("no private key is configured"))?;
        key.sign(Algorithm::Rs256, &json!({ "alg": "RS256" }), &claims)
            .map_err(|error| unusable(&error))
    }

    /// Uses the newest stored token; if that is refused, the configured one once.
    async fn refresh(
        &self,
        client_id: &str,
        secret: Option<&SecretString>,
        configured: Option<&SecretString>,
    ) -> Result<Answer, ConnectError> {
        let stored = self.stored_token().await?;
        let mut last = None;
        for token in [stored.as_ref(), configured].into_iter().flatten() {
            let mut form = vec![
                ("grant_type", "refresh_token"),
                ("refresh_token", token.expose_secret()),
                ("client_id", client_id),
            ];
            if let Some(secret) = secret {
                form.push(("client_secret", secret.expose_secret()));
            }
            match self.ask(&form).await? {
                Outcome::Granted(answer) => return Ok(answer),
                refused => last = Some(refused),
            }
        }
        match last {
            Some(refused) => refused.or_refused(),
            None => Err(unusable("there is no refresh token; sign in once with `login`")),
        }
    }

    async fn stored_token(&self) -> Result<Option<SecretString>, ConnectError> {
        let rotated = self.rotated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (&rotated, &self.vault) {
            (None, Some(vault)) => vault.load().await.map_err(|error| {
                ConnectError::Unavailable(format!("the refresh token cannot be read: {error}"))
            }),
            _ => Ok(rotated),
        }
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Result<Outcome, ConnectError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.send(Call::read("POST", self.token_url.clone()).form(form)).await?;
        if answer.is_success() {
            return Ok(Outcome::Granted(answer));
        }
        let error = answer.json().map(|body| wire::errors(&body)).unwrap_or_default();
        let Some(error) = error.into_iter().next() else {
            return Err(ConnectError::Unavailable(format!(
                "the sign-in address answered {}",
                answer.status
            )));
        };
        if answer.status >= 500 {
            return Err(ConnectError::Unavailable(format!("sign-in failed: {}", error.code)));
        }
        let skewed = answer.date().is_some_and(|date| {
            let now = self.now();
            now.since(date).max(date.since(now)) > Duration::from_secs(60)
        });
        Ok(Outcome::Refused { error: error.code, description: error.message, skewed })
    }

    /// Keeps a rotated refresh token durably before anything is done with the session.
    async fn keep_rotated(&self, body: &Json) -> Result<(), ConnectError> {
        let fresh = body.get("refresh_token").and_then(Json::as_str);
        let (Some(fresh), Auth::RefreshToken { .. }) = (fresh, &self.settings.auth) else {
            return Ok(());
        };
        let fresh = SecretString::from(fresh.to_owned());
        *self.rotated.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        if let Some(vault) = &self.vault {
            vault.store(&fresh).await.map_err(|error| {
                ConnectError::Unavailable(format!("the new refresh token cannot be kept: {error}"))
            })?;
        }
        Ok(())
    }

    fn instance(&self, body: &Json) -> Result<Url, ConnectError> {
        let Some(text) = body.get("instance_url").and_then(Json::as_str) else {
            return Ok(self.settings.url.clone());
        };
        let url = Url::parse(text).map_err(|_| broken("an instance address that is none"))?;
        if may_call(&self.settings.url, &url) {
            return Ok(url);
        }
        Err(unusable(&format!(
            "calls were directed to `{}`, which is not the configured My Domain; correct `url`",
            url.host_str().unwrap_or_default()
        )))
    }

    /// Asks who we are; the address in the token answer tells it too, for an app without the scope.
    async fn learn_identity(
        &self,
        instance: &Url,
        secret: &SecretString,
        body: &Json,
    ) -> Result<(), ConnectError> {
        let url = instance
            .join("/services/oauth2/userinfo")
            .map_err(|_| broken("an instance address that is none"))?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.send(Call::read("GET", url).bearer(secret)).await?;
        if answer.status >= 500 {
            return Err(ConnectError::Unavailable(format!("userinfo answered {}", answer.status)));
        }
        let told = answer.is_success().then(|| answer.json()).flatten();
        let identity = told
            .as_ref()
            .and_then(Identity::of_userinfo)
            .or_else(|| body.get("id").and_then(Json::as_str).and_then(Identity::of_address));
        let Some(identity) = identity else {
            return Err(unusable(
                "Salesforce does not say who we are; give the app the scope to read the identity",
            ));
        };
        let mut kept = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| kept.organization_id != identity.organization_id) {
            return Err(unusable("the sign-in now leads to another organisation"));
        }
        *kept = Some(identity);
        Ok(())
    }
}

#[async_trait]
impl TokenSource for SignIn {
    async fn sign_in(&self, serial: u64) -> Result<Token, ConnectError> {
        let answer = self.grant().await?;
        let body = answer.json().ok_or_else(|| broken("no JSON"))?;
        let secret = body
            .get("access_token")
            .and_then(Json::as_str)
            .map(|token| SecretString::from(token.to_owned()))
            .ok_or_else(|| broken("no access token"))?;
        self.keep_rotated(&body).await?;
        let instance = self.instance(&body)?;
        self.learn_identity(&instance, &secret, &body).await?;
        let renew_at = renew_at(self.now(), self.settings.session);
        Ok(Token { secret, renew_at, instance: Some(instance), serial })
    }

    fn now(&self) -> Timestamp {
        self.http.clock().now()
    }
}

impl Outcome {
    fn or_refused(self) -> Result<Answer, ConnectError> {
        match self {
            Self::Granted(answer) => Ok(answer),
            Self::Refused { error, .. } if error == "rate_limit_exceeded" => {
                Err(ConnectError::Throttled(Duration::from_secs(60)))
            }
            Self::Refused { error, description, skewed } => {
                let advice = advice(&error, &description, skewed);
                Err(ConnectError::Unauthorized(format!("Salesforce sign-in: {error}: {advice}")))
            }
        }
    }
}

/// What the admin must do. The class never depends on the description, only the sentence does.
fn advice(error: &str, description: &str, skewed: bool) -> &'static str {
    let says = |word: &str| description.to_ascii_lowercase().contains(word);
    match error {
        "invalid_grant" if says("approved") => {
            "the user has not approved the app: set its policy to admin approved users and assign \
             the user's profile or permission set"
        }
        "invalid_grant" if says("audience") => {
            "the audience is not accepted: use https://login.salesforce.com, or \
             https://test.salesforce.com for a sandbox"
        }
        "invalid_grant" if skewed => "the clock of this machine is wrong; synchronise it",
        "invalid_grant" if says("refresh") => {
            "the refresh token is dead; sign in once more with `login`"
        }
        "invalid_grant" if says("expired") => {
            "the assertion or token has expired; check this machine's clock, or sign in with `login`"
        }
        "invalid_grant" if says("assertion") || says("signature") => {
            "the assertion is not accepted: the certificate uploaded to the app must belong to the \
             configured private key"
        }
        "invalid_grant" => "check the user name, the app's policy and the uploaded certificate",
        "invalid_client_id" => "no app has this client_id; copy the consumer key again",
        "invalid_client" => "the client secret is wrong; copy the consumer secret again",
        "invalid_app_access" => "the user may not use the app; assign it in the app's policy",
        "inactive_user" => "the user is inactive or frozen",
        "inactive_org" => "the organisation is inactive",
        "unsupported_grant_type" => "the app or this host does not allow this kind of sign-in",
        "no_client_credentials_user" | "invalid_request" => {
            "the app's policy must name a run-as user and allow this kind of sign-in"
        }
        _ => "check the app's policy and the user",
    }
}

fn unusable(sentence: &str) -> ConnectError {
    ConnectError::Unauthorized(format!("Salesforce sign-in: {sentence}"))
}

fn broken(what: &str) -> ConnectError {
    ConnectError::Broken(format!("the sign-in answered with {what}"))
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn every_cause_names_what_to_do() {
        let table = [
            ("invalid_grant", "user hasn't approved this consumer", false, "policy"),
            ("invalid_grant", "audience is invalid", false, "audience"),
            ("invalid_grant", "expired authorization code", false, "clock"),
            ("invalid_grant", "expired access/refresh token", false, "login"),
            ("invalid_grant", "expired authorization", true, "synchronise"),
            ("invalid_grant", "invalid assertion", false, "certificate"),
            ("invalid_grant", "authentication failure", false, "user name"),
            ("invalid_client_id", "", false, "consumer key"),
            ("invalid_client", "", false, "consumer secret"),
            ("invalid_app_access", "", false, "assign"),
            ("inactive_user", "", false, "inactive"),
            ("inactive_org", "", false, "inactive"),
            ("something_new", "", false, "policy"),
        ];
        for (error, description, skewed, word) in table {
            let sentence = advice(error, description, skewed);
            assert!(sentence.contains(word), "{error} {description}: {sentence}");
        }
    }
}
