//! Checks the access token of a call (reference 1.1, 1.6).

use axum::http::{HeaderMap, header};

use super::answer::Refusal;
use super::options::Role;
use super::state::State;
use super::token::{PARTNER_CENTER_AUDIENCE, REFERRALS_AUDIENCE};

/// What a call asks of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// The referrals host, by a user.
    Referrals,
    /// The other host, by a user or an application.
    PartnerCenter,
    /// The other host, by a user only.
    PartnerCenterUser,
}

impl Needs {
    /// What the call with this path asks of its token; `None` if it needs none.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        if path.starts_with("/v1.0/") {
            Some(Self::Referrals)
        } else if path.starts_with("/v1/profiles") || path.starts_with("/v1/applicationmfa") {
            Some(Self::PartnerCenterUser)
        } else if path.starts_with("/v1/") || path.starts_with("/webhooks/") {
            Some(Self::PartnerCenter)
        } else {
            None
        }
    }

    fn audience(self) -> &'static str {
        if self == Self::Referrals { REFERRALS_AUDIENCE } else { PARTNER_CENTER_AUDIENCE }
    }

    fn refuse(self, status: u16, code: &str, message: &str) -> Refusal {
        match (self, status) {
            (Self::Referrals, 401) => {
                Refusal::referrals(401, "unauthenticated", message).with_inner(code, message)
            }
            (Self::Referrals, _) => {
                Refusal::referrals(403, "accessDenied", message).with_inner(code, message)
            }
            _ => Refusal::api(status, code, message),
        }
    }
}

/// Whether the call may go on; the value is whether its token is MFA compliant.
pub(super) fn check(state: &mut State, needs: Needs, headers: &HeaderMap) -> Result<bool, Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim());
    let now = state.now();
    let Some(token) = token.and_then(|token| state.tokens.access.get(token)).cloned() else {
        return Err(needs.refuse(401, "invalidToken", "The access token is missing or unknown."));
    };
    if now >= token.expires {
        return Err(needs.refuse(401, "expiredToken", "The access token has expired."));
    }
    if token.audience != needs.audience() {
        return Err(needs.refuse(401, "invalidAudience", "The audience is not valid here."));
    }
    if token.app_only {
        return match needs {
            Needs::PartnerCenter => Ok(true),
            _ => Err(needs.refuse(403, "900329", "Application-only access is not supported.")),
        };
    }
    state.tokens.user_requests += 1;
    state.tokens.user_requests_with_mfa += u64::from(token.mfa);
    if state.options.mfa_enforced && !token.mfa {
        return Err(needs.refuse(401, "900421", "MFA is required for this call."));
    }
    if needs == Needs::Referrals && state.options.role == Role::ProfileAdmin {
        return Err(needs.refuse(403, "insufficientRole", "The user has no role for referrals."));
    }
    Ok(token.mfa)
}
