//! Reference 1: token endpoints v1 and v2, audiences, rotation, every refusal, MFA, roles.

use serde_json::{Value as Json, json};

use super::{CENTER_HOST, Page, REFERRALS, REFERRALS_HOST, SLOT, deal, member, text};

async fn redeem(page: &Page, refresh: &str, tenant: &str) -> super::Answer {
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", refresh), ("resource", REFERRALS_HOST)];
    page.form(&format!("/{tenant}/oauth2/token"), &fields).await
}

#[tokio::test]
async fn both_endpoints_answer_in_their_own_way_and_the_old_refresh_token_stays_valid() {
    let page = Page::open().await;
    let first = page.refresh_token().await;
    let v1 = redeem(&page, &first, "common").await.json();
    assert_eq!((&v1["token_type"], &v1["expires_in"]), (&json!("Bearer"), &json!("3600")));
    for name in ["ext_expires_in", "expires_on", "not_before", "resource"] {
        assert!(v1[name].is_string(), "{name} is text: {v1}");
    }
    let second = text(&v1, "refresh_token");
    assert_ne!(first, second, "a replacement with each redemption");
    for refresh in [&first, &second] {
        let scope = format!("{CENTER_HOST}/.default offline_access");
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", &scope)];
        let v2 = page.form("/common/oauth2/v2.0/token", &fields).await.json();
        assert_eq!(v2["expires_in"], 3600, "a number at v2: {v2}");
        assert!(v2["access_token"].is_string() && v2["refresh_token"].is_string(), "{v2}");
        assert!(v2["resource"].is_null() && v2["expires_on"].is_null(), "{v2}");
    }
}

#[expect(clippy::type_complexity, reason = "a table: what is sent, and what it is answered")]
#[tokio::test]
async fn a_request_names_one_resource_one_client_and_our_tenant() {
    let page = Page::open().await;
    let refresh = page.refresh_token().await;
    let both = format!("{REFERRALS_HOST}/.default {CENTER_HOST}/.default");
    let table: &[(&[(&str, &str)], u16, &str, &str)] = &[
        (&[("scope", both.as_str())], 400, "invalid_request", "two resources"),
        (&[("scope", "https://graph.microsoft.com/.default")], 400, "invalid_scope", "not ours"),
        (&[], 400, "invalid_request", "no scope"),
        (
            &[("scope", "https://api.partner.microsoft.com/.default"), ("client_secret", "wrong")],
            401,
            "invalid_client",
            "a wrong secret",
        ),
        (
            &[("scope", "https://api.partner.microsoft.com/.default"), ("client_id", "other")],
            400,
            "unauthorized_client",
            "another application",
        ),
    ];
    for (fields, status, error, why) in table {
        let mut all = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        all.extend(fields.iter().copied());
        let answer = page.form("/common/oauth2/v2.0/token", &all).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["error"]), (*status, &json!(error)), "{why}: {json}");
    }
    let other = "99999999-1111-4222-8333-444444444444";
    let answer = redeem(&page, &refresh, other).await;
    assert_eq!(answer.json()["error_codes"], json!([90002]), "another tenant: {}", answer.text);
    let password = [
        ("grant_type", "password"),
        ("username", "u"),
        ("password", "p"),
        ("resource", REFERRALS_HOST),
    ];
    let answer = page.form("/common/oauth2/token", &password).await;
    assert_eq!(answer.json()["error"], "unsupported_grant_type", "no password grant");
}

/// The codes of 1.3, with the status and the word that go with them.
const CAUSES: &[(&str, u32, u16, &str)] = &[
    ("expired_by_inactivity", 700_082, 400, "invalid_grant"),
    ("expired", 70_008, 400, "invalid_grant"),
    ("revoked", 50_173, 400, "invalid_grant"),
    ("mfa_required", 50_076, 400, "invalid_grant"),
    ("mfa_enrolment_required", 50_079, 400, "invalid_grant"),
    ("consent_missing", 65_001, 400, "invalid_grant"),
    ("blocked_by_conditional_access", 53_003, 400, "invalid_grant"),
    ("secret_wrong", 7_000_215, 401, "invalid_client"),
    ("secret_expired", 7_000_222, 401, "invalid_client"),
];

#[tokio::test]
async fn every_cause_of_a_refusal_has_its_code() {
    let page = Page::open().await;
    let known = page.act("GET", "/partner-center/sign-in", Json::Null).await;
    let names: Vec<&str> = CAUSES.iter().map(|(name, ..)| *name).collect();
    let mut listed: Vec<&str> =
        known["causes"].as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    assert_eq!(listed.len(), names.len());
    listed.retain(|name| !names.contains(name));
    assert!(listed.is_empty(), "causes without a row: {listed:?}");
    for (cause, code, status, error) in CAUSES {
        let refresh = page.refresh_token().await;
        page.act("PUT", "/partner-center/sign-in", json!({ "failure": cause })).await;
        let answer = redeem(&page, &refresh, "common").await;
        let json = answer.json();
        assert_eq!((answer.status, &json["error"]), (*status, &json!(error)), "{cause}: {json}");
        assert_eq!(json["error_codes"], json!([code]), "{cause}");
        let begin = format!("AADSTS{code}:");
        assert!(text(&json, "error_description").starts_with(&begin), "{cause}: {json}");
        for name in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
            assert!(json[name].is_string(), "{cause}: {name}");
        }
        page.act("PUT", "/partner-center/sign-in", json!({ "failure": null })).await;
        assert_eq!(redeem(&page, &refresh, "common").await.status, 200, "{cause}: taken back");
        page.act("POST", "/partner-center/sign-in/revoke", json!({ "failure": cause })).await;
        let dead = redeem(&page, &refresh, "common").await.json();
        assert_eq!(dead["error_codes"], json!([code]), "{cause}: this token is dead");
        let fresh = page.refresh_token().await;
        assert_eq!(redeem(&page, &fresh, "common").await.status, 200, "{cause}: a consent helps");
    }
}

#[tokio::test]
async fn a_refresh_token_dies_after_90_days_without_use() {
    let page = Page::open().await;
    let refresh = page.refresh_token().await;
    page.advance(91 * 86_400).await;
    let answer = redeem(&page, &refresh, "common").await.json();
    assert_eq!(answer["error_codes"], json!([700_082]));
}

#[tokio::test]
async fn each_host_takes_its_own_audience_and_answers_in_its_own_shape() {
    let page = Page::open().await;
    let table = [
        (REFERRALS_HOST, REFERRALS, 200),
        (CENTER_HOST, REFERRALS, 401),
        (CENTER_HOST, "/v1/profiles/mpn", 200),
        (CENTER_HOST, "/v1/auditrecords", 200),
        (REFERRALS_HOST, "/v1/auditrecords", 401),
        (REFERRALS_HOST, SLOT, 401),
    ];
    for (audience, path, status) in table {
        let token = page.token(audience).await;
        let answer = page.call_with(&token, "GET", path, &[], &Json::Null).await;
        assert_eq!(answer.status, status, "{audience} at {path}: {}", answer.text);
        if status == 401 {
            let json = answer.json();
            let by_referrals = json["error"]["code"].is_string();
            let by_center = json["code"].is_string() && json["description"].is_string();
            assert!(if path == REFERRALS { by_referrals } else { by_center }, "{path}: {json}");
        }
    }
    let token = page.token(REFERRALS_HOST).await;
    page.act("POST", "/partner-center/sign-in/forget", Json::Null).await;
    let answer = page.call_with(&token, "GET", REFERRALS, &[], &Json::Null).await;
    assert_eq!(answer.status, 401, "forgotten");
    let token = page.token(REFERRALS_HOST).await;
    page.advance(3600).await;
    let answer = page.call_with(&token, "GET", REFERRALS, &[], &Json::Null).await;
    assert_eq!(answer.status, 401, "expired");
}

#[tokio::test]
async fn without_mfa_it_is_900421_once_enforced() {
    let page = Page::with(json!({ "consent_with_mfa": false })).await;
    let dry = [("validatemfa", "true")];
    let answer = page.call("GET", REFERRALS, &dry, &Json::Null).await;
    assert_eq!((answer.status, answer.header("ismfacompliant")), (200, Some("false")));
    page.set(json!({ "mfa_enforced": true })).await;
    for path in [REFERRALS, "/v1/profiles/mpn"] {
        let answer = page.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.text.contains("900421"), "{path}: {}", answer.text);
    }
    page.set(json!({ "consent_with_mfa": true })).await;
    let answer = page.call("GET", REFERRALS, &dry, &Json::Null).await;
    assert_eq!((answer.status, answer.header("ismfacompliant")), (200, Some("true")));
}

#[tokio::test]
async fn an_application_alone_reaches_webhooks_and_audit_only() {
    let page = Page::open().await;
    let token = async |resource: &str| {
        let fields = [("grant_type", "client_credentials"), ("resource", resource)];
        text(&page.form("/common/oauth2/token", &fields).await.json(), "access_token")
    };
    let center = token(CENTER_HOST).await;
    for (path, status) in [
        ("/webhooks/v1/registration/events", 200),
        ("/v1/auditrecords", 200),
        ("/v1/profiles/mpn", 403),
        ("/v1/applicationmfaadoptionstatus", 403),
    ] {
        let answer = page.call_with(&center, "GET", path, &[], &Json::Null).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.text.contains("900329"), status == 403, "{path}: {}", answer.text);
    }
    let referrals = token(REFERRALS_HOST).await;
    let answer = page.call_with(&referrals, "GET", REFERRALS, &[], &Json::Null).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn each_role_sees_what_the_table_gives_it() {
    let page = Page::open().await;
    let mut ours = deal("private");
    ours["team"] = json!([member("Sam@contoso.example")]);
    let ours = text(&page.made(&ours).await, "id");
    let mut branch = deal("private");
    branch["mpnId"] = json!("7000001");
    let branch = text(&page.made(&branch).await, "id");
    let lead = json!({
        "type": "Independent", "qualification": "SalesQualified",
        "team": [member("sam@contoso.example")],
    });
    let lead = page.arrives(lead).await;
    let user = json!({ "referrals_user": { "email": "sam@contoso.example" } });
    let branch_admin = json!({ "location_admin": { "locations": ["7000001"] } });
    let table = [
        (json!("referrals_admin"), vec![&ours, &branch, &lead], "everything"),
        (user, vec![&ours], "where the user is in the team, and no leads"),
        (branch_admin, vec![&branch], "the deals of the location, and no leads"),
    ];
    for (role, expected, why) in table {
        page.set(json!({ "role": role })).await;
        let list = page.get(REFERRALS).await.json();
        let found: Vec<String> =
            list["value"].as_array().expect("a list").iter().map(|one| text(one, "id")).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{role}: {why}");
        for id in [&ours, &branch, &lead] {
            let status = if expected.contains(&id) { 200 } else { 404 };
            let answer = page.get(&format!("{REFERRALS}/{id}")).await;
            assert_eq!(answer.status, status, "{role}: {id}: {why}");
        }
    }
    assert_eq!(page.post(&deal("private")).await.status, 403, "created in assigned locations only");
    page.set(json!({ "invisible_is_forbidden": true })).await;
    assert_eq!(page.get(&format!("{REFERRALS}/{ours}")).await.status, 403, "the other reading");
    page.set(json!({ "role": "profile_admin" })).await;
    let answer = page.get(REFERRALS).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("accessDenied")));
}

#[tokio::test]
async fn a_device_code_waits_for_its_user() {
    let page = Page::with(json!({ "device_approved_after_polls": null })).await;
    let scope = format!("{REFERRALS_HOST}/.default offline_access");
    let started = page.form("/common/oauth2/v2.0/devicecode", &[("scope", &scope)]).await.json();
    let code = text(&started, "device_code");
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code.as_str()),
    ];
    let early = page.form("/common/oauth2/v2.0/token", &fields).await.json();
    assert_eq!(early["error"], "authorization_pending");
    let user_code = json!({ "user_code": started["user_code"] });
    page.act("POST", "/partner-center/sign-in/device", user_code).await;
    let done = page.form("/common/oauth2/v2.0/token", &fields).await.json();
    assert!(done["refresh_token"].is_string(), "{done}");
    let unknown = json!({ "user_code": "00000000" });
    let answer = page.control("POST", "/partner-center/sign-in/device", &unknown).await;
    assert_eq!(answer.status, 404);
}
