//! Reference 2.2, 2.7, 3.1 and 6: throttling, outages, pages instead of JSON, unknown words, odd
//! timestamps, and the headers of every answer.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Page, REFERRALS, deal, text};

#[tokio::test]
async fn throttling_has_the_gateways_body_and_does_not_land() {
    let page = Page::open().await;
    let order = json!({ "path": "/referrals", "times": 2, "wait_secs": 57 });
    page.act("POST", "/partner-center/throttle", order).await;
    for _ in 0..2 {
        let answer = page.post(&deal("private")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("57")));
        let message = "Rate limit is exceeded. Try again in 57 seconds.";
        assert_eq!(answer.json(), json!({ "statusCode": 429, "message": message }));
    }
    let all = page.act("GET", "/partner-center/referrals", Json::Null).await;
    assert_eq!(all, json!([]));
    assert_eq!(page.post(&deal("private")).await.status, 200);
}

#[tokio::test]
async fn any_status_can_be_had_with_any_body_and_wait() {
    let page = Page::open().await;
    // Every status that 2.7 and 6 list.
    let statuses = [
        400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415, 416, 422, 423, 429, 500,
        501, 502, 503, 504, 507, 509,
    ];
    for status in statuses {
        for (kind, body, wait) in [
            ("text/html", "<html>down</html>", Some("30")),
            ("application/json", "{\"error\":{\"code\":\"new\",\"message\":\"m\"}}", None),
            ("text/plain", "", None),
        ] {
            let fault = json!({
                "method": "GET", "path": "/referrals", "skip": 0, "times": 1,
                "effect": {
                    "do": "answer", "status": status, "retry_after": wait, "content_type": kind,
                    "body": body,
                },
            });
            page.act("POST", "/faults/partner-center", fault).await;
            let answer = page.get(REFERRALS).await;
            let seen = (answer.status, answer.header("retry-after"), answer.text.as_str());
            assert_eq!(seen, (status, wait, body));
            assert_eq!(answer.header("content-type"), Some(kind));
        }
    }
    assert_eq!(page.get(REFERRALS).await.status, 200, "and it is over");
}

#[tokio::test]
async fn a_write_can_land_unheard_and_a_call_can_never_arrive() {
    let page = Page::open().await;
    let token = page.token(super::REFERRALS_HOST).await;
    let post = || {
        let url = format!("{}{REFERRALS}", page.partner);
        page.http.post(url).bearer_auth(&token).json(&deal("private")).send()
    };
    for (effect, landed) in [("apply_then_drop", 1), ("drop", 1)] {
        let fault = json!({
            "method": "POST", "path": "/referrals", "skip": 0, "times": 1,
            "effect": { "do": effect },
        });
        page.act("POST", "/faults/partner-center", fault).await;
        assert!(post().await.is_err(), "{effect}: the connection was closed");
        let all = page.act("GET", "/partner-center/referrals", Json::Null).await;
        assert_eq!(all.as_array().map(Vec::len), Some(landed), "{effect}");
    }
    let log = page.act("GET", "/partner-center/requests", Json::Null).await;
    let posts: Vec<&Json> = log
        .as_array()
        .expect("a list")
        .iter()
        .filter(|one| one["method"] == "POST" && one["path"] == REFERRALS)
        .collect();
    let landed: Vec<&Json> = posts.iter().map(|one| &one["landed"]).collect();
    assert_eq!(landed, [&json!(true), &json!(false)], "{posts:?}");
    let waiting = json!({
        "method": null, "path": "", "skip": 0, "times": 9, "effect": { "do": "drop" },
    });
    page.act("POST", "/faults/partner-center", waiting).await;
    page.act("DELETE", "/faults/partner-center", Json::Null).await;
    assert_eq!(page.get(REFERRALS).await.status, 200, "forgotten");
}

#[tokio::test]
async fn errors_can_be_pages_and_answers_hold_what_nobody_knows() {
    let page = Page::with(json!({ "html_errors": true, "surprises": true })).await;
    let missing = page.get(&format!("{REFERRALS}/nothing")).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text.starts_with("<html>"), "{}", missing.text);
    assert_eq!(missing.header("content-type"), Some("text/html; charset=utf-8"));
    let id = page.arrives(json!({ "customerProfile": { "ids": [] } })).await;
    let read = page.get(&format!("{REFERRALS}/{id}")).await.json();
    assert_eq!(read["quality"], "Platinum", "a word of no list");
    assert!(read["futureProgram"].is_array(), "a field of no list");
    assert!(read["details"]["requirements"].get("offers").is_none(), "absent in some records");
    assert_eq!(read["customerProfile"]["ids"], json!({}), "as in an old sample");
}

#[tokio::test]
async fn fractions_of_a_second_have_every_length() {
    let page = Page::open().await;
    let fraction =
        |stamp: &str| stamp.split_once('.').map_or(0, |(_, rest)| rest.trim_end_matches('Z').len());
    for digits in 0..=9 {
        page.set(json!({ "fraction": { "fixed": digits } })).await;
        let stamp = text(&page.stored(&page.arrives(json!({})).await).await, "updatedDateTime");
        assert!(stamp.ends_with('Z'), "{stamp}");
        assert_eq!(fraction(&stamp), digits, "{stamp}");
    }
    page.set(json!({ "fraction": "varied" })).await;
    let mut lengths = BTreeSet::new();
    for _ in 0..25 {
        let stamp = text(&page.stored(&page.arrives(json!({})).await).await, "updatedDateTime");
        lengths.insert(fraction(&stamp));
    }
    assert!(lengths.contains(&6) && lengths.contains(&7), "{lengths:?}");
}

#[tokio::test]
async fn every_answer_can_be_found_again_by_support() {
    let page = Page::open().await;
    let sent =
        [("client-request-id", "mine"), ("ms-correlationid", "ours"), ("ms-requestid", "this")];
    let answer = page.call("GET", REFERRALS, &sent, &Json::Null).await;
    assert_eq!(answer.header("client-request-id"), Some("mine"));
    assert!(answer.header("request-id").is_some() && answer.header("date").is_some());
    let refused = page.call("GET", &format!("{REFERRALS}/nothing"), &sent, &Json::Null).await;
    assert!(refused.header("request-id").is_some(), "refusals too");
    let other = page.call("GET", "/v1/profiles/mpn", &sent, &Json::Null).await;
    assert_eq!(other.header("ms-correlationid"), Some("ours"));
    assert_eq!(other.header("ms-requestid"), Some("this"));
}
