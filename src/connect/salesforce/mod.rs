//! Speaks to salesforce.

#[cfg(feature = "sandbox")]
pub mod sandbox;
