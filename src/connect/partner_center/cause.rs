//! Why Entra refuses a sign-in, and what an admin must do about it.

/// A cause that an admin can act on. Source: Partner Center reference, section 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// 700082, 70008: the refresh token was not used for too long.
    TokenExpired,
    /// 50173: the grant was revoked, for example by a password reset.
    TokenRevoked,
    /// 50076, 50079: the consent was given without multi-factor authentication.
    MfaRequired,
    /// 65001: the application has no consent.
    ConsentMissing,
    /// 7000215: the client secret is wrong.
    SecretWrong,
    /// 7000222: the client secret has expired.
    SecretExpired,
    /// 53003: Conditional Access blocks the sign-in.
    Blocked,
    /// `invalid_client` for another reason: certificate, application id.
    ClientRefused,
    /// `invalid_grant` for another reason.
    GrantRefused,
    /// Any other refusal that is final.
    Other,
}

impl Cause {
    /// Reads `error` and `error_codes` of a refusal. The text of the description is never looked at.
    #[must_use]
    pub fn of(error: &str, codes: &[u64]) -> Self {
        let known = codes.iter().find_map(|code| match code {
            700_082 | 70_008 => Some(Self::TokenExpired),
            50_173 => Some(Self::TokenRevoked),
            50_076 | 50_079 => Some(Self::MfaRequired),
            65_001 => Some(Self::ConsentMissing),
            7_000_215 => Some(Self::SecretWrong),
            7_000_222 => Some(Self::SecretExpired),
            53_003 => Some(Self::Blocked),
            _ => None,
        });
        known.unwrap_or(match error {
            "invalid_client" | "unauthorized_client" => Self::ClientRefused,
            "invalid_grant" | "interaction_required" | "consent_required" => Self::GrantRefused,
            _ => Self::Other,
        })
    }

    /// Whether another refresh token could do better; otherwise the application itself is refused.
    #[must_use]
    pub fn is_about_the_token(self) -> bool {
        !matches!(self, Self::SecretWrong | Self::SecretExpired | Self::ClientRefused | Self::Other)
    }

    /// What happened and what the admin must do.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TokenExpired => {
                "the refresh token has expired because it was not used for too long: sign in again \
                 with `cosell-sync login`"
            }
            Self::TokenRevoked => {
                "the refresh token was revoked, for example because the user's password was reset: \
                 sign in again with `cosell-sync login`"
            }
            Self::MfaRequired => {
                "the consent was given without multi-factor authentication: set MFA up for the \
                 service account and sign in again with `cosell-sync login`"
            }
            Self::ConsentMissing => {
                "the application has no consent: grant admin consent under Enterprise applications \
                 > Permissions, for both Microsoft Partner and Microsoft Partner Center"
            }
            Self::SecretWrong => {
                "the client secret is wrong: use the secret's value (not its id) of the app \
                 registration"
            }
            Self::SecretExpired => {
                "the client secret has expired: make a new one in the app registration and put it \
                 in place"
            }
            Self::Blocked => {
                "Conditional Access blocks the service account: exclude it from the policy or let \
                 this machine's address in, then sign in again"
            }
            Self::ClientRefused => {
                "the application was refused: check the client id, the tenant and that the \
                 certificate or secret belongs to the app registration"
            }
            Self::GrantRefused => {
                "the refresh token was refused: sign in again with `cosell-sync login`"
            }
            Self::Other => "the sign-in was refused: check tenant, client id and permissions",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Cause;

    #[test]
    fn every_code_has_its_own_cause() {
        let table: [(&str, &[u64], Cause, &str); 13] = [
            ("invalid_grant", &[700_082], Cause::TokenExpired, "inactive for 90 days"),
            ("invalid_grant", &[70_008], Cause::TokenExpired, "expired"),
            ("invalid_grant", &[50_173], Cause::TokenRevoked, "password reset"),
            ("invalid_grant", &[50_076], Cause::MfaRequired, "MFA asked for"),
            ("invalid_grant", &[50_079], Cause::MfaRequired, "MFA not set up"),
            ("invalid_grant", &[65_001], Cause::ConsentMissing, "no consent"),
            ("interaction_required", &[53_003], Cause::Blocked, "the code wins over the word"),
            ("invalid_client", &[7_000_215], Cause::SecretWrong, "wrong secret"),
            ("invalid_client", &[7_000_222], Cause::SecretExpired, "expired secret"),
            ("invalid_client", &[700_027], Cause::ClientRefused, "certificate not registered"),
            ("invalid_grant", &[12_345], Cause::GrantRefused, "a code nobody knows"),
            ("invalid_grant", &[12_345, 50_173], Cause::TokenRevoked, "any known code counts"),
            ("invalid_request", &[], Cause::Other, "no code at all"),
        ];
        for (error, codes, expected, why) in table {
            assert_eq!(Cause::of(error, codes), expected, "{error} {codes:?}: {why}");
        }
    }

    #[test]
    fn every_cause_has_its_own_sentence() {
        let causes = [
            Cause::TokenExpired,
            Cause::TokenRevoked,
            Cause::MfaRequired,
            Cause::ConsentMissing,
            Cause::SecretWrong,
            Cause::SecretExpired,
            Cause::Blocked,
            Cause::ClientRefused,
            Cause::GrantRefused,
            Cause::Other,
        ];
        let sentences: BTreeSet<&str> = causes.iter().map(|cause| cause.sentence()).collect();
        assert_eq!(sentences.len(), causes.len());
    }
}
