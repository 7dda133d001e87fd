//! The token endpoint: client credentials with a secret or with a signed assertion.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::call::Answer;
use super::state::{State, stable_guid};
use crate::domain::time::Timestamp;

/// Tokens given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    valid_until: BTreeMap<String, Timestamp>,
    assertions: BTreeSet<String>,
    given: u64,
}

impl Tokens {
    /// Whether `token` was given out and has not expired.
    pub(super) fn accepts(&self, token: &str, now: Timestamp) -> bool {
        self.valid_until.get(token).is_some_and(|until| now < *until)
    }

    /// Expires every token at once.
    pub(super) fn revoke(&mut self) {
        self.valid_until.clear();
    }

    fn give(&mut self, now: Timestamp, life: Duration) -> String {
        self.given += 1;
        let token = format!("sandbox.{}", stable_guid("token", &self.given.to_string()));
        self.valid_until.insert(token.clone(), now.plus(life));
        token
    }
}

/// A refusal of the token endpoint.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    text: &'static str,
}

const fn refusal(status: u16, error: &'static str, code: u32, text: &'static str) -> Refusal {
    Refusal { status, error, code, text }
}

impl State {
    /// `POST /{tenant}/oauth2/v2.0/token`. `host` is the host that the client used.
    pub(super) fn token(&mut self, tenant: &str, host: &str, form: &[u8]) -> Answer {
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(form).into_owned().collect();
        match self.check_grant(tenant, host, &form) {
            Ok(()) => {
                let life = self.options.token_life;
                let token = self.tokens.give(self.clock.now(), life);
                let body = json!({
                    "token_type": "Bearer",
                    "expires_in": life.as_secs(),
                    "ext_expires_in": life.as_secs(),
                    "access_token": token,
                });
                Answer::json(200, body.to_string()).with("Cache-Control", "no-store")
            }
            Err(refusal) => {
                let trace = self.data.next_guid();
                let body = json!({
                    "error": refusal.error,
                    "error_description": format!("AADSTS{}: {}", refusal.code, refusal.text),
                    "error_codes": [refusal.code],
                    "timestamp": self.stamp(),
                    "trace_id": trace,
                    "correlation_id": trace,
                });
                Answer::json(refusal.status, body.to_string())
            }
        }
    }

    fn check_grant(
        &mut self,
        tenant: &str,
        host: &str,
        form: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if tenant != self.options.tenant_id {
            return Err(refusal(400, "invalid_request", 90002, "Tenant not found."));
        }
        if field("grant_type") != "client_credentials" {
            let text = "The grant type is not supported.";
            return Err(refusal(400, "unsupported_grant_type", 70003, text));
        }
        if field("client_id") != self.options.client_id {
            let text = "Application was not found in the directory.";
            return Err(refusal(400, "unauthorized_client", 700_016, text));
        }
        check_scope(field("scope"), host)?;
        if form.contains_key("client_assertion") {
            let bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            if field("client_assertion_type") != bearer {
                return Err(refusal(400, "invalid_request", 900_144, "Wrong assertion type."));
            }
            return self.check_assertion(field("client_assertion"));
        }
        if field("client_secret") == self.options.client_secret {
            return Ok(());
        }
        if self.options.expired_secret.as_deref() == Some(field("client_secret")) {
            let text = "The provided client secret keys are expired.";
            return Err(refusal(401, "invalid_client", 7_000_222, text));
        }
        Err(refusal(401, "invalid_client", 7_000_215, "Invalid client secret provided."))
    }

    fn check_assertion(&mut self, assertion: &str) -> Result<(), Refusal> {
        let wrong = |text| refusal(401, "invalid_client", 700_027, text);
        let (signed, signature) =
            assertion.rsplit_once('.').ok_or_else(|| wrong("Not a signed token."))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| wrong("Not a token."))?;
        let header = decode(header).ok_or_else(|| wrong("The header is not JSON."))?;
        let claims = decode(claims).ok_or_else(|| wrong("The claims are not JSON."))?;
        let text = |name: &str| claims.get(name).and_then(Json::as_str).unwrap_or_default();
        let secs = |name: &str| claims.get(name).and_then(Json::as_i64).unwrap_or_default();
        let endpoint = format!("/{}/oauth2/v2.0/token", self.options.tenant_id);
        if !text("aud").ends_with(&endpoint) {
            return Err(wrong("The audience is not this endpoint."));
        }
        if text("iss") != self.options.client_id || text("sub") != self.options.client_id {
            return Err(wrong("Issuer and subject must be the client id."));
        }
        let now = self.clock.now().as_secs();
        let skew = 300;
        if secs("nbf") > now + skew || secs("exp") < now - skew {
            return Err(wrong("The assertion is not within its valid time range."));
        }
        if let Some(certificate) = &self.options.certificate_der {
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
            check_signature(certificate, &header, signed.as_bytes(), &signature).map_err(wrong)?;
        }
        if text("jti").is_empty() || !self.tokens.assertions.insert(text("jti").to_owned()) {
            return Err(wrong("The assertion has no id of its own or was used before."));
        }
        Ok(())
    }
}

fn check_scope(scope: &str, host: &str) -> Result<(), Refusal> {
    let unknown =
        || refusal(400, "invalid_resource", 500_011, "The resource principal was not found.");
    let url = url::Url::parse(scope)
        .map_err(|_| refusal(400, "invalid_scope", 70011, "The scope is not valid."))?;
    if url.path() != "/.default" {
        return Err(unknown());
    }
    let name = url.host_str().unwrap_or_default();
    let with_port = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    if with_port == host || name.ends_with(".dynamics.com") { Ok(()) } else { Err(unknown()) }
}

fn decode(part: &str) -> Option<Json> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Checks algorithm, thumbprint and signature against the registered certificate.
fn check_signature(
    certificate: &[u8],
    header: &Json,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), &'static str> {
    let text = |name: &str| header.get(name).and_then(Json::as_str);
    let thumbprint =
        |algorithm| URL_SAFE_NO_PAD.encode(ring::digest::digest(algorithm, certificate).as_ref());
    let known = match (text("x5t#S256"), text("x5t")) {
        (Some(given), _) => given == thumbprint(&ring::digest::SHA256),
        (None, Some(given)) => given == thumbprint(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
        (None, None) => false,
    };
    if !known {
        return Err("The certificate with this thumbprint is not registered.");
    }
    let algorithm = match text("alg") {
        Some("PS256") => webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        Some("RS256") => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
        _ => return Err("The algorithm must be PS256 or RS256."),
    };
    let der = rustls_pki_types::CertificateDer::from(certificate);
    let certificate = webpki::EndEntityCert::try_from(&der)
        .map_err(|_| "The registered certificate cannot be read.")?;
    certificate
        .verify_signature(algorithm, signed, signature)
        .map_err(|_| "The signature is not valid.")
}
