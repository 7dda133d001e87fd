//! Webhooks: their registration, and deliveries as the platform sends them.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use cosell_sync::connect::crm::{Crm, Provision};
use cosell_sync::connect::dynamics365::sandbox::SandboxOptions;
use cosell_sync::connect::dynamics365::{DataverseHook, Dynamics365, SecretPlace, WebhookTarget};
use cosell_sync::connect::sandbox::{Serving, serve};
use cosell_sync::connect::webhook::{Hint, Refused, WebhookSource};
use cosell_sync::domain::id::{RecordId, RecordKind};
use cosell_sync::domain::secret::SecretString;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::crm_laws::Harness;
use crate::setup::{outcomes, wanted};
use crate::support::{World, client, settings};

const HEADER: &str = "x-cosell-sync";
const SECRET: &str = "a-secret-of-some-length & \"more\"";

fn target(url: &str) -> WebhookTarget {
    WebhookTarget {
        name: "cosell-sync contoso".to_owned(),
        url: url.parse().expect("an address"),
        header: HEADER.to_owned(),
        secret: SecretString::from(SECRET),
    }
}

/// The webhook is registered once, follows our address and the mapping, and leaves alone what a
/// person switched off.
#[tokio::test]
async fn webhooks_are_registered_once_and_follow_the_settings() {
    const URL: &str = "https://cosell.contoso.example/webhooks/dynamics365/contoso";
    let options = SandboxOptions { refuse_odd_webhook_ports: true, ..SandboxOptions::default() };
    let world = World::new(options.clone(), |settings| settings.webhook = Some(target(URL))).await;
    let kind = RecordKind::Opportunity;
    let mut wanted = wanted(kind);
    wanted.fields.truncate(2);
    wanted.watched =
        ["name", "statecode", "nosuchcolumn", "pc_referralidentifier"].map(str::to_owned).to_vec();
    let dry = world.client.provision(&wanted, true).await.expect("a plan");
    assert_eq!(outcomes(&dry, "would create"), 4, "an endpoint, three steps: {dry:?}");
    assert_eq!(world.sandbox.write_count(), 0);
    let missing = bad_of(&world.client, &wanted).await;
    assert_eq!(missing.len(), 4, "the doctor says so: {missing:?}");

    let made = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&made, "created"), 4, "{made:?}");
    let steps = world.sandbox.rows("sdkmessageprocessingstep");
    assert!(steps.iter().all(|step| step["mode"] == json!(1) && step["stage"] == json!(40)));
    let columns: Vec<&str> =
        steps.iter().filter_map(|step| step["filteringattributes"].as_str()).collect();
    assert_eq!(columns, ["name,pc_referralidentifier,statecode"], "updates name their columns");
    let writes = world.sandbox.write_count();
    let again = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&again, "present"), again.len(), "{again:?}");
    assert_eq!(world.sandbox.write_count(), writes, "nothing was written");
    assert_eq!(bad_of(&world.client, &wanted).await, Vec::<String>::new(), "content");

    // The mapping changed, and the daemon moved.
    wanted.watched.push("estimatedvalue".to_owned());
    let changed = world.client.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&changed, "created"), 1, "{changed:?}");
    let mut moved = settings(&world.serving, &options);
    moved.webhook = Some(target("https://cosell.fabrikam.example/webhooks/dynamics365/contoso"));
    let moved = client(moved, &world.clock);
    let changed = moved.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&changed, "created"), 1, "{changed:?}");
    let endpoints = world.sandbox.rows("serviceendpoint");
    assert_eq!(endpoints.len(), 1);
    assert!(endpoints[0]["url"].as_str().is_some_and(|url| url.contains("fabrikam")));

    let id =
        world.sandbox.rows("sdkmessageprocessingstep")[0]["sdkmessageprocessingstepid"].clone();
    let off = json!({"statecode": 1, "statuscode": 2});
    let id = id.as_str().expect("an id");
    world.sandbox.edit_as_person("sdkmessageprocessingstep", id, &off).expect("switched off");
    let left = moved.provision(&wanted, false).await.expect("a run");
    assert_eq!((outcomes(&left, "advice"), outcomes(&left, "created")), (1, 0), "{left:?}");

    let mut odd = settings(&world.serving, &options);
    odd.webhook = Some(target("https://cosell.contoso.example:8443/hook"));
    let refused = client(odd, &world.clock).provision(&wanted, false).await.expect("a run");
    assert_eq!((outcomes(&refused, "advice"), outcomes(&refused, "created")), (1, 0));
}

async fn bad_of(client: &Dynamics365, wanted: &Provision) -> Vec<String> {
    let remarks = client.examine(wanted).await.expect("remarks");
    remarks.into_iter().filter(|remark| remark.fix.is_some()).map(|remark| remark.what).collect()
}

type Received = (Vec<(String, String)>, Option<String>, Bytes);

/// Stands where the daemon's door is, and passes on what it is sent.
async fn receiver() -> (Serving, UnboundedReceiver<Received>) {
    let (send, receive) = mpsc::unbounded_channel::<Received>();
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
    (serve(router, listen).await.expect("a port"), receive)
}

fn hook(secret: &str) -> DataverseHook {
    let place = SecretPlace::Header(HEADER.to_owned());
    DataverseHook::new(SecretString::from(secret), place, None).expect("a hook")
}

/// The environment does not tell the secret it holds; all the same a changed one is seen, told by a
/// dry run, and reaches it with the next run. What people may read there does not hold it.
#[tokio::test]
async fn a_changed_secret_reaches_the_environment() {
    const NEW: &str = "another-secret-of-some-length";
    let (serving, mut receive) = receiver().await;
    let url = format!("{}/hook", serving.url());
    let options = SandboxOptions::default();
    let world = World::new(options.clone(), |settings| settings.webhook = Some(target(&url))).await;
    let mut wanted = wanted(RecordKind::Opportunity);
    wanted.fields.truncate(2);
    world.client.provision(&wanted, false).await.expect("a run");
    let mut changed = settings(&world.serving, &options);
    changed.webhook = Some(WebhookTarget { secret: SecretString::from(NEW), ..target(&url) });
    let changed = client(changed, &world.clock);

    let writes = world.sandbox.write_count();
    let dry = changed.provision(&wanted, true).await.expect("a plan");
    let planned = dry.iter().filter(|step| step.outcome == "would create").collect::<Vec<_>>();
    assert!(planned.len() == 1 && planned[0].what.contains("our secret"), "{dry:?}");
    let told = bad_of(&changed, &wanted).await;
    assert!(told.len() == 1 && told[0].contains("our secret"), "the doctor says so: {told:?}");
    assert_eq!(world.sandbox.write_count(), writes, "nothing was written");

    let new_row = json!({"name": "Northwind"});
    for (provision, accepted, refused) in [(false, SECRET, NEW), (true, NEW, SECRET)] {
        if provision {
            let made = changed.provision(&wanted, false).await.expect("a run");
            assert_eq!(outcomes(&made, "created"), 1, "{made:?}");
        }
        world.sandbox.seed_opportunity(&new_row).expect("a row");
        assert_eq!(world.sandbox.deliver().await, 1);
        let (headers, query, body) = receive.recv().await.expect("a delivery");
        hook(accepted).accept(&headers, query.as_deref(), &body).await.expect("accepted");
        let other = hook(refused).accept(&headers, query.as_deref(), &body).await;
        assert!(matches!(other, Err(Refused::NotAuthentic(_))), "{provision}: {other:?}");
    }
    let again = changed.provision(&wanted, false).await.expect("a run");
    assert_eq!(outcomes(&again, "present"), again.len(), "{again:?}");
    let readable = world.sandbox.rows("serviceendpoint")[0]["description"].to_string();
    assert!(readable.contains("Fingerprint") && !readable.contains(NEW), "{readable}");
}

/// A webhook as the platform sends it, with its real headers and body, becomes a hint; our own write
/// does not; a body that was stripped for its size serves as well.
#[tokio::test]
async fn a_real_delivery_becomes_a_hint() {
    let (serving, mut receive) = receiver().await;
    let url = format!("{}/hook", serving.url());
    let world =
        World::new(SandboxOptions::default(), |settings| settings.webhook = Some(target(&url)))
            .await;
    let mut wanted = wanted(RecordKind::Opportunity);
    wanted.fields.truncate(2);
    wanted.watched = vec!["name".to_owned(), "description".to_owned()];
    world.client.provision(&wanted, false).await.expect("a run");
    let hook = hook(SECRET);

    let id = world.sandbox.seed_opportunity(&json!({"name": "Northwind"})).expect("a row");
    let edit = |fields: Json| world.sandbox.edit_as_person("opportunity", &id, &fields);
    edit(json!({"description": "x".repeat(2000)})).expect("an edit");
    edit(json!({"closeprobability": 50})).expect("an edit of a column that is not mapped");
    world.sandbox.configure(|options| options.webhook_body_limit = 2000);
    edit(json!({"description": "y".repeat(2000)})).expect("an edit over the limit");
    let shape = world.shape();
    let id = RecordId::new(id);
    let record = world.client.fetch(RecordKind::Opportunity, &id, &shape).await.expect("a read");
    let record = record.expect("a record");
    let ours = json!({"description": "ours"}).as_object().cloned().expect("an object");
    world.client.update(&record, &record.version, &ours, &shape).await.expect("our write");
    world.sandbox.delete_as_person("opportunity", id.as_str()).expect("a deletion");

    assert_eq!(world.sandbox.deliver().await, 5);
    for (expected, is_news, is_stripped) in [
        ("opportunity Create", true, false),
        ("opportunity Update", true, false),
        ("opportunity Update", true, true),
        ("opportunity Update", false, false),
        ("opportunity Delete", true, false),
    ] {
        let (headers, query, body) = receive.recv().await.expect("a delivery");
        let size = headers.iter().any(|(name, _)| name == "x-ms-dynamics-msg-size-exceeded");
        assert_eq!(size, is_stripped, "{expected}");
        let delivery = hook.accept(&headers, query.as_deref(), &body).await.expect("a delivery");
        match &delivery.hints[..] {
            [Hint::Record { key, event }] if is_news => {
                assert_eq!((&key.id, event.as_str()), (&id, expected));
            }
            [Hint::Unused { event }] if !is_news => assert_eq!(event, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}
