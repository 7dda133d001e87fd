//! How a world differs from the ordinary one.

use std::net::SocketAddr;

use cosell_sync::connect::salesforce::sandbox::SandboxOptions;
use cosell_sync::sandbox::{Addresses, Sandbox};
use serde_json::json;

use super::World;

/// Changes the emulators before the daemon starts.
type Prepare = Box<dyn FnOnce(&Sandbox) + Send>;

/// A configuration to start from, and what to change.
pub(crate) struct Setup {
    pub(super) dynamics: bool,
    pub(super) salesforce: bool,
    webhooks: bool,
    fixed_port: bool,
    pub(super) sandbox_clock: bool,
    pub(super) reconcile_secs: i64,
    settings: Vec<(&'static str, toml::Value)>,
    organization: fn(&mut SandboxOptions),
    prepare: Vec<Prepare>,
}

impl Setup {
    /// Both CRMs, every feed read each second, webhooks registered.
    pub(crate) fn new() -> Self {
        Self {
            dynamics: true,
            salesforce: true,
            webhooks: true,
            fixed_port: false,
            sandbox_clock: false,
            reconcile_secs: 1,
            settings: Vec::new(),
            organization: |_| (),
            prepare: Vec::new(),
        }
    }

    /// Only Dynamics 365.
    pub(crate) fn dynamics_only() -> Self {
        Self { salesforce: false, ..Self::new() }
    }

    /// Only Salesforce.
    pub(crate) fn salesforce_only() -> Self {
        Self { dynamics: false, ..Self::new() }
    }

    /// Events of Partner Center go nowhere.
    pub(crate) fn without_webhooks(mut self) -> Self {
        self.webhooks = false;
        self
    }

    /// The daemon knows its own public address, as it must to guard the registration.
    pub(crate) fn with_public_address(mut self) -> Self {
        self.fixed_port = true;
        self
    }

    /// The daemon goes by the clock of the emulators, which a test may move.
    pub(crate) fn on_the_sandbox_clock(mut self) -> Self {
        self.sandbox_clock = true;
        self
    }

    /// Every feed is read as often as in an ordinary configuration.
    pub(crate) fn ordinary_polls(mut self) -> Self {
        if self.salesforce {
            self = self.set("salesforce.poll_secs", 30);
        }
        if self.dynamics {
            self = self.set("dynamics365.poll_secs", 30);
        }
        self.reconcile_secs(300)
    }

    /// How often Partner Center's list is read.
    pub(crate) fn reconcile_secs(mut self, secs: i64) -> Self {
        self.reconcile_secs = secs;
        self
    }

    /// One setting of the account, by its dotted key.
    pub(crate) fn set(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    /// Another organisation of Salesforce.
    pub(crate) fn organization(mut self, change: fn(&mut SandboxOptions)) -> Self {
        self.organization = change;
        self
    }

    /// What is done to the emulators before the daemon starts.
    pub(crate) fn prepare(mut self, prepare: impl FnOnce(&Sandbox) + Send + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Starts it and waits until every feed was read once.
    pub(crate) async fn start(mut self) -> World {
        let sandbox = Sandbox::start_with(Addresses::free(), self.organization)
            .await
            .expect("the emulators start");
        for prepare in self.prepare.drain(..) {
            prepare(&sandbox);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let public = if self.fixed_port { unused() } else { free };
        sandbox.write_files(folder.path(), public, free).expect("the files are written");
        let mut world = World { sandbox, folder, setup: self, app: None };
        world.write_configuration();
        world.start_daemon().await;
        if world.setup.webhooks {
            world.register_webhook();
        }
        let ready = || {
            let pollers = &world.app().pollers;
            pollers.iter().all(|poller| poller.health().last_success.is_some()).then_some(())
        };
        world.until("every feed was read once", ready).await;
        world
    }
}

impl World {
    /// Writes the differences of the setup over the configuration that the emulators made.
    fn write_configuration(&self) {
        let path = self.folder.path().join("cosell-sync.toml");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        let mut config: toml::Table = text.parse().expect("TOML");
        let account = config["accounts"]["contoso"].as_table_mut().expect("the account");
        if !self.setup.dynamics {
            account.remove("dynamics365");
            put(account, "sync.primary_crm", "salesforce".into());
        }
        if !self.setup.salesforce {
            account.remove("salesforce");
        }
        put(account, "partner_center.reconcile_secs", self.setup.reconcile_secs.into());
        for (key, value) in &self.setup.settings {
            put(account, key, value.clone());
        }
        std::fs::write(path, config.to_string()).expect("the configuration is written");
    }

    /// Writes a mapping file; the daemon reads it when it starts.
    pub(crate) fn write_mapping(&self, name: &str, text: &str) {
        let path = self.folder.path().join("mappings").join(name);
        std::fs::write(path, text).expect("the mapping file is written");
    }

    /// Changes one setting of the account; the daemon reads it when it starts.
    pub(crate) fn change_setting(&mut self, key: &'static str, value: impl Into<toml::Value>) {
        self.setup.settings.push((key, value.into()));
        self.write_configuration();
    }

    /// Where Partner Center's events arrive.
    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}/webhooks/partner-center/contoso", self.app().public_address)
    }

    /// Registers the daemon as `webhook register` does.
    pub(crate) fn register_webhook(&self) {
        let slot = json!({
            "WebhookUrl": self.webhook_url(),
            "WebhookEvents": [
                "referral-created", "referral-updated", "related-referral-created",
                "related-referral-updated", "test-created",
            ],
            "SignatureTokenToMsSignatureHeader": true,
        });
        self.sandbox.partner_center.set_slot(&slot).expect("a registration");
    }
}

/// An address that nobody listens on just now.
fn unused() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

fn put(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        Some((step, rest)) => {
            let inner = table.entry(step).or_insert_with(|| toml::Table::new().into());
            put(inner.as_table_mut().expect("a table"), rest, value);
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}
