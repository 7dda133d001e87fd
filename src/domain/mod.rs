//! Plain values that every other module speaks: ids, times, records, deals, notices, audit entries.
//!
//! * Owns: the vocabulary of the field (referral, engagement, record, deal, link, base, intent).
//! * May use: nothing of ours; no I/O, no async, no ambient clock.

pub mod audit;
pub mod clock;
pub mod deal;
pub mod digest;
pub mod hold;
pub mod id;
pub mod notice;
pub mod record;
pub mod referral;
pub mod secret;
pub mod stage;
pub mod time;
pub mod value;
