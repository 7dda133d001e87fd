//! The Dynamics 365 client and its emulator, over HTTP on loopback, on one clock moved by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::dynamics365::sandbox::{
    Dynamics365Sandbox, SandboxOptions, Throttle, throttled,
};
use cosell_sync::connect::dynamics365::{Credential, Dynamics365, Settings};
use cosell_sync::connect::sandbox::{Fault, FaultEffect, SandboxClock, Serving, serve};
use cosell_sync::domain::clock::{Clock, Randomness};
use cosell_sync::domain::id::{RecordId, RecordKey};
use cosell_sync::domain::record::{Close, Fields, Record, Shape};
use cosell_sync::domain::secret::SecretString;
use cosell_sync::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;

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
    pub(crate) sandbox: Dynamics365Sandbox,
    pub(crate) clock: SandboxClock,
    pub(crate) client: Dynamics365,
    pub(crate) serving: Serving,
    pub(crate) fields: Vec<String>,
}

/// Settings of a client for the emulator behind `serving`.
pub(crate) fn settings(serving: &Serving, options: &SandboxOptions) -> Settings {
    let secret = Credential::Secret(SecretString::from(options.client_secret.clone()));
    let url = serving.url().parse().expect("an address");
    let mut settings =
        Settings::new(url, options.tenant_id.clone(), options.client_id.clone(), secret);
    let token = format!("{}/{}/oauth2/v2.0/token", serving.url(), options.tenant_id);
    settings.token_url = Some(token.parse().expect("an address"));
    settings.http.per_second = NonZeroU32::MAX;
    settings
}

/// A client on the emulator's clock.
pub(crate) fn client(settings: Settings, clock: &SandboxClock) -> Dynamics365 {
    let hand = Arc::new(HandClock(clock.clone()));
    Dynamics365::new(settings, hand, Arc::new(Counting::default())).expect("a client")
}

impl World {
    /// A fresh organisation and a client that `change` may set up.
    pub(crate) async fn new(options: SandboxOptions, change: impl FnOnce(&mut Settings)) -> Self {
        // The program does this once; an error says that another test of this process did it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        let clock = SandboxClock::frozen(start);
        let sandbox = Dynamics365Sandbox::new(options.clone(), clock.clone());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = serve(sandbox.router(), listen).await.expect("a port");
        let mut settings = settings(&serving, &options);
        change(&mut settings);
        let client = client(settings, &clock);
        let fields = ["name", "description", "estimatedvalue", "estimatedclosedate"];
        let fields = fields.into_iter().chain(["statecode", "statuscode"]).map(str::to_owned);
        Self { sandbox, clock, client, serving, fields: fields.collect() }
    }

    /// An organisation with the shipped columns and a client with the defaults.
    pub(crate) async fn plain() -> Self {
        Self::new(SandboxOptions::default(), |_| {}).await
    }

    /// As [`World::plain`], reading fields of related rows as well.
    pub(crate) async fn related() -> Self {
        let mut world = Self::plain().await;
        for path in ["transactioncurrencyid.isocurrencycode", "customerid.name", "ownerid"] {
            world.fields.push(path.to_owned());
        }
        world
    }

    /// Commits a fault.
    pub(crate) fn fault(&self, method: &str, path: &str, effect: FaultEffect) {
        self.sandbox.faults().add(Fault::once(method, path, effect));
    }

    /// Rows of a table that a test on `column` holds for.
    pub(crate) fn count_rows(&self, table: &str, column: &str, value: &Json) -> usize {
        self.sandbox.rows(table).iter().filter(|row| row.get(column) == Some(value)).count()
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
            referral_field: "pc_referralidentifier".to_owned(),
            sync_field: "pc_syncwithpartnercenter".to_owned(),
            token_field: Some("pc_synctoken".to_owned()),
        }
    }

    fn create_fields(&self) -> Fields {
        let fields = json!({"name": "Northwind migration", "pc_syncwithpartnercenter": true});
        fields.as_object().cloned().expect("an object")
    }

    fn text_field(&self) -> &str {
        "description"
    }

    fn money_field(&self) -> &str {
        "estimatedvalue"
    }

    fn date_field(&self) -> &str {
        "estimatedclosedate"
    }

    fn id_of_nothing(&self) -> RecordId {
        RecordId::new("99999999-9999-4999-8999-999999999999")
    }

    fn account(&self, name: &str) -> (String, String, Fields) {
        let fields = json!({"name": name, "address1_country": "DE"});
        let fields = fields.as_object().cloned().expect("an object");
        ("account".to_owned(), "name".to_owned(), fields)
    }

    fn winning(&self) -> Close {
        Close {
            won: true,
            status: 3,
            subject: "Won at Partner Center".to_owned(),
            description: Some("The customer signed.".to_owned()),
            actual_value: Some("1250.50".parse().expect("an amount")),
            actual_date: cosell_sync::domain::time::Date::parse("2026-08-31"),
        }
    }

    fn is_won(&self, record: &Record) -> bool {
        record.fields["statecode"] == json!(1) && record.fields["statuscode"] == json!(3)
    }

    async fn closings(&self, key: &RecordKey) -> Option<usize> {
        let id = json!(key.id.as_str());
        Some(self.count_rows("opportunityclose", "_opportunityid_value", &id))
    }

    async fn edit_as_person(&self, key: &RecordKey, fields: Fields) {
        let fields = Json::Object(fields);
        let (table, id) = (key.kind.as_str(), key.id.as_str());
        self.sandbox.edit_as_person(table, id, &fields).expect("an edit");
    }

    async fn delete_as_person(&self, key: &RecordKey) {
        let (table, id) = (key.kind.as_str(), key.id.as_str());
        self.sandbox.delete_as_person(table, id).expect("a deletion");
    }

    async fn count(&self, referral_id: &str) -> usize {
        self.count_rows("opportunity", "pc_referralidentifier", &json!(referral_id))
    }

    fn lose_answer_of_next_write(&self) {
        // A write is either a PATCH of its own or part of a batch.
        self.fault("PATCH", "/opportunities", FaultEffect::ApplyThenDrop);
        self.fault("POST", "/$batch", FaultEffect::ApplyThenDrop);
    }

    fn throttle_next(&self, secs: u32) {
        self.fault("GET", "/api/data", throttled(Throttle::Requests, secs));
    }

    fn expire_cursors(&self) {
        self.sandbox.expire_delta_tokens();
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
