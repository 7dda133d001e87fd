//! Signs the application user in at Entra (OAuth 2.0 client credentials).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use url::Url;

use super::settings::{Credential, Settings};
use crate::connect::error::ConnectError;
use crate::connect::http::jwt::{Algorithm, SigningKey, certificate_der};
use crate::connect::http::{Answer, Call, Http, Token, TokenSource, renew_at};
use crate::domain::clock::{Clock, Randomness};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// How long an assertion is good for.
const ASSERTION_SECS: i64 = 300;

/// What proves who we are.
enum Proof {
    Secret(SecretString),
    Assertion { key: Box<SigningKey>, thumbprint: String },
}

/// The token source of one application user.
pub(super) struct Entra {
    http: Http,
    endpoint: Url,
    client_id: String,
    scope: String,
    proof: Proof,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl std::fmt::Debug for Entra {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Entra").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Entra {
    /// Reads the credential; nothing is sent yet.
    pub(super) fn new(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, String> {
        let proof = match &settings.credential {
            Credential::Secret(secret) => Proof::Secret(secret.clone()),
            Credential::Certificate { certificate_pem, key_pem } => {
                let der = certificate_der(certificate_pem)?;
                let digest = ring::digest::digest(&ring::digest::SHA256, &der);
                Proof::Assertion {
                    key: Box::new(SigningKey::from_pem(key_pem.expose_secret().as_bytes())?),
                    thumbprint: URL_SAFE_NO_PAD.encode(digest),
                }
            }
        };
        Ok(Self {
            http: Http::new(&settings.http, Arc::clone(&clock))?,
            endpoint: settings.token_endpoint()?,
            client_id: settings.client_id.clone(),
            scope: format!("{}/.default", settings.root()?),
            proof,
            clock,
            randomness,
        })
    }

    fn call(&self) -> Result<Call, ConnectError> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("scope", self.scope.as_str()),
        ];
        let assertion;
        match &self.proof {
            Proof::Secret(secret) => form.push(("client_secret", secret.expose_secret())),
            Proof::Assertion { key, thumbprint } => {
                assertion = self.assertion(key, thumbprint).map_err(ConnectError::Unauthorized)?;
                form.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                form.push(("client_assertion", &assertion));
            }
        }
        Ok(Call::read("POST", self.endpoint.clone())
            .header("accept", "application/json")
            .form(&form))
    }

    fn assertion(&self, key: &SigningKey, thumbprint: &str) -> Result<String, String> {
        let now = self.clock.now().as_secs();
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
        let claims = json!({
            "aud": self.endpoint.as_str(),
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": self.randomness.guid(),
            "nbf": now,
            "iat": now,
            "exp": now + ASSERTION_SECS,
        });
        key.sign(Algorithm::Ps256, &header, &claims)
    }
}

#[async_trait]
impl TokenSource for Entra {
    async fn sign_in(&self, serial: u64) -> Result<Token, ConnectError> {
        let answer = self.http.send(self.call()?).await?;
        let now = self.clock.now();
        if !answer.is_success() {
            return Err(refused(&answer, now));
        }
        let json = answer.json().unwrap_or_default();
        let bearer = json
            .get("token_type")
            .and_then(Json::as_str)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        match json.get("access_token").and_then(Json::as_str) {
            Some(token) if bearer && !token.is_empty() => Ok(Token {
                secret: SecretString::from(token.to_owned()),
                renew_at: renew_at(now, lifetime(&json)),
                instance: None,
                serial,
            }),
            _ => {
                Err(ConnectError::Broken("the sign-in answered without a bearer token".to_owned()))
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// `expires_in` as a number or text; five minutes if it is missing or senseless, a day at most.
fn lifetime(json: &Json) -> Duration {
    let stated = match json.get("expires_in") {
        Some(Json::Number(number)) => number.as_u64(),
        Some(Json::String(text)) => text.parse().ok(),
        _ => None,
    };
    Duration::from_secs(stated.filter(|&secs| secs > 0).unwrap_or(300).min(86_400))
}

fn refused(answer: &Answer, now: Timestamp) -> ConnectError {
    match answer.status {
        429 => ConnectError::Throttled(answer.retry_after(now).unwrap_or(Duration::from_secs(10))),
        400..=499 => ConnectError::Unauthorized(advice(&answer.json().unwrap_or_default())),
        status => ConnectError::Unavailable(format!("the sign-in answered {status}")),
    }
}

/// What the admin must do, by Entra's error code. The description of an answer is not repeated: it
/// can hold ids of people.
fn advice(json: &Json) -> String {
    let code = entra_code(json);
    let what = match code {
        Some(7_000_215) => {
            "the client secret is wrong: copy the secret's value, not its id, from the app \
             registration"
        }
        Some(7_000_222) => {
            "the client secret has expired: make a new one in the app registration and put it \
             into the secret file"
        }
        Some(700_016) => {
            "the app is not known in this tenant: check client_id and tenant_id, and that an admin \
             of the tenant consented"
        }
        Some(500_011) => {
            "the environment is not known to this tenant: check the url of [dynamics365]; it must \
             be the environment's own address, such as https://contoso.crm.dynamics.com"
        }
        Some(700_027) => {
            "the certificate is not accepted: upload it to the app registration, and check that \
             certificate and private key belong together and have not expired"
        }
        Some(90_002) => "the tenant does not exist: check tenant_id",
        _ => match json.get("error").and_then(Json::as_str) {
            Some("invalid_scope") => "the scope is not accepted: check the url of [dynamics365]",
            Some("unauthorized_client") => "the app may not sign in this way: check client_id",
            _ => "the app registration is not accepted: check client_id, tenant_id and credential",
        },
    };
    match code {
        Some(code) => format!("{what} (AADSTS{code})"),
        None => what.to_owned(),
    }
}

/// The first of `error_codes`, else the code that the description begins with.
fn entra_code(json: &Json) -> Option<u64> {
    let listed = json.pointer("/error_codes/0").and_then(Json::as_u64);
    listed.or_else(|| {
        let description = json.get("error_description")?.as_str()?.strip_prefix("AADSTS")?;
        let end = description.find(|letter: char| !letter.is_ascii_digit());
        description.get(..end.unwrap_or(description.len()))?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{advice, lifetime};

    #[test]
    fn every_cause_tells_the_admin_something_else() {
        let table = [
            (
                json!({"error": "invalid_client", "error_codes": [7_000_215]}),
                "client secret is wrong",
            ),
            (json!({"error": "invalid_client", "error_codes": [7_000_222]}), "has expired"),
            (
                json!({"error": "unauthorized_client", "error_codes": [700_016]}),
                "not known in this tenant",
            ),
            (
                json!({"error": "invalid_resource", "error_codes": [500_011]}),
                "url of [dynamics365]",
            ),
            (json!({"error": "invalid_client", "error_codes": [700_027]}), "upload it to the app"),
            (
                json!({"error": "invalid_request", "error_codes": [90_002]}),
                "tenant does not exist: check tenant_id (AADSTS90002)",
            ),
            (json!({"error_description": "AADSTS7000222: The provided keys"}), "has expired"),
            (json!({"error": "invalid_scope"}), "scope"),
            (json!({}), "check client_id, tenant_id and credential"),
        ];
        for (body, expected) in table {
            let advice = advice(&body);
            assert!(advice.contains(expected), "{body}: {advice}");
        }
    }

    #[test]
    fn a_senseless_lifetime_is_replaced() {
        let table = [
            (json!({"expires_in": 3599}), 3599, "as documented"),
            (json!({"expires_in": "3599"}), 3599, "as text"),
            (json!({}), 300, "missing"),
            (json!({"expires_in": 0}), 300, "zero"),
            (json!({"expires_in": -5}), 300, "negative"),
            (json!({"expires_in": 1_000_000_000_000_u64}), 86_400, "for ever"),
        ];
        for (body, secs, why) in table {
            assert_eq!(lifetime(&body), Duration::from_secs(secs), "{why}");
        }
    }
}
