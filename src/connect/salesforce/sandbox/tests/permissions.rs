//! Checklist 12: custom fields by Tooling, and who sees them.

use serde_json::{Value, json};

use super::{Site, site_with};
use crate::connect::salesforce::sandbox::SandboxOptions;

async fn make(site: &Site, name: &str, metadata: Value) -> super::Reply {
    let body = json!({ "FullName": format!("Opportunity.{name}"), "Metadata": metadata });
    site.call("POST", "/tooling/sobjects/CustomField", body).await
}

fn key() -> Value {
    json!({
        "type": "Text", "label": "Referral", "length": 100, "externalId": true, "unique": true,
        "caseSensitive": false,
    })
}

#[tokio::test]
async fn a_new_field_is_hidden_until_it_is_granted() {
    let site = site_with(SandboxOptions::empty_org()).await;
    let made = make(&site, "Referral__c", key()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = site.opportunity("Deal");
    let describe = "/sobjects/Opportunity/describe";
    assert!(!site.get(describe).await.body.to_string().contains("Referral__c"));
    let soql = "SELECT Id FROM Opportunity WHERE Referral__c = 'r'";
    assert_eq!(site.query(soql).await.code(), "INVALID_FIELD");
    let path = format!("/sobjects/Opportunity/{id}");
    assert_eq!(
        site.call("PATCH", &path, json!({ "Referral__c": "r" })).await.code(),
        "INVALID_FIELD"
    );
    let set = json!({ "Name": "CoSell", "Label": "Co-sell" });
    let set = site.call("POST", "/sobjects/PermissionSet", set).await.body["id"].clone();
    let grant = |edit: bool| {
        json!({
            "ParentId": set, "SobjectType": "Opportunity", "Field": "Opportunity.Referral__c",
            "PermissionsRead": true, "PermissionsEdit": edit,
        })
    };
    let granted = site.call("POST", "/sobjects/FieldPermissions", grant(false)).await;
    assert_eq!(granted.status, 201);
    assert_eq!(site.query(soql).await.code(), "INVALID_FIELD", "nobody has the set yet");
    let assigned = json!({ "AssigneeId": site.sandbox.integration_user(), "PermissionSetId": set });
    site.call("POST", "/sobjects/PermissionSetAssignment", assigned).await;
    assert_eq!(site.query(soql).await.status, 200);
    let refused = site.call("PATCH", &path, json!({ "Referral__c": "r" })).await;
    assert_eq!(refused.code(), "INVALID_FIELD_FOR_INSERT_UPDATE", "read only so far");
    let grant = format!("/sobjects/FieldPermissions/{}", granted.body["id"].as_str().unwrap());
    site.call("PATCH", &grant, json!({ "PermissionsEdit": true })).await;
    assert_eq!(site.call("PATCH", &path, json!({ "Referral__c": "r" })).await.status, 204);
    assert_eq!(site.query(soql).await.body["totalSize"], 1);
    let upsert = "/sobjects/Opportunity/Referral__c/r";
    assert_eq!(site.call("PATCH", upsert, json!({ "Amount": 1 })).await.status, 200);
}

#[tokio::test]
async fn a_profile_carries_its_own_permission_set() {
    let site = site_with(SandboxOptions::empty_org()).await;
    make(&site, "Referral__c", key()).await;
    let soql = "SELECT Id FROM PermissionSet WHERE IsOwnedByProfile = TRUE";
    let set = site.query(soql).await.body["records"][0]["Id"].clone();
    let grant = json!({
        "ParentId": set, "SobjectType": "Opportunity", "Field": "Opportunity.Referral__c",
        "PermissionsRead": true, "PermissionsEdit": true,
    });
    site.call("POST", "/sobjects/FieldPermissions", grant).await;
    assert_eq!(site.query("SELECT Referral__c FROM Opportunity").await.status, 200);
}

#[tokio::test]
async fn names_and_metadata_are_checked() {
    let site = site_with(SandboxOptions::empty_org()).await;
    let foreign = make(&site, "Microsoft__Referral__c", key()).await;
    assert_eq!((foreign.status, foreign.code()), (400, "FIELD_INTEGRITY_EXCEPTION"));
    assert_eq!(make(&site, "Referral__c", key()).await.status, 201);
    let again = make(&site, "Referral__c", key()).await;
    assert_eq!((again.status, again.code()), (400, "DUPLICATE_DEVELOPER_NAME"));
    let table = [
        (json!({ "type": "Checkbox", "label": "X" }), 400, "no default"),
        (json!({ "type": "Checkbox", "label": "X", "defaultValue": false }), 201, "complete"),
        (json!({ "type": "Text", "label": "X" }), 400, "no length"),
        (
            json!({ "type": "LongTextArea", "label": "X", "length": 200_000, "visibleLines": 4 }),
            400,
            "too long",
        ),
        (
            json!({ "type": "LongTextArea", "label": "X", "length": 100_000, "visibleLines": 4 }),
            201,
            "complete",
        ),
        (json!({ "type": "Url", "label": "X" }), 201, "length is fixed"),
        (json!({ "type": "Picklist", "label": "X" }), 400, "no values"),
        (json!({ "type": "Nonsense", "label": "X" }), 400, "no such type"),
    ];
    for (at, (metadata, status, why)) in table.into_iter().enumerate() {
        let reply = make(&site, &format!("Field_{at}__c"), metadata).await;
        assert_eq!(reply.status, status, "{why}: {}", reply.body);
    }
    let package =
        site_with(SandboxOptions { package_installed: true, ..SandboxOptions::empty_org() }).await;
    assert_eq!(make(&package, "Microsoft__Referral__c", key()).await.status, 201);
}

#[tokio::test]
async fn tooling_finds_and_changes_a_field() {
    let site = site_with(SandboxOptions::empty_org()).await;
    make(&site, "Referral__c", key()).await;
    let soql = "SELECT+Id,DeveloperName,NamespacePrefix,Metadata+FROM+CustomField+WHERE+\
                TableEnumOrId='Opportunity'+AND+DeveloperName='Referral'";
    let found = site.get(&format!("/tooling/query?q={soql}")).await;
    let record = &found.body["records"][0];
    assert_eq!(record["NamespacePrefix"], Value::Null);
    assert_eq!(record["Metadata"]["length"], 100);
    let path = format!("/tooling/sobjects/CustomField/{}", record["Id"].as_str().unwrap());
    let mut longer = key();
    longer["length"] = json!(200);
    let reply = site.call("PATCH", &path, json!({ "Metadata": longer })).await;
    assert_eq!(reply.status, 204);
    assert_eq!(site.get(&path).await.body["Metadata"]["length"], 200);
    assert_eq!(
        site.query("SELECT Id FROM CustomField").await.code(),
        "INVALID_TYPE",
        "Tooling only"
    );
    assert_eq!(site.call("DELETE", &path, Value::Null).await.status, 204);
}

#[tokio::test]
async fn the_fields_of_the_package_are_known_to_tooling() {
    let site = site_with(SandboxOptions::with_package()).await;
    let soql = "SELECT+Id,NamespacePrefix,Metadata+FROM+CustomField+WHERE+TableEnumOrId='Lead'+AND+\
                DeveloperName='Referral_Identifier'";
    let found = site.get(&format!("/tooling/query?q={soql}")).await;
    let record = &found.body["records"][0];
    assert_eq!(record["NamespacePrefix"], "Microsoft");
    assert_eq!(record["Metadata"]["externalId"], true);
    let id = site.opportunity("Deal");
    let path = format!("/tooling/sobjects/CustomField/{}", record["Id"].as_str().unwrap());
    let same = json!({ "Metadata": record["Metadata"] });
    assert_eq!(site.call("PATCH", &path, same).await.status, 204, "what was read may be written");
    let path = format!("/sobjects/Opportunity/{id}");
    let token = json!({ "Microsoft__Sync_Token__c": "t" });
    assert_eq!(site.call("PATCH", &path, token).await.status, 204);
    let wish = json!({ "Microsoft__Referral_Identifier__c": "r" });
    let lead = format!("/sobjects/Lead/{}", site.lead("Buyer"));
    assert_eq!(site.call("PATCH", &lead, wish).await.status, 204, "still visible");
}

#[tokio::test]
async fn rows_that_are_older_than_a_field_hold_its_empty_value() {
    let site = site_with(SandboxOptions::empty_org()).await;
    let id = site.opportunity("Deal");
    let stamp = site.sandbox.row("Opportunity", &id).unwrap()["SystemModstamp"].clone();
    site.clock.advance(std::time::Duration::from_secs(5));
    site.sandbox.install_fields("");
    let soql =
        "SELECT Id, SystemModstamp FROM Opportunity WHERE Sync_With_Partner_Center__c = FALSE";
    let found = site.query(soql).await;
    assert_eq!(found.body["totalSize"], 1);
    assert_eq!(found.body["records"][0]["SystemModstamp"], stamp, "a new field is no edit");
    let free = "SELECT Id FROM Opportunity WHERE Referral_Identifier__c = NULL";
    assert_eq!(site.query(free).await.body["totalSize"], 1);
}

#[tokio::test]
async fn field_level_security_hides_and_protects() {
    let site = site_with(SandboxOptions::default()).await;
    let id = site.opportunity("Deal");
    let path = format!("/sobjects/Opportunity/{id}");
    site.sandbox.hide_field("Opportunity", "NextStep");
    site.sandbox.make_read_only("Opportunity", "Description");
    assert_eq!(site.get(&path).await.body.get("NextStep"), None);
    let hidden = site.call("PATCH", &path, json!({ "NextStep": "x" })).await;
    assert_eq!(hidden.code(), "INVALID_FIELD");
    let protected = site.call("PATCH", &path, json!({ "Description": "x" })).await;
    assert_eq!(protected.code(), "INVALID_FIELD_FOR_INSERT_UPDATE");
    site.sandbox.edit_as_person("Opportunity", &id, &json!({ "NextStep": "x" })).unwrap();
}

#[tokio::test]
async fn a_hidden_object_is_as_if_it_did_not_exist_until_it_is_granted() {
    let site = site_with(SandboxOptions::default()).await;
    let id = site.opportunity("Deal");
    let product = site.sandbox.create_as_person("Product2", &json!({ "Name": "A" })).unwrap();
    let line = json!({
        "OpportunityId": id, "Product2Id": product, "Quantity": 1, "UnitPrice": 10,
    });
    site.sandbox.create_as_person("OpportunityLineItem", &line).unwrap();
    site.sandbox.hide_object("Product2");
    assert_eq!(site.get("/sobjects/Product2/describe").await.status, 404);
    let through = "SELECT Product2.Name FROM OpportunityLineItem";
    assert_eq!(site.query("SELECT Id FROM Product2").await.code(), "INVALID_TYPE");
    assert_eq!(site.query(through).await.code(), "INVALID_FIELD");
    let below = "SELECT Id, (SELECT Product2.Name FROM OpportunityLineItems) FROM Opportunity";
    assert_eq!(site.query(below).await.code(), "INVALID_FIELD");
    assert_eq!(site.query("SELECT Product2Id FROM OpportunityLineItem").await.status, 200);
    let set = json!({ "Name": "CoSell", "Label": "Co-sell" });
    let set = site.call("POST", "/sobjects/PermissionSet", set).await.body["id"].clone();
    let right = json!({ "ParentId": set, "SobjectType": "Product2", "PermissionsRead": true });
    site.call("POST", "/sobjects/ObjectPermissions", right).await;
    let assigned = json!({ "AssigneeId": site.sandbox.integration_user(), "PermissionSetId": set });
    site.call("POST", "/sobjects/PermissionSetAssignment", assigned).await;
    let found = site.query(through).await;
    assert_eq!(found.body["records"][0]["Product2"]["Name"], "A", "{}", found.body);
}
