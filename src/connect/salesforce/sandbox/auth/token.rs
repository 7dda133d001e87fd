//! The token endpoint.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use super::{jwt, origin};
use crate::connect::salesforce::sandbox::http::Answer;
use crate::connect::salesforce::sandbox::org::Org;

type Form = [(String, String)];

fn field<'a>(form: &'a Form, name: &str) -> &'a str {
    form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
}

/// `POST /services/oauth2/token`.
pub(super) fn answer(org: &mut Org, headers: &BTreeMap<String, String>, form: &Form) -> Answer {
    let rotated = match field(form, "grant_type") {
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            jwt::check(&org.options, field(form, "assertion"), org.now()).map(|()| None)
        }
        "client_credentials" => client_credentials(org, headers, form).map(|()| None),
        "refresh_token" => refresh(org, form),
        _ => Err(("unsupported_grant_type", "grant type not supported")),
    };
    match rotated {
        Ok(refresh_token) => granted(org, headers, refresh_token),
        Err((error, description)) => refused(error, description),
    }
}

fn refused(error: &str, description: &str) -> Answer {
    let body = json!({ "error": error, "error_description": description });
    Answer::json(400, body).with("Cache-Control", "no-store")
}

fn client_credentials(
    org: &Org,
    headers: &BTreeMap<String, String>,
    form: &Form,
) -> Result<(), (&'static str, &'static str)> {
    if !org.options.my_domain {
        return Err(("invalid_grant", "request not supported on this domain"));
    }
    let basic = headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let pair = basic.as_deref().and_then(|text| text.split_once(':'));
    let (id, secret) = pair.unwrap_or((field(form, "client_id"), field(form, "client_secret")));
    if id != org.options.client_id {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    if secret != org.options.client_secret {
        return Err(("invalid_client", "invalid client credentials"));
    }
    Ok(())
}

fn refresh(org: &mut Org, form: &Form) -> Result<Option<String>, (&'static str, &'static str)> {
    if field(form, "client_id") != org.options.client_id {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    let secret = field(form, "client_secret");
    if !secret.is_empty() && secret != org.options.client_secret {
        return Err(("invalid_client", "invalid client credentials"));
    }
    let used = org.sessions.refresh(field(form, "refresh_token"));
    used.ok_or(("invalid_grant", "expired access/refresh token"))
}

fn granted(
    org: &mut Org,
    headers: &BTreeMap<String, String>,
    refresh_token: Option<String>,
) -> Answer {
    let (organization, user, now) =
        (org.organization_id.clone(), org.integration_user.clone(), org.now());
    let token = org.sessions.open(&organization, &user, now);
    let instance = origin(headers);
    let id = format!("{instance}/id/{organization}/{user}");
    let issued_at = now.as_millis().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, org.options.client_secret.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
    let mut body = json!({
        "access_token": token, "token_type": "Bearer", "instance_url": instance, "id": id,
        "issued_at": issued_at, "signature": signature, "scope": "api refresh_token id",
    });
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    Answer::json(200, body).with("Cache-Control", "no-store")
}

/// `POST /services/oauth2/revoke`.
pub(super) fn revoke(org: &mut Org, form: &Form) -> Answer {
    org.sessions.close(field(form, "token"));
    Answer::empty(200)
}

/// `POST /services/oauth2/introspect`.
pub(super) fn introspect(org: &Org, form: &Form) -> Answer {
    let now = org.now();
    let Some(ends) = org.sessions.ends(field(form, "token"), now) else {
        return Answer::json(200, json!({ "active": false }));
    };
    Answer::json(
        200,
        json!({
            "active": true, "scope": "api refresh_token id", "client_id": org.options.client_id,
            "username": org.options.username, "sub": org.integration_user,
            "token_type": "access_token", "exp": ends.as_secs(), "iat": now.as_secs(),
            "nbf": now.as_secs(),
        }),
    )
}
