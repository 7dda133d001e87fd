//! Provisioning an empty organisation, and doing it again.

use cosell_sync::connect::crm::{Crm, Provision, ProvisionStep, WantedField};
use cosell_sync::connect::salesforce::sandbox::SandboxOptions;
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
    assert_eq!(count(&planned, "would create"), 14, "{planned:?}");
    assert_eq!(world.sandbox.request_log().writes, 0, "a plan writes nothing");

    let steps = world.client.provision(&wanted(""), false).await.expect("a preparation");
    assert_eq!(count(&steps, "created"), 14, "6 fields, set, 6 grants, assignment: {steps:?}");
    assert_eq!(count(&steps, "advice"), 1, "the page layout");

    let writes = world.sandbox.request_log().writes;
    let again = world.client.provision(&wanted(""), false).await.expect("a second one");
    assert_eq!(count(&again, "created"), 0, "{again:?}");
    assert_eq!(count(&again, "present"), 14);
    assert_eq!(world.sandbox.request_log().writes, writes, "nothing was changed");

    let new = world.create_fields();
    let made = world.client.create(OPPORTUNITY, REFERRAL, &new, &world.shape()).await;
    assert_eq!(made.expect("a record").fields["Referral_Identifier__c"], json!(REFERRAL));
    let schema = world.client.describe(OPPORTUNITY).await.expect("a schema");
    assert!(schema.keys.contains(&"Referral_Identifier__c".to_owned()));
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
