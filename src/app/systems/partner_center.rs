//! Partner Center: its client, and what checks its events.

use std::sync::Arc;

use super::AppError;
use super::files::{http, optional_secret, sealer, secret, settings_error};
use crate::app::relay::HttpRelay;
use crate::app::vault::Vault;
use crate::config::{Config, PartnerCenterConfig, WebhookConfig};
use crate::connect::partner_center;
use crate::domain::id::AccountName;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::ingress::{Entrance, Relay};
use crate::sync::account::Surroundings;
use crate::telemetry::metrics::Metrics;

/// Where the refresh token of an account's partner tenant is kept.
pub(in crate::app) fn partner_center_vault(
    config: &Config,
    account: &AccountName,
    around: &Surroundings,
) -> Result<Vault, AppError> {
    Ok(Vault::new(Arc::clone(&around.store), sealer(config)?, account, "partner_center"))
}

/// The client secret, or the certificate with its key, of an account's partner tenant.
pub(in crate::app) fn partner_center_secret(
    config: &Config,
    account: &AccountName,
    settings: &PartnerCenterConfig,
) -> Result<SecretString, AppError> {
    let key = format!("accounts.{account}.partner_center");
    let (name, source) = settings.credential().ok_or_else(|| {
        AppError::Settings(format!("{key}: a client_secret or a certificate is needed"))
    })?;
    secret(config, &format!("{key}.{name}"), source)
}

/// The client of an account's partner tenant.
pub(in crate::app) fn partner_center_client(
    config: &Config,
    account: &AccountName,
    settings: &PartnerCenterConfig,
    around: &Surroundings,
) -> Result<Arc<partner_center::Client>, AppError> {
    let key = format!("accounts.{account}.partner_center");
    let wrong = settings_error(&key);
    let mut client = partner_center::Settings::public(&settings.tenant_id, &settings.client_id)
        .map_err(&wrong)?;
    if let Some(url) = &settings.token_url {
        client.token_url = url.clone();
    }
    if let Some(url) = &settings.referrals_url {
        client.referrals_url =
            url.join("/v1.0/engagements/").map_err(|error| wrong(error.to_string()))?;
    }
    if let Some(url) = &settings.webhooks_url {
        client.webhooks_url = url.join("/").map_err(|error| wrong(error.to_string()))?;
    }
    let audience = |text: &String| text.trim_end_matches('/').to_owned();
    if let Some(text) = &settings.referrals_audience {
        client.referrals_audience = audience(text);
    }
    if let Some(text) = &settings.webhooks_audience {
        client.webhooks_audience = audience(text);
    }
    client.http = http(config, &key, settings.ca_file.as_ref(), 8)?;
    let text = partner_center_secret(config, account, settings)?;
    let credential = match &settings.certificate {
        Some(_) => {
            let pem = text.expose_secret().as_bytes();
            partner_center::Credential::certificate(pem, pem).map_err(&wrong)?
        }
        None => partner_center::Credential::Secret(text),
    };
    let configured =
        optional_secret(config, &format!("{key}.refresh_token"), settings.refresh_token.as_ref())?;
    let vault = partner_center_vault(config, account, around)?;
    let client = partner_center::Client::new(
        client,
        credential,
        configured,
        Arc::new(vault),
        Arc::clone(&around.clock),
        Arc::clone(&around.randomness),
    );
    Ok(Arc::new(client.map_err(&wrong)?))
}

/// What checks the events of an account's partner tenant.
pub(in crate::app) fn partner_center_verifier(
    config: &Config,
    name: &str,
    (settings, webhook): (&PartnerCenterConfig, &WebhookConfig),
    around: &Surroundings,
) -> Result<partner_center::Verifier, AppError> {
    let key = format!("accounts.{name}.partner_center.webhook");
    let wrong = settings_error(&key);
    let read = |path: &std::path::Path| {
        std::fs::read(config.path(path))
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let roots = read(&webhook.roots).map_err(settings_error(&format!("{key}.roots")))?;
    let intermediates = webhook.intermediates.as_deref().map(read).transpose();
    let intermediates =
        intermediates.map_err(settings_error(&format!("{key}.intermediates")))?.unwrap_or_default();
    let mut verifier = partner_center::VerifierSettings::public(roots, intermediates);
    verifier.allow_loopback = webhook.certificate_hosts.iter().any(|host| is_loopback(host));
    verifier.certificate_hosts.clone_from(&webhook.certificate_hosts);
    verifier.certificate_paths.clone_from(&webhook.certificate_paths);
    match &webhook.resource_hosts {
        Some(hosts) => verifier.resource_hosts.clone_from(hosts),
        None => verifier.resource_hosts.extend(overridden_hosts(settings)),
    }
    verifier.organization.clone_from(&webhook.organization);
    verifier.leaf_name.clone_from(&webhook.leaf_name);
    let fetcher = partner_center::NetworkFetcher::new().map_err(&wrong)?;
    partner_center::Verifier::new(verifier, Arc::new(fetcher), Arc::clone(&around.clock))
        .map_err(&wrong)
}

pub(super) fn door(
    config: &Config,
    name: &str,
    (settings, webhook): (&PartnerCenterConfig, &WebhookConfig),
    around: &Surroundings,
    metrics: &Arc<Metrics>,
) -> Result<Entrance, AppError> {
    let key = format!("accounts.{name}.partner_center.webhook");
    let verifier = partner_center_verifier(config, name, (settings, webhook), around)?;
    let path_secret =
        optional_secret(config, &format!("{key}.path_secret"), webhook.path_secret.as_ref())?;
    let relay = webhook.relay_url.as_ref().map(|address| {
        HttpRelay::new(name, address, Arc::clone(&around.clock), Arc::clone(metrics))
    });
    let relay = relay.transpose().map_err(settings_error(&format!("{key}.relay_url")))?;
    Ok(Entrance {
        source: Arc::new(verifier),
        path_secret: path_secret.map(|secret| secret.expose_secret().to_owned()),
        relay: relay.map(|relay| Arc::new(relay) as Arc<dyn Relay>),
    })
}

/// The hosts of Partner Center's overridden addresses, which events of another cloud name.
fn overridden_hosts(settings: &PartnerCenterConfig) -> Vec<String> {
    let urls = [&settings.referrals_url, &settings.webhooks_url].into_iter().flatten();
    urls.filter_map(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    })
    .collect()
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{PartnerCenterConfig, overridden_hosts};

    #[test]
    fn the_hosts_of_another_cloud_may_be_named_by_its_events() {
        let text = "tenant_id = 't'\nclient_id = 'c'\n\
                    referrals_url = 'https://api.partner.example.cn/v1.0'\n\
                    webhooks_url = 'http://127.0.0.1:8090'";
        let settings: PartnerCenterConfig = toml::from_str(text).expect("settings");
        assert_eq!(overridden_hosts(&settings), ["api.partner.example.cn", "127.0.0.1:8090"]);
    }
}
