//! Rules beside the lifecycle table: deadlines, early wins, conflicts that a person decides, records
//! of others. Each setting is tried with a daemon of its own.

use std::time::Duration;

use cosell_sync::domain::audit::AuditKind;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

const DAY: Duration = Duration::from_secs(86_400);

fn ago(world: &World, time: Duration) -> String {
    world.app().around.clock.now().minus(time).to_string()
}

fn sales_status(world: &World, row: &Json) -> String {
    let row = world.sandbox.salesforce.row("Opportunity", text(&row["Id"])).unwrap_or_default();
    text(&row["Sync_Status__c"]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_win_waits_for_the_72_hours_if_told_to() {
    let world = Setup::new().set("sync.won_before_72h", "wait").start().await;
    let created = ago(&world, DAY * 3 - Duration::from_secs(12));
    let id = world.accepted().await;
    world.edit_as_microsoft(&id, json!({ "createdDateTime": created }));
    world.idle().await;
    world.edit_sales(&id, json!({ "StageName": "Closed Won" }));
    let row = world.sales(&id).expect("a row");
    world
        .until_true("the seller is told when", || {
            world.sales_audit(text(&row["Id"])).contains("Microsoft will be told of the win on")
                && sales_status(&world, &row) == "Waiting"
        })
        .await;
    assert_eq!(world.state(&id), "Active/Accepted", "not sent early");
    world.until_true("sent by itself", || world.state(&id) == "Closed/Won").await;
    world.until_true("won everywhere", || world.stage(&id, "won")).await;
    world.until_true("and shown", || sales_status(&world, &row) == "Closed").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_told_in_the_crms_and_in_the_status() {
    let world = World::start().await;
    let due = world.arrival(json!({ "name": "Nearly over" })).await;
    let created = json!({ "createdDateTime": ago(&world, DAY * 12) });
    world.edit_as_microsoft(&due, created);
    let urgent = world.arrival(json!({ "name": "Please call" })).await;
    let asks = json!({ "details": { "customerRequestedContact": true } });
    world.edit_as_microsoft(&urgent, asks);
    let calm = world.arrival(json!({ "name": "Time enough" })).await;
    let audit = |id| {
        let (dynamics, sales) = (world.dynamics(id), world.sales(id));
        let dynamics = text(&dynamics.unwrap_or_default()["pc_audit"]).to_owned();
        let sales = text(&sales.unwrap_or_default()["Sync_Audit__c"]).to_owned();
        (dynamics, sales)
    };
    let both = |id, words: &str| {
        let (dynamics, sales) = audit(id);
        dynamics.contains(words) && sales.contains(words)
    };
    world
        .until_true("both sellers are warned", || {
            both(&due, "Microsoft closes this deal if it is not answered")
                && both(&urgent, "The customer asked to be contacted")
        })
        .await;
    world.silence().await;
    assert_eq!(audit(&due).1.matches("is not answered").count(), 1, "told once");
    assert!(!audit(&calm).0.contains("Microsoft closes this deal"), "not before its time");
    assert!(!world.trail(Some(AuditKind::Alerted)).await.is_empty());
    let status = world.ask("/status").await;
    let alerts = status["alerts"].to_string();
    assert!(alerts.contains("2 deals wait for an answer"), "{alerts}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_a_person_decides_is_held_until_somebody_does() {
    const ASK: &str = r#"
extends = "salesforce-opportunity.toml"

[[remove]]
referral = "details.notes"
crm = "Description"

[[field]]
referral = "details.notes"
crm = "Description"
type = "text"
conflict = "ask"
label = "Notes"
"#;
    let mut world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    world.stop_daemon().await;
    world.write_mapping("contoso-salesforce.toml", ASK);
    world.edit_sales(&id, json!({ "Description": "Ours" }));
    let theirs = json!({ "details": { "notes": "Theirs", "dealValue": 64_000 } });
    world.edit_as_microsoft(&id, theirs);
    world.start_daemon().await;
    world.register_webhook();
    let letter = world.until_held("Notes was changed to Ours here and to Theirs").await;
    assert!(letter.hold.fix.contains("Enter the value"), "{}", letter.hold.fix);
    let row = world.sales(&id).expect("a row");
    world
        .until_true("everything else goes on, and the seller is asked", || {
            world.agree_on_value(&id, 64_000.0)
                && world.sales_audit(text(&row["Id"])).contains("Please enter the value")
                && sales_status(&world, &row) == "Needs attention"
        })
        .await;
    assert_eq!(world.sales(&id).expect("a row")["Description"], "Ours", "nobody's is overwritten");
    world.edit_sales(&id, json!({ "Description": "Theirs" }));
    world.released().await;
    world.until_true("shown", || sales_status(&world, &row) == "In sync").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_that_names_a_record_of_somebody_else_is_held_if_told_to() {
    let world = Setup::salesforce_only().set("sync.hold_foreign_reference", true).start().await;
    let id = world.seed(json!({ "externalReferenceId": "0065g00000ZZZZZAAA" }));
    world.until_held("0065g00000ZZZZZAAA, which is not here").await;
    world.two_polls().await;
    assert!(world.sandbox.salesforce.rows("Opportunity").is_empty(), "not made");
    assert_eq!(world.referral(&id)["externalReferenceId"], "0065g00000ZZZZZAAA", "left alone");
}
