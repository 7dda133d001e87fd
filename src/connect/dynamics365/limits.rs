//! Our own limits towards one environment: a daily budget and an adaptive parallelism.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::time::Timestamp;

const HOUR_MILLIS: i64 = 3_600_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Counts requests over a sliding day, in hours.
#[derive(Debug)]
pub(super) struct Budget {
    usable: u64,
    /// Hour since 1970 and the requests made in it, oldest first.
    hours: Mutex<VecDeque<(i64, u64)>>,
}

impl Budget {
    /// `usable`: what is left of the daily entitlement after the reserve.
    pub(super) fn new(usable: u64) -> Self {
        Self { usable, hours: Mutex::new(VecDeque::new()) }
    }

    /// Takes `requests` out of the budget, or says how long until some are free again.
    pub(super) fn take(&self, requests: u64, now: Timestamp) -> Result<(), Duration> {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now.as_millis().div_euclid(HOUR_MILLIS);
        while hours.front().is_some_and(|(oldest, _)| *oldest <= hour - 24) {
            hours.pop_front();
        }
        let used: u64 = hours.iter().map(|(_, count)| count).sum();
        if used + requests > self.usable {
            let oldest = hours.front().map_or(hour, |(oldest, _)| *oldest);
            let free_at = Timestamp::from_millis(oldest * HOUR_MILLIS).plus(DAY);
            return Err(free_at.since(now).max(Duration::from_secs(1)));
        }
        match hours.back_mut() {
            Some((last, count)) if *last == hour => *count += requests,
            _ => hours.push_back((hour, requests)),
        }
        Ok(())
    }

    /// Requests made in the last day, and how many may be.
    pub(super) fn state(&self) -> (u64, u64) {
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        (hours.iter().map(|(_, count)| count).sum(), self.usable)
    }
}

/// How many calls may run at once: grows by one for each round of good answers, halves when the
/// server complains, follows the server's hint.
#[derive(Debug)]
pub(super) struct Parallelism {
    most: usize,
    state: Mutex<Room>,
    freed: Notify,
}

#[derive(Debug)]
struct Room {
    allowed: usize,
    running: usize,
    good: usize,
    ceiling: usize,
}

/// One running call.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Parallelism);

/// What the platform allows one user at least.
const PLATFORM_CONCURRENCY: usize = 52;

impl Parallelism {
    /// `most`: the configured upper end.
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, PLATFORM_CONCURRENCY);
        let room = Room { allowed: most.min(4), running: 0, good: 0, ceiling: most };
        Self { most, state: Mutex::new(room), freed: Notify::new() }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // In line before looking, so that no place that becomes free in between is missed.
            freed.as_mut().enable();
            if let Some(place) = self.try_enter() {
                return place;
            }
            freed.await;
        }
    }

    fn try_enter(&self) -> Option<Place<'_>> {
        let mut room = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (room.running < room.allowed).then(|| {
            room.running += 1;
            Place(self)
        })
    }

    /// A good answer, with the server's recommended parallelism if it sent one.
    pub(super) fn good(&self, hint: Option<usize>) {
        let mut room = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hint) = hint {
            room.ceiling = hint.clamp(1, self.most);
            room.allowed = room.allowed.min(room.ceiling);
        }
        room.good += 1;
        if room.good >= room.allowed && room.allowed < room.ceiling {
            room.allowed += 1;
            room.good = 0;
            self.freed.notify_one();
        }
    }

    /// The server complained of too many calls at once.
    pub(super) fn shrink(&self) {
        let mut room = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        room.allowed = (room.allowed / 2).max(1);
        room.good = 0;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut room = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        room.running -= 1;
        drop(room);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budget, Parallelism};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_spent_budget_waits_until_the_oldest_hour_is_a_day_old() {
        let start = Timestamp::parse("2026-09-01T10:30:00Z").expect("an instant");
        let budget = Budget::new(3);
        assert_eq!(budget.take(2, start), Ok(()));
        assert_eq!(budget.take(1, start.plus(Duration::from_secs(3600))), Ok(()));
        let later = start.plus(Duration::from_secs(7200));
        let wait = Duration::from_secs(22 * 3600 - 1800);
        assert_eq!(budget.take(1, later), Err(wait), "to 10:00 tomorrow");
        assert_eq!(budget.take(2, later.plus(wait)), Ok(()), "two are free then");
        assert!(budget.take(1, later.plus(wait)).is_err(), "the third not before 11:00");
        assert_eq!(budget.state(), (3, 3));
    }

    #[test]
    fn parallelism_follows_complaints_and_hints() {
        let parallelism = Parallelism::new(100);
        let count = |parallelism: &Parallelism| {
            let mut places = Vec::new();
            while let Some(place) = parallelism.try_enter() {
                places.push(place);
            }
            places.len()
        };
        assert_eq!(count(&parallelism), 4, "starts low");
        for _ in 0..5000 {
            parallelism.good(None);
        }
        assert_eq!(count(&parallelism), 52, "the platform's limit");
        parallelism.shrink();
        assert_eq!(count(&parallelism), 26, "halved by a complaint");
        parallelism.good(Some(8));
        assert_eq!(count(&parallelism), 8, "the server's hint");
        for _ in 0..10 {
            parallelism.shrink();
        }
        assert_eq!(count(&parallelism), 1, "never none");
    }
}
