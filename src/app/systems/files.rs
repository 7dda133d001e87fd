//! What stands in files: secrets, the store key, certificates.

use std::path::PathBuf;

use super::AppError;
use crate::config::{Config, Holds, SecretSource};
use crate::connect::http::HttpSettings;
use crate::connect::http::jwt::{SigningKey, certificate_der};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::store::seal::Sealer;

/// A sentence about a setting, with the key in front.
pub(super) fn settings_error(key: &str) -> impl Fn(String) -> AppError + '_ {
    move |text| AppError::Settings(format!("{key}: {text}"))
}

pub(super) fn secret(
    config: &Config,
    key: &str,
    source: &SecretSource,
) -> Result<SecretString, AppError> {
    source.read(key, &config.folder).map_err(|error| AppError::Settings(error.to_string()))
}

pub(super) fn optional_secret(
    config: &Config,
    key: &str,
    source: Option<&SecretSource>,
) -> Result<Option<SecretString>, AppError> {
    source.map(|source| secret(config, key, source)).transpose()
}

/// The token of administrators, if one is configured.
pub(in crate::app) fn admin_token(config: &Config) -> Result<Option<SecretString>, AppError> {
    optional_secret(config, "admin.token", config.admin.token.as_ref())
}

/// The sealer for what is kept at rest, if a key is configured.
pub(in crate::app) fn sealer(config: &Config) -> Result<Option<Sealer>, AppError> {
    let key = "store.encryption_key";
    let Some(text) = optional_secret(config, key, config.store.encryption_key.as_ref())? else {
        return Ok(None);
    };
    let bytes = from_hex(text.expose_secret()).ok_or_else(|| {
        AppError::Settings(format!(
            "{key}: the key is not 64 hexadecimal digits; make one with `openssl rand -hex 32`"
        ))
    })?;
    Sealer::new(&bytes).map(Some).map_err(|error| settings_error(key)(error.to_string()))
}

/// Whether what a setting names can be used; the error is a sentence without any part of it.
///
/// # Errors
///
/// The sentence.
pub fn usable(holds: Holds, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match holds {
        Holds::Text => Ok(()),
        Holds::StoreKey => from_hex(text)
            .map(drop)
            .ok_or_else(|| "the key is not 64 hexadecimal digits".to_owned()),
        Holds::PrivateKey => SigningKey::from_pem(bytes).map(drop),
        Holds::CertificateAndKey => {
            certificate_der(bytes).and_then(|_| SigningKey::from_pem(bytes)).map(drop)
        }
        Holds::Certificates => certificate_der(bytes).map(drop),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

pub(super) fn http(
    config: &Config,
    key: &str,
    ca_file: Option<&PathBuf>,
    in_flight: usize,
) -> Result<HttpSettings, AppError> {
    let ca_pem = ca_file.map(|path| std::fs::read(config.path(path))).transpose();
    let ca_pem =
        ca_pem.map_err(|error| settings_error(key)(format!("ca_file cannot be read: {error}")))?;
    Ok(HttpSettings { ca_pem, in_flight, ..HttpSettings::default() })
}
