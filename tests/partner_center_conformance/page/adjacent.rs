//! Reference 1.6, 5.6 and 7.2: audit records, PartnerIDs, MFA adoption.

use serde_json::{Value as Json, json};

use super::{Page, deal, invitation, replace, text};

#[tokio::test]
async fn audit_records_tell_every_write_for_90_days_in_pages() {
    let page = Page::open().await;
    let own = page.made(&deal("co-sell")).await;
    page.patch(&text(&own, "id"), json!([replace("/details/notes", json!("x"))])).await;
    page.made(&invitation(&own)).await;
    let path = format!("/partner-center/engagements/{}/answer", text(&own, "engagementId"));
    page.act("POST", &path, json!({ "answer": "accept" })).await;
    let (mut path, mut headers, mut found) =
        ("/v1/auditrecords?size=3".to_owned(), None::<(String, String)>, Vec::new());
    loop {
        let sent: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let json = page.call("GET", &path, &sent, &Json::Null).await.json();
        for item in json["items"].as_array().expect("a list") {
            assert_eq!(item["resourceType"], "referral");
            found.push(text(item, "operationType"));
        }
        let next = &json["links"]["next"];
        let Some(uri) = next["uri"].as_str() else { break };
        path = format!("/v1{uri}");
        let header = &next["headers"][0];
        headers = Some((text(header, "key").to_ascii_lowercase(), text(header, "value")));
    }
    let expected = [
        "create_referral",
        "update_referral",
        "create_related_referral",
        "update_related_referral",
    ];
    assert_eq!(found, expected);
    let old = page.get("/v1/auditrecords?startDate=2020-01-01").await;
    assert_eq!(old.status, 400, "older than 90 days");
    for name in ["code", "description", "source"] {
        assert!(old.json()[name].is_string(), "the shape of this host: {}", old.text);
    }
    assert_eq!(page.get("/v1/auditrecords?startDate=soon").await.status, 400);
}

#[tokio::test]
async fn a_partner_id_is_looked_up_and_an_unknown_one_has_a_number_for_a_code() {
    let page = Page::open().await;
    for (query, name) in
        [("", "Contoso"), ("?mpnId=1234567", "Contoso"), ("?mpnId=7654321", "Fabrikam")]
    {
        let found = page.get(&format!("/v1/profiles/mpn{query}")).await.json();
        assert_eq!(found["partnerName"], name, "{query}");
        assert_eq!(found["profileType"], "MpnProfile");
    }
    let none = page.get("/v1/profiles/mpn?mpnId=1").await;
    assert_eq!(none.status, 404);
    let json = none.json();
    assert_eq!((&json["code"], &json["source"]), (&json!(3000), &json!("PartnerFD")));
    assert_eq!(json["data"], json!([]));
}

#[tokio::test]
async fn mfa_adoption_counts_the_calls_of_users() {
    let page = Page::with(json!({ "consent_with_mfa": false })).await;
    page.get("/v1/profiles/mpn").await;
    page.set(json!({ "consent_with_mfa": true })).await;
    let seen = page.get("/v1/applicationmfaadoptionstatus").await.json();
    assert_eq!(seen[0]["totalRequestCount"], 2, "{seen}");
    assert_eq!(seen[0]["mfaCompliantRequestCount"], 1, "{seen}");
    assert_eq!(seen[0]["applicationId"], page.option("client_id"));
}
