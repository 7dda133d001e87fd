//! Decides what is written where. Pure: both sides and the base in, a plan out.
//!
//! * Owns: the three-way merge, the lifecycle, sharing, the account match, the sentences for sellers,
//!   and what becomes the base after a write or a lost answer.
//! * May use: `domain`, `mapping`. No store, no network, no clock.
//! * Invariants: equal values are never written; a value is only overwritten if it is unchanged since
//!   both sides agreed, or is named in a [`Conflict`](crate::domain::deal::Conflict); nothing leaves
//!   a terminal state; sharing and asking for help need an explicit value in the record.
//!
//! Start reading at [`plan::plan`].

pub mod account;
pub mod deadline;
pub mod field;
pub mod plan;
pub mod registration;
pub mod sentence;
pub mod settle;
pub mod share;
pub mod stage;
pub mod view;
