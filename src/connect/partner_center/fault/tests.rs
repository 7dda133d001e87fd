use std::sync::Arc;

use url::Url;

use super::{is_stale_token, sort};
use crate::connect::error::ConnectError;
use crate::connect::http::{Call, Http, HttpSettings, Purpose};
use crate::connect::partner_center::sandbox::{Options, PartnerCenterSandbox};
use crate::connect::partner_center::testing::HandClock;
use crate::connect::sandbox::{Fault, FaultEffect, SandboxClock};

/// Purpose, status, `Retry-After`, body, expected class, reason.
type Row<'a> = (Purpose, u16, Option<&'a str>, String, &'a str, &'a str);

/// The name of the variant.
fn class(error: &ConnectError) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_error_shape_lands_in_the_class_the_worker_expects() {
    use Purpose::{Read, Write};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = Arc::new(HandClock::at("2026-09-01T10:00:00Z"));
    let http = Http::new(&HttpSettings::default(), clock).expect("a client");
    let sandbox = PartnerCenterSandbox::new(Options::default(), SandboxClock::running());
    let faults = sandbox.faults();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let serving = sandbox.serve(listen).await.expect("serving");

    let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
    let inner = |outer: &str, inner: &str, name: &str| {
        format!(
            r#"{{"error":{{"code":"{outer}","message":"m","{name}":{{"code":"{inner}","message":"n"}}}}}}"#
        )
    };
    let center = |code: &str| {
        format!(r#"{{"code":{code},"description":"d","data":[],"source":"PartnerFD"}}"#)
    };
    let gateway =
        r#"{"statusCode":429,"message":"Rate limit is exceeded. Try again in 57 seconds."}"#;
    let html = "<html><body>Service Unavailable</body></html>";
    let seven = Some("7");
    let table: Vec<Row> = vec![
        (Read, 400, None, error("invalidRequest"), "Rejected", "the same bytes fail again"),
        (Read, 401, None, error("unauthenticated"), "Unauthorized", "documented code"),
        (Read, 401, None, error("unAuthorized"), "Unauthorized", "the sample's own spelling"),
        (Read, 401, None, String::new(), "Unauthorized", "the gateway's empty body"),
        (Write, 401, None, center("900421"), "Unauthorized", "MFA, a number"),
        (Write, 401, None, center("\"900421\""), "Unauthorized", "MFA, text"),
        (Read, 403, None, center("900329"), "Unauthorized", "application alone"),
        (Read, 403, None, center("900309"), "Unauthorized", "Conditional Access"),
        (Read, 403, None, error("insufficent_claims"), "Unauthorized", "as the docs spell it"),
        (Read, 403, None, center("900308"), "Rejected", "this resource only"),
        (Write, 403, None, error("accessDenied"), "Rejected", "this record only"),
        (Read, 403, None, html.into(), "Rejected", "no code: by status"),
        (Read, 404, None, error("itemNotFound"), "NotFound", "gone or invisible"),
        (Read, 404, None, center("3000"), "NotFound", "a PartnerID, code as a number"),
        (Read, 410, None, String::new(), "NotFound", "gone"),
        (Write, 409, None, error("generalException"), "Rejected", "by status"),
        (Write, 412, None, error("preconditionFailed"), "Stale", "edited in between"),
        (Write, 412, None, error("resourceModified"), "Stale", "its other code"),
        (Write, 412, None, String::new(), "Stale", "no body"),
        (
            Write,
            400,
            None,
            inner("invalidRequest", "resourceModified", "innerError"),
            "Stale",
            "deepest",
        ),
        (
            Write,
            400,
            None,
            inner("invalidRequest", "resourceModified", "innererror"),
            "Stale",
            "other case",
        ),
        (
            Write,
            400,
            None,
            inner("invalidRequest", "newCode", "innerError"),
            "Rejected",
            "deepest known",
        ),
        (Write, 422, None, error("somethingNew"), "Rejected", "unknown code: by status"),
        (Write, 423, None, String::new(), "Unavailable", "a lock; nothing changed"),
        (Read, 429, seven, gateway.into(), "Throttled", "the gateway's shape"),
        (Write, 429, None, gateway.into(), "Throttled", "no wait named"),
        (Write, 509, None, String::new(), "Throttled", "a spent quota"),
        (Write, 503, seven, html.into(), "Throttled", "they named a time"),
        (Read, 503, None, html.into(), "Unavailable", "HTML"),
        (Write, 503, None, error("serviceNotAvailable"), "Unknown", "may have landed"),
        (Read, 500, None, error("generalException"), "Unavailable", "nothing changed"),
        (Write, 500, None, error("generalException"), "Unknown", "may have landed"),
        (Write, 504, None, html.into(), "Unknown", "may have landed"),
        (Write, 408, None, String::new(), "Unknown", "may have landed"),
        (Read, 302, None, String::new(), "Broken", "redirects are not followed"),
    ];
    for (purpose, status, retry_after, body, expected, why) in table {
        let retry_after = retry_after.map(str::to_owned);
        let content_type = "application/json".to_owned();
        faults.add(Fault::once(
            "GET",
            "",
            FaultEffect::Answer { status, retry_after, content_type, body },
        ));
        let url = Url::parse(&serving.url()).expect("a url");
        let answer = http.send(Call::read("GET", url)).await.expect("an answer");
        let sorted = sort(&answer, purpose, http.clock().now());
        assert_eq!(class(&sorted), expected, "{status} {purpose:?}: {why}: {sorted}");
        assert!(!sorted.to_string().contains("<html"), "{why}: no page in a message");
        let mfa = sorted.to_string().contains("multi-factor");
        assert_eq!(is_stale_token(&answer), status == 401 && !mfa, "{why}");
    }
}
