//! The sign-in service's token endpoint, v1 and v2 (reference 1.3 to 1.6).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State as FromState};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::answer::Refusal;
use super::consent::{Approval, Code, DeviceCode};
use super::state::State;
use super::{PartnerCenterSandbox, assertion};
use crate::domain::clock::Randomness;
use crate::domain::time::Timestamp;

/// Audience of the referrals host.
pub const REFERRALS_AUDIENCE: &str = "https://api.partner.microsoft.com";
/// Audience of the host with webhooks, audit records and profiles.
pub const PARTNER_CENTER_AUDIENCE: &str = "https://api.partnercenter.microsoft.com";

/// Refresh tokens die after 90 days without use.
const REFRESH_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// Why a sign-in is refused (reference 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInFailure {
    /// 700082: expired by inactivity.
    ExpiredByInactivity,
    /// 70008: expired by inactivity too, in the older code.
    Expired,
    /// 50173: the grant was revoked, for example by a change of credentials.
    Revoked,
    /// 50076: MFA is required.
    MfaRequired,
    /// 50079: the user has to enrol in MFA.
    MfaEnrolmentRequired,
    /// 53003: Conditional Access blocks it.
    BlockedByConditionalAccess,
    /// 65001: nobody consented.
    ConsentMissing,
    /// 7000215: wrong client secret.
    SecretWrong,
    /// 7000222: the client secret has expired.
    SecretExpired,
}

impl SignInFailure {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::ExpiredByInactivity,
        Self::Expired,
        Self::Revoked,
        Self::MfaRequired,
        Self::MfaEnrolmentRequired,
        Self::BlockedByConditionalAccess,
        Self::ConsentMissing,
        Self::SecretWrong,
        Self::SecretExpired,
    ];

    fn refusal(self) -> Refusal {
        let (status, error, code, text) = match self {
            Self::ExpiredByInactivity => (
                400,
                "invalid_grant",
                700_082,
                "The refresh token has expired due to inactivity. It was inactive for 90.00:00:00.",
            ),
            Self::Expired => (
                400,
                "invalid_grant",
                70_008,
                "The provided authorization code or refresh token has expired due to inactivity.",
            ),
            Self::Revoked => (
                400,
                "invalid_grant",
                50_173,
                "The provided grant has expired due to it being revoked, a fresh auth token is \
                 needed.",
            ),
            Self::MfaRequired => (
                400,
                "invalid_grant",
                50_076,
                "You must use multi-factor authentication to access the resource.",
            ),
            Self::MfaEnrolmentRequired => (
                400,
                "invalid_grant",
                50_079,
                "You must enroll in multi-factor authentication to access the resource.",
            ),
            Self::BlockedByConditionalAccess => (
                400,
                "invalid_grant",
                53_003,
                "Access has been blocked by Conditional Access policies.",
            ),
            Self::ConsentMissing => (
                400,
                "invalid_grant",
                65_001,
                "The user or administrator has not consented to use the application.",
            ),
            Self::SecretWrong => {
                (401, "invalid_client", 7_000_215, "Invalid client secret provided.")
            }
            Self::SecretExpired => {
                (401, "invalid_client", 7_000_222, "The provided client secret keys are expired.")
            }
        };
        Refusal::sign_in(status, error, code, text)
    }
}

/// A refresh token that was handed out.
#[derive(Debug, Clone)]
pub(super) struct RefreshToken {
    mfa: bool,
    issued: Timestamp,
    dead: Option<SignInFailure>,
}

/// An access token that was handed out.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    pub(super) audience: String,
    pub(super) expires: Timestamp,
    pub(super) mfa: bool,
    pub(super) app_only: bool,
}

/// What the sign-in service remembers.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) refresh: BTreeMap<String, RefreshToken>,
    pub(super) access: BTreeMap<String, AccessToken>,
    pub(super) codes: BTreeMap<String, Code>,
    pub(super) devices: BTreeMap<String, DeviceCode>,
    pub(super) failure: Option<SignInFailure>,
    pub(super) user_requests: u64,
    pub(super) user_requests_with_mfa: u64,
}

/// Which endpoint was called: they differ in parameters and in the type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    V1,
    V2,
}

type Form = BTreeMap<String, String>;

pub(super) async fn token_v1(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(tenant): Path<String>,
    axum::Form(form): axum::Form<Form>,
) -> Response {
    answer(&mut sandbox.lock(), Endpoint::V1, &tenant, &form)
}

pub(super) async fn token_v2(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Path(tenant): Path<String>,
    axum::Form(form): axum::Form<Form>,
) -> Response {
    answer(&mut sandbox.lock(), Endpoint::V2, &tenant, &form)
}

/// A tenant is named by its id, by a domain, or by a word for any. Another tenant's id is unknown.
fn check_tenant(state: &State, tenant: &str) -> Result<(), Refusal> {
    let foreign = uuid::Uuid::try_parse(tenant).is_ok()
        && !tenant.eq_ignore_ascii_case(&state.options.tenant_id);
    if foreign {
        let text = format!("Tenant '{tenant}' not found.");
        return Err(Refusal::sign_in(400, "invalid_request", 90_002, &text));
    }
    Ok(())
}

fn answer(state: &mut State, endpoint: Endpoint, tenant: &str, form: &Form) -> Response {
    match check_tenant(state, tenant).and_then(|()| grant(state, endpoint, form)) {
        Ok(body) => axum::Json(body).into_response(),
        Err(refusal) => refusal.traced(state).into_response(),
    }
}

/// Who is signed in by a grant.
struct Identity {
    mfa: bool,
    app_only: bool,
}

fn grant(state: &mut State, endpoint: Endpoint, form: &Form) -> Result<Json, Refusal> {
    let field = |name: &str| form.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let kind = field("grant_type").ok_or_else(|| missing("grant_type"))?;
    let device = matches!(kind, "device_code" | "urn:ietf:params:oauth:grant-type:device_code");
    check_client(state, form, device)?;
    if let Some(failure) = state.tokens.failure {
        return Err(failure.refusal());
    }
    if device {
        let code = field("device_code").or_else(|| field("code")).unwrap_or_default();
        if !state.tokens.devices.contains_key(code) {
            return Err(unknown_device_code());
        }
    }
    let form = &with_remembered(state, form);
    let audience = audience(endpoint, form)?;
    let identity = match kind {
        "refresh_token" => by_refresh_token(state, field("refresh_token"))?,
        "authorization_code" => {
            let code = field("code").ok_or_else(|| missing("code"))?;
            let consent = state.tokens.codes.remove(code).ok_or_else(|| {
                Refusal::sign_in(400, "invalid_grant", 54_005, "The code was already redeemed.")
            })?;
            let now = state.now();
            consent.check(now, field("redirect_uri"), field("code_verifier"))?;
            Identity { mfa: state.options.consent_with_mfa, app_only: false }
        }
        "client_credentials" => Identity { mfa: false, app_only: true },
        _ if device => by_device_code(state, field("device_code").or_else(|| field("code")))?,
        other => {
            let text = format!("The grant type '{other}' is not supported here.");
            return Err(Refusal::sign_in(400, "unsupported_grant_type", 70_003, &text));
        }
    };
    Ok(issue(state, endpoint, form, &audience, &identity))
}

fn missing(name: &str) -> Refusal {
    let text = format!("The request body must contain the following parameter: '{name}'.");
    Refusal::sign_in(400, "invalid_request", 900_144, &text)
}

/// A confidential client proves itself by secret or by a signed assertion. A client that asks with
/// a device code may be public.
fn check_client(state: &State, form: &Form, public: bool) -> Result<(), Refusal> {
    let client = form.get("client_id").ok_or_else(|| missing("client_id"))?;
    if !client.eq_ignore_ascii_case(&state.options.client_id) {
        let text = "The application was not found in the directory.";
        return Err(Refusal::sign_in(400, "unauthorized_client", 700_016, text));
    }
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), _) if *secret == state.options.client_secret => Ok(()),
        (Some(_), _) => Err(SignInFailure::SecretWrong.refusal()),
        (None, Some(assertion)) => assertion::check(state, assertion),
        (None, None) if public || state.options.client_secret.is_empty() => Ok(()),
        (None, None) => {
            let text = "The request body must contain 'client_assertion' or 'client_secret'.";
            Err(Refusal::sign_in(401, "invalid_client", 7_000_218, text))
        }
    }
}

/// Adds the scope and resource that were named when the code was asked for, where the redemption
/// names none.
fn with_remembered(state: &State, form: &Form) -> Form {
    let code = form.get("device_code").or_else(|| form.get("code"));
    let asked = code.and_then(|code| {
        let devices = &state.tokens.devices;
        let by_device = devices.get(code).map(|device| &device.asked);
        by_device.or_else(|| state.tokens.codes.get(code).map(|code| &code.asked))
    });
    let mut form = form.clone();
    for (name, value) in asked.into_iter().flatten() {
        form.entry(name.clone()).or_insert_with(|| value.clone());
    }
    form
}

/// The one resource a request may name: `resource` at v1, the scopes' host at v2.
fn audience(endpoint: Endpoint, form: &Form) -> Result<String, Refusal> {
    let known = |text: &str| {
        let text = text.trim_end_matches('/');
        [REFERRALS_AUDIENCE, PARTNER_CENTER_AUDIENCE].into_iter().find(|known| *known == text)
    };
    match endpoint {
        Endpoint::V1 => {
            let resource = form.get("resource").ok_or_else(|| missing("resource"))?;
            known(resource).map(str::to_owned).ok_or_else(|| {
                let text = format!("The resource principal named {resource} was not found.");
                Refusal::sign_in(400, "invalid_resource", 500_011, &text)
            })
        }
        Endpoint::V2 => {
            let scope = form.get("scope").ok_or_else(|| missing("scope"))?;
            let mut resources: Vec<&str> = scope
                .split_whitespace()
                .filter_map(|scope| scope.rsplit_once('/'))
                .map(|(resource, _)| resource.trim_end_matches('/'))
                .collect();
            resources.dedup();
            match resources.as_slice() {
                [one] if known(one).is_some() => Ok((*one).to_owned()),
                [_] | [] => {
                    let text = format!("The scope '{scope}' is not valid.");
                    Err(Refusal::sign_in(400, "invalid_scope", 70_011, &text))
                }
                _ => {
                    let text = "The scopes name more than one resource.";
                    Err(Refusal::sign_in(400, "invalid_request", 28_000, text))
                }
            }
        }
    }
}

fn by_refresh_token(state: &State, token: Option<&str>) -> Result<Identity, Refusal> {
    let token = token.ok_or_else(|| missing("refresh_token"))?;
    let Some(known) = state.tokens.refresh.get(token) else {
        let text = "The provided value for the 'refresh_token' is not valid.";
        return Err(Refusal::sign_in(400, "invalid_grant", 9_002_313, text));
    };
    if let Some(failure) = known.dead {
        return Err(failure.refusal());
    }
    if state.now() > known.issued.plus(REFRESH_LIFE) {
        return Err(SignInFailure::ExpiredByInactivity.refusal());
    }
    Ok(Identity { mfa: known.mfa, app_only: false })
}

fn by_device_code(state: &mut State, code: Option<&str>) -> Result<Identity, Refusal> {
    let code = code.ok_or_else(|| missing("device_code"))?;
    let (now, after) = (state.now(), state.options.device_approved_after_polls);
    let Some(device) = state.tokens.devices.get_mut(code) else {
        return Err(unknown_device_code());
    };
    match device.poll(now, after) {
        Approval::Pending => {
            let text = "The user has not yet signed in. Keep polling.";
            Err(Refusal::sign_in(400, "authorization_pending", 70_016, text))
        }
        Approval::Expired => {
            Err(Refusal::sign_in(400, "expired_token", 70_019, "The code has expired."))
        }
        Approval::Given => {
            state.tokens.devices.remove(code);
            Ok(Identity { mfa: state.options.consent_with_mfa, app_only: false })
        }
    }
}

fn unknown_device_code() -> Refusal {
    Refusal::sign_in(400, "bad_verification_code", 70_018, "The code is unknown or used up.")
}

fn issue(
    state: &mut State,
    endpoint: Endpoint,
    form: &Form,
    audience: &str,
    identity: &Identity,
) -> Json {
    let secs = state.options.access_token_secs;
    let access = state.mint_access(audience, identity.mfa, identity.app_only);
    let offline = endpoint == Endpoint::V1
        || form
            .get("scope")
            .is_some_and(|scope| scope.split_whitespace().any(|scope| scope == "offline_access"));
    let refresh = (!identity.app_only && offline).then(|| state.mint_refresh(identity.mfa));
    let now = state.now().as_secs();
    let mut body = match endpoint {
        Endpoint::V1 => json!({
            "token_type": "Bearer",
            "scope": "user_impersonation",
            "expires_in": secs.to_string(),
            "ext_expires_in": secs.to_string(),
            "expires_on": (now + i64::try_from(secs).unwrap_or(0)).to_string(),
            "not_before": now.to_string(),
            "resource": audience,
            "access_token": access,
        }),
        Endpoint::V2 => json!({
            "token_type": "Bearer",
            "scope": form.get("scope"),
            "expires_in": secs,
            "ext_expires_in": secs,
            "access_token": access,
        }),
    };
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    body
}

impl State {
    /// Hands out a refresh token. The ones before stay valid (reference 1.5).
    pub(super) fn mint_refresh(&mut self, mfa: bool) -> String {
        let token = format!("0.sandbox-refresh.{}", self.chance.guid());
        let issued = self.now();
        self.tokens.refresh.insert(token.clone(), RefreshToken { mfa, issued, dead: None });
        token
    }

    /// Hands out an access token: shaped like a JWT, with readable claims and no real signature.
    pub(super) fn mint_access(&mut self, audience: &str, mfa: bool, app_only: bool) -> String {
        let now = self.now();
        let expires = now.plus(Duration::from_secs(self.options.access_token_secs));
        let mut claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", self.options.tenant_id),
            "iat": now.as_secs(),
            "nbf": now.as_secs(),
            "exp": expires.as_secs(),
            "appid": self.options.client_id,
            "tid": self.options.tenant_id,
            "uti": self.chance.guid(),
            "ver": "1.0",
        });
        if app_only {
            claims["idtyp"] = json!("app");
        } else {
            claims["upn"] = json!(self.options.user_email);
            claims["scp"] = json!("user_impersonation");
            claims["amr"] = if mfa { json!(["pwd", "mfa"]) } else { json!(["pwd"]) };
        }
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(&json!({ "typ": "JWT", "alg": "none" }));
        let token = format!("{header}.{}.sandbox", part(&claims));
        let known = AccessToken { audience: audience.to_owned(), expires, mfa, app_only };
        self.tokens.access.insert(token.clone(), known);
        token
    }

    /// Kills every refresh token handed out so far.
    pub(super) fn kill_refresh_tokens(&mut self, failure: SignInFailure) {
        for token in self.tokens.refresh.values_mut() {
            token.dead = Some(failure);
        }
    }
}
