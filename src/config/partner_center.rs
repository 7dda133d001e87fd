//! `[accounts.NAME.partner_center]` and its webhook.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::{ConfigError, SecretSource, check_address, check_range};

/// `[accounts.NAME.partner_center]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerCenterConfig {
    /// Entra tenant of the partner.
    pub tenant_id: String,
    /// Application (client) id registered there.
    pub client_id: String,
    /// Its secret; or a certificate.
    pub client_secret: Option<SecretSource>,
    /// PEM file with certificate and private key, in place of a secret.
    pub certificate: Option<SecretSource>,
    /// A refresh token to begin with. The stored, rotated one is used first.
    pub refresh_token: Option<SecretSource>,
    /// Our organisation's id; learned from own referrals if not given.
    pub organization_id: Option<String>,
    /// PartnerID of the location that new deals belong to.
    pub mpn_id: Option<String>,
    /// How often the list of referrals is read, in seconds. 1 to 86400.
    #[serde(default = "default_reconcile_secs")]
    pub reconcile_secs: u64,
    /// Overrides the token endpoint.
    pub token_url: Option<Url>,
    /// Overrides `https://api.partner.microsoft.com`.
    pub referrals_url: Option<Url>,
    /// Overrides `https://api.partnercenter.microsoft.com`.
    pub webhooks_url: Option<Url>,
    /// PEM file of trust roots, in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// `[accounts.NAME.partner_center.webhook]`. Without it no deliveries are taken.
    pub webhook: Option<WebhookConfig>,
}

fn default_reconcile_secs() -> u64 {
    300
}

impl PartnerCenterConfig {
    pub(super) fn check(&self, file: &str, account: &str) -> Result<(), ConfigError> {
        let key = |name: &str| format!("accounts.{account}.partner_center.{name}");
        if self.client_secret.is_some() == self.certificate.is_some() {
            return Err(ConfigError::plain(
                file,
                &format!(
                    "{} needs a client_secret or a certificate",
                    key("").trim_end_matches('.')
                ),
                "give exactly one of the two",
            ));
        }
        check_range(file, &key("reconcile_secs"), self.reconcile_secs, 1, 86_400)?;
        let addresses = [
            ("token_url", &self.token_url),
            ("referrals_url", &self.referrals_url),
            ("webhooks_url", &self.webhooks_url),
        ];
        for (name, url) in addresses {
            if let Some(url) = url {
                check_address(file, &key(name), url)?;
            }
        }
        for url in self.webhook.iter().flat_map(|webhook| &webhook.relay_url) {
            check_address(file, &key("webhook.relay_url"), url)?;
        }
        Ok(())
    }
}

/// `[accounts.NAME.partner_center.webhook]`: who may send us events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Hosts from which a signing certificate may be fetched; exact names. A staging system may add
    /// a port, and `http://` for a loopback address.
    pub certificate_hosts: Vec<String>,
    /// Paths of the certificate on those hosts; exact.
    pub certificate_paths: Vec<String>,
    /// PEM file of the pinned roots.
    pub roots: PathBuf,
    /// PEM file of intermediate certificates, which are not delivered with the signature.
    pub intermediates: Option<PathBuf>,
    /// Organisation that the certificate must name.
    #[serde(default = "default_organization")]
    pub organization: String,
    /// Name that the certificate must carry.
    pub leaf_name: Option<String>,
    /// One more segment of the webhook address that only Partner Center knows.
    pub path_secret: Option<SecretSource>,
    /// Register our address even if another tool holds the slot, and claim it again when it is lost.
    #[serde(default)]
    pub take_over: bool,
    /// Where events that are not ours are passed on, unchanged.
    pub relay_url: Option<Url>,
}

fn default_organization() -> String {
    "Microsoft Corporation".to_owned()
}
