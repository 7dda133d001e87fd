//! Provisioning, discovery, rights, and webhooks as the platform sends them.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use cosell_sync::connect::crm::{Crm, Provision, ProvisionStep, WantedField};
use cosell_sync::connect::dynamics365::sandbox::{KeyActivation, SandboxOptions};
use cosell_sync::connect::dynamics365::{DataverseHook, SecretPlace};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::sandbox::serve;
use cosell_sync::connect::webhook::{Hint, WebhookSource};
use cosell_sync::domain::id::RecordKind;
use cosell_sync::domain::secret::SecretString;
use serde_json::{Value as Json, json};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::sync::mpsc;

use crate::crm_laws::Harness;
use crate::support::World;

fn field(name: &str, label: &str, kind: &str) -> WantedField {
    WantedField {
        name: name.to_owned(),
        label: label.to_owned(),
        kind: kind.to_owned(),
        max_length: 255,
        options: Vec::new(),
        unique: false,
    }
}

fn wanted(kind: RecordKind) -> Provision {
    let mut referral = field("pc_referralidentifier", "Referral Identifier", "text");
    referral.max_length = 100;
    referral.unique = true;
    let mut help = field("pc_help", "How can Microsoft help?", "option");
    help.options = ["General or other", "Quotes or licensing"].map(str::to_owned).to_vec();
    Provision {
        kind,
        prefix: "pc".to_owned(),
        container: "CosellSync".to_owned(),
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

fn outcomes(steps: &[ProvisionStep], outcome: &str) -> usize {
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

/// Microsoft's own connector is found by its labels; our own columns are not taken for it.
#[tokio::test]
async fn microsofts_connector_is_found_by_its_labels() {
    let world = World::plain().await;
    let found = world.client.discover_microsoft_connector("pc").await.expect("an answer");
    assert_eq!(found, [], "only our columns");
    world.sandbox.install_microsoft_connector();
    world.advance(std::time::Duration::from_secs(61));
    let found = world.client.discover_microsoft_connector("pc").await.expect("an answer");
    let labels: Vec<&str> = found.iter().map(|column| column.label.as_str()).collect();
    assert_eq!(found.len(), 8, "{labels:?}");
    assert!(labels.contains(&"Referral Identifier"));
}

/// Every table is tried; one that is not there is told with what to do.
#[tokio::test]
async fn rights_are_tried_table_by_table() {
    let world = World::plain().await;
    let tried = world.client.check_privileges(&["product", "nosuchtable"]).await.expect("a list");
    let problems: Vec<&str> = tried
        .iter()
        .filter(|privilege| privilege.problem.is_some())
        .map(|privilege| privilege.what.as_str())
        .collect();
    assert_eq!(problems, ["read nosuchtable"]);
    assert_eq!(tried.len(), 8);
}

type Received = (Vec<(String, String)>, Option<String>, Bytes);

/// A webhook as the platform sends it, with its real headers and body, becomes a hint.
#[tokio::test]
async fn a_real_delivery_becomes_a_hint() {
    let world = World::plain().await;
    let (send, mut receive) = mpsc::unbounded_channel::<Received>();
    let handler = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
            })
            .collect();
        send.send((headers, uri.query().map(str::to_owned), body)).expect("a receiver");
    };
    let router = Router::new().route("/hook", post(handler));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receiver = serve(router, listen).await.expect("a port");
    let secret = "a-secret-of-some-length";
    let cases = [
        (4, secret.to_owned(), SecretPlace::Query("code".to_owned())),
        (
            5,
            format!("<settings><setting name=\"x-pc-key\" value=\"{secret}\" /></settings>"),
            SecretPlace::Header("x-pc-key".to_owned()),
        ),
    ];
    for (kind, value, place) in cases {
        let endpoint = register(&world, &receiver.url(), kind, &value);
        let id = world.sandbox.seed_opportunity(&json!({"name": "Northwind"})).expect("a row");
        assert_eq!(world.sandbox.deliver().await, 1);
        let (headers, query, body) = receive.recv().await.expect("a delivery");
        let hook = DataverseHook::new(SecretString::from(secret), place, None).expect("a hook");
        let delivery = hook.accept(&headers, query.as_deref(), &body).await.expect("a delivery");
        let [Hint::Record { key, event }] = &delivery.hints[..] else { panic!("{delivery:?}") };
        assert_eq!((key.id.as_str(), event.as_str()), (id.as_str(), "opportunity Create"));
        // Its step goes with it.
        world.sandbox.delete_as_person("serviceendpoint", &endpoint).expect("a deletion");
        world.sandbox.lose_deliveries();
    }
}

/// Registers a webhook for new opportunities; returns the id of the endpoint.
fn register(world: &World, url: &str, kind: i64, secret: &str) -> String {
    let endpoint = json!({
        "name": "pc-sync", "url": format!("{url}/hook"), "contract": 8, "authtype": kind,
        "authvalue": secret, "messageformat": 2, "connectionmode": 1, "userclaim": 1,
    });
    let create =
        |table: &str, fields: &Json| world.sandbox.create_as_person(table, fields).expect("a row");
    let endpoint = create("serviceendpoint", &endpoint);
    let rows = world.sandbox.rows("sdkmessage");
    let message = rows.iter().find(|row| row["name"] == json!("Create")).expect("a message");
    let rows = world.sandbox.rows("sdkmessagefilter");
    let filter =
        rows.iter().find(|row| row["name"] == json!("Create of opportunity")).expect("a filter");
    let bind = |set: &str, id: &Json| json!(format!("/{set}({})", id.as_str().expect("an id")));
    let step = json!({
        "name": "pc-sync: opportunity Create", "stage": 40, "mode": 1, "rank": 1,
        "supporteddeployment": 0, "asyncautodelete": true,
        "eventhandler_serviceendpoint@odata.bind": bind("serviceendpoints", &json!(endpoint)),
        "sdkmessageid@odata.bind": bind("sdkmessages", &message["sdkmessageid"]),
        "sdkmessagefilterid@odata.bind": bind("sdkmessagefilters", &filter["sdkmessagefilterid"]),
    });
    create("sdkmessageprocessingstep", &step);
    endpoint
}
