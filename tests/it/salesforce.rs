//! What only Salesforce does: no entity tags, stamps of whole seconds, triggers, amounts that follow
//! the products, a quota that people share.

use std::time::Duration;

use cosell_sync::connect::salesforce::sandbox::OutboundMessages;
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::id::ReferralId;
use cosell_sync::domain::notice::Source;
use cosell_sync::sync::feeds::Feed;
use serde_json::json;

use crate::support::{Setup, World, number, text};

fn key(world: &World, id: &ReferralId) -> String {
    text(&world.sales(id).expect("the opportunity")["Id"]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_edits_between_our_read_and_our_write_loses_nothing() {
    let world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    let row = key(&world, &id);
    world.sandbox.salesforce.before_next_write(move |org| {
        let edit = json!({ "CloseDate": "2027-10-31" });
        org.edit_as_person("Opportunity", &row, &edit).expect("the seller may");
    });
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 71_000 } }));
    world.until_true("both survive", || world.agree(&id, 71_000.0, "2027-10-31")).await;
    world.finish().await;
}

/// The stamp cannot tell edits of one second apart: one before our read, one after it, and ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_within_one_second_lose_nothing() {
    let world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    for round in 0..5 {
        let value = f64::from(60_000 + round);
        let date = format!("2027-11-{:02}", 10 + round);
        let (row, late) = (key(&world, &id), date.clone());
        world.edit_as_microsoft(&id, json!({ "details": { "dealValue": value } }));
        world.edit_sales(&id, json!({ "NextStep": format!("step {round}") }));
        world.sandbox.salesforce.before_next_write(move |org| {
            let edit = json!({ "CloseDate": late });
            org.edit_as_person("Opportunity", &row, &edit).expect("the seller may");
        });
        world.until_true("both survive", || world.agree(&id, value, &date)).await;
        let step = world.sales(&id).expect("a row")["NextStep"].clone();
        assert_eq!(step, json!(format!("step {round}")));
    }
    world.finish().await;
}

/// A flow that rounds what we write, and one that answers it with an edit of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_makes_of_our_write_is_pushed_at_most_once() {
    let world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    world.sandbox.salesforce.add_trigger("Opportunity", |row| {
        if row["Amount"].as_f64().is_some_and(|amount| amount > 70_000.0) {
            row.insert("Description".to_owned(), json!("Large deal, ask the deal desk."));
        }
        if row["CloseDate"] == "2027-12-25" {
            row.insert("CloseDate".to_owned(), json!("2027-12-23"));
        }
    });
    let edit = json!({ "dealValue": 81_000, "closingDateTime": "2027-12-25T00:00:00Z" });
    world.edit_as_microsoft(&id, json!({ "details": edit }));
    let settled = || {
        let notes = world.referral(&id)["details"]["notes"].clone();
        world.sales(&id).is_some_and(|row| number(&row["Amount"]) == Some(81_000.0))
            && text(&notes) == "Large deal, ask the deal desk."
    };
    world.until_true("the flow's own edit reaches Microsoft", settled).await;
    world.silence().await;
    assert_eq!(world.sales(&id).expect("a row")["CloseDate"], "2027-12-23", "the flow decides");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amount_that_follows_the_products_is_told_once_and_never_pushed_again() {
    let world = Setup::salesforce_only().start().await;
    let id = world.accepted().await;
    let opportunity = key(&world, &id);
    let product = json!({ "OpportunityId": opportunity, "Quantity": 2, "UnitPrice": 20_000 });
    let product = world.sandbox.salesforce.create_as_person("OpportunityLineItem", &product);
    let product = product.expect("the seller may");
    world.until_true("the sum is sent", || world.agree(&id, 40_000.0, "2027-03-31")).await;
    world.idle().await;

    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 55_000 } }));
    let told = || world.sales_audit(&opportunity).contains("your CRM keeps 40,000");
    world.until_true("the seller is told", told).await;
    world.silence().await;
    let row = world.sales(&id).expect("a row");
    assert_eq!(number(&row["Amount"]), Some(40_000.0), "the products decide");
    assert_eq!(number(&world.referral(&id)["details"]["dealValue"]), Some(55_000.0));
    let audit = world.sales_audit(&opportunity);
    assert_eq!(audit.matches("your CRM keeps 40,000").count(), 1, "{audit}");

    // Another price is a change of the record like any other.
    let edit = json!({ "UnitPrice": 30_000 });
    let edited = world.sandbox.salesforce.edit_as_person("OpportunityLineItem", &product, &edit);
    edited.expect("the seller may");
    world.until_true("the new sum is sent", || world.agree(&id, 60_000.0, "2027-03-31")).await;
    world.finish().await;
}

/// The customer's contact: the primary contact role of a deal that is shared, and of one that comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_customers_contact_is_the_primary_contact_role() {
    let world = Setup::salesforce_only().start().await;
    let id = world.arrival(json!({})).await;
    let wanted = world.referral(&id)["customerProfile"]["team"][0]["email"].clone();
    let roles = world.sandbox.salesforce.rows("OpportunityContactRole");
    assert_eq!(roles.len(), 1, "{roles:?}");
    assert_eq!(roles[0]["OpportunityId"], world.sales(&id).expect("a row")["Id"]);
    assert_eq!(roles[0]["IsPrimary"], true);
    let contact = world.sandbox.salesforce.row("Contact", text(&roles[0]["ContactId"]));
    assert_eq!(contact.expect("a contact")["Email"], wanted);

    let contact = json!({
        "FirstName": "Bo", "LastName": "Buyer", "Email": "buyer@fabrikam.example",
        "Phone": "+49 30 5550102",
    });
    let contact = world.sandbox.salesforce.seed_contact(&contact).expect("a contact");
    let draft = json!({ "ContactId": contact, "Sync_With_Partner_Center__c": true });
    let draft = world.draft_sales("Shared with a contact", draft);
    let shared = world.until("it is shared", || world.shared_sales(&draft)).await;
    let sent = world.referral(&shared)["customerProfile"]["team"][0].clone();
    assert_eq!(sent["email"], "buyer@fabrikam.example", "{sent}");
    assert_eq!(sent["lastName"], "Buyer", "{sent}");
    world.finish().await;
}

fn used(world: &World) -> usize {
    world.sandbox.salesforce.with(|org| org.quota_used())
}

/// Other programs of the organisation use the quota up to there.
fn spend_up_to(world: &World, calls: usize) {
    world.sandbox.salesforce.with(|org| {
        let rest = calls.saturating_sub(org.quota_used());
        org.spend_quota(rest);
    });
}

fn throttled(world: &World) -> bool {
    let pollers = &world.app().pollers;
    let mut crm = pollers.iter().filter(|poller| matches!(poller.feed(), Feed::Crm(..)));
    crm.all(|poller| poller.health().fault.is_some_and(|fault| fault.contains("throttled")))
}

/// Background work leaves a fifth of the quota to people, work on deals a twentieth. Nothing is lost
/// meanwhile, and the next day everything is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_nearly_gone_is_left_to_people_and_caught_up_later() {
    let world = Setup::salesforce_only().on_the_sandbox_clock().start().await;
    let id = world.accepted().await;
    let other = world.accepted().await;

    world.sandbox.salesforce.set_quota(10_000);
    spend_up_to(&world, 8_500);
    world.until_true("the feeds stop at the reserve", || throttled(&world)).await;
    let status = world.ask("/status").await;
    let told = status["alerts"].to_string();
    assert!(
        told.contains("daily quota of Salesforce") && told.contains("asked again at"),
        "{told}"
    );
    let system = &status["accounts"][0]["systems"][1];
    assert_eq!((&system["name"], &system["state"]), (&json!("salesforce"), &json!("paused")));
    assert!(system["resting_since"].is_string(), "{system}");
    let labels = "{account=\"contoso\",system=\"salesforce\"}";
    let metrics = world.metrics().await;
    assert!(metrics.contains(&format!("cosell_sync_system_paused{labels} 1")), "{metrics}");
    world.sandbox.clock.advance(Duration::from_secs(16 * 60));
    world.until_said(AuditKind::Alerted, "daily quota of Salesforce").await;
    world.edit_sales(&other, json!({ "CloseDate": "2027-08-31" }));
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 71_000 } }));
    let arrived = || world.sales(&id).is_some_and(|row| number(&row["Amount"]) == Some(71_000.0));
    world.until_true("work on deals goes on", arrived).await;

    spend_up_to(&world, 9_700);
    let accepted = async || world.accepted_of(Source::PartnerCenterWebhook).await;
    // One call may still find out where the quota stands.
    let before = accepted().await;
    world.edit_as_microsoft(&id, json!({ "details": { "dealValue": 72_000 } }));
    // An event on its way is no longer pending at Partner Center, and not yet here.
    world.until_accepted(Source::PartnerCenterWebhook, before + 1).await;
    let (calls, before) = (used(&world), accepted().await);
    for value in [73_000, 74_000] {
        world.edit_as_microsoft(&id, json!({ "details": { "dealValue": value } }));
    }
    world.until_accepted(Source::PartnerCenterWebhook, before + 1).await;
    assert!(world.sandbox.partner_center.parked_events().is_empty(), "and answers with success");
    assert!(used(&world) <= calls + 2, "{} calls at the hard reserve", used(&world) - calls);
    let date = world.referral(&other)["details"]["closingDateTime"].clone();
    assert!(!text(&date).starts_with("2027-08-31"), "the feeds still rest");

    world.sandbox.clock.advance(Duration::from_secs(25 * 60 * 60));
    world.until_true("the events are worked", || world.agree(&id, 74_000.0, "2027-03-31")).await;
    world
        .until_true("the feeds catch up", || {
            let date = world.referral(&other)["details"]["closingDateTime"].clone();
            text(&date).starts_with("2027-08-31")
        })
        .await;
    let status = world.ask("/status").await;
    assert!(!status["alerts"].to_string().contains("quota"), "it is over: {status}");
    assert!(world.trail(Some(AuditKind::Retried)).await.is_empty(), "waiting uses up no try");
    world.finish().await;
}

/// The door asks which organisation is ours with the worker's own sign-in: a second one would rotate
/// the refresh token away, and the worker would be refused at its next renewal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_messages_bring_changes_at_once_and_rotate_nothing_away() {
    let file =
        |name: &str| toml::Value::from(toml::Table::from_iter([("file".into(), name.into())]));
    let world = Setup::salesforce_only()
        .ordinary_polls()
        .set("salesforce.auth", "refresh_token")
        .set("salesforce.refresh_token", file("secrets/salesforce"))
        .set("salesforce.outbound_path_secret", file("secrets/admin-token"))
        .organization(|options| {
            options.refresh_token = options.client_secret.clone();
            options.rotate_refresh_tokens = true;
        })
        .start()
        .await;
    let id = world.accepted().await;
    let row = key(&world, &id);
    let door = world.app().public_address;
    let url = format!("http://{door}/webhooks/salesforce/contoso/sandbox-admin-token");
    let sandbox = world.sandbox.salesforce.clone();
    let mut messages = OutboundMessages::new(sandbox, &url, &["Name"]);
    for value in [61_000, 62_000, 63_000] {
        world.sandbox.salesforce.expire_sessions();
        world.edit_sales(&id, json!({ "Amount": value }));
        messages.queue("Opportunity", &row);
        let delivered = messages.deliver().await;
        assert_eq!((delivered.acknowledged, delivered.waiting), (1, 0), "{delivered:?}");
        world.until_true("it is sent", || world.agree(&id, f64::from(value), "2027-03-31")).await;
    }
    let mut world = world;
    world.idle().await;
    world.check_and_stop().await;
}
