//! `[accounts.NAME.partner_center]` and its webhook.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::SecretSource;
use super::found::Found;
use super::values::{check_address, check_range, check_tenant, is_certificate_host, is_host};
use crate::domain::time::Date;

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
    /// Day on which the secret ends, as Entra shows it; an alert goes ahead of it.
    pub client_secret_expires: Option<Date>,
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
    /// Audience of referral tokens, in place of `https://api.partner.microsoft.com`.
    pub referrals_audience: Option<String>,
    /// Audience of webhook and profile tokens, in place of `https://api.partnercenter.microsoft.com`.
    pub webhooks_audience: Option<String>,
    /// PEM file of trust roots, in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// `[accounts.NAME.partner_center.webhook]`. Without it no deliveries are taken.
    pub webhook: Option<WebhookConfig>,
}

fn default_reconcile_secs() -> u64 {
    300
}

impl PartnerCenterConfig {
    /// Where the credential comes from: the name of its setting, and its source.
    pub(crate) fn credential(&self) -> Option<(&'static str, &SecretSource)> {
        let certificate = self.certificate.as_ref().map(|source| ("certificate", source));
        certificate.or(self.client_secret.as_ref().map(|source| ("client_secret", source)))
    }

    pub(super) fn check(&self, found: &mut Found<'_>, account: &str) {
        let key = |name: &str| format!("accounts.{account}.partner_center.{name}");
        if self.client_secret.is_some() == self.certificate.is_some() {
            let table = format!("accounts.{account}.partner_center");
            let what = format!("{table} needs a client_secret or a certificate");
            found.lack(&table, &what, "give exactly one of the two");
        }
        check_range(found, &key("reconcile_secs"), self.reconcile_secs, 1, 86_400);
        check_tenant(found, &key("tenant_id"), &self.tenant_id);
        self.check_location(found, &key("mpn_id"));
        let addresses = [
            ("token_url", &self.token_url),
            ("referrals_url", &self.referrals_url),
            ("webhooks_url", &self.webhooks_url),
        ];
        for (name, url) in addresses {
            if let Some(url) = url {
                check_address(found, &key(name), url);
            }
        }
        for url in self.webhook.iter().flat_map(|webhook| &webhook.relay_url) {
            check_address(found, &key("webhook.relay_url"), url);
        }
        let audiences = [
            ("referrals_audience", &self.referrals_audience),
            ("webhooks_audience", &self.webhooks_audience),
        ];
        for (name, audience) in audiences {
            if audience.as_deref().is_some_and(|audience| !is_audience(audience)) {
                found.value(
                    &key(name),
                    &format!("{} is not the identifier of a resource", key(name)),
                    "write the address that tokens are asked for, without a scope such as /.default",
                );
            }
        }
        if let Some(webhook) = &self.webhook {
            webhook.check_certificates(found, key);
            webhook.check_resource_hosts(found, key);
        }
    }

    fn check_location(&self, found: &mut Found<'_>, key: &str) {
        let is_id = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(id) = self.mpn_id.as_ref().filter(|id| !is_id(id)) {
            found.value(
                key,
                &format!("`{key}` is \"{id}\", which is no PartnerID"),
                "write the digits of the location's PartnerID, as in \"1234567\"",
            );
        }
    }
}

/// Whether tokens can be asked for `text`: an address without query, and without the scope that is
/// put behind it.
fn is_audience(text: &str) -> bool {
    let plain = !text.contains(char::is_whitespace) && !text.ends_with("/.default");
    plain && Url::parse(text).is_ok_and(|url| url.query().is_none() && url.fragment().is_none())
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
    /// Hosts that the referral of an event may lie on; exact names. Those of the public service and
    /// of overridden addresses if not given. No such address is ever called.
    pub resource_hosts: Option<Vec<String>>,
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

impl WebhookConfig {
    fn check_certificates(&self, found: &mut Found<'_>, key: impl Fn(&str) -> String) {
        for host in self.certificate_hosts.iter().filter(|host| !is_certificate_host(host)) {
            let key = key("webhook.certificate_hosts");
            found.value(
                &key,
                &format!("`{key}` holds \"{host}\", which is not the exact name of a host"),
                "write names as in [\"3psostorageacct.blob.core.windows.net\"], without https://, path \
                 and *",
            );
        }
        for path in self.certificate_paths.iter().filter(|path| !path.starts_with('/')) {
            let key = key("webhook.certificate_paths");
            found.value(
                &key,
                &format!("`{key}` holds \"{path}\", which is no path of a host"),
                "write paths as in [\"/cert/pcnotifications-dispatch.microsoft.com.cer\"]",
            );
        }
    }

    fn check_resource_hosts(&self, found: &mut Found<'_>, key: impl Fn(&str) -> String) {
        let Some(hosts) = &self.resource_hosts else { return };
        if hosts.is_empty() || !hosts.iter().all(|host| is_host(host)) {
            let key = key("webhook.resource_hosts");
            found.value(
                &key,
                &format!("{key} names no host, or something that is none"),
                "write names as in [\"api.partnercenter.microsoft.com\"], without https:// and path",
            );
        }
    }
}

fn default_organization() -> String {
    "Microsoft Corporation".to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Found, PartnerCenterConfig};

    #[test]
    fn what_another_cloud_is_called_is_checked() {
        let table = [
            ("referrals_audience = 'https://api.partner.example.cn'", "", true, "an address"),
            (
                "webhooks_audience = 'https://api.partner.example.cn/'",
                "",
                true,
                "a slash at its end",
            ),
            ("webhooks_audience = 'api://aaaaaaaa-bbbb'", "", true, "an application's identifier"),
            ("referrals_audience = 'api.partner.example.cn'", "", false, "no address"),
            ("referrals_audience = 'https://a.example/.default'", "", false, "a scope"),
            ("referrals_audience = 'https://a.example other'", "", false, "two words"),
            ("", "['api.partner.example.cn', '127.0.0.1:9181']", true, "hosts, one with a port"),
            ("", "[]", false, "no event could be taken"),
            ("", "['https://api.partner.example.cn']", false, "an address in place of a host"),
            ("", "['api.partner.example.cn/v1']", false, "a path"),
            ("", "['*.partner.example.cn']", false, "a pattern"),
            ("", "['user@api.partner.example.cn']", false, "a user"),
        ];
        for (line, hosts, good, why) in table {
            let hosts =
                if hosts.is_empty() { String::new() } else { format!("resource_hosts = {hosts}") };
            let text = format!(
                "tenant_id = 'contoso.example'\nclient_id = 'c'\nclient_secret = {{ env = 'S' }}\n{line}\n\
                 [webhook]\ncertificate_hosts = []\ncertificate_paths = []\nroots = 'r'\n{hosts}"
            );
            let settings: PartnerCenterConfig = toml::from_str(&text).expect(why);
            let mut found = Found::new("a file", "", Vec::new());
            settings.check(&mut found, "contoso");
            let checked = found.end();
            assert_eq!(checked.is_ok(), good, "{why}: {checked:?}");
        }
    }
}
