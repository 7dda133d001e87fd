//! Speaks to partner_center.

#[cfg(feature = "sandbox")]
pub mod sandbox;
