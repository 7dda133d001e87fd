//! A source of webhooks, seen from the door: bytes in, hints out.

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::id::{RecordKey, ReferralId};

/// Checks a delivery and says what it is about. Laws: one changed byte is refused; a replay gives
/// the same [`Delivery`]; nothing in the payload is ever dereferenced.
#[async_trait]
pub trait WebhookSource: Send + Sync {
    /// Checks the delivery over its raw bytes.
    async fn accept(
        &self,
        headers: &[(String, String)],
        query: Option<&str>,
        body: &Bytes,
    ) -> Result<Delivery, Refused>;
}

/// A genuine delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What it hints at, one entry for each record.
    pub hints: Vec<Hint>,
    /// Lower-case hex SHA-256 of the body: equal for a replay.
    pub fingerprint: String,
    /// What to answer with besides 200, for a protocol that wants a body (SOAP acknowledgement).
    pub answer: Option<(String, String)>,
}

/// What one part of a delivery hints at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A referral may have changed.
    Referral {
        /// Which.
        id: ReferralId,
        /// The event's name, at most 64 characters.
        event: String,
    },
    /// A CRM record may have changed.
    Record {
        /// Which.
        key: RecordKey,
        /// The event's name, at most 64 characters.
        event: String,
    },
    /// A valid event that says nothing to us (a test, another product's event).
    Unused {
        /// The event's name, at most 64 characters.
        event: String,
    },
    /// A valid event from which no usable id can be taken: a dead letter.
    Unusable {
        /// The event's name, at most 64 characters.
        event: String,
        /// Why.
        reason: String,
    },
}

/// Why a delivery is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 400: a header the protocol demands is missing.
    #[error("missing header: {0}")]
    MissingHeader(&'static str),
    /// 401: not signed, or not by the expected signer.
    #[error("not authentic: {0}")]
    NotAuthentic(String),
    /// 400: authentic, but not an event.
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// 503: the signer's certificate cannot be had right now; the sender must try again.
    #[error("cannot verify now: {0}")]
    CannotVerify(String),
}
