//! A clock that runs with the process and can be moved forward by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// The emulated systems' clock. Clones share the offset.
#[derive(Debug, Clone)]
pub struct SandboxClock {
    offset_millis: Arc<AtomicI64>,
    frozen_at: Option<Timestamp>,
}

impl SandboxClock {
    /// Runs with the real time.
    #[must_use]
    pub fn running() -> Self {
        Self { offset_millis: Arc::new(AtomicI64::new(0)), frozen_at: None }
    }

    /// Stands still at `at`, moved only by [`SandboxClock::advance`]: for repeatable tests.
    #[must_use]
    pub fn frozen(at: Timestamp) -> Self {
        Self { offset_millis: Arc::new(AtomicI64::new(0)), frozen_at: Some(at) }
    }

    /// The emulated time.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the emulators stand in for other people's clocks"
    )]
    pub fn now(&self) -> Timestamp {
        let start = self.frozen_at.unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let millis = since.map_or(0, |since| since.as_millis());
            Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
        });
        Timestamp::from_millis(start.as_millis() + self.offset_millis.load(Ordering::SeqCst))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_millis.fetch_add(millis, Ordering::SeqCst);
    }
}
