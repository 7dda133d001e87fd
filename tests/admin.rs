//! The admin routes over a store in memory: token, problems, pages, release of dead letters.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use cosell_sync::admin::operations::{
    BackfillProgress, CredentialTest, Finding, Forecast, Level, MappingDiff, MappingPreview,
    MappingState, MappingVersion, MappingView, OperationError, ParkedField, PreviewSubject,
    ProvisionLine, Queued, ShadowReport, Status, WebhookTest, WebhookView,
};
use cosell_sync::admin::{Admin, Operations, router};
use cosell_sync::domain::audit::{AuditKind, NewEntry};
use cosell_sync::domain::clock::Clock;
use cosell_sync::domain::deal::Deal;
use cosell_sync::domain::hold::Hold;
use cosell_sync::domain::id::{AccountName, DealId, RecordKey, ReferralId};
use cosell_sync::domain::notice::{NewNotice, Source, Subject};
use cosell_sync::domain::secret::SecretString;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::store::memory::MemoryStore;
use cosell_sync::store::{Commit, Ending, Fate, Store};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

const TOKEN: &str = "a-long-admin-token";

/// Operations without connectors: those that need one say so.
struct Offline;

fn no_connector<T>() -> Result<T, OperationError> {
    Err(OperationError::Outside {
        what: "Salesforce: temporarily unavailable.".to_owned(),
        fix: "Wait and ask again.".to_owned(),
    })
}

#[async_trait]
impl Operations for Offline {
    fn accounts(&self) -> Vec<AccountName> {
        vec![AccountName::new("contoso"), AccountName::new("fabrikam")]
    }
    fn wake(&self) {}
    async fn status(&self) -> Result<Status, OperationError> {
        Ok(Status {
            version: "0".to_owned(),
            started: None,
            now: Timestamp::from_millis(0),
            needs_you: 0,
            alerts: Vec::new(),
            accounts: Vec::new(),
            ledger: Vec::new(),
        })
    }
    async fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
    async fn reconcile(&self, _: Option<&AccountName>, _: &str) -> Result<Queued, OperationError> {
        Ok(Queued { deals: 3, feeds: 1 })
    }
    async fn relink(&self, _: &Deal, _: &RecordKey, _: &str) -> Result<(), OperationError> {
        no_connector()
    }
    async fn shadow_report(
        &self,
        _: &AccountName,
        _: usize,
    ) -> Result<ShadowReport, OperationError> {
        no_connector()
    }
    async fn preview_backfill(&self, _: &AccountName) -> Result<Forecast, OperationError> {
        no_connector()
    }
    async fn backfill(&self, _: &AccountName, _: &str) -> Result<BackfillProgress, OperationError> {
        no_connector()
    }
    async fn backfill_progress(
        &self,
        _: &AccountName,
    ) -> Result<Option<BackfillProgress>, OperationError> {
        Ok(None)
    }
    async fn webhook(&self, _: &AccountName) -> Result<WebhookView, OperationError> {
        no_connector()
    }
    async fn register_webhook(
        &self,
        _: &AccountName,
        take_over: bool,
        _: &str,
    ) -> Result<WebhookView, OperationError> {
        assert!(!take_over, "nobody asked for it");
        Err(OperationError::Refused {
            what: "Another tool holds the registration.".to_owned(),
            fix: "Repeat with --take-over.".to_owned(),
        })
    }
    async fn test_webhook(&self, _: &AccountName) -> Result<WebhookTest, OperationError> {
        no_connector()
    }
    async fn doctor(&self) -> Result<Vec<Finding>, OperationError> {
        Ok(vec![Finding {
            account: None,
            area: "store".to_owned(),
            level: Level::Ok,
            what: "The store takes writes.".to_owned(),
            fix: None,
        }])
    }
    async fn provision(
        &self,
        _: Option<&AccountName>,
        _: bool,
        _: &str,
    ) -> Result<Vec<ProvisionLine>, OperationError> {
        no_connector()
    }
    fn parked(&self, _: &AccountName) -> Vec<ParkedField> {
        Vec::new()
    }
    fn mappings(&self) -> Vec<MappingView> {
        Vec::new()
    }
    async fn preview(
        &self,
        _: &AccountName,
        _: &PreviewSubject,
    ) -> Result<MappingPreview, OperationError> {
        no_connector()
    }
    async fn diff_mappings(
        &self,
        _: &AccountName,
        _: &str,
        _: &str,
        _: usize,
    ) -> Result<Vec<MappingDiff>, OperationError> {
        no_connector()
    }
    async fn mapping_history(
        &self,
        _: &AccountName,
    ) -> Result<Vec<MappingVersion>, OperationError> {
        Ok(Vec::new())
    }
    async fn reload_mappings(
        &self,
        _: &AccountName,
        _: &str,
        _: Option<&str>,
        _: Option<&str>,
    ) -> Result<MappingState, OperationError> {
        Ok(MappingState::default())
    }
    async fn roll_back_mappings(
        &self,
        _: &AccountName,
        version: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<MappingVersion, OperationError> {
        Err(OperationError::NotFound {
            what: format!("No mapping version `{version}` is kept."),
            fix: "List them with `mapping history`.".to_owned(),
        })
    }
    async fn keep_login(
        &self,
        _: &AccountName,
        _: SecretString,
        _: &str,
    ) -> Result<(), OperationError> {
        Ok(())
    }
    async fn test_credential(
        &self,
        _: &AccountName,
        _: SecretString,
    ) -> Result<CredentialTest, OperationError> {
        let what = "It works.".to_owned();
        Ok(CredentialTest { works: true, what, fix: None })
    }
}

/// A clock that stands still.
struct Still;

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_764_000_000_000)
    }

    async fn sleep(&self, _: Duration) {}
}

struct Desk {
    store: Arc<MemoryStore>,
    clock: Arc<Still>,
    router: Router,
}

fn desk(token: Option<&str>) -> Desk {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(Still);
    let admin = Arc::new(Admin {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        operations: Arc::new(Offline),
    });
    let router = router(admin, token.map(|token| SecretString::from(token.to_owned())));
    Desk { store, clock, router }
}

impl Desk {
    /// Sends one request and returns status, content type and body.
    async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Json>,
    ) -> (u16, String, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let content = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(content);
        let response = self.router.clone().oneshot(request.expect("a request")).await;
        let response = response.expect("an answer");
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.map(|kind| kind.to_str().expect("text").to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, kind, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    async fn get(&self, path: &str) -> Json {
        let (status, _, body) = self.send("GET", path, Some(TOKEN), None).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    async fn post(&self, path: &str, body: &Json) -> Json {
        let (status, _, answer) = self.send("POST", path, Some(TOKEN), Some(body)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Files a dead letter for a referral.
    async fn hold(&self, account: &str, referral: &str, code: &str) {
        let now = self.clock.now();
        let notice = NewNotice {
            account: AccountName::new(account),
            source: Source::PartnerCenterWebhook,
            subject: Subject::Referral(ReferralId::parse(referral).expect("an id")),
            event: "referral-updated".to_owned(),
            dedupe: None,
            due: now,
        };
        self.store.enqueue(vec![notice], Vec::new(), Vec::new(), now).await.expect("durable");
        let claim = self.store.claim(now, 1).await.expect("claimed").remove(0);
        let ending = Ending {
            lane: claim.lane,
            notices: claim.notices.into_iter().map(|notice| notice.id).collect(),
            fate: Fate::Held(Hold::new(code, "A reason.", "A fix.")),
        };
        let commit = Commit { ending: Some(ending), now: Some(now), ..Commit::default() };
        self.store.commit(commit).await.expect("held");
    }

    /// Files a deal with one audit entry.
    async fn deal(&self, id: &str, referral: &str, summary: &str) {
        let now = self.clock.now();
        let deal = Deal {
            id: DealId::new(id),
            account: AccountName::new("contoso"),
            referral_id: ReferralId::parse(referral),
            engagement_id: None,
            microsoft_referral_id: None,
            microsoft: None,
            referral_version: None,
            referral_state: None,
            links: Vec::new(),
            intents: Vec::new(),
            created: now,
            changed: now,
        };
        let entry = NewEntry {
            at: now,
            account: deal.account.clone(),
            deal: Some(deal.id.clone()),
            kind: AuditKind::Wrote,
            actor: "daemon".to_owned(),
            summary: summary.to_owned(),
            cause: None,
            fields: Vec::new(),
            request_ids: Vec::new(),
            duration_ms: None,
        };
        let commit =
            Commit { deal: Some(deal), entries: vec![entry], now: Some(now), ..Commit::default() };
        self.store.commit(commit).await.expect("kept");
    }
}

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";
const THREE: &str = "33333333-3333-4333-8333-333333333333";

#[tokio::test]
async fn why_finds_what_was_ignored_in_the_trail() {
    let desk = desk(Some(TOKEN));
    let entry = |summary: String| NewEntry {
        at: desk.clock.now(),
        account: AccountName::new("contoso"),
        deal: None,
        kind: AuditKind::Received,
        actor: "daemon".to_owned(),
        summary,
        cause: None,
        fields: Vec::new(),
        request_ids: Vec::new(),
        duration_ms: None,
    };
    let ignored = format!("Referral {ONE} was ignored: leads are not kept in step here.");
    let entries = vec![entry(ignored.clone()), entry(format!("Referral {TWO} was ignored."))];
    let commit = Commit { entries, now: Some(desk.clock.now()), ..Commit::default() };
    desk.store.commit(commit).await.expect("kept");
    let told = desk.get(&format!("/api/v1/why?id={ONE}")).await;
    let story = told["story"].as_array().expect("a story");
    assert_eq!(story.len(), 1, "{told}");
    assert_eq!(story[0]["summary"], ignored, "{told}");
    let (status, ..) =
        desk.send("GET", &format!("/api/v1/why?id={THREE}"), Some(TOKEN), None).await;
    assert_eq!(status, 404, "nobody spoke of it");
}

/// Every route of the OpenAPI document, with its methods.
async fn routes(desk: &Desk) -> Vec<(String, String)> {
    let document = desk.get("/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let mut routes = vec![("GET".to_owned(), "/metrics".to_owned())];
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let path = format!("/api/v1{}", path.replace("{id}", "x"));
            routes.push((method.to_uppercase(), path));
        }
    }
    assert!(routes.len() > 25, "{routes:?}");
    routes
}

#[tokio::test]
async fn every_route_needs_the_token_and_health_does_not() {
    let desk = desk(Some(TOKEN));
    for (method, path) in routes(&desk).await {
        for token in [None, Some(""), Some("a-long-admin-tokeN"), Some("a-long-admin-token2")] {
            let (status, kind, body) = desk.send(&method, &path, token, Some(&json!({}))).await;
            assert_eq!(status, 401, "{method} {path} with {token:?}");
            assert_eq!(kind, "application/problem+json");
            assert!(!body.contains(TOKEN), "the token is never told");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(desk.send("GET", path, None, None).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_configured_token_nobody_gets_in() {
    let desk = desk(None);
    let (status, _, body) = desk.send("GET", "/api/v1/status", Some(""), None).await;
    assert_eq!(status, 401);
    assert!(body.contains("admin.token"), "the setting is named: {body}");
}

#[tokio::test]
async fn mistakes_are_answered_with_a_problem_and_a_fix() {
    let desk = desk(Some(TOKEN));
    let table = [
        ("GET", "/api/v1/nothing", json!({}), 404, "no such route"),
        ("DELETE", "/api/v1/status", json!({}), 404, "no such method"),
        ("GET", "/api/v1/deals/none", json!({}), 404, "no such deal"),
        ("GET", "/api/v1/deals?account=northwind", json!({}), 404, "no such account"),
        ("GET", "/api/v1/deals?limit=many", json!({}), 400, "not a number"),
        ("GET", "/api/v1/why", json!({}), 400, "nothing asked for"),
        ("GET", "/api/v1/why?id=none", json!({}), 404, "nothing known"),
        ("GET", "/api/v1/audit?kind=eaten", json!({}), 400, "no such kind"),
        ("GET", "/api/v1/audit?from=yesterday", json!({}), 400, "not an instant"),
        ("GET", "/api/v1/dead-letters/none", json!({}), 404, "no such dead letter"),
        ("POST", "/api/v1/dead-letters/none/retry", json!({}), 404, "no such dead letter"),
        ("POST", "/api/v1/dead-letters/release", json!({ "decision": "retry" }), 400, "which?"),
        ("POST", "/api/v1/dead-letters/release", json!({ "decision": "eat" }), 400, "no decision"),
        ("POST", "/api/v1/reconcile", json!({ "acount": "x" }), 400, "a misspelt key"),
        ("GET", "/api/v1/backfill?account=contoso", json!({}), 404, "none was begun"),
        ("GET", "/api/v1/backfill/preview", json!({}), 400, "which of two accounts?"),
        ("GET", "/api/v1/webhook?account=contoso", json!({}), 502, "the other side is down"),
        ("POST", "/api/v1/webhook/register", json!({ "account": "contoso" }), 409, "foreign"),
        ("POST", "/api/v1/backup", json!({ "path": "relative" }), 400, "a relative path"),
        ("POST", "/api/v1/backup", json!({ "path": "/proc/self/exe" }), 400, "a file is there"),
        (
            "POST",
            "/api/v1/mappings/rollback",
            json!({ "account": "contoso", "version": "x" }),
            404,
            "no such version",
        ),
    ];
    for (method, path, body, expected, why) in table {
        let (status, kind, answer) = desk.send(method, path, Some(TOKEN), Some(&body)).await;
        assert_eq!(status, expected, "{method} {path}: {why}: {answer}");
        assert_eq!(kind, "application/problem+json", "{method} {path}: {why}");
        let problem: Json = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(problem["status"], expected, "{why}");
        for member in ["type", "title", "detail", "fix"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{method} {path} has no {member}: {answer}");
        }
    }
}

#[tokio::test]
async fn deals_come_a_page_at_a_time() {
    let desk = desk(Some(TOKEN));
    for (id, referral) in [("d1", ONE), ("d2", TWO), ("d3", THREE)] {
        desk.deal(id, referral, "Something was written.").await;
    }
    let first = desk.get("/api/v1/deals?limit=2").await;
    let ids = |page: &Json| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&first), ["d1", "d2"]);
    assert_eq!(first["next"], "d2");
    let second = desk.get("/api/v1/deals?limit=2&after=d2").await;
    assert_eq!(ids(&second), ["d3"]);
    assert_eq!(second["next"], Json::Null);
    assert_eq!(ids(&desk.get("/api/v1/deals?account=fabrikam").await), Vec::<String>::new());
    assert_eq!(ids(&desk.get("/api/v1/deals?held=true").await), Vec::<String>::new());
    let one = desk.get("/api/v1/deals/d1").await;
    assert_eq!(one["deal"]["referral_id"], ONE);
}

#[tokio::test]
async fn a_deadline_far_away_is_not_work_that_waits() {
    let desk = desk(Some(TOKEN));
    let now = desk.clock.now();
    let later = now.plus(Duration::from_secs(10 * 86_400));
    let table = [
        (Source::Daemon, later, "in sync", "the daemon watches a deadline"),
        (Source::Daemon, now, "waiting", "the deadline has come"),
        (Source::Salesforce, later, "waiting", "a change that is tried again later"),
    ];
    for (number, (source, due, expected, why)) in table.into_iter().enumerate() {
        let id = format!("d{number}");
        let referral = format!("{number}1111111-1111-4111-8111-111111111111");
        desk.deal(&id, &referral, "Something was written.").await;
        let notice = NewNotice {
            account: AccountName::new("contoso"),
            source,
            subject: Subject::Deal(DealId::new(id.clone())),
            event: "later".to_owned(),
            dedupe: None,
            due,
        };
        desk.store.enqueue(vec![notice], Vec::new(), Vec::new(), now).await.expect("durable");
        let told = desk.get(&format!("/api/v1/why?id={id}")).await;
        assert_eq!(told["summary"]["state"], expected, "{why}");
        let shown = desk.get(&format!("/api/v1/deals/{id}")).await;
        assert_eq!(shown["summary"]["state"], expected, "{why}");
    }
}

#[tokio::test]
async fn dead_letters_are_listed_and_released() {
    let desk = desk(Some(TOKEN));
    desk.hold("contoso", ONE, "rejected").await;
    desk.hold("contoso", TWO, "two_records").await;
    desk.hold("fabrikam", THREE, "rejected").await;
    let page = desk.get("/api/v1/dead-letters?limit=2").await;
    assert_eq!(page["items"].as_array().expect("items").len(), 2);
    let next = page["next"].as_str().expect("more");
    let rest = desk.get(&format!("/api/v1/dead-letters?after={next}")).await;
    assert_eq!(rest["items"][0]["hold"]["code"], "rejected");
    assert_eq!(rest["next"], Json::Null);

    let id = page["items"][0]["notice"]["id"].as_str().expect("an id");
    let released = desk.post(&format!("/api/v1/dead-letters/{id}/retry"), &json!({})).await;
    assert_eq!(released["released"], 1);
    let waiting = desk.store.waiting(10).await.expect("waiting");
    assert_eq!(waiting.len(), 1, "it is back in the inbox");

    let all = json!({ "decision": "discard", "all": true, "code": "rejected" });
    assert_eq!(desk.post("/api/v1/dead-letters/release", &all).await["released"], 1);
    let left = desk.get("/api/v1/dead-letters").await;
    assert_eq!(left["items"].as_array().expect("items").len(), 1);
    assert_eq!(left["items"][0]["hold"]["code"], "two_records", "only those of the code went");
    for line in desk.store.ledger().await.expect("the ledger") {
        assert!(line.balances(), "{line:?}");
    }
    let trail = desk.get("/api/v1/audit?kind=resumed").await;
    assert_eq!(trail["items"][0]["actor"], "admin", "the trail tells who did it");
}

#[tokio::test]
async fn the_story_of_a_deal_is_told_by_any_of_its_ids() {
    let desk = desk(Some(TOKEN));
    desk.deal("d1", ONE, "Deal value sent.").await;
    for id in ["d1", ONE, &ONE.to_uppercase()] {
        let told = desk.get(&format!("/api/v1/why?id={id}")).await;
        assert_eq!(told["summary"]["id"], "d1", "{id}");
        assert_eq!(told["story"][0]["summary"], "Deal value sent.");
    }
    desk.hold("contoso", TWO, "rejected").await;
    let told = desk.get(&format!("/api/v1/why?id={TWO}")).await;
    assert_eq!(told["summary"], Json::Null, "no deal yet");
    assert_eq!(told["held"][0]["hold"]["fix"], "A fix.", "but the reason and the next step");
}

#[tokio::test]
async fn the_trail_is_paged_exported_verified_and_redacted() {
    let desk = desk(Some(TOKEN));
    desk.deal("d1", ONE, "=HYPERLINK(\"x\")").await;
    desk.deal("d2", TWO, "Second").await;
    let page = desk.get("/api/v1/audit?limit=1").await;
    assert_eq!(page["items"][0]["summary"], "Second", "newest first");
    let next = page["next"].as_u64().expect("more");
    let older = desk.get(&format!("/api/v1/audit?before={next}")).await;
    assert_eq!(older["items"][0]["deal"], "d1");

    let path = "/api/v1/audit/export?format=csv";
    let (status, kind, csv) = desk.send("GET", path, Some(TOKEN), None).await;
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
    assert!(csv.starts_with("number,at,account"), "{csv}");
    assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\")\""), "no formula gets out: {csv}");
    assert_eq!(csv.lines().count(), 3);
    let path = "/api/v1/audit/export?format=jsonl&deal=d2";
    let (_, _, lines) = desk.send("GET", path, Some(TOKEN), None).await;
    assert_eq!(lines.lines().count(), 1);

    let redacted = desk.post("/api/v1/audit/redact", &json!({ "deal": ONE })).await;
    assert_eq!(redacted["redacted"], 1);
    let told = desk.get("/api/v1/audit?deal=d1").await;
    assert!(!told.to_string().contains("HYPERLINK"), "{told}");
    let verified = desk.post("/api/v1/audit/verify", &json!({})).await;
    assert_eq!(verified["broken_at"], Json::Null, "the chain stays valid");
}
