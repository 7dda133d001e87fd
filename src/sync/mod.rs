//! Takes notices out of the inbox and brings their deals in step, one try at a time.
//!
//! * Owns: the claim loop, the order of side effects, retries, the feeds, deadlines, breakers.
//! * May use: `domain`, `mapping`, `merge`, and the traits of `store` and `connect`. Never a vendor,
//!   never `axum` or `reqwest`.
//! * Order of one try: load the deal, read both sides, plan, record the intent, write, read back,
//!   commit. The commit is last, so a crash anywhere repeats the try; repeating is harmless, because
//!   creates go by key or by a recorded intent and every write is conditional on what was read.
//! * Nothing below this module retries. Two retry loops on top of each other multiply.
//!
//! Start reading at [`worker::Worker::run`], then [`attempt`], which is one whole try.

pub mod account;
mod arrive;
mod attempt;
pub mod breaker;
mod columns;
mod conversion;
mod create;
mod end;
mod entries;
mod execute;
pub mod feeds;
mod holds;
pub mod listen;
mod offer;
mod read;
mod recover;
mod register;
mod related;
pub mod relink;
pub mod retry;
mod shadow;
pub mod stages;
mod standing;
pub mod worker;
mod write;
