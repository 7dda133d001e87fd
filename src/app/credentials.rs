//! Looks after what lets us in: an alert when a system refuses our credentials, before a refresh token
//! dies, and when a quota is nearly used up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alert;
use super::parts::Parts;
use super::{deadlines, quota, secrets, signing};
use crate::domain::time::Timestamp;
use crate::sync::account::Account;

/// How often refusals are looked for; no system is asked.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the age of the refresh token is asked for.
const PROBE_EVERY: Duration = Duration::from_secs(3600);

/// Watches the credentials of one account until `stop`.
pub(super) async fn guard(parts: Arc<Parts>, account: Arc<Account>, stop: CancellationToken) {
    let (mut refused, mut told, mut resting) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut probed = None;
    while !stop.is_cancelled() {
        let now = parts.around.clock.now();
        if probed.is_none_or(|at: Timestamp| now.since(at) >= PROBE_EVERY) {
            probed = Some(now);
            probe(&parts, &account).await;
        }
        secrets::renew(&parts, &account).await;
        look(&parts, &account, &mut refused).await;
        remind(&parts, &account, &mut told).await;
        quota::look(&parts, &account, &mut resting).await;
        tokio::select! {
            () = parts.around.clock.sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn probe(parts: &Parts, account: &Account) {
    let probe = account.partner_center.probe().await;
    account.breaker.learn(&probe, parts.around.clock.now());
    let days = probe.ok().and_then(|probe| probe.refresh_token_days_left);
    let signing = signing::ends(parts, account).await;
    parts.slots.change(&account.name, |seen| {
        seen.days_left = days.or(seen.days_left);
        seen.signing_ends = signing.or(seen.signing_ends);
    });
}

/// Raises an alert for each end that has come near; again when the days left are fewer.
async fn remind(parts: &Parts, account: &Account, told: &mut BTreeSet<String>) {
    let near: BTreeSet<String> = deadlines::near(parts, &account.name).into_iter().collect();
    for text in near.difference(told) {
        alert::raise(parts, &account.name, text).await;
    }
    *told = near;
}

/// Raises an alert for each system that has begun to refuse us.
async fn look(parts: &Parts, account: &Account, refused: &mut BTreeSet<String>) {
    let crms = account.crms.iter().map(|part| (part.name().title(), &part.breaker));
    for (system, breaker) in std::iter::once(("Partner Center", &account.breaker)).chain(crms) {
        match breaker.refusal() {
            None => drop(refused.remove(system)),
            Some(why) => {
                if refused.insert(system.to_owned()) {
                    let text = format!("{system} refuses our credentials: {why}.");
                    alert::raise(parts, &account.name, &text).await;
                }
            }
        }
    }
}
