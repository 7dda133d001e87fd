//! Which customer row an arriving deal points to.

use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

/// Rows that could be the customer; each is a name and a postal code.
type Rows = &'static [(&'static str, &'static str)];

/// Adds customers to both CRMs.
fn customers(world: &World, rows: Rows) {
    for (name, postal_code) in rows {
        let row = json!({ "name": name, "address1_postalcode": postal_code });
        world.sandbox.dynamics365.create_as_person("account", &row).expect("an account");
        let row = json!({ "Name": name, "BillingPostalCode": postal_code });
        world.sandbox.salesforce.create_as_person("Account", &row).expect("an account");
    }
}

fn deal(name: &str, postal_code: &str) -> Json {
    json!({
        "name": format!("A deal with {name}"),
        "customerProfile": { "name": name, "address": { "postalCode": postal_code } },
    })
}

fn named(rows: Vec<Json>, field: &str, name: &str) -> usize {
    rows.iter().filter(|row| row[field] == name).count()
}

/// How many rows of this name Dynamics 365 and Salesforce have.
fn count(world: &World, name: &str) -> (usize, usize) {
    let dynamics = named(world.sandbox.dynamics365.rows("account"), "name", name);
    (dynamics, named(world.sandbox.salesforce.rows("Account"), "Name", name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_are_reused_or_made_but_never_guessed() {
    let world = World::start().await;
    let table: &[(&str, Rows, &str, usize, &str)] = &[
        ("Exact", &[("Exact", "0150")], "0150", 1, "same name and postal code: reused"),
        ("Bare", &[("Bare", "")], "0150", 1, "no postal code here, and unique: reused"),
        ("Other", &[("Other", "9999")], "0150", 2, "another postal code: made"),
        ("Fresh", &[], "0150", 1, "nobody of this name: made"),
    ];
    for (name, rows, postal_code, expected, why) in table {
        customers(&world, rows);
        world.arrival(deal(name, postal_code)).await;
        assert_eq!(count(&world, name), (*expected, *expected), "{why}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deals_of_one_new_customer_that_arrive_together_share_its_row() {
    let world = World::start().await;
    let ids: Vec<_> = (0..6).map(|_| world.seed(deal("Adventure Works", "0150"))).collect();
    for id in &ids {
        world.arrived(id).await;
    }
    assert_eq!(count(&world, "Adventure Works"), (1, 1));
    let contacts = world.sandbox.dynamics365.rows("contact");
    assert_eq!(named(contacts, "emailaddress1", "buyer@northwind.example"), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_customers_that_fit_are_asked_about_and_a_later_change_releases_the_deal() {
    let world = Setup::dynamics_only().start().await;
    let twin = json!({ "name": "Twin", "address1_postalcode": "0150" });
    let first = world.sandbox.dynamics365.create_as_person("account", &twin).expect("a row");
    let second = world.sandbox.dynamics365.create_as_person("account", &twin).expect("a row");
    let id = world.seed(deal("Twin", "0150"));
    let letter = world.until_held("several account rows fit Twin").await;
    assert!(!letter.hold.fix.is_empty(), "a fix is named");
    assert!(world.dynamics(&id).is_none());
    let other = world.arrival(deal("Somebody else", "0150")).await;
    assert!(world.dynamics(&other).is_some(), "other deals go on");

    let moved = json!({ "address1_postalcode": "9999" });
    world.sandbox.dynamics365.edit_as_person("account", &second, &moved).expect("a person may");
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "Please hurry." } }));
    let row = world.until("the deal is released", || world.dynamics(&id)).await;
    assert_eq!(text(&row["_parentaccountid_value"]), first);
    world.finish().await;
}
