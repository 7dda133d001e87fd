//! One call of the token endpoint and what it answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};

use super::cause::Cause;
use super::settings::{Credential, Family, Settings};
use crate::connect::error::ConnectError;
use crate::connect::http::jwt::Algorithm;
use crate::connect::http::{Answer, Call, Http};
use crate::domain::clock::Randomness;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// How long an access token lives that does not say so.
const DEFAULT_LIFETIME_SECS: u64 = 5 * 60;
/// The longest life that is believed.
const LONGEST_LIFETIME_SECS: u64 = 24 * 60 * 60;

/// What a grant gave.
#[derive(Debug, Clone)]
pub(super) struct Granted {
    /// The access token.
    pub(super) access: SecretString,
    /// Its life.
    pub(super) lifetime: Duration,
    /// The replacement of the refresh token.
    pub(super) refresh: Option<SecretString>,
    /// Whether the token carries the MFA claim; `None` if it cannot be read.
    pub(super) mfa: Option<bool>,
    /// The user's sign-in name, where the token tells it.
    pub(super) user: Option<String>,
}

/// Why a grant gave nothing.
#[derive(Debug, Clone)]
pub(super) enum GrantError {
    /// A final refusal; the text is for the admin.
    Refused(Cause, String),
    /// The device code was not answered yet; the flag asks to poll more slowly.
    Pending {
        /// `slow_down`.
        slower: bool,
    },
    /// No answer, or one that says nothing about the grant.
    Other(ConnectError),
}

impl From<GrantError> for ConnectError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Refused(_, text) => Self::Unauthorized(text),
            GrantError::Pending { .. } => {
                Self::Unauthorized("the sign-in was not completed".to_owned())
            }
            GrantError::Other(error) => error,
        }
    }
}

/// Parameters that ask for one audience.
pub(super) fn audience_parameters(
    settings: &Settings,
    family: Family,
) -> Vec<(&'static str, String)> {
    let audience = settings.audience(family);
    if settings.speaks_v1() {
        vec![("resource", audience.to_owned()), ("scope", "openid".to_owned())]
    } else {
        vec![("scope", format!("{audience}/.default offline_access"))]
    }
}

/// Sends a grant with the application's credential and reads the answer.
pub(super) async fn ask(
    http: &Http,
    settings: &Settings,
    credential: &Credential,
    randomness: &dyn Randomness,
    mut parameters: Vec<(&'static str, String)>,
) -> Result<Granted, GrantError> {
    parameters.push(("client_id", settings.client_id.clone()));
    parameters.extend(proof(settings, credential, http.clock().now(), &randomness.guid())?);
    let form: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // A lost answer changes nothing that matters: the refresh token sent stays valid.
    let call = Call::read("POST", settings.token_url.clone())
        .header("accept", "application/json")
        .header("client-request-id", randomness.guid())
        .form(&form);
    let answer = http.send(call).await.map_err(GrantError::Other)?;
    if answer.is_success() { granted(settings, &answer) } else { Err(refused(http, &answer)) }
}

/// The client secret, or an assertion signed with the certificate (PS256, `x5t#S256`).
fn proof(
    settings: &Settings,
    credential: &Credential,
    now: Timestamp,
    id: &str,
) -> Result<Vec<(&'static str, String)>, GrantError> {
    match credential {
        Credential::Secret(secret) => {
            Ok(vec![("client_secret", secret.expose_secret().to_owned())])
        }
        Credential::Certificate { certificate, key } => {
            let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate).as_ref());
            let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
            let claims = json!({
                "aud": settings.token_url.as_str(),
                "iss": settings.client_id,
                "sub": settings.client_id,
                "jti": id,
                "iat": now.as_secs(),
                "nbf": now.as_secs() - 60,
                "exp": now.as_secs() + 600,
            });
            let assertion = key
                .sign(Algorithm::Ps256, &header, &claims)
                .map_err(|error| GrantError::Other(ConnectError::Unauthorized(error)))?;
            Ok(vec![
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
                ),
                ("client_assertion", assertion),
            ])
        }
    }
}

fn granted(settings: &Settings, answer: &Answer) -> Result<Granted, GrantError> {
    let broken =
        |what: &str| GrantError::Other(ConnectError::Broken(format!("the token endpoint {what}")));
    let body = answer.json().ok_or_else(|| broken("did not answer JSON"))?;
    let text = |name: &str| body.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let access = text("access_token").ok_or_else(|| broken("gave no access token"))?;
    if text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(broken("gave a token of another type"));
    }
    let claims = claims(access);
    let claim = |name: &str| claims.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let tenant_known = settings.tenant.len() == 36;
    if tenant_known && claim("tid").is_some_and(|tid| !tid.eq_ignore_ascii_case(&settings.tenant)) {
        return Err(broken("gave a token of another tenant"));
    }
    Ok(Granted {
        access: SecretString::from(access),
        lifetime: lifetime(body.get("expires_in")),
        refresh: text("refresh_token").map(SecretString::from),
        mfa: claims.as_ref().and_then(mfa),
        user: claim("upn").or_else(|| claim("preferred_username")),
    })
}

/// Refuses a token that was made for another audience, where the answer tells.
pub(super) fn check_audience(
    settings: &Settings,
    family: Family,
    granted: &Granted,
) -> Result<(), ConnectError> {
    let Some(claims) = claims(granted.access.expose_secret()) else { return Ok(()) };
    let Some(audience) = claims.get("aud").and_then(Json::as_str) else { return Ok(()) };
    // The audience may also be the resource's application id, which is not an address.
    let other = audience.contains("://")
        && audience.trim_end_matches('/') != settings.audience(family).trim_end_matches('/');
    if other {
        return Err(ConnectError::Broken(
            "the token endpoint gave a token for another audience".to_owned(),
        ));
    }
    Ok(())
}

/// Seconds as a number (v2) or as text (v1), clamped; a missing value is five minutes.
fn lifetime(value: Option<&Json>) -> Duration {
    let secs = match value {
        Some(Json::Number(number)) => {
            number.as_u64().or_else(|| number.as_f64().map(|_| LONGEST_LIFETIME_SECS))
        }
        Some(Json::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    Duration::from_secs(secs.unwrap_or(DEFAULT_LIFETIME_SECS).clamp(1, LONGEST_LIFETIME_SECS))
}

/// The claims of a token that happens to be a JWT. Never used to decide what is permitted.
fn claims(token: &str) -> Option<Json> {
    let part = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether `amr` holds `mfa`.
fn mfa(claims: &Json) -> Option<bool> {
    let methods = claims.get("amr")?.as_array()?;
    Some(methods.iter().any(|method| method.as_str() == Some("mfa")))
}

/// Reads a refusal of any of the login endpoints.
pub(super) fn refused(http: &Http, answer: &Answer) -> GrantError {
    let now = http.clock().now();
    if answer.status == 429 || (answer.status == 503 && answer.header("retry-after").is_some()) {
        let wait = answer.retry_after(now).unwrap_or(Duration::from_secs(30));
        http.close_gate(wait);
        return GrantError::Other(ConnectError::Throttled(wait));
    }
    let unavailable = || {
        GrantError::Other(ConnectError::Unavailable(format!(
            "the token endpoint answered {}",
            answer.status
        )))
    };
    if answer.status >= 500 {
        return unavailable();
    }
    let Some(body) = answer.json() else {
        return GrantError::Other(ConnectError::Broken(format!(
            "the token endpoint answered {} without JSON",
            answer.status
        )));
    };
    let error = body.get("error").and_then(Json::as_str).unwrap_or_default();
    match error {
        "temporarily_unavailable" => return unavailable(),
        "authorization_pending" => return GrantError::Pending { slower: false },
        "slow_down" => return GrantError::Pending { slower: true },
        _ => {}
    }
    let codes: Vec<u64> = body
        .get("error_codes")
        .and_then(Json::as_array)
        .map(|codes| codes.iter().filter_map(Json::as_u64).collect())
        .unwrap_or_default();
    if error.is_empty() && codes.is_empty() {
        // Not the word of the token endpoint: a proxy or a gateway on the way.
        return unavailable();
    }
    let cause = Cause::of(error, &codes);
    GrantError::Refused(cause, explain(cause, error, &codes, &body))
}

/// The sentence for the admin with what support asks for: codes and trace id.
fn explain(cause: Cause, error: &str, codes: &[u64], body: &Json) -> String {
    let short = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(80).collect();
    let mut evidence: Vec<String> = codes.iter().map(|code| format!("AADSTS{code}")).collect();
    if evidence.is_empty() && !error.is_empty() {
        evidence.push(short(error));
    }
    if let Some(trace) = body.get("trace_id").and_then(Json::as_str) {
        evidence.push(format!("trace {}", short(trace) as String));
    }
    format!("{} ({})", cause.sentence(), evidence.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::{lifetime, mfa};

    #[test]
    fn every_spelling_of_a_lifetime_is_read_and_clamped() {
        let table = [
            (Some(json!(3599)), 3599, "a number, v2"),
            (Some(json!("3600")), 3600, "text, v1"),
            (None, 300, "missing"),
            (Some(json!(null)), 300, "null"),
            (Some(json!("soon")), 300, "garbage"),
            (Some(json!(0)), 1, "zero"),
            (Some(json!(1e12)), 86_400, "thirty thousand years"),
            (Some(json!("999999999999")), 86_400, "the same as text"),
        ];
        for (value, secs, why) in table {
            assert_eq!(lifetime(value.as_ref()), Duration::from_secs(secs), "{why}");
        }
    }

    #[test]
    fn the_mfa_claim_is_told_apart_from_its_absence() {
        let table: [(Json, Option<bool>); 3] = [
            (json!({"amr": ["pwd", "mfa"]}), Some(true)),
            (json!({"amr": ["pwd"]}), Some(false)),
            (json!({}), None),
        ];
        for (claims, expected) in table {
            assert_eq!(mfa(&claims), expected, "{claims}");
        }
    }
}
