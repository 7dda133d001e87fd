//! Many changes at once, and what they cost.

use std::collections::HashMap;
use std::time::Duration;

use cosell_sync::domain::id::ReferralId;
use cosell_sync::sync::feeds::Feed;
use serde_json::json;
use tokio::time::Instant;

use super::{World, number, text};

/// A burst that is not through within this time has failed. Calls to Partner Center are limited to
/// 19 a second, and a change may take three.
const BURST_PATIENCE: Duration = Duration::from_secs(300);
/// How often the systems are looked at.
const BURST_GLANCE: Duration = Duration::from_millis(50);

/// Where the changes of a burst are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Microsoft changes the referrals; they are to arrive in Salesforce.
    PartnerCenter,
    /// Sellers change the opportunities; they are to arrive in Partner Center.
    Salesforce,
}

/// What a burst cost.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// How many changes were made.
    pub(crate) changes: usize,
    /// Calls that Salesforce counted from the first change until nothing was left to do, polls of
    /// the feed and bookkeeping included.
    pub(crate) salesforce_calls: usize,
    /// Those of them that polled the feed, which costs the same whether anything changed or not.
    pub(crate) salesforce_polls: usize,
    /// Those of them that read records, and those that wrote them, each perhaps many.
    pub(crate) salesforce_flights: (usize, usize),
    /// Calls that Partner Center saw in the same time.
    pub(crate) partner_center_calls: usize,
    /// From the change to its arrival on the other side, shortest first.
    pub(crate) latencies: Vec<Duration>,
    /// From the first change until nothing was left to do.
    pub(crate) whole: Duration,
}

impl Measured {
    /// Salesforce calls for each change.
    pub(crate) fn salesforce_calls_per_change(&self) -> f64 {
        ratio(self.salesforce_calls, self.changes)
    }

    /// The same without polls of the feed.
    pub(crate) fn salesforce_calls_beside_polls(&self) -> f64 {
        ratio(self.salesforce_calls - self.salesforce_polls, self.changes)
    }

    /// The latency that `share` of the changes stayed within.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a few hundred at most"
        )]
        let at = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies[at.clamp(1, self.latencies.len()) - 1]
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[allow(clippy::cast_precision_loss, reason = "a few hundred at most")]
        let speed = self.changes as f64 / self.whole.as_secs_f64();
        write!(
            formatter,
            "{} changes: {speed:.1} a second, latency p50 {:.2} s, p99 {:.2} s; calls for each change: \
             Salesforce {:.3} ({:.3} without polls; {} reads, {} writes), Partner Center {:.2}",
            self.changes,
            self.latency(0.5).as_secs_f64(),
            self.latency(0.99).as_secs_f64(),
            self.salesforce_calls_per_change(),
            self.salesforce_calls_beside_polls(),
            self.salesforce_flights.0,
            self.salesforce_flights.1,
            ratio(self.partner_center_calls, self.changes),
        )
    }
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand at most")]
fn ratio(calls: usize, changes: usize) -> f64 {
    calls as f64 / changes as f64
}

/// A deal of a burst: its referral, and its opportunity in Salesforce.
type Pair = (ReferralId, String);

impl World {
    /// `count` accepted deals that have arrived, with their opportunities.
    pub(crate) async fn arrivals(&self, count: usize) -> Vec<Pair> {
        let deal = |at| {
            let name = format!("Deal {at}");
            self.seed(json!({ "name": name, "status": "Active", "substatus": "Accepted" }))
        };
        let ids: Vec<ReferralId> = (0..count).map(deal).collect();
        let end = Instant::now() + BURST_PATIENCE;
        loop {
            let rows = self.sandbox.salesforce.rows("Opportunity");
            let by_referral: HashMap<&str, &str> = rows
                .iter()
                .map(|row| (text(&row["Referral_Identifier__c"]), text(&row["Id"])))
                .collect();
            let pairs: Vec<Pair> = ids
                .iter()
                .filter_map(|id| Some((id.clone(), (*by_referral.get(id.as_str())?).to_owned())))
                .collect();
            if pairs.len() == count {
                self.rest(end).await;
                return pairs;
            }
            assert!(Instant::now() < end, "{} of {count} deals arrived", pairs.len());
            tokio::time::sleep(BURST_GLANCE).await;
        }
    }

    /// Gives every deal another value on one side, as fast as can be, and waits until all arrived on
    /// the other and nothing is left to do.
    pub(crate) async fn burst(&self, side: Side, deals: &[Pair], value: f64) -> Measured {
        self.sandbox.salesforce.clear_request_log();
        let partner_center_before = self.sandbox.partner_center.request_log().len();
        let start = Instant::now();
        let end = start + BURST_PATIENCE;
        for (id, key) in deals {
            match side {
                Side::PartnerCenter => {
                    self.edit_as_microsoft(id, json!({ "details": { "dealValue": value } }));
                }
                Side::Salesforce => {
                    let edit = json!({ "Amount": value });
                    let edited = self.sandbox.salesforce.edit_as_person("Opportunity", key, &edit);
                    edited.expect("the seller may");
                }
            }
        }
        if side == Side::Salesforce {
            self.hint_salesforce();
        }
        let mut pending: Vec<&Pair> = deals.iter().collect();
        let mut latencies = Vec::new();
        while !pending.is_empty() {
            pending.retain(|pair| !self.has_arrived(side, pair, value));
            latencies.resize(deals.len() - pending.len(), start.elapsed());
            if Instant::now() > end {
                panic!("{} changes never arrived\n{}", pending.len(), self.show().await);
            }
            tokio::time::sleep(BURST_GLANCE).await;
        }
        self.rest(end).await;
        let whole = start.elapsed();
        let log = self.sandbox.salesforce.request_log();
        let is_poll = |path: &str| path.contains("/queryAll") || path.contains("/deleted/");
        let calls = |part: &str| log.requests.iter().filter(|it| it.path.contains(part)).count();
        Measured {
            changes: deals.len(),
            salesforce_calls: log.api_calls,
            salesforce_polls: log.requests.iter().filter(|it| is_poll(&it.path)).count(),
            salesforce_flights: (calls("/query?"), calls("/composite")),
            partner_center_calls: self.sandbox.partner_center.request_log().len()
                - partner_center_before,
            latencies,
            whole,
        }
    }

    /// As an outbound message of Salesforce would: the feed is read now.
    pub(crate) fn hint_salesforce(&self) {
        for poller in &self.app().pollers {
            if matches!(poller.feed(), Feed::Crm(..)) {
                poller.hint();
            }
        }
    }

    fn has_arrived(&self, side: Side, (id, key): &Pair, value: f64) -> bool {
        let held = match side {
            Side::PartnerCenter => {
                self.sandbox.salesforce.row("Opportunity", key).unwrap_or_default()["Amount"]
                    .clone()
            }
            Side::Salesforce => self.referral(id)["details"]["dealValue"].clone(),
        };
        number(&held) == Some(value)
    }

    /// Waits until nothing due waits any more.
    async fn rest(&self, end: Instant) {
        while let Some(due) = self.store().next_due().await.expect("the inbox") {
            let soon = self.app().around.clock.now().plus(Duration::from_secs(60));
            let claimed = self.store().waiting(1000).await.expect("the inbox");
            let at_work = claimed.iter().any(|notice| notice.notice.due <= soon);
            if due > soon && !at_work {
                return;
            }
            if Instant::now() > end {
                panic!("in vain: nothing due waits\n{}", self.show().await);
            }
            tokio::time::sleep(BURST_GLANCE).await;
        }
    }
}
