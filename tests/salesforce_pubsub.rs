//! Change events of Salesforce over gRPC: the client against the emulator, the whole daemon with
//! polls an hour apart, and the emulator as a client sees it that others wrote.
//!
//! Run with `cargo test --features pubsub --test salesforce_pubsub`.
#![cfg(all(feature = "pubsub", feature = "sandbox"))]

#[allow(dead_code, unused_imports, reason = "shared with the tests that poll")]
#[path = "it/support/mod.rs"]
mod support;

mod pubsub {
    mod daemon;
    mod stream;
    mod third_party;
}
