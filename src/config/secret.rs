//! Where a secret comes from. The secret itself never stands in the configuration.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::ConfigError;

/// `{ file = "/run/secrets/x" }` or `{ env = "X" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    file: Option<PathBuf>,
    env: Option<String>,
}

impl SecretSource {
    /// A secret in a file.
    #[must_use]
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), env: None }
    }

    /// Reads the secret. A relative path starts from `folder`; one line end at its end is cut.
    ///
    /// # Errors
    ///
    /// Names the source, never any part of the secret.
    pub fn read(&self, key: &str, folder: &Path) -> Result<SecretString, ConfigError> {
        let text = match (&self.file, &self.env) {
            (Some(file), None) => std::fs::read_to_string(folder.join(file)).map_err(|error| {
                let what = format!("the secret file {} cannot be read: {error}", file.display());
                ConfigError::secret(
                    key.to_owned(),
                    what,
                    "put the secret there, readable for this user only",
                )
            })?,
            (None, Some(name)) => std::env::var(name).map_err(|_| {
                let what = format!("the environment variable {name} is not set");
                ConfigError::secret(key.to_owned(), what, "set it, or use { file = \"...\" }")
            })?,
            _ => {
                let what = "a secret has exactly one source".to_owned();
                return Err(ConfigError::secret(
                    key.to_owned(),
                    what,
                    "write { file = \"...\" } or { env = \"...\" }",
                ));
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(ConfigError::secret(
                key.to_owned(),
                "the secret is empty".to_owned(),
                "put the secret there",
            ));
        }
        Ok(SecretString::from(text.to_owned()))
    }
}
