//! What one stream tells: every change once, nothing of what we wrote, gaps as gaps.

use std::net::{Ipv4Addr, SocketAddr};

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::events::{EventBatch, EventHint, EventStream};
use cosell_sync::connect::salesforce::sandbox::pubsub::PubSubServing;
use cosell_sync::connect::salesforce::sandbox::{CustomField, SalesforceSandbox, SandboxOptions};
use cosell_sync::connect::salesforce::{Auth, EventSettings, Salesforce, Settings};
use cosell_sync::connect::sandbox::{Fault, FaultEffect, SandboxClock, Serving, serve};
use cosell_sync::domain::id::RecordKind;
use cosell_sync::domain::record::Shape;
use serde_json::{Value as Json, json};

/// An organisation, its service, and a client of both.
pub(crate) struct Site {
    sandbox: SalesforceSandbox,
    clock: SandboxClock,
    pubsub: PubSubServing,
    client: Salesforce,
    _rest: Serving,
}

impl Site {
    async fn start(tls: bool, change: impl FnOnce(&mut Settings, &PubSubServing)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = SandboxClock::running();
        let options = SandboxOptions::default();
        let sandbox = SalesforceSandbox::new(options.clone(), clock.clone());
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let rest = serve(sandbox.router(), anywhere).await.expect("a port");
        let pubsub = sandbox.serve_pubsub(anywhere, tls).await.expect("a port");
        let auth = Auth::ClientCredentials {
            client_id: options.client_id,
            secret: options.client_secret.into(),
        };
        let mut settings = Settings::new(rest.url().parse().expect("an address"), auth);
        settings.events = Some(EventSettings {
            url: pubsub.url().parse().expect("an address"),
            opportunity_topic: "/data/OpportunityChangeEvent".to_owned(),
            lead_topic: "/data/LeadChangeEvent".to_owned(),
            at_once: 10,
        });
        change(&mut settings, &pubsub);
        let (time, chance) = cosell_sync::app::ordinary();
        let client = Salesforce::new(settings, time, chance, None).expect("a client");
        Self { sandbox, clock, pubsub, client, _rest: rest }
    }

    async fn plain() -> Self {
        Self::start(false, |_, _| ()).await
    }

    async fn listen(&self, place: Option<&str>) -> Result<Box<dyn EventStream>, ConnectError> {
        let events = self.client.events().expect("a stream of events");
        events.listen(RecordKind::Opportunity, place).await
    }

    /// A stream that has begun, with its place.
    async fn begun(&self) -> (Box<dyn EventStream>, String) {
        let mut stream = self.listen(None).await.expect("a stream");
        let opened = self.sandbox.subscriptions().len();
        let first = tokio::spawn(async move {
            let batch = stream.next(&shape()).await.expect("a sign of life");
            (stream, batch)
        });
        while self.sandbox.subscriptions().len() == opened {
            tokio::task::yield_now().await;
        }
        self.sandbox.send_life_signs();
        let (stream, batch) = first.await.expect("a task");
        assert!(batch.hints.is_empty() && !batch.behind, "{batch:?}");
        (stream, batch.place.expect("a place"))
    }

    fn seed(&self, more: Json) -> String {
        let mut row = json!({
            "Name": "Contoso rollout", "StageName": "Prospecting", "CloseDate": "2026-12-31",
        });
        row.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("fields"));
        self.sandbox.create_as_person("Opportunity", &row).expect("an opportunity")
    }

    fn edit(&self, id: &str, fields: Json) {
        self.sandbox.edit_as_person("Opportunity", id, &fields).expect("an edit");
    }
}

pub(crate) fn shape() -> Shape {
    Shape {
        fields: ["Name", "Amount", "Description"].map(str::to_owned).into(),
        referral_field: "Referral_Identifier__c".to_owned(),
        sync_field: "Sync_With_Partner_Center__c".to_owned(),
        token_field: Some("Sync_Token__c".to_owned()),
    }
}

/// Batches until `count` hints have come.
async fn hints(stream: &mut Box<dyn EventStream>, count: usize) -> (Vec<EventHint>, EventBatch) {
    let mut all = Vec::new();
    loop {
        let batch = stream.next(&shape()).await.expect("a batch");
        all.extend(batch.hints.clone());
        if all.len() >= count {
            return (all, batch);
        }
    }
}

fn told(hints: &[EventHint]) -> Vec<(&str, &str, bool)> {
    hints.iter().map(|hint| (hint.id.as_str(), hint.event.as_str(), hint.concerns_us)).collect()
}

#[tokio::test]
async fn every_change_of_a_person_is_told_with_what_makes_it_ours() {
    let site = Site::plain().await;
    let (mut stream, _) = site.begun().await;
    let id = site.seed(json!({}));
    site.edit(&id, json!({ "Amount": 5000, "CloseDate": "2027-01-31" }));
    site.edit(&id, json!({ "Sync_With_Partner_Center__c": true }));
    site.edit(&id, json!({ "Sync_With_Partner_Center__c": false }));
    site.sandbox.delete_as_person("Opportunity", &id).expect("a deletion");
    site.sandbox.undelete_as_person("Opportunity", &id).expect("undeleted");
    let (hints, last) = hints(&mut stream, 6).await;
    let expected = [
        (id.as_str(), "change-event CREATE", false),
        (id.as_str(), "change-event UPDATE", false),
        (id.as_str(), "change-event UPDATE", true),
        (id.as_str(), "change-event UPDATE", false),
        (id.as_str(), "change-event DELETE", false),
        (id.as_str(), "change-event UNDELETE", false),
    ];
    assert_eq!(told(&hints), expected);
    assert!(!last.behind);
}

#[tokio::test]
async fn what_we_wrote_is_not_told_but_what_a_person_wrote_meanwhile_is() {
    let site = Site::plain().await;
    let id = site.seed(json!({ "Sync_With_Partner_Center__c": true }));
    let record = cosell_sync::domain::id::RecordId::new(id.clone());
    let kind = RecordKind::Opportunity;
    let read = site.client.fetch(kind, &record, &shape()).await.expect("an answer");
    let read = read.expect("the record");
    let (mut stream, _) = site.begun().await;
    let new = json!({ "Description": "Written by us" });
    let new = new.as_object().expect("fields").clone();
    let written = site.client.update(&read, &read.version, &new, &shape()).await;
    written.expect("a write");
    site.edit(&id, json!({ "Description": "Written by a person" }));
    let (hints, _) = hints(&mut stream, 1).await;
    assert_eq!(told(&hints), [(id.as_str(), "change-event UPDATE", false)], "one of two changes");
    let row = site.sandbox.row("Opportunity", &id).expect("the row");
    assert_eq!(row["Description"], "Written by a person");
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left() {
    let site = Site::plain().await;
    let (mut stream, _) = site.begun().await;
    let first = site.seed(json!({}));
    let (_, batch) = hints(&mut stream, 1).await;
    let place = batch.place.expect("a place");
    site.pubsub.drop_streams();
    let broken = stream.next(&shape()).await.expect_err("the stream was cut");
    assert!(matches!(broken, ConnectError::Unavailable(_)), "{broken:?}");
    let missed = site.seed(json!({}));
    site.edit(&first, json!({ "Amount": 1 }));
    let mut stream = site.listen(Some(&place)).await.expect("a stream");
    let (hints, _) = hints(&mut stream, 2).await;
    let expected = [
        (missed.as_str(), "change-event CREATE", false),
        (first.as_str(), "change-event UPDATE", false),
    ];
    assert_eq!(told(&hints), expected, "nothing twice, nothing missed");
    assert!(site.sandbox.subscriptions().last().is_some_and(|last| last.resumed));
}

#[tokio::test]
async fn no_more_is_asked_for_than_may_wait_and_a_burst_still_arrives() {
    let site = Site::plain().await;
    let (mut stream, _) = site.begun().await;
    let ids: Vec<String> = (0..130).map(|_| site.seed(json!({}))).collect();
    let (hints, _) = hints(&mut stream, ids.len()).await;
    let named: Vec<&str> = hints.iter().map(|hint| hint.id.as_str()).collect();
    assert_eq!(named, ids.iter().map(String::as_str).collect::<Vec<_>>(), "in order");
    let most = site.sandbox.most_events_asked_for();
    assert!((1..=10).contains(&most), "{most} at once");
}

#[tokio::test]
async fn gaps_overflows_and_wildcards_leave_us_behind() {
    let site = Site::plain().await;
    let (mut stream, _) = site.begun().await;
    let id = "006000000000001AAA";
    let table: [(&[&str], &str, usize, &str); 5] = [
        (&[id], "GAP_UPDATE", 1, "a gap names the row and no value"),
        (&[id, "006000000000002AAA"], "GAP_CREATE", 2, "several rows"),
        (&["006*"], "UPDATE", 0, "every row of the object"),
        (&["000000000000000AAA"], "GAP_OVERFLOW", 0, "too much to tell"),
        (&["no id"], "UPDATE", 0, "nothing usable"),
    ];
    for (ids, change, count, why) in table {
        site.sandbox.publish_gap("Opportunity", ids, change);
        let batch = stream.next(&shape()).await.expect("a batch");
        assert_eq!((batch.hints.len(), batch.behind), (count, true), "{why}");
        assert!(batch.place.is_some(), "{why}: the stream goes on");
    }
}

#[tokio::test]
async fn a_place_that_is_no_longer_known_is_reported_and_never_means_from_now_on() {
    let site = Site::plain().await;
    let (_, place) = site.begun().await;
    let cut = place.replace("00D", "00E");
    let other = site.listen(Some(&cut)).await.err();
    assert!(matches!(other, Some(ConnectError::CursorExpired)), "another organisation: {other:?}");
    let odd = site.listen(Some("x")).await.err();
    assert!(matches!(odd, Some(ConnectError::CursorExpired)), "no place: {odd:?}");

    site.seed(json!({}));
    site.clock.advance(std::time::Duration::from_secs(73 * 3600));
    let mut stream = site.listen(Some(&place)).await.expect("a stream");
    let old = stream.next(&shape()).await.expect_err("older than 72 hours");
    assert!(matches!(old, ConnectError::CursorExpired), "{old:?}");

    let (_, place) = site.begun().await;
    site.sandbox.expire_replay_ids();
    let mut stream = site.listen(Some(&place)).await.expect("a stream");
    let gone = stream.next(&shape()).await.expect_err("all replay ids are void");
    assert!(matches!(gone, ConnectError::CursorExpired), "{gone:?}");
}

#[tokio::test]
async fn a_session_that_ends_is_renewed() {
    let site = Site::plain().await;
    let (mut stream, place) = site.begun().await;
    site.sandbox.expire_sessions();
    let id = site.seed(json!({}));
    let ended = stream.next(&shape()).await.expect_err("the session has ended");
    assert!(matches!(ended, ConnectError::Unavailable(_)), "{ended:?}");
    let mut stream = site.listen(Some(&place)).await.expect("signed in afresh");
    assert_eq!(hints(&mut stream, 1).await.0[0].id.as_str(), id);

    // The session dies between two streams: the first call of the next one finds out.
    site.sandbox.expire_sessions();
    site.listen(None).await.expect("signed in afresh");
    let refusal = FaultEffect::Answer {
        status: 400,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: r#"{"error":"inactive_user","error_description":"user is inactive"}"#.to_owned(),
    };
    site.sandbox.faults().add(Fault::once("POST", "/services/oauth2/token", refusal));
    site.sandbox.expire_sessions();
    let refused = site.listen(None).await.err();
    assert!(matches!(refused, Some(ConnectError::Unauthorized(_))), "{refused:?}");
}

#[tokio::test]
async fn a_topic_that_is_not_there_says_what_to_do() {
    let site = Site::plain().await;
    site.sandbox.capture("Opportunity", false);
    let Some(ConnectError::Rejected(refusal)) = site.listen(None).await.err() else {
        panic!("the topic is not there");
    };
    assert!(refusal.message.contains("Change Data Capture"), "{refusal}");
}

#[tokio::test]
async fn events_of_a_schema_that_has_changed_are_read() {
    let site = Site::plain().await;
    let (mut stream, _) = site.begun().await;
    let id = site.seed(json!({}));
    hints(&mut stream, 1).await;
    site.sandbox.add_field("Opportunity", "Probe__c", CustomField::Text);
    site.edit(&id, json!({ "Probe__c": "x", "Sync_With_Partner_Center__c": true }));
    let (hints, last) = hints(&mut stream, 1).await;
    assert_eq!(told(&hints), [(id.as_str(), "change-event UPDATE", true)]);
    assert!(!last.behind);
}

#[tokio::test]
async fn the_certificate_must_be_trusted_and_the_address_known() {
    let trusting = |settings: &mut Settings, pubsub: &PubSubServing| {
        let pem = pubsub.certificate().expect("a certificate");
        settings.http.ca_pem = Some(pem.as_bytes().to_vec());
    };
    let site = Site::start(true, trusting).await;
    let (mut stream, _) = site.begun().await;
    let id = site.seed(json!({}));
    assert_eq!(hints(&mut stream, 1).await.0[0].id.as_str(), id, "over TLS");

    let site = Site::start(true, |_, _| ()).await;
    let refused = site.listen(None).await.err();
    let Some(ConnectError::Unavailable(why)) = refused else { panic!("no trust: {refused:?}") };
    assert!(why.contains("certificate"), "{why}");
    assert!(site.sandbox.subscriptions().is_empty());

    let table = [
        ("https://api.pubsub.salesforce.com:7443", true, "the service"),
        ("https://api.deu.pubsub.salesforce.com:7443", true, "its place in Europe"),
        ("https://contoso.my.salesforce.com", true, "the organisation itself"),
        ("http://api.pubsub.salesforce.com:7443", false, "in the open"),
        ("https://api.pubsub.salesforce.com.evil.example", false, "a longer host"),
        ("https://evilpubsub.salesforce.com", false, "not below pubsub.salesforce.com"),
        ("http://127.0.0.1:1", false, "loopback while the world is configured"),
    ];
    for (url, good, why) in table {
        let auth = Auth::ClientCredentials { client_id: "id".to_owned(), secret: "x".into() };
        let my_domain = "https://contoso.my.salesforce.com".parse().expect("an address");
        let mut settings = Settings::new(my_domain, auth);
        settings.events = Some(EventSettings {
            url: url.parse().expect("an address"),
            opportunity_topic: String::new(),
            lead_topic: String::new(),
            at_once: 1,
        });
        let (time, chance) = cosell_sync::app::ordinary();
        let made = Salesforce::new(settings, time, chance, None);
        assert_eq!(made.is_ok(), good, "{url}: {why}");
    }
}
