//! A world for one test: emulators, files, daemon, and patience.
#![allow(clippy::disallowed_methods, reason = "the systems under test run in real time")]

mod burst;
mod people;
mod setup;
mod show;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cosell_sync::app::{self, App};
use cosell_sync::config::Config;
use cosell_sync::connect::sandbox::SandboxClock;
use cosell_sync::domain::audit::{AuditEntry, AuditKind};
use cosell_sync::domain::clock::Clock;
use cosell_sync::domain::deal::Deal;
use cosell_sync::domain::id::ReferralId;
use cosell_sync::domain::notice::{Notice, Source};
use cosell_sync::domain::time::Timestamp;
use cosell_sync::sandbox::Sandbox;
use cosell_sync::store::{AuditQuery, DeadLetter, DealKey, Store};
use cosell_sync::sync::feeds::Feed;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use burst::Side;
pub(crate) use people::{number, only, text};
pub(crate) use setup::Setup;

/// A condition that does not hold within this time has failed. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Emulators and a daemon between them.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: TempDir,
    setup: Setup,
    app: Option<App>,
}

/// The emulators' clock as the daemon's: whoever sleeps looks at it again and again.
struct Movable(SandboxClock);

#[async_trait]
impl Clock for Movable {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.0.now().plus(duration);
        loop {
            let left = end.since(self.0.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(GLANCE)).await;
        }
    }
}

/// How many writes each system has seen.
pub(crate) type Writes = (usize, usize, usize);

impl World {
    /// Both CRMs, every feed read each second, webhooks registered.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// The running daemon.
    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().expect("the daemon runs")
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.app().around.store.as_ref()
    }

    /// Starts the daemon on the files as they now are.
    pub(crate) async fn start_daemon(&mut self) {
        let file = self.folder.path().join("cosell-sync.toml");
        let config = Config::load(&file, std::iter::empty()).expect("a valid configuration");
        let store = app::open_store(&config).await.expect("the store opens");
        let mut around = app::surroundings(store);
        if self.setup.sandbox_clock {
            around.clock = Arc::new(Movable(self.sandbox.clock.clone()));
        }
        let app = App::start_with(&config, around).await.expect("the daemon starts");
        self.app = Some(app);
    }

    /// Stops the daemon softly; its store stays on the disk.
    pub(crate) async fn stop_daemon(&mut self) {
        self.app.take().expect("the daemon runs").stop().await;
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if Instant::now() > end {
                panic!("in vain: {what}\n{}", self.show().await);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until `holds`.
    pub(crate) async fn until_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        self.until(what, || holds().then_some(())).await;
    }

    /// Waits until the trail holds an entry of this kind that says `words`.
    pub(crate) async fn until_said(&self, kind: AuditKind, words: &str) -> AuditEntry {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self
                .trail(Some(kind))
                .await
                .into_iter()
                .find(|entry| entry.entry.summary.contains(words));
            if let Some(entry) = found {
                return entry;
            }
            if Instant::now() > end {
                panic!("in vain: {kind:?} {words}\n{}", self.show().await);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// How many notices of a source the inbox has taken.
    pub(crate) async fn accepted_of(&self, source: Source) -> u64 {
        let ledger = self.store().ledger().await.expect("the ledger");
        ledger.into_iter().find(|line| line.source == source).map_or(0, |line| line.accepted)
    }

    /// Waits until it has taken so many.
    pub(crate) async fn until_accepted(&self, source: Source, count: u64) {
        let end = Instant::now() + PATIENCE;
        while self.accepted_of(source).await < count {
            if Instant::now() > end {
                panic!("in vain: the door stays open\n{}", self.show().await);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until a dead letter says `words`.
    pub(crate) async fn until_held(&self, words: &str) -> DeadLetter {
        let end = Instant::now() + PATIENCE;
        loop {
            let letters = self.letters().await;
            if let Some(letter) = letters.into_iter().find(|it| it.hold.reason.contains(words)) {
                return letter;
            }
            if Instant::now() > end {
                panic!("in vain: held because of {words}\n{}", self.show().await);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Asks the admin interface.
    pub(crate) async fn admin(&self, path: &str, body: Json) -> u16 {
        let url = format!("http://{}/api/v1{path}", self.app().admin_address);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(url).bearer_auth("sandbox-admin-token").json(&body);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Reads from the admin interface.
    pub(crate) async fn ask(&self, path: &str) -> Json {
        let url = format!("http://{}/api/v1{path}", self.app().admin_address);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.get(url).bearer_auth("sandbox-admin-token");
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    /// What Prometheus reads.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.app().admin_address);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.get(url).bearer_auth("sandbox-admin-token");
        request.send().await.expect("an answer").text().await.expect("text")
    }

    /// Waits until shadow mode has planned a value of this field.
    pub(crate) async fn until_planned(&self, field: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let plans = self.trail(Some(AuditKind::WouldWrite)).await;
            let mut changes = plans.iter().flat_map(|plan| &plan.entry.fields);
            if changes.any(|change| change.field == field) {
                return;
            }
            assert!(Instant::now() < end, "in vain: a plan for {field}\n{}", self.show().await);
            tokio::time::sleep(GLANCE).await;
        }
    }

    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        self.store().dead_letters(None, 100).await.expect("dead letters")
    }

    /// Entries of the trail, newest first.
    pub(crate) async fn trail(&self, kind: Option<AuditKind>) -> Vec<AuditEntry> {
        let query = AuditQuery { kind, limit: 1000, ..AuditQuery::default() };
        self.store().audit(&query).await.expect("the trail")
    }

    /// Waits until nothing is held any more.
    pub(crate) async fn released(&self) {
        let end = Instant::now() + PATIENCE;
        while !self.letters().await.is_empty() {
            assert!(Instant::now() < end, "in vain: nothing is held\n{}", self.show().await);
            tokio::time::sleep(GLANCE).await;
        }
    }

    pub(crate) async fn deal(&self, id: &ReferralId) -> Option<Deal> {
        let account = &self.app().accounts[0].name;
        let key = DealKey::Referral(id.clone());
        self.store().deal_by(account, &key).await.expect("a deal")
    }

    pub(crate) async fn deals(&self) -> Vec<Deal> {
        self.store().deals(None, None, 100).await.expect("deals")
    }

    pub(crate) fn writes(&self) -> Writes {
        (
            self.sandbox.partner_center.write_count(),
            self.sandbox.dynamics365.write_count(),
            self.sandbox.salesforce.request_log().writes,
        )
    }

    /// Waits until every CRM was read twice more, whatever Partner Center does.
    pub(crate) async fn two_crm_polls(&self) {
        for _ in 0..2 {
            let now = self.app().around.clock.now();
            let read_since = || {
                let pollers = &self.app().pollers;
                let mut crms = pollers.iter().filter(|it| it.feed() != Feed::PartnerCenter);
                crms.all(|poller| poller.health().last_success.is_some_and(|at| at > now))
            };
            self.until_true("every CRM is read again", read_since).await;
        }
    }

    /// Waits until every feed was read twice more, those aside that are read less than once a minute.
    pub(crate) async fn two_polls(&self) {
        for _ in 0..2 {
            self.another_poll().await;
        }
    }

    /// Waits until every feed was read once more.
    pub(crate) async fn another_poll(&self) {
        let now = self.app().around.clock.now();
        let rare = self.setup.reconcile_secs > 60;
        let read_since = || {
            let mut often = self
                .app()
                .pollers
                .iter()
                .filter(|poller| !(rare && poller.feed() == Feed::PartnerCenter));
            often.all(|poller| poller.health().last_success.is_some_and(|at| at > now))
        };
        self.until_true("every feed is read again", read_since).await;
    }

    /// Waits until nothing waits but looks at deals that the daemon has planned for later.
    pub(crate) async fn idle(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let waiting = self.store().waiting(1000).await.expect("the inbox");
            let now = self.app().around.clock.now();
            let later = now.plus(Duration::from_secs(60));
            let is_planned = |notice: &Notice| {
                let (due, event) = (notice.notice.due, &notice.notice.event);
                due > later || due > now && event == "deadline"
            };
            if waiting.iter().all(is_planned) {
                return;
            }
            if Instant::now() > end {
                panic!("in vain: nothing due waits\n{}", self.show().await);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until no system is written to during two reads of every feed.
    pub(crate) async fn silence(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.idle().await;
            let before = self.writes();
            self.two_polls().await;
            // What the polls have found is worked on before anybody looks.
            self.idle().await;
            if self.writes() == before {
                return;
            }
            if Instant::now() > end {
                panic!("somebody is written to again and again\n{}", self.show().await);
            }
        }
    }

    /// Nothing is held, and all is well.
    pub(crate) async fn finish(self) {
        self.finish_with(&[]).await;
    }

    /// Just these are held (words of their reasons), and all else is well.
    pub(crate) async fn finish_with(mut self, held: &[&str]) {
        self.silence().await;
        self.check_held(held).await;
        self.no_doubles().await;
        self.stop_daemon().await;
    }

    /// The end of a world whose feeds are read too rarely to wait for silence: all is well as it is.
    pub(crate) async fn check_and_stop(&mut self) {
        self.check_held(&[]).await;
        self.no_doubles().await;
        self.stop_daemon().await;
    }

    /// The ledger balances, the trail is whole, and just these are held.
    async fn check_held(&self, held: &[&str]) {
        for line in self.store().ledger().await.expect("the ledger") {
            assert!(line.balances(), "the ledger: {line:?}");
        }
        let reasons: Vec<String> =
            self.letters().await.into_iter().map(|letter| letter.hold.reason).collect();
        for words in held {
            let there = reasons.iter().any(|reason| reason.contains(words));
            assert!(there, "{words} is not held: {reasons:?}");
        }
        assert_eq!(reasons.len(), held.len(), "{reasons:?}\n{}", self.show().await);
        let audit = self.store().verify_audit().await.expect("the trail");
        assert_eq!(audit.broken_at, None);
    }

    /// No referral has two rows, no row two closings.
    async fn no_doubles(&self) {
        let mut seen = BTreeSet::new();
        let dynamics =
            ["opportunity", "lead"].map(|table| (table, self.sandbox.dynamics365.rows(table)));
        for (table, rows) in dynamics {
            for row in rows {
                let id = text(&row["pc_referralidentifier"]).to_owned();
                assert!(id.is_empty() || seen.insert((table, id)), "two rows: {row}");
            }
        }
        for row in self.sandbox.salesforce.rows("Opportunity") {
            let id = text(&row["Referral_Identifier__c"]).to_owned();
            assert!(id.is_empty() || seen.insert(("Opportunity", id)), "two rows: {row}");
        }
        let mut closed = BTreeSet::new();
        for close in self.sandbox.dynamics365.rows("opportunityclose") {
            let of = text(&close["_opportunityid_value"]).to_owned();
            assert!(closed.insert(of), "closed twice: {close}");
        }
    }
}
