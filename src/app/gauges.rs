//! Gauges, measured at the moment Prometheus asks.

use super::parts::Parts;
use super::status;

/// The text for Prometheus.
pub(super) async fn text(parts: &Parts) -> String {
    match status::status(parts).await {
        Ok(status) => measure(parts, &status),
        Err(error) => tracing::error!("The metrics are not complete: {error}"),
    }
    parts.metrics.text()
}

#[allow(clippy::cast_possible_wrap, reason = "counts stay far below 2^63")]
fn measure(parts: &Parts, status: &crate::admin::operations::Status) {
    let metrics = &parts.metrics;
    for line in &status.ledger {
        let states = [
            ("accepted", line.accepted),
            ("applied", line.applied),
            ("superseded", line.superseded),
            ("ignored", line.ignored),
            ("done", line.applied + line.superseded + line.ignored),
            ("waiting", line.waiting),
            ("held", line.held),
        ];
        for (state, count) in states {
            metrics.ledger(line.source.as_str(), state, count as i64);
        }
    }
    for account in &status.accounts {
        let name = account.name.as_str();
        for feed in &account.feeds {
            let lag = feed
                .lag_secs
                .or_else(|| status.started.map(|started| status.now.since(started).as_secs()));
            metrics.feed(name, &feed.name, lag.unwrap_or(0) as i64, feed.fault.is_some());
        }
        for system in &account.systems {
            let open = system.retry_in_secs > 0;
            metrics.system(name, &system.name, open, system.refusal.is_some());
        }
        if let Some(webhook) = &account.webhook {
            metrics.webhook(name, webhook.owner == "ours");
        }
        if let Some(days) = account.credential_days_left {
            metrics.credential(name, i64::from(days));
        }
        let parked = account.mappings.parked.iter().filter(|parked| !parked.row.optional).count();
        let parked = i64::try_from(parked).unwrap_or(i64::MAX);
        metrics.mappings(name, account.mappings.rejected.is_some(), parked);
    }
}
