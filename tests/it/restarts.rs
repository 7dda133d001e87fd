//! The daemon stops and starts on the same store, with other settings, mappings or lost cursors.

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::store::CursorMove;
use serde_json::json;

use crate::support::{World, number, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_it_was_stopped_is_caught_up() {
    let mut world = World::start().await;
    let id = world.accepted().await;
    world.stop_daemon().await;
    world.edit_dynamics(&id, json!({ "estimatedvalue": 52_000 }));
    world.edit_sales(&id, json!({ "CloseDate": "2027-10-31" }));
    let fresh = world.seed(json!({ "name": "While it was stopped" }));
    let gone =
        world.draft_dynamics("Shared while stopped", json!({ "pc_syncwithpartnercenter": true }));
    world.start_daemon().await;
    world.register_webhook();
    world.until_true("both edits survive", || world.agree(&id, 52_000.0, "2027-10-31")).await;
    world.arrived(&fresh).await;
    let shared = world.until("shared", || world.shared_dynamics(&gone)).await;
    world.arrived(&shared).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_cursors_cost_one_full_comparison_and_nothing_is_doubled() {
    let mut world = World::start().await;
    let id = world.accepted().await;
    let other = world.accepted().await;
    for feed in ["salesforce/opportunity", "partner_center"] {
        let account = world.app().accounts[0].name.clone();
        let moved = CursorMove { account, feed: feed.to_owned(), cursor: None };
        let now = world.app().around.clock.now();
        let kept = world.store().enqueue(Vec::new(), vec![moved], Vec::new(), now).await;
        kept.expect("the cursor is forgotten");
    }
    world.stop_daemon().await;
    world.sandbox.dynamics365.expire_delta_tokens();
    world.sandbox.salesforce.make_cursors_stale();
    world.edit_dynamics(&id, json!({ "estimatedvalue": 53_000 }));
    world.edit_sales(&other, json!({ "Amount": 54_000 }));
    let key = text(&world.dynamics(&other).expect("a row")["opportunityid"]).to_owned();
    world.sandbox.dynamics365.delete_as_person("opportunity", &key).expect("the seller may");
    world.start_daemon().await;
    world.register_webhook();
    world.until_true("the edit is found", || world.agree(&id, 53_000.0, "2027-03-31")).await;
    world
        .until_true("and the other", || {
            number(&world.referral(&other)["details"]["dealValue"]) == Some(54_000.0)
        })
        .await;
    world.until_said(AuditKind::Alerted, "was deleted").await;
    world.silence().await;
    assert_eq!(world.sandbox.dynamics365.rows("opportunity").len(), 1);
    assert_eq!(world.sandbox.salesforce.rows("Opportunity").len(), 2);
    world.finish().await;
}

const SALES_MAPPING: &str = r#"
extends = "salesforce-opportunity.toml"

[[field]]
referral = "statusReason"
crm = "Contoso_Reason__c"
type = "option"
codec = ["lookup:reason"]
conflict = "crm"
label = "Reason"

[[remove]]
referral = "statusReason"
crm = "Status_Reason__c"

[lookup.reason]
rows = [["Budget", "R1"], ["Competitor", "R2"]]

[[stage]]
stage = "won"
when = { IsWon = true }
write = { StageName = "Closed Won" }

[[stage]]
stage = "lost"
when = { IsClosed = true }
write = { StageName = "Closed Lost" }

[[stage]]
stage = "on_hold"
when = { StageName = ["Prospecting", "Needs Analysis"] }
write = { StageName = "Needs Analysis" }

[[stage]]
stage = "active"
when = { IsClosed = false }
write = { StageName = "Proposal/Price Quote" }

[[stage]]
stage = "declined"
write = { StageName = "Closed Lost" }

[[stage]]
stage = "expired"
write = { StageName = "Closed Lost" }

[[stage]]
stage = "error"
write = { StageName = "Closed Lost" }

[[case]]
name = "a reason is a code of ours"
given = { referral = { statusReason = "Competitor" } }
expect = { crm = { Contoso_Reason__c = "R2" } }
"#;

const DYNAMICS_MAPPING: &str = r#"
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_a_stage_and_a_table_of_the_customers_own_work_both_ways() {
    let mut world = World::start().await;
    let before = world.arrival(json!({})).await;
    world.stop_daemon().await;
    world.sandbox.salesforce.add_external_id_field("Opportunity", "Contoso_Reason__c", false);
    world.write_mapping("contoso-salesforce.toml", SALES_MAPPING);
    world.write_mapping("contoso-dynamics.toml", DYNAMICS_MAPPING);
    world.start_daemon().await;
    world.register_webhook();

    let id = world.seed(json!({
        "name": "By the new mapping", "statusReason": "Competitor",
        "details": { "notes": "Call them" },
    }));
    world.arrived(&id).await;
    let made = world.until_said(AuditKind::Wrote, "in Salesforce.").await;
    let cause = made.entry.cause.expect("a cause");
    assert!(cause.contains(", mapping "), "the trail names the version that decided: {cause}");
    let sales = world.sales(&id).expect("a row");
    assert_eq!(sales["StageName"], "Needs Analysis", "the stage of their own");
    assert_eq!(sales["Contoso_Reason__c"], "R2", "the table of values");
    assert_eq!(world.dynamics(&id).expect("a row")["stepname"], "Call them");

    world
        .edit_sales(&id, json!({ "StageName": "Proposal/Price Quote", "Contoso_Reason__c": "R1" }));
    world
        .until_true("back at Microsoft", || {
            world.state(&id) == "Active/Accepted" && world.referral(&id)["statusReason"] == "Budget"
        })
        .await;
    world.edit_dynamics(&id, json!({ "stepname": "Send the offer" }));
    world
        .until_true("the notes travel", || {
            world.referral(&id)["details"]["notes"] == "Send the offer"
                && world.sales(&id).is_some_and(|row| row["Description"] == "Send the offer")
        })
        .await;

    world.edit_as_microsoft(&before, json!({ "details": { "notes": "From before" } }));
    let noted = || world.dynamics(&before).is_some_and(|row| row["stepname"] == "From before");
    world.until_true("a deal from before follows the new file", noted).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_writes_nothing_and_records_what_it_would_write() {
    let mut world = World::start().await;
    let id = world.accepted().await;
    world.silence().await;
    world.stop_daemon().await;
    world.change_setting("sync.shadow", true);
    let before = world.writes();
    world.start_daemon().await;
    world.register_webhook();
    let fresh = world.seed(json!({ "name": "Seen in the shadow" }));
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 58_000 } }));
    world.edit_sales(&id, json!({ "CloseDate": "2027-11-30" }));
    let draft =
        world.draft_dynamics("Would be shared", json!({ "pc_syncwithpartnercenter": true }));
    for words in [
        "Would create the opportunity in Dynamics 365.",
        "Would create the opportunity in Salesforce.",
        "Would write to Dynamics 365.",
        "Would write to Partner Center.",
        "Would create a referral for",
    ] {
        world.until_said(AuditKind::WouldWrite, words).await;
    }
    world.two_polls().await;
    world.idle().await;
    assert_eq!(world.writes(), before, "nothing is written anywhere");
    assert!(world.dynamics(&fresh).is_none() && world.shared_dynamics(&draft).is_none());

    world.stop_daemon().await;
    world.change_setting("sync.shadow", false);
    world.start_daemon().await;
    world.register_webhook();
    world.until_true("going live catches up", || world.agree(&id, 58_000.0, "2027-11-30")).await;
    world.arrived(&fresh).await;
    world.until("shared", || world.shared_dynamics(&draft)).await;
    world.finish().await;
}
