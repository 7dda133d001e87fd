//! Speaks to Partner Center: sign-in, referrals, the reconciling feed, the webhook slot, and the
//! check of what its webhooks deliver.
//!
//! * Owns: everything that is peculiar to Partner Center's wire. [`Client`] is the seam
//!   [`super::partner_center_seam::PartnerCenter`], [`Verifier`] the seam
//!   [`super::webhook::WebhookSource`].
//! * May use: `domain`, the seams, `connect::http`. Never another vendor.
//! * Nothing retries, except one renewal of the token on a 401. No address that came in an answer or
//!   a webhook is ever called.

mod auth;
mod cause;
mod center;
mod certificate;
mod client;
mod der;
mod envelope;
mod fault;
mod feed;
mod grant;
pub mod login;
mod pinned;
mod referrals;
mod registration;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod seam;
mod settings;
#[cfg(all(test, feature = "sandbox"))]
mod sign_in_tests;
pub mod slot;
#[cfg(test)]
mod testing;
mod webhook;
mod wire;

pub use auth::{KeptToken, RefreshTokenVault, Trial};
pub use cause::Cause;
pub use certificate::Examined;
pub use client::Client;
pub use settings::{Credential, Family, Settings};
pub use webhook::{CertificateFetcher, NetworkFetcher, Verifier, VerifierSettings};
