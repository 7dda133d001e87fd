use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData, SigningKey as _, date_time_ymd,
};
use url::Url;

use super::{CertificateFetcher, Verifier, VerifierSettings};
use crate::connect::http::Fetched;
use crate::connect::partner_center::testing::HandClock;
use crate::connect::webhook::{Hint, Refused, WebhookSource};

const URL: &str = "https://3psostorageacct.blob.core.windows.net/cert/\
                   pcnotifications-dispatch.microsoft.com.cer";
const NAME: &str = "pcnotifications-dispatch.microsoft.com";
const ORGANIZATION: &str = "Microsoft Corporation";
const BODY: &str = r#"{"EventName":"referral-updated","ResourceUri":"https://api.partnercenter.microsoft.com/engagements/v1/referrals/11111111-2222-4333-8444-555555555555","ResourceName":"referral"}"#;

fn key(pem: &str) -> KeyPair {
    KeyPair::from_pem(pem).expect("a key")
}

/// An RSA key of 1024 bits, which the crypto library would not even load as a private one.
struct ShortKey;

impl PublicKeyData for ShortKey {
    fn der_bytes(&self) -> &[u8] {
        include_bytes!("../fixtures/short-public.der")
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

fn signer() -> KeyPair {
    key(include_str!("../fixtures/signer.pem"))
}

fn other() -> KeyPair {
    key(include_str!("../fixtures/other.pem"))
}

fn authority() -> Issuer<'static, KeyPair> {
    Issuer::new(authority_params(), key(include_str!("../fixtures/authority.pem")))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "Test Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn roots_pem() -> Vec<u8> {
    let key = key(include_str!("../fixtures/authority.pem"));
    authority_params().self_signed(&key).expect("a root").pem().into_bytes()
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn issue(params: &CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
    params.signed_by(key, &authority()).expect("a certificate").der().to_vec()
}

fn good() -> Vec<u8> {
    issue(&leaf_params(), &signer())
}

/// Hands out what it is told and counts.
#[derive(Default)]
struct Shelf {
    files: Mutex<BTreeMap<String, Fetched>>,
    fetches: AtomicUsize,
}

impl Shelf {
    fn put(&self, file: Vec<u8>) {
        self.answer(Fetched::File(Bytes::from(file)));
    }

    fn answer(&self, fetched: Fetched) {
        self.files.lock().expect("not poisoned").insert(URL.to_owned(), fetched);
    }

    fn count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl CertificateFetcher for Shelf {
    async fn fetch(&self, url: &Url) -> Fetched {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let files = self.files.lock().expect("not poisoned");
        files.get(url.as_str()).cloned().unwrap_or(Fetched::Unavailable("answered 404".to_owned()))
    }
}

struct Door {
    verifier: Verifier,
    shelf: Arc<Shelf>,
    clock: Arc<HandClock>,
}

fn door_with(settings: VerifierSettings) -> Door {
    let shelf = Arc::new(Shelf::default());
    let clock = Arc::new(HandClock::at("2026-09-01T10:00:00Z"));
    let fetcher = Arc::clone(&shelf) as Arc<dyn CertificateFetcher>;
    let verifier = Verifier::new(settings, fetcher, clock.clone()).expect("a verifier");
    shelf.put(good());
    Door { verifier, shelf, clock }
}

fn door() -> Door {
    let mut settings = VerifierSettings::public(roots_pem(), Vec::new());
    settings.leaf_name = Some(NAME.to_owned());
    door_with(settings)
}

fn headers(signature: &[u8]) -> Vec<(String, String)> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("x-ms-signature", format!("Signature {}", STANDARD.encode(signature))),
        pair("x-ms-certificate-url", URL.to_owned()),
        pair("x-ms-signature-algorithm", "rsa-sha256".to_owned()),
    ]
}

fn sign(key: &KeyPair, body: &str) -> Vec<u8> {
    key.sign(body.as_bytes()).expect("a signature")
}

/// The outcome of a delivery as the status the door answers with.
async fn deliver(door: &Door, headers: &[(String, String)], body: &str) -> u16 {
    match door.verifier.accept(headers, None, &Bytes::from(body.to_owned())).await {
        Ok(_) => 200,
        Err(Refused::MissingHeader(_) | Refused::NotAnEvent(_)) => 400,
        Err(Refused::NotAuthentic(_)) => 401,
        Err(Refused::CannotVerify(_)) => 503,
    }
}

async fn deliver_signed(door: &Door, key: &KeyPair) -> u16 {
    deliver(door, &headers(&sign(key, BODY)), BODY).await
}

#[tokio::test]
async fn a_genuine_delivery_is_accepted_and_a_replay_is_the_same() {
    let door = door();
    let headers = headers(&sign(&signer(), BODY));
    let body = Bytes::from(BODY);
    let first = door.verifier.accept(&headers, None, &body).await.expect("genuine");
    let again = door.verifier.accept(&headers, None, &body).await.expect("a replay");
    assert_eq!(first, again, "W37");
    assert!(matches!(first.hints.as_slice(), [Hint::Referral { .. }]));
    assert_eq!(first.fingerprint.len(), 64);
    assert_eq!(door.shelf.count(), 1, "the certificate is kept");

    let mut default_header = headers.clone();
    default_header[0].0 = "Authorization".to_owned();
    let same = door.verifier.accept(&default_header, None, &body).await;
    assert_eq!(same.expect("the other header"), first);
}

#[tokio::test]
async fn every_bad_header_is_refused_without_a_fetch() {
    let good = headers(&sign(&signer(), BODY));
    let with = |at: usize, value: &str| {
        let mut headers = good.clone();
        headers[at].1 = value.to_owned();
        headers
    };
    let twice = |at: usize| {
        let mut headers = good.clone();
        headers.push(good[at].clone());
        headers
    };
    let without = |at: usize| {
        let mut headers = good.clone();
        headers.remove(at);
        headers
    };
    let mut both = good.clone();
    both.push(("authorization".to_owned(), good[0].1.clone()));
    let long = format!("Signature {}", "A".repeat(1 << 20));
    let far = "https://3psostorageacct.blob.core.windows.net.evil.example/cert/x.cer";
    let table = [
        (Vec::new(), 401, "W27: nothing"),
        (without(0), 401, "W27: no signature"),
        (without(1), 400, "no certificate address"),
        (without(2), 400, "no algorithm"),
        (twice(0), 401, "two signatures"),
        (twice(1), 401, "two certificate addresses"),
        (twice(2), 401, "two algorithms"),
        (both, 401, "a signature in each header"),
        (with(0, "Bearer abc"), 401, "another scheme"),
        (with(0, "Signature"), 401, "no value"),
        (with(0, "Signature !!!!"), 401, "W31: not base64"),
        (with(0, &long), 401, "W31: too long"),
        (with(2, "none"), 401, "W30"),
        (with(2, "hmac-sha256"), 401, "W30"),
        (with(2, "rsa-sha1"), 401, "W30"),
        (with(2, "RSA-SHA256"), 401, "W30: mixed case"),
        (with(1, far), 401, "W33: not pinned"),
        (with(1, "http://169.254.169.254/cert"), 401, "W32: not pinned"),
    ];
    for (headers, expected, why) in table {
        let door = door();
        assert_eq!(deliver(&door, &headers, BODY).await, expected, "{why}");
        assert_eq!(door.shelf.count(), 0, "{why}: no fetch");
    }
}

#[tokio::test]
async fn one_changed_byte_is_refused() {
    let door = door();
    let signature = sign(&signer(), BODY);
    assert_eq!(deliver(&door, &headers(&signature), BODY).await, 200);
    let spaced = BODY.replace("\":\"", "\": \"");
    assert_eq!(deliver(&door, &headers(&signature), &spaced).await, 401, "W29");
    for at in [0, BODY.len() / 2, BODY.len() - 1] {
        let mut changed = BODY.as_bytes().to_vec();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).expect("still text");
        assert_eq!(deliver(&door, &headers(&signature), &changed).await, 401, "W28: byte {at}");
    }
    let mut cut = signature.clone();
    cut.pop();
    assert_eq!(deliver(&door, &headers(&cut), BODY).await, 401, "W31: wrong length");
    assert_eq!(deliver_signed(&door, &other()).await, 401, "another key");
    assert_eq!(door.shelf.count(), 1, "a fresh certificate is not fetched again");
}

#[tokio::test]
async fn an_authentic_body_that_is_no_event_is_a_400() {
    let door = door();
    for body in ["", "[]", "{}", "null"] {
        let headers = headers(&sign(&signer(), body));
        assert_eq!(deliver(&door, &headers, body).await, 400, "{body}");
    }
}

#[tokio::test]
async fn every_bad_certificate_is_refused_and_remembered() {
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = leaf_params();
        change(&mut params);
        issue(&params, &signer())
    };
    let elliptic = KeyPair::generate().expect("a key");
    let foreign = Issuer::new(authority_params(), other());
    let pem = leaf_params().signed_by(&signer(), &authority()).expect("a certificate").pem();
    let mut trailing = good();
    trailing.push(0);
    let table: Vec<(Vec<u8>, u16, &str)> = vec![
        (good(), 200, "DER"),
        (pem.into_bytes(), 200, "PEM"),
        (b"<html>not found</html>".to_vec(), 401, "an HTML page"),
        (Vec::new(), 401, "nothing"),
        (trailing, 401, "something after the certificate"),
        (changed(|leaf| leaf.not_after = date_time_ymd(2026, 8, 1)), 401, "expired"),
        (changed(|leaf| leaf.not_before = date_time_ymd(2026, 10, 1)), 401, "not yet valid"),
        (
            leaf_params().self_signed(&signer()).expect("a certificate").der().to_vec(),
            401,
            "self-signed",
        ),
        (
            leaf_params().signed_by(&signer(), &foreign).expect("a certificate").der().to_vec(),
            401,
            "a root of the same name with another key",
        ),
        (
            changed(|leaf| leaf.distinguished_name.push(DnType::OrganizationName, "Fabrikam")),
            401,
            "another organization",
        ),
        (
            changed(|leaf| {
                leaf.subject_alt_names.clear();
                leaf.distinguished_name.push(DnType::CommonName, "login.microsoft.com");
            }),
            401,
            "a certificate of another service",
        ),
        (
            changed(|leaf| {
                leaf.subject_alt_names.clear();
                leaf.distinguished_name.push(DnType::CommonName, NAME);
            }),
            200,
            "the name as common name",
        ),
        (
            changed(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            401,
            "made for signing code",
        ),
        (
            changed(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            401,
            "an authority as leaf",
        ),
        (issue(&leaf_params(), &ShortKey), 401, "RSA of 1024 bits"),
        (issue(&leaf_params(), &elliptic), 401, "an elliptic key"),
    ];
    for (file, expected, why) in table {
        let door = door();
        door.shelf.put(file);
        assert_eq!(deliver_signed(&door, &signer()).await, expected, "{why}");
        assert_eq!(deliver_signed(&door, &signer()).await, expected, "{why}, again");
        assert_eq!(door.shelf.count(), 1, "{why}: remembered");
    }
}

#[tokio::test]
async fn an_intermediate_must_be_pinned_too() {
    let mut params = authority_params();
    params.distinguished_name.push(DnType::CommonName, "Test Intermediate");
    let middle = params.signed_by(&other(), &authority()).expect("an intermediate");
    let issuer = Issuer::new(params, other());
    let leaf = leaf_params().signed_by(&signer(), &issuer).expect("a certificate");
    for (pinned, expected) in [(middle.pem().into_bytes(), 200), (Vec::new(), 401)] {
        let door = door_with(VerifierSettings::public(roots_pem(), pinned));
        door.shelf.put(leaf.der().to_vec());
        assert_eq!(deliver_signed(&door, &signer()).await, expected);
    }
}

#[tokio::test]
async fn a_fetch_that_fails_is_a_503_and_is_not_repeated_at_once() {
    let door = door();
    let table = [
        (Fetched::Unavailable("answered 302".to_owned()), 503, "W34: a redirect"),
        (Fetched::Unavailable("no answer in time".to_owned()), 503, "slow"),
        (Fetched::TooLong, 401, "W35: a long file"),
    ];
    for (fetched, expected, why) in table {
        let before = door.shelf.count();
        door.shelf.answer(fetched);
        assert_eq!(deliver_signed(&door, &signer()).await, expected, "{why}");
        door.clock.advance(Duration::from_secs(30));
        assert_eq!(deliver_signed(&door, &signer()).await, expected, "{why}: remembered");
        assert_eq!(door.shelf.count(), before + 1, "{why}");
        door.clock.advance(Duration::from_secs(31));
    }
    door.shelf.put(good());
    assert_eq!(deliver_signed(&door, &signer()).await, 200, "it heals");
}

#[tokio::test]
async fn a_replaced_certificate_is_noticed_by_its_signature() {
    let door = door();
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    door.shelf.put(issue(&leaf_params(), &other()));
    door.clock.advance(Duration::from_secs(60));
    assert_eq!(deliver_signed(&door, &other()).await, 200, "fetched once more");
    assert_eq!(door.shelf.count(), 2);
    assert_eq!(deliver_signed(&door, &signer()).await, 401, "the old key is gone");
    assert_eq!(door.shelf.count(), 2, "just fetched");

    door.clock.advance(Duration::from_secs(60));
    door.shelf.answer(Fetched::Unavailable("cannot be reached".to_owned()));
    assert_eq!(deliver_signed(&door, &signer()).await, 503, "cannot tell right now");
    assert_eq!(deliver_signed(&door, &other()).await, 200, "the kept one still works");
}

#[tokio::test]
async fn nobody_can_make_us_fetch() {
    let mut settings = VerifierSettings::public(roots_pem(), Vec::new());
    settings.certificate_paths.push("/cert/*.cer".to_owned());
    let door = door_with(settings);
    let mut statuses = BTreeMap::new();
    for number in 0..10_000 {
        let mut headers = headers(&sign_once());
        let host =
            if number % 2 == 0 { "evil.example" } else { "3psostorageacct.blob.core.windows.net" };
        headers[1].1 = format!("https://{host}/cert/{number}.cer");
        *statuses.entry(deliver(&door, &headers, BODY).await).or_insert(0) += 1;
    }
    assert_eq!(door.shelf.count(), 1, "W36: one of the pinned pattern, none of the others");
    assert_eq!(statuses.get(&401), Some(&5_000), "foreign hosts");
    assert_eq!(statuses.get(&503), Some(&5_000), "limited");
    assert_eq!(deliver_signed(&door, &signer()).await, 200, "the exact one has its own budget");
    assert_eq!(door.shelf.count(), 2);
}

/// A signature of the right length; its value does not matter.
fn sign_once() -> Vec<u8> {
    vec![7; 256]
}

#[tokio::test]
async fn many_deliveries_at_once_cause_one_fetch() {
    let door = door();
    let headers = headers(&sign(&signer(), BODY));
    let all = futures_util::future::join_all((0..50).map(|_| deliver(&door, &headers, BODY))).await;
    assert!(all.iter().all(|status| *status == 200));
    assert_eq!(door.shelf.count(), 1);
}

#[tokio::test]
async fn a_certificate_is_not_used_past_its_end_or_a_day() {
    let door = door();
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    door.clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    assert_eq!(door.shelf.count(), 1);
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    assert_eq!(door.shelf.count(), 2, "a day old");

    let mut ending = leaf_params();
    ending.not_after = date_time_ymd(2026, 9, 4);
    door.shelf.put(issue(&ending, &signer()));
    door.clock.advance(Duration::from_secs(22 * 3600));
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    assert_eq!(door.shelf.count(), 2, "still the kept one");
    door.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(deliver_signed(&door, &signer()).await, 200);
    assert_eq!(door.shelf.count(), 3, "the one that ends at midnight");
    door.clock.advance(Duration::from_secs(14 * 3600 + 1));
    assert_eq!(deliver_signed(&door, &signer()).await, 401, "it has ended");
}
