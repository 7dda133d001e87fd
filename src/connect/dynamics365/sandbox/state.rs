//! Everything the organisation remembers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::options::SandboxOptions;
use super::problem::Problem;
use super::schema::Schema;
use super::token::Tokens;
use super::webhook::WebhookCall;
use crate::connect::sandbox::SandboxClock;
use crate::domain::time::Timestamp;

/// One row. Values are kept by logical name; a lookup is `{"table": …, "id": …}`.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Primary key, lower case.
    pub(super) id: String,
    /// Row version: the number in the ETag, in `versionnumber` and in delta tokens.
    pub(super) version: u64,
    /// Values without nulls.
    pub(super) values: Map<String, Json>,
}

/// A row that is gone.
#[derive(Debug, Clone)]
pub(super) struct Tombstone {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) version: u64,
}

type TableRows = Arc<BTreeMap<String, Arc<Row>>>;

/// What a change set can undo. Cloning is cheap: tables are copied when they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    /// The organisation-wide row version.
    pub(super) version: u64,
    rows: BTreeMap<String, TableRows>,
    /// Rows that are gone, in order of their version.
    pub(super) tombstones: Vec<Tombstone>,
    /// Webhook calls that wait to be sent.
    pub(super) webhooks: VecDeque<WebhookCall>,
    guids: u64,
}

impl Data {
    /// The next row version.
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// A fresh id: repeatable, since it is made from a counter.
    pub(super) fn next_guid(&mut self) -> String {
        self.guids += 1;
        stable_guid("row", &self.guids.to_string())
    }

    /// A row.
    pub(super) fn row(&self, table: &str, id: &str) -> Option<&Arc<Row>> {
        self.rows.get(table)?.get(id)
    }

    /// The rows of a table by id.
    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.get(table).into_iter().flat_map(|rows| rows.values())
    }

    /// Stores a row under a fresh version.
    pub(super) fn put(&mut self, table: &str, mut row: Row) {
        row.version = self.next_version();
        let rows = self.rows.entry(table.to_owned()).or_default();
        Arc::make_mut(rows).insert(row.id.clone(), Arc::new(row));
    }

    /// Removes a row and leaves a tombstone.
    pub(super) fn remove(&mut self, table: &str, id: &str) {
        if let Some(rows) = self.rows.get_mut(table) {
            Arc::make_mut(rows).remove(id);
        }
        let version = self.next_version();
        self.tombstones.push(Tombstone { table: table.to_owned(), id: id.to_owned(), version });
    }
}

/// How often what was asked.
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
        let before = self.data.clone();
        let result = work(self);
        if result.is_err() {
            // The version counter never runs backwards, as in the database below.
            let version = self.data.version;
            self.data = before;
            self.data.version = version;
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
