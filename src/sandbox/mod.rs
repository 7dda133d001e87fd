//! The three emulators together on loopback, with a configuration that points at them.
//!
//! * Owns: which emulator listens where, the files that a daemon needs to work against them.
//! * May use: the emulators. Part of the product: admins try their mappings here before going live.

pub mod control;
pub mod story;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::connect::dynamics365::sandbox::{Dynamics365Sandbox, SandboxOptions as DynamicsOptions};
use crate::connect::partner_center::sandbox::{Options as PartnerOptions, PartnerCenterSandbox};
use crate::connect::salesforce::sandbox::{SalesforceSandbox, SandboxOptions as SalesforceOptions};
use crate::connect::sandbox::{SandboxClock, Serving, serve};
use crate::mapping::shipped_files;

/// Pause between two attempts of the emulated Partner Center to deliver an event.
const DELIVERY_SPACING: Duration = Duration::from_millis(200);

/// The running emulators; they stop when this is dropped.
pub struct Sandbox {
    /// Emulates Partner Center.
    pub partner_center: PartnerCenterSandbox,
    /// Emulates Dynamics 365.
    pub dynamics365: Dynamics365Sandbox,
    /// Emulates Salesforce.
    pub salesforce: SalesforceSandbox,
    /// The clock of all three.
    pub clock: SandboxClock,
    partner_center_serving: Serving,
    dynamics365_serving: Serving,
    salesforce_serving: Serving,
    /// Serves the change events of Salesforce.
    #[cfg(feature = "pubsub")]
    pub pubsub_serving: crate::connect::salesforce::sandbox::pubsub::PubSubServing,
    _deliveries: AbortOnDropHandle<()>,
}

/// Where the emulators listen; port 0 takes a free one.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Partner Center.
    pub partner_center: SocketAddr,
    /// Dynamics 365.
    pub dynamics365: SocketAddr,
    /// Salesforce.
    pub salesforce: SocketAddr,
}

impl Addresses {
    /// Free ports on loopback.
    #[must_use]
    pub fn free() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { partner_center: free, dynamics365: free, salesforce: free }
    }
}

impl Sandbox {
    /// Starts the three emulators with a few customers in the CRMs.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound.
    pub async fn start(addresses: Addresses) -> io::Result<Self> {
        Self::start_with(addresses, |_| ()).await
    }

    /// As [`Sandbox::start`], with another organisation of Salesforce.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::start`].
    pub async fn start_with(
        addresses: Addresses,
        change: impl FnOnce(&mut SalesforceOptions),
    ) -> io::Result<Self> {
        // The emulated Partner Center delivers over HTTP; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = SandboxClock::running();
        let partner_center = PartnerCenterSandbox::new(PartnerOptions::default(), clock.clone());
        let dynamics365 = Dynamics365Sandbox::new(DynamicsOptions::default(), clock.clone());
        let mut options = SalesforceOptions {
            currencies: vec!["EUR".to_owned(), "USD".to_owned()],
            ..SalesforceOptions::default()
        };
        change(&mut options);
        let salesforce = SalesforceSandbox::new(options, clock.clone());
        let at = |address: SocketAddr| {
            move |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"))
        };
        let partner_center_serving = partner_center.serve(addresses.partner_center).await;
        let partner_center_serving =
            partner_center_serving.map_err(at(addresses.partner_center))?;
        let dynamics365_serving = serve(dynamics365.router(), addresses.dynamics365).await;
        let dynamics365_serving = dynamics365_serving.map_err(at(addresses.dynamics365))?;
        let salesforce_serving = serve(salesforce.router(), addresses.salesforce).await;
        let salesforce_serving = salesforce_serving.map_err(at(addresses.salesforce))?;
        #[cfg(feature = "pubsub")]
        let pubsub_serving = {
            let free = SocketAddr::new(addresses.salesforce.ip(), 0);
            salesforce.serve_pubsub(free, false).await?
        };
        let euro = serde_json::json!({
            "currencyname": "Euro", "isocurrencycode": "EUR", "currencysymbol": "\u{20ac}",
            "currencyprecision": 2, "exchangerate": 0.9,
        });
        let seeded = dynamics365.create_as_person("transactioncurrency", &euro);
        seeded.map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
        let deliveries = partner_center.deliver_in_background(DELIVERY_SPACING);
        Ok(Self {
            partner_center,
            dynamics365,
            salesforce,
            clock,
            partner_center_serving,
            dynamics365_serving,
            salesforce_serving,
            #[cfg(feature = "pubsub")]
            pubsub_serving,
            _deliveries: deliveries,
        })
    }

    /// `http://127.0.0.1:PORT` of Partner Center, Dynamics 365 and Salesforce.
    #[must_use]
    pub fn urls(&self) -> [String; 3] {
        [
            self.partner_center_serving.url(),
            self.dynamics365_serving.url(),
            self.salesforce_serving.url(),
        ]
    }

    /// Writes a configuration, its secrets, certificates and the shipped mapping files into `folder`,
    /// so that `cosell-sync run --config FOLDER/cosell-sync.toml` works against these emulators.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write_files(
        &self,
        folder: &Path,
        public: SocketAddr,
        admin: SocketAddr,
    ) -> io::Result<()> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, text)?;
            // The daemon warns of secrets that others can read.
            #[cfg(unix)]
            if name.starts_with("secrets/") {
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&path, private)?;
            }
            Ok(())
        };
        write("secrets/partner-center", &self.partner_center.options().client_secret)?;
        write("secrets/refresh-token", &self.partner_center.refresh_token())?;
        write("secrets/dynamics365", &self.dynamics365.options().client_secret)?;
        write("secrets/salesforce", &SalesforceOptions::default().client_secret)?;
        write("secrets/dynamics365-webhook", "sandbox-webhook-secret")?;
        write("secrets/store-key", &"5a".repeat(32))?;
        write("secrets/admin-token", "sandbox-admin-token")?;
        write("certs/roots.pem", &self.partner_center.ca_pem())?;
        write("certs/intermediates.pem", &self.partner_center.intermediates_pem())?;
        for (name, text) in shipped_files() {
            write(&format!("mappings/{name}"), text)?;
        }
        let configuration = self.configuration(public, admin);
        #[cfg(feature = "pubsub")]
        let configuration = format!(
            "{configuration}\n[accounts.contoso.salesforce.pubsub]\nurl = \"{}\"\n",
            self.pubsub_serving.url()
        );
        write("cosell-sync.toml", &configuration)
    }

    fn configuration(&self, public: SocketAddr, admin: SocketAddr) -> String {
        let [partner_center, dynamics365, salesforce] = self.urls();
        let partner = self.partner_center.options();
        let dynamics = self.dynamics365.options();
        let sales = SalesforceOptions::default();
        let certificate_host = partner_center.trim_start_matches("http://");
        format!(
            r#"# Written by `cosell-sync sandbox`: points at emulators on this machine.
[server]
listen = "{public}"
public_url = "http://{public}"
[admin]
listen = "{admin}"
token = {{ file = "secrets/admin-token" }}
[store]
path = "store"
encryption_key = {{ file = "secrets/store-key" }}

[accounts.contoso.partner_center]
tenant_id = "{tenant}"
client_id = "{client}"
client_secret = {{ file = "secrets/partner-center" }}
refresh_token = {{ file = "secrets/refresh-token" }}
token_url = "{partner_center}/{tenant}/oauth2/v2.0/token"
referrals_url = "{partner_center}"
webhooks_url = "{partner_center}"
reconcile_secs = 5
[accounts.contoso.partner_center.webhook]
certificate_hosts = ["{certificate_host}"]
certificate_paths = ["/cert/pcnotifications-dispatch.microsoft.com.cer"]
roots = "certs/roots.pem"
intermediates = "certs/intermediates.pem"

[accounts.contoso.dynamics365]
url = "{dynamics365}"
tenant_id = "{dynamics_tenant}"
client_id = "{dynamics_client}"
client_secret = {{ file = "secrets/dynamics365" }}
token_url = "{dynamics365}/{dynamics_tenant}/oauth2/v2.0/token"
webhook_secret = {{ file = "secrets/dynamics365-webhook" }}
poll_secs = 1

[accounts.contoso.salesforce]
url = "{salesforce}"
auth = "client_credentials"
client_id = "{sales_client}"
client_secret = {{ file = "secrets/salesforce" }}
poll_secs = 1
overlap_secs = 10

[accounts.contoso.sync]
mappings = "mappings"
primary_crm = "dynamics365"
list_lag_secs = 0
[accounts.contoso.sharing]
customer_consent = true
default_team = [{{ first_name = "Deal", last_name = "Desk", phone = "+49 30 0000", email = "dealdesk@contoso.example" }}]
marketplace_intent = "HaveNotDecided"
"#,
            tenant = partner.tenant_id,
            client = partner.client_id,
            dynamics_tenant = dynamics.tenant_id,
            dynamics_client = dynamics.client_id,
            sales_client = sales.client_id,
        )
    }
}
