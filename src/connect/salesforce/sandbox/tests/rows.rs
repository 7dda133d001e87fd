//! Checklist 3, 4 and 5: ids, stamps, rows, field rules, derived values.

use serde_json::{Value, json};

use super::{deal, site, site_with, with};
use crate::connect::salesforce::sandbox::{DuplicateRule, SandboxOptions};

#[tokio::test]
async fn a_row_lives_and_dies() {
    let site = site().await;
    let made = site.call("POST", "/sobjects/Opportunity/", deal("  Contoso deal \n")).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert!(made.header("location").ends_with(&id));
    let path = format!("/sobjects/Opportunity/{id}");
    let read = site.get(&path).await;
    assert_eq!(read.body["Name"], "Contoso deal", "trimmed");
    assert_eq!(read.body["SystemModstamp"], "2026-09-01T10:00:30.000+0000", "whole seconds");
    assert_eq!(read.header("last-modified"), "Tue, 01 Sep 2026 10:00:30 GMT");
    assert_eq!(read.body["attributes"]["url"], format!("/services/data/v66.0{path}").as_str());
    let short = site.get(&format!("/sobjects/Opportunity/{}?fields=Name", &id[..15])).await;
    assert_eq!(short.body["Id"], id.as_str(), "15 characters in, 18 out");
    assert_eq!(short.body.as_object().map(serde_json::Map::len), Some(3));
    let patched = site.call("PATCH", &path, json!({ "Amount": 1000, "NextStep": "" })).await;
    assert_eq!((patched.status, patched.body), (204, Value::Null));
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!((&row["Amount"], &row["NextStep"]), (&json!(1000.0), &Value::Null));
    assert_eq!(site.call("DELETE", &path, Value::Null).await.status, 204);
    let gone = site.get(&path).await;
    assert_eq!((gone.status, gone.code()), (404, "ENTITY_IS_DELETED"));
    let bare = site.call("PATCH", "/sobjects/Opportunity", json!({})).await;
    assert_eq!((bare.status, bare.code()), (405, "METHOD_NOT_ALLOWED"));
    let other = "/sobjects/Opportunity?_HttpMethod=PATCH";
    assert_eq!(site.call("POST", other, json!({})).await.status, 405, "a PATCH in disguise");
}

#[tokio::test]
async fn bad_values_are_refused_with_their_code() {
    let site = site().await;
    let account = site.sandbox.seed_account(&json!({ "Name": "Contoso" })).unwrap();
    let long = "x".repeat(121);
    let table = [
        (json!({ "Name": null }), "REQUIRED_FIELD_MISSING", "required"),
        (json!({ "Name": long }), "STRING_TOO_LONG", "121 of 120 characters"),
        (json!({ "StageName": "Dreaming" }), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "no stage"),
        (json!({ "IsClosed": true }), "INVALID_FIELD_FOR_INSERT_UPDATE", "derived"),
        (json!({ "Nonsense__c": 1 }), "INVALID_FIELD", "no such field"),
        (json!({ "CurrencyIsoCode": "EUR" }), "INVALID_FIELD", "one currency only"),
        (json!({ "CloseDate": "2026-02-30" }), "JSON_PARSER_ERROR", "no such day"),
        (json!({ "Amount": "many" }), "JSON_PARSER_ERROR", "no number"),
        (
            json!({ "Amount": 1e17 }),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "18 digits, two of them decimals",
        ),
        (json!({ "AccountId": "nonsense" }), "MALFORMED_ID", "no id"),
        (json!({ "AccountId": site.sandbox.seller() }), "FIELD_INTEGRITY_EXCEPTION", "a user"),
        (json!({ "AccountId": "001000000000001AAA" }), "INVALID_CROSS_REFERENCE_KEY", "no row"),
        (json!({ "Sync_With_Partner_Center__c": null }), "INVALID_TYPE_ON_FIELD_IN_RECORD", "null"),
    ];
    for (more, code, why) in table {
        let reply = site.call("POST", "/sobjects/Opportunity", with(deal("Deal"), more)).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{why}: {}", reply.body);
    }
    let good = json!({ "AccountId": &account[..15], "StageName": "closed won" });
    let made = site.call("POST", "/sobjects/Opportunity", with(deal("Deal"), good)).await;
    let row = site.sandbox.row("Opportunity", made.body["id"].as_str().unwrap()).unwrap();
    assert_eq!(row["AccountId"], account.as_str());
    assert_eq!(row["StageName"], "Closed Won", "values are stored as defined");
    let lead = json!({ "LastName": "Seller", "Company": "Fabrikam", "Email": "a b@c" });
    assert_eq!(site.call("POST", "/sobjects/Lead", lead).await.code(), "INVALID_EMAIL_ADDRESS");
    let url = format!("/sobjects/Opportunity/{}", made.body["id"].as_str().unwrap());
    let with_id = site.call("PATCH", &url, json!({ "Id": "006" })).await;
    assert_eq!(with_id.code(), "INVALID_FIELD_FOR_INSERT_UPDATE");
    let broken =
        site.http.post(format!("{}/services/data/v66.0/sobjects/Lead", site.serving.url()));
    let broken = broken.bearer_auth(&site.session).header("content-type", "application/json");
    let broken = broken.body("{").send().await.unwrap();
    assert!(broken.text().await.unwrap().contains("JSON_PARSER_ERROR"));
    let form = site.http.post(format!("{}/services/data/v66.0/sobjects/Lead", site.serving.url()));
    let form = form.bearer_auth(&site.session).body("x=1").send().await.unwrap();
    assert_eq!(form.status().as_u16(), 415);
}

#[tokio::test]
async fn an_upsert_creates_updates_or_points_at_several() {
    let options = SandboxOptions { unique_referral: false, ..Default::default() };
    let site = site_with(options).await;
    let path = "/sobjects/Opportunity/Referral_Identifier__c/ref-1";
    let made = site.call("PATCH", path, deal("One")).await;
    assert_eq!((made.status, &made.body["created"]), (201, &json!(true)));
    let again = site.call("PATCH", path, json!({ "Amount": 5 })).await;
    assert_eq!((again.status, &again.body["created"]), (200, &json!(false)));
    let old = format!("/services/data/v45.0{path}");
    assert_eq!(site.raw("PATCH", &old, json!({ "Amount": 6 }), &[]).await.status, 204, "up to v45");
    assert_eq!(site.get(path).await.body["Amount"], json!(6.0));
    let key = json!({ "Referral_Identifier__c": "ref-1" });
    site.sandbox.create_as_person("Opportunity", &with(deal("Two"), key.clone())).unwrap();
    let several = site.call("PATCH", path, json!({ "Amount": 7 })).await;
    assert_eq!((several.status, several.body.as_array().map(Vec::len)), (300, Some(2)));
    let absent = "/sobjects/Opportunity/Referral_Identifier__c/ref-9";
    assert_eq!(site.get(absent).await.status, 404);
    let only = site.call("PATCH", &format!("{absent}?updateOnly=true"), deal("X")).await;
    assert_eq!(only.status, 404);
    let no_key = site.call("PATCH", "/sobjects/Opportunity/NextStep/x", deal("X")).await;
    assert_eq!((no_key.status, no_key.code()), (404, "NOT_FOUND"), "not an external id");
    assert_eq!(
        site.call("PATCH", absent, with(deal("X"), key)).await.status,
        400,
        "key in the body"
    );
}

#[tokio::test]
async fn a_unique_key_refuses_a_second_row() {
    let site = site().await;
    let key = json!({ "Referral_Identifier__c": "ref-1" });
    let first = site.sandbox.create_as_person("Opportunity", &with(deal("One"), key)).unwrap();
    let key = json!({ "Referral_Identifier__c": "REF-1" });
    let reply = site.call("POST", "/sobjects/Opportunity", with(deal("Two"), key)).await;
    assert_eq!((reply.status, reply.code()), (400, "DUPLICATE_VALUE"));
    assert!(reply.body[0]["message"].as_str().unwrap().contains(&first[..15]));
}

#[tokio::test]
async fn a_describe_tells_what_a_start_checks() {
    let site = site_with(SandboxOptions::with_package()).await;
    let reply = site.get("/sobjects/Opportunity/describe").await;
    let field = |name: &str| {
        let fields = reply.body["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).cloned().unwrap_or_default()
    };
    let key = field("Microsoft__Referral_Identifier__c");
    assert_eq!((&key["type"], &key["length"]), (&json!("string"), &json!(100)));
    assert_eq!((&key["externalId"], &key["unique"]), (&json!(true), &json!(true)));
    let audit = field("Microsoft__Sync_Audit__c");
    assert_eq!((&audit["type"], &audit["length"]), (&json!("textarea"), &json!(100_000)));
    assert_eq!(audit["filterable"], false);
    let help = field("Microsoft__How_can_Microsoft_help__c");
    assert_eq!(help["picklistValues"].as_array().map(Vec::len), Some(6));
    assert_eq!(field("IsWon")["updateable"], false);
    assert_eq!(field("CurrencyIsoCode"), Value::Null, "single currency");
    let global = site.get("/sobjects").await;
    assert_eq!(global.body["maxBatchSize"], 200);
    let empty = site_with(SandboxOptions::empty_org()).await;
    let reply = empty.get("/sobjects/Opportunity/describe").await;
    assert!(!reply.body.to_string().contains("__c"), "nobody has prepared this one");
    empty.sandbox.install_fields("");
    let reply = empty.get("/sobjects/Lead/describe").await;
    assert!(reply.body.to_string().contains("Sync_Token__c"));
}

#[tokio::test]
async fn the_stage_drives_what_is_derived() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let table = [
        (json!({ "StageName": "Closed Won" }), true, true, 100.0, "Closed", "a won stage"),
        (json!({ "StageName": "Closed Lost" }), true, false, 0.0, "Omitted", "a lost stage"),
        (
            json!({ "StageName": "Value Proposition", "Probability": 33 }),
            false,
            false,
            33.0,
            "Pipeline",
            "probability sent along",
        ),
        (json!({ "Amount": 200 }), false, false, 33.0, "Pipeline", "stage not touched"),
    ];
    for (change, closed, won, probability, forecast, why) in table {
        assert_eq!(site.call("PATCH", &path, change).await.status, 204, "{why}");
        let row = site.sandbox.row("Opportunity", &id).unwrap();
        assert_eq!((&row["IsClosed"], &row["IsWon"]), (&json!(closed), &json!(won)), "{why}");
        assert_eq!(row["Probability"], json!(probability), "{why}");
        assert_eq!(row["ForecastCategory"], forecast, "{why}");
    }
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!(row["ExpectedRevenue"], json!(66.0));
    assert_eq!((&row["FiscalYear"], &row["FiscalQuarter"]), (&json!(2026), &json!(4)));
    let won = site.query("SELECT ApiName FROM OpportunityStage WHERE IsWon = TRUE").await;
    assert_eq!(won.body["records"][0]["ApiName"], "Closed Won");
    let status = site.query("SELECT ApiName FROM LeadStatus WHERE IsConverted = TRUE").await;
    assert_eq!(status.body["totalSize"], 1);
}

#[tokio::test]
async fn rules_of_the_admin_are_obeyed() {
    let site = site().await;
    site.sandbox.add_validation_rule("Opportunity", |row| {
        (row["Amount"].as_f64() < Some(0.0) && !row["Amount"].is_null())
            .then(|| ("Amount must not be negative".to_owned(), "Amount".to_owned()))
    });
    let bad = with(deal("Deal"), json!({ "Amount": -1 }));
    let reply = site.call("POST", "/sobjects/Opportunity", bad).await;
    assert_eq!(reply.code(), "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    assert_eq!(reply.body[0]["fields"], json!(["Amount"]));
    site.sandbox.add_trigger("Opportunity", |row| {
        row.insert("NextStep".into(), json!("set by a flow"));
    });
    let made = site.call("POST", "/sobjects/Opportunity", deal("Deal")).await;
    let row = site.sandbox.row("Opportunity", made.body["id"].as_str().unwrap()).unwrap();
    assert_eq!(row["NextStep"], "set by a flow");
}

#[tokio::test]
async fn duplicate_rules_alert_or_block() {
    let site = site().await;
    let known = site.sandbox.seed_account(&json!({ "Name": "Contoso" })).unwrap();
    let rule = |block| DuplicateRule { object: "Account".into(), field: "Name".into(), block };
    site.sandbox.add_duplicate_rule(rule(false));
    let reply = site.call("POST", "/sobjects/Account", json!({ "Name": "Contoso" })).await;
    assert_eq!((reply.status, reply.code()), (400, "DUPLICATES_DETECTED"));
    let found = &reply.body[0]["duplicateResut"]["matchResults"][0]["matchRecords"][0];
    assert_eq!(found["record"]["Id"], known.as_str());
    let wish = [("Sforce-Duplicate-Rule-Header", "allowSave=true; runAsCurrentUser=true")];
    let body = json!({ "Name": "Contoso" });
    let saved = site.call_with("POST", "/sobjects/Account", body.clone(), &wish).await;
    assert_eq!(saved.status, 201, "an alert may be overruled");
    site.sandbox.add_duplicate_rule(rule(true));
    let blocked = site.call_with("POST", "/sobjects/Account", body, &wish).await;
    assert_eq!(blocked.code(), "DUPLICATES_DETECTED", "a block may not");
}

#[tokio::test]
async fn locked_rows_stay_as_they_are() {
    let site = site().await;
    let deal = site.opportunity("Deal");
    site.sandbox.lock_for_approval(&deal);
    let path = format!("/sobjects/Opportunity/{deal}");
    let reply = site.call("PATCH", &path, json!({ "Amount": 1 })).await;
    assert_eq!(reply.code(), "ENTITY_IS_LOCKED");
    site.sandbox.unlock(&deal);
    assert_eq!(site.call("PATCH", &path, json!({ "Amount": 1 })).await.status, 204);
    let lead = site.lead("Buyer");
    let made = site.sandbox.convert_lead_as_person(&lead).unwrap();
    let row = site.sandbox.row("Lead", &lead).unwrap();
    assert_eq!(row["ConvertedOpportunityId"], made.as_str());
    let path = format!("/sobjects/Lead/{lead}");
    let reply = site.call("PATCH", &path, json!({ "Title": "x" })).await;
    assert_eq!((reply.status, reply.code()), (400, "CANNOT_UPDATE_CONVERTED_LEAD"));
    assert_eq!(site.get(&path).await.body["IsConverted"], true, "still readable");
    let seller = site.sandbox.seller();
    site.sandbox.set_active(&seller, false);
    let owner = json!({ "OwnerId": seller });
    let reply = site.call("PATCH", &format!("/sobjects/Opportunity/{deal}"), owner).await;
    assert_eq!(reply.code(), "INACTIVE_OWNER_OR_USER");
}

#[tokio::test]
async fn a_second_currency_brings_its_field() {
    let currencies = vec!["USD".to_owned(), "EUR".to_owned()];
    let site = site_with(SandboxOptions { currencies, ..Default::default() }).await;
    let id = site.opportunity("Deal");
    let row = site.sandbox.row("Opportunity", &id).unwrap();
    assert_eq!(row["CurrencyIsoCode"], "USD", "the default");
    let path = format!("/sobjects/Opportunity/{id}");
    let reply = site.call("PATCH", &path, json!({ "CurrencyIsoCode": "XXX" })).await;
    assert_eq!(reply.code(), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST");
}
