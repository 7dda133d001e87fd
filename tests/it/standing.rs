//! What sellers see of how a deal stands: fields that rest, paused deals, deals that wait.

use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::ReferralId;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

/// Notes of at most 200 characters.
const SHORT_NOTES: &str = r#"
extends = "dynamics365-opportunity.toml"

[[remove]]
referral = "details.notes"
crm = "description"

[[field]]
referral = "details.notes"
crm = "stepname"
type = "text"
codec = ["limit:200"]
conflict = "newest"
label = "Next step"
"#;

/// Partner Center answers nothing.
fn down() -> Fault {
    let effect = FaultEffect::Answer {
        status: 503,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: "<html>not now</html>".to_owned(),
    };
    Fault {
        method: None,
        path: "/engagements/referrals".to_owned(),
        skip: 0,
        times: u32::MAX,
        effect,
    }
}

/// What the status fields of both CRMs show.
fn shown(world: &World, id: &ReferralId) -> (String, String) {
    let dynamics = world.dynamics(id).unwrap_or_default();
    let sales = world.sales(id).unwrap_or_default();
    (text(&dynamics["pc_syncstatus"]).to_owned(), text(&sales["Sync_Status__c"]).to_owned())
}

fn both(word: &str) -> (String, String) {
    (word.to_owned(), word.to_owned())
}

fn keys(world: &World, id: &ReferralId) -> (String, String) {
    let dynamics = world.dynamics(id).expect("a row");
    let sales = world.sales(id).expect("a row");
    (text(&dynamics["opportunityid"]).to_owned(), text(&sales["Id"]).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_value_that_does_not_fit_rests_and_everything_else_goes_on() {
    let mut world = World::start().await;
    let id = world.accepted().await;
    world.stop_daemon().await;
    world.write_mapping("contoso-dynamics.toml", SHORT_NOTES);
    world.start_daemon().await;
    world.register_webhook();
    let (key, _) = keys(&world, &id);
    let long = "Call them. ".repeat(40);
    let edit = json!({ "details": { "dealValue": 71_000, "notes": long } });
    world.edit_as_microsoft(&id, edit);
    world
        .until_true("the value goes on and the seller is told", || {
            let expected = ("Needs attention".to_owned(), "In sync".to_owned());
            world.agree_on_value(&id, 71_000.0) && shown(&world, &id) == expected
        })
        .await;
    world.silence().await;
    let audit = world.dynamics_audit(&key);
    assert_eq!(audit.matches("Not synced").count(), 1, "told once: {audit}");
    assert!(world.letters().await.is_empty(), "no dead letter for one field");
    let sales = world.sales(&id).expect("a row");
    assert_eq!(text(&sales["Description"]).trim(), long.trim(), "the other CRM has it");
    let deal = world.deal(&id).await.expect("a deal");
    let parked: usize = deal.links.iter().map(|link| link.parked.len()).sum();
    assert_eq!(parked, 1, "{deal:#?}");
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "Called" } }));
    world
        .until_true("a shorter one goes on", || {
            let held = world.dynamics(&id).unwrap_or_default();
            held["stepname"] == "Called" && shown(&world, &id) == both("In sync")
        })
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_a_crm_refuses_rests_alone_and_is_not_sent_again() {
    let prepare = Setup::new().prepare(|sandbox| {
        sandbox.salesforce.add_validation_rule("Opportunity", |fields| {
            let refused = fields.get("Amount").and_then(Json::as_f64) == Some(66_000.0);
            refused.then(|| ("No such amount".to_owned(), "Amount".to_owned()))
        });
    });
    let world = prepare.start().await;
    let id = world.accepted().await;
    let (_, sales) = keys(&world, &id);
    let edit = json!({ "details": { "dealValue": 66_000, "notes": "Meet on Monday" } });
    world.edit_as_microsoft(&id, edit);
    world
        .until_true("the notes go on", || {
            let row = world.sales(&id).unwrap_or_default();
            row["Description"] == "Meet on Monday"
                && text(&row["Sync_Status__c"]) == "Needs attention"
        })
        .await;
    world.silence().await;
    let audit = world.sales_audit(&sales);
    assert_eq!(audit.matches("No such amount").count(), 1, "{audit}");
    assert!(world.letters().await.is_empty());
    assert_eq!(shown(&world, &id).0, "In sync", "the other CRM is not concerned");
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 67_000 } }));
    world
        .until_true("another amount is taken", || {
            world.agree_on_value(&id, 67_000.0) && shown(&world, &id) == both("In sync")
        })
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_a_crm_refuses_for_a_new_record_rests_and_the_record_is_made_without_it() {
    let prepare = Setup::new().prepare(|sandbox| {
        sandbox.salesforce.add_validation_rule("Opportunity", |fields| {
            let refused = fields.get("Description").and_then(Json::as_str) == Some("Secret");
            refused.then(|| ("No secrets here".to_owned(), "Description".to_owned()))
        });
    });
    let world = prepare.start().await;
    let id = world.seed(json!({ "details": { "notes": "Secret" } }));
    world
        .until_true("both records are there, one without the notes", || {
            let row = world.sales(&id).unwrap_or_default();
            row["Description"].is_null()
                && shown(&world, &id) == ("In sync".to_owned(), "Needs attention".to_owned())
        })
        .await;
    world.silence().await;
    let (_, sales) = keys(&world, &id);
    let audit = world.sales_audit(&sales);
    assert_eq!(audit.matches("No secrets here").count(), 1, "told once: {audit}");
    assert!(world.letters().await.is_empty(), "no dead letter for one field");
    assert_eq!(world.dynamics(&id).expect("a row")["description"], "Secret", "the other has it");
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "Call them" } }));
    world
        .until_true("other words are taken", || {
            let row = world.sales(&id).unwrap_or_default();
            row["Description"] == "Call them" && shown(&world, &id) == both("In sync")
        })
        .await;
    world.finish().await;
}

/// What a flow of the CRM fills in where a value was refused is nobody's edit, also where the answer of
/// the record's creation was lost: it does not go to Microsoft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crm_fills_in_for_a_refused_field_stays_there_after_a_lost_answer() {
    let prepare = Setup::salesforce_only().prepare(|sandbox| {
        sandbox.salesforce.add_trigger("Opportunity", |row| {
            if row.get("Description").is_none_or(Json::is_null) {
                row.insert("Description".to_owned(), json!("Ask the desk"));
            }
        });
        sandbox.salesforce.add_validation_rule("Opportunity", |fields| {
            let refused = fields.get("Description").and_then(Json::as_str) == Some("Secret");
            refused.then(|| ("No secrets here".to_owned(), "Description".to_owned()))
        });
        sandbox.salesforce.faults().add(Fault {
            method: Some("POST".to_owned()),
            path: "/composite".to_owned(),
            skip: 1,
            times: 1,
            effect: FaultEffect::ApplyThenDrop,
        });
    });
    let world = prepare.start().await;
    let id = world.seed(json!({ "details": { "notes": "Secret" } }));
    world.until("it arrives", || world.sales(&id)).await;
    assert_eq!(world.sandbox.salesforce.faults().waiting(), 0, "an answer was lost");
    world.idle().await;
    world.edit_as_microsoft(&id, json!({ "status": "Active", "substatus": "Accepted" }));
    world
        .until_true("it is active", || {
            text(&world.sales(&id).unwrap_or_default()["StageName"]) == "Qualification"
        })
        .await;
    world.silence().await;
    assert_eq!(world.sales(&id).expect("a row")["Description"], "Ask the desk");
    assert_eq!(world.referral(&id)["details"]["notes"], "Secret", "nobody wrote anything else");
    let conflicts = world.trail(Some(AuditKind::Conflict)).await;
    assert!(conflicts.is_empty(), "{conflicts:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_is_shown_without_echo_and_resumed_with_what_changed_meanwhile() {
    let world = World::start().await;
    let id = world.accepted().await;
    let (dynamics, sales) = keys(&world, &id);
    assert_eq!(shown(&world, &id), both("In sync"));
    world.edit_dynamics(&id, json!({ "pc_syncwithpartnercenter": false }));
    world.edit_sales(&id, json!({ "Sync_With_Partner_Center__c": false }));
    world.until_true("both show it", || shown(&world, &id) == both("Paused")).await;
    world.silence().await;
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 72_000 } }));
    world.edit_dynamics(&id, json!({ "description": "While it rests" }));
    world.silence().await;
    assert!(!world.agree_on_value(&id, 72_000.0), "nothing is synced while it rests");
    world.edit_dynamics(&id, json!({ "pc_syncwithpartnercenter": true }));
    world.edit_sales(&id, json!({ "Sync_With_Partner_Center__c": true }));
    world
        .until_true("both catch up", || {
            let notes = world.sales(&id).unwrap_or_default();
            world.agree_on_value(&id, 72_000.0)
                && notes["Description"] == "While it rests"
                && shown(&world, &id) == both("In sync")
        })
        .await;
    for audit in [world.dynamics_audit(&dynamics), world.sales_audit(&sales)] {
        assert_eq!(audit.matches("Center rests").count(), 1, "{audit}");
        assert_eq!(audit.matches("Center goes on").count(), 1, "{audit}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_is_shown_after_minutes_and_taken_back() {
    let world = Setup::new().set("sync.show_waiting_secs", 5).start().await;
    let id = world.accepted().await;
    world.sandbox.partner_center.faults().add(down());
    world.edit_dynamics(&id, json!({ "estimatedvalue": 73_000 }));
    world.until_said(AuditKind::Retried, "partner_center").await;
    assert_eq!(shown(&world, &id), both("In sync"), "not at once");
    world.until_true("both show it", || shown(&world, &id) == both("Waiting")).await;
    world.sandbox.partner_center.faults().clear();
    world
        .until_true("it is taken back", || {
            world.agree_on_value(&id, 73_000.0) && shown(&world, &id) == both("In sync")
        })
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_unticked_before_its_referral_exists_ends() {
    let world = World::start().await;
    world.sandbox.partner_center.faults().add(down());
    let key = world.draft_dynamics("Second thoughts", json!({ "pc_syncwithpartnercenter": true }));
    world.until_said(AuditKind::Linked, "A seller shared this deal").await;
    let edit = json!({ "pc_syncwithpartnercenter": false });
    world.sandbox.dynamics365.edit_as_person("opportunity", &key, &edit).expect("the seller may");
    world.two_crm_polls().await;
    world.sandbox.partner_center.faults().clear();
    world.until_said(AuditKind::Resumed, "un-ticked before it was shared").await;
    world.silence().await;
    assert!(world.sandbox.partner_center.referrals().is_empty(), "nothing was made");
    let edit = json!({ "pc_syncwithpartnercenter": true });
    world.sandbox.dynamics365.edit_as_person("opportunity", &key, &edit).expect("the seller may");
    let id = world.until("shared after all", || world.shared_dynamics(&key)).await;
    world.arrived(&id).await;
    world.finish().await;
}
