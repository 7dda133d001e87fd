//! Signing in, being challenged, `WhoAmI`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::{Org, START};
use crate::connect::dynamics365::sandbox::SandboxOptions;

// Made for these tests by `openssl req -x509 -newkey rsa:2048`; they open nothing.
const CERTIFICATE: &[u8] = include_bytes!("application_certificate.der");
const KEY: &[u8] = include_bytes!("application_key.der");
const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn a_wrong_grant_is_refused_with_its_own_code() {
    let expired_secret = Some("last year's".to_owned());
    let org = Org::with(SandboxOptions { expired_secret, ..SandboxOptions::default() }).await;
    let elsewhere = "https://other.example/.default";
    let doubled = format!("{}//.default", org.serving.url());
    let table = [
        // (field, value, status, error, code, why)
        ("client_secret", "old", 401, "invalid_client", 7_000_215, "wrong secret"),
        ("client_secret", "last year's", 401, "invalid_client", 7_000_222, "expired secret"),
        ("client_id", "someone", 400, "unauthorized_client", 700_016, "unknown application"),
        ("scope", elsewhere, 400, "invalid_resource", 500_011, "another host"),
        ("scope", &doubled, 400, "invalid_resource", 500_011, "a doubled slash"),
        ("scope", "x", 400, "invalid_scope", 70_011, "no address"),
        ("grant_type", "password", 400, "unsupported_grant_type", 70_003, "another grant"),
    ];
    for (field, value, status, error, code, why) in table {
        let reply = org.token_request(&[(field, value)]).await;
        assert_eq!(reply.status, status, "{why}");
        assert_eq!(reply.json()["error"], error, "{why}");
        assert_eq!(reply.json()["error_codes"], json!([code]), "{why}");
        let text = reply.json()["error_description"].as_str().unwrap().to_owned();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{why}: {text}");
    }
}

#[tokio::test]
async fn a_token_expires_by_the_clock_and_can_be_revoked() {
    let mut org = Org::new().await;
    assert_eq!(org.get("WhoAmI").await.status, 200);
    org.clock.advance(Duration::from_secs(3598));
    assert_eq!(org.get("WhoAmI").await.status, 200, "one second is left");
    org.clock.advance(Duration::from_secs(1));
    let refused = org.get("WhoAmI").await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("WWW-Authenticate");
    assert!(challenge.starts_with("Bearer authorization_uri="), "{challenge}");
    assert!(challenge.contains("11111111-1111-4111-8111-111111111111"), "names the tenant");
    org.sign_in().await;
    assert_eq!(org.get("WhoAmI").await.status, 200);
    org.sandbox.revoke_tokens();
    assert_eq!(org.get("WhoAmI").await.status, 401);
}

#[tokio::test]
async fn an_application_without_a_user_is_no_member() {
    let org = Org::with(SandboxOptions { is_member: false, ..SandboxOptions::default() }).await;
    let reply = org.get("WhoAmI").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "0x80072560"));
    org.sandbox.configure(|options| options.is_member = true);
    assert_eq!(org.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn who_am_i_tells_the_ids_and_the_parallelism() {
    let org = Org::new().await;
    for path in ["WhoAmI", "WhoAmI()"] {
        let reply = org.get(path).await;
        assert_eq!(reply.json()["UserId"], org.sandbox.application_user(), "{path}");
        assert_eq!(reply.json()["OrganizationId"], org.sandbox.organization_id(), "{path}");
        assert_eq!(reply.header("x-ms-dop-hint"), "8", "{path}");
        assert_eq!(reply.header("OData-Version"), "4.0", "{path}");
    }
}

/// Signs an assertion whose header and claims are as given.
fn assertion(header: &Json, claims: &Json) -> String {
    let part = |value: &Json| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = ring::signature::RsaKeyPair::from_pkcs8(KEY).unwrap();
    let padding: &dyn ring::signature::RsaEncoding = match header["alg"].as_str() {
        Some("RS256") => &ring::signature::RSA_PKCS1_SHA256,
        _ => &ring::signature::RSA_PSS_SHA256,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn an_assertion_is_checked_in_every_part() {
    let options =
        SandboxOptions { certificate_der: Some(CERTIFICATE.to_vec()), ..SandboxOptions::default() };
    let org = Org::with(options.clone()).await;
    let digest = |algorithm| URL_SAFE_NO_PAD.encode(ring::digest::digest(algorithm, CERTIFICATE));
    let now = START / 1000;
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": digest(&ring::digest::SHA256)});
    let legacy = digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    let claims = json!({
        "aud": format!("{}/{}/oauth2/v2.0/token", org.serving.url(), options.tenant_id),
        "iss": options.client_id, "sub": options.client_id, "jti": "first",
        "nbf": now, "iat": now, "exp": now + 600,
    });
    let with = |base: &Json, name: &str, value: Json| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let good = assertion(&header, &claims);
    let second = with(&claims, "jti", json!("second"));
    let table = [
        // (assertion, status, why)
        (good.clone(), 200, "as documented"),
        (good.clone(), 401, "used before"),
        (
            assertion(&json!({"alg": "RS256", "typ": "JWT", "x5t": legacy}), &second),
            200,
            "the older form",
        ),
        (assertion(&header, &with(&claims, "aud", json!("https://x"))), 401, "wrong audience"),
        (assertion(&header, &with(&claims, "iss", json!("x"))), 401, "wrong issuer"),
        (assertion(&header, &with(&claims, "exp", json!(now - 301))), 401, "expired"),
        (assertion(&with(&header, "x5t#S256", json!("x")), &second), 401, "unknown certificate"),
        (assertion(&with(&header, "alg", json!("HS256")), &second), 401, "another algorithm"),
        (format!("{}A", good.trim_end_matches(|c: char| c.is_ascii())), 401, "no token"),
        (tampered(&assertion(&header, &with(&claims, "jti", json!("third")))), 401, "tampered"),
    ];
    for (assertion, status, why) in table {
        let form = [
            ("client_secret", ""),
            ("client_assertion_type", BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        let reply = org.token_request(&form).await;
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
        if status == 401 {
            assert_eq!(reply.json()["error_codes"], json!([700_027]), "{why}");
        }
    }
}

/// The same token with other claims under the old signature.
fn tampered(token: &str) -> String {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let claims = URL_SAFE_NO_PAD.encode(claims.replace("third", "forth"));
    format!("{header}.{claims}.{signature}")
}
