//! When a failed try is repeated: the only retry policy of the program.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::connect::error::ConnectError;

/// How often and how slowly a try is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Tries that may fail before a person is asked.
    pub tries: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(300), tries: 16 }
    }
}

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this wait; whether it used up a try.
    Again(Duration, bool),
    /// A person must act.
    Hold,
}

/// The system as a whole fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Since when the oldest notice of the lane waits: the waits grow with it.
    pub age: Duration,
}

impl Policy {
    /// Decides what follows try number `attempt` (from 0).
    ///
    /// `jitter` is drawn by the caller in `0.0..1.0`. The wait is never shorter than one that the
    /// other side asked for, and neither throttling nor refused credentials ever hold a deal. An
    /// `outage` of the whole system holds none either, however long it lasts.
    #[must_use]
    pub fn next(
        &self,
        attempt: u32,
        fault: &ConnectError,
        outage: Option<Outage>,
        jitter: f64,
    ) -> Next {
        use ConnectError as E;
        match (fault, outage) {
            (E::Unavailable(_) | E::Unknown(_) | E::Broken(_), Some(outage)) => {
                let wait = self.curve(attempt).max(outage.age / 4).min(self.longest);
                Next::Again(wait / 2 + (wait / 2).mul_f64(jitter), false)
            }
            _ => self.alone(attempt, fault, jitter),
        }
    }

    /// What follows where the system answers others.
    fn alone(&self, attempt: u32, fault: &ConnectError, jitter: f64) -> Next {
        use ConnectError as E;
        match fault {
            // Whoever has failed before lets the others go first: the one call that may try a system
            // again is not to be made by the very deal at which it fails.
            E::Throttled(wait) => {
                let last = self.first * (2 * attempt.min(1));
                Next::Again(*wait + last + self.first.mul_f64(jitter), false)
            }
            E::Unauthorized(_) => {
                Next::Again(Duration::from_secs(60).mul_f64(1.0 + jitter / 2.0), false)
            }
            E::Rejected(_) | E::Ambiguous(_) => Next::Hold,
            _ if attempt + 1 >= self.tries => Next::Hold,
            E::Stale => Next::Again(self.first.mul_f64(jitter), true),
            E::Exists(_)
            | E::NotFound(_)
            | E::CursorExpired
            | E::Unavailable(_)
            | E::Unknown(_)
            | E::Broken(_) => {
                let wait = self.curve(attempt);
                Next::Again(wait / 2 + (wait / 2).mul_f64(jitter), true)
            }
        }
    }

    /// The wait after failure number `attempt`, without jitter.
    fn curve(&self, attempt: u32) -> Duration {
        let mut curve = ExponentialBackoff {
            current_interval: self.first,
            initial_interval: self.first,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: self.longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let waits = std::iter::from_fn(|| curve.next_backoff());
        waits.take(attempt.min(32) as usize + 1).last().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Next, Outage, Policy};
    use crate::connect::error::{ConnectError as E, Refusal};

    #[test]
    fn every_fault_has_its_answer() {
        let policy = Policy::default();
        let millis = Duration::from_millis;
        let table = [
            (0, E::Stale, Next::Again(millis(250), true), "somebody else wrote: soon again"),
            (0, E::Unavailable(String::new()), Next::Again(millis(375), true), "back off"),
            (3, E::Unknown(String::new()), Next::Again(millis(3000), true), "doubles"),
            (14, E::Unavailable(String::new()), Next::Again(millis(225_000), true), "capped"),
            (15, E::Unavailable(String::new()), Next::Hold, "the last try"),
            (
                0,
                E::Throttled(millis(7000)),
                Next::Again(millis(7250), false),
                "their wait is a floor",
            ),
            (
                99,
                E::Throttled(millis(7000)),
                Next::Again(millis(8250), false),
                "others that never failed go first",
            ),
            (
                99,
                E::Unauthorized(String::new()),
                Next::Again(millis(75_000), false),
                "never a hold",
            ),
            (0, E::Rejected(Refusal::default()), Next::Hold, "the same bytes fail again"),
            (0, E::Ambiguous(vec![]), Next::Hold, "never guessed"),
        ];
        for (attempt, fault, expected, why) in table {
            assert_eq!(policy.next(attempt, &fault, None, 0.5), expected, "{why}");
        }
    }

    #[test]
    fn an_outage_uses_up_no_try_however_long_it_lasts() {
        let policy = Policy::default();
        let secs = Duration::from_secs;
        let outage = |age| Some(Outage { age: secs(age) });
        let table = [
            (
                15,
                E::Unavailable(String::new()),
                outage(2700),
                Next::Again(secs(225), false),
                "45 min",
            ),
            (99, E::Broken(String::new()), outage(86_400), Next::Again(secs(225), false), "a day"),
            (
                0,
                E::Unknown(String::new()),
                outage(40),
                Next::Again(secs(10).mul_f64(0.75), false),
                "young",
            ),
            (15, E::Unavailable(String::new()), None, Next::Hold, "one poisoned row"),
            (0, E::Rejected(Refusal::default()), outage(40), Next::Hold, "an answer all the same"),
        ];
        for (attempt, fault, outage, expected, why) in table {
            assert_eq!(policy.next(attempt, &fault, outage, 0.5), expected, "{why}");
        }
    }
}
