//! The Salesforce client and its emulator, over HTTP on loopback, on one clock moved by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::salesforce::sandbox::{SalesforceSandbox, SandboxOptions};
use cosell_sync::connect::salesforce::{Auth, RefreshTokenVault, Salesforce, Settings};
use cosell_sync::connect::sandbox::{Fault, FaultEffect, SandboxClock, Serving, serve};
use cosell_sync::domain::clock::{Clock, Randomness};
use cosell_sync::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use cosell_sync::domain::record::{Close, Fields, Record, Shape};
use cosell_sync::domain::secret::SecretString;
use cosell_sync::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;

pub(crate) const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const OPPORTUNITY: RecordKind = RecordKind::Opportunity;

/// The emulator's clock as the client's: sleeping moves it.
pub(crate) struct HandClock(pub(crate) SandboxClock);

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
        tokio::task::yield_now().await;
    }
}

/// Numbers that are never the same and always the same run after run.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Randomness for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) sandbox: SalesforceSandbox,
    pub(crate) clock: SandboxClock,
    pub(crate) client: Salesforce,
    pub(crate) serving: Serving,
    pub(crate) fields: Vec<String>,
}

/// Settings of a client for the emulator behind `serving`.
pub(crate) fn settings(serving: &Serving, options: &SandboxOptions) -> Settings {
    let auth = Auth::ClientCredentials {
        client_id: options.client_id.clone(),
        secret: SecretString::from(options.client_secret.clone()),
    };
    let mut settings = Settings::new(serving.url().parse().expect("an address"), auth);
    settings.http.per_second = NonZeroU32::MAX;
    settings
}

/// A client on the emulator's clock.
pub(crate) fn client(
    settings: Settings,
    clock: &SandboxClock,
    vault: Option<Arc<dyn RefreshTokenVault>>,
) -> Salesforce {
    let hand = Arc::new(HandClock(clock.clone()));
    Salesforce::new(settings, hand, Arc::new(Counting::default()), vault).expect("a client")
}

/// An object as fields.
pub(crate) fn fields(object: &Json) -> Fields {
    object.as_object().cloned().expect("an object")
}

impl World {
    /// A fresh organisation and a client that `change` may set up.
    pub(crate) async fn new(options: SandboxOptions, change: impl FnOnce(&mut Settings)) -> Self {
        Self::behind(options, change, |router| router).await
    }

    /// As [`World::new`], behind whatever `gateway` puts before the organisation.
    pub(crate) async fn behind(
        options: SandboxOptions,
        change: impl FnOnce(&mut Settings),
        gateway: impl FnOnce(Router) -> Router,
    ) -> Self {
        // The program does this once; an error says that another test of this process did it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let clock = SandboxClock::frozen(start);
        let sandbox = SalesforceSandbox::new(options.clone(), clock.clone());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = serve(gateway(sandbox.router()), listen).await.expect("a port");
        let mut settings = settings(&serving, &options);
        change(&mut settings);
        let client = client(settings, &clock, None);
        let fields = ["Name", "StageName", "Description", "Amount", "CloseDate", "IsWon"];
        let fields = fields.into_iter().map(str::to_owned).collect();
        Self { sandbox, clock, client, serving, fields }
    }

    /// An organisation with the shipped fields and a client with the defaults.
    pub(crate) async fn plain() -> Self {
        Self::new(SandboxOptions::default(), |_| {}).await
    }

    /// As [`World::plain`] with the package's prefix and fields of related rows.
    pub(crate) async fn related() -> Self {
        let mut world = Self::plain().await;
        for path in ["Account.Name", "Owner.Email", "OwnerId"] {
            world.fields.push(path.to_owned());
        }
        world
    }

    /// As [`World::plain`] with lists of rows below the record.
    pub(crate) async fn with_lists() -> Self {
        let mut world = Self::plain().await;
        for path in ["OpportunityLineItems.Product2.Name", "OpportunityTeamMembers.User.Email"] {
            world.fields.push(path.to_owned());
        }
        world
    }

    /// Commits a fault.
    pub(crate) fn fault(&self, method: &str, path: &str, effect: FaultEffect) {
        self.sandbox.faults().add(Fault::once(method, path, effect));
    }

    /// A person's opportunity, shared or not.
    pub(crate) fn seed(&self, more: &Json) -> RecordId {
        let mut seed = fields(&json!({
            "Name": "Contoso rollout", "StageName": "Prospecting", "CloseDate": "2026-12-31",
            "Sync_With_Partner_Center__c": true,
        }));
        seed.extend(fields(more));
        let id = self.sandbox.create_as_person("Opportunity", &Json::Object(seed));
        RecordId::new(id.expect("an opportunity"))
    }

    /// Reads an opportunity.
    pub(crate) async fn read(&self, id: &RecordId) -> Record {
        let found = self.client.fetch(OPPORTUNITY, id, &self.shape()).await;
        found.expect("an answer").expect("the record")
    }

    /// What the emulator holds.
    pub(crate) fn held(&self, id: &RecordId) -> Json {
        self.sandbox.row("Opportunity", id.as_str()).expect("the row")
    }

    /// The key of an opportunity.
    pub(crate) fn key(id: &RecordId) -> RecordKey {
        RecordKey { crm: CrmName::Salesforce, kind: OPPORTUNITY, id: id.clone() }
    }
}

#[async_trait]
impl Harness for World {
    fn crm(&self) -> &dyn Crm {
        &self.client
    }

    fn shape(&self) -> Shape {
        Shape {
            fields: self.fields.clone(),
            referral_field: "Referral_Identifier__c".to_owned(),
            sync_field: "Sync_With_Partner_Center__c".to_owned(),
            token_field: Some("Sync_Token__c".to_owned()),
        }
    }

    fn create_fields(&self) -> Fields {
        fields(&json!({
            "Name": "Northwind migration", "StageName": "Prospecting", "CloseDate": "2026-11-30",
            "Sync_With_Partner_Center__c": true,
        }))
    }

    fn text_field(&self) -> &str {
        "Description"
    }

    fn money_field(&self) -> &str {
        "Amount"
    }

    fn date_field(&self) -> &str {
        "CloseDate"
    }

    fn id_of_nothing(&self) -> RecordId {
        RecordId::new("006000000000999AAA")
    }

    fn account(&self, name: &str) -> (String, String, Fields) {
        let new = fields(&json!({ "Name": name, "BillingCountry": "DE" }));
        ("Account".to_owned(), "Name".to_owned(), new)
    }

    fn winning(&self) -> Close {
        Close {
            won: true,
            status: 0,
            subject: String::new(),
            description: None,
            actual_value: None,
            actual_date: None,
        }
    }

    fn is_won(&self, record: &Record) -> bool {
        record.fields["IsWon"] == json!(true)
    }

    async fn closings(&self, _key: &RecordKey) -> Option<usize> {
        None
    }

    async fn edit_as_person(&self, key: &RecordKey, fields: Fields) {
        let fields = Json::Object(fields);
        self.sandbox.edit_as_person("Opportunity", key.id.as_str(), &fields).expect("an edit");
    }

    async fn delete_as_person(&self, key: &RecordKey) {
        self.sandbox.delete_as_person("Opportunity", key.id.as_str()).expect("a deletion");
    }

    async fn count(&self, referral_id: &str) -> usize {
        let rows = self.sandbox.rows("Opportunity");
        rows.iter().filter(|row| row["Referral_Identifier__c"] == json!(referral_id)).count()
    }

    fn lose_answer_of_next_write(&self) {
        self.fault("POST", "/composite", FaultEffect::ApplyThenDrop);
    }

    fn throttle_next(&self, secs: u32) {
        let effect = FaultEffect::Answer {
            status: 429,
            retry_after: Some(secs.to_string()),
            content_type: "text/html".to_owned(),
            body: String::new(),
        };
        self.fault("GET", "/services/data", effect);
    }

    fn expire_cursors(&self) {
        // The delete log reaches back 15 days.
        self.clock.advance(Duration::from_secs(16 * 24 * 60 * 60));
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
