//! The change feed: expiry in the middle, foreign links, polling where tracking is off.

use std::collections::BTreeSet;
use std::time::Duration;

use cosell_sync::connect::crm::{ChangePage, Crm};
use cosell_sync::connect::dynamics365::sandbox::SandboxOptions;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::RecordKind;
use cosell_sync::domain::record::Shape;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::{World, client, settings};

const OPPORTUNITY: RecordKind = RecordKind::Opportunity;

async fn page(world: &World, cursor: Option<&str>) -> Result<ChangePage, ConnectError> {
    world.client.changes(OPPORTUNITY, cursor, &world.shape()).await
}

fn seed(world: &World, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            let fields = json!({"name": format!("Deal {number}")});
            world.sandbox.seed_opportunity(&fields).expect("a row")
        })
        .collect()
}

/// Reads to the end; returns every id as often as it was told, sorted, the largest page and the last
/// cursor.
async fn read_all(world: &World, cursor: Option<String>) -> (Vec<String>, usize, String) {
    let (mut ids, mut largest, mut at) = (Vec::new(), 0, cursor);
    loop {
        let page = page(world, at.as_deref()).await.expect("a page");
        largest = largest.max(page.changed.len() + page.deleted.len());
        ids.extend(page.changed.iter().map(|record| record.key.id.as_str().to_owned()));
        if !page.more {
            ids.sort_unstable();
            return (ids, largest, page.cursor);
        }
        at = Some(page.cursor);
    }
}

/// Another program changes many opportunities in one transaction.
async fn bulk(world: &World, action: &str, targets: Vec<Json>) {
    let options = world.sandbox.options();
    let http = reqwest::Client::new();
    let url = world.serving.url();
    let token = http
        .post(format!("{url}/{}/oauth2/v2.0/token", options.tenant_id))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &options.client_id),
            ("client_secret", &options.client_secret),
            ("scope", &format!("{url}/.default")),
        ])
        .send()
        .await
        .expect("an answer")
        .json::<Json>()
        .await
        .expect("a token");
    let answer = http
        .post(format!("{url}/api/data/v9.2/opportunities/Microsoft.Dynamics.CRM.{action}"))
        .bearer_auth(token["access_token"].as_str().expect("a token"))
        .json(&json!({"Targets": targets}))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// 5,000 rows, and the delta link dies while its pages are being read: nothing is skipped, nothing is
/// told twice, and no more than one page is ever held.
#[tokio::test]
async fn a_link_that_dies_in_the_middle_loses_nothing() {
    const TYPE: &str = "Microsoft.Dynamics.CRM.opportunity";
    const PAGE: usize = 500;
    let world = World::new(SandboxOptions::default(), |settings| {
        settings.full_read_page_size = PAGE;
    })
    .await;
    let new = |number| json!({"@odata.type": TYPE, "name": format!("Deal {number}")});
    bulk(&world, "CreateMultiple", (0..5000).map(new).collect()).await;
    let mut all: Vec<String> = world.sandbox.rows("opportunity").iter().map(id_of).collect();
    all.sort_unstable();
    let (ids, largest, cursor) = read_all(&world, None).await;
    assert!(ids == all, "each of 5,000 rows once, not {} tellings", ids.len());
    assert_eq!(largest, PAGE);
    let edit = |id| json!({"@odata.type": TYPE, "opportunityid": id, "description": "changed"});
    bulk(&world, "UpdateMultiple", ids.iter().map(edit).collect()).await;

    let begun = page(&world, Some(&cursor)).await.expect("the first delta page");
    assert_eq!((begun.more, begun.changed.len()), (true, PAGE));
    let body = json!({"error": {"code": "0x80044352", "message": "Version stamp has expired."}});
    world.fault("GET", "skiptoken", answer_with(400, &body));
    world.sandbox.expire_delta_tokens();
    for dead in [&begun.cursor, &cursor] {
        let expired = page(&world, Some(dead)).await;
        assert!(matches!(expired, Err(ConnectError::CursorExpired)), "not reported");
    }
    // Deleted while nobody could be told: the comparison with what was known finds it by its absence.
    world.sandbox.delete_as_person("opportunity", &all[4321]).expect("a deletion");
    all.remove(4321);

    let (mut told, mut at) = (Vec::new(), None);
    let cursor = loop {
        let page = page(&world, at.as_deref()).await.expect("a page");
        assert!(page.changed.len() <= PAGE, "one page is bounded");
        for record in page.changed {
            assert_eq!(record.fields["description"], json!("changed"), "{:?}", record.key);
            told.push(record.key.id.as_str().to_owned());
        }
        if !page.more {
            break page.cursor;
        }
        at = Some(page.cursor);
    };
    told.sort_unstable();
    assert!(told == all, "every change is told once, not {} tellings", told.len());
    let (quiet, largest, _) = read_all(&world, Some(cursor)).await;
    assert_eq!((quiet.len(), largest), (0, 0), "and not once more by the new link");
}

fn id_of(row: &Json) -> String {
    row["opportunityid"].as_str().expect("an id").to_owned()
}

/// New columns kill links, as the platform does; other columns in the shape start afresh.
#[tokio::test]
async fn other_columns_start_the_feed_again() {
    let mut world = World::plain().await;
    seed(&world, 1);
    let (_, _, cursor) = read_all(&world, None).await;
    world.fields.push("customerneed".to_owned());
    let expired = page(&world, Some(&cursor)).await;
    assert!(matches!(expired, Err(ConnectError::CursorExpired)), "{expired:?}");
    let (_, _, cursor) = read_all(&world, None).await;
    world.fields.push("customerid.name".to_owned());
    page(&world, Some(&cursor)).await.expect("fields of related rows are not part of the feed");
    let garbage = page(&world, Some("{}")).await;
    assert!(matches!(garbage, Err(ConnectError::CursorExpired)), "{garbage:?}");
}

/// A cursor of another environment is refused with a sentence, not read from.
#[tokio::test]
async fn a_cursor_of_another_environment_is_refused() {
    let world = World::plain().await;
    let (_, _, cursor) = read_all(&world, None).await;
    let mut stored: Json = serde_json::from_str(&cursor).expect("a cursor");
    stored["organization"] = json!("99999999-9999-4999-8999-999999999999");
    let refused = page(&world, Some(&stored.to_string())).await;
    let Err(ConnectError::Broken(sentence)) = refused else { panic!("{refused:?}") };
    assert!(sentence.contains("organization"), "{sentence}");
}

/// A token is never sent along a link that leads elsewhere, wherever the link came from.
#[tokio::test]
async fn foreign_links_are_refused() {
    let world = World::plain().await;
    let (_, _, cursor) = read_all(&world, None).await;
    let own = world.serving.url();
    let port = world.serving.address().port();
    let elsewhere = [
        "https://evil.example/api/data/v9.2/opportunities?$deltatoken=1".to_owned(),
        format!("http://127.0.0.2:{port}/api/data/v9.2/opportunities"),
        format!("http://user@127.0.0.1:{port}/api/data/v9.2/opportunities"),
        format!("{own}/other/opportunities"),
        format!("{own}/api/data/v9.2/../../other"),
        "not a link".to_owned(),
    ];
    for link in elsewhere {
        let mut stored: Json = serde_json::from_str(&cursor).expect("a cursor");
        stored["start"] = json!({"delta": link});
        let requests = world.sandbox.request_log().len();
        let refused = page(&world, Some(&stored.to_string())).await;
        assert!(matches!(refused, Err(ConnectError::Broken(_))), "{link}: {refused:?}");
        assert_eq!(world.sandbox.request_log().len(), requests, "{link}: nothing was sent");

        for name in ["@odata.nextLink", "@odata.deltaLink"] {
            world.fault("GET", "/opportunities?", answer(&json!({"value": [], name: link})));
            let refused = page(&world, Some(&cursor)).await;
            assert!(matches!(refused, Err(ConnectError::Broken(_))), "{link}: {refused:?}");
        }
    }
}

fn answer(body: &Json) -> FaultEffect {
    answer_with(200, body)
}

fn answer_with(status: u16, body: &Json) -> FaultEffect {
    FaultEffect::Answer {
        status,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: body.to_string(),
    }
}

/// An answer without a way on, with a row without etag, or that leads to itself is no progress.
#[tokio::test]
async fn a_broken_page_is_no_progress() {
    let world = World::plain().await;
    let (_, _, cursor) = read_all(&world, None).await;
    let stored: Json = serde_json::from_str(&cursor).expect("a cursor");
    let own = stored["start"]["delta"].as_str().expect("a link");
    let row = json!({"opportunityid": "11111111-2222-4333-8444-555555555555", "modifiedon": "2026-09-01T10:00:00Z"});
    let table = [
        (json!({"value": []}), "no link"),
        (json!({"@odata.deltaLink": own}), "no rows"),
        (json!({"value": {}, "@odata.deltaLink": own}), "an object in place of rows"),
        (json!({"value": [row], "@odata.deltaLink": own}), "no etag"),
        (json!({"value": [{"reason": "deleted"}], "@odata.deltaLink": own}), "no id"),
        (json!({"value": [], "@odata.nextLink": own}), "a link to itself"),
    ];
    for (body, why) in table {
        world.fault("GET", "/opportunities?", answer(&body));
        let broken = page(&world, Some(&cursor)).await;
        assert!(matches!(broken, Err(ConnectError::Broken(_))), "{why}: {broken:?}");
    }
    page(&world, Some(&cursor)).await.expect("the cursor still serves");
}

/// Pages that do not arrive get smaller, and the run begins again: a link counts pages.
#[tokio::test]
async fn pages_that_do_not_arrive_get_smaller() {
    let world = World::new(SandboxOptions::default(), |settings| {
        settings.full_read_page_size = 200;
    })
    .await;
    let mut ids = seed(&world, 500);
    ids.sort_unstable();
    let first = page(&world, None).await.expect("a page");
    assert_eq!(first.changed.len(), 200);
    for _ in 0..2 {
        world.fault("GET", "/opportunities?", FaultEffect::Drop);
        let lost = page(&world, Some(&first.cursor)).await;
        assert!(matches!(lost, Err(ConnectError::Unavailable(_))), "{lost:?}");
    }
    let (seen, largest, _) = read_all(&world, Some(first.cursor)).await;
    assert_eq!(seen, ids, "from the start again, nothing is skipped");
    assert_eq!(largest, 100);
}

/// Where tracking is off, a poll by `modifiedon` finds changes once, ties and late stamps included.
#[tokio::test]
async fn without_tracking_changes_are_polled() {
    let world = World::new(SandboxOptions::empty_organization(), |settings| {
        settings.full_read_page_size = 3;
    })
    .await;
    let shape = Shape {
        fields: vec!["name".to_owned()],
        referral_field: String::new(),
        sync_field: String::new(),
        token_field: None,
    };
    let read = async |cursor: Option<String>| {
        let (mut ids, mut at) = (Vec::new(), cursor);
        loop {
            let page = world.client.changes(OPPORTUNITY, at.as_deref(), &shape).await;
            let page = page.expect("a page");
            ids.extend(page.changed.iter().map(|record| record.key.id.as_str().to_owned()));
            at = Some(page.cursor);
            if !page.more {
                return (ids, at);
            }
        }
    };
    // All within one second: their stamps are equal.
    let ids = seed(&world, 8);
    let (first, cursor) = read(None).await;
    assert_eq!(first.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
    assert_eq!(first.len(), 8, "each once");
    let (quiet, cursor) = read(cursor).await;
    assert_eq!(quiet, Vec::<String>::new(), "the overlap tells nothing twice");
    world.advance(Duration::from_secs(60));
    let edit = json!({"name": "changed"});
    world.sandbox.edit_as_person("opportunity", &ids[5], &edit).expect("an edit");
    let (second, cursor) = read(cursor).await;
    assert_eq!(second, [ids[5].clone()]);
    world.advance(Duration::from_secs(3600));
    let (quiet, cursor) = read(cursor).await;
    assert_eq!(quiet, Vec::<String>::new());
    let row = json!({
        "@odata.etag": "W/\"999\"", "opportunityid": ids[0], "name": "imported",
        "modifiedon": "2099-01-01T00:00:00Z",
    });
    world.fault("GET", "/opportunities?", answer(&json!({ "value": [row] })));
    let (odd, cursor) = read(cursor).await;
    assert_eq!(odd, [ids[0].clone()], "a stamp that lies ahead");
    world.advance(Duration::from_secs(60));
    let edit = json!({"name": "changed again"});
    world.sandbox.edit_as_person("opportunity", &ids[5], &edit).expect("an edit");
    let (third, _) = read(cursor).await;
    assert!(third.contains(&ids[5]), "leads past nothing: {third:?}");
}

/// The first client of a fresh process goes on where the last one stopped.
#[tokio::test]
async fn a_cursor_outlives_the_process() {
    let world = World::plain().await;
    let ids = seed(&world, 2);
    let (_, _, cursor) = read_all(&world, None).await;
    let edit = json!({"description": "while nobody looked"});
    world.sandbox.edit_as_person("opportunity", &ids[1], &edit).expect("an edit");
    let next = client(settings(&world.serving, &world.sandbox.options()), &world.clock);
    let page = next.changes(OPPORTUNITY, Some(&cursor), &world.shape()).await.expect("a page");
    let seen: Vec<&str> = page.changed.iter().map(|record| record.key.id.as_str()).collect();
    assert_eq!(seen, [ids[1].as_str()]);
}
