//! The change feed.

use std::time::Duration;

use serde_json::json;

use super::{Org, Reply, column};

const TRACK: &[(&str, &str)] = &[("Prefer", "odata.track-changes,odata.maxpagesize=2")];

fn link(reply: &Reply, name: &str) -> Option<String> {
    reply.json().get(name).and_then(|link| link.as_str()).map(str::to_owned)
}

/// Reads a feed to its end: the rows, and the delta link of the last page.
async fn follow(org: &Org, start: &str) -> (Vec<serde_json::Value>, String) {
    let (mut rows, mut path) = (Vec::new(), start.to_owned());
    loop {
        let page = org.send("GET", &path, TRACK, None).await;
        rows.extend(page.rows());
        match (link(&page, "@odata.nextLink"), link(&page, "@odata.deltaLink")) {
            (Some(next), None) => path = next,
            (None, Some(delta)) => return (rows, delta),
            both => panic!("exactly one link is expected, not {both:?}"),
        }
    }
}

const START: &str = "opportunities?$select=name,pc_syncwithpartnercenter";

#[tokio::test]
async fn the_first_read_shows_all_and_the_next_only_changes() {
    let org = Org::new().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        ids.push(org.sandbox.seed_opportunity(&json!({"name": name})).unwrap());
    }
    org.sandbox.delete_as_person("opportunity", &ids[4]).unwrap();
    let first = org.send("GET", START, TRACK, None).await;
    assert!(first.header("Preference-Applied").contains("odata.track-changes"));
    let (rows, delta) = follow(&org, START).await;
    assert_eq!(column(&rows, "name"), [json!("a"), json!("b"), json!("c"), json!("d")]);
    assert!(delta.contains("$select=name") && delta.contains("$deltatoken="), "{delta}");
    assert!(delta.contains("%2103%2F01%2F2026%2010%3A00%3A00"), "moment in the token: {delta}");
    let (rows, delta) = follow(&org, &delta).await;
    assert!(rows.is_empty());
    org.sandbox.edit_as_person("opportunity", &ids[0], &json!({"name": "a2"})).unwrap();
    org.patch(&format!("opportunities({})", ids[1]), &json!({"name": "b"})).await;
    org.sandbox.delete_as_person("opportunity", &ids[2]).unwrap();
    let never_seen = org.sandbox.seed_opportunity(&json!({})).unwrap();
    org.sandbox.delete_as_person("opportunity", &never_seen).unwrap();
    let count = format!("opportunities/$count?{}", delta.split_once('?').unwrap().1);
    assert_eq!(org.get(&count).await.text, "\u{feff}4");
    let (rows, delta) = follow(&org, &delta).await;
    assert_eq!(column(&rows[..2], "name"), [json!("a2"), json!("b")], "an equal write shows too");
    assert_eq!(column(&rows[2..], "id"), [json!(ids[2]), json!(never_seen)], "tombstones last");
    assert_eq!(rows[2]["reason"], "deleted");
    let context = format!("{}/$metadata#opportunities/$deletedEntity", org.root());
    assert_eq!(rows[2]["@odata.context"], context);
    assert!(follow(&org, &delta).await.0.is_empty());
}

#[tokio::test]
async fn a_change_between_two_pages_is_not_lost() {
    let org = Org::new().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(org.sandbox.seed_opportunity(&json!({"name": name})).unwrap());
    }
    let first = org.send("GET", START, TRACK, None).await;
    org.sandbox.edit_as_person("opportunity", &ids[0], &json!({"name": "a2"})).unwrap();
    org.sandbox.delete_as_person("opportunity", &ids[1]).unwrap();
    let (_, delta) = follow(&org, &link(&first, "@odata.nextLink").unwrap()).await;
    let (rows, _) = follow(&org, &delta).await;
    assert_eq!(column(&rows, "name"), [json!("a2"), json!("absent")]);
    assert_eq!(rows[1]["id"], ids[1]);
}

#[tokio::test]
async fn options_that_track_changes_forbids() {
    let org = Org::new().await;
    for option in ["$filter=name eq 'a'", "$orderby=name", "$expand=parentcontactid", "$top=1"] {
        let reply = org.send("GET", &format!("{START}&{option}"), TRACK, None).await;
        assert_eq!(reply.status, 400, "{option}");
        let name = option.split('=').next().unwrap();
        let text = format!("The \\\"{name}\\\" query parameter isn't supported");
        assert!(reply.text.contains(&text), "{}", reply.text);
    }
    let untracked = org.send("GET", "accounts?$select=name", TRACK, None).await;
    assert_eq!(untracked.status, 400, "change tracking is off for accounts");
}

#[tokio::test]
async fn delta_links_expire_in_three_ways() {
    let mut org = Org::new().await;
    let expired =
        |reply: Reply| assert_eq!((reply.status, reply.code().as_str()), (400, "0x80044352"));
    let (_, delta) = follow(&org, START).await;
    org.clock.advance(Duration::from_hours(24 * 7));
    org.sign_in().await;
    assert_eq!(org.get(&delta).await.status, 200, "seven days are allowed");
    org.clock.advance(Duration::from_secs(1));
    expired(org.get(&delta).await);

    let (_, delta) = follow(&org, START).await;
    let column = json!({
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "SchemaName": "pc_Note", "MaxLength": 50,
    });
    let path = "EntityDefinitions(LogicalName='opportunity')/Attributes";
    assert_eq!(org.post(path, &column).await.status, 204);
    expired(org.get(&delta).await);

    let (_, delta) = follow(&org, START).await;
    assert_eq!(org.get(&delta).await.status, 200, "a fresh link works after the change");
    org.sandbox.expire_delta_tokens();
    expired(org.get(&delta).await);
    let (rows, _) = follow(&org, START).await;
    assert!(rows.is_empty(), "a new full read works");
}
