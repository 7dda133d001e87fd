//! The whole daemon on real sled between the three emulators, over real HTTP.
//!
//! Every test starts its own emulators, files and daemon. People act on the emulators; then the test
//! waits until the systems show what they must, and [`World::finish`] checks that the ledger
//! balances, that nothing due is left, that the audit chain is whole and that nobody writes any more.

#![cfg(feature = "sandbox")]

mod accounts;
mod burst;
mod door;
mod dynamics;
mod echo;
mod leads;
mod lifecycle;
mod lifecycle_rules;
mod lists;
mod lost_answers;
mod mapping_care;
mod mappings;
mod outages;
mod records;
mod relink;
mod restarts;
mod salesforce;
mod shadow;
mod sharing;
mod standing;
mod support;
mod table;
