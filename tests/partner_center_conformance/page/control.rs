//! The control interface of `sandbox`: each line of its guide is a call that exists.

use serde_json::{Value as Json, json};

use super::{Page, deal, text};

/// The calls that the guide lists: method and path.
async fn listed(page: &Page) -> Vec<(String, String)> {
    let guide = page.control("GET", "/", &Json::Null).await.text;
    guide
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let method = words.next()?;
            let known = matches!(method, "GET" | "POST" | "PUT" | "PATCH" | "DELETE");
            known.then(|| Some((method.to_owned(), words.next()?.to_owned())))?
        })
        .collect()
}

/// The sentence of a problem document.
fn detail(text: &str) -> String {
    let problem: Json = serde_json::from_str(text).expect("a problem document");
    problem["detail"].as_str().expect("a sentence").to_owned()
}

#[tokio::test]
async fn every_line_of_the_guide_is_a_call() {
    let page = Page::open().await;
    let calls = listed(&page).await;
    assert!(calls.len() > 30, "{calls:?}");
    for (method, path) in &calls {
        let (table, rest) = path.split_at(path.find("/TABLE").unwrap_or(path.len()));
        let name = if table == "/salesforce" { "/Opportunity" } else { "/opportunity" };
        let path = format!("{table}{}", rest.replace("/TABLE", name));
        let path = path.replace("/ID", "/nobody").replace("SYSTEM", "partner-center");
        // A body that no call can do anything with: what is asked for exists, and says so.
        let body = if method == "GET" { Json::Null } else { json!("nothing") };
        let answer = page.control(method, &path, &body).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        let unknown_route =
            answer.status == 404 && answer.text.is_empty() && !path.contains("nobody");
        let slot_is_empty = path == "/partner-center/slot";
        assert!(!unknown_route || slot_is_empty, "{method} {path}: {answer:?}");
    }
    let unlisted = page.control("GET", "/partner-center/nothing", &Json::Null).await;
    assert_eq!(unlisted.status, 404);
}

#[tokio::test]
async fn people_on_both_sides_edit_and_the_end_is_the_end_for_one_of_them() {
    let page = Page::open().await;
    let own = json!({ "name": "Fabrikam analytics" });
    let id = text(&page.act("POST", "/partner-center/deals", own).await, "id");
    let stored = page.stored(&id).await;
    assert_eq!(
        stored["inviteContext"]["invitedBy"]["organizationId"],
        page.option("organization_id")
    );
    assert_eq!(
        (&stored["status"], &stored["name"]),
        (&json!("Active"), &json!("Fabrikam analytics"))
    );
    let deal_path = format!("/partner-center/deals/{id}");
    page.act("PATCH", &deal_path, json!({ "details": { "notes": "a colleague" } })).await;
    let referral_path = format!("/partner-center/referrals/{id}");
    page.act("PATCH", &referral_path, json!({ "status": "Closed", "substatus": "Won" })).await;
    let late = page.control("PATCH", &deal_path, &json!({ "name": "x" })).await;
    assert_eq!((late.status, detail(&late.text).as_str()), (409, "the referral is closed"));
    page.act("PATCH", &referral_path, json!({ "quality": "High" })).await;
    let stored = page.stored(&id).await;
    assert_eq!(
        (&stored["details"]["notes"], &stored["quality"]),
        (&json!("a colleague"), &json!("High"))
    );
    for (method, path) in
        [("GET", "/partner-center/referrals/nobody"), ("PATCH", "/partner-center/deals/nobody")]
    {
        assert_eq!(page.control(method, path, &json!({})).await.status, 404, "{method} {path}");
    }
    let incoming = page.stored(&page.arrives(json!({})).await).await;
    assert_eq!(incoming["inviteContext"]["invitedBy"]["organizationId"], "msft");
}

#[tokio::test]
async fn every_setting_and_every_call_is_told_to_users() {
    let page = Page::open().await;
    let told = include_str!("../../../docs/sandbox.md");
    let names: Vec<&String> = page.options.as_object().expect("an object").keys().collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(told.contains(&format!("`{name}`")), "docs/sandbox.md does not tell {name}");
    }
    let calls = listed(&page).await;
    for line in told.lines().filter_map(|line| line.split_once("`say ")) {
        let mut words = line.1.split_whitespace();
        let call = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = call.1.trim_matches('`').replace("/faults/partner-center", "/faults/SYSTEM");
        let known = calls.iter().any(|(method, listed)| method == call.0 && *listed == path);
        assert!(known, "docs/sandbox.md names {call:?}, which the guide does not list");
    }
}

#[tokio::test]
async fn settings_are_changed_by_name_and_a_wrong_one_changes_nothing() {
    let page = Page::open().await;
    let before = page.act("GET", "/partner-center/options", Json::Null).await;
    for (wrong, why) in [
        (json!({ "page_sise": 5 }), "no such setting"),
        (json!({ "page_size": "many" }), "not a number"),
        (json!({ "next_link": "left" }), "no such style"),
        (json!({ "page_size": 5, "next_link": "left" }), "half of it"),
        (json!([]), "no object"),
    ] {
        let answer = page.control("PATCH", "/partner-center/options", &wrong).await;
        assert_eq!(answer.status, 422, "{why}");
        let detail = detail(&answer.text);
        assert!(detail.starts_with("the settings are not valid: "), "{why}: {detail}");
    }
    assert_eq!(page.act("GET", "/partner-center/options", Json::Null).await, before);
    page.set(json!({ "page_size": 2, "next_link": "right" })).await;
    let mut expected = before;
    expected["page_size"] = json!(2);
    expected["next_link"] = json!("right");
    assert_eq!(page.act("GET", "/partner-center/options", Json::Null).await, expected);
    for _ in 0..3 {
        page.made(&deal("private")).await;
    }
    let list = page.get(super::REFERRALS).await.json();
    assert_eq!(list["value"].as_array().map(Vec::len), Some(2), "at once");
}

#[tokio::test]
async fn bodies_that_are_not_understood_are_refused() {
    let page = Page::open().await;
    for (method, path, body) in [
        ("PUT", "/partner-center/sign-in", json!({ "failure": "boredom" })),
        ("PUT", "/partner-center/sign-in", json!({ "cause": "revoked" })),
        ("POST", "/partner-center/sign-in/revoke", json!({ "failure": "boredom" })),
        ("POST", "/partner-center/sign-in/device", json!({})),
        ("POST", "/partner-center/throttle", json!({ "path": "/" })),
        ("POST", "/partner-center/engagements/x/answer", json!({ "answer": "perhaps" })),
        ("POST", "/partner-center/referrals/x/registration", json!({ "state": "Approved" })),
        ("POST", "/faults/partner-center", json!({ "effect": "boom" })),
    ] {
        let answer = page.control(method, path, &body).await;
        assert_eq!(answer.status, 422, "{method} {path} {body}: {}", answer.text);
    }
    let nowhere = json!({
        "method": null, "path": "", "skip": 0, "times": 1, "effect": { "do": "drop" },
    });
    assert_eq!(page.control("POST", "/faults/mainframe", &nowhere).await.status, 404);
}
