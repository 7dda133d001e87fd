//! What the client must be told: addresses, identities, limits. Holds no secret but the credential.

use std::time::Duration;

use url::Url;

use crate::connect::http::HttpSettings;
use crate::connect::http::jwt::{SigningKey, certificate_der};
use crate::domain::secret::{ExposeSecret, SecretString};

/// How to reach one partner tenant.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Entra tenant id or domain.
    pub tenant: String,
    /// Application (client) id.
    pub client_id: String,
    /// Token endpoint. One whose path has no `v2.0` is spoken to in the older way (`resource`).
    pub token_url: Url,
    /// Base of the referrals API, with a trailing slash: `.../v1.0/engagements/`.
    pub referrals_url: Url,
    /// Base of the api.partnercenter family, with a trailing slash.
    pub webhooks_url: Url,
    /// Audience of referral tokens, without a trailing slash.
    pub referrals_audience: String,
    /// Audience of api.partnercenter tokens, without a trailing slash.
    pub webhooks_audience: String,
    /// How far the reconciling list reads back behind its watermark.
    pub overlap: Duration,
    /// Most pages of one list; more is a fault of the service.
    pub page_cap: u32,
    /// Limits of the calls.
    pub http: HttpSettings,
}

impl Settings {
    /// The public service.
    ///
    /// # Errors
    ///
    /// A sentence if `tenant` cannot be part of an address.
    pub fn public(tenant: &str, client_id: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if tenant.is_empty() || !tenant.bytes().all(plain) {
            return Err(format!("`{tenant}` is neither a tenant id nor a domain"));
        }
        let url = |text: &str| Url::parse(text).map_err(|error| format!("{text}: {error}"));
        Ok(Self {
            tenant: tenant.to_owned(),
            client_id: client_id.to_owned(),
            token_url: url(&format!(
                "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
            ))?,
            referrals_url: url("https://api.partner.microsoft.com/v1.0/engagements/")?,
            webhooks_url: url("https://api.partnercenter.microsoft.com/")?,
            referrals_audience: "https://api.partner.microsoft.com".to_owned(),
            webhooks_audience: "https://api.partnercenter.microsoft.com".to_owned(),
            overlap: Duration::from_secs(10 * 60),
            page_cap: 5_000,
            http: HttpSettings::default(),
        })
    }

    /// Whether the token endpoint is the older one, which takes `resource` in place of `scope`.
    #[must_use]
    pub fn speaks_v1(&self) -> bool {
        !self.token_url.path().contains("/v2.0/")
    }

    /// The audience of a family.
    #[must_use]
    pub fn audience(&self, family: Family) -> &str {
        match family {
            Family::Referrals => &self.referrals_audience,
            Family::Center => &self.webhooks_audience,
        }
    }

    /// A sibling of the token endpoint: `authorize`, `devicecode`.
    ///
    /// # Errors
    ///
    /// A sentence if the token endpoint has no path.
    pub fn login_url(&self, last: &str) -> Result<Url, String> {
        self.token_url.join(last).map_err(|error| format!("{last}: {error}"))
    }
}

/// The two families of Partner Center's API; each has its own host and audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `api.partner.microsoft.com`: referrals.
    Referrals,
    /// `api.partnercenter.microsoft.com`: webhook registration, profiles.
    Center,
}

/// How the application proves who it is.
pub enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate and its private key.
    Certificate {
        /// The certificate, DER.
        certificate: Vec<u8>,
        /// Its key.
        key: Box<SigningKey>,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Secret(_) => "Credential::Secret",
            Self::Certificate { .. } => "Credential::Certificate",
        })
    }
}

impl Credential {
    /// Reads what an administrator stages: a certificate with its key where `text` is PEM, else a
    /// client secret.
    ///
    /// # Errors
    ///
    /// A sentence without any part of the text.
    pub fn staged(text: &SecretString) -> Result<Self, String> {
        let plain = text.expose_secret();
        if plain.contains("-----BEGIN") {
            return Self::certificate(plain.as_bytes(), plain.as_bytes());
        }
        Ok(Self::Secret(text.clone()))
    }

    /// Reads a certificate and its private key, both PEM, which may be one file.
    ///
    /// # Errors
    ///
    /// A sentence without any part of the key.
    pub fn certificate(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, String> {
        Ok(Self::Certificate {
            certificate: certificate_der(certificate_pem)?,
            key: Box::new(SigningKey::from_pem(key_pem)?),
        })
    }
}
