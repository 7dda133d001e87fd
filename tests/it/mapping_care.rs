//! What must not happen around a change of the mapping files: an old version that comes back, a
//! change that goes round the budget, a refusal that is tried again for nothing.

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
