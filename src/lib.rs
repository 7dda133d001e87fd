//! Keeps Microsoft Partner Center co-sell referrals and the opportunities and leads of Dynamics 365
//! and Salesforce in step, both ways.
//!
//! Start reading at `ARCHITECTURE.md`; the way of one change through the modules is drawn there.

#![cfg_attr(
    test,
    allow(clippy::too_many_lines, clippy::type_complexity, reason = "a table of cases is long")
)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod connect;
pub mod domain;
pub mod ingress;
pub mod listen;
pub mod mapping;
pub mod merge;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod sync;
pub mod telemetry;
