//! What the settings name: secrets and certificates, in files or in the environment.

use std::path::Path;

use super::found::Found;
use super::{AccountConfig, Config, SecretSource};
use crate::domain::secret::ExposeSecret;

/// What a secret or a file that a setting names must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Any text.
    Text,
    /// The key of the store: 64 hexadecimal digits.
    StoreKey,
    /// PEM: a private key.
    PrivateKey,
    /// PEM: a certificate and its private key.
    CertificateAndKey,
    /// PEM: at least one certificate.
    Certificates,
}

/// Says whether what was read can be used. The error is a sentence without any part of it.
pub type Judge = fn(Holds, &[u8]) -> Result<(), String>;

/// What is done about a file that is not here.
const ELSEWHERE: &str =
    "put it there, or check with --without-files what is used on another machine";

impl Holds {
    /// How to come by it.
    fn fix(self) -> &'static str {
        match self {
            Self::Text => "put the secret there, alone",
            Self::StoreKey => "make one with `openssl rand -hex 32`",
            Self::PrivateKey => "put the RSA key there, from -----BEGIN to the end of -----END",
            Self::CertificateAndKey => {
                "put the certificate and its RSA key into one file, each from -----BEGIN to the end \
                 of -----END"
            }
            Self::Certificates => {
                "put the certificates there, each from -----BEGIN to the end of -----END"
            }
        }
    }
}

impl Config {
    /// Whether a secret comes from a variable that is not set here.
    #[must_use]
    pub fn lacks_variables(&self) -> bool {
        secrets(self).iter().any(|(.., source)| source.unset_variable().is_some())
    }
}

/// Every secret must have one source.
pub(super) fn check_sources(config: &Config, found: &mut Found<'_>) {
    for (key, _, source) in secrets(config) {
        if !source.is_single() {
            found.lack(
                &key,
                &format!("`{key}` needs exactly one source"),
                "write { file = \"...\" } or { env = \"...\" }",
            );
        }
    }
}

/// Looks at everything that is named. What is not there is a problem; a variable that is not set is
/// a warning, as a daemon has an environment of its own.
pub(super) fn look(config: &Config, folder: &Path, judge: Judge, found: &mut Found<'_>) {
    for (key, holds, source) in secrets(config) {
        if source.is_single() {
            look_at_secret((&key, holds, source), folder, judge, found);
        }
    }
    for (key, file) in files(config) {
        let shown = file.display();
        match std::fs::read(folder.join(file)) {
            Err(error) => {
                found.value(&key, &format!("`{key}`: {shown} cannot be read: {error}"), ELSEWHERE);
            }
            Ok(bytes) => {
                if let Err(why) = judge(Holds::Certificates, &bytes) {
                    let what = format!("`{key}`: {shown} cannot be used: {why}");
                    found.value(&key, &what, Holds::Certificates.fix());
                }
            }
        }
    }
}

fn look_at_secret(
    (key, holds, source): (&str, Holds, &SecretSource),
    folder: &Path,
    judge: Judge,
    found: &mut Found<'_>,
) {
    if let Some(name) = source.unset_variable() {
        let what = format!("`{key}`: the environment variable {name} is not set here");
        found.warn(key, &what, "see that the daemon gets it, or use { file = \"...\" }");
        return;
    }
    #[cfg(unix)]
    if let Some(path) = source.open_file(folder) {
        let path = path.display();
        let what = format!("`{key}`: the secret file {path} can be read by others");
        found.warn(key, &what, &format!("run `chmod 600 {path}`"));
    }
    match source.read_again(key, folder) {
        Err(error) => {
            for problem in error.problems() {
                let fix = if source.is_file() { ELSEWHERE } else { &problem.fix };
                found.value(key, &format!("`{key}`: {}", problem.what), fix);
            }
        }
        Ok(secret) => {
            if let Err(why) = judge(holds, secret.expose_secret().as_bytes()) {
                found.value(key, &format!("`{key}`: {source} cannot be used: {why}"), holds.fix());
            }
        }
    }
}

/// Every secret that is named, with its key.
fn secrets(config: &Config) -> Vec<(String, Holds, &SecretSource)> {
    let mut named: Vec<(String, Holds, Option<&SecretSource>)> = vec![
        ("admin.token".to_owned(), Holds::Text, config.admin.token.as_ref()),
        ("store.encryption_key".to_owned(), Holds::StoreKey, config.store.encryption_key.as_ref()),
    ];
    for (name, account) in &config.accounts {
        let of_account = secrets_of(account).into_iter();
        named.extend(
            of_account
                .map(|(key, holds, source)| (format!("accounts.{name}.{key}"), holds, source)),
        );
    }
    named.into_iter().filter_map(|(key, holds, source)| Some((key, holds, source?))).collect()
}

fn secrets_of(account: &AccountConfig) -> Vec<(&'static str, Holds, Option<&SecretSource>)> {
    use Holds::{CertificateAndKey, PrivateKey, Text};
    let own = &account.partner_center;
    let mut named = vec![
        ("partner_center.client_secret", Text, own.client_secret.as_ref()),
        ("partner_center.certificate", CertificateAndKey, own.certificate.as_ref()),
        ("partner_center.refresh_token", Text, own.refresh_token.as_ref()),
    ];
    if let Some(webhook) = &own.webhook {
        named.push(("partner_center.webhook.path_secret", Text, webhook.path_secret.as_ref()));
    }
    if let Some(crm) = &account.dynamics365 {
        named.extend([
            ("dynamics365.client_secret", Text, crm.client_secret.as_ref()),
            ("dynamics365.certificate", CertificateAndKey, crm.certificate.as_ref()),
            ("dynamics365.webhook_secret", Text, crm.webhook_secret.as_ref()),
        ]);
    }
    if let Some(crm) = &account.salesforce {
        named.extend([
            ("salesforce.private_key", PrivateKey, crm.private_key.as_ref()),
            ("salesforce.client_secret", Text, crm.client_secret.as_ref()),
            ("salesforce.refresh_token", Text, crm.refresh_token.as_ref()),
            ("salesforce.outbound_path_secret", Text, crm.outbound_path_secret.as_ref()),
        ]);
    }
    named
}

/// Every file of certificates that is named, with its key.
fn files(config: &Config) -> Vec<(String, &Path)> {
    let mut named = Vec::new();
    for (name, account) in &config.accounts {
        let own = &account.partner_center;
        let webhook = own.webhook.as_ref();
        let all = [
            ("partner_center.ca_file", own.ca_file.as_deref()),
            ("partner_center.webhook.roots", webhook.map(|webhook| webhook.roots.as_path())),
            (
                "partner_center.webhook.intermediates",
                webhook.and_then(|webhook| webhook.intermediates.as_deref()),
            ),
            (
                "dynamics365.ca_file",
                account.dynamics365.as_ref().and_then(|crm| crm.ca_file.as_deref()),
            ),
            (
                "salesforce.ca_file",
                account.salesforce.as_ref().and_then(|crm| crm.ca_file.as_deref()),
            ),
        ];
        let there = all.into_iter().filter_map(|(key, file)| Some((key, file?)));
        named.extend(there.map(|(key, file)| (format!("accounts.{name}.{key}"), file)));
    }
    named
}
