//! Makes the connectors and doors of an account from its configuration.

use std::sync::Arc;
use std::time::Duration;

use super::relay::HttpRelay;
use super::vault::{Requests, Vault};
use super::{AppError, account_name};
use crate::config::{
    AccountConfig, Config, ConsentSource, Dynamics365Config, PartnerCenterConfig, PrimaryCrm,
    SalesforceAuth, SalesforceConfig, SecretSource, WebhookConfig, WonBefore72h,
};
use crate::connect::crm::Crm;
use crate::connect::http::HttpSettings;
use crate::connect::webhook::WebhookSource;
use crate::connect::{dynamics365, partner_center, salesforce};
use crate::domain::id::{AccountName, CrmName};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::ingress::{Entrance, Relay};
use crate::mapping::Mapping;
use crate::merge::share::{Consent, Person, Sharing};
use crate::merge::view::{Settings, WonEarly};
use crate::store::seal::Sealer;
use crate::sync::account::{Account, Behaviour, CrmPart, Surroundings};
use crate::sync::breaker::Breaker;
use crate::telemetry::metrics::Metrics;

/// The header that carries the shared secret of Dataverse webhooks.
const WEBHOOK_HEADER: &str = "x-cosell-sync";

/// A sentence about a setting, with the key in front.
fn settings_error(key: &str) -> impl Fn(String) -> AppError + '_ {
    move |text| AppError::Settings(format!("{key}: {text}"))
}

/// Builds one account.
pub(super) fn account(
    config: &Config,
    name: &str,
    settings: &AccountConfig,
    mappings: &[Arc<Mapping>],
    partner_center: Arc<partner_center::Client>,
    salesforce: Option<&Arc<salesforce::Salesforce>>,
    around: &Surroundings,
) -> Result<Account, AppError> {
    let account = account_name(name);
    let mut crms = Vec::new();
    if let Some(crm) = &settings.dynamics365 {
        let client = dynamics365_client(config, &account, crm, around)?;
        crms.push(part(Arc::new(client), mappings, name)?);
    }
    if let Some(client) = salesforce {
        crms.push(part(Arc::clone(client) as Arc<dyn Crm>, mappings, name)?);
    }
    let primary_crm = primary(settings);
    crms.sort_by_key(|part| part.name() != primary_crm);
    Ok(Account {
        name: account,
        partner_center,
        crms,
        settings: Settings {
            primary_crm,
            won_before_72h: match settings.sync.won_before_72h {
                WonBefore72h::Send => WonEarly::Send,
                WonBefore72h::Wait => WonEarly::Wait,
            },
            newest_margin: Duration::from_secs(settings.sync.newest_margin_secs),
            time_zone: settings.sync.time_zone.clone(),
        },
        sharing: sharing(settings),
        behaviour: Behaviour {
            leads: settings.sync.leads,
            create_missing: settings.sync.create_missing,
            shadow: settings.sync.shadow,
            hold_foreign_reference: settings.sync.hold_foreign_reference,
            show_waiting_after: Duration::from_secs(settings.sync.show_waiting_secs),
            related_check: Duration::from_secs(settings.partner_center.reconcile_secs),
            list_lag: Duration::from_secs(settings.sync.list_lag_secs),
            ..Behaviour::default()
        },
        breaker: Breaker::default(),
    })
}

/// A CRM with the mappings that are for it.
fn part(crm: Arc<dyn Crm>, mappings: &[Arc<Mapping>], account: &str) -> Result<CrmPart, AppError> {
    let own: Vec<Arc<Mapping>> =
        mappings.iter().filter(|mapping| mapping.crm() == crm.name()).cloned().collect();
    if own.is_empty() {
        return Err(AppError::Settings(format!(
            "accounts.{account}.sync.mappings: no mapping file is for {}; copy the shipped ones there",
            crm.name()
        )));
    }
    Ok(CrmPart::new(crm, own))
}

fn primary(settings: &AccountConfig) -> CrmName {
    match settings.sync.primary_crm {
        Some(PrimaryCrm::Dynamics365) => CrmName::Dynamics365,
        Some(PrimaryCrm::Salesforce) => CrmName::Salesforce,
        None if settings.dynamics365.is_some() => CrmName::Dynamics365,
        None => CrmName::Salesforce,
    }
}

fn sharing(settings: &AccountConfig) -> Sharing {
    let sharing = &settings.sharing;
    Sharing {
        consent: match &sharing.customer_consent {
            Some(ConsentSource::Stated(true)) => Consent::Stated,
            Some(ConsentSource::Field { field }) => Consent::Field(field.clone()),
            Some(ConsentSource::Stated(false)) | None => Consent::Missing,
        },
        default_solution: sharing.default_solution.clone(),
        default_team: sharing
            .default_team
            .iter()
            .map(|person| Person {
                first_name: person.first_name.clone(),
                last_name: person.last_name.clone(),
                phone: person.phone.clone(),
                email: person.email.clone(),
            })
            .collect(),
        marketplace_intent: sharing
            .marketplace_intent
            .clone()
            .unwrap_or_else(|| "HaveNotDecided".to_owned()),
    }
}

fn secret(config: &Config, key: &str, source: &SecretSource) -> Result<SecretString, AppError> {
    source.read(key, &config.folder).map_err(|error| AppError::Settings(error.to_string()))
}

fn optional_secret(
    config: &Config,
    key: &str,
    source: Option<&SecretSource>,
) -> Result<Option<SecretString>, AppError> {
    source.map(|source| secret(config, key, source)).transpose()
}

/// The token of administrators, if one is configured.
pub(super) fn admin_token(config: &Config) -> Result<Option<SecretString>, AppError> {
    optional_secret(config, "admin.token", config.admin.token.as_ref())
}

/// The sealer for what is kept at rest, if a key is configured.
pub(super) fn sealer(config: &Config) -> Result<Option<Sealer>, AppError> {
    let key = "store.encryption_key";
    let Some(text) = optional_secret(config, key, config.store.encryption_key.as_ref())? else {
        return Ok(None);
    };
    let bytes = from_hex(text.expose_secret()).ok_or_else(|| {
        AppError::Settings(format!(
            "{key}: the key is not 64 hexadecimal digits; make one with `openssl rand -hex 32`"
        ))
    })?;
    Sealer::new(&bytes).map(Some).map_err(|error| settings_error(key)(error.to_string()))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn http(
    config: &Config,
    key: &str,
    ca_file: Option<&std::path::PathBuf>,
    in_flight: usize,
) -> Result<HttpSettings, AppError> {
    let ca_pem = ca_file.map(|path| std::fs::read(config.path(path))).transpose();
    let ca_pem =
        ca_pem.map_err(|error| settings_error(key)(format!("ca_file cannot be read: {error}")))?;
    Ok(HttpSettings { ca_pem, in_flight, ..HttpSettings::default() })
}

/// Where the refresh token of an account's partner tenant is kept.
pub(super) fn partner_center_vault(
    config: &Config,
    account: &AccountName,
    around: &Surroundings,
) -> Result<Vault, AppError> {
    Ok(Vault::new(Arc::clone(&around.store), sealer(config)?, account, "partner_center"))
}

/// The client secret, or the certificate with its key, of an account's partner tenant.
pub(super) fn partner_center_secret(
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
pub(super) fn partner_center_client(
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

fn dynamics365_client(
    config: &Config,
    account: &AccountName,
    settings: &Dynamics365Config,
    around: &Surroundings,
) -> Result<dynamics365::Dynamics365, AppError> {
    let key = format!("accounts.{account}.dynamics365");
    let wrong = settings_error(&key);
    let credential = match (&settings.client_secret, &settings.certificate) {
        (_, Some(certificate)) => {
            let pem = secret(config, &format!("{key}.certificate"), certificate)?;
            dynamics365::Credential::Certificate {
                certificate_pem: pem.expose_secret().as_bytes().to_vec(),
                key_pem: pem,
            }
        }
        (Some(source), None) => dynamics365::Credential::Secret(secret(
            config,
            &format!("{key}.client_secret"),
            source,
        )?),
        (None, None) => return Err(wrong("a client_secret or a certificate is needed".to_owned())),
    };
    let mut client = dynamics365::Settings::new(
        settings.url.clone(),
        settings.tenant_id.clone(),
        settings.client_id.clone(),
        credential,
    );
    client.token_url = settings.token_url.clone();
    client.http = http(config, &key, settings.ca_file.as_ref(), 52)?;
    client.forms.clone_from(&settings.forms);
    client.ledger =
        Some(Arc::new(Requests::new(Arc::clone(&around.store), account, "dynamics365")));
    if let (Some(source), Some(public)) = (&settings.webhook_secret, &config.server.public_url) {
        let base = public.as_str().trim_end_matches('/');
        let url = format!("{base}/webhooks/dynamics365/{account}");
        client.webhook = Some(dynamics365::WebhookTarget {
            name: format!("cosell-sync {account}"),
            url: url.parse().map_err(|error: url::ParseError| wrong(error.to_string()))?,
            header: WEBHOOK_HEADER.to_owned(),
            secret: secret(config, &format!("{key}.webhook_secret"), source)?,
        });
    }
    client.daily_budget = settings.daily_requests;
    client.daily_reserve = settings.daily_requests * settings.reserve_percent / 100;
    dynamics365::Dynamics365::new(client, Arc::clone(&around.clock), Arc::clone(&around.randomness))
        .map_err(&wrong)
}

pub(super) fn salesforce_client(
    config: &Config,
    account: &AccountName,
    settings: &SalesforceConfig,
    around: &Surroundings,
) -> Result<salesforce::Salesforce, AppError> {
    let key = format!("accounts.{account}.salesforce");
    let wrong = settings_error(&key);
    let client_id = settings.client_id.clone();
    let client_secret =
        optional_secret(config, &format!("{key}.client_secret"), settings.client_secret.as_ref())?;
    let missing = |name: &str| wrong(format!("`{name}` is missing"));
    let auth = match settings.auth {
        SalesforceAuth::Jwt => salesforce::Auth::Jwt {
            client_id,
            username: settings.username.clone().ok_or_else(|| missing("username"))?,
            private_key: optional_secret(
                config,
                &format!("{key}.private_key"),
                settings.private_key.as_ref(),
            )?
            .ok_or_else(|| missing("private_key"))?,
            audience: settings.audience.clone(),
        },
        SalesforceAuth::ClientCredentials => salesforce::Auth::ClientCredentials {
            client_id,
            secret: client_secret.ok_or_else(|| missing("client_secret"))?,
        },
        SalesforceAuth::RefreshToken => salesforce::Auth::RefreshToken {
            client_id,
            secret: client_secret,
            refresh_token: optional_secret(
                config,
                &format!("{key}.refresh_token"),
                settings.refresh_token.as_ref(),
            )?,
        },
    };
    let mut client = salesforce::Settings::new(settings.url.clone(), auth);
    client.token_url = settings.token_url.clone();
    client.api_version = settings.api_version.clone();
    client.http = http(config, &key, settings.ca_file.as_ref(), 20)?;
    client.duplicate_rule_allow_save = settings.allow_duplicates;
    client.feed_overlap = Duration::from_secs(settings.overlap_secs);
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    let reserve = settings.reserve_percent as f64 / 100.0;
    client.events = settings.pubsub.as_ref().map(|pubsub| salesforce::EventSettings {
        url: pubsub.url.clone(),
        opportunity_topic: pubsub.opportunity_topic.clone(),
        lead_topic: pubsub.lead_topic.clone(),
        at_once: pubsub.events_at_once,
    });
    client.people_reserve = reserve;
    client.hard_reserve = reserve / 4.0;
    let vault = Vault::new(Arc::clone(&around.store), sealer(config)?, account, "salesforce");
    let (clock, randomness) = (Arc::clone(&around.clock), Arc::clone(&around.randomness));
    salesforce::Salesforce::new(client, clock, randomness, Some(Arc::new(vault))).map_err(&wrong)
}

/// The doors of one account.
pub(super) fn entrances(
    config: &Config,
    name: &str,
    settings: &AccountConfig,
    salesforce: Option<&Arc<salesforce::Salesforce>>,
    around: &Surroundings,
    metrics: &Arc<Metrics>,
) -> Result<Vec<(String, AccountName, Entrance)>, AppError> {
    let mut entrances = Vec::new();
    if let Some(webhook) = &settings.partner_center.webhook {
        let own = &settings.partner_center;
        let entrance = partner_center_door(config, name, (own, webhook), around, metrics)?;
        entrances.push(("partner-center".to_owned(), account_name(name), entrance));
    }
    if let Some(source) = settings.dynamics365.as_ref().and_then(|crm| crm.webhook_secret.as_ref())
    {
        let key = format!("accounts.{name}.dynamics365.webhook_secret");
        let hook = dynamics365::DataverseHook::new(
            secret(config, &key, source)?,
            dynamics365::SecretPlace::Header(WEBHOOK_HEADER.to_owned()),
            None,
        );
        let source = Arc::new(hook.map_err(settings_error(&key))?);
        entrances.push((
            "dynamics365".to_owned(),
            account_name(name),
            Entrance { source, path_secret: None, relay: None },
        ));
    }
    if let (Some(crm), Some(client)) = (settings.salesforce.as_ref(), salesforce)
        && let Some(secret_source) = &crm.outbound_path_secret
    {
        let key = format!("accounts.{name}.salesforce.outbound_path_secret");
        let path_secret = secret(config, &key, secret_source)?.expose_secret().to_owned();
        // Outbound messages are not signed: the client knows which organisation is ours. It is the
        // one that the worker uses, because a second one would rotate the refresh token away.
        let source = Arc::clone(client) as Arc<dyn WebhookSource>;
        let entrance = Entrance { source, path_secret: Some(path_secret), relay: None };
        entrances.push(("salesforce".to_owned(), account_name(name), entrance));
    }
    Ok(entrances)
}

/// What checks the events of an account's partner tenant.
pub(super) fn partner_center_verifier(
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

fn partner_center_door(
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
