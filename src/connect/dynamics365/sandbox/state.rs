//! Everything the organisation remembers.

use super::data::Data;
use super::options::SandboxOptions;
use super::problem::Problem;
use super::schema::Schema;
use super::token::Tokens;
use crate::connect::sandbox::SandboxClock;
use crate::domain::time::Timestamp;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Method.
    pub method: String,
    /// Path and query as sent; inner requests of a batch are logged one by one.
    pub path: String,
    /// HTTP status of the answer.
    pub status: u16,
}

impl LoggedRequest {
    /// Whether it was to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// Everything the organisation remembers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: SandboxOptions,
    pub(super) clock: SandboxClock,
    pub(super) schema: Schema,
    pub(super) data: Data,
    pub(super) tokens: Tokens,
    pub(super) log: Vec<LoggedRequest>,
    /// Delta tokens of an older version are expired.
    pub(super) delta_floor: u64,
    /// How many requests were answered; numbers `REQ_ID`.
    pub(super) answered: u64,
    /// How many change sets are open, one inside the other.
    pub(super) change_sets: u32,
    /// Users and ids that exist from the start.
    pub(super) ids: FixedIds,
}

/// Rows and ids that exist from the start.
#[derive(Debug, Clone)]
pub(super) struct FixedIds {
    pub(super) organization: String,
    pub(super) business_unit: String,
    pub(super) application_user: String,
    pub(super) person: String,
    pub(super) currency: String,
}

/// Who does something, and in which request.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    /// Id of the user.
    pub(super) user: String,
    /// The user that impersonates `user`.
    pub(super) on_behalf: Option<String>,
    /// `?tag=` of the request.
    pub(super) tag: Option<String>,
    /// The platform itself may write read-only columns and states.
    pub(super) platform: bool,
}

impl Actor {
    pub(super) fn user(user: &str) -> Self {
        Self { user: user.to_owned(), on_behalf: None, tag: None, platform: false }
    }

    /// The same actor, with the rights of the platform.
    pub(super) fn as_platform(&self) -> Self {
        Self { platform: true, ..self.clone() }
    }
}

impl State {
    /// The time now in the form of a row: whole seconds and `Z`.
    pub(super) fn stamp(&self) -> String {
        stamp(self.clock.now())
    }

    /// Runs `work`; if it fails, nothing that it did stays.
    pub(super) fn atomically<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let outermost = self.change_sets == 0;
        if outermost {
            self.data.forget_undo();
        }
        let mark = self.data.mark();
        self.change_sets += 1;
        let result = work(self);
        self.change_sets -= 1;
        if result.is_err() {
            self.data.undo_to(mark);
        }
        if outermost {
            self.data.forget_undo();
        }
        result
    }
}

/// A moment in whole seconds: `2026-03-31T10:00:00Z`.
pub(super) fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{seconds}Z")
}

/// An id that is always the same for the same names.
pub(super) fn stable_guid(space: &str, name: &str) -> String {
    let text = format!("dynamics365 sandbox/{space}/{name}");
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
