//! Speaks to dynamics365.

#[cfg(feature = "sandbox")]
pub mod sandbox;
