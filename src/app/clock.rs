//! The real time and real chance. The only place that asks the process for either.

use std::time::Duration;

use async_trait::async_trait;
use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::clock::{Clock, Randomness};
use crate::domain::time::Timestamp;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The system's generator.
#[derive(Debug)]
pub struct SystemRandomness(SystemRandom);

impl Default for SystemRandomness {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Randomness for SystemRandomness {
    fn bits(&self) -> u64 {
        let mut bytes = [0; 8];
        // The system's generator fails only where it does not exist at all; ids then repeat, which
        // every create guards against by its key.
        let _ = self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}
