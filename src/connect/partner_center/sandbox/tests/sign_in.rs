//! Tokens, audiences, consent.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::super::{PARTNER_CENTER_AUDIENCE, REFERRALS_AUDIENCE, SignInFailure};
use super::{Answer, REFERRALS, World};

async fn post_form(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("host", "127.0.0.1:9")
        .body(Body::from(body))
        .expect("a request");
    world.send(request).await
}

async fn redeem(world: &World, refresh: &str, resource: &str) -> Answer {
    let options = world.sandbox.options();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", options.client_id.as_str()),
        ("client_secret", options.client_secret.as_str()),
        ("refresh_token", refresh),
        ("resource", resource),
    ];
    post_form(world, "/contoso.example/oauth2/token", &fields).await
}

async fn read_with(world: &World, token: &str, path: &str) -> Answer {
    let request = Request::get(path)
        .header("authorization", format!("Bearer {token}"))
        .header("validatemfa", "true")
        .body(Body::empty())
        .expect("a request");
    world.send(request).await
}

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn v1_answers_numbers_as_text_and_rotates_while_the_old_token_stays_valid() {
    let world = World::new();
    let first = world.sandbox.refresh_token();
    let answer = redeem(&world, &first, REFERRALS_AUDIENCE).await.json();
    assert_eq!(answer["expires_in"], "3600", "v1 sends text");
    assert_eq!(answer["resource"], REFERRALS_AUDIENCE);
    let second = text(&answer, "refresh_token");
    assert_ne!(first, second, "each redemption hands out a replacement");
    for refresh in [&first, &second] {
        let answer = redeem(&world, refresh, PARTNER_CENTER_AUDIENCE).await;
        assert_eq!(answer.status, StatusCode::OK, "both mint for the other audience too");
    }
}

#[tokio::test]
async fn v2_answers_numbers_and_one_resource_only() {
    let world = World::new();
    let options = world.sandbox.options();
    let refresh = world.sandbox.refresh_token();
    let table = [
        ("https://api.partner.microsoft.com/.default offline_access", None, "as documented"),
        ("https://api.partnercenter.microsoft.com/user_impersonation", None, "the other form"),
        ("https://graph.microsoft.com/.default", Some(70_011), "not a resource of ours"),
        (
            "https://api.partner.microsoft.com/.default https://api.partnercenter.microsoft.com/.default",
            Some(28_000),
            "two resources",
        ),
    ];
    for (scope, code, why) in table {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", options.client_id.as_str()),
            ("client_secret", options.client_secret.as_str()),
            ("refresh_token", refresh.as_str()),
            ("scope", scope),
        ];
        let answer = post_form(&world, "/common/oauth2/v2.0/token", &fields).await;
        let json = answer.json();
        match code {
            None => {
                assert_eq!(json["expires_in"], 3600, "{why}: v2 sends numbers");
                assert_eq!(json["resource"], Json::Null, "{why}");
                let offline = scope.contains("offline_access");
                assert_eq!(json["refresh_token"].is_string(), offline, "{why}");
            }
            Some(code) => {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
                assert_eq!(json["error_codes"], json!([code]), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn every_failure_has_its_code_and_status() {
    let table = [
        (SignInFailure::ExpiredByInactivity, 400, 700_082),
        (SignInFailure::Expired, 400, 70_008),
        (SignInFailure::Revoked, 400, 50_173),
        (SignInFailure::MfaRequired, 400, 50_076),
        (SignInFailure::MfaEnrolmentRequired, 400, 50_079),
        (SignInFailure::BlockedByConditionalAccess, 400, 53_003),
        (SignInFailure::ConsentMissing, 400, 65_001),
        (SignInFailure::SecretWrong, 401, 7_000_215),
        (SignInFailure::SecretExpired, 401, 7_000_222),
    ];
    assert_eq!(table.map(|(failure, ..)| failure), SignInFailure::ALL, "each once");
    for (failure, status, code) in table {
        let world = World::new();
        let refresh = world.sandbox.refresh_token();
        world.sandbox.fail_sign_in(Some(failure));
        let answer = redeem(&world, &refresh, REFERRALS_AUDIENCE).await;
        assert_eq!(answer.status.as_u16(), status, "{failure:?}");
        let json = answer.json();
        assert_eq!(json["error_codes"], json!([code]), "{failure:?}");
        assert_eq!(json["timestamp"], "2026-09-01 10:00:00Z", "{failure:?}");
        let start = format!("AADSTS{code}:");
        assert!(text(&json, "error_description").starts_with(&start), "{failure:?}");
        world.sandbox.fail_sign_in(None);
        let answer = redeem(&world, &refresh, REFERRALS_AUDIENCE).await;
        assert_eq!(answer.status, StatusCode::OK, "{failure:?} was taken back");
    }
}

#[tokio::test]
async fn a_refresh_token_dies_when_revoked_or_after_90_days_without_use() {
    let world = World::new();
    let old = world.sandbox.refresh_token();
    world.sandbox.revoke_refresh_tokens(SignInFailure::Revoked);
    let answer = redeem(&world, &old, REFERRALS_AUDIENCE).await.json();
    assert_eq!(answer["error_codes"], json!([50_173]));

    let fresh = world.sandbox.refresh_token();
    world.clock.advance(Duration::from_secs(89 * 86_400));
    let answer = redeem(&world, &fresh, REFERRALS_AUDIENCE).await;
    assert_eq!(answer.status, StatusCode::OK, "a new consent helps, for 90 days");
    let replacement = text(&answer.json(), "refresh_token");
    world.clock.advance(Duration::from_secs(2 * 86_400));
    let answer = redeem(&world, &fresh, REFERRALS_AUDIENCE).await.json();
    assert_eq!(answer["error_codes"], json!([700_082]));
    let answer = redeem(&world, &replacement, REFERRALS_AUDIENCE).await;
    assert_eq!(answer.status, StatusCode::OK, "the replacement has its own 90 days");
}

#[tokio::test]
async fn each_host_takes_its_own_audience_only() {
    let world = World::new();
    let table = [
        (REFERRALS_AUDIENCE, REFERRALS, 200),
        (PARTNER_CENTER_AUDIENCE, REFERRALS, 401),
        (PARTNER_CENTER_AUDIENCE, "/v1/profiles/mpn", 200),
        (REFERRALS_AUDIENCE, "/v1/profiles/mpn", 401),
        (REFERRALS_AUDIENCE, "/webhooks/v1/registration/events", 401),
        ("https://graph.microsoft.com", REFERRALS, 401),
    ];
    for (audience, path, status) in table {
        let token = world.sandbox.access_token(audience);
        let answer = read_with(&world, &token, path).await;
        assert_eq!(answer.status.as_u16(), status, "{audience} at {path}");
        let json = answer.json();
        match (status, path == REFERRALS) {
            (401, true) => assert_eq!(json["error"]["code"], "unauthenticated"),
            (401, false) => assert_eq!(json["code"], "invalidAudience", "the other shape"),
            _ => {}
        }
    }
    let token = world.sandbox.access_token(REFERRALS_AUDIENCE);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(read_with(&world, &token, REFERRALS).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn mfa_is_told_by_the_token_and_enforced_when_asked() {
    let world = World::with(|options| options.consent_with_mfa = false);
    let token = world.sandbox.access_token(REFERRALS_AUDIENCE);
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Json = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["amr"], json!(["pwd"]));
    let answer = read_with(&world, &token, REFERRALS).await;
    assert_eq!(answer.status, StatusCode::OK, "not enforced yet");
    assert_eq!(answer.header("ismfacompliant"), Some("false"), "the dry run tells");

    world.sandbox.set_options(|options| options.mfa_enforced = true);
    let answer = read_with(&world, &token, REFERRALS).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["error"]["innerError"]["code"], "900421");
    let token = world.sandbox.access_token(PARTNER_CENTER_AUDIENCE);
    assert_eq!(read_with(&world, &token, "/v1/profiles/mpn").await.json()["code"], "900421");

    world.sandbox.set_options(|options| options.consent_with_mfa = true);
    let token = world.sandbox.access_token(REFERRALS_AUDIENCE);
    let answer = read_with(&world, &token, REFERRALS).await;
    assert_eq!((answer.status, answer.header("ismfacompliant")), (StatusCode::OK, Some("true")));
    let adoption = world.get("/v1/applicationmfaadoptionstatus").await.json();
    assert_eq!(adoption[0]["totalRequestCount"], 5);
    assert_eq!(adoption[0]["mfaCompliantRequestCount"], 2);
}

#[tokio::test]
async fn an_application_alone_may_register_webhooks_but_not_read_referrals() {
    let world = World::new();
    let options = world.sandbox.options();
    let token_for = async |resource: &str| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", options.client_id.as_str()),
            ("client_secret", options.client_secret.as_str()),
            ("resource", resource),
        ];
        let answer = post_form(&world, "/contoso.example/oauth2/token", &fields).await.json();
        assert_eq!(answer["refresh_token"], Json::Null, "nobody signed in");
        text(&answer, "access_token")
    };
    let token = token_for(REFERRALS_AUDIENCE).await;
    assert_eq!(read_with(&world, &token, REFERRALS).await.status, StatusCode::FORBIDDEN);
    let token = token_for(PARTNER_CENTER_AUDIENCE).await;
    let events = read_with(&world, &token, "/webhooks/v1/registration/events").await;
    assert_eq!(events.status, StatusCode::OK);
    let answer = read_with(&world, &token, "/v1/profiles/mpn").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (403, &json!("900329")));
}

#[tokio::test]
async fn a_code_flow_with_proof_key_ends_in_a_refresh_token_once() {
    let world = World::new();
    let options = world.sandbox.options();
    let verifier = "a-verifier-of-some-length-0123456789-0123456789";
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(digest);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", options.client_id.as_str()),
            ("redirect_uri", "http://localhost:5000/done"),
            ("response_type", "code"),
            ("state", "s 1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    let path = format!("/common/oauth2/v2.0/authorize?{query}");
    let answer = world.send(Request::get(path).body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let location = url::Url::parse(answer.header("location").expect("a location")).expect("a URL");
    let pairs: Vec<(String, String)> = location.query_pairs().into_owned().collect();
    assert_eq!(pairs.get(1), Some(&("state".to_owned(), "s 1".to_owned())));
    let redeem = async |code: &str, verifier: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", options.client_id.as_str()),
            ("client_secret", options.client_secret.as_str()),
            ("code", code),
            ("redirect_uri", "http://localhost:5000/done"),
            ("code_verifier", verifier),
            ("scope", "https://api.partner.microsoft.com/.default offline_access"),
        ];
        post_form(&world, "/common/oauth2/v2.0/token", &fields).await
    };
    let code = &pairs.first().expect("a code").1;
    let answer = redeem(code, verifier).await;
    assert!(answer.json()["refresh_token"].is_string(), "{}", answer.text);
    let again = redeem(code, verifier).await;
    assert_eq!(again.json()["error"], "invalid_grant", "a code is used up");
}

#[tokio::test]
async fn a_device_code_waits_for_the_user() {
    let world = World::with(|options| options.device_approved_after_polls = None);
    let options = world.sandbox.options();
    let scope = "https://api.partner.microsoft.com/.default offline_access";
    let fields = [("client_id", options.client_id.as_str()), ("scope", scope)];
    let started = post_form(&world, "/common/oauth2/v2.0/devicecode", &fields).await.json();
    let code = text(&started, "device_code");
    let poll = async || {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", options.client_id.as_str()),
            ("device_code", code.as_str()),
        ];
        post_form(&world, "/common/oauth2/v2.0/token", &fields).await.json()
    };
    assert_eq!(poll().await["error"], "authorization_pending");
    assert!(world.sandbox.approve_device_code(&text(&started, "user_code")));
    assert!(poll().await["refresh_token"].is_string());
    assert_eq!(poll().await["error"], "bad_verification_code", "used up");
}
