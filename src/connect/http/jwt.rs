//! Signed assertions: Salesforce's JWT bearer flow, Entra's certificate credentials.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value as Json;

/// Signature algorithm of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA-PSS with SHA-256.
    Ps256,
}

/// A private RSA key that can sign assertions.
pub struct SigningKey(RsaKeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a PEM private key (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    ///
    /// A sentence without any part of the key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| "no PEM private key was found".to_owned())?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("the private key is not an RSA key".to_owned()),
        };
        pair.map(Self).map_err(|error| format!("the private key cannot be used: {error}"))
    }

    /// Signs `header` and `claims` as a compact JWT.
    ///
    /// # Errors
    ///
    /// A sentence if signing fails.
    pub fn sign(
        &self,
        algorithm: Algorithm,
        header: &Json,
        claims: &Json,
    ) -> Result<String, String> {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let encoding: &dyn RsaEncoding = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
        };
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| "signing failed".to_owned())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The first certificate of a PEM file, as DER.
///
/// # Errors
///
/// A sentence if there is none.
pub fn certificate_der(pem: &[u8]) -> Result<Vec<u8>, String> {
    CertificateDer::from_pem_slice(pem)
        .map(|certificate| certificate.as_ref().to_vec())
        .map_err(|_| "no PEM certificate was found".to_owned())
}
