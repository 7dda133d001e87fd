//! Provisioning, discovery, and rights.

use cosell_sync::connect::crm::{Crm, Provision, ProvisionStep, SellerAccess, WantedField};
use cosell_sync::connect::dynamics365::sandbox::{KeyActivation, SandboxOptions};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::domain::id::RecordKind;
use serde_json::json;

use crate::crm_laws::Harness;
use crate::support::{World, client, settings};

fn field(name: &str, label: &str, kind: &str) -> WantedField {
    WantedField {
        name: name.to_owned(),
        label: label.to_owned(),
        kind: kind.to_owned(),
        max_length: 255,
        options: Vec::new(),
        unique: false,
        sellers: SellerAccess::Edit,
    }
}

/// What a mapping asks for.
pub(crate) fn wanted(kind: RecordKind) -> Provision {
    let mut referral = field("pc_referralidentifier", "Referral Identifier", "text");
    referral.max_length = 100;
    referral.unique = true;
    let mut help = field("pc_help", "How can Microsoft help?", "option");
    help.options = ["General or other", "Quotes or licensing"].map(str::to_owned).to_vec();
    Provision {
        kind,
        prefix: "pc".to_owned(),
        container: "CosellSync".to_owned(),
        watched: Vec::new(),
        fields: vec![
            field("pc_syncwithpartnercenter", "Sync with Partner Center", "boolean"),
            referral,
            field("pc_referrallink", "Referral Link", "url"),
            field("pc_audit", "Audit", "long_text"),
            field("pc_synctoken", "Sync Token", "text"),
            help,
        ],
    }
}

/// How many steps ended so.
pub(crate) fn outcomes(steps: &[ProvisionStep], outcome: &str) -> usize {
    steps.iter().filter(|step| step.outcome == outcome).count()
}

/// A dry run changes nothing, a run makes everything, a second run changes nothing.
#[tokio::test]
async fn provisioning_twice_changes_nothing_the_second_time() {
    let world = World::new(SandboxOptions::empty_organization(), |_| {}).await;
    let wanted = wanted(RecordKind::Opportunity);
    let dry = world.client.provision(&wanted, true).await.expect("a plan");
    assert_eq!(world.sandbox.write_count(), 0, "{dry:?}");
    // Publisher, solution, six columns, key, tracking.
    assert_eq!(outcomes(&dry, "would create"), 10, "{dry:?}");

    let made = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&made, "created"), 11, "the plan and publishing: {made:?}");
    assert_eq!(outcomes(&made, "waiting"), 0, "the key's index was waited for: {made:?}");
    let schema = world.client.describe(RecordKind::Opportunity).await.expect("a schema");
    assert_eq!(schema.keys, ["pc_referralidentifier"]);
    assert!(schema.tracks_changes);
    let kind = |name: &str| {
        let found = schema.fields.iter().find(|field| field.name == name);
        found.map(|field| (field.kind.as_str(), field.max_length))
    };
    assert_eq!(kind("pc_referralidentifier"), Some(("text", Some(100))));
    assert_eq!(kind("pc_referrallink"), Some(("url", Some(255))));
    assert_eq!(kind("pc_audit"), Some(("long_text", Some(255))));
    assert_eq!(kind("pc_syncwithpartnercenter"), Some(("boolean", None)));
    let help = schema.fields.iter().find(|field| field.name == "pc_help").expect("a column");
    assert_eq!(help.options[1], ("727000001".to_owned(), "Quotes or licensing".to_owned()));

    world.sandbox.clear_request_log();
    let again = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&again, "present"), again.len(), "{again:?}");
    assert_eq!(world.sandbox.write_count(), 0, "nothing was written");
}

/// What was provisioned works: a create by key, and the feed.
#[tokio::test]
async fn what_was_provisioned_works() {
    let world = World::new(SandboxOptions::empty_organization(), |_| {}).await;
    let referral = "11111111-2222-4333-8444-555555555555";
    let kind = RecordKind::Opportunity;
    let early = world.client.create(kind, referral, &world.create_fields(), &world.shape()).await;
    assert!(matches!(early, Err(ConnectError::Rejected(_))), "{early:?}");
    world.client.provision(&wanted(kind), false).await.expect("a run");
    let made = world.client.create(kind, referral, &world.create_fields(), &world.shape()).await;
    let made = made.expect("a record");
    let page = world.client.changes(kind, None, &world.shape()).await.expect("a page");
    assert_eq!(page.changed, [made]);
}

/// An index that takes too long is reported, not waited for without end.
#[tokio::test]
async fn a_slow_index_is_reported_as_waiting() {
    let options = SandboxOptions {
        key_activation: KeyActivation::After(std::time::Duration::from_secs(3600)),
        ..SandboxOptions::empty_organization()
    };
    let world = World::new(options, |_| {}).await;
    let steps = world.client.provision(&wanted(RecordKind::Lead), false).await.expect("a run");
    assert_eq!(outcomes(&steps, "waiting"), 1, "{steps:?}");
}

/// What cannot work is refused before anything is made.
#[tokio::test]
async fn impossible_wishes_are_refused_before_anything_is_made() {
    let world = World::plain().await;
    let good = wanted(RecordKind::Opportunity);
    let with = |change: &dyn Fn(&mut Provision)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let table = [
        (with(&|bad| bad.prefix = "p c".to_owned()), "a prefix with a space"),
        (with(&|bad| bad.container = "'; drop".to_owned()), "a solution that is no name"),
        (with(&|bad| bad.fields[0].name = "xx_sync".to_owned()), "another prefix"),
        (with(&|bad| bad.fields[0].name = "pc_Sync".to_owned()), "upper case"),
        (with(&|bad| bad.container = "Default".to_owned()), "a solution of another publisher"),
        (with(&|bad| bad.fields[0].kind = "text".to_owned()), "there, with another type"),
    ];
    for (bad, why) in table {
        let refused = world.client.provision(&bad, false).await;
        assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{why}: {refused:?}");
    }
    assert_eq!(world.sandbox.write_count(), 0);
}

/// An index that failed is built again; where rows still hold the same value, that is told.
#[tokio::test]
async fn a_failed_index_is_built_again() {
    let world = World::new(SandboxOptions::empty_organization(), |_| {}).await;
    let kind = RecordKind::Opportunity;
    let mut without_key = wanted(kind);
    without_key.fields[1].unique = false;
    world.client.provision(&without_key, false).await.expect("a run");
    let twin = json!({"pc_referralidentifier": "11111111-2222-4333-8444-555555555555"});
    let first = world.sandbox.seed_opportunity(&twin).expect("a row");
    world.sandbox.seed_opportunity(&twin).expect("a row");
    let told = |steps: &[ProvisionStep]| {
        let advice = steps.iter().filter(|step| step.outcome == "advice");
        advice.filter(|step| step.what.contains("clear the duplicates")).count()
    };
    for round in ["made", "made again"] {
        let steps = world.client.provision(&wanted(kind), false).await.expect("a run");
        assert_eq!(told(&steps), 1, "{round}: {steps:?}");
    }
    world.sandbox.delete_as_person("opportunity", &first).expect("a deletion");
    let dry = world.client.provision(&wanted(kind), true).await.expect("a plan");
    assert_eq!(outcomes(&dry, "would create"), 1, "{dry:?}");
    let steps = world.client.provision(&wanted(kind), false).await.expect("a run");
    assert_eq!((told(&steps), outcomes(&steps, "created")), (0, 1), "{steps:?}");
    let steps = world.client.provision(&wanted(kind), false).await.expect("a run");
    assert_eq!(outcomes(&steps, "present"), steps.len(), "{steps:?}");
}

/// The columns of sellers are put on the forms that were asked for, once; what was there stays.
#[tokio::test]
async fn a_form_shows_the_columns_once() {
    let kind = RecordKind::Opportunity;
    let world = World::new(SandboxOptions::empty_organization(), |settings| {
        settings.forms = vec!["Opportunity".to_owned(), "Lead".to_owned()];
    })
    .await;
    let mut wanted = wanted(kind);
    wanted.fields[3].sellers = SellerAccess::Read;
    wanted.fields[4].sellers = SellerAccess::None;
    wanted.fields[5].label = "How can \"Microsoft\" help & <support>?".to_owned();
    let form = || {
        let rows = world.sandbox.rows("systemform");
        let own = rows.iter().find(|row| row["objecttypecode"] == "opportunity").cloned();
        own.expect("a form")["formxml"].as_str().expect("XML").to_owned()
    };
    let delivered = form();
    let dry = world.client.provision(&wanted, true).await.expect("a plan");
    assert!(dry.iter().any(|step| step.what.contains("form Opportunity")), "{dry:?}");
    assert_eq!(form(), delivered);

    world.client.provision(&wanted, false).await.expect("a run");
    let made = form();
    let (before, after) = delivered.split_once("</sections>").expect("a section");
    assert!(made.starts_with(before) && made.ends_with(after), "what was there stays: {made}");
    let shown = |name: &str| made.matches(&format!("datafieldname=\"{name}\"")).count();
    assert_eq!((shown("pc_syncwithpartnercenter"), shown("pc_synctoken")), (1, 0));
    assert!(made.contains("datafieldname=\"pc_audit\" disabled=\"true\""), "{made}");
    assert!(made.contains("datafieldname=\"pc_help\" disabled=\"false\""), "{made}");

    wanted.fields.push(field("pc_note", "Note", "text"));
    let more = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&more, "created"), 3, "column, its place, publishing: {more:?}");
    assert_eq!(form().matches("name=\"cosell_sync\"").count(), 1, "one section: {}", form());
    let writes = world.sandbox.write_count();
    let again = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&again, "present"), again.len(), "{again:?}");
    assert_eq!(world.sandbox.write_count(), writes);

    let mut misspelt = settings(&world.serving, &SandboxOptions::default());
    misspelt.forms = vec!["Oportunity".to_owned()];
    let told = client(misspelt, &world.clock).provision(&wanted, false).await.expect("a run");
    let advice = told.iter().find(|step| step.outcome == "advice").expect("advice");
    assert!(advice.what.contains("it has Opportunity"), "{}", advice.what);
}

/// Remarks that are not good news: what, and whether it is serious.
async fn bad(world: &World, kind: RecordKind) -> Vec<(String, bool)> {
    let remarks = world.client.examine(&wanted(kind)).await.expect("remarks");
    let bad = remarks.into_iter().filter(|remark| remark.fix.is_some());
    bad.map(|remark| (remark.what, remark.serious)).collect()
}

/// Microsoft's own connector is found by its labels; our own columns are not taken for it.
#[tokio::test]
async fn microsofts_connector_is_found_by_its_labels() {
    let world = World::plain().await;
    assert_eq!(bad(&world, RecordKind::Opportunity).await, [], "only our columns");
    world.sandbox.install_microsoft_connector();
    world.advance(std::time::Duration::from_secs(61));
    let found = bad(&world, RecordKind::Opportunity).await;
    let [(what, serious)] = &found[..] else { panic!("{found:?}") };
    assert!(!serious);
    assert!(what.contains("Two engines"), "{what}");
    let rows = world.client.describe(RecordKind::Opportunity).await.expect("a schema").fields;
    let theirs = rows.iter().filter(|field| !field.name.starts_with("pc_"));
    let theirs = theirs.filter(|field| what.contains(&format!("{} = {}", field.label, field.name)));
    assert_eq!(theirs.count(), 8, "every column with its logical name: {what}");
}

/// Rights are told one by one; what is missing is told by the platform's own name.
#[expect(clippy::type_complexity, reason = "a table: what is missing, and what is told")]
#[tokio::test]
async fn rights_are_told_one_by_one() {
    let table: &[(&[&str], &[&str], RecordKind, &[(&str, bool)], &str)] = &[
        (&[], &[], RecordKind::Opportunity, &[], "everything"),
        (&[], &[], RecordKind::Lead, &[], "everything"),
        (
            &["prvWriteOpportunity", "prvCreateAccount"],
            &[],
            RecordKind::Opportunity,
            &[("prvWriteOpportunity", true), ("prvCreateAccount", true)],
            "two are missing",
        ),
        (
            &[],
            &["prvReadLead", "prvReadContact"],
            RecordKind::Lead,
            &[("prvReadLead", true), ("prvReadContact", false)],
            "own rows only: the feed does not work; contacts of others are not found",
        ),
        (&["prvWriteLead"], &[], RecordKind::Opportunity, &[], "not a table of this mapping"),
    ];
    for (withheld, basic, kind, expected, why) in table {
        let world = World::plain().await;
        world.sandbox.configure(|options| {
            options.withheld_privileges = withheld.iter().map(|&name| name.to_owned()).collect();
            options.basic_privileges = basic.iter().map(|&name| name.to_owned()).collect();
        });
        let found = bad(&world, *kind).await;
        assert_eq!(found.len(), expected.len(), "{why}: {found:?}");
        for (name, serious) in *expected {
            let told = found.iter().any(|(what, found)| what.contains(name) && found == serious);
            assert!(told, "{why}: {name}: {found:?}");
        }
    }
}

/// A mapping that reads lines needs the right to: it is asked for where the mapping does so.
#[tokio::test]
async fn the_right_to_read_lines_is_told_where_they_are_mapped() {
    let world = World::plain().await;
    world.sandbox.configure(|options| {
        options.withheld_privileges = vec!["prvReadOpportunityproduct".to_owned()];
    });
    let mut wanted = wanted(RecordKind::Opportunity);
    for (watched, expected) in [("name", 0), ("product_opportunities", 1)] {
        wanted.watched = vec![watched.to_owned()];
        let remarks = world.client.examine(&wanted).await.expect("remarks");
        let told = remarks
            .iter()
            .filter(|remark| remark.serious && remark.what.contains("prvReadOpportunityproduct"));
        assert_eq!(told.count(), expected, "{watched}: {remarks:?}");
    }
}

/// What the platform refuses for a missing right is told as a refusal, not tried for ever.
#[tokio::test]
async fn a_missing_right_is_a_refusal() {
    let world = World::plain().await;
    let kind = RecordKind::Opportunity;
    let withhold = |name: &str, basic: bool| {
        world.sandbox.configure(|options| {
            let list = if basic {
                &mut options.basic_privileges
            } else {
                &mut options.withheld_privileges
            };
            *list = vec![name.to_owned()];
        });
    };
    withhold("prvCreateOpportunity", false);
    let referral = "11111111-2222-4333-8444-555555555555";
    let made = world.client.create(kind, referral, &world.create_fields(), &world.shape()).await;
    let Err(ConnectError::Rejected(refusal)) = made else { panic!("{made:?}") };
    assert_eq!(refusal.code, "0x80040220");
    withhold("prvReadOpportunity", true);
    let page = world.client.changes(kind, None, &world.shape()).await;
    assert!(matches!(page, Err(ConnectError::Rejected(_))), "{page:?}");
}
