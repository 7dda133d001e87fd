//! Time and chance as arguments: the process clock and generator are banned by `clippy.toml`.

use std::time::Duration;

use async_trait::async_trait;

use super::time::Timestamp;

/// Tells the time and waits. Tests and the simulation hand in a clock they move by hand.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now. Used for deadlines, waits and the audit; never to choose between two values.
    fn now(&self) -> Timestamp;

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}

/// Chance: jitter of retries, new ids. A seeded one makes a whole run repeatable.
pub trait Randomness: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A number in `0.0..1.0`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn unit(&self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A random GUID (version 4) in lower case.
    fn guid(&self) -> String {
        uuid::Builder::from_random_bytes(
            ((u128::from(self.bits()) << 64) | u128::from(self.bits())).to_be_bytes(),
        )
        .into_uuid()
        .to_string()
    }
}
