//! The configuration: one TOML file, overridden by the environment, checked before anything starts.
//!
//! * Owns: the shape of `config.example.toml`, one file for each table.
//! * May use: `domain`. Nothing starts here; `app` makes running parts out of it.
//! * Unknown keys are errors with the line and the nearest valid name. Secrets come from files or the
//!   environment and never stand in the file.

mod account;
mod error;
mod found;
mod overlay;
mod partner_center;
mod secret;
mod server;
mod shape;
mod systems;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

use self::found::Found;

pub use account::{
    ConsentSource, PersonConfig, PrimaryCrm, SharingConfig, SyncConfig, WonBefore72h,
};
pub use error::{ConfigError, ConfigProblem};
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
    /// Every problem at once, each with file, line, column and how to fix it.
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
        let overrides = overlay::overrides(environment);
        let variables = overrides.iter().map(|one| one.name.as_str()).collect();
        let mut found = Found::new(file, text, variables);
        let (mut root, broken) = DeTable::parse_recoverable(text);
        for error in &broken {
            let (what, fix) = error::explain(error.message());
            found.at(error.span().unwrap_or_default().start, what, fix);
        }
        // What follows a broken line would be taken for something else.
        let config = if broken.is_empty() {
            overlay::apply(root.get_mut(), text.len(), &overrides);
            found.learn(root.get_ref());
            shape::read(root, &mut found)
        } else {
            None
        };
        if let Some(config) = &config {
            config.check(&mut found);
        }
        found.end()?;
        let unread = || ConfigError::unreadable(file, &std::io::ErrorKind::InvalidData.into());
        Ok(Self { folder, ..config.ok_or_else(unread)? })
    }

    /// What types alone cannot say.
    fn check(&self, found: &mut Found<'_>) {
        if self.accounts.is_empty() {
            found.lack(
                "",
                "no account is configured",
                "add a table such as [accounts.contoso.partner_center]",
            );
        }
        self.server.check(found);
        self.admin.check(found);
        for (name, account) in &self.accounts {
            account.check(found, name);
        }
        self.check_organizations(found);
    }

    /// Two accounts that write into one CRM would fight each other.
    fn check_organizations(&self, found: &mut Found<'_>) {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, account) in &self.accounts {
            let dynamics365 = account.dynamics365.iter().map(|crm| ("dynamics365", &crm.url));
            let salesforce = account.salesforce.iter().map(|crm| ("salesforce", &crm.url));
            for (crm, url) in dynamics365.chain(salesforce) {
                let key = url.as_str().trim_end_matches('/').to_ascii_lowercase();
                if let Some(other) = seen.insert(key, name) {
                    found.lack(
                        &format!("accounts.{name}.{crm}"),
                        &format!("the accounts `{other}` and `{name}` both write into {url}"),
                        "keep one of them",
                    );
                }
            }
        }
    }

    /// A path of the file, from the folder of the file.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl AccountConfig {
    fn check(&self, found: &mut Found<'_>, name: &str) {
        let plain = !name.is_empty()
            && name.chars().all(|letter| {
                letter.is_ascii_lowercase()
                    || letter.is_ascii_digit()
                    || letter == '-'
                    || letter == '_'
            });
        let table = format!("accounts.{name}");
        if !plain {
            found.value(
                &table,
                &format!("`{name}` cannot be the name of an account"),
                "use lower-case letters, digits, - and _; it becomes part of the webhook address",
            );
        }
        if self.dynamics365.is_none() && self.salesforce.is_none() {
            found.lack(
                &table,
                &format!("the account `{name}` has no CRM"),
                &format!("add [accounts.{name}.dynamics365] or [accounts.{name}.salesforce]"),
            );
        }
        self.partner_center.check(found, name);
        if let Some(crm) = &self.dynamics365 {
            crm.check(found, name);
        }
        if let Some(crm) = &self.salesforce {
            crm.check(found, name);
        }
        self.sync.check(found, name, self.dynamics365.is_some(), self.salesforce.is_some());
        self.sharing.check(found, name);
    }
}

/// Refuses an address that may not carry credentials.
fn check_address(found: &mut Found<'_>, key: &str, url: &url::Url) {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        found.value(
            key,
            &format!("`{key}` is {url}, which would send credentials in the open"),
            "use https; plain http is accepted for loopback addresses only",
        );
    }
}

/// Refuses a number outside its range.
fn check_range(found: &mut Found<'_>, key: &str, value: u64, low: u64, high: u64) {
    if !(low..=high).contains(&value) {
        found.value(key, &format!("`{key}` is {value}"), &format!("choose {low} to {high}"));
    }
}

#[cfg(test)]
mod tests;
