//! What the door remembers of refused deliveries, so that a flood of them fills neither log nor trail.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// Least time between two lines of the log.
const BETWEEN_LINES: Duration = Duration::from_secs(1);
/// Most deliveries remembered.
const REMEMBERED: usize = 64;

/// Refusals of all entrances.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    last_line: Option<Timestamp>,
    /// Refusals without a line of their own since then.
    quiet: u64,
    /// Keys of refused genuine deliveries, oldest first.
    recorded: VecDeque<String>,
}

impl Refusals {
    /// Whether this refusal gets a line in the log: at most one a second does. Then the number of
    /// those that got none since the last line.
    pub(super) fn may_log(&self, now: Timestamp) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last_line.is_some_and(|last| now.since(last) < BETWEEN_LINES) {
            seen.quiet += 1;
            return None;
        }
        seen.last_line = Some(now);
        Some(std::mem::take(&mut seen.quiet))
    }

    /// Whether a refused delivery is none of the last few; from now on it is one of them.
    pub(super) fn is_new(&self, key: &str) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.recorded.iter().any(|known| known == key) {
            return false;
        }
        if seen.recorded.len() == REMEMBERED {
            seen.recorded.pop_front();
        }
        seen.recorded.push_back(key.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, REMEMBERED, Refusals, Timestamp};

    #[test]
    fn a_flood_gets_one_line_a_second() {
        let refusals = Refusals::default();
        let start = Timestamp::from_millis(1_000_000);
        assert_eq!(refusals.may_log(start), Some(0), "the first");
        for _ in 0..1_000 {
            assert_eq!(refusals.may_log(start.plus(Duration::from_millis(999))), None);
        }
        let later = start.plus(Duration::from_secs(1));
        assert_eq!(refusals.may_log(later), Some(1_000), "the others are counted");
    }

    #[test]
    fn only_the_last_few_are_remembered() {
        let refusals = Refusals::default();
        let new = |number: usize| refusals.is_new(&number.to_string());
        assert!((0..=REMEMBERED).all(new), "each is new");
        assert!(!new(REMEMBERED) && new(0), "the oldest is forgotten");
    }
}
