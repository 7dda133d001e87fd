//! Our own limits towards one environment: a daily budget and an adaptive parallelism.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};

use super::settings::RequestLedger;
use crate::connect::crm::Quota;
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

const HOUR_MILLIS: i64 = 3_600_000;
/// From the beginning of an hour until a day after its end.
const COUNTS_FOR: Duration = Duration::from_secs(25 * 3600);

/// Requests between two savings of the count. As many are taken for made after a start, so that
/// what was not saved before a crash is never made twice.
const UNSAVED: u64 = 100;

/// Hour since 1970 and the requests made in it, oldest first.
type Hours = VecDeque<(i64, u64)>;

/// Counts requests over a sliding day, in hours; with a ledger, across restarts. An hour counts until
/// its last minute is a day old, so that no window of a day ever holds more.
pub(super) struct Budget {
    usable: u64,
    state: Mutex<Counted>,
    ledger: Option<Arc<dyn RequestLedger>>,
    loaded: OnceCell<()>,
}

#[derive(Debug, Default)]
struct Counted {
    hours: Hours,
    unsaved: u64,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Budget").field("usable", &self.usable).finish_non_exhaustive()
    }
}

impl Budget {
    /// `usable`: what is left of the daily entitlement after the reserve.
    pub(super) fn new(usable: u64, ledger: Option<Arc<dyn RequestLedger>>) -> Self {
        Self { usable, state: Mutex::default(), ledger, loaded: OnceCell::new() }
    }

    /// Takes `requests` out of the budget; throttled until some are free again if it is spent.
    pub(super) async fn spend(&self, requests: u64, now: Timestamp) -> Result<(), ConnectError> {
        self.loaded.get_or_try_init(async || self.load(now).await).await?;
        let due = self.take(requests, now).map_err(ConnectError::Throttled)?;
        if let (Some(text), Some(ledger)) = (due, &self.ledger) {
            ledger.save(&text).await.map_err(ConnectError::Unavailable)?;
        }
        Ok(())
    }

    /// Reads what was counted before this start.
    async fn load(&self, now: Timestamp) -> Result<(), ConnectError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        // The first request is saved at once: a daemon that is killed again and again counts too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unsaved = UNSAVED;
        let kept = ledger.load().await.map_err(ConnectError::Unavailable)?;
        // A text that cannot be read is as good as none: the platform itself still counts.
        let kept = kept.and_then(|text| serde_json::from_str::<Hours>(&text).ok());
        let Some(mut hours) = kept else { return Ok(()) };
        let hour = hour_of(now);
        hours.retain(|(at, _)| *at <= hour);
        match hours.back_mut() {
            Some((_, count)) => *count += UNSAVED,
            None => return Ok(()),
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).hours = hours;
        Ok(())
    }

    /// Takes `requests`, or says how long until some are free; returns what is to be saved, if it is
    /// time to.
    fn take(&self, requests: u64, now: Timestamp) -> Result<Option<String>, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = hour_of(now);
        // A clock that was ahead for a while would keep its hours for as long.
        state.hours.iter_mut().for_each(|(at, _)| *at = (*at).min(hour));
        while state.hours.front().is_some_and(|(oldest, _)| *oldest <= hour - 25) {
            state.hours.pop_front();
        }
        let used: u64 = state.hours.iter().map(|(_, count)| count).sum();
        if used + requests > self.usable {
            return Err(free_at(&state.hours, hour).since(now).max(Duration::from_secs(1)));
        }
        match state.hours.back_mut() {
            Some((last, count)) if *last == hour => *count += requests,
            _ => state.hours.push_back((hour, requests)),
        }
        state.unsaved += requests;
        if state.unsaved < UNSAVED || self.ledger.is_none() {
            return Ok(None);
        }
        state.unsaved = 0;
        Ok(serde_json::to_string(&state.hours).ok())
    }

    /// Where our own daily budget stands; the platform does not tell what others use.
    pub(super) fn quota(&self, now: Timestamp) -> Quota {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = hour_of(now);
        let counts = state.hours.iter().filter(|(at, _)| *at > hour - 25);
        let used = counts.map(|(_, count)| count).sum();
        let until = (used >= self.usable).then(|| free_at(&state.hours, hour));
        Quota { used, allowed: self.usable, polling_rests_until: until, all_rests_until: until }
    }

    /// Requests made in the last day, and how many may be.
    pub(super) fn state(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.hours.iter().map(|(_, count)| count).sum(), self.usable)
    }
}

/// When the oldest hour no longer counts.
fn free_at(hours: &Hours, now: i64) -> Timestamp {
    let oldest = hours.front().map_or(now, |(oldest, _)| *oldest);
    Timestamp::from_millis(oldest * HOUR_MILLIS).plus(COUNTS_FOR)
}

fn hour_of(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(HOUR_MILLIS)
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{Budget, ConnectError, Parallelism, RequestLedger};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_spent_budget_waits_until_the_oldest_hour_is_a_day_old() {
        let start = Timestamp::parse("2026-09-01T10:30:00Z").expect("an instant");
        let budget = Budget::new(3, None);
        assert_eq!(budget.take(2, start), Ok(None));
        assert_eq!(budget.take(1, start.plus(Duration::from_secs(3600))), Ok(None));
        let later = start.plus(Duration::from_secs(7200));
        let wait = Duration::from_secs(23 * 3600 - 1800);
        assert_eq!(budget.take(1, later), Err(wait), "to 11:00 tomorrow");
        let told = budget.quota(later);
        assert_eq!((told.used, told.allowed, told.all_rests_until), (3, 3, Some(later.plus(wait))));
        assert_eq!(budget.quota(later.plus(wait)).all_rests_until, None, "two are free then");
        assert_eq!(budget.take(2, later.plus(wait)), Ok(None), "two are free then");
        assert!(budget.take(1, later.plus(wait)).is_err(), "the third not before 12:00");
        assert_eq!(budget.state(), (3, 3));
    }

    /// I18: whenever requests come, in however large groups, no window of 24 hours holds more of them
    /// than may be made; whoever waits as long as was said gets at least one.
    #[test]
    fn no_window_of_a_day_holds_more_than_the_budget() {
        const USABLE: u64 = 40;
        const DAY: i64 = 24 * 3_600_000;
        for seed in 1..=20_u64 {
            let mut bits = seed;
            let mut below = |end: u64| {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                (bits >> 33) % end
            };
            let budget = Budget::new(USABLE, None);
            let mut now = Timestamp::from_millis(1_790_000_000_000);
            let mut made: Vec<(i64, u64)> = Vec::new();
            for _ in 0..2000 {
                now = now.plus(Duration::from_millis(below(4_000_000)));
                let requests = 1 + below(12);
                match budget.take(requests, now) {
                    Ok(_) => made.push((now.as_millis(), requests)),
                    Err(wait) => {
                        now = now.plus(wait);
                        assert!(budget.take(1, now).is_ok(), "seed {seed}: the wait was enough");
                        made.push((now.as_millis(), 1));
                    }
                }
                let since = now.as_millis() - DAY;
                let recent = made.iter().rev().take_while(|(at, _)| *at > since);
                let spent: u64 = recent.map(|(_, requests)| requests).sum();
                assert!(spent <= USABLE, "seed {seed}: {spent} within a day");
            }
        }
    }

    /// Keeps a text in memory, and may refuse to.
    #[derive(Default)]
    struct Kept(Mutex<Option<String>>, AtomicBool);

    #[async_trait::async_trait]
    impl RequestLedger for Kept {
        async fn load(&self) -> Result<Option<String>, String> {
            Ok(self.0.lock().expect("a lock").clone())
        }

        async fn save(&self, text: &str) -> Result<(), String> {
            if self.1.load(Ordering::Relaxed) {
                return Err("the disk is full".to_owned());
            }
            *self.0.lock().expect("a lock") = Some(text.to_owned());
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_restart_does_not_forget_what_was_spent() {
        let start = Timestamp::parse("2026-09-01T10:30:00Z").expect("an instant");
        let kept = Arc::new(Kept::default());
        let begin = || Budget::new(1000, Some(Arc::clone(&kept) as Arc<dyn RequestLedger>));
        let first = begin();
        for _ in 0..250 {
            first.spend(1, start).await.expect("there is room");
        }
        let second = begin();
        second.spend(1, start).await.expect("there is room");
        assert_eq!(second.state(), (302, 1000), "201 were saved, up to 100 were not");
        for restart in 1..5 {
            let again = begin();
            again.spend(1, start).await.expect("there is room");
            assert_eq!(
                again.state().0,
                302 + restart * 101,
                "each start counts what it may forget"
            );
        }
        let ahead = Budget::new(1000, None);
        let next_year = start.plus(Duration::from_secs(365 * 24 * 3600));
        ahead.spend(900, next_year).await.expect("there is room");
        assert!(ahead.spend(200, start).await.is_err(), "spent, says a clock that is right again");
        let next_day = start.plus(Duration::from_secs(26 * 3600));
        ahead.spend(200, next_day).await.expect("and forgotten after a day");
        assert!(begin().spend(800, start).await.is_err(), "spent before the restart");

        let tomorrow = begin();
        let later = start.plus(Duration::from_secs(25 * 3600));
        tomorrow.spend(1, later).await.expect("a new day");
        assert_eq!(tomorrow.state(), (1, 1000));

        *kept.0.lock().expect("a lock") = Some("junk".to_owned());
        let afresh = begin();
        afresh.spend(1, start).await.expect("junk is as good as nothing");
        kept.1.store(true, Ordering::Relaxed);
        let unkept = afresh.spend(100, start).await;
        assert!(matches!(unkept, Err(ConnectError::Unavailable(_))), "{unkept:?}");
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
