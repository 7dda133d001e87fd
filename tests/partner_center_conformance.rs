//! The laws of the seam `PartnerCenter`, run against the client and the emulator over real HTTP; the
//! emulator against its reference, without the client; and every kind of error.

#![cfg(feature = "sandbox")]

#[path = "partner_center_conformance/errors.rs"]
mod errors;
#[path = "partner_center_conformance/hostile.rs"]
mod hostile;
#[path = "partner_center_conformance/page/mod.rs"]
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::http::{Fetched, PublicFetch};
use cosell_sync::connect::partner_center::sandbox::{
    JsonCasing, NextLinkStyle, Options, PartnerCenterSandbox, SecondInvitation,
};
use cosell_sync::connect::partner_center::slot::{self, SlotPlan};
use cosell_sync::connect::partner_center::{
    Client, Credential, KeptToken, NetworkFetcher, RefreshTokenVault, Settings, Verifier,
    VerifierSettings,
};
use cosell_sync::connect::partner_center_seam::PartnerCenter;
use cosell_sync::connect::sandbox::{Fault, FaultEffect, SandboxClock, Serving, serve};
use cosell_sync::connect::webhook::{Hint, WebhookSource};
use cosell_sync::domain::clock::{Clock, Randomness};
use cosell_sync::domain::id::ReferralId;
use cosell_sync::domain::record::{Fields, Version};
use cosell_sync::domain::referral::Referral;
use cosell_sync::domain::secret::SecretString;
use cosell_sync::domain::time::{Date, Timestamp};
use cosell_sync::merge::registration::{
    Facts, RegisteredSolution, Registration, missing, operations,
};
use serde_json::{Value as Json, json};
use url::Url;

/// One clock for the client and the emulator; waiting moves it.
struct Shared(SandboxClock);

#[async_trait]
impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Vault(Mutex<Option<KeptToken>>);

#[async_trait]
impl RefreshTokenVault for Vault {
    async fn load(&self) -> Result<Option<KeptToken>, String> {
        Ok(self.0.lock().expect("not poisoned").clone())
    }

    async fn save(&self, token: &KeptToken) -> Result<(), String> {
        *self.0.lock().expect("not poisoned") = Some(token.clone());
        Ok(())
    }
}

struct World {
    sandbox: PartnerCenterSandbox,
    clock: SandboxClock,
    serving: Serving,
    client: Client,
}

impl World {
    async fn new(change: impl FnOnce(&mut Options)) -> Self {
        Self::behind(change, |_, router| router).await
    }

    /// With something between us and the service.
    async fn behind(
        change: impl FnOnce(&mut Options),
        front: impl FnOnce(&PartnerCenterSandbox, axum::Router) -> axum::Router,
    ) -> Self {
        Self::with(change, |_| (), front).await
    }

    async fn with(
        change: impl FnOnce(&mut Options),
        set: impl FnOnce(&mut Settings),
        front: impl FnOnce(&PartnerCenterSandbox, axum::Router) -> axum::Router,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = Options::default();
        change(&mut options);
        let start = Timestamp::parse("2026-09-01T10:00:00.120Z").expect("an instant");
        let clock = SandboxClock::frozen(start);
        let sandbox = PartnerCenterSandbox::new(options.clone(), clock.clone());
        let listen = "127.0.0.1:0".parse().expect("an address");
        let router = front(&sandbox, sandbox.router());
        let serving = serve(router, listen).await.expect("serving");
        sandbox.set_base_url(&serving.url());
        let url = |path: &str| Url::parse(&format!("{}/{path}", serving.url())).expect("a url");
        let mut settings =
            Settings::public(&options.tenant_id, &options.client_id).expect("settings");
        settings.token_url = url(&format!("{}/oauth2/v2.0/token", options.tenant_id));
        settings.referrals_url = url("v1.0/engagements/");
        settings.webhooks_url = url("");
        set(&mut settings);
        let client = Client::new(
            settings,
            Credential::Secret(SecretString::from(options.client_secret)),
            Some(SecretString::from(sandbox.refresh_token())),
            Arc::new(Vault::default()),
            Arc::new(Shared(clock.clone())),
            Arc::new(Counting::default()),
        )
        .expect("a client");
        Self { sandbox, clock, serving, client }
    }

    async fn deal(&self, reference: &str) -> Referral {
        self.client.create(&deal(reference)).await.expect("created")
    }

    /// Every referral that the feed shows from `cursor` on, and the cursor at its end.
    async fn sweep(&self, cursor: Option<&str>) -> (Vec<Referral>, String) {
        let mut cursor = cursor.map(str::to_owned);
        let mut found = Vec::new();
        for _ in 0..100 {
            let page = self.client.changes(cursor.as_deref()).await.expect("a page");
            found.extend(page.referrals);
            cursor = Some(page.cursor);
            if !page.more {
                return (found, cursor.expect("a cursor"));
            }
        }
        unreachable!("the feed does not end")
    }

    fn lists(&self) -> usize {
        let log = self.sandbox.request_log();
        log.iter().filter(|it| it.method == "GET" && it.path.ends_with("/referrals")).count()
    }
}

fn deal(reference: &str) -> Fields {
    let body = json!({
        "name": "Northwind ERP move",
        "type": "Independent",
        "qualification": "SalesQualified",
        "externalReferenceId": reference,
        "customerProfile": {
            "name": "Northwind Traders",
            "address": {"addressLine1": "1 Main Street", "city": "Oslo", "country": "NO"},
            "team": [{
                "firstName": "Nora", "lastName": "Buyer", "phoneNumber": "5550100",
                "email": "buyer@northwind.example",
            }],
        },
        "consent": {
            "consentToToShareInfoWithOthers": true,
            "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": true,
        },
        "details": {
            "notes": "n", "dealValue": 50000.25, "currency": "NOK",
            "closingDateTime": "2027-03-31T00:00:00Z",
            "requirements": {
                "solutions": [{"id": "SOL-00001-XYZ", "type": "Name"}],
                "additionalRequirements": {
                    "attributes": [{"type": "CustomerMarketplaceIntent", "id": "No"}],
                },
            },
        },
        "team": [{
            "firstName": "Sam", "lastName": "Seller", "phoneNumber": "5550101",
            "email": "seller@contoso.example",
        }],
    });
    let Json::Object(fields) = body else { unreachable!("an object") };
    fields
}

fn change(path: &str, value: Json) -> BTreeMap<String, Json> {
    BTreeMap::from([(path.to_owned(), value)])
}

fn ids(referrals: &[Referral]) -> BTreeSet<ReferralId> {
    referrals.iter().map(Referral::id).collect()
}

#[tokio::test]
async fn what_is_created_is_read_back_with_its_version_and_exact_money() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-42").await;
    assert_eq!(made.state().to_string(), "Active/Accepted", "as the service has it, not as sent");
    assert_eq!(made.get("details.dealValue").map(Json::to_string).as_deref(), Some("50000.25"));
    let read = world.client.referral(&made.id()).await.expect("read").expect("there");
    assert_eq!(read.version(), made.version());
    let version = made.version().expect("a version");
    assert!(version.0.starts_with('"') && version.0.ends_with('"'), "inner quotes stay");
    let value = json!(0.1);
    let patched =
        world.client.patch(&made.id(), &version, &change("details.dealValue", value)).await;
    let patched = patched.expect("patched");
    assert_eq!(patched.get("details.dealValue").map(Json::to_string).as_deref(), Some("0.1"));
    assert_ne!(patched.version(), made.version());
}

#[tokio::test]
async fn an_unknown_referral_is_none_and_a_strange_id_is_never_sent() {
    let world = World::new(|_| ()).await;
    let id = ReferralId::parse("12121212-2222-4333-8444-555555555555").expect("an id");
    assert_eq!(world.client.referral(&id).await.expect("an answer"), None);
    let before = world.sandbox.request_log().len();
    let strange = ReferralId::new("../referrals");
    assert!(world.client.referral(&strange).await.is_err());
    assert_eq!(world.sandbox.request_log().len(), before);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_nothing_is_repeated() {
    let world = World::new(|_| ()).await;
    let since = world.clock.now();
    let made = world.deal("crm-1").await;
    let version = made.version().expect("a version");
    let faults = world.sandbox.faults();
    faults.add(Fault::once("POST", "/referrals", FaultEffect::ApplyThenDrop));
    let lost = world.client.create(&deal("crm-2")).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    let found = world.client.find_by_external_reference("crm-2", since).await.expect("found");
    assert_eq!(found.len(), 1, "it landed, once");
    faults.add(Fault::once("PATCH", "/referrals", FaultEffect::ApplyThenDrop));
    let lost = world.client.patch(&made.id(), &version, &change("details.notes", json!("x"))).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    assert_eq!(world.sandbox.write_count(), 3, "two creates, one patch");
    for status in [500, 503, 504] {
        let effect = FaultEffect::Answer {
            status,
            retry_after: None,
            content_type: "text/html".to_owned(),
            body: "<html>".to_owned(),
        };
        faults.add(Fault::once("POST", "/referrals", effect));
        let error = world.client.create(&deal("crm-3")).await.expect_err("a fault");
        assert!(matches!(error, ConnectError::Unknown(_)), "{status}: {error}");
    }
    assert_eq!(faults.waiting(), 0);
}

#[tokio::test]
async fn a_refusal_keeps_what_support_asks_for() {
    let world = World::new(|_| ()).await;
    let mut body = deal("crm-1");
    body.remove("details");
    let error = world.client.create(&body).await.expect_err("incomplete");
    let ConnectError::Rejected(refusal) = error else { unreachable!("{error}") };
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "invalidRequest"));
    assert!(!refusal.message.is_empty() && !refusal.fields.is_empty(), "{refusal:?}");
    assert!(refusal.request_id.is_some_and(|id| !id.is_empty()));
    let made = world.deal("crm-1").await;
    let version = made.version().expect("a version");
    let closed = BTreeMap::from([
        ("status".to_owned(), json!("Closed")),
        ("substatus".to_owned(), json!("Lost")),
        ("statusReason".to_owned(), json!("budget")),
    ]);
    let made = world.client.patch(&made.id(), &version, &closed).await.expect("closed");
    assert_eq!(made.state().to_string(), "Closed/Lost", "both words in one call");
    let version = made.version().expect("a version");
    let late = world.client.patch(&made.id(), &version, &change("details.notes", json!("x"))).await;
    assert!(matches!(late, Err(ConnectError::Rejected(_))), "{late:?}");
}

#[tokio::test]
async fn a_won_deal_is_registered() {
    let world = World::new(|_| ()).await;
    let mut body = deal("crm-1");
    body["details"]["currency"] = json!("USD");
    let made = world.client.create(&body).await.expect("created");
    let won = BTreeMap::from([
        ("status".to_owned(), json!("Closed")),
        ("substatus".to_owned(), json!("Won")),
    ]);
    let version = made.version().expect("a version");
    let made = world.client.patch(&made.id(), &version, &won).await.expect("won");
    let day = |text: &str| Date::parse(text).expect("a date");
    let amount = |text: &str| text.parse().expect("a decimal");
    let registration = Registration {
        currency: "USD".to_owned(),
        value: amount("50000.25"),
        start: day("2026-09-01"),
        end: Some(day("2027-08-31")),
        signed: day("2026-09-01"),
        solutions: vec![RegisteredSolution {
            id: "SOL-00001-XYZ".to_owned(),
            value: amount("50000"),
            deployed_on_azure: true,
            customer_deployment: true,
            pay_as_you_go: false,
            marketplace_transaction: None,
        }],
    };
    let facts = Facts {
        usd_rate: None,
        managed_customer: Some(true),
        eligible_solution: Some(true),
        solution_assessment: Some(false),
    };
    let now = world.clock.now();
    assert_eq!(missing(&made, None, &registration, &facts, now), Vec::<String>::new());
    let version = made.version().expect("a version");
    let operations = operations(&registration);
    let made = world.client.register_deal(&made.id(), &version, &operations).await;
    let made = made.expect("registered");
    let registered = made.get("registrations").and_then(Json::as_array).expect("a list");
    assert_eq!(registered[0]["contract"]["value"].to_string(), "50000.25");
    let again = world.client.register_deal(&made.id(), &version, &operations).await;
    assert!(matches!(again, Err(ConnectError::Stale)), "never on an old version: {again:?}");
}

#[tokio::test]
async fn a_stale_version_is_refused_and_nothing_changes() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    let version = made.version().expect("a version");
    world
        .sandbox
        .edit_as_person(&made.id(), json!({"details": {"notes": "theirs"}}))
        .expect("edited");
    let stale =
        world.client.patch(&made.id(), &version, &change("details.notes", json!("ours"))).await;
    assert!(matches!(stale, Err(ConnectError::Stale)), "{stale:?}");
    let read = world.client.referral(&made.id()).await.expect("read").expect("there");
    assert_eq!(read.text("details.notes"), Some("theirs"));
    assert!(world.sandbox.request_log().iter().all(|it| it.method != "PATCH" || it.if_match));
}

#[tokio::test]
async fn a_path_outside_of_the_list_is_refused_without_a_call() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    let before = world.sandbox.request_log().len();
    let version = Version("\"x\"".to_owned());
    for path in ["name", "customerProfile.name", "id", "", "details", "team.0.email", "status/x"] {
        let error = world.client.patch(&made.id(), &version, &change(path, json!("x"))).await;
        assert!(matches!(error, Err(ConnectError::Rejected(_))), "{path}");
    }
    let strange = [json!({"op": "remove", "path": "/registrations/-"})];
    let error = world.client.register_deal(&made.id(), &version, &strange).await;
    assert!(matches!(error, Err(ConnectError::Rejected(_))));
    assert_eq!(world.sandbox.request_log().len(), before);
}

#[tokio::test]
async fn the_wait_of_a_throttle_is_returned_and_closes_the_gate() {
    let world = World::new(|_| ()).await;
    world.sandbox.throttle("/referrals", 1, Duration::from_secs(57));
    let error = world.client.changes(None).await.expect_err("throttled");
    assert!(
        matches!(error, ConnectError::Throttled(wait) if wait == Duration::from_secs(57)),
        "{error}"
    );
    let before = world.sandbox.request_log().len();
    assert!(matches!(world.client.changes(None).await, Err(ConnectError::Throttled(_))));
    assert_eq!(world.sandbox.request_log().len(), before, "no call while the gate is closed");
    world.clock.advance(Duration::from_secs(57));
    world.client.changes(None).await.expect("open again");
}

#[tokio::test]
async fn an_engagement_holds_both_referrals() {
    let world = World::new(|options| options.second_invitation = SecondInvitation::Conflict).await;
    let made = world.deal("crm-1").await;
    world.deal("crm-2").await;
    let engagement = made.engagement_id().expect("an engagement");
    let mut invitation = deal("crm-1");
    invitation.insert("type".to_owned(), json!("Shared"));
    invitation.insert("engagementId".to_owned(), json!(engagement.as_str()));
    let target = json!([{"type": "BusinessProfileLocation", "id": "msft"}]);
    invitation.insert("target".to_owned(), target);
    let invite = json!({"notes": "help", "assistanceRequestCode": "GeneralOrOther"});
    invitation.insert("inviteContext".to_owned(), invite);
    world.client.create(&invitation).await.expect("invited");
    let all = world.client.engagement(&engagement).await.expect("read");
    assert_eq!(all.len(), 2);
    assert_eq!(all.iter().filter(|referral| referral.is_microsofts()).count(), 1);
    let again = world.client.create(&invitation).await;
    assert!(matches!(again, Err(ConnectError::Exists(_))), "{again:?}");
}

#[tokio::test]
async fn a_record_is_found_by_its_reference_with_and_without_the_filter() {
    for refuse in [false, true] {
        let world = World::new(|options| {
            options.refuse_external_reference_filter = refuse;
            options.page_size = 2;
        })
        .await;
        let since = world.clock.now();
        for reference in ["crm-1", "o'neil", "crm-2", "crm-3", "crm-4"] {
            world.deal(reference).await;
            world.clock.advance(Duration::from_secs(60));
        }
        for _ in 0..2 {
            let found = world.client.find_by_external_reference("o'neil", since).await;
            let found = found.expect("found");
            assert_eq!(found.len(), 1, "refused: {refuse}");
            assert_eq!(found[0].text("externalReferenceId"), Some("o'neil"));
        }
        let refused = world.sandbox.request_log().iter().filter(|it| it.status == 400).count();
        assert_eq!(refused, usize::from(refuse), "a refusal is remembered");
    }
}

/// A way to bend the emulator's options.
type Bend = fn(&mut Options);

#[tokio::test]
async fn the_feed_shows_every_change_in_every_spelling_of_the_service() {
    let table: [(Bend, &str); 5] = [
        (|_| (), "plain instants"),
        (|options| options.quoted_datetime_only = true, "quoted instants"),
        (|options| options.refuse_updated_filter = true, "no comparison"),
        (|options| options.next_link = NextLinkStyle::Right, "links with https"),
        (|options| options.surprises = true, "unknown words and fields"),
    ];
    for (bend, why) in table {
        let world = World::new(|options| {
            options.page_size = 3;
            bend(options);
        })
        .await;
        let mut made = BTreeSet::new();
        for number in 0..10 {
            made.insert(world.deal(&format!("crm-{number}")).await.id());
            // Some share an instant, more than fit on a page.
            world.clock.advance(Duration::from_secs(if number < 5 { 0 } else { 900 }));
        }
        let (all, cursor) = world.sweep(None).await;
        assert_eq!(ids(&all), made, "{why}: a first read shows all");
        assert!(cursor.len() < 2048, "{why}: a cursor stays small");

        world.clock.advance(Duration::from_secs(3600));
        let one = made.first().expect("a referral").clone();
        world
            .sandbox
            .edit_as_microsoft(&one, json!({"details": {"notes": "new"}}))
            .expect("edited");
        let two = made.last().expect("a referral").clone();
        let read = world.client.referral(&two).await.expect("read").expect("there");
        let version = read.version().expect("a version");
        world
            .client
            .patch(&two, &version, &change("details.notes", json!("own")))
            .await
            .expect("own");
        let before = world.lists();
        let (changed, cursor) = world.sweep(Some(&cursor)).await;
        let changed = ids(&changed);
        assert!(changed.contains(&one) && changed.contains(&two), "{why}: both changes, own too");
        assert!(changed.len() <= 5, "{why}: not everything again: {}", changed.len());
        assert!(world.lists() - before <= 4, "{why}: few calls");

        world.clock.advance(Duration::from_secs(3600));
        let (_, cursor) = world.sweep(Some(&cursor)).await;
        world.clock.advance(Duration::from_secs(3600));
        let before = world.lists();
        world.sweep(Some(&cursor)).await;
        assert_eq!(world.lists() - before, 1, "{why}: nothing new is one call");
    }
}

#[tokio::test]
async fn the_feed_goes_on_while_referrals_change_under_it() {
    let world = World::new(|options| options.page_size = 3).await;
    let mut made = Vec::new();
    for number in 0..12 {
        made.push(world.deal(&format!("crm-{number}")).await.id());
        world.clock.advance(Duration::from_secs(60));
    }
    let mut seen = BTreeSet::new();
    let mut cursor = None;
    for turn in 0..40 {
        let page = world.client.changes(cursor.as_deref()).await.expect("a page");
        seen.extend(page.referrals.iter().map(Referral::id));
        cursor = Some(page.cursor);
        if !page.more {
            break;
        }
        // One that was already shown moves to the end, so that the rest moves up.
        if let Some(id) = made.get(turn) {
            world.clock.advance(Duration::from_secs(60));
            world
                .sandbox
                .edit_as_microsoft(id, json!({"details": {"notes": "x"}}))
                .expect("edited");
        }
    }
    assert_eq!(seen, made.into_iter().collect(), "none was skipped");
}

#[tokio::test]
async fn a_link_that_died_begins_the_sweep_again_and_does_not_do_so_for_ever() {
    let world = World::new(|options| {
        options.refuse_updated_filter = true;
        options.page_size = 2;
    })
    .await;
    let mut made = BTreeSet::new();
    for number in 0..6 {
        made.insert(world.deal(&format!("crm-{number}")).await.id());
        world.clock.advance(Duration::from_secs(60));
    }
    let effect = FaultEffect::Answer {
        status: 400,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: json!({"error": {"code": "invalidRequest", "message": "m"}}).to_string(),
    };
    let dead = Fault::once("GET", "skiptoken", effect);
    world.sandbox.faults().add(dead.clone());
    let (all, cursor) = world.sweep(None).await;
    assert_eq!(ids(&all), made);
    assert!(cursor.contains("newest_first"), "one dead link is not a refused spelling: {cursor}");
    world.sandbox.faults().add(Fault { times: 1000, ..dead });
    let mut cursor = None;
    for _ in 0..20 {
        match world.client.changes(cursor.as_deref()).await {
            Ok(page) => cursor = Some(page.cursor),
            Err(error) => {
                assert!(matches!(error, ConnectError::Rejected(_)), "{error}");
                return;
            }
        }
    }
    unreachable!("the feed began again and again");
}

#[tokio::test]
async fn secrets_never_travel_in_the_open() {
    let world = World::new(|_| ()).await;
    let options = world.sandbox.options();
    let bend: [fn(&mut Settings, Url); 3] = [
        |settings, url| settings.token_url = url,
        |settings, url| settings.referrals_url = url,
        |settings, url| settings.webhooks_url = url,
    ];
    for bend in bend {
        let mut settings =
            Settings::public(&options.tenant_id, &options.client_id).expect("settings");
        bend(&mut settings, Url::parse("http://contoso.example/").expect("a url"));
        let client = Client::new(
            settings,
            Credential::Secret(SecretString::from("s")),
            None,
            Arc::new(Vault::default()),
            Arc::new(Shared(world.clock.clone())),
            Arc::new(Counting::default()),
        );
        assert!(client.is_err());
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_is_reported() {
    let world = World::new(|_| ()).await;
    for cursor in ["", "5", "null x", "[]"] {
        let error = world.client.changes(Some(cursor)).await.expect_err("not a cursor");
        assert!(matches!(error, ConnectError::CursorExpired), "{cursor}: {error}");
    }
}

#[tokio::test]
async fn a_link_that_leads_astray_is_not_followed() {
    let world = World::new(|_| ()).await;
    let ours = world.serving.url();
    let other = World::new(|_| ()).await.serving;
    let table = [
        ("https://evil.example/v1.0/engagements/referrals?$skiptoken=1".to_owned(), "foreign"),
        (format!("{}/v1.0/engagements/referrals?$skiptoken=1", other.url()), "another port"),
        (format!("{}/v1.0/engagements/referrals", ours), "no query"),
        (ours.replace("http://", "http://user@") + "/?$skiptoken=1", "a user name"),
    ];
    for (link, why) in table {
        let body = json!({"value": [], "@odata.nextLink": link}).to_string();
        let effect = FaultEffect::Answer {
            status: 200,
            retry_after: None,
            content_type: "application/json".to_owned(),
            body,
        };
        world.sandbox.faults().add(Fault::once("GET", "/referrals", effect));
        let error = world.client.changes(None).await.expect_err(why);
        assert!(matches!(error, ConnectError::Broken(_)), "{why}: {error}");
    }
}

#[tokio::test]
async fn a_circle_of_links_ends() {
    let world = World::new(|_| ()).await;
    let link = format!("{}/x?$skiptoken=same", world.serving.url());
    let effect = FaultEffect::Answer {
        status: 200,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: json!({"value": [], "@odata.nextLink": link}).to_string(),
    };
    let fault = Fault { times: 50, ..Fault::once("GET", "/referrals", effect) };
    world.sandbox.faults().add(fault.clone());
    let mut cursor = None;
    let error = loop {
        match world.client.changes(cursor.as_deref()).await {
            Ok(page) => cursor = Some(page.cursor),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ConnectError::Broken(_)), "{error}");
    let engagement = cosell_sync::domain::id::EngagementId::new("x");
    let error = world.client.engagement(&engagement).await.expect_err("a circle");
    assert!(matches!(error, ConnectError::Broken(_)), "{error}");
    assert!(world.lists() < 12, "after a few calls: {}", world.lists());
}

#[tokio::test]
async fn an_answer_that_breaks_the_contract_is_broken() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    let id = made.id();
    let table = [
        (json!({"id": id.as_str()}).to_string(), "no eTag"),
        (
            json!({"id": "11111111-2222-4333-8444-555555555555", "eTag": "\"1\""}).to_string(),
            "another",
        ),
        ("<html>".to_owned(), "HTML with 200"),
        ("{\"id\":".to_owned(), "cut off"),
        ("null".to_owned(), "null"),
    ];
    for (body, why) in table {
        let content_type = "application/json".to_owned();
        let effect = FaultEffect::Answer { status: 200, retry_after: None, content_type, body };
        world.sandbox.faults().add(Fault::once("GET", "/referrals/", effect));
        let error = world.client.referral(&id).await.expect_err(why);
        assert!(matches!(error, ConnectError::Broken(_)), "{why}: {error}");
    }
}

#[tokio::test]
async fn a_patch_without_a_representation_is_read_back() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    let effect = FaultEffect::Answer {
        status: 204,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: String::new(),
    };
    world.sandbox.faults().add(Fault::once("PATCH", "/referrals/", effect));
    let version = made.version().expect("a version");
    let read = world.client.patch(&made.id(), &version, &change("details.notes", json!("x"))).await;
    assert_eq!(read.expect("read back").version(), made.version(), "the fault wrote nothing");
    let gets = world.sandbox.request_log().iter().filter(|it| it.method == "GET").count();
    assert_eq!(gets, 1);
}

#[tokio::test]
async fn the_slot_is_planned_written_and_tested() {
    for (as_null, bare) in [(false, false), (true, true)] {
        let world = World::new(|options| {
            options.empty_slot_as_null = as_null;
            options.bare_correlation_id = bare;
            options.webhook_casing = if bare { JsonCasing::Camel } else { JsonCasing::Pascal };
        })
        .await;
        let ours = format!("{}/nobody-listens-here", world.serving.url());
        assert_eq!(world.client.webhook_slot().await.expect("read"), None);
        let plan = slot::plan(None, &ours, false);
        let SlotPlan::Register(wanted) = plan else { unreachable!("{plan:?}") };
        let written = world.client.write_webhook_slot(&wanted, None).await.expect("registered");
        assert_eq!((&written.url, &written.events), (&ours, &wanted.events));
        let current = world.client.webhook_slot().await.expect("read");
        assert_eq!(slot::plan(current.as_ref(), &ours, false), SlotPlan::Keep);
        world.client.write_webhook_slot(&wanted, None).await.expect("written again");

        let id = world.client.send_validation_event().await.expect("asked");
        let result = world.client.validation_result(&id).await.expect("a result");
        assert!(!result.status.is_empty());

        let theirs = format!("{}/theirs", world.serving.url());
        let registration = json!({"WebhookUrl": theirs, "WebhookEvents": ["invoice-ready"]});
        world.sandbox.set_slot(&registration).expect("taken by another tool");
        let current = world.client.webhook_slot().await.expect("read");
        let plan = slot::plan(current.as_ref(), &ours, false);
        assert_eq!(plan, SlotPlan::Foreign { url: theirs });
    }
}

#[tokio::test]
async fn too_many_test_events_hold_up_nothing_else() {
    let world = World::new(|_| {}).await;
    let ours = format!("{}/nobody-listens-here", world.serving.url());
    let SlotPlan::Register(wanted) = slot::plan(None, &ours, false) else { unreachable!() };
    world.client.write_webhook_slot(&wanted, None).await.expect("registered");
    for _ in 0..2 {
        world.client.send_validation_event().await.expect("two a minute are allowed");
    }
    let third = world.client.send_validation_event().await;
    assert!(matches!(third, Err(ConnectError::Throttled(_))), "{third:?}");
    assert!(world.client.webhook_slot().await.is_ok(), "everything else goes on");
}

#[tokio::test]
async fn a_gateway_that_refuses_the_token_call_does_not_disable_the_account() {
    let world = World::new(|_| {}).await;
    let effect = FaultEffect::Answer {
        status: 403,
        retry_after: None,
        content_type: "application/json".to_owned(),
        body: json!({ "message": "blocked by proxy" }).to_string(),
    };
    world.sandbox.faults().add(Fault::once("POST", "/oauth2/", effect));
    let first = world.client.webhook_slot().await;
    assert!(matches!(first, Err(ConnectError::Unavailable(_))), "{first:?}");
    assert!(world.client.webhook_slot().await.is_ok(), "the next call signs in");
}

#[tokio::test]
async fn the_emulators_signed_events_pass_the_verifier() {
    for intermediate in [false, true] {
        let world = World::new(|options| {
            options.certificate_from_intermediate = intermediate;
            options.webhook_casing = JsonCasing::Mixed;
        })
        .await;
        let url = Url::parse(&world.sandbox.certificate_url()).expect("a url");
        let mut settings = VerifierSettings::public(
            world.sandbox.ca_pem().into_bytes(),
            world.sandbox.intermediates_pem().into_bytes(),
        );
        settings.certificate_hosts = vec![world.serving.address().to_string()];
        settings.certificate_paths = vec![url.path().to_owned()];
        settings.allow_loopback = true;
        let fetcher = Arc::new(NetworkFetcher::new().expect("a fetcher"));
        let clock = Arc::new(Shared(world.clock.clone()));
        let verifier = Verifier::new(settings, fetcher, clock).expect("a verifier");
        let made = world.deal("crm-1").await;
        for _ in 0..4 {
            let body = Bytes::from(world.sandbox.event_body("referral-updated", &made.id()));
            let headers = world.sandbox.signed(&body);
            let delivery = verifier.accept(&headers, None, &body).await.expect("genuine");
            let expected = Hint::Referral { id: made.id(), event: "referral-updated".to_owned() };
            assert_eq!(delivery.hints, [expected]);
            let changed = Bytes::from([&body[..], b" "].concat());
            assert!(verifier.accept(&headers, None, &changed).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_certificate_name_never_leads_into_the_own_network() {
    let world = World::new(|_| ()).await;
    let literal = Url::parse(&world.sandbox.certificate_url()).expect("a url");
    let fetch = |bytes| PublicFetch::new(Duration::from_secs(3), bytes).expect("a client");
    let Fetched::File(file) = fetch(1 << 14).get(&literal).await else { unreachable!("served") };
    assert_eq!(fetch(file.len()).get(&literal).await, Fetched::File(file.clone()), "just fits");
    assert_eq!(fetch(file.len() - 1).get(&literal).await, Fetched::TooLong);
    let named = literal.as_str().replace("127.0.0.1", "localhost");
    assert_ne!(named, literal.as_str());
    let redirect = FaultEffect::Answer {
        status: 302,
        retry_after: None,
        content_type: "text/html".to_owned(),
        body: String::new(),
    };
    world.sandbox.faults().add(Fault::once("GET", "/cert", redirect));
    let table = [
        (literal.as_str(), "a redirect"),
        (named.as_str(), "a name of this host"),
        ("https://localhost/", "the same with TLS"),
        ("http://contoso.example/", "plain http to the world"),
        ("https://10.0.0.1/", "a private literal"),
        ("https://169.254.169.254/", "cloud metadata"),
        ("https://[::ffff:127.0.0.1]/", "a mapped loopback literal"),
    ];
    for (text, why) in table {
        let fetched = fetch(1 << 14).get(&Url::parse(text).expect("a url")).await;
        assert!(matches!(fetched, Fetched::Unavailable(_)), "{why}: {fetched:?}");
    }
    assert_eq!(world.sandbox.faults().waiting(), 0);
    let certificates =
        world.sandbox.request_log().iter().filter(|it| it.path.starts_with("/cert")).count();
    assert_eq!(certificates, 4, "the name was never connected to");
}

#[tokio::test]
async fn probe_and_profile_say_who_we_are() {
    let world = World::new(|_| ()).await;
    let empty = world.client.probe().await.expect("probed");
    assert_eq!((empty.organization_id, empty.visible_referrals), (None, 0));
    world.deal("crm-1").await;
    let probe = world.client.probe().await.expect("probed");
    let options = world.sandbox.options();
    assert_eq!(probe.organization_id, Some(options.organization_id));
    assert_eq!(probe.visible_referrals, 1);
    assert_eq!(probe.mfa, Some(true));
    let profile = world.client.mpn_profile(Some(&options.mpn_id)).await.expect("read");
    assert_eq!(profile.map(|it| it.mpn_id), Some(options.mpn_id));
    assert_eq!(world.client.mpn_profile(Some("9999999")).await.expect("read"), None);
}
