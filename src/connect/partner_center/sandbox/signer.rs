//! Signs webhook bodies with a certificate of the emulator's own authority (reference 5.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

/// Keys are fixed because the certificate builder cannot make RSA keys. They are public and protect
/// nothing.
const ROOT_KEY: &str = include_str!("fixtures/sandbox-only-root.key.pem");
const INTERMEDIATE_KEY: &str = include_str!("fixtures/sandbox-only-intermediate.key.pem");
const SIGNER_KEY: &str = include_str!("fixtures/sandbox-only-signer.key.pem");

/// Name in the certificate, and of its file on the certificate host.
pub(super) const LEAF_NAME: &str = "pcnotifications-dispatch.microsoft.com";

/// The certificates and the key behind the signatures.
pub(super) struct Signer {
    key: RsaKeyPair,
    pub(super) root_pem: String,
    pub(super) intermediate_pem: String,
    leaf: Leaf,
    leaf_by_intermediate: Leaf,
}

/// One certificate of the signer in both encodings; `.cer` may hold either.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// Builds the certificates from the fixed keys.
    pub(super) fn new() -> Result<Self, Error> {
        let root_key = key(ROOT_KEY)?;
        let root_params = authority("Sandbox Only Root, not of Microsoft");
        let root_pem = root_params.self_signed(&root_key)?.pem();
        let root = Issuer::new(root_params, root_key);

        let intermediate_key = key(INTERMEDIATE_KEY)?;
        let intermediate_params = authority("Sandbox Only Intermediate, not of Microsoft");
        let intermediate_pem = intermediate_params.signed_by(&intermediate_key, &root)?.pem();
        let intermediate = Issuer::new(intermediate_params, intermediate_key);

        let leaf_key = key(SIGNER_KEY)?;
        let leaf = |issuer: &Issuer<'_, KeyPair>| -> Result<Leaf, Error> {
            let certificate = leaf_params()?.signed_by(&leaf_key, issuer)?;
            Ok(Leaf { der: certificate.der().to_vec(), pem: certificate.pem() })
        };
        Ok(Self {
            key: signing_key()?,
            root_pem,
            intermediate_pem,
            leaf: leaf(&root)?,
            leaf_by_intermediate: leaf(&intermediate)?,
        })
    }

    /// The signer's certificate.
    pub(super) fn leaf(&self, by_intermediate: bool) -> &Leaf {
        if by_intermediate { &self.leaf_by_intermediate } else { &self.leaf }
    }

    /// RSA PKCS#1 v1.5 with SHA-256 over the bytes, in base64.
    pub(super) fn sign(&self, body: &[u8]) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature);
        // It fails only if the buffer has another length than the modulus.
        signed.map(|()| STANDARD.encode(&signature)).unwrap_or_default()
    }
}

fn key(pem: &str) -> Result<KeyPair, Error> {
    KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_RSA_SHA256)
}

fn signing_key() -> Result<RsaKeyPair, Error> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(SIGNER_KEY.as_bytes())
        .map_err(|_| Error::CouldNotParseKeyPair)?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| Error::CouldNotParseKeyPair)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, "Microsoft Corporation");
    name.push(DnType::CommonName, common);
    name
}

/// Certificates hold for any clock a test may choose.
fn long_lived(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
}

fn authority(common: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    long_lived(&mut params);
    params
}

fn leaf_params() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec![LEAF_NAME.to_owned()])?;
    params.distinguished_name = name(LEAF_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    long_lived(&mut params);
    Ok(params)
}
