//! An event of another kind reaches the tool that shares the registration exactly as it was signed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use cosell_sync::app::App;
use cosell_sync::app::clock::SystemClock;
use cosell_sync::config::Config;
use cosell_sync::connect::partner_center::{NetworkFetcher, Verifier, VerifierSettings};
use cosell_sync::connect::webhook::{Hint, WebhookSource};
use cosell_sync::domain::id::ReferralId;
use cosell_sync::sandbox::{Addresses, Sandbox};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A wait that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";

type Passed = (Vec<(String, String)>, Bytes);

/// The other tool: keeps what it gets and answers with a redirect on `/moved`.
#[derive(Clone)]
struct OtherTool(UnboundedSender<Passed>);

async fn take(State(tool): State<OtherTool>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let text = |value: &axum::http::HeaderValue| value.to_str().expect("text").to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    tool.0.send((headers, body)).expect("the test listens");
    let status =
        if uri.path() == "/moved" { StatusCode::TEMPORARY_REDIRECT } else { StatusCode::OK };
    (status, [("location", "/elsewhere")])
}

type Answer = (StatusCode, [(&'static str, &'static str); 1]);

async fn other_tool() -> (SocketAddr, UnboundedReceiver<Passed>) {
    let (sender, receiver) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(take).with_state(OtherTool(sender));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, receiver)
}

struct World {
    sandbox: Sandbox,
    app: App,
    passed: UnboundedReceiver<Passed>,
    _folder: tempfile::TempDir,
}

impl World {
    /// The emulators, and a daemon that passes foreign events on to `path` of the other tool.
    async fn start(path: &str) -> Self {
        let (tool, passed) = other_tool().await;
        let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        sandbox.write_files(folder.path(), free, free).expect("the files are written");
        let file = folder.path().join("cosell-sync.toml");
        let own = "[accounts.contoso.partner_center.webhook]\n";
        change(&file, own, &format!("{own}relay_url = \"http://{tool}{path}\"\n"));
        let config = Config::load(&file, std::iter::empty()).expect("a configuration");
        let app = App::start(&config).await.expect("the daemon starts");
        Self { sandbox, app, passed, _folder: folder }
    }

    /// Delivers a genuine event as Partner Center does; the status of the answer.
    async fn deliver(&self, event: &str, id: &str) -> (Bytes, u16) {
        let id = ReferralId::new(id);
        let body = Bytes::from(self.sandbox.partner_center.event_body(event, &id));
        let url = format!("http://{}/webhooks/partner-center/contoso", self.app.public_address);
        let mut request = reqwest::Client::new().post(url).body(body.clone());
        for (name, value) in self.sandbox.partner_center.signed(&body) {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        (body, answer.status().as_u16())
    }

    async fn next(&mut self) -> Passed {
        let next = tokio::time::timeout(PATIENCE, self.passed.recv()).await;
        next.expect("it is passed on").expect("the other tool is there")
    }

    /// Waits until the metrics count `wanted`.
    async fn counted(&self, wanted: &str) {
        let seen = async {
            while !self.app.metrics.text().contains(wanted) {
                tokio::task::yield_now().await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "{wanted}: {}", self.app.metrics.text());
    }
}

fn change(file: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(file).expect("a file");
    assert!(text.contains(old), "there is no {old}");
    std::fs::write(file, text.replace(old, new)).expect("written");
}

/// The other tool's own check, with nothing but what it got.
async fn verified(sandbox: &Sandbox, (headers, body): &Passed) -> Vec<Hint> {
    let [partner_center, ..] = sandbox.urls();
    let roots = sandbox.partner_center.ca_pem().into_bytes();
    let intermediates = sandbox.partner_center.intermediates_pem().into_bytes();
    let mut settings = VerifierSettings::public(roots, intermediates);
    settings.certificate_hosts = vec![partner_center.trim_start_matches("http://").to_owned()];
    settings.allow_loopback = true;
    let fetcher = Arc::new(NetworkFetcher::new().expect("a fetcher"));
    let verifier = Verifier::new(settings, fetcher, Arc::new(SystemClock)).expect("a verifier");
    verifier.accept(headers, None, body).await.expect("the signature still fits").hints
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_event_is_passed_on_and_its_signature_still_verifies() {
    let mut world = World::start("/events?from=contoso").await;
    let (_, status) = world.deliver("referral-updated", REFERRAL).await;
    assert_eq!(status, 200, "one of ours is taken");
    let (body, status) = world.deliver("invoice-ready", REFERRAL).await;
    assert_eq!(status, 200, "the sender is told that it was taken");
    let passed = world.next().await;
    assert_eq!(passed.1, body, "the first that arrives there is the foreign one, byte for byte");
    let hints = verified(&world.sandbox, &passed).await;
    assert_eq!(hints, [Hint::Unused { event: "invoice-ready".to_owned() }]);
    world.counted(r#"ingress_relayed_total{account="contoso",outcome="passed_on"} 1"#).await;
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let mut world = World::start("/moved").await;
    let (body, status) = world.deliver("invoice-ready", REFERRAL).await;
    assert_eq!(status, 200, "what becomes of it is not the sender's business");
    assert_eq!(world.next().await.1, body);
    world.counted(r#"ingress_relayed_total{account="contoso",outcome="refused"} 1"#).await;
    assert!(world.passed.try_recv().is_err(), "nothing went to the other address");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_faster_than_it_is_taken_is_dropped_and_counted() {
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = slow.local_addr().expect("an address");
    let mut world = World::start("/unused").await;
    let mut config = world.app.parts.config.as_ref().clone();
    let account = config.accounts.get_mut("contoso").expect("the account");
    let webhook = account.partner_center.webhook.as_mut().expect("webhooks");
    webhook.relay_url = Some(format!("http://{address}/").parse().expect("an address"));
    world.app.stop().await;
    world.app = App::start(&config).await.expect("the daemon starts again");
    for place in 0..17 {
        let id = format!("11111111-2222-4333-8444-0000000000{place:02}");
        assert_eq!(world.deliver("invoice-ready", &id).await.1, 200, "delivery {place}");
    }
    world.counted(r#"ingress_relayed_total{account="contoso",outcome="dropped"} 1"#).await;
    world.app.stop().await;
}
