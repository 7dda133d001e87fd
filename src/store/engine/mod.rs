//! The rules of the store, once, over sorted rows of bytes: what a commit does, whose turn it is,
//! how the trail is chained.
//!
//! * Owns: the layout of keys and values, and every rule that the laws of
//!   [`Store`](super::Store) speak of.
//! * May use: `domain`. No disk, no thread, no clock: an implementation hands in its rows and
//!   applies the changes that come back, so no two implementations can drift apart.
//! * One request is one [`Work`]: it reads through its own changes, and an implementation applies
//!   all of them or, after an error, none.
//!
//! Start reading at [`ending::commit`], which is one whole commit.

pub(super) mod codec;
pub(super) mod deals;
pub(super) mod ending;
pub(super) mod export;
pub(super) mod identity;
pub(super) mod inbox;
pub(super) mod keys;
pub(super) mod lanes;
pub(super) mod ledger;
pub(super) mod named;
pub(super) mod redaction;
pub(super) mod rows;
pub(super) mod trail;
pub(super) mod turn;

pub(super) use rows::{Change, Claims, Rows, Work};
