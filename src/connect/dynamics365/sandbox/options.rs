//! What kind of organisation the emulator plays.

use std::time::Duration;

/// When the index of a new alternate key becomes usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyActivation {
    /// At once.
    Immediate,
    /// After its status was read this many times.
    AfterPolls(u32),
    /// After this much time on the emulator's clock.
    After(Duration),
}

/// Settings of a [`super::Dynamics365Sandbox`].
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The tenant of the token endpoint.
    pub tenant_id: String,
    /// The one registered application.
    pub client_id: String,
    /// Its secret. A secret of another application is answered `invalid_client`.
    pub client_secret: String,
    /// Its secret of the past: as another, but with the code that says that it has expired.
    pub expired_secret: Option<String>,
    /// Certificate of the application in DER, for `client_assertion`. Without one every assertion
    /// whose claims are right is accepted.
    pub certificate_der: Option<Vec<u8>>,
    /// Life of an access token.
    pub token_life: Duration,
    /// Whether the application user exists in the organisation; if not, every call is a 403.
    pub is_member: bool,
    /// `x-ms-dop-hint` on every answer.
    pub parallelism_hint: u32,
    /// Greatest number of rows in a page; 5000 in the real system.
    pub page_limit: usize,
    /// How long a delta token lives; the documented default is seven days.
    pub delta_life: Duration,
    /// When new alternate keys become usable.
    pub key_activation: KeyActivation,
    /// Whether webhooks may only name the ports 80 and 443, as in the real system. Off by default,
    /// because a receiver on loopback rarely has them.
    pub refuse_odd_webhook_ports: bool,
    /// Whether the co-sell columns, their alternate key and change tracking are there from the
    /// start. Without them the organisation is as delivered, for tests of provisioning.
    pub has_cosell_columns: bool,
    /// Columns that a closed opportunity or lead still takes. Which ones do is not documented; none
    /// by default.
    pub writable_when_closed: Vec<String>,
    /// Bytes over which a webhook body is stripped.
    pub webhook_body_limit: usize,
    /// Privileges that the application user does not have, by name: `prvWriteOpportunity`. It has
    /// every other one for the whole organisation.
    pub withheld_privileges: Vec<String>,
    /// Privileges that reach its own rows only. Which rows those are is not emulated; a tracked read
    /// is refused, as it needs the whole organisation.
    pub basic_privileges: Vec<String>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            tenant_id: "11111111-1111-4111-8111-111111111111".to_owned(),
            client_id: "22222222-2222-4222-8222-222222222222".to_owned(),
            client_secret: "sandbox-secret".to_owned(),
            expired_secret: None,
            certificate_der: None,
            token_life: Duration::from_secs(3599),
            is_member: true,
            parallelism_hint: 8,
            page_limit: 5000,
            delta_life: Duration::from_hours(24 * 7),
            key_activation: KeyActivation::Immediate,
            refuse_odd_webhook_ports: false,
            has_cosell_columns: true,
            writable_when_closed: Vec::new(),
            webhook_body_limit: 256 * 1024,
            withheld_privileges: Vec::new(),
            basic_privileges: Vec::new(),
        }
    }
}

impl SandboxOptions {
    /// An organisation as delivered: no co-sell columns, no change tracking, keys that take a while.
    #[must_use]
    pub fn empty_organization() -> Self {
        Self {
            has_cosell_columns: false,
            key_activation: KeyActivation::AfterPolls(2),
            ..Self::default()
        }
    }
}
