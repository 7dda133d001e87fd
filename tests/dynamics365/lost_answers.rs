//! Every kind of write with its answer lost after it was carried out: what is in the organisation
//! afterwards is counted.

use cosell_sync::connect::crm::{Crm, Search};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::record::{Close, Fields, Record, Shape};
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::World;

const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";
const OPPORTUNITY: RecordKind = RecordKind::Opportunity;
/// Tables that a write could leave too many rows in.
const TABLES: [&str; 5] = ["opportunity", "lead", "account", "contact", "opportunityclose"];

/// How many rows each of [`TABLES`] holds.
type Counts = [usize; 5];

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Create,
    Update,
    Account,
    Contact,
    Win,
    WinWithFields,
    Lose,
    LoseWithFields,
    Disqualify,
    Qualify,
}

fn fields(json: &Json) -> Fields {
    json.as_object().cloned().expect("an object")
}

fn counts(world: &World) -> Counts {
    TABLES.map(|table| world.sandbox.rows(table).len())
}

fn shape_of(world: &World, kind: RecordKind) -> Shape {
    let mut shape = world.shape();
    if kind == RecordKind::Lead {
        shape.fields = ["subject", "statecode", "statuscode"].map(str::to_owned).to_vec();
    }
    shape
}

fn losing(status: i64) -> Close {
    let subject = "Lost at Partner Center".to_owned();
    Close { won: false, status, subject, description: None, actual_value: None, actual_date: None }
}

/// The row that the write is made to, as it is now.
async fn record(world: &World, kind: RecordKind, id: &str) -> Record {
    let shape = shape_of(world, kind);
    let found = world.client.fetch(kind, &RecordId::new(id), &shape).await;
    found.expect("an answer").expect("the record")
}

async fn write(world: &World, write: Write, record: &Record) -> Result<(), ConnectError> {
    let client = &world.client;
    let shape = shape_of(world, record.key.kind);
    let note = fields(&json!({"description": "written once"}));
    let (version, none) = (&record.version, Fields::new());
    let (winning, losing) = (world.winning(), losing(5));
    match write {
        Write::Create => {
            client.create(OPPORTUNITY, REFERRAL, &world.create_fields(), &shape).await.map(drop)
        }
        Write::Update => client.update(record, version, &note, &shape).await.map(drop),
        Write::Account => {
            client.create_row("account", &fields(&json!({"name": "Fabrikam"}))).await.map(drop)
        }
        Write::Contact => {
            let new = json!({"lastname": "Buyer", "emailaddress1": "buyer@fabrikam.example"});
            client.create_row("contact", &fields(&new)).await.map(drop)
        }
        Write::Win => client.close(record, version, &winning, &none, &shape).await.map(drop),
        Write::WinWithFields => {
            client.close(record, version, &winning, &note, &shape).await.map(drop)
        }
        Write::Lose | Write::Disqualify => {
            client.close(record, version, &losing, &none, &shape).await.map(drop)
        }
        Write::LoseWithFields => {
            client.close(record, version, &losing, &note, &shape).await.map(drop)
        }
        Write::Qualify => client.qualify(record, "3", &shape).await.map(drop),
    }
}

/// How the outcome is found out before anything is written again: `true` if the write landed.
async fn landed(world: &World, write: Write, before: &Record) -> bool {
    let kind = before.key.kind;
    let search = |table: &str, field: &str, value: &str| Search {
        table: table.to_owned(),
        equals: vec![(field.to_owned(), value.to_owned())],
        fields: vec![field.to_owned()],
        limit: 5,
    };
    match write {
        Write::Create => {
            let found = world.client.find_by_referral(kind, REFERRAL, &world.shape()).await;
            found.expect("records").len() == 1
        }
        Write::Account => {
            let found = world.client.search(&search("account", "name", "Fabrikam")).await;
            found.expect("rows").len() == 1
        }
        Write::Contact => {
            let search = search("contact", "emailaddress1", "buyer@fabrikam.example");
            world.client.search(&search).await.expect("rows").len() == 1
        }
        _ => record(world, kind, before.key.id.as_str()).await.version != before.version,
    }
}

/// What a second, blind try may end with. Rows without a key of ours are looked for instead.
fn is_harmless(write: Write, again: &Result<(), ConnectError>) -> bool {
    match write {
        Write::Create => matches!(again, Err(ConnectError::Exists(_))),
        Write::Update => matches!(again, Err(ConnectError::Stale)),
        _ => again.is_ok(),
    }
}

/// No row too many, no second close, no second closing activity; and a blind second try writes
/// nothing.
#[tokio::test]
async fn no_write_happens_twice() {
    let (opportunity, lead) = (OPPORTUNITY, RecordKind::Lead);
    // Rows that the write adds: opportunities, leads, accounts, contacts, closing activities.
    let table: [(Write, RecordKind, &str, Counts); 10] = [
        (Write::Create, opportunity, "PATCH", [1, 0, 0, 0, 0]),
        (Write::Update, opportunity, "PATCH", [0, 0, 0, 0, 0]),
        (Write::Account, opportunity, "POST", [0, 0, 1, 0, 0]),
        (Write::Contact, opportunity, "POST", [0, 0, 0, 1, 0]),
        (Write::Win, opportunity, "POST", [0, 0, 0, 0, 1]),
        (Write::WinWithFields, opportunity, "POST", [0, 0, 0, 0, 1]),
        (Write::Lose, opportunity, "POST", [0, 0, 0, 0, 1]),
        (Write::LoseWithFields, opportunity, "POST", [0, 0, 0, 0, 1]),
        (Write::Disqualify, lead, "POST", [0, 0, 0, 0, 0]),
        (Write::Qualify, lead, "POST", [1, 0, 0, 0, 0]),
    ];
    for related in [false, true] {
        for (kind_of_write, kind, method, added) in table {
            let world = if related { World::related().await } else { World::plain().await };
            let new = json!({"name": "Northwind", "subject": "Northwind"});
            let new = |name: &str| json!({ name: new[name] });
            let id = match kind {
                RecordKind::Opportunity => world.sandbox.seed_opportunity(&new("name")),
                RecordKind::Lead => world.sandbox.seed_lead(&new("subject")),
            };
            let before = record(&world, kind, &id.expect("a row")).await;
            let had = counts(&world);
            // With fields of related rows, single writes become batches.
            let method = if related { "POST" } else { method };
            world.fault(method, "/api/data/", FaultEffect::ApplyThenDrop);

            let why = format!("{kind_of_write:?}, related: {related}");
            let lost = write(&world, kind_of_write, &before).await;
            assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{why}: {lost:?}");
            assert!(landed(&world, kind_of_write, &before).await, "{why}: it landed");
            let writes = world.sandbox.write_count();
            if !matches!(kind_of_write, Write::Account | Write::Contact) {
                let again = write(&world, kind_of_write, &before).await;
                assert!(is_harmless(kind_of_write, &again), "{why}: {again:?}");
            }
            let has = counts(&world);
            let grown: Vec<usize> = has.iter().zip(had).map(|(has, had)| has - had).collect();
            assert_eq!(grown, added, "{why}: rows of {TABLES:?}");
            let is_refused = matches!(kind_of_write, Write::Create | Write::Update);
            assert!(
                is_refused || world.sandbox.write_count() == writes,
                "{why}: the second try wrote"
            );
        }
    }
}
