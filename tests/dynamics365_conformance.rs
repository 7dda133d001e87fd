//! The laws of the `Crm` seam, run against the Dynamics 365 client and its emulator over HTTP.

#[path = "support/crm_laws.rs"]
mod crm_laws;
