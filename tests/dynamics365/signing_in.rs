//! Tokens, refusals and limits.

use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::dynamics365::Credential;
use cosell_sync::connect::dynamics365::sandbox::SandboxOptions;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::http::jwt::certificate_der;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::RecordKind;
use cosell_sync::domain::secret::SecretString;
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{World, client, settings};

fn answer(status: u16, code: &str, retry_after: Option<&str>) -> FaultEffect {
    FaultEffect::Answer {
        status,
        retry_after: retry_after.map(str::to_owned),
        content_type: "application/json".to_owned(),
        body: json!({"error": {"code": code, "message": "refused"}}).to_string(),
    }
}

/// Every way to be refused tells the admin what to do, and none of them shows the secret.
#[tokio::test]
async fn every_refusal_tells_the_admin_what_to_do() {
    let world = World::plain().await;
    let options = SandboxOptions::default();
    let mut wrong_secret = settings(&world.serving, &options);
    wrong_secret.credential = Credential::Secret(SecretString::from("not-the-secret"));
    let mut wrong_app = settings(&world.serving, &options);
    wrong_app.client_id = "33333333-3333-4333-8333-333333333333".to_owned();
    world.sandbox.configure(|options| options.expired_secret = Some("not-the-secret-now".into()));
    let mut expired = settings(&world.serving, &options);
    expired.credential = Credential::Secret(SecretString::from("not-the-secret-now"));
    let mut wrong_tenant = settings(&world.serving, &options);
    let nowhere = format!("{}/{}/oauth2/v2.0/token", world.serving.url(), wrong_tenant.client_id);
    wrong_tenant.token_url = Some(nowhere.parse().expect("an address"));
    for (settings, expected) in [
        (wrong_secret, "the client secret is wrong"),
        (expired, "the client secret has expired"),
        (wrong_app, "client_id"),
        (wrong_tenant, "the tenant does not exist: check tenant_id (AADSTS90002)"),
    ] {
        let refused = client(settings, &world.clock).probe().await;
        let Err(ConnectError::Unauthorized(advice)) = refused else { panic!("{refused:?}") };
        assert!(advice.contains(expected), "{advice}");
        assert!(!advice.contains("not-the-secret"), "{advice}");
    }
    world.sandbox.configure(|options| options.is_member = false);
    let refused = world.client.probe().await;
    let Err(ConnectError::Unauthorized(advice)) = refused else { panic!("{refused:?}") };
    assert!(advice.contains("application user"), "{advice}");
}

/// A token that died early is replaced once; a door that stays shut is reported, without a loop.
#[tokio::test]
async fn a_dead_token_is_replaced_once() {
    let world = World::plain().await;
    let first = world.client.probe().await.expect("a probe");
    assert_eq!(first.organization_id, world.sandbox.organization_id());
    assert_eq!(first.user_id, world.sandbox.application_user());
    world.sandbox.revoke_tokens();
    world.client.probe().await.expect("a probe with a fresh token");

    let mut shut = cosell_sync::connect::sandbox::Fault::once(
        "GET",
        "/WhoAmI",
        answer(401, "0x80044302", None),
    );
    shut.times = 10;
    world.sandbox.faults().add(shut);
    let refused = world.client.probe().await;
    assert!(matches!(refused, Err(ConnectError::Unauthorized(_))), "{refused:?}");
    world.sandbox.faults().clear();
    world.client.probe().await.expect("open again");
}

/// A write that met a dead token lands once.
#[tokio::test]
async fn a_write_with_a_dead_token_lands_once() {
    let world = World::plain().await;
    let referral = "11111111-2222-4333-8444-555555555555";
    world.client.describe(RecordKind::Opportunity).await.expect("a schema");
    world.sandbox.revoke_tokens();
    world
        .client
        .create(RecordKind::Opportunity, referral, &world.create_fields(), &world.shape())
        .await
        .expect("a record");
    assert_eq!(world.count(referral).await, 1);
}

/// The certificate way: signed with PS256, named by the certificate's SHA-256, checked by the
/// emulator against the certificate it knows.
#[tokio::test]
async fn a_certificate_signs_in() {
    const CERTIFICATE: &[u8] = include_bytes!("../fixtures/dynamics365/app.pem");
    const KEY: &str = include_str!("../fixtures/dynamics365/app-key.pem");
    let options = SandboxOptions {
        certificate_der: certificate_der(CERTIFICATE).ok(),
        ..SandboxOptions::default()
    };
    let world = World::new(options.clone(), |settings| {
        settings.credential = Credential::Certificate {
            certificate_pem: CERTIFICATE.to_vec(),
            key_pem: SecretString::from(KEY),
        };
    })
    .await;
    world.client.probe().await.expect("a probe");

    // A certificate the app registration does not know, with the right key.
    let other = rcgen::generate_simple_self_signed(vec!["contoso.example".to_owned()]);
    let other = other.expect("a certificate");
    let mut unknown = settings(&world.serving, &options);
    unknown.credential = Credential::Certificate {
        certificate_pem: other.cert.pem().into_bytes(),
        key_pem: SecretString::from(KEY),
    };
    let refused = client(unknown, &world.clock).probe().await;
    let Err(ConnectError::Unauthorized(advice)) = refused else { panic!("{refused:?}") };
    assert!(advice.contains("upload it to the app registration"), "{advice}");
}

/// All three limits are obeyed, also when a proxy turned 429 into 403.
#[tokio::test]
async fn every_service_protection_code_gates_the_principal() {
    for status in [429, 403] {
        for code in ["0x80072321", "0x80072322", "0x80072326"] {
            let world = World::plain().await;
            world.client.probe().await.expect("a probe");
            world.fault("GET", "/WhoAmI", answer(status, code, Some("12")));
            let refused = world.client.probe().await;
            let Err(ConnectError::Throttled(wait)) = refused else { panic!("{refused:?}") };
            assert_eq!(wait, Duration::from_secs(12), "{status} {code}");
            let before = world.sandbox.request_log().len();
            let gated = world.client.describe(RecordKind::Lead).await;
            assert!(matches!(gated, Err(ConnectError::Throttled(_))), "{gated:?}");
            assert_eq!(world.sandbox.request_log().len(), before, "nothing was sent");
            world.advance(Duration::from_secs(13));
            world.client.probe().await.expect("open again");
        }
    }
}

/// The reserve of the daily budget is left to others; a day later there is room again.
#[tokio::test]
async fn the_daily_reserve_is_not_touched() {
    let world = World::new(SandboxOptions::default(), |settings| {
        settings.daily_budget = 10;
        settings.daily_reserve = 7;
    })
    .await;
    for used in 1..=3 {
        let probe = world.client.probe().await.expect("a probe");
        assert_eq!(probe.budget, Some((used, 3)));
    }
    let refused = world.client.probe().await;
    let Err(ConnectError::Throttled(wait)) = refused else { panic!("{refused:?}") };
    assert!(wait > Duration::from_secs(23 * 3600), "{wait:?}");
    world.advance(wait);
    world.client.probe().await.expect("a new day");
}

/// An HTML page in place of JSON is never data and never a deletion.
#[tokio::test]
async fn an_html_page_is_not_an_answer() {
    let world = World::plain().await;
    let id = world.id_of_nothing();
    let shape = world.shape();
    world.client.fetch(RecordKind::Opportunity, &id, &shape).await.expect("the schema is read");
    let page = |status| FaultEffect::Answer {
        status,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: "<html>Sign in</html>".to_owned(),
    };
    for status in [200, 404, 502] {
        world.fault("GET", "/opportunities(", page(status));
        let answer = world.client.fetch(RecordKind::Opportunity, &id, &shape).await;
        let temporary =
            matches!(answer, Err(ConnectError::Broken(_) | ConnectError::Unavailable(_)));
        assert!(temporary, "{status}: {answer:?}");
    }
}

/// A body over the cap is not taken; after a write that means "look first".
#[tokio::test]
async fn an_answer_over_the_cap_is_not_taken() {
    let world = World::new(SandboxOptions::default(), |settings| {
        settings.http.body_bytes = 60_000;
    })
    .await;
    let referral = "11111111-2222-4333-8444-555555555555";
    let new = world.create_fields();
    let kind = RecordKind::Opportunity;
    let made = world.client.create(kind, referral, &new, &world.shape()).await.expect("a record");
    let huge = |status| FaultEffect::Answer {
        status,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: " ".repeat(60_001),
    };
    world.fault("GET", "/opportunities(", huge(200));
    let read = world.client.fetch(kind, &made.key.id, &world.shape()).await;
    assert!(matches!(read, Err(ConnectError::Broken(_))), "{read:?}");
    world.fault("PATCH", "/opportunities(", huge(200));
    let change = json!({"description": "x"}).as_object().cloned().expect("an object");
    let written = world.client.update(&made, &made.version, &change, &world.shape()).await;
    assert!(matches!(written, Err(ConnectError::Unknown(_))), "{written:?}");
}
