use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use url::Url;

use super::login::DevicePoll;
use super::sandbox::{Options, PartnerCenterSandbox, SignInFailure};
use super::testing::{Counting, HandClock, MemoryVault};
use super::{Client, Credential, Settings, Trial};
use crate::connect::error::ConnectError;
use crate::connect::http::{Call, Http, HttpSettings};
use crate::connect::partner_center_seam::{PartnerCenter, WebhookSlot};
use crate::connect::sandbox::{Fault, FaultEffect, SandboxClock, Serving};
use crate::domain::clock::Clock;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

const NOW: &str = "2026-09-01T10:00:00Z";

struct Bench {
    sandbox: PartnerCenterSandbox,
    serving: Serving,
    vault: Arc<MemoryVault>,
    clock: Arc<HandClock>,
}

async fn bench(change: impl FnOnce(&mut Options)) -> Bench {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = Options::default();
    change(&mut options);
    let at = Timestamp::parse(NOW).expect("an instant");
    let sandbox = PartnerCenterSandbox::new(options, SandboxClock::frozen(at));
    let serving = sandbox.serve("127.0.0.1:0".parse().expect("an address")).await.expect("serving");
    let vault = Arc::new(MemoryVault::default());
    Bench { sandbox, serving, vault, clock: Arc::new(HandClock::at(NOW)) }
}

impl Bench {
    fn settings(&self, token_path: &str) -> Settings {
        let options = self.sandbox.options();
        let mut settings =
            Settings::public(&options.tenant_id, &options.client_id).expect("settings");
        let base = self.serving.url();
        let url = |path: &str| Url::parse(&format!("{base}/{path}")).expect("a url");
        settings.token_url = url(&format!("{}/{token_path}", options.tenant_id));
        settings.referrals_url = url("v1.0/engagements/");
        settings.webhooks_url = url("");
        settings
    }

    fn client_with(&self, configured: Option<String>, token_path: &str) -> Client {
        let secret = SecretString::from(self.sandbox.options().client_secret);
        Client::new(
            self.settings(token_path),
            Credential::Secret(secret),
            configured.map(SecretString::from),
            Arc::clone(&self.vault) as Arc<_>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::new(Counting::default()),
        )
        .expect("a client")
    }

    fn client(&self) -> Client {
        self.client_with(Some(self.sandbox.refresh_token()), "oauth2/v2.0/token")
    }

    fn sign_ins(&self) -> usize {
        let is_token = |path: &str| path.ends_with("/token");
        self.sandbox.request_log().iter().filter(|request| is_token(&request.path)).count()
    }
}

#[tokio::test]
async fn both_token_endpoints_serve_both_audiences() {
    for path in ["oauth2/v2.0/token", "oauth2/token"] {
        let bench = bench(|_| ()).await;
        let client = bench.client_with(Some(bench.sandbox.refresh_token()), path);
        let probe = client.probe().await.expect("signed in");
        assert_eq!(probe.mfa, Some(true), "{path}");
        assert_eq!(probe.refresh_token_days_left, Some(90), "{path}");
        assert!(bench.vault.newest().is_some(), "{path}: the rotated token is kept");
        assert_eq!(
            client.mpn_profile(None).await.expect("a profile").map(|it| it.mpn_id).as_deref(),
            Some("1234567")
        );
    }
}

#[tokio::test]
async fn many_waiters_cause_one_sign_in() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    let calls = (0..8).map(|_| client.changes(None));
    for page in futures_util::future::join_all(calls).await {
        page.expect("a page");
    }
    assert_eq!(bench.sign_ins(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_hold_up_calls() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    bench.sandbox.throttle("/referrals", 1, Duration::from_secs(57));
    assert!(client.changes(None).await.is_err(), "throttled");
    bench.clock.set_back(Duration::from_secs(3_600));
    client.changes(None).await.expect("nobody asked for a wait of an hour");
    let day = Duration::from_secs(24 * 3_600);
    bench.clock.set_back(day);
    client.changes(None).await.expect("the token is used as long as it works");
    bench.clock.advance(day);
    client.changes(None).await.expect("set right again");
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_not_used() {
    let bench = bench(|_| ()).await;
    bench.vault.broken.store(true, Ordering::SeqCst);
    let error = bench.client().changes(None).await.expect_err("not kept");
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error}");
    let referrals =
        bench.sandbox.request_log().iter().filter(|it| it.path.contains("referrals")).count();
    assert_eq!(referrals, 0);
}

#[tokio::test]
async fn every_refusal_says_what_to_do_and_is_not_repeated() {
    let table = [
        (SignInFailure::ExpiredByInactivity, "AADSTS700082", "login"),
        (SignInFailure::Revoked, "AADSTS50173", "revoked"),
        (SignInFailure::MfaRequired, "AADSTS50076", "multi-factor"),
        (SignInFailure::BlockedByConditionalAccess, "AADSTS53003", "Conditional Access"),
        (SignInFailure::ConsentMissing, "AADSTS65001", "admin consent"),
        (SignInFailure::SecretWrong, "AADSTS7000215", "secret is wrong"),
        (SignInFailure::SecretExpired, "AADSTS7000222", "secret has expired"),
    ];
    for (failure, code, advice) in table {
        let bench = bench(|_| ()).await;
        let client = bench.client();
        bench.sandbox.fail_sign_in(Some(failure));
        for _ in 0..3 {
            let error = client.changes(None).await.expect_err("refused");
            let ConnectError::Unauthorized(text) = error else { unreachable!("{error}") };
            assert!(text.contains(code) && text.contains(advice), "{text}");
        }
        assert_eq!(bench.sign_ins(), 1, "{failure:?}: remembered");
        bench.sandbox.fail_sign_in(None);
        assert!(client.changes(None).await.is_err(), "{failure:?}: still remembered");
        client.forget().await;
        assert!(client.changes(None).await.is_ok(), "{failure:?}: asked again when told to");
    }
}

#[tokio::test]
async fn a_refused_stored_token_gives_way_to_the_configured_one() {
    let bench = bench(|_| ()).await;
    let old = MemoryVault::holding(&bench.sandbox.refresh_token());
    bench.sandbox.revoke_refresh_tokens(SignInFailure::Revoked);
    bench.vault.saved.lock().expect("not poisoned").extend(old.saved.into_inner().expect("kept"));
    let client = bench.client();
    client.changes(None).await.expect("the configured token");
    assert_eq!(bench.sign_ins(), 2, "stored first, then configured");
    client.referrals.forget().await;
    client.changes(None).await.expect("the stored, rotated token");
    assert_eq!(bench.sign_ins(), 3);
}

#[tokio::test]
async fn a_new_token_in_the_vault_ends_a_refusal() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    bench.sandbox.revoke_refresh_tokens(SignInFailure::Revoked);
    assert!(client.changes(None).await.is_err());
    let fresh = MemoryVault::holding(&bench.sandbox.refresh_token());
    bench.vault.saved.lock().expect("not poisoned").extend(fresh.saved.into_inner().expect("kept"));
    client.changes(None).await.expect("the new consent");
}

#[tokio::test]
async fn a_dead_access_token_is_renewed_once() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    client.changes(None).await.expect("a page");
    bench.sandbox.forget_access_tokens();
    client.changes(None).await.expect("renewed");
    assert_eq!(bench.sign_ins(), 2);
    let refused = FaultEffect::Answer {
        status: 401,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: String::new(),
    };
    bench.sandbox.faults().add(Fault { times: 9, ..Fault::once("GET", "referrals", refused) });
    let error = client.changes(None).await.expect_err("refused");
    assert!(matches!(error, ConnectError::Unauthorized(_)), "{error}");
    assert_eq!(bench.sandbox.faults().waiting(), 1);
    assert_eq!(bench.sign_ins(), 3, "one renewal, not a loop");
}

#[tokio::test]
async fn enforced_mfa_is_told_apart_and_not_answered_with_a_renewal() {
    let bench = bench(|options| {
        options.consent_with_mfa = false;
        options.mfa_enforced = true;
    })
    .await;
    let error = bench.client().changes(None).await.expect_err("refused");
    let ConnectError::Unauthorized(text) = error else { unreachable!("{error}") };
    assert!(text.contains("multi-factor") && text.contains("900421"), "{text}");
    assert_eq!(bench.sign_ins(), 1);
}

#[tokio::test]
async fn a_staged_secret_is_tried_without_being_used() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    client.changes(None).await.expect("signed in");
    let kept = bench.vault.newest();
    let wrong = Credential::Secret(SecretString::from("wrong"));
    assert!(matches!(client.try_credential(&wrong).await, Trial::Refused(_)));
    let right = Credential::Secret(SecretString::from(bench.sandbox.options().client_secret));
    assert_eq!(client.try_credential(&right).await, Trial::Works);
    assert_eq!(bench.vault.newest(), kept, "nothing was replaced");
    client.replace_credential(wrong);
    client.forget().await;
    assert!(client.changes(None).await.is_err(), "now it is in use");
    client.replace_credential(right);
    client.changes(None).await.expect("another credential ends the refusal");
}

#[tokio::test]
async fn a_certificate_signs_in_too() {
    let bench = bench(|_| ()).await;
    let key = include_str!("fixtures/signer.pem");
    let pair = rcgen::KeyPair::from_pem(key).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["app.contoso.example".to_owned()]);
    let certificate = params.expect("parameters").self_signed(&pair).expect("a certificate");
    let other = rcgen::CertificateParams::new(vec!["other.contoso.example".to_owned()]);
    let other = other.expect("parameters").self_signed(&pair).expect("a certificate");
    bench.sandbox.set_options(|options| options.client_certificate = certificate.pem());
    let client = bench.client();
    let other_key = include_str!("sandbox/fixtures/sandbox-only-signer.key.pem");
    for (certificate, key, works, why) in [
        (&other, key, false, "a certificate that the application does not have"),
        (&certificate, other_key, false, "another key than the certificate's"),
        (&certificate, key, true, "the application's own"),
    ] {
        let credential = Credential::certificate(certificate.pem().as_bytes(), key.as_bytes());
        client.replace_credential(credential.expect("a credential"));
        client.forget().await;
        match client.probe().await {
            Ok(_) => assert!(works, "{why}"),
            Err(ConnectError::Unauthorized(text)) => {
                assert!(!works && text.contains("AADSTS700027"), "{why}: {text}");
            }
            Err(other) => panic!("{why}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_device_code_gives_a_refresh_token_that_works() {
    let bench = bench(|options| options.device_approved_after_polls = None).await;
    let client = bench.client_with(None, "oauth2/v2.0/token");
    let error = client.changes(None).await.expect_err("no token yet");
    assert!(error.to_string().contains("login"), "{error}");
    let login = client.begin_device_login().await.expect("a code");
    let pending = client.poll_device_login(&login).await.expect("an answer");
    assert!(matches!(pending, DevicePoll::Pending(wait) if wait >= login.interval));
    assert!(bench.sandbox.approve_device_code(&login.user_code));
    let done = client.poll_device_login(&login).await.expect("an answer");
    let DevicePoll::Done(done) = done else { unreachable!("approved") };
    assert_eq!(done.mfa, Some(true));
    let client =
        bench.client_with(Some(done.refresh_token.expose_secret().to_owned()), "oauth2/v2.0/token");
    client.changes(None).await.expect("the new token");
}

#[tokio::test]
async fn a_code_login_checks_state_and_gives_a_refresh_token() {
    let bench = bench(|_| ()).await;
    let client = bench.client_with(None, "oauth2/v2.0/token");
    let login = client.begin_code_login("http://127.0.0.1:5000/").expect("a request");
    assert!(login.code("code=abc&state=other").is_err(), "another request's redirect");
    let state = login.url.query_pairs().find(|(name, _)| name == "state").expect("a state").1;
    assert!(login.code(&format!("error=access_denied&state={state}")).is_err());
    let browser = Http::new(&HttpSettings::default(), bench.clock.clone()).expect("a browser");
    let answer = browser.send(Call::read("GET", login.url.clone())).await.expect("an answer");
    let location = answer.header("location").expect("a redirect").to_owned();
    let query = Url::parse(&location).expect("a url").query().unwrap_or_default().to_owned();
    let code = login.code(&query).expect("the code");
    let done = client.redeem(&login, &code).await.expect("redeemed");
    assert_eq!(done.mfa, Some(true));
    let other = client.begin_code_login("http://127.0.0.1:5000/").expect("a request");
    assert!(client.redeem(&other, &code).await.is_err(), "another verifier, or a used code");
}

#[tokio::test]
async fn a_registration_that_another_tool_wrote_in_the_meantime_is_left_alone() {
    let bench = bench(|_| ()).await;
    let client = bench.client();
    let base = bench.serving.url();
    let [ours, theirs, others] = ["ours", "theirs", "others"].map(|path| format!("{base}/{path}"));
    let wanted = WebhookSlot {
        url: ours.clone(),
        events: vec!["referral-updated".to_owned()],
        signature_in_ms_header: true,
        last_modified: None,
    };
    let set = |url: &str| {
        let slot = serde_json::json!({
            "WebhookUrl": format!("{url}?code=hidden"), "WebhookEvents": ["invoice-ready"],
        });
        bench.sandbox.set_slot(&slot).expect("taken by another tool");
    };
    let with_code = |url: &str| Some(format!("{url}?code=hidden"));
    let table = [
        (Some(&theirs), None, false, "there was none when it was decided"),
        (Some(&theirs), with_code(&others), false, "it was somebody else's"),
        (Some(&theirs), with_code(&theirs), true, "as it was seen, to be taken over"),
    ];
    for (there, seen, written, why) in table {
        there.into_iter().for_each(|url| set(url));
        let answer = client.write_webhook_slot(&wanted, seen.as_deref()).await;
        let slot = bench.sandbox.slot().expect("a registration");
        if written {
            assert_eq!(answer.expect(why).url, ours, "{why}");
        } else {
            let Err(ConnectError::Exists(refusal)) = answer else { panic!("{why}: {answer:?}") };
            assert!(refusal.message.contains(theirs.as_str()), "{why}: {refusal}");
            assert!(!refusal.message.contains("hidden"), "{why}: no secret: {refusal}");
            assert!(slot["WebhookUrl"].to_string().contains("theirs"), "{why}");
        }
    }
    let answer = client.write_webhook_slot(&wanted, None).await;
    assert_eq!(answer.expect("ours may be completed at any time").url, ours);
}
