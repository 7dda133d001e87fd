//! Checklist 1 and 2: grants, sessions, identity, versions, limits.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{Site, site, site_with};
use crate::connect::salesforce::sandbox::SandboxOptions;
use crate::domain::time::Timestamp;

const KEY: &str = include_str!("../../../../../tests/fixtures/salesforce/signing-key.pem");
const PUBLIC: &str =
    include_str!("../../../../../tests/fixtures/salesforce/signing-public-key.pem");
const CERTIFICATE: &str =
    include_str!("../../../../../tests/fixtures/salesforce/signing-certificate.pem");

fn assertion(algorithm: &str, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({ "alg": algorithm })), encode(claims));
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims(site: &Site, more: Value) -> Value {
    let exp = site.clock.now().as_secs() + 120;
    let claims = json!({
        "iss": "sandbox-consumer-key", "sub": "integration@contoso.example",
        "aud": "https://login.salesforce.com", "exp": exp,
    });
    super::with(claims, more)
}

async fn token(site: &Site, form: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}/services/oauth2/token", site.serving.url());
    let answer = site.http.post(url).form(form).send().await.unwrap();
    let status = answer.status().as_u16();
    if status == 400 {
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    (status, answer.json().await.unwrap())
}

async fn jwt(site: &Site, assertion: &str) -> (u16, Value) {
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    token(site, &[("grant_type", grant), ("assertion", assertion)]).await
}

#[tokio::test]
async fn a_signed_assertion_opens_a_session() {
    for pem in [PUBLIC, CERTIFICATE] {
        let options = SandboxOptions { public_key_pem: Some(pem.into()), ..Default::default() };
        let site = site_with(options).await;
        let (status, body) = jwt(&site, &assertion("RS256", &claims(&site, json!({})))).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["instance_url"], site.serving.url().as_str(), "the host the client used");
        assert_eq!(body["issued_at"], site.clock.now().as_millis().to_string().as_str());
        assert_eq!(body.get("expires_in"), None, "there is none");
        assert_eq!(body.get("refresh_token"), None, "this grant never has one");
        let (organization, rest) = body["access_token"].as_str().unwrap().split_once('!').unwrap();
        assert!(organization.starts_with("00D") && organization.len() == 15 && !rest.is_empty());
        let ids: Vec<_> = body["id"].as_str().unwrap().rsplit('/').take(2).collect();
        assert_eq!(ids, [site.sandbox.integration_user(), site.sandbox.organization_id()]);
    }
}

#[tokio::test]
async fn assertions_are_judged_one_by_one() {
    let options = SandboxOptions { public_key_pem: Some(PUBLIC.into()), ..Default::default() };
    let site = site_with(options).await;
    let now = site.clock.now();
    let table = [
        ("RS256", json!({ "exp": (now.as_secs() + 60).to_string() }), 200, "", "digits as text"),
        ("RS256", json!({ "exp": now.as_millis() }), 200, "", "milliseconds, as one client sends"),
        ("RS256", json!({ "exp": now.as_secs() - 1 }), 400, "invalid_grant", "past"),
        ("RS256", json!({ "aud": site.serving.url() }), 400, "invalid_grant", "not in the list"),
        ("RS256", json!({ "aud": "https://test.salesforce.com" }), 200, "", "sandboxes"),
        ("RS256", json!({ "iss": "other" }), 400, "invalid_client_id", "unknown app"),
        ("RS256", json!({ "sub": "x@contoso.example" }), 400, "invalid_grant", "not approved"),
        ("HS256", json!({}), 400, "invalid_grant", "only RS256"),
    ];
    for (algorithm, more, expected, error, why) in table {
        let (status, body) = jwt(&site, &assertion(algorithm, &claims(&site, more))).await;
        assert_eq!(status, expected, "{why}: {body}");
        assert_eq!(body["error"].as_str().unwrap_or_default(), error, "{why}");
    }
    let good = assertion("RS256", &claims(&site, json!({})));
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(claims(&site, json!({ "x": 1 })).to_string());
    let forged = jwt(&site, &format!("{head}.{other}.{signature}")).await;
    assert_eq!(forged.0, 400, "signature of other claims");
}

#[tokio::test]
async fn client_credentials_need_a_my_domain() {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "sandbox-consumer-key"),
        ("client_secret", "sandbox-consumer-secret"),
    ];
    let site = site().await;
    assert_eq!(token(&site, &form).await.0, 200);
    let wrong = [form[0], form[1], ("client_secret", "wrong")];
    assert_eq!(token(&site, &wrong).await.1["error"], "invalid_client");
    let login_host = site_with(SandboxOptions { my_domain: false, ..Default::default() }).await;
    let (status, body) = token(&login_host, &form).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_rotated_refresh_token_works_once() {
    let options = SandboxOptions { rotate_refresh_tokens: true, ..Default::default() };
    let site = site_with(options).await;
    let form = |token: &'static str| {
        [
            ("grant_type", "refresh_token"),
            ("client_id", "sandbox-consumer-key"),
            ("refresh_token", token),
        ]
    };
    let (status, body) = token(&site, &form("sandbox-refresh-token-0")).await;
    assert_eq!(status, 200);
    let (again, refused) = token(&site, &form("sandbox-refresh-token-0")).await;
    assert_eq!((again, &refused["error"]), (400, &json!("invalid_grant")), "the old one is dead");
    let next: &'static str = body["refresh_token"].as_str().unwrap().to_owned().leak();
    assert_eq!(token(&site, &form(next)).await.0, 200, "the new one lives");
}

#[tokio::test]
async fn sessions_end_by_time_and_by_force() {
    let options = SandboxOptions {
        session_life: Duration::from_secs(900),
        session_slides: false,
        ..Default::default()
    };
    let mut site = site_with(options).await;
    assert_eq!(site.get("/limits").await.status, 200);
    site.clock.advance(Duration::from_secs(900));
    let reply = site.get("/limits").await;
    assert_eq!((reply.status, reply.code()), (401, "INVALID_SESSION_ID"));
    assert_eq!(reply.header("www-authenticate"), "Token");
    assert_eq!(reply.header("sforce-limit-info"), "", "not an authenticated answer");
    site.session = site.sandbox.log_in();
    assert_eq!(site.get("/limits").await.status, 200);
    site.sandbox.expire_sessions();
    assert_eq!(site.get("/limits").await.status, 401);
}

#[tokio::test]
async fn the_user_is_told_at_both_addresses() {
    let mut site = site().await;
    let info = site.raw("GET", "/services/oauth2/userinfo", Value::Null, &[]).await;
    assert_eq!(info.body["user_id"], site.sandbox.integration_user().as_str());
    assert_eq!(info.body["preferred_username"], "integration@contoso.example");
    let path =
        format!("/id/{}/{}", site.sandbox.organization_id(), site.sandbox.integration_user());
    let identity = site.raw("GET", &path, Value::Null, &[]).await;
    assert_eq!(identity.body["username"], "integration@contoso.example");
    site.session = "wrong".into();
    assert_eq!(site.raw("GET", &path, Value::Null, &[]).await.status, 403);
}

#[tokio::test]
async fn versions_are_live_retired_or_unknown() {
    let site = site().await;
    let all = site.raw("GET", "/services/data/", Value::Null, &[]).await;
    assert_eq!(all.body.as_array().map(Vec::len), Some(37));
    assert_eq!(all.header("sforce-limit-info"), "");
    let last = &all.body[36];
    assert_eq!((&last["label"], &last["version"]), (&json!("Summer '26"), &json!("67.0")));
    for (version, status) in
        [("v31.0", 200), ("v67.0", 200), ("v30.0", 410), ("v68.0", 404), ("x", 404)]
    {
        let reply = site.raw("GET", &format!("/services/data/{version}/"), Value::Null, &[]).await;
        assert_eq!(reply.status, status, "{version}");
    }
    assert_eq!(site.get("/search?q=x").await.status, 501, "real, not emulated");
    assert_eq!(site.get("/nonsense").await.status, 404);
}

#[tokio::test]
async fn the_quota_is_counted_over_a_rolling_day() {
    let site = site_with(SandboxOptions { daily_quota: 2, ..Default::default() }).await;
    let first = site.get("/limits").await;
    assert_eq!(first.header("sforce-limit-info"), "api-usage=1/2");
    assert_eq!(first.body["DailyApiRequests"], json!({ "Max": 2, "Remaining": 1 }));
    site.raw("GET", "/services/data", Value::Null, &[]).await;
    assert_eq!(site.get("/sobjects").await.status, 200, "the version list was free");
    let refused = site.get("/sobjects").await;
    assert_eq!((refused.status, refused.code()), (403, "REQUEST_LIMIT_EXCEEDED"));
    assert_eq!(refused.header("retry-after"), "", "there is no such header");
    site.clock.advance(Duration::from_secs(24 * 3600));
    let mut site = site;
    site.session = site.sandbox.log_in();
    assert_eq!(site.get("/limits").await.status, 200, "a day later");
    assert_eq!(site.sandbox.request_log().api_calls, 3);
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    use std::io::Write;
    let site = site().await;
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(json!({ "Name": "Contoso" }).to_string().as_bytes()).unwrap();
    let root = format!("{}/services/data/v66.0/sobjects/Account", site.serving.url());
    let post = site.http.post(&root).bearer_auth(&site.session);
    let post = post.header("content-type", "application/json").header("content-encoding", "gzip");
    assert_eq!(post.body(zip.finish().unwrap()).send().await.unwrap().status().as_u16(), 201);
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = plain.get(format!("{root}/describe")).bearer_auth(&site.session);
    let answer = get.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.bytes().await.unwrap()[..2], [0x1f, 0x8b], "the magic number of gzip");
}

#[tokio::test]
async fn answers_are_dated_by_the_emulated_clock() {
    let site = site().await;
    let at = Timestamp::parse(super::START).unwrap().http_date();
    assert_eq!(site.get("/limits").await.header("date"), at);
}
