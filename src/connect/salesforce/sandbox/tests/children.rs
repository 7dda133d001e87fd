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

#[tokio::test]
async fn rows_below_a_row_are_read_within_its_query() {
    let site = super::site_with(super::SandboxOptions { page_size: 2, ..Default::default() }).await;
    let full = site.opportunity("Full");
    site.opportunity("Empty");
    for code in ["A", "B", "C", "Gone"] {
        let product = json!({ "Name": format!("Product {code}"), "ProductCode": code });
        let product = site.sandbox.create_as_person("Product2", &product).unwrap();
        let item = json!({
            "OpportunityId": full, "Product2Id": product, "Quantity": 1, "UnitPrice": 10,
        });
        let item = site.sandbox.create_as_person("OpportunityLineItem", &item).unwrap();
        if code == "Gone" {
            site.sandbox.delete_as_person("OpportunityLineItem", &item).unwrap();
        }
    }
    let describe = site.get("/sobjects/Opportunity/describe").await.body;
    let ways = describe["childRelationships"].as_array().unwrap();
    let lines = ways.iter().find(|way| way["relationshipName"] == "OpportunityLineItems").unwrap();
    assert_eq!(
        (&lines["childSObject"], &lines["field"]),
        (&json!("OpportunityLineItem"), &json!("OpportunityId"))
    );
    let soql = "SELECT Id, (SELECT Product2.Name, Quantity FROM opportunitylineitems ORDER BY Id) \
                FROM Opportunity ORDER BY Name DESC";
    let found = site.query(soql).await.body;
    let list = &found["records"][0]["OpportunityLineItems"];
    assert_eq!((&list["totalSize"], &list["done"]), (&json!(3), &json!(false)), "{list}");
    assert_eq!(list["records"][0]["Product2"]["Name"], "Product A");
    let next = list["nextRecordsUrl"].as_str().unwrap();
    let rest = site.raw("GET", next, Value::Null, &[]).await.body;
    assert_eq!(
        (&rest["done"], &rest["records"][0]["Product2"]["Name"]),
        (&json!(true), &json!("Product C"))
    );
    assert_eq!(found["records"][1]["OpportunityLineItems"], Value::Null, "no rows: {found}");
    let all = soql.replace("ORDER BY Id", "WHERE IsDeleted = TRUE").replace(' ', "+");
    let all = site.get(&format!("/queryAll?q={all}")).await.body;
    assert_eq!(all["records"][0]["OpportunityLineItems"]["totalSize"], json!(1), "the recycle bin");
    let with_lines = "SELECT Name FROM Opportunity WHERE Id IN \
                      (SELECT OpportunityId FROM OpportunityLineItem WHERE Quantity = 1)";
    assert_eq!(site.names(with_lines).await, ["Full"]);
    let gone = "/queryAll?q=SELECT+Id+FROM+Opportunity+WHERE+Id+IN+(SELECT+OpportunityId+FROM+\
                OpportunityLineItem+WHERE+IsDeleted+=+TRUE)";
    assert_eq!(site.get(gone).await.body["totalSize"], json!(0), "the bin is not seen within");
    let gone = "/queryAll?q=SELECT+OpportunityId+FROM+OpportunityLineItem+WHERE+IsDeleted+=+TRUE+\
                AND+Opportunity.Name+=+'Full'";
    assert_eq!(site.get(gone).await.body["records"][0]["OpportunityId"], full.as_str());
    let without = with_lines.replace(" IN", " NOT IN");
    assert_eq!(site.names(&without).await, ["Empty"]);
    let wrong = [
        ("SELECT Id, (SELECT Id FROM Nothing) FROM Opportunity", "INVALID_TYPE", "no such way"),
        (
            "SELECT Id, (SELECT Nothing FROM OpportunityLineItems) FROM Opportunity",
            "INVALID_FIELD",
            "no such column",
        ),
        (
            "SELECT Id, (SELECT COUNT() FROM OpportunityLineItems) FROM Opportunity",
            "MALFORMED_QUERY",
            "a number",
        ),
        (
            "SELECT Id, (SELECT Id, (SELECT Id FROM X) FROM OpportunityLineItems) FROM Opportunity",
            "MALFORMED_QUERY",
            "deeper than is emulated",
        ),
        (
            "SELECT Id FROM Opportunity WHERE Id IN (SELECT Quantity FROM OpportunityLineItem)",
            "MALFORMED_QUERY",
            "no ids",
        ),
        (
            "SELECT Id FROM Opportunity WHERE Name = 'x' OR Id IN (SELECT OpportunityId FROM OpportunityLineItem)",
            "MALFORMED_QUERY",
            "beside OR",
        ),
    ];
    for (soql, code, why) in wrong {
        let reply = site.query(soql).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{why}: {}", reply.body);
    }
}
