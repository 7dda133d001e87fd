//! Emulates Partner Center on loopback: sign-in, referrals, webhooks and the small interfaces
//! around them.
//!
//! Source: Partner Center reference, sections 1 to 7. Where the reference marks a fact as
//! unverified, the choice is a field of [`Options`].
//!
//! What may be written is decided by tables of its own ([`rules`]), not by those of the client.
//!
//! Of the reference's checklist, emulated:
//! * token endpoints v1 and v2 with one audience for each token, rotating refresh tokens of which
//!   the old ones stay valid, the refusals of [`SignInFailure`], code flow (with PKCE) and device
//!   flow; secrets and, with [`Options::client_certificate`], certificates; 401 on the wrong audience; MFA enforcement; app-only tokens where they are allowed;
//! * list with filter, order, `$top`, `$skip`, `$select`, pages and both styles of next link; get;
//!   create; patch with its closed list of paths, versions, `Prefer`, transitions, freezing, the
//!   terminal lock and deal registration; roles by team and location; 14 days to answer;
//! * Microsoft's own record in an engagement, its answers, the second invitation;
//! * the webhook slot, validation events, signed deliveries, 10 attempts, duplicates, reordering,
//!   loss, delay, wrong signatures; audit records; PartnerID look-up; MFA adoption; certificate host;
//! * faults: [`PartnerCenterSandbox::faults`] (any status, with or without `Retry-After`, HTML,
//!   drops, delays), gateway 429, replication lag, unknown words and fields, mixed casing, fraction
//!   digits.
//!
//! Not emulated: `PUT` of a referral (deprecated), referrals between partners beyond our own
//! records, `GET` on the form of address that events carry, analytics. Such calls answer 405 or 501.
//!
//! Proof: `tests/partner_center_conformance/page`, written from the reference without the client.

mod adjacent;
mod answer;
mod assertion;
mod bearer;
mod casing;
mod chance;
mod check;
mod consent;
mod control;
mod create;
mod door;
mod filter;
mod list;
mod literal;
mod options;
mod patch;
mod referrals;
mod registration;
mod rules;
mod sender;
mod signer;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod view;
mod webhook;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;

use self::signer::Signer;
use self::state::State;
use crate::connect::sandbox::{Faults, SandboxClock, Serving, serve};

pub use self::control::{ControlError, InvitationAnswer, UnknownField};
pub use self::options::{
    CreateRules, Fraction, JsonCasing, NextLinkStyle, Options, Role, SecondInvitation,
};
pub use self::sender::DeliveryReport;
pub use self::state::LoggedRequest;
pub use self::token::{PARTNER_CENTER_AUDIENCE, REFERRALS_AUDIENCE, SignInFailure};
pub use self::webhook::DeliveryFaults;

/// An emulated Partner Center with one partner tenant. Clones are handles on the same one.
#[derive(Clone)]
pub struct PartnerCenterSandbox {
    state: Arc<Mutex<State>>,
    faults: Faults,
    signer: Arc<Signer>,
    client: Arc<OnceLock<reqwest::Client>>,
}

impl fmt::Debug for PartnerCenterSandbox {
    /// Without the tokens.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PartnerCenterSandbox").finish_non_exhaustive()
    }
}

impl PartnerCenterSandbox {
    /// An empty tenant.
    ///
    /// # Panics
    ///
    /// If the webhook certificates cannot be built from the keys that are compiled in, which the
    /// tests exclude.
    #[must_use]
    pub fn new(options: Options, clock: SandboxClock) -> Self {
        let signer = Signer::new().expect("the keys that are compiled in are valid");
        let mut state = State::new(options, clock);
        state.apply_webhook_options();
        Self {
            state: Arc::new(Mutex::new(state)),
            faults: Faults::default(),
            signer: Arc::new(signer),
            client: Arc::default(),
        }
    }

    /// All hosts of Partner Center in one router.
    pub fn router(&self) -> Router {
        door::router(self.clone())
    }

    /// Serves the emulator and makes [`Self::certificate_url`] point at it.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn serve(&self, listen: SocketAddr) -> io::Result<Serving> {
        let serving = serve(self.router(), listen).await?;
        self.set_base_url(&serving.url());
        Ok(serving)
    }

    /// Tells the emulator under which address it is reached, without a trailing slash.
    pub fn set_base_url(&self, url: &str) {
        self.lock().base_url = url.trim_end_matches('/').to_owned();
    }

    /// The faults waiting to hit.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
