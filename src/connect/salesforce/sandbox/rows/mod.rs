//! Saving and deleting rows, with everything that the platform checks on the way.

mod check;
mod children;
mod convert;
mod delete;
mod derive;
mod input;
mod save;

pub(crate) use check::detected;
pub(crate) use convert::{Conversion, Converted};

/// Who saves, and with which wishes.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) user: String,
    /// A client of the API: field-level security holds and the row counts as written by a client.
    pub(crate) client: bool,
    /// Assignment rules may change the owner of a lead.
    pub(crate) assign: bool,
    /// Save in spite of an alert about duplicates.
    pub(crate) allow_duplicates: bool,
}

impl Writer {
    /// Somebody at the user interface.
    pub(crate) fn person(user: &str) -> Self {
        let user = user.to_owned();
        Self { user, client: false, assign: false, allow_duplicates: true }
    }
}
