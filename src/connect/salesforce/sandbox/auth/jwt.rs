//! Checks a signed assertion.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::Value;

use crate::connect::salesforce::sandbox::options::SandboxOptions;
use crate::domain::time::Timestamp;

/// Accepts the assertion or says, as (`error`, `error_description`), why not.
pub(super) fn check(
    options: &SandboxOptions,
    assertion: &str,
    now: Timestamp,
) -> Result<(), (&'static str, &'static str)> {
    const INVALID: (&str, &str) = ("invalid_grant", "invalid assertion");
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else { return Err(INVALID) };
    let part = |text: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    };
    let (Some(header), Some(body)) = (part(head), part(claims)) else { return Err(INVALID) };
    if header["alg"] != "RS256" {
        return Err(INVALID);
    }
    if body["iss"] != options.client_id.as_str() {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| INVALID)?;
    let signed = format!("{head}.{claims}");
    let key = options.public_key_pem.as_deref().and_then(public_key).ok_or(INVALID)?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| INVALID)?;
    let audience = body["aud"].as_str().unwrap_or_default();
    if !options.audiences.iter().any(|known| known == audience) {
        return Err(("invalid_grant", "audience is invalid"));
    }
    // A number or digits. A far future is accepted: a well-known client sends milliseconds.
    let expiry = body["exp"].as_i64().or_else(|| body["exp"].as_str()?.parse().ok());
    if expiry.ok_or(INVALID)? <= now.as_secs() {
        return Err(("invalid_grant", "expired authorization code"));
    }
    if body["sub"] != options.username.as_str() {
        return Err(("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(())
}

/// The RSA key of a PEM that holds a public key or a certificate, as PKCS #1.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    if pem.contains("CERTIFICATE") {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let entity = webpki::EndEntityCert::try_from(&certificate).ok()?;
        return inner_key(&entity.subject_public_key_info());
    }
    inner_key(&SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// `SEQUENCE { algorithm, BIT STRING { 0 unused bits, key } }` without its wrapping.
fn inner_key(info: &[u8]) -> Option<Vec<u8>> {
    let (whole, _) = element(info, 0x30)?;
    let (_, rest) = element(whole, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    bits.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

/// Content of the DER element at the front, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let count = if *first < 0x80 { 0 } else { usize::from(*first & 0x7f) };
    let length = if count == 0 {
        usize::from(*first)
    } else {
        rest.get(..count.min(4))?.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    let rest = rest.get(count..)?;
    (*found == tag && length <= rest.len()).then(|| rest.split_at(length))
}
