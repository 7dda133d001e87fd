//! Signing in, in all three ways, and sessions that end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::{SandboxOptions, trouble};
use cosell_sync::connect::salesforce::{Auth, RefreshTokenVault, Salesforce};
use cosell_sync::connect::sandbox::Fault;
use cosell_sync::domain::secret::{ExposeSecret, SecretString};
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, World, client, fields, settings};

const KEY: &str = include_str!("../fixtures/salesforce/signing-key.pem");
const CERTIFICATE: &str = include_str!("../fixtures/salesforce/signing-certificate.pem");

fn jwt(audience: &str) -> Auth {
    let options = SandboxOptions::default();
    Auth::Jwt {
        client_id: options.client_id,
        username: options.username,
        private_key: SecretString::from(KEY),
        audience: audience.to_owned(),
    }
}

async fn world_with(auth: Auth) -> World {
    let world = World::new(SandboxOptions::default(), |settings| settings.auth = auth).await;
    world.sandbox.register_key(CERTIFICATE);
    world
}

#[tokio::test]
async fn a_signed_assertion_signs_in() {
    let world = world_with(jwt("https://login.salesforce.com")).await;
    let probe = world.client.probe().await.expect("a probe");
    assert_eq!(probe.organization_id, world.sandbox.organization_id());
    assert_eq!(probe.user_id, world.sandbox.integration_user());
    assert_eq!(probe.budget.map(|(_, allowed)| allowed), Some(15_000));
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let audience = world_with(jwt("https://contoso.my.salesforce.com")).await;
    let unregistered = World::new(SandboxOptions::default(), |settings| {
        settings.auth = jwt("https://login.salesforce.com")
    })
    .await;
    let secret = world_with(Auth::ClientCredentials {
        client_id: SandboxOptions::default().client_id,
        secret: SecretString::from("wrong"),
    })
    .await;
    let refresh = world_with(Auth::RefreshToken {
        client_id: SandboxOptions::default().client_id,
        secret: None,
        refresh_token: None,
    })
    .await;
    for (world, word, why) in [
        (audience, "audience", "a My Domain as the audience"),
        (unregistered, "certificate", "no certificate uploaded"),
        (secret, "secret", "a wrong secret"),
        (refresh, "login", "no refresh token"),
    ] {
        let refused = world.client.probe().await;
        let Err(ConnectError::Unauthorized(text)) = refused else { panic!("{why}: {refused:?}") };
        assert!(text.contains(word), "{why}: {text}");
        assert!(!text.contains("wrong\""), "no secret in {text}");
    }
}

#[derive(Default)]
struct Vault {
    kept: Mutex<Vec<String>>,
    full: bool,
}

#[async_trait]
impl RefreshTokenVault for Vault {
    async fn load(&self) -> Result<Option<SecretString>, String> {
        let kept = self.kept.lock().expect("the vault");
        Ok(kept.last().map(|token| SecretString::from(token.clone())))
    }

    async fn store(&self, token: &SecretString) -> Result<(), String> {
        if self.full {
            return Err("the disk is full".to_owned());
        }
        self.kept.lock().expect("the vault").push(token.expose_secret().to_owned());
        Ok(())
    }
}

async fn rotating() -> World {
    let options = SandboxOptions { rotate_refresh_tokens: true, ..SandboxOptions::default() };
    World::new(options, |_| {}).await
}

/// A client as after a start of the daemon: with the configured token and what the vault holds.
fn started(world: &World, vault: Arc<Vault>) -> Salesforce {
    let options = SandboxOptions::default();
    let mut settings = settings(&world.serving, &options);
    settings.auth = Auth::RefreshToken {
        client_id: options.client_id,
        secret: Some(SecretString::from(options.client_secret)),
        refresh_token: Some(SecretString::from(options.refresh_token)),
    };
    client(settings, &world.clock, Some(vault))
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_before_it_is_needed() {
    let vault = Arc::new(Vault::default());
    let world = rotating().await;
    let first = started(&world, vault.clone());
    first.probe().await.expect("the first sign-in");
    world.sandbox.expire_sessions();
    first.probe().await.expect("a second sign-in, with the new token");
    assert_eq!(vault.kept.lock().expect("the vault").len(), 2);
    let second = started(&world, vault.clone());
    second.probe().await.expect("after a restart, with the kept token");
    let forgetful = started(&world, Arc::new(Vault::default()));
    let dead = forgetful.probe().await;
    assert!(matches!(dead, Err(ConnectError::Unauthorized(_))), "the configured token is dead");
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_not_used() {
    let vault = Arc::new(Vault { full: true, ..Vault::default() });
    let world = rotating().await;
    let refused = started(&world, vault).probe().await;
    assert!(matches!(refused, Err(ConnectError::Unavailable(_))), "{refused:?}");
    let calls = world.sandbox.request_log().requests;
    assert!(calls.iter().all(|call| call.path.contains("/oauth2/token")), "{calls:?}");
}

#[tokio::test]
async fn a_session_that_ends_is_renewed_once_also_for_a_write() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    world.sandbox.expire_sessions();
    let change = fields(&json!({ "Description": "after the end" }));
    let shape = world.shape();
    world.client.update(&record, &record.version, &change, &shape).await.expect("an update");
    assert_eq!(world.held(&id)["Description"], json!("after the end"));
}

#[tokio::test]
async fn a_session_refused_twice_is_reported_and_not_tried_for_ever() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.read(&id).await;
    let fault = Fault { times: 2, ..Fault::once("GET", "/query", trouble::session_ended()) };
    world.sandbox.faults().add(fault);
    let before = world.client.calls();
    let refused = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Unauthorized(_))), "{refused:?}");
    assert_eq!(world.client.calls() - before, 4, "two tries, one sign-in with its userinfo");
}
