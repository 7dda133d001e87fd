//! `$batch` and the bulk actions.

use serde_json::{Value as Json, json};

use super::webhook::register;
use super::{Org, Reply, read};

/// Sends a batch whose lines end in `end`.
async fn batch(org: &Org, lines: &[&str], end: &str, prefer: &str) -> Reply {
    let request = org
        .http
        .post(format!("{}/$batch", org.root()))
        .bearer_auth(&org.token)
        .header("Content-Type", "multipart/mixed; boundary=\"batch_x\"")
        .header("Prefer", prefer)
        .body(lines.join(end));
    read(request.send().await.unwrap()).await
}

const PART: &str = "Content-Type: application/http";
const BINARY: &str = "Content-Transfer-Encoding: binary";

#[tokio::test]
async fn reads_and_change_sets_with_either_line_end() {
    for end in ["\r\n", "\n"] {
        let org = Org::new().await;
        let absolute = format!("GET {}/accounts?$select=name HTTP/1.1", org.root());
        let create = format!("POST {}/opportunities HTTP/1.1", org.root());
        let lines = [
            "",
            "--batch_x",
            PART,
            BINARY,
            "",
            &absolute,
            "Accept: application/json",
            "",
            "--batch_x",
            "Content-Type: multipart/mixed; boundary=changeset_y",
            "",
            "--changeset_y",
            PART,
            BINARY,
            "Content-ID: 1",
            "",
            "POST /api/data/v9.2/contacts HTTP/1.1",
            "Content-Type: application/json",
            "",
            "{\"lastname\":\"Buyer\"}",
            "--changeset_y",
            PART,
            BINARY,
            "Content-ID: 2",
            "",
            &create,
            "Content-Type: application/json",
            "",
            "{\"name\":\"A\",\"parentcontactid@odata.bind\":\"$1\"}",
            "--changeset_y",
            PART,
            BINARY,
            "Content-ID: 3",
            "",
            "PATCH $2 HTTP/1.1",
            "Content-Type: application/json",
            "",
            "{\"name\":\"B\"}",
            "--changeset_y--",
            "",
            "--batch_x--",
            "",
        ];
        let reply = batch(&org, &lines, end, "x").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(reply.text.starts_with("--batchresponse_"), "{}", reply.text);
        assert_eq!(reply.text.matches("HTTP/1.1 204").count(), 3, "{}", reply.text);
        assert_eq!(reply.text.matches("HTTP/1.1 200").count(), 1);
        assert!(
            reply.text.contains("--changesetresponse_") && reply.text.contains("Content-ID: 3")
        );
        let deal = &org.sandbox.rows("opportunity")[0];
        assert_eq!(deal["name"], "B", "$2 in an address");
        let contact = &org.sandbox.rows("contact")[0]["contactid"];
        assert_eq!(&deal["_parentcontactid_value"], contact, "$1 in a link");
        assert_eq!(org.sandbox.write_count(), 3, "inner writes are counted, the batch is not");
    }
}

fn change_set(second: &str) -> Vec<&str> {
    vec![
        "--batch_x",
        "Content-Type: multipart/mixed; boundary=changeset_y",
        "",
        "--changeset_y",
        PART,
        BINARY,
        "Content-ID: 1",
        "",
        "POST /api/data/v9.2/accounts HTTP/1.1",
        "Content-Type: application/json",
        "",
        "{\"name\":\"A\"}",
        "--changeset_y",
        PART,
        BINARY,
        "Content-ID: 2",
        "",
        "POST /api/data/v9.2/opportunities HTTP/1.1",
        "Content-Type: application/json",
        "",
        second,
        "--changeset_y--",
        "",
        "--batch_x--",
        "",
    ]
}

#[tokio::test]
async fn a_change_set_fails_as_a_whole() {
    let org = Org::new().await;
    for (second, text, why) in [
        ("{\"nosuch\":1}", "0x80048d19", "a bad body"),
        (
            "{\"parentcontactid@odata.bind\":\"$7\"}",
            "Content-ID Reference: '$7' does not exist in the batch context.",
            "a reference to nothing",
        ),
    ] {
        let reply = batch(&org, &change_set(second), "\r\n", "x").await;
        assert_eq!(reply.status, 400, "{why}: the outer status is that of the failure");
        assert!(reply.text.contains(text), "{why}: {}", reply.text);
        assert_eq!(reply.text.matches("HTTP/1.1").count(), 1, "{why}: one answer for the set");
        assert!(org.sandbox.rows("account").is_empty(), "{why}: the first part is undone");
    }
    let lines: Vec<&str> =
        change_set("{}").into_iter().filter(|line| *line != "Content-ID: 2").collect();
    let reply = batch(&org, &lines, "\r\n", "x").await;
    assert!(reply.text.contains("Content-ID header not present"), "{}", reply.text);
}

#[tokio::test]
async fn a_batch_stops_or_goes_on() {
    let org = Org::new().await;
    let lines = [
        "--batch_x",
        PART,
        BINARY,
        "",
        "GET /api/data/v9.2/nosuch HTTP/1.1",
        "",
        "",
        "--batch_x",
        PART,
        BINARY,
        "",
        "GET /api/data/v9.2/WhoAmI HTTP/1.1",
        "",
        "",
        "--batch_x--",
    ];
    let stopped = batch(&org, &lines, "\r\n", "x").await;
    assert_eq!((stopped.status, stopped.text.matches("HTTP/1.1").count()), (404, 1));
    let went_on = batch(&org, &lines, "\r\n", "odata.continue-on-error").await;
    assert_eq!((went_on.status, went_on.text.matches("HTTP/1.1").count()), (200, 2));
    assert!(went_on.text.contains("HTTP/1.1 404 Not Found"), "{}", went_on.text);
    let open = batch(&org, &lines[..7], "\r\n", "x").await;
    assert_eq!(open.status, 400, "no closing delimiter");
}

#[tokio::test]
async fn bulk_actions_are_all_or_nothing() {
    let org = Org::new().await;
    let kind = "Microsoft.Dynamics.CRM.opportunity";
    let path = |action: &str| format!("opportunities/Microsoft.Dynamics.CRM.{action}");
    let row = |fields: Json| {
        let mut row = fields;
        row["@odata.type"] = json!(kind);
        row
    };
    let body = json!({"Targets": [row(json!({"name": "A"})), row(json!({"name": "B"}))]});
    let made = org.post(&path("CreateMultiple"), &body).await;
    let ids = made.json()["Ids"].as_array().cloned().unwrap();
    assert_eq!(ids.len(), 2);
    let body = json!({"Targets": [
        row(json!({"opportunityid": ids[0], "name": "A2"})),
        row(json!({"opportunityid": ids[1], "nosuch": 1})),
    ]});
    assert_eq!(org.post(&path("UpdateMultiple"), &body).await.status, 400);
    let name = || org.sandbox.row("opportunity", ids[0].as_str().unwrap()).unwrap()["name"].clone();
    assert_eq!(name(), "A", "undone");
    let key = "opportunities(pc_referralidentifier='r-1')";
    let upsert = json!({"Targets": [row(json!({"@odata.id": key, "name": "C"}))]});
    for _ in 0..2 {
        assert_eq!(org.post(&path("UpsertMultiple"), &upsert).await.status, 204);
    }
    assert_eq!(org.sandbox.rows("opportunity").len(), 3, "made once, then changed");
    let twice = "opportunities(pc_referralidentifier='r-2')";
    let both = json!({"@odata.id": twice, "pc_referralidentifier": "r-2"});
    let reply = org.post(&path("UpsertMultiple"), &json!({"Targets": [row(both)]})).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "0x80040216"), "key in both places");
    let untyped = json!({"Targets": [{"name": "D"}]});
    assert_eq!(org.post(&path("CreateMultiple"), &untyped).await.status, 400, "type is mandatory");
}

#[tokio::test]
async fn a_failed_change_set_leaves_no_webhook_and_no_tombstone() {
    let org = Org::new().await;
    let id = org.sandbox.seed_opportunity(&json!({"name": "A"})).unwrap();
    register(&org, "http://127.0.0.1:9/", (4, "k"), "Delete", "").await;
    let track = [("Prefer", "odata.track-changes")];
    let feed = org.send("GET", "opportunities?$select=name", &track, None).await;
    let delta = feed.json()["@odata.deltaLink"].as_str().unwrap().to_owned();
    let delete = format!("DELETE /api/data/v9.2/opportunities({id}) HTTP/1.1");
    let mut lines = change_set("{\"nosuch\":1}");
    let post = lines.iter().position(|line| line.starts_with("POST")).unwrap();
    lines[post] = &delete;
    let failed = batch(&org, &lines, "\r\n", "x").await;
    assert_eq!(failed.status, 400, "{}", failed.text);
    assert!(org.sandbox.row("opportunity", &id).is_some(), "the row is back");
    assert_eq!(org.sandbox.waiting_deliveries(), 0, "nobody is told");
    assert!(org.get(&delta).await.rows().is_empty(), "the feed shows nothing");
}
