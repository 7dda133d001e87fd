//! Provisioning an empty organisation, and doing it again.

use std::collections::BTreeSet;
use std::time::Duration;

use cosell_sync::connect::crm::{Crm, Provision, ProvisionStep, Remark, SellerAccess, WantedField};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::salesforce::sandbox::SandboxOptions;
use cosell_sync::connect::sandbox::FaultEffect;
use cosell_sync::domain::id::RecordKind;
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{OPPORTUNITY, REFERRAL, World};

fn wanted(prefix: &str) -> Provision {
    let field = |name: &str, kind: &str, max_length: u32, unique: bool| WantedField {
        name: format!("{prefix}{name}__c"),
        label: name.replace('_', " "),
        kind: kind.to_owned(),
        max_length,
        options: match kind {
            "option" => vec!["General or other".to_owned(), "Quotes or licensing".to_owned()],
            _ => Vec::new(),
        },
        unique,
        sellers: SellerAccess::Edit,
    };
    Provision {
        kind: RecordKind::Opportunity,
        prefix: prefix.to_owned(),
        container: "Cosell Sync".to_owned(),
        watched: Vec::new(),
        fields: vec![
            field("Sync_With_Partner_Center", "boolean", 0, false),
            field("Referral_Identifier", "text", 100, true),
            field("Referral_Link", "url", 255, false),
            field("How_can_Microsoft_help", "option", 255, false),
            field("Sync_Audit", "long_text", 100_000, false),
            field("Sync_Token", "text", 100, false),
        ],
    }
}

fn count(steps: &[ProvisionStep], outcome: &str) -> usize {
    steps.iter().filter(|step| step.outcome == outcome).count()
}

#[tokio::test]
async fn an_empty_organisation_is_prepared_once() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    let planned = world.client.provision(&wanted(""), true).await.expect("a plan");
    assert_eq!(count(&planned, "would create"), 17, "{planned:?}");
    assert_eq!(world.sandbox.request_log().writes, 0, "a plan writes nothing");

    let steps = world.client.provision(&wanted(""), false).await.expect("a preparation");
    let why = "6 fields, set, rights on 3 tables, 6 grants, assignment";
    assert_eq!(count(&steps, "created"), 17, "{why}: {steps:?}");
    assert_eq!(count(&steps, "advice"), 1, "the page layout");

    let writes = world.sandbox.request_log().writes;
    let again = world.client.provision(&wanted(""), false).await.expect("a second one");
    assert_eq!(count(&again, "created"), 0, "{again:?}");
    assert_eq!(count(&again, "present"), 17);
    assert_eq!(world.sandbox.request_log().writes, writes, "nothing was changed");

    let new = world.create_fields();
    let made = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
    assert_eq!(made.expect("a record").fields["Referral_Identifier__c"], json!(REFERRAL));
    let schema = world.client.describe(OPPORTUNITY).await.expect("a schema");
    assert!(schema.keys.contains(&"Referral_Identifier__c".to_owned()));
}

/// What opportunities and leads share is planned for both, in the same words: whoever shows both
/// plans can tell what is there once.
#[tokio::test]
async fn what_both_kinds_share_is_named_alike() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    let mut plans = Vec::new();
    for kind in [RecordKind::Opportunity, RecordKind::Lead] {
        let wanted = Provision { kind, ..wanted("") };
        let steps = world.client.provision(&wanted, true).await.expect("a plan");
        plans.push(steps.into_iter().map(|step| step.what).collect::<BTreeSet<_>>());
    }
    let shared: Vec<&String> = plans[0].intersection(&plans[1]).collect();
    assert_eq!(shared.len(), 4, "the set, its assignment, accounts, contacts: {shared:?}");
}

#[tokio::test]
async fn a_foreign_prefix_is_advice_and_never_made() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    let steps = world.client.provision(&wanted("Microsoft__"), false).await.expect("an answer");
    assert_eq!(count(&steps, "created"), 0, "{steps:?}");
    assert!(steps.iter().any(|step| step.what.contains("package")), "{steps:?}");
}

#[tokio::test]
async fn the_packages_fields_are_found_and_granted() {
    let world = World::new(SandboxOptions::with_package(), |_| {}).await;
    let mut wanted = wanted("Microsoft__");
    wanted.fields.truncate(3);
    let steps = world.client.provision(&wanted, false).await.expect("an answer");
    assert_eq!(count(&steps, "present"), 3, "{steps:?}");
    assert!(steps.iter().all(|step| !step.what.contains("belongs to a package")));
}

#[tokio::test]
async fn a_field_that_is_only_indexed_is_pointed_out() {
    let options = SandboxOptions { unique_referral: false, ..SandboxOptions::default() };
    let world = World::new(options, |_| {}).await;
    let steps = world.client.provision(&wanted(""), true).await.expect("a plan");
    assert!(steps.iter().any(|step| step.outcome == "advice" && step.what.contains("Unique")));
}

/// A field granted while we run is found without a restart.
#[tokio::test]
async fn a_hidden_field_is_refused_and_found_when_granted() {
    let world = World::plain().await;
    world.sandbox.hide_field("Opportunity", "Sync_Token__c");
    let id = world.seed(&json!({}));
    let refused = world.client.fetch(OPPORTUNITY, &id, &world.shape()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Sync_Token__c")));
    world.client.provision(&wanted(""), false).await.expect("a preparation");
    world.read(&id).await;
}

/// A field of a related row that nobody shows us fails the query: it is told by its path, so that
/// its row can be left out, and found again once it is granted.
#[tokio::test]
async fn a_hidden_field_of_a_related_row_is_told_by_its_path() {
    let mut world = World::plain().await;
    let paths = [
        "Name",
        "Account.Name",
        "Owner.Email",
        "Contact.Email",
        "Contact.Account.Name",
        "OpportunityLineItems.Product2.Name",
        "OpportunityTeamMembers.User.Email",
    ];
    let mut asked: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let unreadable = world.client.unreadable(OPPORTUNITY, &asked).await.expect("an answer");
    assert_eq!(unreadable, [""; 0], "all are there");

    world.sandbox.hide_field("Contact", "Email");
    world.sandbox.hide_field("Product2", "Name");
    world.fields.push("Contact.Email".to_owned());
    let refused = world.client.changes(OPPORTUNITY, None, &world.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    asked.extend(["Contact.Nothing", "Nothing.Name", "Nothing"].map(str::to_owned));
    let unreadable = world.client.unreadable(OPPORTUNITY, &asked).await.expect("an answer");
    let hidden = ["Contact.Email", "OpportunityLineItems.Product2.Name"];
    assert_eq!(unreadable, [&hidden[..], &["Contact.Nothing", "Nothing.Name", "Nothing"]].concat());
    world.fields.pop();
    world.client.changes(OPPORTUNITY, None, &world.shape()).await.expect("the feed goes on");

    let set = json!({ "Name": "Given", "Label": "Given" });
    let set = world.sandbox.create_as_person("PermissionSet", &set).expect("a set");
    let grant = json!({
        "ParentId": set, "SobjectType": "Contact", "Field": "Contact.Email",
        "PermissionsRead": true,
    });
    world.sandbox.create_as_person("FieldPermissions", &grant).expect("a grant");
    let user = world.sandbox.integration_user();
    let given = json!({ "AssigneeId": user, "PermissionSetId": set });
    world.sandbox.create_as_person("PermissionSetAssignment", &given).expect("an assignment");
    world.clock.advance(Duration::from_secs(61));
    let unreadable = world.client.unreadable(OPPORTUNITY, &asked).await.expect("an answer");
    assert!(!unreadable.contains(&"Contact.Email".to_owned()), "{unreadable:?}");
}

/// Products are read with an opportunity; their rights do not follow those of opportunities.
#[tokio::test]
async fn products_can_be_read_where_they_are_mapped() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    world.sandbox.hide_object("Product2");
    let products = ["OpportunityLineItems.Product2.Name".to_owned()];
    let unreadable = world.client.unreadable(OPPORTUNITY, &products).await.expect("an answer");
    assert_eq!(unreadable, products, "nobody has granted them");
    let mut wanted = wanted("");
    let granted = |steps: &[ProvisionStep]| {
        let about = |step: &&ProvisionStep| step.what.contains("Product2");
        steps.iter().filter(about).map(|step| step.outcome.clone()).collect::<Vec<_>>()
    };
    let steps = world.client.provision(&wanted, true).await.expect("a plan");
    assert_eq!(granted(&steps), [""; 0], "not mapped, not granted");
    wanted.watched = vec!["Name".to_owned(), "OpportunityLineItems".to_owned()];
    let remarks = world.client.examine(&wanted).await.expect("remarks");
    assert!(remarks.iter().any(|remark| remark.what.contains("may not read Product2")));
    let steps = world.client.provision(&wanted, true).await.expect("a plan");
    assert_eq!(granted(&steps), ["would create"]);
    let steps = world.client.provision(&wanted, false).await.expect("a preparation");
    assert_eq!(granted(&steps), ["created"], "{steps:?}");
    let rights = world.sandbox.rows("ObjectPermissions");
    for table in ["Product2", "Pricebook2"] {
        let right = rights.iter().find(|row| row["SobjectType"] == table).expect(table);
        assert_eq!(right["PermissionsRead"], json!(true), "{table}");
        assert_ne!(right["PermissionsEdit"], json!(true), "{table}: no more than is needed");
    }
    let unreadable = world.client.unreadable(OPPORTUNITY, &products).await.expect("an answer");
    assert_eq!(unreadable, [""; 0]);
    let remarks = world.client.examine(&wanted).await.expect("remarks");
    assert!(remarks.iter().all(|remark| !remark.what.contains("Product2")), "{remarks:?}");
}

/// An organisation that gives nobody anything: rows that only a permission set opens.
#[tokio::test]
async fn rights_on_rows_are_granted_and_what_was_granted_before_stays() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    for table in ["Opportunity", "Account", "Contact"] {
        world.sandbox.make_object_read_only(table);
    }
    let remarks = world.client.examine(&wanted("")).await.expect("remarks");
    let lacks = |remarks: &[Remark], words: &str| {
        remarks.iter().any(|remark| remark.fix.is_some() && remark.what.contains(words))
    };
    assert!(lacks(&remarks, "may not create rows of Opportunity"), "{remarks:?}");
    assert!(lacks(&remarks, "may not create rows of Account"), "{remarks:?}");

    // A set that an admin has begun by hand: it may read and delete.
    let set = json!({ "Name": "Cosell_Sync", "Label": "Cosell Sync" });
    let set = world.sandbox.create_as_person("PermissionSet", &set).expect("a set");
    let right = json!({
        "ParentId": set, "SobjectType": "Opportunity", "PermissionsRead": true,
        "PermissionsDelete": true,
    });
    world.sandbox.create_as_person("ObjectPermissions", &right).expect("a right");
    let steps = world.client.provision(&wanted(""), false).await.expect("a preparation");
    let rights = world.sandbox.rows("ObjectPermissions");
    let own = rights.iter().find(|row| row["SobjectType"] == "Opportunity").expect("a right");
    for column in ["PermissionsCreate", "PermissionsEdit", "PermissionsDelete"] {
        assert_eq!(own[column], json!(true), "{column}: {steps:?}");
    }
    assert_eq!(rights.len(), 3, "one for each table");
    let remarks = world.client.examine(&wanted("")).await.expect("remarks");
    assert!(!lacks(&remarks, "rows of"), "{remarks:?}");
    let new = world.create_fields();
    world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await.expect("a record");
}

#[tokio::test]
async fn each_privilege_that_is_missing_is_named_with_what_to_do() {
    let table = [
        ("ConvertLeads", "Convert Leads"),
        ("CustomizeApplication", "Customize Application"),
        ("ManageProfilesPermissionsets", "Manage Profiles and Permission Sets"),
        ("AssignPermissionSets", "Assign Permission Sets"),
    ];
    let world = World::plain().await;
    let remarks = world.client.examine(&wanted("")).await.expect("remarks");
    assert!(remarks.iter().all(|remark| remark.fix.is_none()), "all is well: {remarks:?}");
    assert!(remarks.iter().any(|remark| remark.what.contains("Developer Edition")), "{remarks:?}");
    for (name, title) in table {
        world.sandbox.set_permission(name, false);
        let remarks = world.client.examine(&wanted("")).await.expect("remarks");
        world.sandbox.set_permission(name, true);
        let lacking: Vec<_> = remarks.iter().filter(|remark| remark.fix.is_some()).collect();
        assert_eq!(lacking.len(), 1, "{name}: {lacking:?}");
        assert!(lacking[0].what.contains(title), "{name}: {lacking:?}");
        assert!(!lacking[0].serious, "{name}: the sync itself works without");
    }
}

/// The table of permissions is nothing that the guides promise: without it, or with nothing in it,
/// nobody is told that a permission is missing, and everything else is examined.
#[tokio::test]
async fn an_organisation_that_tells_no_permissions_is_no_problem() {
    let nothing = json!({ "totalSize": 0, "done": true, "records": [] }).to_string();
    let unknown = json!([{ "errorCode": "INVALID_TYPE", "message": "not supported" }]).to_string();
    for (path, status, body) in
        [("/UserPermissionAccess", 404, unknown), ("FROM%20UserPermissionAccess", 200, nothing)]
    {
        let world = World::plain().await;
        let content_type = "application/json".to_owned();
        let effect = FaultEffect::Answer { status, retry_after: None, content_type, body };
        world.fault("GET", path, effect);
        let remarks = world.client.examine(&wanted("")).await.expect("remarks");
        let advice: Vec<_> = remarks.iter().filter(|remark| remark.fix.is_some()).collect();
        assert_eq!(advice.len(), 1, "{path}: {advice:?}");
        assert!(advice[0].what.contains("cannot be read"), "{path}: {advice:?}");
        assert!(!advice[0].serious, "{path}: {advice:?}");
        assert!(remarks.iter().any(|remark| remark.what.contains("rows of Account")));
    }
}

/// Without the privilege the plan stays a plan, and the advice says who can carry it out.
#[tokio::test]
async fn a_user_who_may_not_make_fields_is_told_who_may() {
    let world = World::new(SandboxOptions::empty_org(), |_| {}).await;
    world.sandbox.set_permission("CustomizeApplication", false);
    let steps = world.client.provision(&wanted(""), false).await.expect("an answer");
    assert_eq!(count(&steps, "created"), 0, "{steps:?}");
    let advice = steps.iter().find(|step| step.what.contains("Customize Application"));
    assert!(advice.is_some_and(|step| step.outcome == "advice"), "{steps:?}");
}
