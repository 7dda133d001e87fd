//! The configuration: one TOML file, overridden by the environment, checked before anything starts.
//!
//! * Owns: the shape of `config.example.toml`, one file for each table.
//! * May use: `domain`. Nothing starts here; `app` makes running parts out of it.
//! * Unknown keys are errors with the line and the nearest valid name. Secrets come from files or the
//!   environment and never stand in the file.

mod account;
mod error;
mod overlay;
mod partner_center;
mod secret;
mod server;
mod systems;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use account::{
    ConsentSource, PersonConfig, PrimaryCrm, SharingConfig, SyncConfig, WonBefore72h,
};
pub use error::ConfigError;
pub use partner_center::{PartnerCenterConfig, WebhookConfig};
pub use secret::SecretSource;
pub use server::{AdminConfig, ServerConfig, StoreBackend, StoreConfig};
pub use systems::{Dynamics365Config, PubSubConfig, SalesforceAuth, SalesforceConfig};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`: the public listener.
    pub server: ServerConfig,
    /// `[admin]`: the listener of the admin interface.
    #[serde(default)]
    pub admin: AdminConfig,
    /// `[store]`: where everything that must survive is kept.
    pub store: StoreConfig,
    /// `[accounts.NAME]`: one table for each account.
    pub accounts: BTreeMap<String, AccountConfig>,
    /// The folder that relative paths start from: that of the file.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[accounts.NAME]`: one Partner Center tenant with its CRMs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// `[accounts.NAME.partner_center]`.
    pub partner_center: PartnerCenterConfig,
    /// `[accounts.NAME.dynamics365]`.
    pub dynamics365: Option<Dynamics365Config>,
    /// `[accounts.NAME.salesforce]`.
    pub salesforce: Option<SalesforceConfig>,
    /// `[accounts.NAME.sync]`.
    pub sync: SyncConfig,
    /// `[accounts.NAME.sharing]`.
    #[serde(default)]
    pub sharing: SharingConfig,
}

impl Config {
    /// Reads and checks a file, with `environment` on top.
    ///
    /// # Errors
    ///
    /// One sentence with file, line, column and how to fix it.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::unreadable(&shown, &error))?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::parse(&shown, &text, folder, environment)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(
        file: &str,
        text: &str,
        folder: PathBuf,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let read: Result<Self, _> = toml::from_str(text);
        let overrides = overlay::overrides(environment);
        let mut config = if overrides.is_empty() {
            read.map_err(|error| ConfigError::in_file(file, text, &error))?
        } else {
            overlay::apply(file, text, &overrides)?
        };
        config.folder = folder;
        config.check(file)?;
        Ok(config)
    }

    /// What types alone cannot say.
    fn check(&self, file: &str) -> Result<(), ConfigError> {
        if self.accounts.is_empty() {
            return Err(ConfigError::plain(
                file,
                "no account is configured",
                "add a table such as [accounts.contoso.partner_center]",
            ));
        }
        self.server.check(file)?;
        self.admin.check(file)?;
        for (name, account) in &self.accounts {
            account.check(file, name)?;
        }
        self.check_organizations(file)
    }

    /// Two accounts that write into one CRM would fight each other.
    fn check_organizations(&self, file: &str) -> Result<(), ConfigError> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, account) in &self.accounts {
            let urls = account
                .dynamics365
                .iter()
                .map(|crm| &crm.url)
                .chain(account.salesforce.iter().map(|crm| &crm.url));
            for url in urls {
                let key = url.as_str().trim_end_matches('/').to_ascii_lowercase();
                if let Some(other) = seen.insert(key, name) {
                    return Err(ConfigError::plain(
                        file,
                        &format!("the accounts `{other}` and `{name}` both write into {url}"),
                        "keep one of them",
                    ));
                }
            }
        }
        Ok(())
    }

    /// A path of the file, from the folder of the file.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl AccountConfig {
    fn check(&self, file: &str, name: &str) -> Result<(), ConfigError> {
        let plain = !name.is_empty()
            && name.chars().all(|letter| {
                letter.is_ascii_lowercase()
                    || letter.is_ascii_digit()
                    || letter == '-'
                    || letter == '_'
            });
        if !plain {
            return Err(ConfigError::plain(
                file,
                &format!("`{name}` cannot be the name of an account"),
                "use lower-case letters, digits, - and _; it becomes part of the webhook address",
            ));
        }
        if self.dynamics365.is_none() && self.salesforce.is_none() {
            return Err(ConfigError::plain(
                file,
                &format!("the account `{name}` has no CRM"),
                &format!("add [accounts.{name}.dynamics365] or [accounts.{name}.salesforce]"),
            ));
        }
        self.partner_center.check(file, name)?;
        if let Some(crm) = &self.dynamics365 {
            crm.check(file, name)?;
        }
        if let Some(crm) = &self.salesforce {
            crm.check(file, name)?;
        }
        self.sync.check(file, name, self.dynamics365.is_some(), self.salesforce.is_some())?;
        self.sharing.check(file, name)
    }
}

/// Refuses an address that may not carry credentials.
fn check_address(file: &str, key: &str, url: &url::Url) -> Result<(), ConfigError> {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || url.scheme() == "http" && loopback {
        return Ok(());
    }
    Err(ConfigError::plain(
        file,
        &format!("`{key}` is {url}, which would send credentials in the open"),
        "use https; plain http is accepted for loopback addresses only",
    ))
}

/// Refuses a number outside its range.
fn check_range(file: &str, key: &str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::plain(
        file,
        &format!("`{key}` is {value}"),
        &format!("choose {low} to {high}"),
    ))
}

#[cfg(test)]
mod tests;
