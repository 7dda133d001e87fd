//! A CRM that tells of changes as they happen: hints that come sooner than the next poll.
//!
//! An event is never believed. It names records; whoever works on one reads it afresh, and the poll
//! of [`super::crm::Crm::changes`] finds whatever no event told of.

use async_trait::async_trait;

use super::error::ConnectError;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::Shape;

/// Opens streams of events.
#[async_trait]
pub trait EventSource: Send + Sync {
    /// Opens the stream of events about one kind of record, after `place`; from now on without one.
    ///
    /// [`ConnectError::CursorExpired`] if the place is no longer accepted, here or by the stream:
    /// events were lost, so the change feed must be read.
    async fn listen(
        &self,
        kind: RecordKind,
        place: Option<&str>,
    ) -> Result<Box<dyn EventStream>, ConnectError>;
}

/// One open stream. It is over after an error.
#[async_trait]
pub trait EventStream: Send {
    /// Waits for the next batch. The one before must be durable by now: only then are more events
    /// asked for. `shape` names the fields that say whether a record begins to concern us.
    async fn next(&mut self, shape: &Shape) -> Result<EventBatch, ConnectError>;
}

/// Events that arrived together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventBatch {
    /// The records they name.
    pub hints: Vec<EventHint>,
    /// Something changed that no hint names: the change feed must be read.
    pub behind: bool,
    /// Where the stream stands after this batch, opaque; `None` if it has not moved.
    pub place: Option<String>,
}

/// A record that an event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHint {
    /// Which.
    pub id: RecordId,
    /// The event's name, for tracing.
    pub event: String,
    /// Equal for the same event, delivered again.
    pub event_id: String,
    /// The event shows that the record is shared or carries a referral, so that it concerns us even
    /// if no deal is known for it.
    pub concerns_us: bool,
}
