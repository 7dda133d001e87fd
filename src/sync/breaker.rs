//! Keeps a system that is down from being hammered by every deal in turn.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// So many failures in a row open it.
const OPENS_AFTER: u32 = 5;
/// It stays open this long; then one call may try.
const STAYS_OPEN: Duration = Duration::from_secs(30);
/// Refused credentials keep it open this long.
const REFUSED: Duration = Duration::from_secs(60);

/// A circuit breaker for one system.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Timestamp>,
    refusal: Option<String>,
}

impl Breaker {
    /// Whether a call may be made now; if not, what to report instead.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Throttled`] while it is open.
    pub fn pass(&self, now: Timestamp) -> Result<(), ConnectError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            Some(until) if now < until => Err(ConnectError::Throttled(until.since(now))),
            _ => Ok(()),
        }
    }

    /// Learns how a call went.
    pub fn learn<T>(&self, result: &Result<T, ConnectError>, now: Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Err(ConnectError::Unauthorized(why)) => {
                state.open_until = Some(now.plus(REFUSED));
                state.refusal = Some(why.clone());
            }
            Err(ConnectError::Unavailable(_) | ConnectError::Unknown(_)) => {
                state.failures += 1;
                if state.failures >= OPENS_AFTER {
                    state.open_until = Some(now.plus(STAYS_OPEN));
                }
            }
            Err(ConnectError::Throttled(_)) => {}
            _ => *state = State::default(),
        }
    }

    /// Why credentials were last refused, while they are.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    /// Forgets everything: a person has repaired it.
    pub fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Breaker;
    use crate::connect::error::ConnectError;
    use crate::domain::time::Timestamp;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_success() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let breaker = Breaker::default();
        let down: Result<(), _> = Err(ConnectError::Unavailable("down".to_owned()));
        for _ in 0..4 {
            breaker.learn(&down, at(0));
        }
        assert!(breaker.pass(at(0)).is_ok(), "four failures do not open it");
        breaker.learn(&down, at(0));
        assert!(breaker.pass(at(1)).is_err(), "five do");
        assert!(breaker.pass(at(31)).is_ok(), "one call may try again");
        breaker.learn(&Ok(()), at(31));
        breaker.learn(&down, at(32));
        assert!(breaker.pass(at(32)).is_ok(), "the count began anew");
    }
}
