//! Checklist 8 and 10: composite, batch, graph, collections.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Site, deal, site, with};

const ROOT: &str = "/services/data/v66.0";

fn item(method: &str, path: &str, reference: &str, body: Value) -> Value {
    let url = format!("{ROOT}{path}");
    let item = json!({ "method": method, "url": url, "referenceId": reference });
    if body.is_null() { item } else { with(item, json!({ "body": body })) }
}

async fn composite(site: &Site, all_or_none: bool, items: Value) -> super::Reply {
    let body = json!({ "allOrNone": all_or_none, "compositeRequest": items });
    site.call("POST", "/composite", body).await
}

fn statuses(reply: &super::Reply) -> Vec<u64> {
    let items = reply.body["compositeResponse"].as_array().unwrap();
    items.iter().map(|item| item["httpStatusCode"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn later_calls_use_earlier_answers_as_one_api_call() {
    let site = site().await;
    let items = json!([
        item("POST", "/sobjects/Account", "account", json!({ "Name": "Contoso" })),
        item(
            "POST",
            "/sobjects/Opportunity",
            "deal",
            with(deal("Deal"), json!({ "AccountId": "@{account.id}" }))
        ),
        item("GET", "/sobjects/Opportunity/@{deal.id}?fields=Name,AccountId", "read", Value::Null),
        item("GET", "/query?q=SELECT+Id+FROM+Account", "list", Value::Null),
        item("GET", "/sobjects/Account/@{list.records[0].Id}", "again", Value::Null),
    ]);
    let reply = composite(&site, true, items).await;
    assert_eq!(statuses(&reply), [201, 201, 200, 200, 200], "{}", reply.body);
    let results = &reply.body["compositeResponse"];
    assert_eq!(results[2]["body"]["AccountId"], results[0]["body"]["id"]);
    assert_eq!(results[4]["body"]["Name"], "Contoso");
    assert!(results[2]["httpHeaders"]["Last-Modified"].is_string());
    assert_eq!(reply.header("sforce-limit-info"), "api-usage=1/15000");
    let unknown = json!([item("GET", "/sobjects/Account/@{nobody.id}", "x", Value::Null)]);
    assert_eq!(composite(&site, false, unknown).await.status, 400, "the whole request");
}

#[tokio::test]
async fn all_or_none_takes_everything_back() {
    let site = site().await;
    let items = || {
        json!([
            item("POST", "/sobjects/Account", "good", json!({ "Name": "Contoso" })),
            item("POST", "/sobjects/Account", "bad", json!({})),
            item("GET", "/sobjects/Account/@{bad.id}", "after", Value::Null),
        ])
    };
    let reply = composite(&site, true, items()).await;
    assert_eq!(statuses(&reply), [400, 400, 400]);
    let code = |at: usize| reply.body["compositeResponse"][at]["body"][0]["errorCode"].clone();
    assert_eq!(
        [code(0), code(1), code(2)],
        [json!("PROCESSING_HALTED"), json!("REQUIRED_FIELD_MISSING"), json!("PROCESSING_HALTED")]
    );
    assert!(site.sandbox.rows("Account").is_empty());
    let reply = composite(&site, false, items()).await;
    assert_eq!(statuses(&reply), [201, 400, 400]);
    assert_eq!(site.sandbox.rows("Account").len(), 1);
}

#[tokio::test]
async fn conditions_hold_inside_a_composite() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let stamp = site.get(&path).await.header("last-modified").to_owned();
    let guarded = |amount: u32, header: Value| {
        let patch = item("PATCH", &path, "write", json!({ "Amount": amount }));
        let read = item("GET", &path, "read", Value::Null);
        json!([with(patch, json!({ "httpHeaders": header })), read])
    };
    let guard = json!({ "If-Unmodified-Since": stamp });
    let reply = composite(&site, false, guarded(1, guard.clone())).await;
    assert_eq!(statuses(&reply), [204, 200]);
    assert_eq!(reply.body["compositeResponse"][1]["body"]["Amount"], json!(1.0));
    site.clock.advance(Duration::from_secs(5));
    site.sandbox.edit_as_person("Opportunity", &id, &json!({ "NextStep": "call" })).unwrap();
    assert_eq!(statuses(&composite(&site, false, guarded(2, guard)).await), [412, 200]);
    let inherited = json!({ "Content-Type": "application/json" });
    assert_eq!(composite(&site, false, guarded(3, inherited)).await.status, 400);
    let many: Vec<Value> =
        (0..26).map(|at| item("GET", &path, &format!("r{at}"), Value::Null)).collect();
    assert_eq!(composite(&site, false, json!(many)).await.status, 400, "25 at most");
    let nested = json!([item("POST", "/composite", "x", json!({ "compositeRequest": [] }))]);
    assert_eq!(composite(&site, false, nested).await.status, 400);
}

#[tokio::test]
async fn a_person_in_between_is_not_rolled_back() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let edited = id.clone();
    site.sandbox.before_next_write(move |org| {
        org.edit_as_person("Opportunity", &edited, &json!({ "NextStep": "call" })).unwrap();
    });
    let items = json!([
        item("PATCH", &path, "good", json!({ "Amount": 1 })),
        item("PATCH", &path, "bad", json!({ "StageName": "Dreaming" })),
    ]);
    assert_eq!(statuses(&composite(&site, true, items).await), [400, 400]);
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!((&row["Amount"], &row["NextStep"]), (&Value::Null, &json!("call")));
}

#[tokio::test]
async fn a_batch_counts_each_of_its_calls() {
    let site = site().await;
    let body = json!({ "haltOnError": true, "batchRequests": [
        { "method": "POST", "url": "v66.0/sobjects/Account", "richInput": { "Name": "Contoso" } },
        { "method": "GET", "url": "v66.0/sobjects/Account/001000000000001AAA" },
        { "method": "GET", "url": "v66.0/limits" },
    ] });
    let reply = site.call("POST", "/composite/batch", body).await;
    let codes: Vec<_> =
        reply.body["results"].as_array().unwrap().iter().map(|one| &one["statusCode"]).collect();
    assert_eq!(codes, [201, 404, 412]);
    assert_eq!(reply.body["hasErrors"], true);
    assert_eq!(reply.header("sforce-limit-info"), "api-usage=3/15000");
}

#[tokio::test]
async fn each_graph_stands_or_falls_alone() {
    let site = site().await;
    let graph = |name: &str, body: Value| {
        let items = [
            item("POST", "/sobjects/Account", "a", json!({ "Name": name })),
            item("POST", "/sobjects/Contact", "c", body),
        ];
        json!({ "graphId": name, "compositeRequest": items })
    };
    let good = graph("good", json!({ "LastName": "Buyer", "AccountId": "@{a.id}" }));
    let body = json!({ "graphs": [good, graph("bad", json!({}))] });
    let reply = site.call("POST", "/composite/graph", body).await;
    assert_eq!(reply.body["graphs"][0]["isSuccessful"], true);
    assert_eq!(reply.body["graphs"][1]["isSuccessful"], false);
    assert_eq!(site.sandbox.rows("Account").len(), 1);
}

#[tokio::test]
async fn collections_answer_row_by_row() {
    let site = site().await;
    let row = |more: Value| with(json!({ "attributes": { "type": "Account" } }), more);
    let body = json!({ "records": [row(json!({ "Name": "Contoso" })), row(json!({}))] });
    let made = site.call("POST", "/composite/sobjects", body).await;
    assert_eq!(made.status, 200, "even if rows fail");
    assert_eq!(made.body[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    let id = made.body[0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "allOrNone": true, "records": [
        row(json!({ "Id": id, "Phone": "1" })), row(json!({ "Id": id, "Name": null })),
    ] });
    let changed = site.call("PATCH", "/composite/sobjects", body).await;
    assert_eq!(changed.body[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(site.sandbox.row("Account", &id).unwrap()["Phone"], Value::Null);
    let deals: Vec<Value> = ["r1", "r2"]
        .map(|key| {
            let kind =
                json!({ "attributes": { "type": "Opportunity" }, "Referral_Identifier__c": key });
            with(deal(key), kind)
        })
        .into();
    let path = "/composite/sobjects/Opportunity/Referral_Identifier__c";
    for created in [true, false] {
        let reply = site.call("PATCH", path, json!({ "records": deals })).await;
        assert_eq!(reply.body[1]["created"], created, "{}", reply.body);
    }
    let ids: Vec<Value> =
        site.sandbox.rows("Opportunity").iter().map(|row| row["Id"].clone()).collect();
    let wanted = json!({ "ids": [ids[0], "006000000000001AAA"], "fields": ["Name"] });
    let read = site.call("POST", "/composite/sobjects/Opportunity", wanted).await;
    assert_eq!((&read.body[0]["Name"], &read.body[1]), (&json!("r1"), &Value::Null));
    let path = format!("/composite/sobjects?ids={},nonsense", ids[0].as_str().unwrap());
    let gone = site.call("DELETE", &path, Value::Null).await;
    assert_eq!((&gone.body[0]["success"], &gone.body[1]["success"]), (&json!(true), &json!(false)));
    let usage = gone.header("sforce-limit-info");
    assert_eq!(usage, "api-usage=6/15000", "one call each");
    let many = json!({ "records": vec![row(json!({ "Name": "x" })); 201] });
    assert_eq!(site.call("POST", "/composite/sobjects", many).await.status, 400);
}
