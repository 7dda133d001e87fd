//! What administrators do, against the daemon in this process and emulators of all three systems.
#![cfg(feature = "sandbox")]

use std::net::{SocketAddr, TcpListener};

use cosell_sync::app::{App, InProcess};
use cosell_sync::config::Config;
use cosell_sync::sandbox::{Addresses, Sandbox};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

struct World {
    sandbox: Sandbox,
    app: App,
    routes: InProcess,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::start(Addresses::free()).await.expect("emulators");
        // The public address is registered as webhook address, so it must be known before.
        let public = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        sandbox.write_files(folder.path(), public.expect("a port"), admin).expect("written");
        let file = folder.path().join("cosell-sync.toml");
        let config = Config::load(&file, std::iter::empty()).expect("good");
        let app = App::start(&config).await.expect("it starts");
        let routes = InProcess::new(&app.parts);
        Self { sandbox, app, routes, folder }
    }

    async fn send(&self, method: &str, path: &str, body: &Json) -> (u16, Json) {
        let asked = self.routes.ask(method, path, Some(body)).await;
        let (status, bytes) = asked.expect("an answer");
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn get(&self, path: &str) -> Json {
        let (status, json) = self.send("GET", path, &json!({})).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    async fn post(&self, path: &str, body: &Json) -> Json {
        let (status, json) = self.send("POST", path, body).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_registration_is_never_taken_over_unasked() {
    let world = World::start().await;
    assert_eq!(world.get("webhook").await["owner"], "none");
    let ours = world.post("webhook/register", &json!({})).await;
    assert_eq!(ours["owner"], "ours");
    assert!(ours["url"].as_str().is_some_and(|url| url.ends_with("/partner-center/contoso")));
    let writes = world.sandbox.partner_center.write_count();
    assert_eq!(world.post("webhook/register", &json!({})).await["owner"], "ours");
    assert_eq!(world.sandbox.partner_center.write_count(), writes, "nothing to write");

    let theirs = json!({
        "WebhookUrl": "https://other.fabrikam.example/hook?code=secret",
        "WebhookEvents": ["referral-created"],
    });
    world.sandbox.partner_center.set_slot(&theirs).expect("taken");
    let seen = world.get("webhook").await;
    assert_eq!(seen["owner"], "foreign");
    assert_eq!(seen["url"], "https://other.fabrikam.example/hook", "without its secret");
    assert!(seen["fix"].as_str().is_some_and(|fix| fix.contains("--take-over")));
    let (status, refused) = world.send("POST", "webhook/register", &json!({})).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(world.sandbox.partner_center.write_count(), writes, "it was left alone");
    let status = world.get("status").await;
    assert!(status["alerts"].to_string().contains("fabrikam"), "{}", status["alerts"]);

    let taken = world.post("webhook/register", &json!({ "take_over": true })).await;
    assert_eq!(taken["owner"], "ours");
    let trail = world.get("audit?kind=configured&limit=1").await;
    let summary = trail["items"][0]["summary"].as_str().expect("a sentence");
    assert!(summary.contains("in place of https://other.fabrikam.example/hook"), "{summary}");
    assert!(!summary.contains("secret"), "{summary}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_arrives() {
    let world = World::start().await;
    world.post("webhook/register", &json!({})).await;
    let test = world.post("webhook/test", &json!({})).await;
    assert_eq!(test["status"].as_str().map(str::to_lowercase).as_deref(), Some("completed"));
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_missing_and_provision_makes_it() {
    let world = World::start().await;
    world.post("webhook/register", &json!({})).await;
    let plan = world.post("provision", &json!({})).await;
    let steps = plan["steps"].as_array().expect("steps");
    let outcome = |wanted: &str| {
        let of = |step: &&Json| step["outcome"].as_str() == Some(wanted);
        steps.iter().filter(of).count()
    };
    assert!(outcome("present") + outcome("would create") > 10, "{plan}");
    assert_eq!(outcome("created"), 0, "a plan makes nothing");
    let mut seen = std::collections::BTreeSet::new();
    for step in steps {
        let once = seen.insert((step["crm"].to_string(), step["what"].to_string()));
        assert!(once, "what both kinds of record share is told once: {step}");
    }
    for crm in ["dynamics365", "salesforce"] {
        assert!(steps.iter().any(|step| step["crm"] == crm), "{crm}");
    }
    world.post("provision", &json!({ "apply": true })).await;
    let again = world.post("provision", &json!({})).await;
    assert!(!again.to_string().contains("would create"), "nothing is left to make: {again}");

    let report = world.get("doctor").await;
    let findings = report["findings"].as_array().expect("findings");
    let problems: Vec<&Json> =
        findings.iter().filter(|finding| finding["level"] == "problem").collect();
    assert!(problems.is_empty(), "{problems:#?}");
    for area in ["store", "partner_center", "webhook", "dynamics365", "salesforce"] {
        assert!(findings.iter().any(|finding| finding["area"] == area), "{area}");
    }
    world.app.stop().await;
}

/// A mistake that no offline check can see stops nothing, but the doctor names it.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_a_value_that_the_live_field_does_not_have() {
    let world = World::start().await;
    for (file, right, wrong, words) in [
        (
            "salesforce-opportunity.toml",
            "write = { StageName = \"Qualification\" }",
            "write = { StageName = \"Qualified\" }",
            ["StageName has no value \"Qualified\"", "did you mean `Qualification`?"],
        ),
        (
            "dynamics365-lead.toml",
            "when = { statecode = 0 }",
            "when = { statecode = 77 }",
            ["statecode has no value 77", "it has `0`"],
        ),
    ] {
        let path = world.folder.path().join("mappings").join(file);
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(text.contains(right), "{file}");
        std::fs::write(&path, text.replacen(right, wrong, 1)).expect("written");
        let report = world.get("doctor").await.to_string().replace("\\\"", "\"");
        for words in words {
            assert!(report.contains(words), "{words}: {report}");
        }
        assert!(report.contains(&format!("{file}:")), "{report}");
    }
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_how_to_repair_refused_credentials() {
    let world = World::start().await;
    let revoked = cosell_sync::connect::partner_center::sandbox::SignInFailure::Revoked;
    world.sandbox.partner_center.revoke_refresh_tokens(revoked);
    world.sandbox.partner_center.forget_access_tokens();
    let report = world.get("doctor").await;
    let findings = report["findings"].as_array().expect("findings");
    let finding = findings
        .iter()
        .find(|finding| finding["level"] == "problem" && finding["area"] == "partner_center")
        .expect("a problem");
    assert!(finding["fix"].as_str().is_some_and(|fix| fix.contains("login")), "{finding}");
    // The breaker is open by now: what it says is not the reason.
    let report = world.get("doctor").await;
    let findings = report["findings"].as_array().expect("findings");
    let of_webhook = findings.iter().find(|finding| {
        finding["area"] == "webhook" && finding["what"].to_string().contains("Partner Center: ")
    });
    let finding = of_webhook.expect("what became of the look at the registration");
    assert!(finding["what"].to_string().contains("login"), "a wait is no help: {finding}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_role_that_is_missing() {
    let world = World::start().await;
    let role = cosell_sync::connect::partner_center::sandbox::Role::ProfileAdmin;
    world.sandbox.partner_center.set_options(|options| options.role = role);
    let report = world.get("doctor").await;
    let findings = report["findings"].as_array().expect("findings");
    let problem = findings
        .iter()
        .find(|finding| finding["level"] == "problem" && finding["area"] == "partner_center")
        .expect("a problem");
    assert!(
        problem["fix"].as_str().is_some_and(|fix| fix.contains("Referrals admin")),
        "{problem}"
    );
    assert!(!problem.to_string().contains(".."), "one full stop: {problem}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_is_previewed_and_a_mapping_too() {
    let world = World::start().await;
    let id = world.sandbox.partner_center.seed_incoming(json!({ "name": "Northwind ERP" }));
    let forecast = world.get("backfill/preview").await;
    let line = &forecast["feeds"][0];
    assert_eq!(line["feed"], "partner_center");
    assert_eq!((line["seen"].as_u64(), line["at_least"].as_bool()), (Some(1), Some(false)));

    let path = format!("mappings/preview?crm=salesforce&referral={id}");
    let preview = world.get(&path).await;
    let lines = preview["items"].as_array().expect("lines");
    let name = lines.iter().find(|line| line["to"] == "Name").expect("the name");
    assert_eq!(name["target"], "Northwind ERP");
    assert_eq!(preview["occasion"], "create", "nothing is linked: {preview}");
    let bare =
        json!({ "Name": "Fabrikam CRM", "StageName": "Qualification", "CloseDate": "2027-03-01" });
    let bare = world.sandbox.salesforce.create_as_person("Opportunity", &bare).expect("a row");
    let offer = world.get(&format!("mappings/preview?crm=salesforce&record={bare}")).await;
    let lines = offer["items"].as_array().expect("lines");
    let name = lines.iter().find(|line| line["to"] == "name").expect("the name");
    assert_eq!(name["target"], "Fabrikam CRM", "a row that acts when a referral is made: {name}");
    let (status, _) =
        world.send("GET", "mappings/preview?crm=salesforce&referral=x", &json!({})).await;
    assert_eq!(status, 404);

    let progress = world.post("backfill", &json!({})).await;
    assert_eq!(progress["finished"], false);
    assert_eq!(progress["feeds"], 5, "Partner Center, opportunities and leads of two CRMs");
    assert!(world.get("backfill").await["started"].is_string());
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_mapping_files_are_used_at_once_and_bad_ones_refused() {
    let world = World::start().await;
    let path = world.folder.path().join("mappings/salesforce-opportunity.toml");
    let first = std::fs::read_to_string(&path).expect("a file");
    let version = |status: &Json| {
        let version = &status["accounts"][0]["mappings"]["version"];
        version.as_str().expect("a version").to_owned()
    };
    let before = version(&world.get("status").await);

    std::fs::write(&path, first.replace("details.dealValue", "details.dealValu")).expect("written");
    let refused = world.post("mappings/reload", &json!({})).await;
    assert_eq!(refused["version"], before.as_str(), "the old stays");
    let why = refused["rejected"].as_str().expect("a reason");
    assert!(why.contains("details.dealValu"), "{why}");
    let status = world.get("status").await;
    assert!(status["alerts"].to_string().contains("mapping files"), "{}", status["alerts"]);

    let label = "label = \"Deal value\"";
    assert!(first.contains(label));
    std::fs::write(&path, first.replace(label, "label = \"Amount\"")).expect("written");
    let used = world.post("mappings/reload", &json!({})).await;
    assert_eq!(used["rejected"], Json::Null);
    assert_ne!(used["version"], before.as_str());
    let history = world.get("mappings/history").await;
    assert_eq!(history["items"][0]["version"], used["version"]);
    assert!(history["items"][0]["changes"].to_string().contains("Amount"), "{history}");

    let unknown = "label = \"Deal value\"\n[[field]]\nreferral = \"campaignId\"\n\
        crm = \"Not_There__c\"\ntype = \"text\"\nconflict = \"crm\"";
    std::fs::write(&path, first.replace(label, unknown)).expect("written");
    let lacking = world.post("mappings/reload", &json!({})).await;
    assert_eq!(lacking["rejected"], Json::Null, "a missing field parks its own row only");
    assert!(lacking["parked"].to_string().contains("has no field Not_There__c"), "{lacking}");

    let body = json!({ "version": before });
    assert_eq!(world.post("mappings/rollback", &body).await["version"], before.as_str());
    assert_eq!(version(&world.get("status").await), before);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), first);
    world.app.stop().await;
}
