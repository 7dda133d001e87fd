//! SOAP `convertLead`.

use serde_json::{Value, json};

use super::{Site, site, with};

async fn convert(site: &Site, session: &str, inner: &str) -> (u16, String) {
    let body = format!(
        "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:u=\"urn:partner.soap.sforce.com\"><e:Header><u:SessionHeader><u:sessionId>{session}\
         </u:sessionId></u:SessionHeader></e:Header><e:Body><u:convertLead><u:leadConverts>{inner}\
         </u:leadConverts></u:convertLead></e:Body></e:Envelope>"
    );
    let url = format!("{}/services/Soap/u/66.0", site.serving.url());
    let request =
        site.http.post(url).header("content-type", "text/xml").header("SOAPAction", "\"\"");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_default();
    rest.split_once(&format!("</{name}>")).unwrap_or_default().0
}

#[tokio::test]
async fn a_lead_becomes_an_opportunity_once() {
    let site = site().await;
    let key = json!({
        "LastName": "Buyer", "Company": "Fabrikam & Sons", "Referral_Identifier__c": "r",
        "Sync_Token__c": "t",
    });
    let lead = site.sandbox.create_as_person("Lead", &key).unwrap();
    site.sandbox.map_lead_fields(&[("Referral_Identifier__c", "Referral_Identifier__c")]);
    let status = "<u:convertedStatus>Closed - Converted</u:convertedStatus>";
    let asked = format!(
        "<u:leadId>{lead}</u:leadId>{status}<u:opportunityName>Tom &amp; Co</u:opportunityName>"
    );
    let (code, xml) = convert(&site, &site.session, &asked).await;
    assert_eq!((code, element(&xml, "success")), (200, "true"), "{xml}");
    let deal = site.sandbox.row("Opportunity", element(&xml, "opportunityId")).unwrap();
    assert_eq!(deal["Name"], "Tom & Co");
    assert_eq!(deal["CloseDate"], "2026-09-30", "end of the quarter");
    assert_eq!(deal["Referral_Identifier__c"], "r", "mapped");
    assert_eq!(deal["Sync_Token__c"], Value::Null, "not mapped");
    let account = site.sandbox.row("Account", element(&xml, "accountId")).unwrap();
    assert_eq!(account["Name"], "Fabrikam & Sons");
    let row = site.sandbox.row("Lead", &lead).unwrap();
    assert_eq!((&row["IsConverted"], &row["ConvertedDate"]), (&json!(true), &json!("2026-09-01")));
    assert_eq!(row["LastModifiedById"], site.sandbox.integration_user().as_str());
    let (_, again) = convert(&site, &site.session, &asked).await;
    assert_eq!(element(&again, "statusCode"), "CANNOT_UPDATE_CONVERTED_LEAD");
    assert_eq!(site.sandbox.rows("Opportunity").len(), 1);
    assert_eq!(site.sandbox.request_log().api_calls, 2);
}

#[tokio::test]
async fn wrong_calls_are_refused() {
    let site = site().await;
    let lead = site.lead("Buyer");
    let open = format!(
        "<u:leadId>{lead}</u:leadId><u:convertedStatus>Working - Contacted</u:convertedStatus>"
    );
    let (_, xml) = convert(&site, &site.session, &open).await;
    assert_eq!(element(&xml, "statusCode"), "INVALID_STATUS");
    let (status, xml) = convert(&site, "wrong", &open).await;
    assert_eq!((status, element(&xml, "faultcode")), (500, "sf:INVALID_SESSION_ID"));
    let (status, _) = convert(&site, &site.session, "<broken>").await;
    assert_eq!(status, 500);
    let asked = format!(
        "<u:leadId>{lead}</u:leadId><u:convertedStatus>Closed - Converted</u:convertedStatus>\
         <u:doNotCreateOpportunity>true</u:doNotCreateOpportunity>"
    );
    site.sandbox.add_validation_rule("Contact", |row| {
        row["Email"].is_null().then(|| ("an address is required".to_owned(), "Email".to_owned()))
    });
    let (_, xml) = convert(&site, &site.session, &asked).await;
    assert_eq!(element(&xml, "statusCode"), "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    assert!(site.sandbox.rows("Account").is_empty(), "the account was taken back");
    let lead = with(json!({ "LastName": "B", "Company": "C" }), json!({ "Email": "b@c.example" }));
    let lead = site.sandbox.create_as_person("Lead", &lead).unwrap();
    let asked = asked.replace(&element(&asked, "u:leadId").to_owned(), &lead);
    let (_, xml) = convert(&site, &site.session, &asked).await;
    assert_eq!((element(&xml, "success"), element(&xml, "opportunityId")), ("true", ""));
}
