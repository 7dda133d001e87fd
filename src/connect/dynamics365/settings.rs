//! How to reach one Dataverse environment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::connect::http::{HttpSettings, address};
use crate::domain::secret::SecretString;

/// How the daemon proves to Entra who it is.
pub enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate and its private key, both PEM.
    Certificate {
        /// The certificate that was uploaded to the app registration.
        certificate_pem: Vec<u8>,
        /// Its private RSA key.
        key_pem: SecretString,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::Certificate { .. } => "Certificate",
        })
    }
}

/// One Dataverse environment and the application user the daemon works as.
pub struct Settings {
    /// Root of the environment, for example `https://contoso.crm.dynamics.com`.
    pub url: Url,
    /// Entra tenant that issues the token.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// Secret or certificate.
    pub credential: Credential,
    /// Token endpoint in place of the public cloud's, for sovereign clouds and sandboxes.
    pub token_url: Option<Url>,
    /// Limits of the HTTP client. `in_flight` is the upper end of the adaptive parallelism; the
    /// platform allows 52 concurrent requests.
    pub http: HttpSettings,
    /// Rows per page of the change feed, 1 to 5000.
    pub full_read_page_size: usize,
    /// Requests that the platform grants in 24 hours; the parts of a batch count one by one.
    pub daily_budget: u64,
    /// How many of those the daemon leaves to people and other programs.
    pub daily_reserve: u64,
    /// How long metadata and resolved lookups are believed.
    pub cache_age: Duration,
    /// How far a poll by `modifiedon` looks back, where change tracking is off.
    pub modified_overlap: Duration,
    /// How long `provision` waits for the index of an alternate key.
    pub key_wait: Duration,
    /// The webhooks that `provision` registers; `None` leaves the environment's webhooks alone.
    pub webhook: Option<WebhookTarget>,
    /// Names of the main forms that `provision` gives a section with the columns.
    pub forms: Vec<String>,
    /// Where the count of requests is kept; `None` counts afresh after each start.
    pub ledger: Option<Arc<dyn RequestLedger>>,
}

/// Keeps the count of requests across restarts: the platform goes on counting.
#[async_trait]
pub trait RequestLedger: Send + Sync {
    /// The text kept last, if any. The error is a sentence.
    async fn load(&self) -> Result<Option<String>, String>;

    /// Keeps `text` in place of the last one. The error is a sentence.
    async fn save(&self, text: &str) -> Result<(), String>;
}

/// Where the environment is to send its webhooks.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The name under which the endpoint is registered, for people and to find it again.
    pub name: String,
    /// Our own address.
    pub url: Url,
    /// The header that carries the secret.
    pub header: String,
    /// The secret.
    pub secret: SecretString,
}

impl WebhookTarget {
    /// Whether the platform would call it: it takes the ports 80 and 443 only. On loopback stands a
    /// sandbox, which takes any.
    pub(super) fn is_deliverable(&self) -> bool {
        let loopback = match self.url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        loopback || matches!(self.url.port_or_known_default(), Some(80 | 443))
    }
}

impl Settings {
    /// Settings with the defaults of this module for everything but identity.
    #[must_use]
    pub fn new(url: Url, tenant_id: String, client_id: String, credential: Credential) -> Self {
        Self {
            url,
            tenant_id,
            client_id,
            credential,
            token_url: None,
            http: HttpSettings::default(),
            full_read_page_size: 1000,
            daily_budget: 500_000,
            daily_reserve: 100_000,
            cache_age: Duration::from_secs(3600),
            modified_overlap: Duration::from_secs(5 * 60),
            key_wait: Duration::from_secs(5 * 60),
            webhook: None,
            forms: Vec::new(),
            ledger: None,
        }
    }

    /// The root without path, query or trailing slash: also the base of the token's scope.
    pub(super) fn root(&self) -> Result<String, String> {
        if !address::is_safe(&self.url) {
            return Err(format!("`{}` must be https, or http to loopback", self.url));
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return Err("the Dynamics 365 address must not hold a user name".to_owned());
        }
        Ok(self.url.origin().ascii_serialization())
    }

    /// The token endpoint.
    pub(super) fn token_endpoint(&self) -> Result<Url, String> {
        let url = match &self.token_url {
            Some(url) => url.clone(),
            None => {
                let tenant = address::encode(&self.tenant_id);
                Url::parse(&format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))
                    .map_err(|error| format!("the tenant id cannot be used: {error}"))?
            }
        };
        if address::is_safe(&url) {
            Ok(url)
        } else {
            Err(format!("`{url}` must be https, or http to loopback"))
        }
    }

    /// Refuses numbers that cannot work.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=5000).contains(&self.full_read_page_size) {
            return Err("full_read_page_size must be 1 to 5000".to_owned());
        }
        if self.daily_reserve >= self.daily_budget {
            return Err("daily_reserve must be smaller than daily_budget".to_owned());
        }
        Ok(())
    }
}
