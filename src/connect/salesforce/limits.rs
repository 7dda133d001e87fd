//! The daily quota, and the part of it that stays for people.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::connect::crm::Quota;
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// How long to keep still when the quota is spent: it frees up over a rolling day.
pub(super) const QUOTA_WAIT: Duration = Duration::from_secs(15 * 60);

/// How urgent a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Polling: stops at the reserve for people.
    Background,
    /// Work on a deal: stops at the hard reserve.
    Foreground,
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    used: u64,
    allowed: u64,
    seen: Timestamp,
}

/// What the last answer said about the quota.
#[derive(Debug)]
pub(super) struct Budget {
    people_reserve: f64,
    hard_reserve: f64,
    usage: Mutex<Option<Usage>>,
}

impl Budget {
    /// With the shares of the quota to leave alone.
    pub(super) fn new(people_reserve: f64, hard_reserve: f64) -> Self {
        Self { people_reserve, hard_reserve, usage: Mutex::new(None) }
    }

    /// Notes the `Sforce-Limit-Info` of an answer.
    pub(super) fn note(&self, header: Option<&str>, now: Timestamp) {
        if let Some((used, allowed)) = header.and_then(api_usage) {
            *self.usage.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Usage { used, allowed, seen: now });
        }
    }

    /// Calls used and allowed, if an answer told.
    pub(super) fn usage(&self) -> Option<(u64, u64)> {
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.map(|usage| (usage.used, usage.allowed))
    }

    /// Lets a call pass, or says how long to wait. What was seen more than [`QUOTA_WAIT`] ago no
    /// longer counts, so that one call looks again.
    pub(super) fn admit(&self, lane: Lane, now: Timestamp) -> Result<(), ConnectError> {
        let Some(usage) = *self.usage.lock().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(());
        };
        // What was seen by a clock that was ahead is looked at again too.
        let age = if now < usage.seen { QUOTA_WAIT } else { now.since(usage.seen) };
        let left = QUOTA_WAIT.saturating_sub(age);
        if left.is_zero() || !self.is_reached(lane, usage) {
            return Ok(());
        }
        Err(ConnectError::Throttled(left))
    }

    /// Where the quota stands.
    pub(super) fn quota(&self) -> Option<Quota> {
        let usage = (*self.usage.lock().unwrap_or_else(PoisonError::into_inner))?;
        let until = |lane| self.is_reached(lane, usage).then(|| usage.seen.plus(QUOTA_WAIT));
        Some(Quota {
            used: usage.used,
            allowed: usage.allowed,
            polling_rests_until: until(Lane::Background),
            all_rests_until: until(Lane::Foreground),
        })
    }

    /// Whether the reserve that stops a lane is reached.
    fn is_reached(&self, lane: Lane, usage: Usage) -> bool {
        let reserve = match lane {
            Lane::Background => self.people_reserve.max(self.hard_reserve),
            Lane::Foreground => self.hard_reserve,
        };
        usage.used >= limit(usage.allowed, reserve)
    }
}

/// The number of calls at which `reserve` of `allowed` is reached.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "quotas are far below 2^53 and the share is between 0 and 1"
)]
fn limit(allowed: u64, reserve: f64) -> u64 {
    (allowed as f64 * (1.0 - reserve)).floor() as u64
}

/// Reads `api-usage=USED/MAX` out of the header, whatever stands beside it.
fn api_usage(header: &str) -> Option<(u64, u64)> {
    let (_, value) = header
        .split([',', ';'])
        .filter_map(|part| part.trim().split_once('='))
        .find(|(key, _)| *key == "api-usage")?;
    let (used, allowed) = value.split_once('/')?;
    Some((used.trim().parse().ok()?, allowed.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budget, Lane, QUOTA_WAIT, api_usage};
    use crate::connect::crm::Quota;
    use crate::connect::error::ConnectError;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_usage_is_found_among_other_elements() {
        let table = [
            ("api-usage=18/5000", Some((18, 5000)), "the classic form"),
            ("api-usage=18/5000; api-bursts=3/750", Some((18, 5000)), "with bursts"),
            (
                "api-usage=25/5000, per-app-api-usage=17/250(appName=sample)",
                Some((25, 5000)),
                "with a quota of the app",
            ),
            ("per-app-api-usage=17/250(appName=a)", None, "another key that ends alike"),
            ("api-usage=x/5000", None, "not a number"),
            ("", None, "nothing"),
        ];
        for (header, expected, why) in table {
            assert_eq!(api_usage(header), expected, "{header}: {why}");
        }
    }

    #[test]
    fn polling_stops_before_work_on_deals_does() {
        let now = Timestamp::from_millis(1_000_000);
        let budget = Budget::new(0.2, 0.05);
        assert!(budget.admit(Lane::Background, now).is_ok(), "nothing is known yet");
        assert_eq!(budget.quota(), None, "nothing is known yet");
        let table = [
            (799, true, true, "room for all"),
            (800, false, true, "the reserve for people"),
            (949, false, true, "just before the hard reserve"),
            (950, false, false, "the hard reserve"),
        ];
        for (used, background, foreground, why) in table {
            budget.note(Some(&format!("api-usage={used}/1000")), now);
            assert_eq!(budget.admit(Lane::Background, now).is_ok(), background, "{used}: {why}");
            assert_eq!(budget.admit(Lane::Foreground, now).is_ok(), foreground, "{used}: {why}");
            let until = |passes: bool| (!passes).then(|| now.plus(QUOTA_WAIT));
            let told = Quota {
                used,
                allowed: 1000,
                polling_rests_until: until(background),
                all_rests_until: until(foreground),
            };
            assert_eq!(budget.quota(), Some(told), "{used}: {why}");
        }
        let later = now.plus(Duration::from_secs(60));
        assert!(
            matches!(budget.admit(Lane::Background, later), Err(ConnectError::Throttled(wait))
                if wait == QUOTA_WAIT - Duration::from_secs(60)),
            "the wait runs from what was seen"
        );
        assert!(budget.admit(Lane::Background, now.plus(QUOTA_WAIT)).is_ok(), "look again");
        let corrected = now.minus(Duration::from_secs(1));
        assert!(
            budget.admit(Lane::Background, corrected).is_ok(),
            "the clock was ahead: look again"
        );
    }
}
