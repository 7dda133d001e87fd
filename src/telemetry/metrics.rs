//! Counters and gauges for Prometheus, named `cosell_sync_<area>_<thing>_<unit>`.

use std::sync::Mutex;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::ingress::Tally;

type Labels = Vec<(String, String)>;

/// Everything that is counted while the program runs.
pub struct Metrics {
    registry: Mutex<Registry>,
    deliveries: Family<Labels, Counter>,
    relayed: Family<Labels, Counter>,
    ledger: Family<Labels, Gauge>,
    feed_lag: Family<Labels, Gauge>,
    feed_failing: Family<Labels, Gauge>,
    system_paused: Family<Labels, Gauge>,
    system_refused: Family<Labels, Gauge>,
    webhook_ours: Family<Labels, Gauge>,
    credential_days: Family<Labels, Gauge>,
    mappings_rejected: Family<Labels, Gauge>,
    mapping_rows_parked: Family<Labels, Gauge>,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cosell_sync");
        let deliveries = Family::<Labels, Counter>::default();
        registry.register(
            "ingress_deliveries",
            "Webhook deliveries by system and status",
            deliveries.clone(),
        );
        let relayed = Family::<Labels, Counter>::default();
        registry.register(
            "ingress_relayed",
            "Deliveries of other kinds passed on to another tool, by outcome",
            relayed.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let family = Family::<Labels, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let ledger = gauge("ledger_notices", "Notices by source and state");
        let feed_lag = gauge("feed_lag_seconds", "Seconds since a feed was read to its end");
        let feed_failing = gauge("feed_failing", "1 while the last poll of a feed failed");
        let system_paused =
            gauge("system_paused", "1 while a system fails or its quota is nearly used up");
        let system_refused = gauge("system_refused", "1 while a system refuses our credentials");
        let webhook_ours = gauge("webhook_ours", "1 while the webhook registration is ours");
        let credential_days = gauge("credential_left_days", "Days until a refresh token dies");
        let mappings_rejected =
            gauge("mappings_rejected", "1 while the mapping files on the disk are not in use");
        let mapping_rows_parked = gauge(
            "mapping_rows_parked",
            "Mapping rows left out because the CRM lacks their field or refuses to have it written",
        );
        Self {
            registry: Mutex::new(registry),
            deliveries,
            relayed,
            ledger,
            feed_lag,
            feed_failing,
            system_paused,
            system_refused,
            webhook_ours,
            credential_days,
            mappings_rejected,
            mapping_rows_parked,
        }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Writing into a text cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// One delivery was to be passed on: `passed_on`, `refused`, `failed` or `dropped`.
    pub fn relayed(&self, account: &str, outcome: &str) {
        let labels = labels(&[("account", account), ("outcome", outcome)]);
        self.relayed.get_or_create(&labels).inc();
    }
}

/// Gauges, set when Prometheus asks.
impl Metrics {
    /// Notices of a source in a state.
    pub fn ledger(&self, source: &str, state: &str, count: i64) {
        let labels = labels(&[("source", source), ("state", state)]);
        self.ledger.get_or_create(&labels).set(count);
    }

    /// How far a feed is behind, in seconds, and whether its last poll failed.
    pub fn feed(&self, account: &str, feed: &str, lag_secs: i64, failing: bool) {
        let labels = labels(&[("account", account), ("feed", feed)]);
        self.feed_lag.get_or_create(&labels).set(lag_secs);
        self.feed_failing.get_or_create(&labels).set(i64::from(failing));
    }

    /// Whether calls to a system are paused, and whether it refuses our credentials.
    pub fn system(&self, account: &str, system: &str, paused: bool, refused: bool) {
        let labels = labels(&[("account", account), ("system", system)]);
        self.system_paused.get_or_create(&labels).set(i64::from(paused));
        self.system_refused.get_or_create(&labels).set(i64::from(refused));
    }

    /// Whether the webhook registration is ours.
    pub fn webhook(&self, account: &str, ours: bool) {
        self.webhook_ours.get_or_create(&labels(&[("account", account)])).set(i64::from(ours));
    }

    /// Days until the refresh token of Partner Center dies unused.
    pub fn credential(&self, account: &str, days: i64) {
        self.credential_days.get_or_create(&labels(&[("account", account)])).set(days);
    }

    /// Whether the mapping files on the disk are not in use.
    pub fn mappings(&self, account: &str, rejected: bool, parked: i64) {
        let labels = labels(&[("account", account)]);
        self.mappings_rejected.get_or_create(&labels).set(i64::from(rejected));
        self.mapping_rows_parked.get_or_create(&labels).set(parked);
    }
}

impl Tally for Metrics {
    fn answered(&self, system: &str, status: u16) {
        let labels = vec![
            ("system".to_owned(), system.to_owned()),
            ("status".to_owned(), status.to_string()),
        ];
        self.deliveries.get_or_create(&labels).inc();
    }
}
