//! Products of an opportunity as the solutions of a referral, and what an organisation does not have.

use serde_json::{Value as Json, json};

use crate::support::{Setup, World, text};

/// The guide's example.
fn file_of_the_guide() -> String {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mapping-guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let part = guide.split("### Products and teams of Salesforce").nth(1);
    let block = part.and_then(|part| part.split("```toml\n").nth(1));
    block.and_then(|block| block.split("```").next()).expect("a file").to_owned()
}

/// A seller adds a product to the opportunity; returns the line.
fn sell(world: &World, opportunity: &str, code: &str) -> String {
    let product = json!({ "Name": code, "ProductCode": code });
    let product = world.sandbox.salesforce.create_as_person("Product2", &product);
    let line = json!({
        "OpportunityId": opportunity, "Product2Id": product.expect("a product"), "Quantity": 1,
        "UnitPrice": 40_000,
    });
    world.sandbox.salesforce.create_as_person("OpportunityLineItem", &line).expect("a line")
}

fn solutions(referral: &Json) -> Vec<String> {
    let list = referral["details"]["requirements"]["solutions"].as_array();
    let ids = list.into_iter().flatten().map(|solution| text(&solution["id"]).to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

/// Products come and go, some while the daemon writes: the referral ends up with those there are, and
/// with the amount that they make.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_the_solutions_of_the_referral() {
    let mut world = Setup::salesforce_only().start().await;
    world.stop_daemon().await;
    world.write_mapping("contoso.toml", &file_of_the_guide());
    world.start_daemon().await;
    let id = world.accepted().await;
    let row = text(&world.sales(&id).expect("the opportunity")["Id"]).to_owned();

    sell(&world, &row, "SOL-00001-XYZ");
    let line = sell(&world, &row, "SOL-00002-ABC");
    let holds = |codes: &[&str], value: f64| {
        let referral = world.referral(&id);
        solutions(&referral) == codes && referral["details"]["dealValue"].as_f64() == Some(value)
    };
    world
        .until_true("both are there", || holds(&["SOL-00001-XYZ", "SOL-00002-ABC"], 80_000.0))
        .await;

    // Between our read and our write a product goes and another comes.
    let opportunity = row.clone();
    world.sandbox.salesforce.before_next_write(move |org| {
        org.delete_as_person("OpportunityLineItem", &line).expect("the seller may");
        let product = json!({ "Name": "C", "ProductCode": "SOL-00003-DEF" });
        let product = org.create_as_person("Product2", &product).expect("a product");
        let line = json!({
            "OpportunityId": opportunity, "Product2Id": product, "Quantity": 2, "UnitPrice": 5_000,
        });
        org.create_as_person("OpportunityLineItem", &line).expect("the seller may");
    });
    world.edit_as_microsoft(&id, json!({ "details": { "notes": "Call on Monday" } }));
    world
        .until_true("the new ones are there", || {
            holds(&["SOL-00001-XYZ", "SOL-00003-DEF"], 50_000.0)
        })
        .await;
    let described = || {
        let held = world.sales(&id).unwrap_or_default()["Description"].clone();
        text(&held) == "Call on Monday"
    };
    world.until_true("and nothing else was lost", described).await;
    world.finish().await;
}

/// A lookup field that an organisation does not show must not keep deals out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_contact_field_a_deal_arrives_without_contact() {
    let world = Setup::salesforce_only()
        .prepare(|sandbox| sandbox.salesforce.hide_field("Opportunity", "ContactId"))
        .start()
        .await;
    let id = world.accepted().await;
    let row = world.sales(&id).expect("the opportunity");
    assert!(!text(&row["AccountId"]).is_empty(), "the account is there: {row}");
    assert_eq!(row["ContactId"], Json::Null);
    let told = world.ask("/status").await.to_string();
    assert!(told.contains("no field ContactId that we may fill"), "{told}");
    world.finish().await;
}
