//! How to reach and sign in to one organisation.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::connect::http::{HttpSettings, address};
use crate::domain::secret::SecretString;

/// Everything that may differ between organisations.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The organisation's My Domain, for example `https://contoso.my.salesforce.com`.
    pub url: Url,
    /// Where to sign in, if not at `url`: the whole address of the token endpoint.
    pub token_url: Option<Url>,
    /// How to sign in.
    pub auth: Auth,
    /// REST version, for example `66.0`; 50.0 or newer.
    pub api_version: String,
    /// Limits of the HTTP client.
    pub http: HttpSettings,
    /// The client name in Salesforce's logs and in the origin of its change events.
    pub client_name: String,
    /// Saves in spite of a duplicate rule that only alerts.
    pub duplicate_rule_allow_save: bool,
    /// Share of the daily quota that background reads leave for people, 0.0 to 1.0.
    pub people_reserve: f64,
    /// Share of the daily quota that nothing of ours may use, 0.0 to 1.0.
    pub hard_reserve: f64,
    /// How far each pass of the feed looks back for rows that became visible late.
    pub feed_overlap: Duration,
    /// Rows in one page of the feed, 1 to 2,000.
    pub page_rows: u32,
    /// How long a session is good for; a dead one is noticed by its 401 anyway.
    pub session: Duration,
    /// Lead status for a conversion when the mapping names none; otherwise the organisation's own.
    pub convert_status: Option<String>,
    /// Change events over gRPC; only used where the cargo feature `pubsub` is built in.
    pub events: Option<EventSettings>,
}

/// Where and how change events are read.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// The address of the Pub/Sub service.
    pub url: Url,
    /// The topic with the changes of opportunities.
    pub opportunity_topic: String,
    /// The topic with the changes of leads.
    pub lead_topic: String,
    /// Events taken at once, 1 to 100: what may wait in memory.
    pub at_once: u32,
}

/// How to sign in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// JWT bearer: a signed assertion instead of a password. The best choice for a daemon.
    Jwt {
        /// Consumer key of the app.
        client_id: String,
        /// User name to work as.
        username: String,
        /// PEM private key whose certificate is uploaded to the app.
        private_key: SecretString,
        /// `https://login.salesforce.com`, or `https://test.salesforce.com` for a sandbox.
        audience: String,
    },
    /// Client credentials, as the app's run-as user.
    ClientCredentials {
        /// Consumer key of the app.
        client_id: String,
        /// Consumer secret of the app.
        secret: SecretString,
    },
    /// A refresh token of a sign-in that a person made once.
    RefreshToken {
        /// Consumer key of the app.
        client_id: String,
        /// Consumer secret, for an app that demands it.
        secret: Option<SecretString>,
        /// The first token; the vault's is used before it.
        refresh_token: Option<SecretString>,
    },
}

/// Keeps rotated refresh tokens. A new token is stored durably before it is used, because the old
/// one is dead by then.
#[async_trait]
pub trait RefreshTokenVault: Send + Sync {
    /// The newest token stored, if any. Errors are sentences for the admin.
    async fn load(&self) -> Result<Option<SecretString>, String>;

    /// Stores a token durably.
    async fn store(&self, token: &SecretString) -> Result<(), String>;
}

impl Settings {
    /// The usual settings for an organisation.
    #[must_use]
    pub fn new(url: Url, auth: Auth) -> Self {
        Self {
            url,
            token_url: None,
            auth,
            api_version: "66.0".to_owned(),
            http: HttpSettings::default(),
            client_name: "cosell-sync".to_owned(),
            duplicate_rule_allow_save: false,
            people_reserve: 0.2,
            hard_reserve: 0.05,
            feed_overlap: Duration::from_secs(120),
            page_rows: 2000,
            session: Duration::from_secs(2 * 60 * 60),
            convert_status: None,
            events: None,
        }
    }

    /// Refuses settings that cannot work, with a sentence for the admin.
    pub(super) fn check(&self) -> Result<(), String> {
        for url in [Some(&self.url), self.token_url.as_ref()].into_iter().flatten() {
            if !address::is_safe(url) {
                return Err(format!("`{url}` must be https, or http to a loopback address"));
            }
        }
        let host = self.url.host_str().unwrap_or_default();
        if host.ends_with(".lightning.force.com") {
            return Err(format!(
                "`{host}` is for browsers; use the My Domain host that ends in .my.salesforce.com"
            ));
        }
        self.check_login_host()?;
        self.check_events()?;
        self.check_numbers()
    }

    fn check_login_host(&self) -> Result<(), String> {
        let at = self.token_url.as_ref().unwrap_or(&self.url).host_str().unwrap_or_default();
        let shared = matches!(at, "login.salesforce.com" | "test.salesforce.com");
        if shared && matches!(self.auth, Auth::ClientCredentials { .. }) {
            return Err(format!(
                "`{at}` does not take client credentials; sign in at the My Domain host"
            ));
        }
        Ok(())
    }

    /// The session is sent to the Pub/Sub service too, so that is Salesforce's or stands where the
    /// organisation stands.
    fn check_events(&self) -> Result<(), String> {
        let Some(events) = &self.events else { return Ok(()) };
        let host = events.url.host_str().unwrap_or_default();
        let known = host.ends_with(".pubsub.salesforce.com")
            || events.url.host() == self.url.host()
            || address::is_loopback(&events.url) && address::is_loopback(&self.url);
        if !known || !address::is_safe(&events.url) {
            return Err(format!(
                "pubsub.url `{}` is not the Pub/Sub service of Salesforce, for example \
                 https://api.pubsub.salesforce.com:7443",
                events.url
            ));
        }
        if !(1..=100).contains(&events.at_once) {
            return Err("pubsub.events_at_once must be between 1 and 100".to_owned());
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), String> {
        let whole = self.api_version.strip_suffix(".0").and_then(|text| text.parse::<u16>().ok());
        if whole.is_none_or(|version| version < 50) {
            return Err(format!(
                "api_version `{}` must be 50.0 or newer, for example 66.0",
                self.api_version
            ));
        }
        for (name, share) in
            [("people_reserve", self.people_reserve), ("hard_reserve", self.hard_reserve)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name} must be between 0.0 and 1.0"));
            }
        }
        if !(1..=2000).contains(&self.page_rows) {
            return Err("page_rows must be between 1 and 2000".to_owned());
        }
        Ok(())
    }

    /// `/services/data/v66.0`.
    pub(super) fn data_path(&self) -> String {
        format!("/services/data/v{}", self.api_version)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Auth, Settings};

    fn settings(url: &str) -> Settings {
        let auth = Auth::ClientCredentials { client_id: "id".to_owned(), secret: "secret".into() };
        Settings::new(Url::parse(url).expect("a url"), auth)
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_a_sentence() {
        let table = [
            ("https://contoso.my.salesforce.com", true, "My Domain"),
            ("http://127.0.0.1:8000", true, "a sandbox on loopback"),
            ("http://contoso.my.salesforce.com", false, "plain http"),
            ("https://contoso.lightning.force.com", false, "not an API host"),
            ("https://login.salesforce.com", false, "takes no client credentials"),
        ];
        for (url, good, why) in table {
            assert_eq!(settings(url).check().is_ok(), good, "{url}: {why}");
        }
        for (version, good) in [("66.0", true), ("66", false), ("45.0", false), ("x.0", false)] {
            let mut settings = settings("https://contoso.my.salesforce.com");
            settings.api_version = version.to_owned();
            assert_eq!(settings.check().is_ok(), good, "{version}");
        }
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let printed = format!("{:?}", settings("https://contoso.my.salesforce.com"));
        assert!(!printed.contains("\"secret\""), "{printed}");
    }
}
