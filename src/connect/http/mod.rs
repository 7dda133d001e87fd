//! One layered HTTP client for all connectors: addresses, limits, deadlines, tokens.
//!
//! * Owns: `reqwest` and `governor`; nothing else names them.
//! * Order of one call: the gate a vendor closed (`Retry-After`), the rate limit, the cap on calls in
//!   flight, the call with its deadline, the body up to its cap.
//! * Never retries, never follows a redirect, never uses a proxy of the environment.

pub mod address;
mod client;
pub mod jwt;
mod public;
mod token;

pub use client::{Answer, Call, Http, HttpSettings, Purpose, retry_after};
pub use public::{Fetched, PublicFetch, is_public};
pub use token::{Token, TokenCache, TokenSource, renew_at};
