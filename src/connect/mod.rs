//! The outside: one seam for each kind of system, and the folders that speak to the real ones.
//!
//! * Owns: the traits [`crm::Crm`], [`partner_center_seam::PartnerCenter`],
//!   [`webhook::WebhookSource`] and [`events::EventSource`], the errors sorted by what the worker does next, the shared HTTP
//!   client.
//! * May use: `domain`. Never the store, the merge, the mapping or the worker.
//! * Nothing in here retries, except one token refresh on a 401.

pub mod crm;
pub mod dynamics365;
pub mod error;
pub mod events;
pub mod evidence;
pub mod http;

pub mod partner_center;
pub mod partner_center_seam;
pub mod salesforce;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod webhook;
