//! Shadow mode: everything is planned, nothing is written, and the plans are judged by what others do.

use cosell_sync::domain::audit::AuditKind;
use serde_json::json;

use crate::support::{Setup, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_recorded_once_and_compared_with_what_later_happened() {
    let world = Setup::new().set("sync.shadow", true).start().await;
    let before = world.writes();
    let id = world.seed(json!({ "status": "Active", "substatus": "Accepted" }));
    let plan =
        world.until_said(AuditKind::WouldWrite, "Would create the opportunity in Salesforce").await;
    let field = |name: &str| plan.entry.fields.iter().find(|change| change.field == name);
    let value = field("details.dealValue").map(|change| change.after.to_string());
    assert_eq!(value.as_deref(), Some("50,000"), "what it would be given: {plan:?}");
    assert_eq!(field("stage").map(|change| change.after.to_string()).as_deref(), Some("active"));
    // As another tool, or a person, makes them.
    let carries = json!({
        "pc_referralidentifier": id.as_str(), "pc_syncwithpartnercenter": true,
        "estimatedvalue": 50_000, "description": "Wants to move to the cloud.",
    });
    let dynamics = world.draft_dynamics("Northwind cloud migration", carries);
    world.until_said(AuditKind::Linked, "in Dynamics 365").await;
    world.idle().await;
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "Meet on Monday" } }));
    world.until_planned("details.notes").await;
    world.two_polls().await;
    let report = world.ask("/shadow/report").await;
    assert_eq!(outcome(&report, "details.notes"), "not_yet", "{report}");
    assert_eq!(report["to_create"], 1, "nobody has made the one in Salesforce: {report}");
    let write = json!({ "description": "Meet on Monday" });
    world.sandbox.dynamics365.edit_as_person("opportunity", &dynamics, &write).expect("written");
    world.two_polls().await;
    let report = world.ask("/shadow/report").await;
    assert_eq!(outcome(&report, "details.notes"), "as_planned", "{report}");
    let write = json!({ "description": "Something else" });
    world.sandbox.dynamics365.edit_as_person("opportunity", &dynamics, &write).expect("written");
    let report = world.ask("/shadow/report").await;
    assert_eq!(outcome(&report, "details.notes"), "differs", "{report}");
    world.two_polls().await;
    assert_eq!(world.writes(), before, "nothing was written anywhere");
    let told = world.trail(Some(AuditKind::WouldWrite)).await;
    let notes = |field: &str| {
        let of = told.iter().filter(|it| it.entry.actor == "dynamics365");
        of.filter(|it| it.entry.fields.iter().any(|change| change.field == field)).count()
    };
    assert!(notes("details.notes") <= 2, "each plan is recorded once: {told:#?}");
}

fn outcome<'r>(report: &'r serde_json::Value, field: &str) -> &'r str {
    let items = report["items"].as_array().expect("items");
    let line = items.iter().find(|line| line["system"] == "dynamics365" && line["field"] == field);
    line.map_or("", |line| text(&line["outcome"]))
}
