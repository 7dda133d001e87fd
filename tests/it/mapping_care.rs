//! What must not happen around a change of the mapping files: an old version that comes back, a
//! change that goes round the budget, a refusal that is tried again for nothing.

use std::time::Duration;

use cosell_sync::app::InProcess;
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::audit::AuditKind;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

async fn ask(world: &World, method: &str, path: &str, body: Json) -> Json {
    let routes = InProcess::new(&world.app().parts);
    let (status, bytes) = routes.ask(method, path, Some(&body)).await.expect("an answer");
    let answer: Json = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// The versions of the mappings that deals are tried with.
async fn versions(world: &World) -> Vec<String> {
    let answer = ask(world, "GET", "mappings", json!({})).await;
    let items = answer["items"].as_array().expect("mappings").iter();
    items.map(|item| text(&item["version"]).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_look_at_the_crm_brings_no_older_version_back() {
    let mut world = Setup::salesforce_only().start().await;
    world.stop_daemon().await;
    let faults = world.sandbox.salesforce.faults();
    let slow = FaultEffect::Delay { millis: 2_000 };
    faults.add(Fault::once("GET", "/sobjects/Opportunity/describe", slow));
    world.start_daemon().await;
    world.until_true("the look is under way", || faults.waiting() == 0).await;

    let before = versions(&world).await;
    let path = world.folder.path().join("mappings/salesforce-opportunity.toml");
    let file = std::fs::read_to_string(&path).expect("a file");
    let changed = file.replace("label = \"Deal value\"", "label = \"Amount\"");
    assert_ne!(file, changed);
    std::fs::write(&path, changed).expect("written");
    let used = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["rejected"], Json::Null, "{used}");
    let now = versions(&world).await;
    assert_ne!(before, now);
    for _ in 0..3 {
        world.two_crm_polls().await;
        assert_eq!(versions(&world).await, now, "what was read before the change came back");
    }
    world.finish().await;
}

/// One that was used first would have to be confirmed again after a crash in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_be_kept_is_not_used() {
    let mut world = Setup::salesforce_only().start().await;
    world.until_said(AuditKind::Configured, "Mapping version").await;
    for (name, _) in world.store().notes("mapping/contoso/").await.expect("versions") {
        world.store().keep_note(&name, None).await.expect("forgotten");
    }
    world.stop_daemon().await;
    let folder = world.folder.path().join("mappings");
    for kind in ["opportunity", "lead"] {
        let other = folder.join(format!("dynamics365-{kind}.toml"));
        std::fs::remove_file(other).expect("not needed here");
    }
    world.start_daemon().await;
    let before = versions(&world).await;
    world.two_crm_polls().await;
    // A value that is too large for the store itself is a file of its own, and cannot be one now.
    let bodies = world.folder.path().join("store/bodies");
    let aside = bodies.with_extension("aside");
    std::fs::rename(&bodies, &aside).expect("a folder");
    std::fs::write(&bodies, "no folder").expect("written");
    let path = folder.join("salesforce-opportunity.toml");
    let file = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, format!("{file}\n# {}\n", "much ".repeat(20_000))).expect("written");
    let refused = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert!(text(&refused["rejected"]).contains("cannot store a large value"), "{refused}");
    assert_eq!(versions(&world).await, before, "the old ones stay");

    std::fs::remove_file(&bodies).expect("gone");
    std::fs::rename(&aside, &bodies).expect("back");
    // A store that has failed once takes nothing more before the next start.
    world.stop_daemon().await;
    world.start_daemon().await;
    assert_ne!(versions(&world).await, before);
    world.finish().await;
}

/// A new program may bring other mapping files; those that extend them write something else then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_files_of_a_new_program_are_compared_like_any_change() {
    let mut world = Setup::salesforce_only().set("sync.mapping_budget", 1).start().await;
    world.stop_daemon().await;
    let base = world.folder.path().join("mappings/salesforce-opportunity.toml");
    std::fs::remove_file(base).expect("only the program has it now");
    world.write_mapping("contoso.toml", "extends = \"salesforce-opportunity.toml\"\n");
    world.start_daemon().await;
    world.register_webhook();
    for name in ["One", "Two"] {
        world.arrival(json!({ "name": name })).await;
    }
    world.idle().await;

    let notes = world.store().notes("mapping/contoso/").await.expect("versions");
    let (name, kept) = notes.into_iter().next_back().expect("the newest version");
    let mut kept: Json = serde_json::from_slice(&kept).expect("JSON");
    let base = &mut kept["files"]["shipped/salesforce-opportunity.toml"];
    let today = text(base).to_owned();
    let of_before = today.replace("crm = \"Description\"", "crm = \"Former_Notes__c\"");
    assert_ne!(today, of_before, "the program before had another file");
    *base = of_before.into();
    let kept = serde_json::to_vec(&kept).expect("JSON");
    world.store().keep_note(&name, Some(kept)).await.expect("kept");
    world.stop_daemon().await;

    world.start_daemon().await;
    let waits = ask(&world, "POST", "mappings/reload", json!({})).await;
    let why = text(&waits["rejected"]).to_owned();
    assert!(why.contains("about 2 records differently"), "{waits}");
    let folder = world.folder.path().join("mappings");
    assert!(why.contains(&format!("mapping diff {}", folder.display())), "{why}");
    let version = why.split("--confirm ").nth(1).expect("a way out").trim_end_matches('`');
    let used = ask(&world, "POST", "mappings/reload", json!({ "confirm": version })).await;
    assert_eq!((&used["rejected"], text(&used["version"])), (&Json::Null, version));
    let history = ask(&world, "GET", "mappings/history", json!({})).await;
    let changes = history["items"][0]["changes"].to_string();
    assert!(changes.contains("shipped/salesforce-opportunity.toml"), "{history}");
    world.finish().await;
}

/// What was refused for a reason of its own is not tried again by every start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_tries_no_refusal_again_where_the_fields_are_the_same() {
    let mut world = Setup::salesforce_only()
        .prepare(|sandbox| {
            sandbox.salesforce.add_validation_rule("Opportunity", |_| {
                Some(("Deals are entered by hand.".to_owned(), String::new()))
            });
        })
        .start()
        .await;
    let id = world.seed(json!({ "name": "By hand" }));
    world.until_held("Deals are entered by hand.").await;
    let why = ask(&world, "GET", &format!("why?id={id}"), json!({})).await;
    assert_eq!(why["summary"]["state"], "needs attention", "without a link too: {why}");
    let held = ask(&world, "GET", "deals?held=true", json!({})).await;
    assert_eq!(held["items"].as_array().map(Vec::len), Some(1), "{held}");
    for _ in 0..2 {
        world.stop_daemon().await;
        world.start_daemon().await;
        world.two_crm_polls().await;
    }
    // Nor does a row that only stands in another line now.
    let path = world.folder.path().join("mappings/salesforce-opportunity.toml");
    let file = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, format!("# a line more\n{file}")).expect("written");
    let used = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["rejected"], Json::Null, "{used}");
    let resumed = world.trail(Some(AuditKind::Resumed)).await;
    let again: Vec<&str> = resumed.iter().map(|entry| entry.entry.summary.as_str()).collect();
    assert!(again.iter().all(|said| !said.contains("Tried again")), "{again:?}");
    assert_eq!(world.letters().await.len(), 1);
    world.stop_daemon().await;
}

/// How often the CRM was asked for its fields.
fn described(world: &World) -> usize {
    let log = world.sandbox.salesforce.request_log();
    log.requests.iter().filter(|request| request.path.ends_with("/describe")).count()
}

/// A call of the daily quota for each look would use it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_crm_does_not_allow_cost_no_call_with_every_look() {
    let world = Setup::salesforce_only().on_the_sandbox_clock().start().await;
    let file =
        "extends = \"salesforce-opportunity.toml\"\n[control]\nreferral_id = \"Not_There__c\"\n";
    world.write_mapping("contoso.toml", file);
    let refused = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert!(text(&refused["rejected"]).contains("has no Not_There__c"), "{refused}");
    let first = described(&world);
    ask(&world, "POST", "mappings/reload", json!({})).await;
    let each = described(&world) - first;
    assert!(each > 0, "whoever asks by hand is answered by the CRM");
    for _ in 0..4 {
        world.sandbox.clock.advance(Duration::from_secs(11));
        world.another_poll().await;
    }
    // Waits for the look that is under way too.
    ask(&world, "POST", "mappings/reload", json!({})).await;
    let asked = described(&world);
    assert_eq!(asked, first + 2 * each, "it is not asked with every look");
    world.sandbox.clock.advance(Duration::from_secs(301));
    world.until_true("it is asked again later", || described(&world) > asked).await;
    world.finish().await;
}

/// Once a CRM has what nothing works without, nothing is told to be refused any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crm_lacked_is_forgotten_once_it_is_there() {
    let mut world = Setup::salesforce_only().on_the_sandbox_clock().start().await;
    world.stop_daemon().await;
    world.sandbox.salesforce.hide_field("Opportunity", "Referral_Identifier__c");
    world.start_daemon().await;
    let rejected = async || {
        let status = world.ask("/status").await;
        status["accounts"][0]["mappings"]["rejected"].as_str().map(str::to_owned)
    };
    let lacks = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert!(text(&lacks["rejected"]).contains("has no Referral_Identifier__c"), "{lacks}");
    ask(&world, "POST", "provision", json!({ "apply": true })).await;
    world.sandbox.clock.advance(Duration::from_secs(31));
    world.app().ready().await;
    assert_eq!(rejected().await, None, "the feeds are read");
    world.finish().await;
}

/// The newest version that is kept: the name of its note, and what is in it.
async fn newest(world: &World) -> (String, Json) {
    let notes = world.store().notes("mapping/contoso/").await.expect("versions");
    let (name, kept) = notes.into_iter().next_back().expect("the newest version");
    (name, serde_json::from_slice(&kept).expect("JSON"))
}

/// Makes the newest kept version one that only another program would have taken.
async fn spoil_the_newest(world: &World) -> String {
    let (name, mut kept) = newest(world).await;
    let file = &mut kept["files"]["salesforce-opportunity.toml"];
    *file = text(file).replace("details.dealValue", "details.dealValu").into();
    let json = serde_json::to_vec(&kept).expect("JSON");
    world.store().keep_note(&name, Some(json)).await.expect("kept");
    text(&kept["version"]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_bad_by_now_replaces_nothing() {
    let world = Setup::salesforce_only().start().await;
    world.until_said(AuditKind::Configured, "Mapping version").await;
    let bad = spoil_the_newest(&world).await;
    let path = world.folder.path().join("mappings/salesforce-opportunity.toml");
    let file = std::fs::read_to_string(&path).expect("a file") + "\n# a remark\n";
    std::fs::write(&path, &file).expect("written");
    let used = ask(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["rejected"], Json::Null, "{used}");

    let routes = InProcess::new(&world.app().parts);
    let body = json!({ "version": bad });
    let answer = routes.ask("POST", "mappings/rollback", Some(&body)).await;
    let (status, answer) = answer.expect("an answer");
    let told = String::from_utf8_lossy(&answer).into_owned();
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("nothing was changed") && told.contains("details.dealValu"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), file, "the files stay");
    let now = ask(&world, "GET", "status", json!({})).await;
    let mappings = &now["accounts"][0]["mappings"];
    assert_eq!((&mappings["version"], &mappings["rejected"]), (&used["version"], &Json::Null));
    world.finish().await;
}

/// Nobody may take the budget for kept where nothing could be compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_compared_with_those_before_are_told() {
    let mut world = Setup::salesforce_only().set("sync.mapping_budget", 1).start().await;
    for name in ["One", "Two"] {
        world.arrival(json!({ "name": name })).await;
    }
    world.idle().await;
    spoil_the_newest(&world).await;
    world.stop_daemon().await;
    world.start_daemon().await;
    let told = world.until_said(AuditKind::Alerted, "cannot be compared").await;
    let said = &told.entry.summary;
    assert!(said.contains(" 2 records are linked"), "{said}");
    let status = ask(&world, "GET", "status", json!({})).await;
    assert_eq!(status["accounts"][0]["mappings"]["rejected"], Json::Null, "{status}");
    world.finish().await;
}
