//! The configuration: one TOML file, overridden by the environment, checked before anything starts.
//!
//! * Owns: the shape of `config.example.toml`, one file for each table.
//! * May use: `domain`. Nothing starts here; `app` makes running parts out of it.
//! * Unknown keys are errors with the line and the nearest valid name. Secrets come from files or the
//!   environment and never stand in the file.

mod account;
mod error;
mod found;
mod named;
mod overlay;
mod partner_center;
mod secret;
mod server;
mod shape;
mod systems;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

use self::found::Found;

pub use account::{
    ConsentSource, PersonConfig, PrimaryCrm, SharingConfig, SyncConfig, WonBefore72h,
};
pub use error::{ConfigError, ConfigProblem};
pub use named::{Holds, Judge};
pub use overlay::PREFIX;
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
        let (shown, text, folder) = read(path)?;
        Self::parse(&shown, &text, folder, environment)
    }

    /// As [`Config::load`], and looks at every secret and certificate that the file names too; nothing
    /// else than these files and the environment is asked. Also returns what is only worth a warning:
    /// variables of secrets that are not set here, because a daemon has an environment of its own.
    ///
    /// # Errors
    ///
    /// As [`Config::load`]; a file that is missing or does not hold what it should is a problem too.
    pub fn examine(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
        judge: Judge,
    ) -> Result<(Self, Vec<ConfigProblem>), ConfigError> {
        let (shown, text, folder) = read(path)?;
        Self::read(&shown, &text, folder, environment, Some(judge))
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
        Self::read(file, text, folder, environment, None).map(|(config, _)| config)
    }

    fn read(
        file: &str,
        text: &str,
        folder: PathBuf,
        environment: impl Iterator<Item = (String, String)>,
        judge: Option<Judge>,
    ) -> Result<(Self, Vec<ConfigProblem>), ConfigError> {
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
            named::check_sources(config, &mut found);
        }
        if let (Some(config), Some(judge)) = (&config, judge) {
            named::look(config, &folder, judge, &mut found);
        }
        let warnings = found.end()?;
        let unread = || ConfigError::unreadable(file, &std::io::ErrorKind::InvalidData.into());
        Ok((Self { folder, ..config.ok_or_else(unread)? }, warnings))
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
        self.check_listeners(found);
        for (name, account) in &self.accounts {
            account.check(found, name);
        }
        self.check_organizations(found);
    }

    /// One address cannot be listened on twice.
    fn check_listeners(&self, found: &mut Found<'_>) {
        let (public, admin) = (self.server.listen, self.admin.listen);
        let overlap = public.ip() == admin.ip()
            || public.ip().is_unspecified()
            || admin.ip().is_unspecified();
        if public.port() == admin.port() && public.port() != 0 && overlap {
            found.value(
                "admin.listen",
                &format!(
                    "`admin.listen` is {admin}, which `server.listen` ({public}) takes already"
                ),
                "give the admin interface another port, such as 127.0.0.1:8081",
            );
        }
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

/// The name of a file as it is shown, its text and its folder.
fn read(path: &Path) -> Result<(String, String, PathBuf), ConfigError> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(&shown, &error))?;
    Ok((shown, text, path.parent().map(Path::to_path_buf).unwrap_or_default()))
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

#[cfg(test)]
mod tests;
