//! The nightly comparison: proves that nothing was missed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::backfill;
use super::parts::Parts;
use crate::domain::time::Timestamp;

/// When it begins, after midnight UTC.
const BEGINS: Duration = Duration::from_secs(2 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Compares every deal each night until `stop`.
pub(super) async fn run(parts: Arc<Parts>, stop: CancellationToken) {
    loop {
        let now = parts.around.clock.now();
        tokio::select! {
            () = parts.around.clock.sleep(next(now).since(now)) => {}
            () = stop.cancelled() => return,
        }
        match backfill::reconcile(&parts, None, "daemon").await {
            Ok(queued) => tracing::info!("The nightly comparison queued {} deals", queued.deals),
            Err(error) => tracing::error!("The nightly comparison could not begin: {error}"),
        }
    }
}

/// The next 02:00 UTC after `now`.
fn next(now: Timestamp) -> Timestamp {
    let today = now.date().midnight_utc().plus(BEGINS);
    if today > now { today } else { today.plus(DAY) }
}

#[cfg(test)]
mod tests {
    use super::next;
    use crate::domain::time::Timestamp;

    #[test]
    fn it_is_always_ahead() {
        let table = [
            ("2026-11-22T01:59:59Z", "2026-11-22T02:00:00.000Z", "the same night"),
            ("2026-11-22T02:00:00Z", "2026-11-23T02:00:00.000Z", "just begun: the next"),
            ("2026-12-31T23:00:00Z", "2027-01-01T02:00:00.000Z", "over the year's end"),
        ];
        for (now, expected, why) in table {
            let now = Timestamp::parse(now).expect("an instant");
            assert_eq!(next(now).to_string(), expected, "{why}");
        }
    }
}
