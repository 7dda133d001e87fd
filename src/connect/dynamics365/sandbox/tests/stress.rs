//! Faults, the hook before a write, the log.

use serde_json::json;

use super::Org;
use crate::connect::dynamics365::sandbox::{Throttle, VersionClash, clash, html_error, throttled};
use crate::connect::sandbox::{Fault, FaultEffect};

#[tokio::test]
async fn faults_look_like_the_platform_under_stress() {
    let org = Org::new().await;
    let table = [
        // (effect, status, code, Retry-After)
        (throttled(Throttle::Requests, 7), 429, "0x80072322", "7"),
        (throttled(Throttle::ExecutionTime, 8), 429, "0x80072321", "8"),
        (throttled(Throttle::Concurrency, 9), 429, "0x80072326", "9"),
        (clash(VersionClash::Version), 412, "0x80060882", ""),
        (clash(VersionClash::PrimaryKey), 412, "0x80040237", ""),
        (clash(VersionClash::AlternateKey), 412, "0x80060892", ""),
        (clash(VersionClash::DuplicateRule), 412, "0x80040333", ""),
        (html_error(502), 502, "", ""),
    ];
    for (effect, status, code, wait) in table {
        org.sandbox.faults().add(Fault::once("GET", "/WhoAmI", effect));
        let reply = org.get("WhoAmI").await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
        assert_eq!(reply.header("Retry-After"), wait);
        assert_eq!(org.get("WhoAmI").await.status, 200, "once only");
    }
}

#[tokio::test]
async fn a_write_can_land_without_an_answer() {
    let org = Org::new().await;
    org.sandbox.faults().add(Fault::once("POST", "/opportunities", FaultEffect::ApplyThenDrop));
    let request = org.http.post(format!("{}/opportunities", org.root())).bearer_auth(&org.token);
    let sent = request.header("Content-Type", "application/json").body("{\"name\":\"A\"}").send();
    assert!(sent.await.is_err(), "no answer");
    assert_eq!(org.sandbox.rows("opportunity").len(), 1, "but the row is there");
}

#[tokio::test]
async fn a_person_edits_between_read_and_write() {
    let org = Org::new().await;
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let path = format!("opportunities({id})");
    let etag = org.get(&path).await.json()["@odata.etag"].as_str().unwrap().to_owned();
    let person = id.clone();
    org.sandbox.before_next_write(move |sandbox| {
        sandbox.edit_as_person("opportunity", &person, &json!({"name": "person"})).unwrap();
    });
    let headers = [("If-Match", etag.as_str())];
    let reply = org.send("PATCH", &path, &headers, Some(&json!({"name": "daemon"}))).await;
    assert_eq!((reply.status, reply.code().as_str()), (412, "0x80060882"));
    let row = org.sandbox.row("opportunity", &id).unwrap();
    assert_eq!(row["name"], "person");
    assert_ne!(row["_modifiedby_value"], org.sandbox.application_user());
}

#[tokio::test]
async fn the_log_tells_reads_from_writes() {
    let org = Org::new().await;
    org.sandbox.clear_request_log();
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    org.get(&format!("opportunities({id})?$select=name")).await;
    org.patch("opportunities(00000000-0000-4000-8000-000000000000)", &json!({})).await;
    assert_eq!((org.sandbox.read_count(), org.sandbox.write_count()), (1, 2));
    let log = org.sandbox.request_log();
    let statuses: Vec<u16> = log.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [204, 200, 404]);
    assert!(log[1].path.ends_with("?$select=name"), "{}", log[1].path);
}

#[tokio::test]
async fn a_person_is_refused_like_a_client() {
    let org = Org::new().await;
    let id = org.sandbox.seed_opportunity(&json!({})).unwrap();
    org.sandbox.win_as_person(&id).unwrap();
    let refused = org.sandbox.edit_as_person("opportunity", &id, &json!({"name": "x"}));
    assert_eq!(refused.unwrap_err().status, 400);
    let lead = org.sandbox.seed_lead(&json!({"lastname": "Buyer"})).unwrap();
    let deal = org.sandbox.qualify_as_person(&lead).unwrap();
    assert_eq!(org.sandbox.row("opportunity", &deal).unwrap()["_originatingleadid_value"], lead);
}
