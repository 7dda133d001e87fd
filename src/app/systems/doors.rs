//! The doors of an account: who may send it webhooks.

use std::sync::Arc;

use super::files::{secret, settings_error};
use super::{AppError, account_name, partner_center};
use crate::config::{AccountConfig, Config};
use crate::connect::webhook::WebhookSource;
use crate::connect::{dynamics365, salesforce};
use crate::domain::id::AccountName;
use crate::domain::secret::ExposeSecret;
use crate::ingress::Entrance;
use crate::sync::account::Surroundings;
use crate::telemetry::metrics::Metrics;

/// The header that carries the shared secret of Dataverse webhooks.
pub(super) const WEBHOOK_HEADER: &str = "x-cosell-sync";

/// The doors of one account.
pub(in crate::app) fn entrances(
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
        let entrance = partner_center::door(config, name, (own, webhook), around, metrics)?;
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
