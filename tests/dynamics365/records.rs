//! Lookups, refusals and keys.

use cosell_sync::connect::crm::{Crm, Search};
use cosell_sync::connect::dynamics365::sandbox::{
    KeyActivation, SandboxOptions, VersionClash, clash,
};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::record::{Fields, Record};
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::World;

const OPPORTUNITY: RecordKind = RecordKind::Opportunity;
const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";

fn fields(json: &Json) -> Fields {
    json.as_object().cloned().expect("an object")
}

async fn create(world: &World, more: &Json) -> Result<Record, ConnectError> {
    let mut new = world.create_fields();
    new.extend(fields(more));
    world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await
}

async fn update(world: &World, record: &Record, change: &Json) -> Result<Record, ConnectError> {
    world.client.update(record, &record.version, &fields(change), &world.shape()).await
}

/// Lookups go by reference or by a column of the row; both come back flat, null empties them.
#[tokio::test]
async fn lookups_are_written_and_read_flat() {
    let mut world = World::related().await;
    for path in ["customerid", "parentcontactid.emailaddress1", "ownerid.internalemailaddress"] {
        world.fields.push(path.to_owned());
    }
    let account = world.sandbox.seed_account(&json!({"name": "Fabrikam"})).expect("an account");
    let contact = json!({"lastname": "Buyer", "emailaddress1": "buyer@fabrikam.example"});
    let contact = world.sandbox.seed_contact(&contact).expect("a contact");
    let made = create(
        &world,
        &json!({
            "customerid": {"table": "account", "id": account},
            "parentcontactid": {"table": "contact", "id": contact},
            "transactioncurrencyid.isocurrencycode": "usd",
            "ownerid.internalemailaddress": "seller@contoso.example",
        }),
    )
    .await
    .expect("a record");
    assert_eq!(made.fields["customerid"], json!(account));
    assert_eq!(made.fields["customerid.name"], json!("Fabrikam"));
    assert_eq!(made.fields["parentcontactid.emailaddress1"], json!("buyer@fabrikam.example"));
    assert_eq!(made.fields["transactioncurrencyid.isocurrencycode"], json!("USD"));
    assert_eq!(made.fields["ownerid.internalemailaddress"], json!("seller@contoso.example"));

    let person = json!({"customerid": {"table": "contact", "id": contact}});
    let moved = update(&world, &made, &person).await.expect("an update");
    assert_eq!(moved.fields["customerid"], json!(contact));
    assert_eq!(moved.fields["customerid.name"], Json::Null, "a contact has no column `name`");

    let cleared = json!({"customerid": null, "parentcontactid.emailaddress1": null});
    let cleared = update(&world, &moved, &cleared).await.expect("an update");
    assert_eq!(cleared.fields["customerid"], Json::Null);
    assert_eq!(cleared.fields["parentcontactid.emailaddress1"], Json::Null);
}

/// What cannot be written is refused with the field's name, and nothing is sent.
#[tokio::test]
async fn what_cannot_be_written_is_refused_before_it_is_sent() {
    let world = World::plain().await;
    let made = create(&world, &json!({})).await.expect("a record");
    let id = world.id_of_nothing();
    let table = [
        (json!({"totalamount": 5}), "totalamount", "read-only: the platform would ignore it"),
        (json!({"nosuch.thing": 5}), "nosuch", "no such column"),
        (json!({"name.thing": "x"}), "name.thing", "not a lookup"),
        (json!({"customerid": "Fabrikam"}), "customerid", "not a reference"),
        (
            json!({"customerid": {"table": "systemuser", "id": id}}),
            "customerid",
            "cannot point there",
        ),
        (
            json!({"transactioncurrencyid.isocurrencycode": "XXX"}),
            "transactioncurrencyid.isocurrencycode",
            "no such currency",
        ),
    ];
    for (change, field, why) in table {
        let writes = world.sandbox.write_count();
        let refused = update(&world, &made, &change).await;
        let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{why}: {refused:?}") };
        assert_eq!(refusal.fields, [field], "{why}: {refusal:?}");
        assert_eq!(world.sandbox.write_count(), writes, "{why}");
    }
    let refused = create(&world, &json!({"statecode": 1})).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "ignored on create: {refused:?}");
}

/// The value of a refusal is named where a person has to find it.
#[tokio::test]
async fn an_unknown_value_is_named() {
    let world = World::plain().await;
    let change = json!({"ownerid.internalemailaddress": "nobody@contoso.example"});
    let refused = create(&world, &change).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert!(refusal.message.contains("nobody@contoso.example"), "{refusal:?}");
    assert_eq!(world.count(REFERRAL).await, 0);
}

/// A lookup is resolved once, and again after a write with it failed.
#[tokio::test]
async fn a_resolved_lookup_is_remembered_until_it_fails() {
    let world = World::plain().await;
    let made = create(&world, &json!({})).await.expect("a record");
    let lookups = |world: &World| {
        let log = world.sandbox.request_log();
        log.iter().filter(|request| request.path.contains("/transactioncurrencies?")).count()
    };
    let change = json!({"transactioncurrencyid.isocurrencycode": "USD"});
    let once = update(&world, &made, &change).await.expect("an update");
    let twice = update(&world, &once, &change).await.expect("an update");
    assert_eq!(lookups(&world), 1, "remembered");
    let refused = FaultEffect::Answer {
        status: 404,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: json!({"error": {"code": "0x80040217", "message": "gone"}}).to_string(),
    };
    world.fault("PATCH", "/opportunities", refused);
    let lost = update(&world, &twice, &change).await;
    assert!(matches!(lost, Err(ConnectError::NotFound(_))), "{lost:?}");
    update(&world, &twice, &change).await.expect("an update");
    assert_eq!(lookups(&world), 2, "asked again");
}

/// Without a working key a repeated create could double a deal, so it is refused with the fix.
#[tokio::test]
async fn a_create_needs_a_working_key() {
    let world = World::new(SandboxOptions::empty_organization(), |_| {}).await;
    world.sandbox.configure(|options| options.key_activation = KeyActivation::AfterPolls(2));
    let refused = create(&world, &json!({})).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    assert_eq!(world.sandbox.write_count(), 0);
}

/// The four meanings of 412, as the platform sends them.
#[tokio::test]
async fn the_meanings_of_412_are_told_apart() {
    let table = [
        (VersionClash::Version, "Stale"),
        (VersionClash::PrimaryKey, "Exists"),
        (VersionClash::AlternateKey, "Exists"),
        (VersionClash::DuplicateRule, "Rejected"),
    ];
    for (meaning, expected) in table {
        let world = World::plain().await;
        let made = create(&world, &json!({})).await.expect("a record");
        world.fault("PATCH", "/opportunities", clash(meaning));
        let refused = update(&world, &made, &json!({"description": "x"})).await;
        let error = format!("{:?}", refused.expect_err("a refusal"));
        assert!(error.starts_with(expected), "{meaning:?}: {error}");
    }
}

/// A text that is too long names its column, and only that one.
#[tokio::test]
async fn a_vendors_refusal_names_the_field() {
    let world = World::plain().await;
    let made = create(&world, &json!({})).await.expect("a record");
    let change = json!({"name": "x".repeat(301), "description": "short"});
    let refused = update(&world, &made, &change).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, "0x80044331");
    assert_eq!(refusal.fields, ["name"]);
}

/// An id that is not an id never reaches an address.
#[tokio::test]
async fn a_crafted_id_is_refused() {
    let world = World::plain().await;
    let id = RecordId::new("11111111-2222-4333-8444-555555555555)/WinOpportunity(");
    let refused = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
}

/// An update of nothing writes nothing.
#[tokio::test]
async fn an_empty_update_writes_nothing() {
    let world = World::plain().await;
    let made = create(&world, &json!({})).await.expect("a record");
    let writes = world.sandbox.write_count();
    assert_eq!(update(&world, &made, &json!({})).await.expect("the record"), made);
    let edit = fields(&json!({"description": "a person's"}));
    world.edit_as_person(&made.key, edit).await;
    let stale = update(&world, &made, &json!({})).await;
    assert!(matches!(stale, Err(ConnectError::Stale)), "{stale:?}");
    assert_eq!(world.sandbox.write_count(), writes);
}

/// A row of another table whose answer is lost is `Unknown`; the search finds it.
#[tokio::test]
async fn a_row_with_a_lost_answer_is_unknown_and_found() {
    let world = World::plain().await;
    let (table, name, new) = world.account("Adventure Works");
    world.fault("POST", "/accounts", FaultEffect::ApplyThenDrop);
    let lost = world.client.create_row(&table, &new).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let search = Search {
        table,
        equals: vec![(name.clone(), "Adventure Works".to_owned())],
        fields: vec![name],
        limit: 5,
    };
    assert_eq!(world.client.search(&search).await.expect("rows").len(), 1);
}

/// A contact is bound to its account although both accounts and contacts may be its parent.
#[tokio::test]
async fn a_contact_is_bound_to_its_account() {
    let world = World::plain().await;
    let (table, _, new) = world.account("Fabrikam");
    let account = world.client.create_row(&table, &new).await.expect("an account");
    let contact = json!({
        "firstname": "Avery", "lastname": "Buyer", "emailaddress1": "buyer@fabrikam.example",
        "parentcustomerid": {"table": "account", "id": account},
    });
    let contact = world.client.create_row("contact", &fields(&contact)).await.expect("a contact");
    let row = world.sandbox.row("contact", contact.as_str()).expect("the row");
    assert_eq!(row["_parentcustomerid_value"], json!(account));
    let search = Search {
        table: "contact".to_owned(),
        equals: vec![("parentcustomerid".to_owned(), account.as_str().to_owned())],
        fields: vec!["emailaddress1".to_owned(), "parentcustomerid.name".to_owned()],
        limit: 5,
    };
    let found = world.client.search(&search).await.expect("rows");
    assert_eq!(found[0].id, contact);
    assert_eq!(found[0].fields["parentcustomerid.name"], json!("Fabrikam"));
}

/// Somebody who left shares an e-mail address with nobody, and gets no deals.
#[tokio::test]
async fn a_disabled_user_is_not_found() {
    let world = World::plain().await;
    let user = |disabled: bool| {
        json!({
            "fullname": "Former Seller", "isdisabled": disabled,
            "internalemailaddress": "former@contoso.example",
        })
    };
    world.sandbox.create_as_person("systemuser", &user(true)).expect("a user");
    let owner = json!({"ownerid.internalemailaddress": "former@contoso.example"});
    let refused = create(&world, &owner).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    let able = world.sandbox.create_as_person("systemuser", &user(false)).expect("a user");
    create(&world, &owner).await.expect("a record");
    let rows = world.sandbox.rows("opportunity");
    assert_eq!(rows[0]["_ownerid_value"], json!(able));
}

/// The names of the ways come from the environment, to the letter, where it tells them.
#[tokio::test]
async fn ways_are_named_as_the_environment_names_them() {
    for (name, works) in [("parentaccountid", true), ("ParentAccountId", false)] {
        let world = World::plain().await;
        let account = world.sandbox.seed_account(&json!({})).expect("an account");
        let told = json!({"value": [{
            "ReferencingAttribute": "parentaccountid",
            "ReferencedEntity": "account",
            "ReferencingEntityNavigationPropertyName": name,
        }]});
        let told = FaultEffect::Answer {
            status: 200,
            retry_after: None,
            content_type: "application/json".to_owned(),
            body: told.to_string(),
        };
        world.fault("GET", "ManyToOneRelationships", told);
        let parent = json!({"parentaccountid": {"table": "account", "id": account}});
        let refused = match create(&world, &parent).await {
            Ok(_) => None,
            Err(ConnectError::Rejected(refusal)) => Some(refusal.code),
            Err(other) => panic!("{other:?}"),
        };
        let expected = (!works).then(|| "0x80048d19".to_owned());
        assert_eq!(refused, expected, "{name}: the wrong case is the platform's to refuse");
    }
}

/// Lines of an opportunity are read as one text, in an order of their own, and never written.
#[tokio::test]
async fn lines_are_read_as_one_text() {
    const PATH: &str = "product_opportunities.productdescription";
    let mut world = World::plain().await;
    world.fields.push(PATH.to_owned());
    let id = world.sandbox.seed_opportunity(&json!({})).expect("a row");
    let parent = format!("/opportunities({id})");
    let id = RecordId::new(id);
    let kind = RecordKind::Opportunity;
    let shape = world.shape();
    let fetch = async || {
        let found = world.client.fetch(kind, &id, &shape).await.expect("a read");
        found.expect("a record")
    };
    assert_eq!(fetch().await.fields[PATH], Json::Null, "no lines");
    let before = world.client.changes(kind, None, &shape).await.expect("a page").cursor;
    for product in ["SOL-2", "SOL-1", " SOL-2 "] {
        let line = json!({
            "opportunityid@odata.bind": parent, "isproductoverridden": true, "quantity": 1,
            "productdescription": product, "priceperunit": 10,
        });
        world.sandbox.create_as_person("opportunityproduct", &line).expect("a line");
    }
    let record = fetch().await;
    assert_eq!(record.fields[PATH], json!("SOL-1;SOL-2"));
    let page = world.client.changes(kind, Some(&before), &shape).await.expect("a page");
    assert_eq!(page.changed.len(), 1, "a new line is a change of its opportunity");
    assert!(!page.changed[0].fields.contains_key(PATH), "which has to be fetched");

    let change = |name: &str| json!({name: "x"}).as_object().cloned().expect("an object");
    let plain = change("description");
    let written = world.client.update(&record, &record.version, &plain, &shape).await;
    assert_eq!(written.expect("a write").fields[PATH], json!("SOL-1;SOL-2"));
    let record = fetch().await;
    let refused = world.client.update(&record, &record.version, &change(PATH), &shape).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert!(refusal.message.contains("to_partner_center"), "{}", refusal.message);
    let mut row = world.sandbox.row("opportunity", id.as_str()).expect("the row");
    row["@odata.etag"] = json!(record.version.0);
    row["product_opportunities"] = json!([{ "productdescription": "SOL-1" }]);
    row["product_opportunities@odata.nextLink"] = json!("https://contoso.example/more");
    let effect = FaultEffect::Answer {
        status: 200,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: row.to_string(),
    };
    world.fault("GET", "/opportunities(", effect);
    let cut = world.client.fetch(kind, &id, &shape).await;
    assert!(matches!(cut, Err(ConnectError::Broken(_))), "a part is not the whole: {cut:?}");
    world.fields.push("product_opportunities.quantity".to_owned());
    let refused = world.client.fetch(kind, &id, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
}

/// A path to a column that is not there would be refused with every deal: it is told beforehand.
#[tokio::test]
async fn a_path_that_leads_nowhere_is_told_beforehand() {
    let world = World::plain().await;
    let good = [
        "name",
        "customerid.name",
        "ownerid.internalemailaddress",
        "parentcontactid.emailaddress1",
    ];
    let good = good.into_iter().chain(["product_opportunities.productdescription"]);
    let bad = ["parentcontactid.nothing", "nothing.name", "product_opportunities.quantity"];
    let asked: Vec<String> = good.chain(bad).map(str::to_owned).collect();
    let unreadable = world.client.unreadable(RecordKind::Opportunity, &asked).await;
    assert_eq!(unreadable.expect("an answer"), bad);
}

/// Where the platform computes the estimate from the lines, what we write does not stick, and the
/// answer says so.
#[tokio::test]
async fn a_calculated_estimate_stays_what_the_lines_say() {
    let world = World::plain().await;
    let fields = json!({
        "isrevenuesystemcalculated": true,
        "product_opportunities": [
            {"isproductoverridden": true, "productdescription": "A", "quantity": 3, "priceperunit": 250.5},
            {"isproductoverridden": true, "productdescription": "B", "quantity": 1, "priceperunit": 0.25},
        ],
    });
    let id = RecordId::new(world.sandbox.seed_opportunity(&fields).expect("a row"));
    let kind = RecordKind::Opportunity;
    let record = world.client.fetch(kind, &id, &world.shape()).await.expect("a read");
    let record = record.expect("a record");
    assert_eq!(record.fields["estimatedvalue"], json!(751.75));
    let change = json!({"estimatedvalue": 9000}).as_object().cloned().expect("an object");
    let written = world.client.update(&record, &record.version, &change, &world.shape()).await;
    assert_eq!(written.expect("a write").fields["estimatedvalue"], json!(751.75));
}
