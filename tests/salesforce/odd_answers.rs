//! Answers that break the contract: nothing is followed, believed or lost.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use cosell_sync::connect::crm::{Crm, Search};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::{SandboxOptions, trouble};
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::id::RecordId;
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, World, fields};

#[tokio::test]
async fn an_answer_that_is_no_json_breaks_nothing() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.read(&id).await;
    let page = |status| FaultEffect::Answer {
        status,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: "<html>sign in</html>".to_owned(),
    };
    let shape = world.shape();
    world.fault("GET", "/query", page(200));
    let odd = world.client.fetch(OPPORTUNITY, &id, &shape).await;
    assert!(matches!(odd, Err(ConnectError::Broken(_))), "{odd:?}");
    world.fault("GET", "/query", trouble::unavailable_page());
    let busy = world.client.fetch(OPPORTUNITY, &id, &shape).await;
    assert!(matches!(busy, Err(ConnectError::Unavailable(_))), "{busy:?}");
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    for effect in [page(200), trouble::unavailable_page(), trouble::server_error()] {
        world.fault("POST", "/composite", effect);
        let change = fields(&json!({ "Description": "ours" }));
        let lost = world.client.update(&record, &record.version, &change, &shape).await;
        assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    }
}

fn json_answer(body: &serde_json::Value) -> FaultEffect {
    FaultEffect::Answer {
        status: 200,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: body.to_string(),
    }
}

#[tokio::test]
async fn a_query_whose_locator_dies_starts_once_more() {
    let options = SandboxOptions { page_size: 2, ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    for name in ["Contoso", "contoso", "CONTOSO", "Contoso", "Contoso"] {
        world.sandbox.seed_account(&json!({ "Name": name })).expect("an account");
    }
    let body =
        json!([{ "errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator" }]);
    let FaultEffect::Answer { content_type, retry_after, body, .. } = json_answer(&body) else {
        panic!("an answer");
    };
    world.fault(
        "GET",
        "/query/",
        FaultEffect::Answer { status: 400, content_type, retry_after, body },
    );
    let search = Search {
        table: "Account".to_owned(),
        equals: vec![("Name".to_owned(), "contoso".to_owned())],
        fields: vec!["Name".to_owned()],
        limit: 10,
    };
    let rows = world.client.search(&search).await.expect("rows");
    assert_eq!(rows.len(), 5, "each once");
    assert_eq!(world.sandbox.faults().waiting(), 0, "the fault was met");
}

/// A token is only ever sent to our own organisation, and no paging goes on for ever.
#[tokio::test]
async fn links_that_lead_astray_are_not_followed() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.read(&id).await;
    let table = [
        ("https://evil.example/services/data/v66.0/query/01g-2000", "another host"),
        ("//evil.example/services/data/v66.0/query/01g-2000", "another host, without a scheme"),
        ("/services/data/v66.0/../../../evil", "another path"),
        ("/services/oauth2/token", "another resource"),
    ];
    for (next, why) in table {
        let body = json!({ "totalSize": 1, "done": false, "records": [], "nextRecordsUrl": next });
        world.fault("GET", "/query?", json_answer(&body));
        let before = world.sandbox.request_log().requests.len();
        let odd = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        assert!(matches!(odd, Err(ConnectError::Broken(_))), "{why}: {odd:?}");
        assert_eq!(world.sandbox.request_log().requests.len() - before, 1, "{why}");
    }
    let circle = "/services/data/v66.0/query/01g000000000001-2000";
    let body = json!({ "totalSize": 1, "done": false, "records": [], "nextRecordsUrl": circle });
    let endless = Fault { times: 1000, ..Fault::once("GET", "/query", json_answer(&body)) };
    world.sandbox.faults().add(endless);
    let odd = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(matches!(odd, Err(ConnectError::Broken(_))), "{odd:?}");
}

/// An id that another tool made up stands in one call with the ids of other deals: it is refused alone.
#[tokio::test]
async fn one_foreign_id_does_not_hold_up_the_others() {
    let world = World::plain().await;
    let ours = [world.seed(&json!({})), world.seed(&json!({}))];
    world.read(&ours[0]).await;
    let shape = world.shape();
    let foreign = RecordId::new("OPP000000000000012");
    let all = [&ours[0], &foreign, &ours[1]];
    let asked = all.map(|id| world.client.fetch(OPPORTUNITY, id, &shape));
    let answers = futures_util::future::join_all(asked).await;
    for (id, answer) in all.into_iter().zip(answers) {
        let found = answer.ok().flatten().map(|record| record.key.id);
        assert_eq!(found.as_ref(), ours.contains(id).then_some(id));
    }
}

/// Parts of a composite are told apart by name; a part that is missing may have been written.
#[tokio::test]
async fn a_composite_with_a_missing_part_is_unknown() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let part = |name: &str, status: u16, body: serde_json::Value| json!({ "referenceId": name, "httpStatusCode": status, "httpHeaders": {}, "body": body });
    let proof = json!({ "totalSize": 0, "done": true, "records": [] });
    let next = "/services/data/v66.0/query/01g000000000001-2000";
    let cut = json!({ "totalSize": 9, "done": false, "records": [], "nextRecordsUrl": next });
    let table = [
        (json!([]), "nothing"),
        (
            json!([part("write0", 204, json!(null)), part("proof0", 200, cut)]),
            "the proof is cut before our row",
        ),
        (json!([part("proof0", 200, proof)]), "the write is missing"),
        (json!([part("write0", 204, json!(null))]), "the proof is missing"),
        (json!("text"), "another form"),
    ];
    let shape = world.shape();
    for (parts, why) in table {
        world.fault("POST", "/composite", json_answer(&json!({ "compositeResponse": parts })));
        let change = fields(&json!({ "Description": "ours" }));
        let odd = world.client.update(&record, &record.version, &change, &shape).await;
        assert!(matches!(odd, Err(ConnectError::Unknown(_))), "{why}: {odd:?}");
    }
}

/// A session that ends between two parts of a composite: what was not carried out is sent once more
/// with a new session, what was is read back. Nobody notices.
#[tokio::test]
async fn a_session_that_ends_within_a_composite_is_renewed() {
    let ended =
        json!([{ "errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid" }]);
    let part = |name: &str, status: u16, body: &serde_json::Value| json!({ "referenceId": name, "httpStatusCode": status, "httpHeaders": {}, "body": body });
    let before = [part("write0", 401, &ended), part("proof0", 401, &ended)];
    let by_code = [part("write0", 403, &ended), part("proof0", 403, &ended)];
    for (parts, why) in [(before, "before the write"), (by_code, "told by its code alone")] {
        let world = World::plain().await;
        let id = world.seed(&json!({}));
        world.clock.advance(Duration::from_secs(5));
        let record = world.read(&id).await;
        world.fault("POST", "/composite", json_answer(&json!({ "compositeResponse": parts })));
        let change = fields(&json!({ "Description": "ours" }));
        let calls = world.client.calls();
        let written = world.client.update(&record, &record.version, &change, &world.shape()).await;
        assert_eq!(written.expect(why).fields["Description"], json!("ours"), "{why}");
        assert_eq!(world.client.calls() - calls, 4, "{why}: two writes, token, identity");
        assert_eq!(world.held(&id)["Description"], json!("ours"), "{why}");
    }
}

#[tokio::test]
async fn a_write_whose_session_ended_before_its_proof_is_read_back() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let ended =
        json!([{ "errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid" }]);
    let parts = json!([
        { "referenceId": "write0", "httpStatusCode": 204, "httpHeaders": {}, "body": null },
        { "referenceId": "proof0", "httpStatusCode": 401, "httpHeaders": {}, "body": ended },
    ]);
    world.edit_as_person(&World::key(&id), fields(&json!({ "Description": "ours" }))).await;
    world.fault("POST", "/composite", json_answer(&json!({ "compositeResponse": parts })));
    let change = fields(&json!({ "Description": "ours" }));
    let writes = world.sandbox.request_log().writes;
    let written = world.client.update(&record, &record.version, &change, &world.shape()).await;
    assert_eq!(written.expect("a write").fields["Description"], json!("ours"));
    assert_eq!(world.sandbox.request_log().writes, writes, "it is not written twice");
}

/// A session that is refused again, although it is new, is a matter for the admin.
#[tokio::test]
async fn a_new_session_that_is_refused_within_a_composite_is_not_asked_for_again() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let ended =
        json!([{ "errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid" }]);
    let part = |name: &str| json!({ "referenceId": name, "httpStatusCode": 401, "httpHeaders": {}, "body": ended });
    let answer = json_answer(&json!({ "compositeResponse": [part("write0"), part("proof0")] }));
    world.sandbox.faults().add(Fault { times: 2, ..Fault::once("POST", "/composite", answer) });
    let change = fields(&json!({ "Description": "ours" }));
    let calls = world.client.calls();
    let refused = world.client.update(&record, &record.version, &change, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Unauthorized(_))), "{refused:?}");
    assert_eq!(world.client.calls() - calls, 4, "two writes, token, identity");
}

/// The `Date` of a gateway whose clock is wrong holds nobody up, and leads past no change.
#[tokio::test]
async fn a_date_that_is_ahead_or_behind_loses_no_change() {
    for (date, why) in [
        ("Wed, 02 Sep 2026 09:00:00 GMT", "23 hours ahead"),
        ("Tue, 01 Sep 2026 10:30:00 GMT", "half an hour ahead"),
        ("Mon, 31 Aug 2026 09:00:00 GMT", "a day behind"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "never set"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "the end of days"),
    ] {
        let dated = move |router: Router| {
            router.layer(from_fn(move |request: Request, next: Next| async move {
                let mut answer = next.run(request).await;
                answer.headers_mut().insert(header::DATE, HeaderValue::from_static(date));
                answer
            }))
        };
        let world = World::behind(SandboxOptions::default(), |_| {}, dated).await;
        let id = world.seed(&json!({}));
        let shape = world.shape();
        let start = world.clock.now();
        world.read(&id).await;
        world.read(&id).await;
        let waited = world.clock.now().since(start);
        assert!(waited < Duration::from_secs(10), "{why}: a read took {waited:?}");
        let page = world.client.changes(OPPORTUNITY, None, &shape).await.expect(why);
        world.clock.advance(Duration::from_secs(20 * 60));
        let edit = json!({ "Description": "theirs" });
        world.sandbox.edit_as_person("Opportunity", id.as_str(), &edit).expect("an edit");
        let gone = world.seed(&json!({}));
        world.delete_as_person(&World::key(&gone)).await;
        world.clock.advance(Duration::from_secs(120));
        let page = world.client.changes(OPPORTUNITY, Some(&page.cursor), &shape).await.expect(why);
        let seen = page.changed.iter().find(|record| record.key.id == id);
        assert_eq!(seen.map(|it| &it.fields["Description"]), Some(&json!("theirs")), "{why}");
        assert!(page.deleted.contains(&gone), "{why}");
    }
}

/// A page of a gateway proves nothing: no row is taken for deleted, no field for hidden.
#[tokio::test]
async fn a_gateways_404_says_nothing() {
    let world = World::plain().await;
    let id = world.seed(&json!({}));
    let page = || FaultEffect::Answer {
        status: 404,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: "<html>no such site</html>".to_owned(),
    };
    world.fault("GET", "/describe", page());
    let asked = ["Account.Name".to_owned()];
    let odd = world.client.unreadable(OPPORTUNITY, &asked).await;
    assert!(matches!(odd, Err(ConnectError::Unavailable(_))), "{odd:?}");
    world.fault("GET", "/query", page());
    world.client.describe(OPPORTUNITY).await.expect_err("the stages cannot be read");
    world.fault("GET", "/query", page());
    let odd = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(matches!(odd, Err(ConnectError::Unavailable(_))), "{odd:?}");
}

/// Among many deals one foreign id costs a few calls, not one for each of the others.
#[tokio::test]
async fn one_foreign_id_among_many_is_found_by_halving() {
    let world = World::plain().await;
    let ours: Vec<RecordId> = (0..60).map(|_| world.seed(&json!({}))).collect();
    world.read(&ours[0]).await;
    let mut all = ours.clone();
    all.insert(37, RecordId::new("OPP000000000000012"));
    let shape = world.shape();
    let asked = all.iter().map(|id| world.client.fetch(OPPORTUNITY, id, &shape));
    let calls = world.client.calls();
    let answers = futures_util::future::join_all(asked).await;
    let found = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    assert_eq!(found, ours.len());
    let calls = world.client.calls() - calls;
    assert!(calls <= 20, "{calls} calls for 61 reads");
}

#[tokio::test]
async fn an_answer_of_great_length_is_cut_off_and_a_write_is_unknown() {
    let world =
        World::new(SandboxOptions::default(), |settings| settings.http.body_bytes = 200_000).await;
    let id = world.seed(&json!({}));
    world.clock.advance(Duration::from_secs(5));
    let record = world.read(&id).await;
    let long = json_answer(&json!({ "records": "x".repeat(300_000) }));
    world.fault("GET", "/query", long.clone());
    let shape = world.shape();
    let odd = world.client.fetch(OPPORTUNITY, &id, &shape).await;
    assert!(matches!(odd, Err(ConnectError::Broken(_))), "{odd:?}");
    world.fault("POST", "/composite", long);
    let change = fields(&json!({ "Description": "ours" }));
    let odd = world.client.update(&record, &record.version, &change, &shape).await;
    assert!(matches!(odd, Err(ConnectError::Unknown(_))), "{odd:?}");
}

/// Both limits have one code: the spent quota of the day is waited for long, too many calls at once
/// only a minute. Either way nothing is called before.
#[tokio::test]
async fn a_limit_closes_the_gate_as_long_as_it_lasts() {
    let table = [
        (trouble::too_many_at_once(), 60, "too many at once"),
        (trouble::quota_spent(), 900, "the quota of the day"),
    ];
    for (effect, secs, why) in table {
        let world = World::plain().await;
        let id = world.seed(&json!({}));
        world.client.describe(OPPORTUNITY).await.expect("a schema");
        world.fault("GET", "/query", effect);
        let refused = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        let Err(ConnectError::Throttled(wait)) = refused else { panic!("{why}: {refused:?}") };
        assert_eq!(wait, Duration::from_secs(secs), "{why}");
        let calls = world.client.calls();
        let again = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
        assert!(matches!(again, Err(ConnectError::Throttled(_))), "{why}: {again:?}");
        assert_eq!(world.client.calls(), calls, "{why}: nothing is called");
        world.clock.advance(Duration::from_secs(secs + 1));
        world.read(&id).await;
    }
}
