//! Checklist 6: SOQL and its pages.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Site, deal, site, site_with, with};
use crate::connect::salesforce::sandbox::SandboxOptions;

async fn filled() -> Site {
    let site = site().await;
    let account = json!({ "Name": "Contoso", "Website": "https://contoso.example" });
    let account = site.sandbox.seed_account(&account).unwrap();
    let rows = [
        json!({ "Name": "Alpha", "Amount": 100, "AccountId": account, "CloseDate": "2026-09-01" }),
        json!({ "Name": "beta", "Amount": 300, "StageName": "Closed Won" }),
        json!({ "Name": "Gamma 50%", "CloseDate": "2026-10-01", "Sync_With_Partner_Center__c": true }),
        json!({ "Name": "O'Neil", "Amount": 200, "Referral_Identifier__c": "Ref-1" }),
    ];
    for row in rows {
        site.sandbox.create_as_person("Opportunity", &with(deal("x"), row)).unwrap();
        site.clock.advance(Duration::from_secs(60));
    }
    site
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let site = filled().await;
    let id = site.sandbox.rows("Opportunity")[1]["Id"].as_str().unwrap().to_owned();
    let by_short_id = format!("Id = '{}'", &id[..15]);
    let after = format!("SystemModstamp = 2026-09-01T10:01:30Z AND Id >= '{id}'");
    let table = [
        ("Name = 'ALPHA'", "Alpha", "text ignores case"),
        ("Name != 'alpha' AND Amount > 100", "O'Neil beta", "and"),
        ("Amount = NULL", "Gamma 50%", "null"),
        ("Amount != null", "Alpha O'Neil beta", "not null"),
        ("NOT Amount > 100", "Alpha Gamma 50%", "not, with nulls on its side"),
        ("Name IN ('beta', 'alpha')", "Alpha beta", "in"),
        ("Name NOT IN ('beta', 'alpha')", "Gamma 50% O'Neil", "not in"),
        ("Name LIKE '%a' AND Name LIKE '_eta'", "beta", "patterns"),
        ("Name LIKE '%50\\%'", "Gamma 50%", "an escaped percent sign"),
        ("Name = 'O\\'Neil'", "O'Neil", "an escaped quote"),
        ("Account.Name = 'contoso'", "Alpha", "a parent's field"),
        ("Account.Name = NULL", "Gamma 50% O'Neil beta", "no parent is null"),
        ("Owner.Email LIKE 'seller%'", "Alpha Gamma 50% O'Neil beta", "the owner"),
        ("IsWon = TRUE", "beta", "derived"),
        ("CloseDate = TODAY", "Alpha", "relative to the clock"),
        ("CloseDate = NEXT_MONTH", "Gamma 50%", "a month"),
        ("CloseDate > 2026-10-01", "O'Neil beta", "a date"),
        ("CreatedDate = LAST_N_DAYS:1", "Alpha Gamma 50% O'Neil beta", "a number of days"),
        ("CreatedDate < 2026-09-01T12:01:30.000+02:00", "Alpha", "an offset"),
        (&by_short_id, "beta", "a short id"),
        (&after, "beta", "key-set paging"),
        (
            "Sync_With_Partner_Center__c = TRUE OR Referral_Identifier__c != NULL",
            "Gamma 50% O'Neil",
            "what a poll asks",
        ),
        ("(Amount = 100 OR Amount = 300) AND IsClosed = false", "Alpha", "parentheses"),
    ];
    for (filter, expected, why) in table {
        let query = format!("SELECT Name FROM Opportunity WHERE {filter} ORDER BY Name");
        let mut names = site.names(&query).await;
        names.sort();
        assert_eq!(names.join(" "), expected, "{filter}: {why}");
    }
}

#[tokio::test]
async fn order_limit_and_offset_hold() {
    let site = filled().await;
    let table = [
        ("ORDER BY Name", "Alpha beta Gamma 50% O'Neil", "text ignores case"),
        ("ORDER BY Amount", "Gamma 50% Alpha O'Neil beta", "nulls first"),
        ("ORDER BY Amount DESC NULLS LAST", "beta O'Neil Alpha Gamma 50%", "nulls last"),
        ("ORDER BY SystemModstamp, Id LIMIT 2 OFFSET 1", "beta Gamma 50%", "a slice"),
        ("ORDER BY Account.Name NULLS LAST, Name LIMIT 1", "Alpha", "by a parent"),
    ];
    for (tail, expected, why) in table {
        let names = site.names(&format!("SELECT Name FROM Opportunity {tail}")).await;
        assert_eq!(names.join(" "), expected, "{tail}: {why}");
    }
}

#[tokio::test]
async fn columns_reach_through_relationships() {
    let site = filled().await;
    let soql = "select id, account.name, Account.Website, Owner.Email FROM opportunity \
                WHERE Name IN ('Alpha', 'beta') ORDER BY Name";
    let reply = site.query(soql).await;
    let first = &reply.body["records"][0];
    assert_eq!(first["attributes"]["type"], "Opportunity");
    assert_eq!(first["Account"]["Name"], "Contoso");
    assert_eq!(first["Account"]["Website"], "https://contoso.example");
    assert_eq!(first["Owner"]["Email"], "seller@contoso.example");
    assert_eq!(reply.body["records"][1]["Account"], Value::Null, "no account");
    let count = site.query("SELECT COUNT() FROM Opportunity WHERE Amount > 100").await;
    assert_eq!(count.body, json!({ "totalSize": 2, "done": true, "records": [] }));
    let all = site.query("SELECT FIELDS(CUSTOM) FROM Opportunity LIMIT 1").await;
    assert!(all.body["records"][0].get("Sync_Token__c").is_some());
}

#[tokio::test]
async fn wrong_queries_are_refused_with_their_code() {
    let site = filled().await;
    let table = [
        ("SELECT Name FROM Nothing", "INVALID_TYPE", "no such object"),
        ("SELECT Nothing FROM Lead", "INVALID_FIELD", "no such column"),
        ("SELECT Nothing.Name FROM Lead", "INVALID_FIELD", "no such relationship"),
        ("SELECT Id FROM Opportunity WHERE Sync_Audit__c = 'x'", "INVALID_FIELD", "long text"),
        ("SELECT Id FROM Opportunity ORDER BY Description", "INVALID_FIELD", "long text"),
        (
            "SELECT Id FROM Lead WHERE CreatedDate > '2026-09-01T00:00:00Z'",
            "INVALID_FIELD",
            "quoted",
        ),
        ("SELECT Id FROM Lead WHERE CreatedDate > 2026-09-01", "INVALID_FIELD", "a date only"),
        ("SELECT Id FROM Opportunity WHERE Amount = '5'", "INVALID_FIELD", "a quoted number"),
        ("SELECT Id FROM Lead WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "no id"),
        (
            "SELECT Id FROM Lead WHERE IsConverted > TRUE",
            "INVALID_QUERY_FILTER_OPERATOR",
            "boolean",
        ),
        ("SELECT * FROM Lead", "MALFORMED_QUERY", "no star"),
        (
            "SELECT Id FROM Lead WHERE Name = 'x' AND Id != null OR Name = 'y'",
            "MALFORMED_QUERY",
            "mixed",
        ),
        ("SELECT Id FROM Lead WHERE Name = 'x", "MALFORMED_QUERY", "open string"),
        ("SELECT Id FROM Lead LIMIT x", "MALFORMED_QUERY", "no number"),
        ("SELECT Id FROM Lead GROUP BY Id", "MALFORMED_QUERY", "not emulated"),
        (
            "SELECT Id FROM Lead WHERE CreatedDate > 2026-09-01T00:00:00",
            "MALFORMED_QUERY",
            "no offset",
        ),
        ("SELECT FIELDS(ALL) FROM Lead", "MALFORMED_QUERY", "needs a limit"),
        ("", "MALFORMED_QUERY", "nothing"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "too far"),
    ];
    for (soql, code, why) in table {
        let reply = site.query(soql).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{soql}: {why}: {}", reply.body);
    }
    let nested = format!("SELECT Id FROM Lead WHERE {}Id != null", "(".repeat(5_000));
    assert_eq!(site.query(&nested).await.code(), "MALFORMED_QUERY", "no stack overflow");
    let long = "x".repeat(17_000);
    assert_eq!(site.query(&long).await.status, 414);
}

#[tokio::test]
async fn pages_follow_each_other_until_the_cursor_ends() {
    let site = site_with(SandboxOptions { page_size: 2, ..Default::default() }).await;
    for name in ["A", "B", "C", "D", "E"] {
        site.opportunity(name);
    }
    let first = site.query("SELECT Name FROM Opportunity ORDER BY Name").await;
    assert_eq!((&first.body["totalSize"], &first.body["done"]), (&json!(5), &json!(false)));
    let mut names = Vec::new();
    let mut page = first;
    loop {
        let records = page.body["records"].as_array().unwrap();
        names.extend(records.iter().map(|record| record["Name"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["nextRecordsUrl"].as_str().map(str::to_owned) else { break };
        assert!(next.starts_with("/services/data/v66.0/query/01g"), "{next}");
        page = site.raw("GET", &next, Value::Null, &[]).await;
    }
    assert_eq!((names.join(""), &page.body["done"]), ("ABCDE".to_owned(), &json!(true)));
    let stale = |site: &Site, by_force: bool| {
        if by_force {
            site.sandbox.make_cursors_stale();
        } else {
            site.clock.advance(Duration::from_secs(48 * 3600));
        }
        site.sandbox.log_in()
    };
    let mut site = site;
    for by_force in [true, false] {
        let first = site.query("SELECT Name FROM Opportunity").await;
        let next = first.body["nextRecordsUrl"].as_str().unwrap().to_owned();
        site.session = stale(&site, by_force);
        let reply = site.raw("GET", &next, Value::Null, &[]).await;
        assert_eq!((reply.status, reply.code()), (400, "INVALID_QUERY_LOCATOR"));
    }
}

#[tokio::test]
async fn the_recycle_bin_is_seen_by_query_all_only() {
    let site = filled().await;
    let id = site.opportunity("Gone");
    site.sandbox.delete_as_person("Opportunity", &id).unwrap();
    assert!(site.names("SELECT Name FROM Opportunity WHERE Name = 'Gone'").await.is_empty());
    let all = "/queryAll?q=SELECT+Id+FROM+Opportunity+WHERE+IsDeleted+%3D+TRUE";
    assert_eq!(site.get(all).await.body["records"][0]["Id"], id.as_str());
    site.sandbox.undelete_as_person("Opportunity", &id).unwrap();
    assert_eq!(site.names("SELECT Name FROM Opportunity WHERE Name = 'Gone'").await.len(), 1);
}
