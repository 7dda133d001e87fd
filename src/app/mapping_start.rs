//! Which mapping files an account begins with: those on the disk if they are good, else the version
//! that was in use last. A bad file must not keep the daemon down, nor the commands that repair it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::mapping_versions::{Files, newest};
use super::mappings::compiled;
use super::{AppError, account_name};
use crate::config::{AccountConfig, Config};
use crate::domain::id::CrmName;
use crate::mapping::{Mapping, MappingFolder};
use crate::store::Store;

/// The files that are used from the start on.
pub(super) struct Begun {
    /// Their texts.
    pub(super) files: Files,
    /// What they say, whatever the CRMs have.
    pub(super) whole: Vec<Arc<Mapping>>,
    /// Why the files on the disk are not used, if these are others.
    pub(super) rejected: Option<String>,
}

/// The files on the disk: they compile, every case holds, and every configured CRM has one.
///
/// # Errors
///
/// [`AppError::Settings`] if the folder cannot be read, [`AppError::Mappings`] with every problem.
pub(super) fn of_the_disk(config: &Config, name: &str) -> Result<Begun, AppError> {
    let Some(settings) = config.accounts.get(name) else {
        return Err(AppError::Settings(format!("there is no account {name}")));
    };
    let folder = config.path(&settings.sync.mappings);
    check_folder(name, &folder)?;
    let read = MappingFolder::read(&folder);
    let read = read.map_err(|problems| AppError::Mappings(problems.to_string()))?;
    for warning in read.warnings() {
        tracing::warn!("{warning}");
    }
    let whole = compiled(&read).map_err(AppError::Mappings)?;
    if let Some(crm) = without_a_mapping(settings, &whole) {
        return Err(AppError::Mappings(format!(
            "accounts.{name}.sync.mappings: no mapping file is for {crm}; copy the shipped ones there"
        )));
    }
    Ok(Begun { files: read.texts(), whole, rejected: None })
}

/// The files on the disk, or, where these are bad, the version that `store` kept last.
///
/// # Errors
///
/// As [`of_the_disk`] if no version is kept, or the kept one does not compile with this program;
/// [`AppError::Store`].
pub(super) async fn of_the_disk_or_kept(
    config: &Config,
    store: &dyn Store,
    name: &str,
) -> Result<Begun, AppError> {
    let why = match of_the_disk(config, name) {
        Err(AppError::Mappings(why)) => why,
        other => return other,
    };
    let Some(files) = newest(store, &account_name(name)).await? else {
        return Err(AppError::Mappings(why));
    };
    let kept = MappingFolder::of("the version in use before", &files).compile();
    let whole: Vec<_> = kept.unwrap_or_default().into_iter().map(Arc::new).collect();
    let lacking = config.accounts.get(name).and_then(|own| without_a_mapping(own, &whole));
    if whole.is_empty() || lacking.is_some() {
        return Err(AppError::Mappings(format!(
            "{why}\n\nThe version that was in use before cannot be used with this program or this \
             configuration either."
        )));
    }
    Ok(Begun { files, whole, rejected: Some(why) })
}

/// A configured CRM that no mapping is for.
fn without_a_mapping(settings: &AccountConfig, mappings: &[Arc<Mapping>]) -> Option<CrmName> {
    let dynamics = settings.dynamics365.as_ref().map(|_| CrmName::Dynamics365);
    let salesforce = settings.salesforce.as_ref().map(|_| CrmName::Salesforce);
    let mapped: BTreeSet<CrmName> = mappings.iter().map(|mapping| mapping.crm()).collect();
    dynamics.into_iter().chain(salesforce).find(|crm| !mapped.contains(crm))
}

/// Whether the folder of an account's mapping files can be read.
fn check_folder(name: &str, folder: &Path) -> Result<(), AppError> {
    let read = std::fs::read_dir(folder).map(drop);
    read.map_err(|error| {
        AppError::Settings(format!(
            "accounts.{name}.sync.mappings: the folder {} cannot be read: {error}; copy the shipped \
             mapping files there",
            folder.display()
        ))
    })
}
