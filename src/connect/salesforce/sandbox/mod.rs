//! Emulates one Salesforce organisation on loopback, as far as a synchronisation of sales records
//! needs it, in the shapes that third-party clients expect.
//!
//! * Owns: the state of the organisation, its HTTP surface, the control handle for tests and demos.
//! * May use: `domain`, the shared parts in `connect::sandbox`, and `axum`.
//! * Start reading at [`SalesforceSandbox`]; a request walks `http/transport.rs`, `http/data.rs`,
//!   the file of its resource, then `rows/` for everything that is saved.
//!
//! Implemented:
//! 1. Token endpoint: JWT bearer (RS256 against a registered key or certificate, audience list,
//!    past `exp` refused, far future accepted), client credentials on a My Domain only, refresh
//!    with optional rotation; session ids `00D…!…`, session life, forced expiry; revoke, introspect.
//! 2. userinfo, identity URL, versions 31.0 to 67.0, limits, `Sforce-Limit-Info` on authenticated
//!    calls, 403 at the quota of a rolling 24 hours.
//! 3. 15- and 18-character ids with checksum, `+0000` stamps to the whole second, `Last-Modified`
//!    and `Date` by the emulated clock.
//! 4. Rows: create, read, update, delete, describe, upsert (200, 201, 204 up to v45, 300, 404);
//!    lengths, required, restricted picklists, read-only, hidden and unique fields, trimming,
//!    validation rules, triggers, duplicate rules, converted-lead and approval locks.
//! 5. `OpportunityStage` and `LeadStatus` drive the derived fields.
//! 6. SOQL: columns through relationships, `AND OR NOT`, `IN`, `LIKE`, `ORDER BY`, `LIMIT`,
//!    `OFFSET`, `COUNT()`, `FIELDS()`, date literals, one level of rows below a row, ids that are
//!    `IN` another query; page size, cursors that go stale.
//! 7. Stamps per calling user, moved by equal values too; edits as a person between two requests.
//!    Contact roles, team members and line items, as far as an opportunity depends on them.
//! 8. `If-Unmodified-Since` and `If-Modified-Since` on rows, also inside composites; entity tags
//!    on accounts only; Amount kept where line items exist; lead assignment unless switched off.
//! 9. updated (30 days) and deleted (15 days) with lag, minute granularity, log trimming.
//! 10. composite, batch, graph and collections, with `allOrNone`.
//! 11. Faults: see [`trouble`] and [`crate::connect::sandbox::Faults`].
//! 12. Tooling `CustomField`, `FieldPermissions`, `ObjectPermissions`, permission sets: hidden until
//!     granted. `UserPermissionAccess` tells the system permissions.
//! 13. SOAP `convertLead`; outbound messages with retry.
//! 14. With the cargo feature `pubsub`: change events over gRPC, see `pubsub`.
//!
//! Not implemented: SOSL, `composite/tree`, Bulk, Metadata and Streaming APIs (501 or 404), XML
//! answers, state and country picklists, `GROUP BY`, multi-select picklists, record types,
//! sharing, `defaultNamespace`, conditions on describes, roll-back of triggers' side effects.

mod auth;
mod control;
mod failure;
mod hooks;
mod http;
mod id;
mod options;
mod org;
mod outbound;
#[cfg(feature = "pubsub")]
pub mod pubsub;
mod rows;
mod schema;
mod setup;
mod soap;
mod soql;
mod stamp;
#[cfg(test)]
mod tests;
pub mod trouble;
mod usage;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;

pub use control::CustomField;
pub use failure::Failure;
pub use hooks::{BeforeWrite, DuplicateRule, Rule, Trigger};
pub use options::{SandboxOptions, Stage};
pub use org::{Fields, Org};
pub use outbound::{Delivery, OutboundMessages};
pub use usage::{LoggedRequest, RequestLog};

use super::super::sandbox::{Faults, SandboxClock};

/// One emulated organisation. Clones are the same organisation.
///
/// Serve [`SalesforceSandbox::router`] with [`crate::connect::sandbox::serve`]; steer it with the
/// other methods. They stand for people at the user interface and for admins, so they do not count
/// as API calls and are not held back by faults.
#[derive(Clone)]
pub struct SalesforceSandbox {
    org: Arc<Mutex<Org>>,
    faults: Faults,
}

impl fmt::Debug for SalesforceSandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SalesforceSandbox").finish_non_exhaustive()
    }
}

impl SalesforceSandbox {
    /// A new organisation.
    #[must_use]
    pub fn new(options: SandboxOptions, clock: SandboxClock) -> Self {
        let org = Arc::new(Mutex::new(Org::new(options, clock)));
        Self { org, faults: Faults::default() }
    }

    /// Its HTTP surface.
    pub fn router(&self) -> Router {
        http::router(self.clone())
    }

    /// The faults waiting for requests.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Works on the organisation. Hooks run inside; they must use the [`Org`] they are given and
    /// never this handle, which would wait for itself.
    pub fn with<T>(&self, work: impl FnOnce(&mut Org) -> T) -> T {
        work(&mut self.org.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
