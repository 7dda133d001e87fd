//! Reference 2.3 and 2.4: filters, order, pages, both styles of next link, get.

use serde_json::{Value as Json, json};

use super::{Page, REFERRALS, member, text};

fn query(pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{REFERRALS}?{query}")
}

fn names(list: &Json) -> Vec<String> {
    list["value"].as_array().expect("a list").iter().map(|one| text(one, "name")).collect()
}

#[tokio::test]
async fn every_filter_that_the_reference_has_an_example_of_works() {
    let page = Page::open().await;
    let engagement = "66666666-7777-4888-9999-000000000000";
    page.arrives(json!({ "name": "a", "engagementId": engagement })).await;
    page.advance(3600).await;
    let second = json!({
        "name": "b", "type": "Independent", "substatus": "Received",
        "customerProfile": { "address": { "country": "US" } },
        "team": [member("someone@x.example")],
    });
    let second = page.stored(&page.arrives(second).await).await;
    let updated = text(&second, "updatedDateTime");
    let instant = format!("updatedDateTime ge {updated}");
    let quoted = format!("updatedDateTime ge '{updated}'");
    let table: &[(&str, &[&str])] = &[
        ("engagementId eq '66666666-7777-4888-9999-000000000000'", &["a"]),
        ("engagementId eq 66666666-7777-4888-9999-000000000000", &["a"]),
        ("status eq 'New' and qualification eq 'SalesQualified'", &["a", "b"]),
        ("customerProfile/address/country eq 'US' and direction eq 'Incoming'", &["b"]),
        ("(type eq 'Shared' and direction eq 'Incoming')", &["a"]),
        ("(direction eq 'Incoming' and substatus eq 'Pending')", &["a"]),
        ("team/any(t:t/email eq 'someone@x.example')", &["b"]),
        (&instant, &["b"]),
        (&quoted, &["b"]),
        ("externalReferenceId eq 'nothing'", &[]),
    ];
    for (filter, expected) in table {
        let answer = page.get(&query(&[("$filter", filter)])).await;
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text);
        assert_eq!(names(&answer.json()), *expected, "{filter}");
    }
    for (filter, why) in [
        ("name eq 'a'", "no example anywhere"),
        ("noSuchProperty eq 'x'", "no such property"),
        ("status eq New", "text without quotes"),
        ("status = 'New'", "no operator"),
        ("(status eq 'New'", "not closed"),
        ("team/any(t:email eq 'x')", "a path without its variable"),
    ] {
        let answer = page.get(&query(&[("$filter", filter)])).await;
        assert_eq!(answer.status, 400, "{filter}: {why}");
        assert_eq!(answer.json()["error"]["code"], "invalidRequest", "{why}");
    }
    for (option, filter) in [
        ("refuse_updated_filter", quoted.as_str()),
        ("quoted_datetime_only", instant.as_str()),
        ("refuse_external_reference_filter", "externalReferenceId eq 'x'"),
    ] {
        page.set(json!({ option: true })).await;
        assert_eq!(page.get(&query(&[("$filter", filter)])).await.status, 400, "{option}");
        page.set(json!({ option: false })).await;
        assert_eq!(page.get(&query(&[("$filter", filter)])).await.status, 200, "{option}");
    }
}

#[tokio::test]
async fn pages_of_100_follow_a_link_in_either_style() {
    let page = Page::open().await;
    for number in 0..203 {
        page.arrives(json!({ "name": format!("deal {number:03}") })).await;
    }
    for (style, begin) in [
        ("http_with_wrong_path", "http://api.partner.microsoft.com/v1.0/referrals?$skiptoken="),
        ("right", "https://api.partner.microsoft.com/v1.0/engagements/referrals?$skiptoken="),
    ] {
        page.set(json!({ "next_link": style })).await;
        for (top, sizes) in [(None, vec![100, 100, 3]), (Some("150"), vec![100, 50])] {
            let mut pairs = vec![("$orderby", "updatedDateTime desc")];
            pairs.extend(top.map(|top| ("$top", top)));
            let (mut path, mut found, mut pages) = (query(&pairs), Vec::new(), Vec::new());
            loop {
                let json = page.get(&path).await.json();
                assert!(json["@odata.context"].is_string() && json["@odata.count"].is_u64());
                pages.push(names(&json).len());
                found.extend(names(&json));
                let Some(link) = json["@odata.nextLink"].as_str() else { break };
                let token = link.strip_prefix(begin).unwrap_or_else(|| panic!("{style}: {link}"));
                assert!(token.len() > 200 && token.contains('%'), "long, encoded: {token}");
                path = format!("{REFERRALS}?$skiptoken={token}");
            }
            assert_eq!(pages, sizes, "{style} {top:?}");
            let many = sizes.iter().sum::<usize>();
            let newest: Vec<String> =
                (0..203).rev().take(many).map(|number| format!("deal {number:03}")).collect();
            assert_eq!(found, newest, "{style} {top:?}: in order, none twice, none missing");
        }
    }
    let broken = page.get(&format!("{REFERRALS}?$skiptoken=broken")).await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn order_choice_and_skip_do_what_they_say() {
    let page = Page::open().await;
    for name in ["a", "b", "c"] {
        page.arrives(json!({ "name": name })).await;
    }
    for (order, expected) in [
        ("createdDateTime", ["a", "b", "c"]),
        ("createdDateTime desc", ["c", "b", "a"]),
        ("updatedDateTime asc", ["a", "b", "c"]),
    ] {
        assert_eq!(names(&page.get(&query(&[("$orderby", order)])).await.json()), expected);
    }
    assert_eq!(page.get(&query(&[("$orderby", "name")])).await.status, 400, "the two times only");
    let chosen = page.get(&query(&[("$select", "name,eTag"), ("$skip", "1"), ("$top", "1")])).await;
    let item = chosen.json()["value"][0].clone();
    let mut keys: Vec<&String> = item.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["eTag", "name"]);
    assert_eq!(item["name"], "b");
    assert_eq!(page.get(&query(&[("$top", "many")])).await.status, 400);
    assert_eq!(page.get(&query(&[("$apply", "x")])).await.status, 400, "not documented");
}

#[tokio::test]
async fn get_finds_by_id_and_what_is_not_there_is_itemnotfound() {
    let page = Page::open().await;
    let lead = json!({ "name": "lead", "type": "Independent", "qualification": "Direct" });
    let id = page.arrives(lead).await;
    let found = page.get(&format!("{REFERRALS}/{id}")).await.json();
    assert!(found["@odata.context"].is_string());
    for unknown in ["77777777-7777-4888-9999-000000000000", "nothing"] {
        let answer = page.get(&format!("{REFERRALS}/{unknown}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("itemNotFound")));
    }
    page.set(json!({ "hide_marketplace_leads": true })).await;
    assert_eq!(page.get(&format!("{REFERRALS}/{id}")).await.status, 404, "unsupported on get");
    assert!(names(&page.get(REFERRALS).await.json()).is_empty(), "and on list");
    page.set(json!({ "lag_reads": 2, "hide_marketplace_leads": false })).await;
    let late = page.arrives(json!({ "name": "late" })).await;
    assert_eq!(names(&page.get(REFERRALS).await.json()), ["lead"], "not listed yet");
    for status in [404, 404, 200] {
        assert_eq!(page.get(&format!("{REFERRALS}/{late}")).await.status, status);
    }
}
