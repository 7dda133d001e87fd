use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::Value;
use tower::ServiceExt;

use super::{Sandbox, router};
use crate::sandbox::Addresses;

/// Nothing that is misspelt is taken in silence: it would look as if the daemon did nothing.
#[tokio::test]
async fn what_is_misspelt_is_refused_with_a_problem_document() {
    let sandbox = Arc::new(Sandbox::start(Addresses::free()).await.expect("it starts"));
    let id = sandbox.partner_center.seed_incoming(serde_json::json!({}));
    let referral = format!("/partner-center/referrals/{id}");
    let fault = r#"{"method": null, "path": "", "skip": 0, "times": 1, "effect": {"do": "drop"}}"#;
    let (referrals, faults) = ("/partner-center/referrals", "/faults/salesforce");
    let table = [
        ("POST", "/clock", r#"{"advance_secs": 1}"#, 200, "", "right"),
        ("POST", "/clock", r#"{"advance_sec": 1}"#, 422, "advance_secs", "a misspelt field"),
        ("POST", "/clock", "{}", 422, "advance_secs", "by how much?"),
        ("POST", "/clock", "{", 400, "", "no JSON"),
        ("POST", referrals, r#"{"name": "Fabrikam"}"#, 200, "", "right"),
        ("POST", referrals, r#"{"nmae": "Fabrikam"}"#, 422, "`nmae`", "a misspelt field"),
        ("POST", referrals, "[]", 422, "", "no object"),
        ("PATCH", &referral, r#"{"details": {"dealValue": 7}}"#, 204, "", "right"),
        ("PATCH", &referral, r#"{"details": {"dealValu": 7}}"#, 422, "details.dealValu", "below"),
        ("PATCH", "/partner-center/referrals/none", "{}", 404, "no such referral", "which one?"),
        ("POST", faults, fault, 204, "", "right"),
        ("POST", faults, &fault.replace("times", "time"), 422, "times", "a misspelt field"),
        (
            "POST",
            faults,
            &fault.replace("drop\"", "delay\", \"millis\": 1, \"x\": 1"),
            422,
            "x",
            "one too many",
        ),
        ("POST", "/faults/sap", fault, 404, "salesforce", "which system?"),
        ("POST", "/salesforce/Account", r#"{"Nmae": "Fabrikam"}"#, 422, "Nmae", "no such field"),
        ("PATCH", "/salesforce/Account/001000000000001AAA", "{}", 404, "", "no such row"),
        ("GET", "/dynamics365/account/none", "", 404, "", "no such row"),
        ("POST", "/clocks", "{}", 404, "no such call", "no such call"),
    ];
    for (method, path, body, status, told, why) in table {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let answer = router(Arc::clone(&sandbox)).oneshot(request).await.expect("an answer");
        let given = answer.status().as_u16();
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(given, status, "{method} {path} {body}: {why}: {text}");
        if status >= 400 {
            assert_eq!(kind.expect("a type"), "application/problem+json", "{why}");
            let problem: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(problem["status"], status, "{why}");
            assert!(
                problem["detail"].as_str().is_some_and(|it| it.contains(told)),
                "{why}: {text}"
            );
        }
    }
}
