//! The clients of the two CRMs.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use super::doors::WEBHOOK_HEADER;
use super::files::{http, optional_secret, sealer, secret, settings_error};
use crate::app::vault::{Requests, Vault};
use crate::config::{Config, Dynamics365Config, SalesforceAuth, SalesforceConfig};
use crate::connect::{dynamics365, salesforce};
use crate::domain::id::AccountName;
use crate::domain::secret::ExposeSecret;
use crate::sync::account::Surroundings;

/// The client of an account's environment of Dynamics 365.
pub(super) fn dynamics365_client(
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

/// The client of an account's organisation of Salesforce.
pub(in crate::app) fn salesforce_client(
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
