//! Where a secret comes from. The secret itself never stands in the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::ConfigError;

/// `{ file = "/run/secrets/x" }` or `{ env = "X" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    file: Option<PathBuf>,
    env: Option<String>,
}

impl fmt::Display for SecretSource {
    /// Where it comes from, in words; never the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.env) {
            (Some(file), _) => write!(formatter, "what stands in {}", file.display()),
            (None, Some(name)) => write!(formatter, "the environment variable {name}"),
            (None, None) => formatter.write_str("nothing"),
        }
    }
}

/// What is told wherever something else than a source is found. It never repeats what was found:
/// that is most likely the secret.
pub(super) const NO_SECRET_HERE: &str =
    "a secret never stands here; write { file = \"...\" } or { env = \"...\" }";

/// The keys of a source.
const KEYS: &[&str] = &["file", "env"];

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Text of a source. What is no text is refused without being repeated.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

/// Refuses every kind of value but those the visitor takes, without the words of serde, which
/// repeat the value.
macro_rules! refuse_without_repeating {
    ($($name:ident: $kind:ty),+ $(,)?) => {
        $(fn $name<E: serde::de::Error>(self, _found: $kind) -> Result<Self::Value, E> {
            Err(E::custom(NO_SECRET_HERE))
        })+

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(A::Error::custom(NO_SECRET_HERE))
        }
    };
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{ file = \"...\" } or { env = \"...\" }")
    }

    refuse_without_repeating!(
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str,
        visit_bytes: &[u8],
    );

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let mut source = SecretSource { file: None, env: None };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "file" => source.file = Some(PathBuf::from(map.next_value::<Text>()?.0)),
                "env" => source.env = Some(map.next_value::<Text>()?.0),
                // What is close to a key is a typing error; anything else may be the secret.
                _ if KEYS.iter().any(|known| strsim::jaro_winkler(known, &key) > 0.7) => {
                    return Err(A::Error::unknown_field(&key, KEYS));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(NO_SECRET_HERE));
                }
            }
        }
        Ok(source)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text")
    }

    refuse_without_repeating!(
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_bytes: &[u8],
    );

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(A::Error::custom(NO_SECRET_HERE))
    }
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
        #[cfg(unix)]
        if let Some(path) = self.open_file(folder) {
            let path = path.display();
            tracing::warn!("The secret file {path} can be read by others; run `chmod 600 {path}`");
        }
        self.read_again(key, folder)
    }

    /// Whether the secret can be replaced while the program runs: not one of the environment.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether exactly one place is named.
    pub(super) fn is_single(&self) -> bool {
        self.file.is_some() != self.env.is_some()
    }

    /// The variable that is named, if it is not set.
    pub(super) fn unset_variable(&self) -> Option<&str> {
        self.env.as_deref().filter(|name| std::env::var_os(name).is_none())
    }

    /// The file that is named, if others can read it.
    #[cfg(unix)]
    pub(super) fn open_file(&self, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(self.file.as_ref()?);
        std::fs::metadata(&path).is_ok_and(|metadata| is_open(&metadata)).then_some(path)
    }

    /// As [`SecretSource::read`], without a word about who else can read it.
    ///
    /// # Errors
    ///
    /// As [`SecretSource::read`].
    pub fn read_again(&self, key: &str, folder: &Path) -> Result<SecretString, ConfigError> {
        let text = match (&self.file, &self.env) {
            (Some(file), None) => std::fs::read_to_string(folder.join(file)).map_err(|error| {
                let what = format!("the secret file {} cannot be read: {error}", file.display());
                ConfigError::secret(
                    key.to_owned(),
                    what,
                    "put the secret there, readable for this user only",
                )
            })?,
            (None, Some(name)) => std::env::var(name).map_err(|error| {
                let unset = error == std::env::VarError::NotPresent;
                let why = if unset { "is not set" } else { "is not text in UTF-8" };
                let what = format!("the environment variable {name} {why}");
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

/// Whether group or others can read a file.
#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o044 != 0
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_that_others_can_read_is_noticed() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).expect("set");
            let metadata = file.path().metadata().expect("metadata");
            assert_eq!(super::is_open(&metadata), open, "{mode:o}");
        }
    }
}
