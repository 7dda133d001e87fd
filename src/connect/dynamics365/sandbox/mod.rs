//! Emulates Dynamics 365 Sales on loopback: the token endpoint and the Dataverse Web API.
//!
//! * Owns: the organisation's rows, schema, change feed, webhooks and tokens, and the handle by
//!   which a test or the demo plays the people and the administrator of that organisation.
//! * May use: `domain` and the parts that all emulators share. It knows nothing of our client and
//!   follows the protocol reference instead; third-party clients are run against it in tests.
//! * Every request is one plain function from a call to an answer under one lock, so a batch runs
//!   its parts through the same door, and a failed change set is undone by restoring the rows.
//!
//! Start reading at `dispatch`, which maps addresses to meanings.
//!
//! # What is emulated
//!
//! 1. Token endpoint with a secret or a signed assertion (PS256, RS256), expiry by the clock, 401
//!    challenge, 403 for an application that is no member.
//! 2. `WhoAmI`, `x-ms-dop-hint`.
//! 3. Rows of the sales, customer and platform tables with typed columns, limits and error codes;
//!    `PATCH` as upsert, alternate keys, `If-Match`, `If-None-Match`, one row version for the
//!    organisation, states of opportunity and lead, deep insert, impersonation by `MSCRMCallerID`.
//! 4. `$select`, `$filter`, `$orderby`, `$top`, `$count`, `$expand`, pages; `$skip` is refused.
//! 5. The change feed with tombstones, forbidden options and expiry by time and by schema change.
//! 6. `WinOpportunity`, `LoseOpportunity`, `QualifyLead`, reopening and disqualifying; `Merge` of
//!    leads, accounts and contacts.
//! 7. Definitions of tables, columns and keys; new columns and keys; change tracking; publishing.
//! 8. Webhooks: endpoints, steps, asynchronous delivery to loopback, one more try after 502 to
//!    504, stripping of large bodies, failure rows.
//! 9. `$batch` and the three bulk actions.
//! 11. Lines of opportunities: totals, and the estimate where it is *System Calculated*.
//! 12. Main forms of opportunity and lead as XML, of which only the controls are understood.
//! 13. `RetrieveUserPrivileges`, and 403 for a privilege that is withheld.
//! 10. Faults: throttling with its three codes, version and key clashes, HTML bodies, and all that
//!     [`crate::connect::sandbox::FaultEffect`] offers.
//!
//! # What is not
//!
//! `$apply`, FetchXML, `any`/`all`, `$metadata`, synchronous steps, duplicate detection rules,
//! business logic bypass headers (accepted, without effect), global option sets, new tables,
//! relationships, teams, competitors and price lists, plug-ins, roles (privileges are withheld one by
//! one), `CallerObjectId`, the depth guard. What has an address of its own answers 501 with
//! its name. One currency exists from the start, and base amounts equal amounts (exchange rate 1).
//!
//! Where the reference marks a fact as unverified, this emulator does the documented or more likely
//! thing: an estimate that is *System Calculated* ignores what is written to it, status 400 for business errors, nulls do not collide in alternate keys, an empty text is
//! stored as null, a written date must have no time, every column of a closed row is read-only
//! (unless [`SandboxOptions::writable_when_closed`] names it), a merged row keeps what it held, a
//! second close is `0x80040203`, reopening leaves the close activities completed.

mod call;
mod control;
mod data;
mod dispatch;
mod faults;
mod forms;
mod http;
mod lifecycle;
mod merging;
mod metadata;
mod options;
mod people;
mod privileges;
mod problem;
mod query;
mod schema;
mod seed;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests;
mod token;
mod webhook;
mod write;

pub use control::{Dynamics365Sandbox, SandboxRefusal};
pub use faults::{Throttle, VersionClash, clash, html_error, throttled};
pub use options::{KeyActivation, SandboxOptions};
pub use state::LoggedRequest;
