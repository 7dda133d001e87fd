//! Makes the connectors and doors of an account from its configuration.

mod crms;
mod doors;
mod files;
mod partner_center;

use std::sync::Arc;
use std::time::Duration;

use super::{AppError, account_name};
use crate::config::{AccountConfig, Config, ConsentSource, PrimaryCrm, WonBefore72h};
use crate::connect::crm::Crm;
use crate::connect::partner_center::Client;
use crate::connect::salesforce;
use crate::domain::id::CrmName;
use crate::mapping::Mapping;
use crate::merge::share::{Consent, Person, Sharing};
use crate::merge::view::{Settings, WonEarly};
use crate::sync::account::{Account, Behaviour, CrmPart, Surroundings};
use crate::sync::breaker::Breaker;

pub(super) use crms::salesforce_client;
pub(super) use doors::entrances;
pub use files::usable;
pub(super) use files::{admin_token, sealer};
pub(super) use partner_center::{
    partner_center_client, partner_center_secret, partner_center_vault, partner_center_verifier,
};

/// Builds one account.
pub(super) fn account(
    config: &Config,
    name: &str,
    settings: &AccountConfig,
    mappings: &[Arc<Mapping>],
    partner_center: Arc<Client>,
    salesforce: Option<&Arc<salesforce::Salesforce>>,
    around: &Surroundings,
) -> Result<Account, AppError> {
    let account = account_name(name);
    let mut crms = Vec::new();
    if let Some(crm) = &settings.dynamics365 {
        let client = crms::dynamics365_client(config, &account, crm, around)?;
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
