//! Checklist 9: updated and deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Reply, Site, site, site_with};
use crate::connect::salesforce::sandbox::SandboxOptions;

async fn window(site: &Site, kind: &str, start: &str, end: &str) -> Reply {
    let start = start.replace('+', "%2B");
    site.get(&format!("/sobjects/Opportunity/{kind}/?start={start}&end={end}")).await
}

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn changes_are_listed_up_to_the_lag() {
    let replication_lag = Duration::from_secs(120);
    let site = site_with(SandboxOptions { replication_lag, ..Default::default() }).await;
    let early = site.opportunity("Early");
    site.clock.advance(Duration::from_secs(300));
    site.opportunity("Late");
    let start = "2026-09-01T09:00:00+00:00";
    let reply = window(&site, "updated", start, "2026-09-01T11:00:00Z").await;
    assert_eq!(reply.body["ids"], json!([early]), "the late one is still in flight");
    assert_eq!(reply.body["latestDateCovered"], "2026-09-01T10:03:00.000+0000");
    site.clock.advance(Duration::from_secs(300));
    let reply = window(&site, "updated", "2026-09-01T10:03:00Z", "2026-09-01T11:00:00Z").await;
    assert_eq!(reply.body["ids"].as_array().map(Vec::len), Some(1), "the next window has it");
    let within = window(&site, "updated", "2026-09-01T10:03:01Z", "2026-09-01T10:03:59Z").await;
    assert_eq!(within.code(), "INVALID_REPLICATION_DATE", "seconds are dropped");
}

#[tokio::test]
async fn deletions_are_listed_until_the_log_is_trimmed() {
    let site = site().await;
    let id = site.opportunity("Gone");
    site.sandbox.delete_as_person("Opportunity", &id).unwrap();
    site.clock.advance(Duration::from_secs(3 * 3600));
    let site = Site { session: site.sandbox.log_in(), ..site };
    let (start, end) = ("2026-09-01T10:00:00Z", "2026-09-01T13:00:00Z");
    let reply = window(&site, "deleted", start, end).await;
    assert_eq!(reply.body["deletedRecords"][0]["id"], id.as_str());
    assert_eq!(reply.body["deletedRecords"][0]["deletedDate"], "2026-09-01T10:00:30.000+0000");
    let updated = window(&site, "updated", start, end).await;
    assert_eq!(updated.body["ids"], json!([]), "created and deleted: in deleted only");
    site.sandbox.trim_delete_log();
    let reply = window(&site, "deleted", start, end).await;
    assert_eq!(reply.body["deletedRecords"], json!([]));
    assert_eq!(reply.body["earliestDateAvailable"], "2026-09-01T11:00:30.000+0000");
}

#[tokio::test]
async fn windows_that_reach_too_far_are_refused() {
    let site = site().await;
    site.clock.advance(Duration::from_secs(40 * DAY));
    let site = Site { session: site.sandbox.log_in(), ..site };
    let end = "2026-10-11T10:00:00Z";
    let table = [
        ("updated", "2026-09-11T10:00:00Z", 200, "30 days"),
        ("updated", "2026-09-11T09:59:00Z", 400, "more than 30 days"),
        ("deleted", "2026-09-26T10:00:00Z", 200, "15 days"),
        ("deleted", "2026-09-26T09:59:00Z", 400, "more than 15 days"),
        ("updated", "2026-10-11T10:00:00Z", 400, "start is not before end"),
        ("updated", "2026-10-01", 400, "no dateTime"),
    ];
    for (kind, start, status, why) in table {
        let reply = window(&site, kind, start, end).await;
        assert_eq!(reply.status, status, "{kind} {start}: {why}");
        if status == 400 {
            assert_eq!(reply.code(), "INVALID_REPLICATION_DATE", "{why}");
        }
    }
    let bare = site.call("GET", "/sobjects/Opportunity/updated", Value::Null).await;
    assert_eq!(bare.status, 400);
}
