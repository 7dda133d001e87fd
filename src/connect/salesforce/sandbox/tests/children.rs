//! What hangs on an opportunity, and rights on whole tables.

use serde_json::{Value, json};

use super::{Site, site};

fn contact(site: &Site, name: &str) -> String {
    site.sandbox.seed_contact(&json!({ "LastName": name })).unwrap()
}

fn primary(site: &Site) -> Vec<Value> {
    let roles = site.sandbox.rows("OpportunityContactRole");
    let primary = roles.into_iter().filter(|role| role["IsPrimary"] == json!(true));
    primary.map(|role| role["ContactId"].clone()).collect()
}

#[tokio::test]
async fn the_contact_of_a_new_opportunity_becomes_its_primary_role() {
    let site = site().await;
    let (first, second) = (contact(&site, "First"), contact(&site, "Second"));
    let deal = json!({
        "Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31", "ContactId": first,
    });
    let made = site.call("POST", "/sobjects/Opportunity", deal).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(primary(&site), [json!(first)]);
    let path = format!("/sobjects/Opportunity/{id}");
    let refused = site.call("PATCH", &path, json!({ "ContactId": second })).await;
    assert_eq!(refused.code(), "INVALID_FIELD_FOR_INSERT_UPDATE", "it is set once");
    let role = json!({ "OpportunityId": id, "ContactId": second, "IsPrimary": true });
    assert_eq!(site.call("POST", "/sobjects/OpportunityContactRole", role).await.status, 201);
    assert_eq!(primary(&site), [json!(second)], "one is primary at most");
    let soql = "SELECT Contact.LastName FROM Opportunity";
    let found = site.query(soql).await;
    assert_eq!(found.body["records"][0]["Contact"]["LastName"], "Second");
}

#[tokio::test]
async fn line_items_make_the_amount() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    let item =
        |quantity: u32| json!({ "OpportunityId": id, "Quantity": quantity, "UnitPrice": 10.5 });
    let items = "/sobjects/OpportunityLineItem";
    let first = site.call("POST", items, item(2)).await.body["id"].clone();
    site.call("POST", items, item(4)).await;
    assert_eq!(site.get(&path).await.body["Amount"], json!(63.0));
    assert_eq!(site.call("PATCH", &path, json!({ "Amount": 1 })).await.status, 204);
    let held = site.get(&path).await.body;
    assert_eq!((&held["Amount"], &held["HasOpportunityLineItem"]), (&json!(63.0), &json!(true)));
    let first = format!("{items}/{}", first.as_str().unwrap());
    assert_eq!(site.call("DELETE", &first, Value::Null).await.status, 204);
    assert_eq!(site.get(&path).await.body["Amount"], json!(42.0));
}

#[tokio::test]
async fn a_team_member_is_a_user_with_a_role() {
    let site = site().await;
    let id = site.opportunity("Deal");
    let member = json!({
        "OpportunityId": id, "UserId": site.sandbox.seller(), "TeamMemberRole": "Sales Rep",
    });
    assert_eq!(site.call("POST", "/sobjects/OpportunityTeamMember", member).await.status, 201);
    let soql = "SELECT User.Email, TeamMemberRole FROM OpportunityTeamMember";
    let found = site.query(soql).await.body;
    assert_eq!(found["records"][0]["User"]["Email"], "seller@contoso.example");
}

#[tokio::test]
async fn a_table_is_read_only_until_its_rights_are_granted() {
    let site = site().await;
    site.sandbox.make_object_read_only("Account");
    let describe = site.get("/sobjects/Account/describe").await.body;
    assert_eq!((&describe["createable"], &describe["updateable"]), (&json!(false), &json!(false)));
    let refused = site.call("POST", "/sobjects/Account", json!({ "Name": "Contoso" })).await;
    assert_eq!(refused.code(), "INSUFFICIENT_ACCESS_OR_READONLY");
    let set = json!({ "Name": "CoSell", "Label": "Co-sell" });
    let set = site.call("POST", "/sobjects/PermissionSet", set).await.body["id"].clone();
    let right = json!({
        "ParentId": set, "SobjectType": "Account", "PermissionsRead": true, "PermissionsCreate": true,
    });
    site.call("POST", "/sobjects/ObjectPermissions", right).await;
    let assigned = json!({ "AssigneeId": site.sandbox.integration_user(), "PermissionSetId": set });
    site.call("POST", "/sobjects/PermissionSetAssignment", assigned).await;
    let made = site.call("POST", "/sobjects/Account", json!({ "Name": "Contoso" })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/sobjects/Account/{}", made.body["id"].as_str().unwrap());
    let refused = site.call("PATCH", &path, json!({ "Phone": "1" })).await;
    assert_eq!(refused.code(), "INSUFFICIENT_ACCESS_OR_READONLY", "create is not edit");
}

#[tokio::test]
async fn system_permissions_are_told_and_obeyed() {
    let site = site().await;
    let soql = "SELECT PermissionsConvertLeads FROM UserPermissionAccess LIMIT 1";
    let told = site.query(soql).await.body["records"][0]["PermissionsConvertLeads"].clone();
    assert_eq!(told, json!(true));
    site.sandbox.set_permission("ConvertLeads", false);
    site.sandbox.set_permission("CustomizeApplication", false);
    let told = site.query(soql).await.body["records"][0]["PermissionsConvertLeads"].clone();
    assert_eq!(told, json!(false));
    let field = json!({
        "FullName": "Opportunity.New__c", "Metadata": { "type": "Text", "label": "New", "length": 5 },
    });
    let refused = site.call("POST", "/tooling/sobjects/CustomField", field).await;
    assert_eq!(refused.code(), "INSUFFICIENT_ACCESS_OR_READONLY");
}
