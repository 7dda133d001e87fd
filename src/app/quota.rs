//! A CRM whose daily quota is nearly used up, so that it is left alone: told at once in `status`, and
//! as an alert if it lasts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::alert;
use super::parts::Parts;
use crate::connect::crm::Quota;
use crate::domain::id::CrmName;
use crate::domain::time::Timestamp;
use crate::sync::account::{Account, CrmPart};

/// One that has rested for so long is worth an alert.
const LASTS: Duration = Duration::from_secs(15 * 60);

/// A CRM that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    /// What is used up, what is not done, since when, until when and what to do; in one line.
    pub(super) told: String,
    /// Since when, as far as was seen.
    pub(super) since: Timestamp,
    /// When it is asked again.
    pub(super) until: Timestamp,
}

/// Whether the part's CRM is left alone; asks nothing, and remembers when that was first seen.
pub(super) fn rest(parts: &Parts, account: &Account, part: &CrmPart) -> Option<Rest> {
    let (crm, now) = (part.name(), parts.around.clock.now());
    let quota = part.crm.quota();
    let resting = quota.filter(|quota| ends(quota).is_some());
    let mut since = now;
    parts.slots.change(&account.name, |seen| match resting {
        Some(_) => since = *seen.resting.entry(crm).or_insert(now),
        None => {
            seen.resting.remove(&crm);
        }
    });
    rest_of(crm, resting?, since)
}

/// Until when something rests, and what.
fn ends(quota: &Quota) -> Option<(Timestamp, &'static str)> {
    let polling = "changes there are not looked for, those of Partner Center still arrive";
    let all = quota.all_rests_until.map(|until| (until, "nothing is read or written there"));
    all.or(quota.polling_rests_until.map(|until| (until, polling)))
}

fn rest_of(crm: CrmName, quota: Quota, since: Timestamp) -> Option<Rest> {
    let Quota { used, allowed, .. } = quota;
    let (until, rests) = ends(&quota)?;
    let told = format!(
        "the daily quota of {} is nearly used up ({used} of {allowed} calls) and the rest is left to \
         people: {rests}, since {}. It is asked again at {} and goes on by itself, nothing is lost; \
         to have it sooner, find what else uses the quota, or raise poll_secs.",
        crm.title(),
        minute(since),
        minute(until),
    );
    Some(Rest { told, since, until })
}

/// An instant to the minute.
pub(super) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// Raises an alert for each CRM of an account that has rested for a while; `raised` are those it was
/// raised for.
pub(super) async fn look(parts: &Parts, account: &Account, raised: &mut BTreeSet<CrmName>) {
    let now = parts.around.clock.now();
    for part in &account.crms {
        match rest(parts, account, part) {
            None => {
                raised.remove(&part.name());
            }
            Some(rest) if now.since(rest.since) >= LASTS && raised.insert(part.name()) => {
                alert::raise(parts, &account.name, &rest.told).await;
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rest_of;
    use crate::connect::crm::Quota;
    use crate::domain::id::CrmName;
    use crate::domain::time::Timestamp;

    #[test]
    fn what_rests_is_told_with_its_end() {
        let at = |text| Timestamp::parse(text).expect("an instant");
        let since = at("2026-06-01T12:00:10Z");
        let until = Some(at("2026-06-01T12:15:00Z"));
        let table = [
            (None, None, None, "room for all"),
            (until, None, Some("not looked for"), "the poll rests"),
            (until, until, Some("read or written"), "everything rests"),
        ];
        for (polling, all, expected, why) in table {
            let quota = Quota {
                used: 850,
                allowed: 1000,
                polling_rests_until: polling,
                all_rests_until: all,
            };
            let rest = rest_of(CrmName::Salesforce, quota, since);
            assert_eq!(rest.is_some(), expected.is_some(), "{why}");
            if let (Some(rest), Some(words)) = (rest, expected) {
                for words in [words, "850 of 1000", "since 2026-06-01 12:00", "at 2026-06-01 12:15"]
                {
                    assert!(rest.told.contains(words), "{why}: {words}: {}", rest.told);
                }
            }
        }
    }
}
