//! Secrets: never printed, wiped when dropped.

pub use secrecy::{ExposeSecret, SecretString};
