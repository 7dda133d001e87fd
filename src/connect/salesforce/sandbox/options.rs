//! How the emulated organisation is set up.

use std::time::Duration;

/// One opportunity stage, as an admin defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// API name, which is also the label.
    pub name: String,
    /// Default probability in percent.
    pub probability: u8,
    /// Whether an opportunity in this stage is closed.
    pub closed: bool,
    /// Whether it is won.
    pub won: bool,
    /// API name of the forecast category.
    pub forecast: String,
}

/// API name and *converted* flag of each lead status; the first one is the default.
pub(crate) const LEAD_STATUSES: [(&str, bool); 4] = [
    ("Open - Not Contacted", false),
    ("Working - Contacted", false),
    ("Closed - Converted", true),
    ("Closed - Not Converted", false),
];

const STAGES: [(&str, u8, bool, bool, &str); 10] = [
    ("Prospecting", 10, false, false, "Pipeline"),
    ("Qualification", 10, false, false, "Pipeline"),
    ("Needs Analysis", 20, false, false, "Pipeline"),
    ("Value Proposition", 50, false, false, "Pipeline"),
    ("Id. Decision Makers", 60, false, false, "Pipeline"),
    ("Perception Analysis", 70, false, false, "Pipeline"),
    ("Proposal/Price Quote", 75, false, false, "Pipeline"),
    ("Negotiation/Review", 90, false, false, "Pipeline"),
    ("Closed Won", 100, true, true, "Closed"),
    ("Closed Lost", 0, true, false, "Omitted"),
];

/// Settings of one emulated organisation; [`SandboxOptions::default`] is an ordinary one with the
/// co-sell fields in place.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Consumer key of the app.
    pub client_id: String,
    /// Consumer secret of the app.
    pub client_secret: String,
    /// The integration user, whom every grant logs in.
    pub username: String,
    /// Public key or certificate that assertions are checked against, as PEM. `None`: the JWT
    /// grant refuses everybody.
    pub public_key_pem: Option<String>,
    /// Values of `aud` that are accepted.
    pub audiences: Vec<String>,
    /// Whether the host is a My Domain; only there client credentials are accepted.
    pub my_domain: bool,
    /// The first refresh token, as left by a one-time consent.
    pub refresh_token: String,
    /// Whether each refresh hands out a new refresh token and ends the old one.
    pub rotate_refresh_tokens: bool,
    /// Life of a session.
    pub session_life: Duration,
    /// Whether each use of a session starts its life again.
    pub session_slides: bool,
    /// API calls allowed in a rolling 24 hours.
    pub daily_quota: usize,
    /// Largest page of a query. The real one is 2,000; tests want it small.
    pub page_size: usize,
    /// How far `latestDateCovered` of the replication calls stays behind the clock.
    pub replication_lag: Duration,
    /// Whether the co-sell fields exist on Opportunity and Lead.
    pub cosell_fields: bool,
    /// Empty, or `Microsoft__` where the package is installed.
    pub field_prefix: String,
    /// Whether the referral identifier is unique, not only an external id.
    pub unique_referral: bool,
    /// Whether the `Microsoft` package is installed, so that Tooling accepts its prefix.
    pub package_installed: bool,
    /// Currencies of a multi-currency organisation, the first one the default; empty for a
    /// single-currency one, where `CurrencyIsoCode` does not exist.
    pub currencies: Vec<String>,
    /// The opportunity stages.
    pub stages: Vec<Stage>,
    /// Whether an unknown stage is refused.
    pub restricted_stages: bool,
    /// Sets the ids of this organisation apart from those of another one.
    pub instance: u32,
    /// Whether a 412 has an error in its body; what the real body holds is not documented.
    pub precondition_body: bool,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        let audience = |host: &str| format!("https://{host}.salesforce.com");
        Self {
            client_id: "sandbox-consumer-key".to_owned(),
            client_secret: "sandbox-consumer-secret".to_owned(),
            username: "integration@contoso.example".to_owned(),
            public_key_pem: None,
            audiences: vec![audience("login"), audience("test")],
            my_domain: true,
            refresh_token: "sandbox-refresh-token-0".to_owned(),
            rotate_refresh_tokens: false,
            session_life: Duration::from_secs(2 * 3600),
            session_slides: true,
            daily_quota: 15_000,
            page_size: 2_000,
            replication_lag: Duration::ZERO,
            cosell_fields: true,
            field_prefix: String::new(),
            unique_referral: true,
            package_installed: false,
            currencies: Vec::new(),
            stages: STAGES.into_iter().map(stage).collect(),
            restricted_stages: true,
            instance: 0,
            precondition_body: true,
        }
    }
}

impl SandboxOptions {
    /// An organisation that nobody has prepared: no co-sell fields.
    #[must_use]
    pub fn empty_org() -> Self {
        Self { cosell_fields: false, ..Self::default() }
    }

    /// An organisation with the package: its fields carry the prefix `Microsoft__`.
    #[must_use]
    pub fn with_package() -> Self {
        let field_prefix = "Microsoft__".to_owned();
        Self { field_prefix, package_installed: true, ..Self::default() }
    }
}

fn stage((name, probability, closed, won, forecast): (&str, u8, bool, bool, &str)) -> Stage {
    Stage { name: name.to_owned(), probability, closed, won, forecast: forecast.to_owned() }
}
