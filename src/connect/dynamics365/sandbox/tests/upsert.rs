//! `PATCH` as upsert, alternate keys and conditional requests.

use serde_json::json;

use super::Org;

const KEY: &str = "opportunities(pc_referralidentifier='r-1')";
const PREFER: (&str, &str) = ("Prefer", "return=representation");

#[tokio::test]
async fn an_upsert_by_alternate_key_tells_little() {
    let org = Org::new().await;
    for (body, why) in [(json!({"name": "A"}), "created"), (json!({"name": "B"}), "changed")] {
        let reply = org.send("PATCH", KEY, &[], Some(&body)).await;
        assert_eq!(reply.status, 204, "{why}");
        assert_eq!(reply.header("OData-EntityId"), format!("{}/{KEY}", org.root()), "{why}");
    }
    let path = format!("{KEY}?$select=name");
    let changed = org.send("PATCH", &path, &[PREFER], Some(&json!({"name": "C"}))).await;
    assert_eq!((changed.status, changed.json()["name"].as_str()), (200, Some("C")));
    assert_eq!(changed.header("ETag"), changed.json()["@odata.etag"].as_str().unwrap());
    let other = "opportunities(pc_referralidentifier='r-2')";
    let made = org.send("PATCH", other, &[PREFER], Some(&json!({"name": "D"}))).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["pc_referralidentifier"], "r-2");
    let rows = org.sandbox.rows("opportunity");
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn the_body_wins_for_a_new_row_and_loses_for_an_old_one() {
    let org = Org::new().await;
    let body = json!({"name": "A", "pc_referralidentifier": "r-9"});
    org.send("PATCH", KEY, &[], Some(&body)).await;
    assert_eq!(org.get(KEY).await.status, 404, "the body's value won");
    let nine = "opportunities(pc_referralidentifier='r-9')";
    let body = json!({"name": "B", "pc_referralidentifier": "r-10"});
    org.send("PATCH", nine, &[], Some(&body)).await;
    assert_eq!(org.get(nine).await.json()["name"], "B", "the key in the body was dropped");
}

#[tokio::test]
async fn conditions_hold() {
    let org = Org::new().await;
    let id = "aaaaaaaa-0000-4000-8000-000000000001";
    let path = format!("opportunities({id})");
    let body = json!({"name": "A"});
    let send = |headers: &'static [(&'static str, &'static str)], path: String| {
        let (org, body) = (&org, body.clone());
        async move { org.send("PATCH", &path, headers, Some(&body)).await }
    };
    let any: &[_] = &[("If-Match", "*")];
    let none: &[_] = &[("If-None-Match", "*")];
    let null: &[_] = &[("If-None-Match", "null")];
    let stale: &[_] = &[("If-Match", "W/\"1\"")];
    let steps = [
        // (headers, path, status, code, why)
        (any, path.clone(), 404, "0x80040217", "update only, and there is none"),
        (any, KEY.to_owned(), 404, "0x80060891", "the same by alternate key"),
        (none, path.clone(), 204, "", "create only, under the caller's id"),
        (none, path.clone(), 412, "0x80040237", "create only, and there is one"),
        (null, path.clone(), 204, "", "the literal null is no condition"),
        (stale, path.clone(), 412, "0x80060882", "another version"),
    ];
    for (headers, path, status, code, why) in steps {
        let reply = send(headers, path).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{why}");
    }
    let etag = org.get(&path).await.json()["@odata.etag"].as_str().unwrap().to_owned();
    let matching = org.send("PATCH", &path, &[("If-Match", &etag)], Some(&body)).await;
    assert_eq!(matching.status, 204, "the right version");
    let stale = org.send("DELETE", &path, &[("If-Match", &etag)], None).await;
    assert_eq!((stale.status, stale.code().as_str()), (412, "0x80060882"), "it moved on");
}

#[tokio::test]
async fn a_conditional_read_is_304_only_when_plain() {
    let org = Org::new().await;
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let path = format!("opportunities({id})?$select=name");
    let etag = org.get(&path).await.json()["@odata.etag"].as_str().unwrap().to_owned();
    let same = [("If-None-Match", etag.as_str())];
    assert_eq!(org.send("GET", &path, &same, None).await.status, 304);
    let expanded = format!("{path}&$expand=parentcontactid");
    assert_eq!(org.send("GET", &expanded, &same, None).await.status, 200, "never with $expand");
    let annotated =
        [("If-None-Match", etag.as_str()), ("Prefer", "odata.include-annotations=\"*\"")];
    assert_eq!(org.send("GET", &path, &annotated, None).await.status, 200, "nor with annotations");
}

#[tokio::test]
async fn keys_are_unique_but_nulls_are_free() {
    let org = Org::new().await;
    org.create("opportunities", &json!({"name": "A", "pc_referralidentifier": "r-1"})).await;
    org.create("opportunities", &json!({"name": "no referral"})).await;
    let second = org.create("opportunities", &json!({"name": "none either"})).await;
    let body = json!({"pc_referralidentifier": "r-1"});
    for reply in [
        org.post("opportunities", &body).await,
        org.patch(&format!("opportunities({second})"), &body).await,
    ] {
        assert_eq!((reply.status, reply.code().as_str()), (412, "0x80060892"));
        assert!(reply.text.contains("pc_ReferralIdKey"), "names the key: {}", reply.text);
    }
    let body = json!({"opportunityid": second});
    let reply = org.post("opportunities", &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (412, "0x80040237"), "primary key");
}

#[tokio::test]
async fn some_key_values_cannot_be_addressed() {
    let org = Org::new().await;
    for (path, status, why) in [
        ("opportunities(pc_referralidentifier='a%26b')", 400, "an ampersand, even encoded"),
        ("opportunities(pc_referralidentifier='a%2Fb')", 400, "a slash, even encoded"),
        ("opportunities(name='A')", 400, "no alternate key"),
        ("opportunities(pc_referralidentifier='it''s')", 404, "a doubled quote is fine"),
    ] {
        let reply = org.get(path).await;
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
    }
}
