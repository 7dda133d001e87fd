//! Mapping files that are changed while the daemon runs: by the guide, by mistake, and by a CRM that
//! changes under them.

use cosell_sync::app::InProcess;
use cosell_sync::domain::audit::AuditKind;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, number, text};

/// Asks the admin interface of the running daemon.
async fn ask(world: &World, method: &str, path: &str, body: Json) -> (u16, Json) {
    let routes = InProcess::new(&world.app().parts);
    let (status, bytes) = routes.ask(method, path, Some(&body)).await.expect("an answer");
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

async fn good(world: &World, method: &str, path: &str, body: Json) -> Json {
    let (status, answer) = ask(world, method, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// The mapping files as `status` tells them.
async fn state(world: &World) -> Json {
    good(world, "GET", "status", json!({})).await["accounts"][0]["mappings"].clone()
}

/// The file of the guide's walk through a custom field, a table of values and a stage.
fn file_of_the_guide() -> String {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mapping-guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let part = guide.split("## A custom field, a table of values and a stage").nth(1);
    let block = part.and_then(|part| part.split("```toml\n").nth(1));
    block.and_then(|block| block.split("```").next()).expect("a file").to_owned()
}

async fn salesforce_only() -> World {
    Setup::salesforce_only().start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_the_guide_gets_what_it_promises() {
    let world = salesforce_only().await;
    let before = text(&state(&world).await["version"]).to_owned();
    let earlier = world.arrival(json!({ "name": "Before the change" })).await;
    world.write_mapping("contoso.toml", &file_of_the_guide());

    let used = good(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["rejected"], Json::Null);
    let rows = used["parked"].as_array().expect("rows").iter();
    let parked: Vec<&str> = rows
        .filter(|row| text(&row["place"]).contains("contoso.toml"))
        .map(|row| text(&row["crm_field"]))
        .collect();
    assert_eq!(parked, ["Partner_Campaign__c", "Customer_Size__c"], "{used}");
    let made = good(&world, "POST", "provision", json!({ "apply": true })).await;
    let steps = made["steps"].as_array().expect("steps").iter();
    let advice: Vec<_> =
        steps.filter(|step| text(&step["what"]).contains("mapping reload")).collect();
    assert_eq!(advice.len(), 1, "what to do next is told, once: {made}");
    let used = good(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["parked"], json!([]), "the fields are there now");

    let history = good(&world, "GET", "mappings/history", json!({})).await;
    let newest = &history["items"][0];
    assert_eq!(newest["version"], used["version"]);
    assert!(text(&newest["why"]).starts_with("Contoso shows campaign"), "{newest}");
    assert!(newest["changes"].to_string().contains("Customer_Size__c"), "{newest}");

    let id = world.seed(json!({
        "name": "After the change", "campaignId": "C-2026",
        "customerProfile": { "name": "Northwind Traders", "size": "51to250employees" },
    }));
    let row = world.until("it arrives", || world.sales(&id)).await;
    assert_eq!(row["Partner_Campaign__c"], "C-2026", "the custom field");
    assert_eq!(row["Customer_Size__c"], "Medium", "the table of values");
    assert_eq!(row["StageName"], "Needs Analysis", "the stage");
    world.idle().await;

    let why = good(&world, "GET", &format!("why?id={id}"), json!({})).await;
    let story = why["story"].to_string();
    for words in ["C-2026", "campaignId", "customerProfile.size", text(&used["version"])] {
        assert!(story.contains(words), "`why` does not tell {words}: {story}");
    }
    let path = format!("mappings/preview?crm=salesforce&referral={id}");
    let preview = good(&world, "GET", &path, json!({})).await;
    let made = good(&world, "GET", &format!("{path}&new=true"), json!({})).await;
    assert_eq!((text(&preview["occasion"]), text(&made["occasion"])), ("update", "create"));
    let lines = preview["items"].as_array().expect("lines");
    let size = lines.iter().find(|line| line["to"] == "Customer_Size__c").expect("a line");
    assert_eq!((text(&size["label"]), text(&size["target"])), ("Customer size", "Medium"));
    assert!(text(&size["rule"]).contains("contoso.toml:"), "{size}");

    let asked = json!({ "old": before, "new": "in-use" });
    let diff = good(&world, "POST", "mappings/diff", asked).await;
    let report = &diff["items"][0];
    assert_eq!((&report["linked"], &report["report"]["samples"]), (&json!(2), &json!(2)), "{diff}");
    assert_eq!(report["report"]["by_field"]["Customer_Size__c"], 2, "{diff}");

    let body = json!({ "version": before, "why": "the campaign is not ready" });
    good(&world, "POST", "mappings/rollback", body).await;
    assert_eq!(state(&world).await["version"], before.as_str());
    let history = good(&world, "GET", "mappings/history", json!({})).await;
    let why = format!("back to version {before}: the campaign is not ready");
    assert_eq!(history["items"][0]["why"], why.as_str());
    world.until_said(AuditKind::Configured, "the campaign is not ready").await;
    assert!(world.sales(&earlier).is_some());
    world.finish().await;
}

/// M15: a change that would write more records than the budget waits for a person, across a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_beyond_the_budget_waits_for_a_person() {
    let mut world = Setup::salesforce_only().set("sync.mapping_budget", 1).start().await;
    let before = text(&state(&world).await["version"]).to_owned();
    for name in ["One", "Two"] {
        world.arrival(json!({ "name": name })).await;
    }
    let lead = world.folder.path().join("mappings/salesforce-lead.toml");
    let kept = std::fs::read_to_string(&lead).expect("a file");
    std::fs::write(&lead, format!("{kept}\n# a word that changes nothing\n")).expect("written");
    let used = good(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(used["rejected"], Json::Null, "it writes nothing differently");
    assert_ne!(used["version"], before.as_str());
    let before = text(&used["version"]).to_owned();

    world.write_mapping("contoso.toml", &file_of_the_guide());
    let waits = good(&world, "POST", "mappings/reload", json!({})).await;
    let why = text(&waits["rejected"]).to_owned();
    let told = "about 2 records differently, and sync.mapping_budget allows 1";
    assert!(why.contains(told) && why.contains("Customer_Size__c"), "{why}");
    assert_eq!(waits["version"], before.as_str(), "the old stays");
    let wrong = good(&world, "POST", "mappings/reload", json!({ "confirm": before })).await;
    assert!(text(&wrong["rejected"]).contains("not "), "another version was confirmed: {wrong}");
    assert_eq!(wrong["version"], before.as_str());

    world.stop_daemon().await;
    world.start_daemon().await;
    assert_eq!(state(&world).await["version"], before.as_str(), "a restart confirms nothing");
    let waits = good(&world, "POST", "mappings/reload", json!({})).await;
    assert_eq!(text(&waits["rejected"]), why);
    let version = why.split("--confirm ").nth(1).expect("a way out").trim_end_matches('`');
    let body = json!({ "confirm": version, "why": "all of them are meant" });
    let used = good(&world, "POST", "mappings/reload", body).await;
    assert_eq!((&used["rejected"], text(&used["version"])), (&Json::Null, version));
    world.stop_daemon().await;
    world.start_daemon().await;
    assert_eq!(state(&world).await["version"], version, "confirmed once and for all");

    let back = json!({ "version": before, "why": "they were not" });
    good(&world, "POST", "mappings/rollback", back).await;
    assert_eq!(state(&world).await["version"], before.as_str(), "who names a version means it");
    world.finish().await;
}

/// The shipped stages of Salesforce, with the first open stage and all others changed for each other.
const STAGES_CHANGED: &str = r#"
extends = "salesforce-opportunity.toml"

[[stage]]
stage = "won"
when = { IsWon = true }
write = { StageName = "Closed Won" }
[[stage]]
stage = "lost"
when = { IsClosed = true }
write = { StageName = "Closed Lost" }
[[stage]]
stage = "active"
when = { StageName = "Prospecting" }
write = { StageName = "Prospecting" }
[[stage]]
stage = "on_hold"
when = { IsClosed = false }
write = { StageName = "Qualification" }
[[stage]]
stage = "declined"
write = { StageName = "Closed Lost" }
[[stage]]
stage = "expired"
write = { StageName = "Closed Lost" }
[[stage]]
stage = "error"
write = { StageName = "Closed Lost" }
"#;

/// Files that read a stage otherwise count in the budget, say how many records they mean, and accept
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_means_something_else_waits_for_a_person_and_moves_nothing() {
    let world = Setup::salesforce_only().set("sync.mapping_budget", 1).start().await;
    let before = text(&state(&world).await["version"]).to_owned();
    let one = world.arrival(json!({ "name": "One" })).await;
    let two = world.arrival(json!({ "name": "Two" })).await;
    world.idle().await;

    world.write_mapping("contoso.toml", STAGES_CHANGED);
    let waits = good(&world, "POST", "mappings/reload", json!({})).await;
    let why = text(&waits["rejected"]).to_owned();
    assert!(why.contains("about 2 records differently"), "{why}");
    assert!(why.contains("2 read in another stage"), "{why}");
    assert_eq!(waits["restaged"], 0, "the old files are in use");
    let version = why.split("--confirm ").nth(1).expect("a way out").trim_end_matches('`');
    let used = good(&world, "POST", "mappings/reload", json!({ "confirm": version })).await;
    assert_eq!((&used["rejected"], &used["restaged"]), (&Json::Null, &json!(2)));

    good(&world, "POST", "reconcile", json!({})).await;
    world.until_said(AuditKind::Configured, "it was read as waiting for an answer before").await;
    world.idle().await;
    for id in [&one, &two] {
        assert_eq!(world.state(id), "New/Pending", "nobody accepted it");
    }
    let back = json!({ "version": before, "why": "it was a mistake" });
    good(&world, "POST", "mappings/rollback", back).await;
    world.until_said(AuditKind::Configured, "it was a mistake").await;
    good(&world, "POST", "reconcile", json!({})).await;
    world.until_said(AuditKind::Configured, "it was read as accepted before").await;
    world.edit_sales(&one, json!({ "StageName": "Qualification" }));
    world.until_true("one is accepted", || world.state(&one) == "Active/Accepted").await;
    world.idle().await;
    assert_eq!(world.state(&two), "New/Pending", "nobody accepted the other one");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_or_bad_leaves_the_old_one_in_use() {
    let world = salesforce_only().await;
    let before = state(&world).await;
    let folder = world.folder.path().join("mappings");
    let lead = folder.join("salesforce-lead.toml");
    let kept = std::fs::read_to_string(&lead).expect("a file");

    std::fs::remove_file(&lead).expect("deleted");
    let refused = good(&world, "POST", "mappings/reload", json!({})).await;
    let why = text(&refused["rejected"]);
    assert!(why.contains("no other file maps the lead of Salesforce"), "{why}");
    assert!(why.contains("mapping rollback"), "with a way out: {why}");
    assert_eq!(refused["version"], before["version"], "the old stays");
    let status = good(&world, "GET", "status", json!({})).await;
    assert!(status["alerts"].to_string().contains("is gone"), "{}", status["alerts"]);

    std::fs::write(&lead, &kept).expect("put back");
    let used = good(&world, "POST", "mappings/reload", json!({ "why": "it was a mistake" })).await;
    assert_eq!((&used["rejected"], &used["version"]), (&Json::Null, &before["version"]));
    let history = good(&world, "GET", "mappings/history", json!({})).await;
    assert_eq!(history["items"][0]["why"], "it was a mistake", "given afterwards");

    let two_mistakes = kept.replacen("conflict = ", "conflikt = ", 1).replacen(
        "type = \"text\"",
        "type = \"txet\"",
        1,
    );
    std::fs::write(&lead, two_mistakes).expect("written");
    let asked = json!({ "new": folder });
    let (status, refused) = ask(&world, "POST", "mappings/diff", asked).await;
    assert_eq!(status, 409, "{refused}");
    let told = refused.to_string();
    assert!(told.contains("conflikt") && told.contains("txet"), "every problem: {told}");
    assert!(told.contains("^^^"), "with its place: {told}");
    std::fs::write(&lead, &kept).expect("put back");
    world.finish().await;
}

/// Deals that are tried between the loss of a field and its discovery are refused by the CRM; nobody
/// has to release them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deals_that_a_lost_field_held_go_on_by_themselves() {
    // A field of a related row is no part of the table that is looked at.
    for (table, field) in [("Opportunity", "Description"), ("Contact", "Email")] {
        let world = salesforce_only().await;
        let id = world.accepted().await;
        world.idle().await;
        world.sandbox.salesforce.hide_field(table, field);
        world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 77_000 } }));
        world
            .until_true("the value arrives", || {
                let row = world.sales(&id);
                row.and_then(|row| number(&row["Amount"])) == Some(77_000.0)
            })
            .await;
        let doctor = good(&world, "GET", "doctor", json!({})).await.to_string();
        assert!(doctor.contains(&format!("{field}. Its rows are parked")), "{doctor}");
        world.finish().await;
    }
}

/// M14: a field that the CRM does not have, or loses, parks its own row; the others flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_missing_parks_its_row_only() {
    let mut world = salesforce_only().await;
    world.stop_daemon().await;
    world.write_mapping(
        "contoso.toml",
        "extends = \"salesforce-opportunity.toml\"\n[[field]]\nreferral = \"campaignId\"\n\
         crm = \"Not_There__c\"\ntype = \"text\"\nconflict = \"crm\"\nlabel = \"Campaign\"\n",
    );
    world.start_daemon().await;
    world.register_webhook();
    let id = world.accepted().await;
    let told = state(&world).await;
    let mut rows = told["parked"].as_array().expect("rows").iter();
    let row = rows.find(|row| row["optional"] == false).expect("a row");
    assert_eq!((text(&row["field"]), text(&row["crm_field"])), ("campaignId", "Not_There__c"));
    assert!(text(&row["place"]).contains("contoso.toml:2"), "{row}");
    let status = good(&world, "GET", "status", json!({})).await;
    let alerts = status["alerts"].to_string();
    assert!(alerts.contains("\\\"Campaign\\\"") && alerts.contains("has no field"), "{alerts}");
    assert!(alerts.contains("mapping reload"), "with a way out: {alerts}");
    world.until_said(AuditKind::Alerted, "\"Campaign\"").await;
    let doctor = good(&world, "GET", "doctor", json!({})).await.to_string();
    assert!(doctor.contains("no field Not_There__c. Its rows are parked"), "{doctor}");

    let why = good(&world, "GET", &format!("why?id={id}"), json!({})).await;
    let left_out = why["parked"].as_array().expect("rows").iter();
    let left_out: Vec<_> = left_out.map(|row| (text(&row["kind"]), text(&row["label"]))).collect();
    assert_eq!(left_out, [("opportunity", "Campaign")], "of the deal's kind, not optional: {why}");

    // While it runs, a field that is deleted is noticed by the feed that fails.
    world.sandbox.salesforce.hide_field("Opportunity", "Description");
    world
        .until_said(AuditKind::Alerted, "the opportunity of Salesforce has no field Description")
        .await;
    world.edit_sales(&id, json!({ "CloseDate": "2027-10-31" }));
    world
        .until_true("the other fields flow", || {
            text(&world.referral(&id)["details"]["closingDateTime"]).starts_with("2027-10-31")
        })
        .await;

    // A field that may not be written any more parks its row as well.
    world.sandbox.salesforce.make_read_only("Opportunity", "Amount");
    let used = good(&world, "POST", "mappings/reload", json!({})).await;
    let rows = used["parked"].as_array().expect("rows");
    let amount = rows.iter().find(|row| row["crm_field"] == "Amount").expect("the amount");
    assert!(text(&amount["reason"]).contains("does not let us write Amount"), "{amount}");
}
