//! The one-time consent of a person: authorization code or device code. Gives a refresh token.
//!
//! There is no password flow: it cannot satisfy multi-factor authentication.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value as Json;
use url::Url;

use super::client::Client;
use super::grant::{self, GrantError, Granted, audience_parameters};
use super::settings::Family;
use crate::connect::error::ConnectError;
use crate::connect::http::Call;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// A completed sign-in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The refresh token to keep.
    pub refresh_token: SecretString,
    /// Whether the user passed multi-factor authentication, by the token's `amr` claim; `None` if
    /// the token does not tell. Without it Partner Center refuses the calls sooner or later.
    pub mfa: Option<bool>,
    /// Who signed in, where the token tells it.
    pub user: Option<String>,
}

/// An authorization request: open [`Self::url`] in a browser, then hand over the redirect.
#[derive(Debug)]
pub struct CodeLogin {
    /// Where the user signs in.
    pub url: Url,
    redirect_uri: String,
    state: String,
    verifier: SecretString,
}

/// A device code: the user enters [`Self::user_code`] at [`Self::verification_url`].
#[derive(Debug)]
pub struct DeviceLogin {
    /// What to type in.
    pub user_code: String,
    /// Where.
    pub verification_url: String,
    /// Wait between polls.
    pub interval: Duration,
    /// When the code dies.
    pub expires: Timestamp,
    device_code: SecretString,
}

/// What a poll gave.
#[derive(Debug)]
pub enum DevicePoll {
    /// Not yet: poll again after the wait.
    Pending(Duration),
    /// Signed in.
    Done(Login),
}

impl CodeLogin {
    /// The code in the query of the redirect, if it answers this request.
    ///
    /// # Errors
    ///
    /// A sentence if the user or Entra refused, or if the redirect belongs to another request.
    pub fn code(&self, query: &str) -> Result<String, String> {
        let pairs: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if pairs.get("state") != Some(&self.state) {
            return Err("the redirect does not belong to this sign-in".to_owned());
        }
        if let Some(error) = pairs.get("error") {
            let plain: String =
                error.chars().filter(|letter| !letter.is_control()).take(80).collect();
            return Err(format!("the sign-in was refused: {plain}"));
        }
        pairs
            .get("code")
            .filter(|code| !code.is_empty())
            .cloned()
            .ok_or_else(|| "the redirect holds no code".to_owned())
    }
}

impl Client {
    /// Begins a sign-in by authorization code with state and PKCE. `redirect_uri` is the loopback
    /// address that the caller listens on and that is registered with the application.
    ///
    /// # Errors
    ///
    /// A sentence if the address cannot be built or there is no randomness.
    pub fn begin_code_login(&self, redirect_uri: &str) -> Result<CodeLogin, String> {
        let (state, verifier) = (random_text()?, random_text()?);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref());
        let mut url = self.settings.login_url("authorize")?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("response_type", "code")
            .append_pair("response_mode", "query")
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.login_scope())
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "login");
        Ok(CodeLogin {
            url,
            redirect_uri: redirect_uri.to_owned(),
            state,
            verifier: SecretString::from(verifier),
        })
    }

    /// Turns the code of a redirect into a refresh token.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Unauthorized`] with what to do, if the code is refused.
    pub async fn redeem(&self, login: &CodeLogin, code: &str) -> Result<Login, ConnectError> {
        let mut parameters = audience_parameters(&self.settings, Family::Referrals);
        parameters.push(("grant_type", "authorization_code".to_owned()));
        parameters.push(("code", code.to_owned()));
        parameters.push(("redirect_uri", login.redirect_uri.clone()));
        parameters.push(("code_verifier", login.verifier.expose_secret().to_owned()));
        complete(self.principal.grant(parameters).await?)
    }

    /// Begins a sign-in by device code.
    ///
    /// # Errors
    ///
    /// As any call; [`ConnectError::Broken`] if the answer holds no code.
    pub async fn begin_device_login(&self) -> Result<DeviceLogin, ConnectError> {
        let url = self.settings.login_url("devicecode").map_err(ConnectError::Broken)?;
        let scope = self.login_scope();
        let form = [("client_id", self.settings.client_id.as_str()), ("scope", scope.as_str())];
        let answer = self.principal.http.send(Call::read("POST", url).form(&form)).await?;
        let now = self.principal.http.clock().now();
        if !answer.is_success() {
            return Err(grant::refused(&self.principal.http, &answer).into());
        }
        let body = answer.json().unwrap_or_default();
        let text = |name: &str| {
            body.get(name).and_then(Json::as_str).map(str::to_owned).ok_or_else(|| {
                ConnectError::Broken(format!("the device code endpoint gave no {name}"))
            })
        };
        let secs = |name: &str, otherwise: u64| match body.get(name) {
            Some(Json::Number(number)) => number.as_u64().unwrap_or(otherwise),
            Some(Json::String(text)) => text.parse().unwrap_or(otherwise),
            _ => otherwise,
        };
        Ok(DeviceLogin {
            user_code: text("user_code")?,
            verification_url: text("verification_uri").or_else(|_| text("verification_url"))?,
            interval: Duration::from_secs(secs("interval", 5).clamp(1, 60)),
            expires: now.plus(Duration::from_secs(secs("expires_in", 900).clamp(1, 3600))),
            device_code: SecretString::from(text("device_code")?),
        })
    }

    /// Asks once whether the user has entered the device code.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Unauthorized`] with what to do, if the user refused or the code has died.
    pub async fn poll_device_login(&self, login: &DeviceLogin) -> Result<DevicePoll, ConnectError> {
        if self.principal.http.clock().now() >= login.expires {
            return Err(ConnectError::Unauthorized(
                "the device code was not entered in time: begin again".to_owned(),
            ));
        }
        let mut parameters = audience_parameters(&self.settings, Family::Referrals);
        parameters.push(("grant_type", "urn:ietf:params:oauth:grant-type:device_code".to_owned()));
        parameters.push(("device_code", login.device_code.expose_secret().to_owned()));
        match self.principal.grant(parameters).await {
            Ok(granted) => complete(granted).map(DevicePoll::Done),
            Err(GrantError::Pending { slower }) => {
                let more = Duration::from_secs(if slower { 5 } else { 0 });
                Ok(DevicePoll::Pending(login.interval + more))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn login_scope(&self) -> String {
        if self.settings.speaks_v1() {
            return "openid profile offline_access".to_owned();
        }
        format!("{}/.default openid profile offline_access", self.settings.referrals_audience)
    }
}

fn complete(granted: Granted) -> Result<Login, ConnectError> {
    let refresh_token = granted
        .refresh
        .ok_or_else(|| ConnectError::Broken("the sign-in gave no refresh token".to_owned()))?;
    Ok(Login { refresh_token, mfa: granted.mfa, user: granted.user })
}

/// 256 bits of the system's generator. Not the injected one: a repeatable run must not make a
/// predictable state or verifier.
fn random_text() -> Result<String, String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "there is no randomness".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
