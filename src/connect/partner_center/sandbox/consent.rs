//! One-time consent: the authorization code flow and the device code flow (reference 1.3, 1.4).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Query, State as FromState};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use url::Url;

use super::PartnerCenterSandbox;
use super::answer::Refusal;
use crate::domain::clock::Randomness;
use crate::domain::time::Timestamp;

/// How long an authorization code may wait.
const CODE_LIFE: Duration = Duration::from_secs(600);
/// How long a device code may wait.
const DEVICE_LIFE: Duration = Duration::from_secs(900);

/// The `scope` and `resource` that a code was asked for with.
pub(super) type Asked = BTreeMap<String, String>;

fn asked(parameters: &BTreeMap<String, String>) -> Asked {
    let kept = ["scope", "resource"].into_iter();
    kept.filter_map(|name| Some((name.to_owned(), parameters.get(name)?.clone()))).collect()
}

/// An authorization code on its way.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) asked: Asked,
    redirect_uri: String,
    challenge: Option<(String, String)>,
    expires: Timestamp,
}

impl Code {
    /// Whether the code may be redeemed.
    pub(super) fn check(
        &self,
        now: Timestamp,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<(), Refusal> {
        let refuse = |code, text| Err(Refusal::sign_in(400, "invalid_grant", code, text));
        if now > self.expires {
            return refuse(70_008, "The authorization code has expired.");
        }
        if redirect_uri != Some(self.redirect_uri.as_str()) {
            return refuse(50_011, "The redirect URI differs from the one the code was made for.");
        }
        let Some((method, challenge)) = &self.challenge else { return Ok(()) };
        let verifier = verifier.unwrap_or_default();
        let expected = if method.eq_ignore_ascii_case("S256") {
            let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
            URL_SAFE_NO_PAD.encode(digest)
        } else {
            verifier.to_owned()
        };
        if expected == *challenge {
            Ok(())
        } else {
            refuse(501_481, "The code verifier does not match the code challenge.")
        }
    }
}

/// A device code on its way.
#[derive(Debug)]
pub(super) struct DeviceCode {
    pub(super) asked: Asked,
    pub(super) user_code: String,
    pub(super) approved: bool,
    expires: Timestamp,
    polls: u32,
}

/// How far the user got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Pending,
    Expired,
    Given,
}

impl DeviceCode {
    /// One poll. The first `after` polls are too early; `None` waits for an approval by hand.
    pub(super) fn poll(&mut self, now: Timestamp, after: Option<u32>) -> Approval {
        if now > self.expires {
            return Approval::Expired;
        }
        let approved = self.approved || after.is_some_and(|after| self.polls >= after);
        self.polls += 1;
        if approved { Approval::Given } else { Approval::Pending }
    }
}

/// `GET /{tenant}/oauth2/authorize`: consents at once, as a user who has nothing to think about,
/// and sends the browser back to `redirect_uri`, which must be on loopback.
pub(super) async fn authorize(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let mut state = sandbox.lock();
    if !field("client_id").eq_ignore_ascii_case(&state.options.client_id) {
        let text = "The application was not found in the directory.";
        return Refusal::sign_in(400, "unauthorized_client", 700_016, text)
            .traced(&state)
            .into_response();
    }
    let redirect = Url::parse(field("redirect_uri"))
        .ok()
        .filter(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")));
    let (Some(mut redirect), true) = (redirect, field("response_type").contains("code")) else {
        let text = "The redirect URI is not registered, or the response type is not supported.";
        return Refusal::sign_in(400, "invalid_request", 50_011, text)
            .traced(&state)
            .into_response();
    };
    let code = format!("sandbox-code-{}", state.chance.guid());
    let challenge = query.get("code_challenge").map(|challenge| {
        let method = query.get("code_challenge_method").map_or("plain", String::as_str);
        (method.to_owned(), challenge.clone())
    });
    let expires = state.now().plus(CODE_LIFE);
    let redirect_uri = field("redirect_uri").to_owned();
    state
        .tokens
        .codes
        .insert(code.clone(), Code { asked: asked(&query), redirect_uri, challenge, expires });
    let mut answer = vec![("code", code.as_str())];
    answer.extend(query.get("state").map(|state| ("state", state.as_str())));
    if field("response_mode") == "form_post" {
        return form_post(&redirect, &answer);
    }
    redirect.query_pairs_mut().extend_pairs(answer);
    (StatusCode::FOUND, [(header::LOCATION, redirect.to_string())]).into_response()
}

/// A page that posts itself to the application.
fn form_post(redirect: &Url, fields: &[(&str, &str)]) -> Response {
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let inputs: String = fields
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
        })
        .collect();
    let page = format!(
        "<html><body onload=\"document.forms[0].submit()\"><form method=\"post\" \
         action=\"{}\">{inputs}</form></body></html>",
        escape(redirect.as_str())
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// `POST /{tenant}/oauth2/devicecode` and its v2 sibling.
pub(super) async fn device_code(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    headers: HeaderMap,
    axum::Form(form): axum::Form<BTreeMap<String, String>>,
) -> Response {
    let mut state = sandbox.lock();
    if form.get("client_id").is_none_or(|id| !id.eq_ignore_ascii_case(&state.options.client_id)) {
        let text = "The application was not found in the directory.";
        return Refusal::sign_in(400, "unauthorized_client", 700_016, text)
            .traced(&state)
            .into_response();
    }
    let device_code = format!("sandbox-device-{}", state.chance.guid());
    let user_code = format!("{:08X}", state.chance.bits() & 0xffff_ffff);
    let expires = state.now().plus(DEVICE_LIFE);
    state.tokens.devices.insert(
        device_code.clone(),
        DeviceCode {
            asked: asked(&form),
            user_code: user_code.clone(),
            approved: false,
            expires,
            polls: 0,
        },
    );
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let address = format!("http://{host}/devicelogin");
    axum::Json(json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": address,
        "verification_url": address,
        "expires_in": DEVICE_LIFE.as_secs(),
        "interval": 5,
        "message": format!(
            "To sign in, use a web browser to open the page {address} and enter the code \
             {user_code} to authenticate."
        ),
    }))
    .into_response()
}

/// `GET /devicelogin?user_code=`: the page on which a user approves a device code.
pub(super) async fn device_login(
    FromState(sandbox): FromState<PartnerCenterSandbox>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(code) = query.get("user_code") else {
        let page = "<html><body><form><label>Code <input name=\"user_code\"></label> \
                    <button>Next</button></form></body></html>";
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    };
    if sandbox.approve_device_code(code) {
        (StatusCode::OK, "You have signed in. You may close this window.").into_response()
    } else {
        (StatusCode::NOT_FOUND, "That code did not work.").into_response()
    }
}
