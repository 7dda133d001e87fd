//! Definitions: reading them and adding to them.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Org, column};
use crate::connect::dynamics365::sandbox::{KeyActivation, SandboxOptions};

const OPPORTUNITY: &str = "EntityDefinitions(LogicalName='opportunity')";

fn label(text: &str) -> Json {
    json!({"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]})
}

fn text_column(schema_name: &str) -> Json {
    json!({
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "SchemaName": schema_name, "MaxLength": 100, "FormatName": {"Value": "Text"},
        "RequiredLevel": {"Value": "None"}, "DisplayName": label("Referral Identifier"),
    })
}

#[tokio::test]
async fn tables_are_found_by_filter() {
    let org = Org::new().await;
    let one = "EntityDefinitions?%24select=LogicalName%2CEntitySetName%2CPrimaryIdAttribute\
               &%24filter=LogicalName+eq+%27opportunity%27";
    let rows = org.get(one).await.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["EntitySetName"], "opportunities");
    assert!(rows[0]["MetadataId"].is_string(), "always there");
    assert_eq!(rows[0].get("SchemaName"), None, "not selected");
    let tracked = "EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true and \
                   CanChangeTrackingBeEnabled/Value eq true";
    let names = column(&org.get(tracked).await.rows(), "LogicalName");
    assert_eq!(names, [json!("lead"), json!("opportunity")]);
    let missing = org.get("EntityDefinitions(LogicalName='nosuch')").await;
    assert_eq!(missing.status, 404);
    let patched = org.patch(OPPORTUNITY, &json!({})).await;
    assert_eq!((patched.status, patched.code().as_str()), (405, "0x80060888"));
}

#[tokio::test]
async fn columns_are_read_with_their_types() {
    let org = Org::new().await;
    let attributes = format!("{OPPORTUNITY}/Attributes");
    let all = org.get(&format!("{attributes}?$select=LogicalName,AttributeType")).await.rows();
    assert!(all.len() > 40, "{}", all.len());
    let cast = "Microsoft.Dynamics.CRM.PicklistAttributeMetadata";
    let path =
        format!("{attributes}/{cast}?$select=LogicalName&$expand=OptionSet($select=Options)");
    let choices = org.get(&path).await.rows();
    let help = choices.iter().find(|row| row["LogicalName"] == "pc_howcanmicrosofthelp").unwrap();
    let options = help["OptionSet"]["Options"].as_array().unwrap();
    let values: Vec<i64> = options.iter().map(|o| o["Value"].as_i64().unwrap()).collect();
    assert_eq!(values, (727_000_000..=727_000_005).collect::<Vec<_>>());
    assert_eq!(options[5]["Label"]["UserLocalizedLabel"]["Label"], "General or other");
    let table = [
        // (column, cast, status, why)
        ("name", "StringAttributeMetadata", 200, "a text"),
        ("name", "MemoAttributeMetadata", 404, "not a memo"),
        ("statuscode", "StatusAttributeMetadata", 200, "status reasons"),
        ("pc_nosuch", "StringAttributeMetadata", 404, "absent"),
    ];
    for (name, cast, status, why) in table {
        let path = format!("{attributes}(LogicalName='{name}')/Microsoft.Dynamics.CRM.{cast}");
        assert_eq!(org.get(&path).await.status, status, "{why}");
    }
    let name = org.get(&format!("{attributes}(LogicalName='name')")).await.json();
    assert_eq!((&name["MaxLength"], &name["AttributeType"]), (&json!(300), &json!("String")));
}

#[tokio::test]
async fn an_empty_organisation_is_provisioned() {
    let org = Org::with(SandboxOptions::empty_organization()).await;
    let attributes = format!("{OPPORTUNITY}/Attributes");
    let post = |body: Json| {
        let (org, attributes) = (&org, attributes.clone());
        async move {
            let headers = [("MSCRM.SolutionUniqueName", "CosellSync")];
            org.send("POST", &attributes, &headers, Some(&body)).await
        }
    };
    assert_eq!(post(text_column("pc_X")).await.status, 404, "the solution is missing");
    let publisher = json!({
        "uniquename": "cosellsync", "friendlyname": "Co-sell sync",
        "customizationprefix": "pc", "customizationoptionvalueprefix": 72_700,
    });
    let publisher = org.create("publishers", &publisher).await;
    let solution = json!({
        "uniquename": "CosellSync", "friendlyname": "Co-sell sync", "version": "1.0.0.0",
        "publisherid@odata.bind": format!("/publishers({publisher})"),
    });
    org.create("solutions", &solution).await;
    let found = "solutions?$filter=uniquename eq 'CosellSync'\
                 &$expand=publisherid($select=customizationprefix)";
    assert_eq!(org.get(found).await.rows()[0]["publisherid"]["customizationprefix"], "pc");

    assert_eq!(post(text_column("new_X")).await.status, 400, "another publisher's prefix");
    let made = post(text_column("pc_ReferralIdentifier")).await;
    assert_eq!(made.status, 204, "{}", made.text);
    let start = format!("{}/{attributes}(", org.root());
    assert!(made.header("OData-EntityId").starts_with(&start));
    let again = post(text_column("pc_ReferralIdentifier")).await;
    assert_eq!((again.status, again.code().as_str()), (400, "0x80047013"), "it is there");
    let choice = json!({
        "@odata.type": "Microsoft.Dynamics.CRM.PicklistAttributeMetadata",
        "SchemaName": "pc_HowCanMicrosoftHelp", "DisplayName": label("How can Microsoft help?"),
        "OptionSet": {"IsGlobal": false, "OptionSetType": "Picklist", "Options": [
            {"Value": 727_000_000, "Label": label("Quotes or licensing")},
        ]},
    });
    assert_eq!(post(choice).await.status, 204);
    let body = json!({
        "name": "A", "pc_referralidentifier": "r-1", "pc_howcanmicrosofthelp": 727_000_000,
    });
    let id = org.create("opportunities", &body).await;
    assert_eq!(org.sandbox.row("opportunity", &id).unwrap()["pc_referralidentifier"], "r-1");
    let xml =
        "<importexportxml><entities><entity>opportunity</entity></entities></importexportxml>";
    assert_eq!(org.post("PublishXml", &json!({"ParameterXml": xml})).await.status, 204);
}

async fn add_key(org: &Org) {
    let body = json!({
        "SchemaName": "new_NumberKey", "DisplayName": label("Number"),
        "KeyAttributes": ["accountnumber"],
    });
    let path = "EntityDefinitions(LogicalName='account')/Keys";
    let reply = org.post(path, &body).await;
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert!(reply.header("OData-EntityId").contains("/Keys("));
}

async fn key_status(org: &Org) -> Json {
    let path = "EntityDefinitions(LogicalName='account')/Keys(LogicalName='new_numberkey')\
                ?$select=EntityKeyIndexStatus";
    org.get(path).await.json()["EntityKeyIndexStatus"].clone()
}

const BY_KEY: &str = "accounts(accountnumber='7')";

#[tokio::test]
async fn a_key_becomes_active_after_some_polls() {
    let options = SandboxOptions {
        key_activation: KeyActivation::AfterPolls(2),
        ..SandboxOptions::default()
    };
    let org = Org::with(options).await;
    org.sandbox.seed_account(&json!({"accountnumber": "7"})).unwrap();
    add_key(&org).await;
    assert_eq!(org.get(BY_KEY).await.status, 400, "not ready: as if it did not exist");
    assert_eq!(key_status(&org).await, "Pending");
    assert_eq!(key_status(&org).await, "InProgress");
    assert_eq!(key_status(&org).await, "Active");
    assert_eq!(org.get(BY_KEY).await.status, 200);
}

#[tokio::test]
async fn a_key_becomes_active_by_the_clock() {
    let wait = Duration::from_secs(60);
    let options =
        SandboxOptions { key_activation: KeyActivation::After(wait), ..SandboxOptions::default() };
    let org = Org::with(options).await;
    add_key(&org).await;
    assert_eq!(key_status(&org).await, "Pending");
    org.clock.advance(wait);
    assert_eq!(key_status(&org).await, "Active");
}

#[tokio::test]
async fn a_key_over_equal_rows_fails_and_is_reactivated() {
    let org = Org::new().await;
    let first = org.sandbox.seed_account(&json!({"accountnumber": "7"})).unwrap();
    org.sandbox.seed_account(&json!({"accountnumber": "7"})).unwrap();
    add_key(&org).await;
    assert_eq!(key_status(&org).await, "Failed");
    org.sandbox.delete_as_person("account", &first).unwrap();
    let body = json!({"EntityLogicalName": "account", "EntityKeyLogicalName": "new_numberkey"});
    assert_eq!(org.post("ReactivateEntityKey", &body).await.status, 204);
    assert_eq!(key_status(&org).await, "Active");
    assert_eq!(org.get(BY_KEY).await.status, 200);
}

#[tokio::test]
async fn change_tracking_is_turned_on_by_putting_the_definition() {
    let org = Org::with(SandboxOptions::empty_organization()).await;
    let track = [("Prefer", "odata.track-changes")];
    let path = "opportunities?$select=name";
    assert_eq!(org.send("GET", path, &track, None).await.status, 400);
    let mut definition = org.get(OPPORTUNITY).await.json();
    assert_eq!(definition["ChangeTrackingEnabled"], false);
    definition["ChangeTrackingEnabled"] = json!(true);
    let put =
        org.send("PUT", OPPORTUNITY, &[("MSCRM.MergeLabels", "true")], Some(&definition)).await;
    assert_eq!(put.status, 204, "{}", put.text);
    assert_eq!(org.send("GET", path, &track, None).await.status, 200);
    definition["ChangeTrackingEnabled"] = json!(false);
    assert_eq!(org.send("PUT", OPPORTUNITY, &[], Some(&definition)).await.status, 400, "for good");
}

#[tokio::test]
async fn the_connectors_columns_are_found_by_their_labels() {
    let org = Org::new().await;
    org.sandbox.install_microsoft_connector();
    let all =
        org.get(&format!("{OPPORTUNITY}/Attributes?$select=LogicalName,DisplayName")).await.rows();
    let with = |label: &str| {
        let found =
            all.iter().filter(|row| row["DisplayName"]["UserLocalizedLabel"]["Label"] == label);
        found.map(|row| row["LogicalName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = ["mspc_referralidentifier", "pc_referralidentifier"];
    assert_eq!(with("Referral Identifier"), both);
    assert_eq!(with("Products"), ["mspc_products"]);
}

#[tokio::test]
async fn installing_the_columns_twice_changes_nothing() {
    let org = Org::with(SandboxOptions::empty_organization()).await;
    let attribute = format!("{OPPORTUNITY}/Attributes(LogicalName='pc_referralidentifier')");
    assert_eq!(org.get(&attribute).await.status, 404, "an empty organisation has none");
    org.sandbox.install_columns();
    org.sandbox.install_columns();
    assert_eq!(org.get(&attribute).await.status, 200);
    let keys = org.get(&format!("{OPPORTUNITY}/Keys")).await.rows();
    assert_eq!(column(&keys, "EntityKeyIndexStatus"), [json!("Active")], "one key, ready at once");
}
