//! Creating, reading, changing and deleting rows.

use serde_json::{Value as Json, json};

use super::Org;

#[tokio::test]
async fn a_create_answers_204_or_the_row() {
    let org = Org::new().await;
    let plain = org.post("opportunities", &json!({"name": "A"})).await;
    assert_eq!((plain.status, plain.text.as_str()), (204, ""));
    assert_eq!(
        plain.header("OData-EntityId"),
        format!("{}/opportunities({})", org.root(), plain.id())
    );
    let prefer = [("Prefer", "return=representation")];
    let body = json!({"name": "B", "estimatedvalue": 125_000});
    let path = "opportunities?$select=name,estimatedvalue";
    let full = org.send("POST", path, &prefer, Some(&body)).await;
    assert_eq!(full.status, 201);
    assert_eq!(full.header("Preference-Applied"), "return=representation");
    assert!(full.text.contains("\"estimatedvalue\":125000.0000"), "{}", full.text);
    let row = full.json();
    let names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "@odata.context",
        "@odata.etag",
        "_transactioncurrencyid_value",
        "estimatedvalue",
        "name",
        "opportunityid",
    ];
    assert_eq!(names, expected, "the key and, beside money, the currency come unasked");
    assert_eq!(full.header("ETag"), row["@odata.etag"].as_str().unwrap());
}

#[tokio::test]
async fn the_platform_stamps_rows() {
    let org = Org::new().await;
    let body =
        json!({"name": "A", "statecode": 1, "statuscode": 3, "createdon": "2001-01-01T00:00:00Z"});
    let id = org.create("opportunities", &body).await;
    let row = org.get(&format!("opportunities({id})")).await.json();
    let user = org.sandbox.application_user();
    let table = [
        ("statecode", json!(0), "not valid for create, ignored in silence"),
        ("statuscode", json!(1), "a reason of another state is dropped too"),
        ("createdon", json!("2026-03-01T10:00:00Z"), "whole seconds, and not writable"),
        ("modifiedon", json!("2026-03-01T10:00:00Z"), "whole seconds"),
        ("_modifiedby_value", json!(user), "from the token"),
        ("_ownerid_value", json!(user), "the creator owns the row"),
        ("isrevenuesystemcalculated", json!(false), "default"),
        ("estimatedvalue", Json::Null, "never written"),
    ];
    for (name, value, why) in table {
        assert_eq!(row[name], value, "{name}: {why}");
    }
    let etag = format!("W/\"{}\"", row["versionnumber"]);
    assert_eq!(row["@odata.etag"], etag, "one number in both");
    let held = org.create("opportunities", &json!({"name": "B", "statuscode": 2})).await;
    assert_eq!(org.sandbox.row("opportunity", &held).unwrap()["statuscode"], 2, "On Hold is open");
}

#[tokio::test]
async fn every_bad_value_has_its_code() {
    let org = Org::new().await;
    let long = "x".repeat(301);
    let account = org.sandbox.seed_account(&json!({})).unwrap();
    let nobody = "/accounts(00000000-0000-4000-8000-000000000000)";
    let table = [
        // (body, status, code, why)
        (json!({"name": long}), 400, "0x80044331", "301 characters in 300"),
        (json!({"closeprobability": 101}), 400, "0x80044330", "above the greatest"),
        (json!({"closeprobability": -1}), 400, "0x8004432f", "below the least"),
        (json!({"estimatedvalue": 1e13}), 400, "0x80044330", "too much money"),
        (json!({"estimatedvalue": "5"}), 400, "0x80048d19", "money as text"),
        (json!({"salesstage": 9}), 400, "0x8004431a", "no such option"),
        (json!({"estimatedclosedate": "soon"}), 400, "0x80048d19", "no date"),
        (json!({"nosuchcolumn": 1}), 400, "0x80048d19", "undeclared"),
        (json!({"ParentContactId@odata.bind": "/contacts(x)"}), 400, "0x80048d19", "wrong case"),
        (json!({"_customerid_value": account}), 400, "0x80048d19", "lookups are bound"),
        (json!({"customerid_account@odata.bind": nobody}), 404, "0x80040217", "bound to nothing"),
        (
            json!({"customerid_contact@odata.bind": format!("/accounts({account})")}),
            400,
            "0x80048d19",
            "an account is no contact",
        ),
        (
            json!({"transactioncurrencyid@odata.bind": null, "estimatedvalue": 1}),
            400,
            "0x80048cfb",
            "no currency",
        ),
    ];
    for (body, status, code, why) in table {
        let reply = org.post("opportunities", &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{why}: {}", reply.text);
    }
    assert!(org.sandbox.rows("opportunity").is_empty(), "nothing of it stayed");
    let line = org.post("opportunityproducts", &json!({"quantity": 1})).await;
    assert_eq!((line.status, line.code().as_str()), (400, "0x80040200"), "a line needs its parent");
}

#[tokio::test]
async fn a_bind_is_relative_or_holds_the_service_route() {
    let org = Org::new().await;
    let account = org.sandbox.seed_account(&json!({})).unwrap();
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let table = [
        (format!("/accounts({account})"), 204, "relative"),
        (format!("accounts({account})"), 204, "without a slash"),
        (format!("{}/accounts({account})", org.root()), 204, "absolute with the route"),
        (format!("https://x.example/accounts({account})"), 400, "absolute without the route"),
    ];
    for (address, status, why) in table {
        let body = json!({"customerid_account@odata.bind": address});
        let reply = org.patch(&format!("opportunities({id})"), &body).await;
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
    }
    org.patch(&format!("opportunities({id})"), &json!({"customerid_account@odata.bind": null}))
        .await;
    let row = org.get(&format!("opportunities({id})?$select=_customerid_value")).await;
    assert_eq!(row.json()["_customerid_value"], Json::Null, "null unlinks");
}

#[tokio::test]
async fn an_equal_value_still_makes_a_new_version() {
    let org = Org::new().await;
    let id = org.create("opportunities", &json!({"name": "A", "description": "x"})).await;
    let version =
        || org.sandbox.row("opportunity", &id).unwrap()["versionnumber"].as_u64().unwrap();
    let before = version();
    let path = format!("opportunities({id})");
    assert_eq!(org.patch(&path, &json!({"name": "A"})).await.status, 204);
    assert!(version() > before);
    org.patch(&path, &json!({"description": ""})).await;
    let row = org.sandbox.row("opportunity", &id).unwrap();
    assert_eq!(row.get("description"), None, "an empty text is a null");
    assert_eq!(row["name"], "A", "absent members are untouched");
}

#[tokio::test]
async fn single_properties_and_links_have_addresses() {
    let org = Org::new().await;
    let account = org.sandbox.seed_account(&json!({"name": "Fabrikam"})).unwrap();
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let path = format!("opportunities({id})");
    let put = org.send("PUT", &format!("{path}/name"), &[], Some(&json!({"value": "B"}))).await;
    assert_eq!(put.status, 204);
    assert_eq!(org.get(&format!("{path}/name")).await.json()["value"], "B");
    let link = json!({"@odata.id": format!("{}/accounts({account})", org.root())});
    let put = org.send("PUT", &format!("{path}/parentaccountid/$ref"), &[], Some(&link)).await;
    assert_eq!(put.status, 204, "{}", put.text);
    assert_eq!(org.get(&format!("{path}/parentaccountid")).await.json()["name"], "Fabrikam");
    org.send("DELETE", &format!("{path}/parentaccountid/$ref"), &[], None).await;
    assert_eq!(org.get(&format!("{path}/parentaccountid")).await.status, 204);
    org.send("DELETE", &format!("{path}/name"), &[], None).await;
    assert_eq!(org.get(&format!("{path}/name")).await.status, 204);
}

#[tokio::test]
async fn deleting_and_missing_rows() {
    let org = Org::new().await;
    let account = org.sandbox.seed_account(&json!({})).unwrap();
    let body =
        json!({"name": "A", "customerid_account@odata.bind": format!("/accounts({account})")});
    let id = org.create("opportunities", &body).await;
    let kept = org.send("DELETE", &format!("accounts({account})"), &[], None).await;
    assert_eq!((kept.status, kept.code().as_str()), (405, "0x80040227"), "an opportunity names it");
    let path = format!("opportunities({id})");
    assert_eq!(org.send("DELETE", &path, &[], None).await.status, 204);
    for (method, path, status, code) in [
        ("GET", path.as_str(), 404, "0x80040217"),
        ("DELETE", path.as_str(), 404, "0x80040217"),
        ("GET", "nosuchset", 404, "0x8006088a"),
        ("DELETE", "opportunities", 405, "0x80060888"),
        ("GET", "$metadata", 501, "0x80040315"),
    ] {
        let reply = org.send(method, path, &[], None).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {path}");
    }
}

#[tokio::test]
async fn deep_insert_makes_children_and_parents() {
    let org = Org::new().await;
    let body = json!({
        "name": "A",
        "parentcontactid": {"lastname": "Buyer"},
        "product_opportunities": [
            {"isproductoverridden": true, "productdescription": "Fabrikam Suite", "quantity": 2,
             "priceperunit": 10.5},
        ],
    });
    let id = org.create("opportunities", &body).await;
    let expand = "parentcontactid($select=fullname),product_opportunities($select=productdescription,extendedamount)";
    let row = org.get(&format!("opportunities({id})?$select=name&$expand={expand}")).await;
    assert_eq!(row.json()["parentcontactid"]["fullname"], "Buyer");
    let line = &row.json()["product_opportunities"][0];
    assert_eq!(line["productdescription"], "Fabrikam Suite");
    assert!(row.text.contains("\"extendedamount\":21.0000"), "{}", row.text);
    let failing = json!({"name": "B", "product_opportunities": [{"nosuchcolumn": 1}]});
    assert_eq!(org.post("opportunities", &failing).await.status, 400);
    assert_eq!(org.sandbox.rows("opportunity").len(), 1, "the parent went with its child");
}

#[tokio::test]
async fn impersonation_shows_in_the_row() {
    let org = Org::new().await;
    let people = org.get("systemusers?$select=systemuserid&$filter=fullname eq 'Seller'").await;
    let person = people.rows()[0]["systemuserid"].as_str().unwrap().to_owned();
    let headers = [("MSCRMCallerID", person.as_str())];
    let reply = org.send("POST", "opportunities", &headers, Some(&json!({"name": "A"}))).await;
    let row = org.sandbox.row("opportunity", &reply.id()).unwrap();
    assert_eq!(row["_modifiedby_value"], person.as_str());
    assert_eq!(row["_modifiedonbehalfby_value"], org.sandbox.application_user());
}
