//! Queries: filters, order, pages, expansion.

use serde_json::{Value as Json, json};

use super::{Org, column};
use crate::connect::dynamics365::sandbox::SandboxOptions;

async fn five() -> Org {
    let org = Org::new().await;
    let account = org.sandbox.seed_account(&json!({"name": "Contoso"})).unwrap();
    let bind = format!("/accounts({account})");
    for (name, value, stage, date) in [
        ("Alpha", json!(10), json!(0), json!("2026-01-31")),
        ("bravo", json!(20.5), json!(1), json!("2026-02-28")),
        ("Charlie's + 100%", json!(30), Json::Null, Json::Null),
        ("delta", Json::Null, json!(1), json!("2026-12-31")),
        ("Echo (old)", json!(-5), json!(3), json!("2025-12-31")),
    ] {
        let body = json!({
            "name": name, "estimatedvalue": value, "salesstage": stage, "estimatedclosedate": date,
            "customerid_account@odata.bind": if name == "delta" { Json::Null } else { json!(bind) },
        });
        org.sandbox.seed_opportunity(&body).unwrap();
    }
    org
}

#[tokio::test]
async fn filters_mean_what_they_say() {
    let org = five().await;
    let account = org.sandbox.rows("account")[0]["accountid"].as_str().unwrap().to_owned();
    let by_account = format!("_customerid_value eq {account}");
    let table = [
        // (filter, names, why)
        ("name eq 'ALPHA'", "Alpha", "text is compared without case"),
        ("name eq 'charlie''s %2B 100%25'", "Charlie's + 100%", "doubled quote, encoded signs"),
        ("name+eq+'bravo'", "bravo", "a plus is a blank"),
        ("estimatedvalue gt 10", "bravo|Charlie's + 100%", "null is not greater"),
        ("estimatedvalue ge 10 and estimatedvalue lt 30", "Alpha|bravo", "both ends"),
        ("20 lt estimatedvalue", "bravo|Charlie's + 100%", "the other way round"),
        ("estimatedvalue eq null", "delta", "null"),
        ("salesstage ne 1", "Alpha|Charlie's + 100%|Echo (old)", "ne takes null along"),
        ("not (salesstage eq 1 or salesstage eq 0)", "Charlie's + 100%|Echo (old)", "not"),
        (
            "salesstage eq 0 or salesstage eq 1 and estimatedvalue eq null",
            "Alpha|delta",
            "and binds tighter",
        ),
        ("contains(name,'LPH') or endswith(name,'old)')", "Alpha|Echo (old)", "text functions"),
        ("startswith(name,'de')", "delta", "prefix"),
        ("estimatedclosedate ge 2026-02-28", "bravo|delta", "unquoted dates"),
        ("createdon lt 2027-01-01T00:00:00Z and name eq 'Alpha'", "Alpha", "instants"),
        ("customerid_account/name eq 'contoso' and salesstage eq 0", "Alpha", "navigation"),
        (&by_account, "Alpha|bravo|Charlie's + 100%|Echo (old)", "lookup"),
    ];
    for (filter, names, why) in table {
        let path = format!("opportunities?$select=name&$filter={filter}&$orderby=name");
        let rows = org.get(&path).await.rows();
        let found: Vec<String> =
            column(&rows, "name").iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(found.join("|"), names, "{why}");
    }
}

#[tokio::test]
async fn a_wrong_query_is_refused_even_without_rows() {
    let org = Org::new().await;
    for (query, why) in [
        ("$select=nosuch", "unknown column"),
        ("$select=customerid", "a lookup is selected as _x_value"),
        ("$filter=nosuch eq 1", "unknown column in a filter"),
        ("$filter=name eq", "no right side"),
        ("$filter=name eq 'x", "no closing quote"),
        ("$filter=(name eq 'x'", "no closing parenthesis"),
        ("$orderby=name sideways", "no such direction"),
        ("$expand=nosuch", "unknown navigation"),
        ("$Select=name", "names are case-sensitive"),
        ("$skip=1", "there is no $skip"),
        ("$skiptoken=zz", "not a token of ours"),
    ] {
        let reply = org.get(&format!("opportunities?{query}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "0x80060888"), "{why}");
    }
    let reply = org.get("opportunities?%24select=name&%24filter=name+eq+%27x%27").await;
    assert_eq!(reply.rows().len(), 0, "form-encoded options are understood");
    assert_eq!(org.get("opportunities?$apply=x").await.status, 501);
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_rows_come_and_go() {
    let org = five().await;
    let prefer = [("Prefer", "odata.maxpagesize=2")];
    let path = "opportunities?$select=name&$orderby=name desc&$count=true&$filter=name ne 'x y'";
    let first = org.send("GET", path, &prefer, None).await;
    assert_eq!(first.header("Preference-Applied"), "odata.maxpagesize=2");
    assert_eq!(first.json()["@odata.count"], 5);
    assert_eq!(column(&first.rows(), "name"), [json!("Echo (old)"), json!("delta")]);
    let link = first.json()["@odata.nextLink"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&org.root()), "the host that the client used: {link}");
    let shown = first.rows()[0]["opportunityid"].as_str().unwrap().to_owned();
    org.sandbox.delete_as_person("opportunity", &shown).unwrap();
    org.sandbox.seed_opportunity(&json!({"name": "zulu"})).unwrap();
    let second = org.send("GET", &link, &prefer, None).await;
    assert_eq!(column(&second.rows(), "name"), [json!("Charlie's + 100%"), json!("bravo")]);
    let link = second.json()["@odata.nextLink"].as_str().unwrap().to_owned();
    let third = org.send("GET", &link, &prefer, None).await;
    assert_eq!(column(&third.rows(), "name"), [json!("Alpha")]);
    assert_eq!(third.json().get("@odata.nextLink"), None, "the last page has no link");
}

#[tokio::test]
async fn a_page_is_never_larger_than_the_limit() {
    let options = SandboxOptions { page_limit: 3, ..SandboxOptions::default() };
    let org = Org::with(options).await;
    for name in ["a", "b", "c", "d"] {
        org.sandbox.seed_opportunity(&json!({"name": name})).unwrap();
    }
    let prefer = [("Prefer", "odata.maxpagesize=9999")];
    let page = org.send("GET", "opportunities?$select=name", &prefer, None).await;
    assert_eq!(page.rows().len(), 3);
    assert!(page.json().get("@odata.nextLink").is_some());
    let top = org.get("opportunities?$select=name&$top=2").await;
    assert_eq!(top.rows().len(), 2);
    assert_eq!(top.json().get("@odata.nextLink"), None);
    assert_eq!(org.get("opportunities/$count").await.text, "\u{feff}4");
}

#[tokio::test]
async fn expansion_follows_lookups_and_lists_children() {
    let org = five().await;
    let deal = org.get("opportunities?$filter=name eq 'bravo'").await.rows()[0].clone();
    let id = deal["opportunityid"].as_str().unwrap();
    for (text, quantity) in [("Suite", 1), ("Support", 3)] {
        let body = json!({
            "productdescription": text, "quantity": quantity,
            "opportunityid@odata.bind": format!("/opportunities({id})"),
        });
        org.create("opportunityproducts", &body).await;
    }
    let expand = "customerid_account($select=name;$expand=primarycontactid),parentcontactid,\
                  product_opportunities($select=productdescription;$filter=quantity gt 1)";
    let path = format!("opportunities({id})?$select=name&$expand={expand}");
    let row = org.get(&path).await.json();
    assert_eq!(row["customerid_account"]["name"], "Contoso");
    assert_eq!(row["customerid_account"]["primarycontactid"], Json::Null);
    assert_eq!(row["parentcontactid"], Json::Null, "an empty lookup expands to null");
    let lines = row["product_opportunities"].as_array().unwrap();
    assert_eq!(column(lines, "productdescription"), [json!("Support")]);
    let below = org.get(&format!("opportunities({id})/product_opportunities?$top=1")).await;
    assert_eq!(below.rows().len(), 1);
}

#[tokio::test]
async fn a_long_list_of_children_goes_on_behind_a_link() {
    let options = SandboxOptions { page_limit: 2, ..SandboxOptions::default() };
    let org = Org::with(options).await;
    let id = org.sandbox.seed_opportunity(&json!({"name": "long"})).unwrap();
    for text in ["A", "B", "C"] {
        let body = json!({
            "productdescription": text, "quantity": 1,
            "opportunityid@odata.bind": format!("/opportunities({id})"),
        });
        org.create("opportunityproducts", &body).await;
    }
    let expand = "$expand=product_opportunities($select=productdescription)";
    let row = org.get(&format!("opportunities({id})?$select=name&{expand}")).await.json();
    let mut lines = row["product_opportunities"].as_array().unwrap().clone();
    assert_eq!(lines.len(), 2);
    let link = row["product_opportunities@odata.nextLink"].as_str().expect("a link");
    let (_, rest) = link.split_once("/api/data/v9.2/").expect("an address of the service");
    lines.extend(org.get(rest).await.rows());
    let mut found = column(&lines, "productdescription");
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, [json!("A"), json!("B"), json!("C")]);
}

#[tokio::test]
async fn annotations_carry_labels_and_lookup_tables() {
    let org = five().await;
    let path = "opportunities?$select=statecode,_customerid_value&$filter=name eq 'Alpha'";
    let prefer = [("Prefer", "odata.maxpagesize=5, odata.include-annotations=\"*\"")];
    let reply = org.send("GET", path, &prefer, None).await;
    let row = &reply.rows()[0];
    let table = [
        ("statecode@OData.Community.Display.V1.FormattedValue", "Open"),
        ("_customerid_value@OData.Community.Display.V1.FormattedValue", "Contoso"),
        ("_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname", "account"),
        (
            "_customerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty",
            "customerid_account",
        ),
    ];
    for (name, value) in table {
        assert_eq!(row[name], value, "{name}");
    }
    let one = "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";
    let reply = org.send("GET", path, &[("Prefer", one)], None).await;
    let annotated = reply.rows()[0].as_object().unwrap().keys().filter(|k| k.contains('@')).count();
    assert_eq!(annotated, 2, "the etag and the one that was asked for");
}
