//! The one webhook registration of a partner tenant: shown, made ours, tested, kept.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use cosell_sync::app::App;
use cosell_sync::app::clock::SystemClock;
use cosell_sync::config::Config;
use cosell_sync::domain::clock::Clock;
use cosell_sync::sandbox::{Addresses, Sandbox};
use cosell_sync::store::AuditQuery;
use serde_json::{Value as Json, json};

/// A state that is not reached within this time is never reached.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(20);
const FOREIGN: &str = "https://connector.fabrikam.example/events?code=secret";

struct World {
    sandbox: Sandbox,
    app: App,
    own: String,
    _folder: tempfile::TempDir,
}

impl World {
    /// A daemon with webhooks and no registration yet.
    async fn start(take_over: bool) -> Self {
        let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(free).expect("an address");
        let public = listener.local_addr().expect("an address");
        drop(listener);
        sandbox.write_files(folder.path(), public, free).expect("the files are written");
        let file = folder.path().join("cosell-sync.toml");
        let mut config = Config::load(&file, std::iter::empty()).expect("a configuration");
        let account = config.accounts.get_mut("contoso").expect("the account");
        account.partner_center.webhook.as_mut().expect("webhooks").take_over = take_over;
        let app = App::start(&config).await.expect("the daemon starts");
        let own = format!("http://{public}/webhooks/partner-center/contoso");
        Self { sandbox, app, own, _folder: folder }
    }

    /// Another tool takes the registration.
    fn taken(&self) {
        let slot = json!({ "WebhookUrl": FOREIGN, "WebhookEvents": ["invoice-ready"] });
        self.sandbox.partner_center.set_slot(&slot).expect("taken");
    }

    /// Where Partner Center sends its events now.
    fn url(&self) -> String {
        let slot = self.sandbox.partner_center.slot().unwrap_or_default();
        slot["WebhookUrl"].as_str().unwrap_or("nowhere").to_owned()
    }

    /// Asks the admin interface as the command line does; status and answer.
    async fn ask(&self, path: &str, body: Option<Json>) -> (u16, Json) {
        let url = format!("http://{}/api/v1/{path}", self.app.admin_address);
        let client = reqwest::Client::new();
        let request = match body {
            Some(body) => {
                let json = ("content-type", "application/json");
                client.post(url).header(json.0, json.1).body(body.to_string())
            }
            None => client.get(url),
        };
        let answer = request.bearer_auth("sandbox-admin-token").send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    async fn owner(&self) -> String {
        let (status, view) = self.ask("webhook?account=contoso", None).await;
        assert_eq!(status, 200, "{view}");
        view["owner"].as_str().expect("a word").to_owned()
    }

    async fn register(&self, take_over: bool) -> (u16, Json) {
        let body = json!({ "account": "contoso", "take_over": take_over });
        self.ask("webhook/register", Some(body)).await
    }

    /// Waits until the trail says `part`.
    async fn told(&self, part: &str) {
        let end = SystemClock.now().plus(PATIENCE);
        loop {
            let query = AuditQuery { limit: 100, ..AuditQuery::default() };
            let trail = self.app.around.store.audit(&query).await.expect("a trail");
            let said: Vec<String> = trail.into_iter().map(|entry| entry.entry.summary).collect();
            if said.iter().any(|summary| summary.contains(part)) {
                assert!(!said.iter().any(|it| it.contains("code=secret")), "a secret: {said:?}");
                return;
            }
            assert!(SystemClock.now() < end, "never told: {part}; {said:?}");
            SystemClock.sleep(GLANCE).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_shown_registered_and_tested() {
    let world = World::start(false).await;
    world.told("There is no webhook registration.").await;
    assert_eq!(world.url(), "nowhere", "nobody asked for it");
    assert_eq!(world.owner().await, "none");
    let (status, view) = world.register(false).await;
    assert_eq!((status, &view["owner"], &view["url"]), (200, &json!("ours"), &json!(world.own)));
    assert_eq!(world.url(), world.own);
    assert_eq!(world.owner().await, "ours");
    let (status, test) = world.ask("webhook/test", Some(json!({ "account": "contoso" }))).await;
    assert_eq!((status, &test["status"]), (200, &json!("completed")), "{test}");
    assert!(test["attempts"].to_string().to_uppercase().contains("OK"), "it was taken: {test}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_holds_is_taken_only_when_asked() {
    let world = World::start(false).await;
    world.taken();
    world.told("points to https://connector.fabrikam.example/events, not to us").await;
    assert_eq!(world.owner().await, "foreign");
    let (status, refused) = world.register(false).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("--take-over"), "the way is told: {refused}");
    assert_eq!(world.url(), FOREIGN, "it is left alone");
    let (status, refused) = world.ask("webhook/test", Some(json!({ "account": "contoso" }))).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("not to us"), "no test event for others: {refused}");
    let (status, view) = world.register(true).await;
    assert_eq!((status, &view["owner"]), (200, &json!("ours")));
    assert_eq!(world.url(), world.own);
    world.told("in place of https://connector.fabrikam.example/events.").await;
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_takes_it_back_where_that_is_allowed() {
    let world = World::start(true).await;
    world.told("was registered.").await;
    assert_eq!(world.url(), world.own);
    world.taken();
    world.told("points to https://connector.fabrikam.example/events, not to us").await;
    world.told("in place of https://connector.fabrikam.example/events.").await;
    assert_eq!(world.url(), world.own);
    world.app.stop().await;
}
