//! Judges a webhook certificate: pinned roots, name, organization, key.

use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use url::Url;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};

use super::der::{self, COMMON_NAME, ORGANIZATION};
use crate::domain::time::Timestamp;

/// Algorithms accepted between the certificates of a chain. No SHA-1.
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
];

/// What a certificate must be.
pub(super) struct Judge {
    anchors: Vec<TrustAnchor<'static>>,
    pinned: Vec<(String, Timestamp)>,
    intermediates: Vec<CertificateDer<'static>>,
    organization: String,
    leaf_name: Option<String>,
}

/// A certificate that passed.
#[derive(Debug)]
pub(super) struct Signer {
    certificate: CertificateDer<'static>,
    /// The moment after which it is no longer valid.
    pub(super) not_after: Timestamp,
}

/// What was found at a pinned address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The address.
    pub url: String,
    /// When the certificate ends; `None` if it could not be read.
    pub ends: Option<Timestamp>,
    /// Common name of its issuer.
    pub issuer: Option<String>,
    /// Why it would not be accepted; `None` if it would.
    pub fault: Option<String>,
    /// Whether the address did not answer.
    pub out_of_reach: bool,
}

impl Examined {
    /// Nothing usable stands there.
    pub(super) fn faulty(url: &Url, why: &str) -> Self {
        Self {
            url: url.to_string(),
            ends: None,
            issuer: None,
            fault: Some(why.to_owned()),
            out_of_reach: false,
        }
    }
}

impl Judge {
    /// Judges a fetched file in detail.
    pub(super) fn examine(&self, url: &Url, file: &[u8], now: Timestamp) -> Examined {
        let certificate = match one(file) {
            Ok(certificate) => certificate,
            Err(why) => return Examined::faulty(url, &why),
        };
        let issuer = EndEntityCert::try_from(&certificate)
            .ok()
            .and_then(|leaf| der::attributes(leaf.issuer(), COMMON_NAME).pop());
        Examined {
            ends: der::not_after(&certificate),
            issuer,
            fault: self.check(&certificate, now).err(),
            url: url.to_string(),
            out_of_reach: false,
        }
    }

    /// Name and end of every pinned certificate.
    pub(super) fn pinned(&self) -> Vec<(String, Timestamp)> {
        self.pinned.clone()
    }

    /// Reads the pinned certificates.
    pub(super) fn new(
        roots_pem: &[u8],
        intermediates_pem: &[u8],
        organization: &str,
        leaf_name: Option<&str>,
    ) -> Result<Self, String> {
        let (roots, intermediates) = (all(roots_pem)?, all(intermediates_pem)?);
        let anchors = roots
            .iter()
            .map(|root| anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("a root certificate cannot be used: {error}"))?;
        if anchors.is_empty() {
            return Err("there is no root certificate to check webhooks against".to_owned());
        }
        Ok(Self {
            anchors,
            pinned: roots.iter().chain(&intermediates).filter_map(name_and_end).collect(),
            intermediates,
            organization: organization.to_owned(),
            leaf_name: leaf_name.map(str::to_owned),
        })
    }

    /// Checks a fetched file at `now`. The error is a sentence.
    pub(super) fn judge(&self, file: &[u8], now: Timestamp) -> Result<Signer, String> {
        let certificate = one(file)?;
        let not_after = self.check(&certificate, now)?;
        Ok(Signer { certificate, not_after })
    }

    fn check(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<Timestamp, String> {
        let leaf = EndEntityCert::try_from(certificate)
            .map_err(|error| format!("the file is not a certificate: {error}"))?;
        let bits = der::rsa_bits(&leaf.subject_public_key_info());
        if bits.is_none_or(|bits| bits < 2048) {
            return Err("the certificate's key is not an RSA key of 2048 bits or more".to_owned());
        }
        self.check_chain(&leaf, now)?;
        self.check_name(&leaf)?;
        // Microsoft's own sample looks at the issuer; a leaf may name no organization itself.
        let mut organizations = der::attributes(leaf.subject(), ORGANIZATION);
        if organizations.is_empty() {
            organizations = der::attributes(leaf.issuer(), ORGANIZATION);
        }
        if organizations != [self.organization.as_str()] {
            return Err("the certificate belongs to another organization".to_owned());
        }
        der::not_after(certificate).ok_or_else(|| "the certificate has no end".to_owned())
    }

    /// The signer's extended key usage is not documented: either usual one of a service will do.
    fn check_chain(&self, leaf: &EndEntityCert<'_>, now: Timestamp) -> Result<(), String> {
        let secs = u64::try_from(now.as_secs()).unwrap_or(0);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let verify = |usage: KeyUsage| {
            leaf.verify_for_usage(
                CHAIN_ALGORITHMS,
                &self.anchors,
                &self.intermediates,
                time,
                usage,
                None,
                None,
            )
            .map(|_| ())
        };
        verify(KeyUsage::server_auth())
            .or_else(|_| verify(KeyUsage::client_auth()))
            .map_err(|error| format!("the certificate's chain is not valid: {error}"))
    }

    fn check_name(&self, leaf: &EndEntityCert<'_>) -> Result<(), String> {
        let Some(wanted) = &self.leaf_name else { return Ok(()) };
        let alternative = ServerName::try_from(wanted.as_str())
            .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
        let common = der::attributes(leaf.subject(), COMMON_NAME);
        if alternative || common.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
            Ok(())
        } else {
            Err("the certificate has another name".to_owned())
        }
    }
}

impl Signer {
    /// Whether `signature` (RSA PKCS#1 v1.5, SHA-256) was made over exactly `body`.
    pub(super) fn signed(&self, body: &[u8], signature: &[u8]) -> bool {
        EndEntityCert::try_from(&self.certificate).is_ok_and(|leaf| {
            leaf.verify_signature(algorithms::RSA_PKCS1_2048_8192_SHA256, body, signature).is_ok()
        })
    }

    /// Whether both are the same certificate.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

fn name_and_end(certificate: &CertificateDer<'_>) -> Option<(String, Timestamp)> {
    let read = EndEntityCert::try_from(certificate).ok();
    let name = read.and_then(|read| der::attributes(read.subject(), COMMON_NAME).pop());
    Some((name.unwrap_or_else(|| "without a name".to_owned()), der::not_after(certificate)?))
}

/// The certificates of a PEM file, which may be empty.
fn all(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificates cannot be read: {error}"))
}

/// The one certificate of a `.cer` file, DER or PEM.
fn one(file: &[u8]) -> Result<CertificateDer<'static>, String> {
    if file.trim_ascii_start().starts_with(b"-----BEGIN") {
        return CertificateDer::from_pem_slice(file)
            .map_err(|_| "the file holds no certificate".to_owned());
    }
    Ok(CertificateDer::from(file.to_vec()))
}
