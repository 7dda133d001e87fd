//! `[accounts.NAME.dynamics365]` and `[accounts.NAME.salesforce]`.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::SecretSource;
use super::found::Found;
use super::values::{check_address, check_email, check_range, check_root, check_tenant};

/// `[accounts.NAME.dynamics365]`: one Dataverse environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dynamics365Config {
    /// Root of the environment, for example `https://contoso.crm.dynamics.com`.
    pub url: Url,
    /// Entra tenant that issues the token.
    pub tenant_id: String,
    /// Application (client) id registered there; must be an application user of the environment.
    pub client_id: String,
    /// Its secret; or a certificate.
    pub client_secret: Option<SecretSource>,
    /// PEM file with certificate and private key, in place of a secret.
    pub certificate: Option<SecretSource>,
    /// How often changes are read, in seconds. 1 to 86400.
    #[serde(default = "default_poll_secs")]
    pub poll_secs: u64,
    /// Shared secret of the environment's webhooks; without it none are taken.
    pub webhook_secret: Option<SecretSource>,
    /// Names of the main forms that `provision` gives a section with the columns for sellers.
    #[serde(default)]
    pub forms: Vec<String>,
    /// Requests that the platform grants in 24 hours, as the tenant is licensed. At least 1000.
    #[serde(default = "default_daily_requests")]
    pub daily_requests: u64,
    /// Share of them left to people and other programs, in percent. 0 to 90.
    #[serde(default = "default_reserve_percent")]
    pub reserve_percent: u64,
    /// Overrides the token endpoint.
    pub token_url: Option<Url>,
    /// PEM file of trust roots, in place of the public ones.
    pub ca_file: Option<PathBuf>,
}

fn default_poll_secs() -> u64 {
    30
}

/// What a tenant with Dynamics 365 licences has at least for its applications.
fn default_daily_requests() -> u64 {
    500_000
}

impl Dynamics365Config {
    pub(super) fn check(&self, found: &mut Found<'_>, account: &str) {
        let key = |name: &str| format!("accounts.{account}.dynamics365.{name}");
        if self.client_secret.is_some() == self.certificate.is_some() {
            let table = format!("accounts.{account}.dynamics365");
            let what = format!("{table} needs a client_secret or a certificate");
            found.lack(&table, &what, "give exactly one of the two");
        }
        check_range(found, &key("poll_secs"), self.poll_secs, 1, 86_400);
        check_range(found, &key("daily_requests"), self.daily_requests, 1000, 100_000_000);
        check_range(found, &key("reserve_percent"), self.reserve_percent, 0, 90);
        check_root(found, &key("url"), &self.url);
        check_tenant(found, &key("tenant_id"), &self.tenant_id);
        self.token_url.iter().for_each(|url| check_address(found, &key("token_url"), url));
    }
}

/// `[accounts.NAME.salesforce]`: one Salesforce organisation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SalesforceConfig {
    /// My Domain, for example `https://contoso.my.salesforce.com`.
    pub url: Url,
    /// How to sign in.
    pub auth: SalesforceAuth,
    /// Consumer key of the app.
    pub client_id: String,
    /// User to act as, for `jwt`.
    pub username: Option<String>,
    /// PEM private key, for `jwt`.
    pub private_key: Option<SecretSource>,
    /// Audience of the assertion, for `jwt`.
    #[serde(default = "default_audience")]
    pub audience: String,
    /// Consumer secret, for `client_credentials`, and for `refresh_token` where the app asks for it.
    pub client_secret: Option<SecretSource>,
    /// Refresh token to begin with, for `refresh_token`.
    pub refresh_token: Option<SecretSource>,
    /// API version.
    #[serde(default = "default_api_version")]
    pub api_version: String,
    /// How often changes are read, in seconds. 1 to 86400.
    #[serde(default = "default_poll_secs")]
    pub poll_secs: u64,
    /// How far back each read looks again for rows that were committed late, in seconds. 0 to 3600.
    #[serde(default = "default_overlap_secs")]
    pub overlap_secs: u64,
    /// Share of the daily API requests left to people, in percent. 0 to 90.
    #[serde(default = "default_reserve_percent")]
    pub reserve_percent: u64,
    /// Save although an alerting duplicate rule objects.
    #[serde(default)]
    pub allow_duplicates: bool,
    /// `[accounts.NAME.salesforce.pubsub]`: listen to change events.
    pub pubsub: Option<PubSubConfig>,
    /// Take outbound messages as hints. The webhook address must carry a `path_secret`.
    pub outbound_path_secret: Option<SecretSource>,
    /// Overrides the token endpoint.
    pub token_url: Option<Url>,
    /// PEM file of trust roots, in place of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// `[accounts.NAME.salesforce.pubsub]`: change events over gRPC.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubSubConfig {
    /// Address of the Pub/Sub service.
    #[serde(default = "default_pubsub_url")]
    pub url: Url,
    /// Topic with the changes of opportunities.
    #[serde(default = "default_opportunity_topic")]
    pub opportunity_topic: String,
    /// Topic with the changes of leads.
    #[serde(default = "default_lead_topic")]
    pub lead_topic: String,
    /// Events taken at once: what may wait in memory. 1 to 100.
    #[serde(default = "default_events_at_once")]
    pub events_at_once: u32,
}

#[allow(clippy::expect_used, reason = "a constant that the tests parse")]
fn default_pubsub_url() -> Url {
    Url::parse("https://api.pubsub.salesforce.com:7443").expect("an address")
}

fn default_opportunity_topic() -> String {
    "/data/OpportunityChangeEvent".to_owned()
}

fn default_lead_topic() -> String {
    "/data/LeadChangeEvent".to_owned()
}

fn default_events_at_once() -> u32 {
    100
}

impl PubSubConfig {
    fn check(&self, found: &mut Found<'_>, account: &str) {
        let key = |name: &str| format!("accounts.{account}.salesforce.pubsub.{name}");
        if !cfg!(feature = "pubsub") {
            found.value(
                &format!("accounts.{account}.salesforce.pubsub"),
                &format!(
                    "[accounts.{account}.salesforce.pubsub] is there, but this program was built \
                     without change events"
                ),
                "remove the table, or build with `cargo build --release --features pubsub`",
            );
        }
        check_range(found, &key("events_at_once"), u64::from(self.events_at_once), 1, 100);
        for (name, topic) in
            [("opportunity_topic", &self.opportunity_topic), ("lead_topic", &self.lead_topic)]
        {
            if !topic.starts_with("/data/") {
                found.value(
                    &key(name),
                    &format!("`{}` is \"{topic}\", which is no topic of change events", key(name)),
                    "use a name such as /data/OpportunityChangeEvent or /data/CoSell__chn",
                );
            }
        }
        check_address(found, &key("url"), &self.url);
    }
}

/// How to sign in to Salesforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SalesforceAuth {
    /// JWT bearer flow.
    Jwt,
    /// Client-credentials flow.
    ClientCredentials,
    /// Refresh-token flow.
    RefreshToken,
}

fn default_audience() -> String {
    "https://login.salesforce.com".to_owned()
}

fn default_api_version() -> String {
    "66.0".to_owned()
}

fn default_overlap_secs() -> u64 {
    120
}

fn default_reserve_percent() -> u64 {
    20
}

impl SalesforceConfig {
    pub(super) fn check(&self, found: &mut Found<'_>, account: &str) {
        let key = |name: &str| format!("accounts.{account}.salesforce.{name}");
        check_range(found, &key("poll_secs"), self.poll_secs, 1, 86_400);
        check_range(found, &key("overlap_secs"), self.overlap_secs, 0, 3600);
        check_range(found, &key("reserve_percent"), self.reserve_percent, 0, 90);
        self.pubsub.iter().for_each(|pubsub| pubsub.check(found, account));
        self.check_url(found, &key("url"));
        self.check_version(found, &key("api_version"));
        if let Some(username) = &self.username {
            check_email(found, &key("username"), &key("username"), username);
        }
        self.token_url.iter().for_each(|url| check_address(found, &key("token_url"), url));
        let needed = match self.auth {
            SalesforceAuth::Jwt => {
                [("username", self.username.is_some()), ("private_key", self.private_key.is_some())]
            }
            SalesforceAuth::ClientCredentials => {
                [("client_secret", self.client_secret.is_some()), ("client_id", true)]
            }
            SalesforceAuth::RefreshToken => {
                [("refresh_token", self.refresh_token.is_some()), ("client_id", true)]
            }
        };
        for (name, _) in needed.iter().filter(|(_, there)| !there) {
            let table = format!("accounts.{account}.salesforce");
            let what = format!("`{}` is missing", key(name));
            found.lack(&table, &what, "this way of signing in needs it");
        }
    }

    fn check_url(&self, found: &mut Found<'_>, key: &str) {
        check_root(found, key, &self.url);
        let host = self.url.host_str().unwrap_or_default();
        if host.ends_with(".lightning.force.com") {
            found.value(
                key,
                &format!("`{key}` is {host}, which is for browsers"),
                "use the My Domain host that ends in .my.salesforce.com",
            );
        }
    }

    fn check_version(&self, found: &mut Found<'_>, key: &str) {
        let whole = self.api_version.strip_suffix(".0").and_then(|text| text.parse::<u16>().ok());
        if whole.is_none_or(|version| version < 50) {
            found.value(
                key,
                &format!("`{key}` is \"{}\", which is no version that works", self.api_version),
                "write 50.0 or newer as in \"66.0\", without a v",
            );
        }
    }
}
