//! Keeps a system that is down from being hammered by every deal in turn.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// So many failures in a row open it.
const OPENS_AFTER: u32 = 5;
/// It stays open this long; then exactly one call may try.
const STAYS_OPEN: Duration = Duration::from_secs(30);
/// Whoever comes while that one call is under way waits so long.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// Refused credentials keep it open this long.
const REFUSED: Duration = Duration::from_secs(60);

/// A circuit breaker for one system.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Timestamp>,
    /// A call tries whether the system answers again; one that never reports is given up then.
    probe_until: Option<Timestamp>,
    refusal: Option<String>,
}

impl Breaker {
    /// Whether a call may be made now; if not, what to report instead. After it was open, it lets
    /// one call through and waits for what that learns.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Throttled`] while it is open.
    pub fn pass(&self, now: Timestamp) -> Result<(), ConnectError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = state.wait(now) {
            return Err(ConnectError::Throttled(wait));
        }
        if state.open_until.is_some() {
            state.probe_until = Some(now.plus(STAYS_OPEN));
        }
        Ok(())
    }

    /// How long it stays open; `None` if a call may be made. Takes nobody's turn.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wait(now)
    }

    /// Whether the system as a whole fails: many calls in a row did, none has succeeded since.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures >= OPENS_AFTER || state.refusal.is_some()
    }

    /// Learns how a call went.
    pub fn learn<T>(&self, result: &Result<T, ConnectError>, now: Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Err(ConnectError::Unauthorized(why)) => {
                state.open_until = Some(now.plus(REFUSED));
                state.probe_until = None;
                state.refusal = Some(why.clone());
            }
            Err(
                ConnectError::Unavailable(_) | ConnectError::Unknown(_) | ConnectError::Broken(_),
            ) => {
                state.failures += 1;
                if state.failures >= OPENS_AFTER {
                    state.open_until = Some(now.plus(STAYS_OPEN));
                    state.probe_until = None;
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

impl State {
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        let open = self.open_until.filter(|until| now < *until).map(|until| until.since(now));
        let probe = self.probe_until.filter(|until| now < *until);
        open.or(probe.map(|until| until.since(now).min(PROBE_WAIT)))
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
        assert!(breaker.is_failing(), "the system as a whole fails");
        assert!(breaker.wait(at(31)).is_none(), "asking takes nobody's turn");
        assert!(breaker.pass(at(31)).is_ok(), "one call may try again");
        assert!(breaker.pass(at(31)).is_err(), "and only one");
        assert!(breaker.pass(at(61)).is_ok(), "one that never reports is given up");
        breaker.learn(&down, at(61));
        assert!(breaker.pass(at(62)).is_err(), "it failed: open again");
        assert!(breaker.pass(at(91)).is_ok(), "the next one");
        breaker.learn(&Ok(()), at(91));
        assert!(!breaker.is_failing() && breaker.pass(at(91)).is_ok(), "closed for everybody");
        breaker.learn(&down, at(92));
        assert!(breaker.pass(at(92)).is_ok(), "the count began anew");
    }
}
