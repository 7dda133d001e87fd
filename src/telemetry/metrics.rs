//! Counters and gauges for Prometheus, named `cosell_sync_<area>_<thing>_<unit>`.

use std::sync::Mutex;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::ingress::Tally;

type Labels = Vec<(String, String)>;

/// Everything that is counted while the program runs.
pub struct Metrics {
    registry: Mutex<Registry>,
    deliveries: Family<Labels, Counter>,
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
        Self { registry: Mutex::new(registry), deliveries }
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
