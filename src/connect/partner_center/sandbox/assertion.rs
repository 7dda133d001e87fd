//! Client assertions: how an application with a certificate proves itself (reference 1.4 prefers
//! certificates to secrets; the form is Entra's general one).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::Value as Json;
use webpki::EndEntityCert;
use webpki::ring::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

use super::answer::Refusal;
use super::state::State;

/// Checks the claims of a client assertion and, where the application's certificate is known, by
/// whom it is signed.
pub(super) fn check(state: &State, assertion: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err(malformed()) };
    let claims = json(claims);
    let ours = |name: &str| claims[name].as_str() == Some(state.options.client_id.as_str());
    let fresh = claims["exp"].as_i64().is_some_and(|exp| exp > state.now().as_secs());
    if !(ours("iss") && ours("sub") && fresh && claims["aud"].is_string()) {
        return Err(malformed());
    }
    let certificate = &state.options.client_certificate;
    if certificate.is_empty() {
        return Ok(());
    }
    let message = assertion.rsplit_once('.').map_or("", |(message, _)| message);
    let known = is_signed_by(certificate, &json(header), message, signature);
    known.filter(|known| *known).map(|_| ()).ok_or_else(|| {
        let text = "The certificate with identifier used to sign the client assertion is not \
                    registered on application, or the signature is not valid.";
        Refusal::sign_in(401, "invalid_client", 700_027, text)
    })
}

fn malformed() -> Refusal {
    let text = "Client assertion is malformed, expired, or for another application.";
    Refusal::sign_in(401, "invalid_client", 700_027, text)
}

/// Whether `message` was signed with the key of the certificate that the header names.
fn is_signed_by(pem: &str, header: &Json, message: &str, signature: &str) -> Option<bool> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
    let algorithm: &dyn SignatureVerificationAlgorithm = match header["alg"].as_str()? {
        "PS256" => RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        "RS256" => RSA_PKCS1_2048_8192_SHA256,
        _ => return None,
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signer = EndEntityCert::try_from(&certificate).ok()?;
    let valid = signer.verify_signature(algorithm, message.as_bytes(), &signature).is_ok();
    Some(valid && header["x5t#S256"] == thumbprint.as_str())
}

fn json(part: &str) -> Json {
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
