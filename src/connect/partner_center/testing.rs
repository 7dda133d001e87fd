//! A clock, chance and a vault for the tests of this folder.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::auth::{KeptToken, RefreshTokenVault};
use crate::domain::clock::{Clock, Randomness};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::domain::time::Timestamp;

/// A clock moved by hand; waiting moves it.
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn at(text: &str) -> Self {
        Self(AtomicI64::new(Timestamp::parse(text).expect("an instant").as_millis()))
    }

    pub(super) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a short wait");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Somebody corrects it.
    pub(super) fn set_back(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a short way");
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}

/// Counts instead of drawing.
#[derive(Default)]
pub(super) struct Counting(AtomicU64);

impl Randomness for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A vault in memory that remembers every token it was given.
#[derive(Default)]
pub(super) struct MemoryVault {
    pub(super) saved: Mutex<Vec<KeptToken>>,
    pub(super) broken: std::sync::atomic::AtomicBool,
}

impl MemoryVault {
    pub(super) fn holding(token: &str) -> Self {
        let kept = KeptToken { token: SecretString::from(token), since: Timestamp::from_millis(0) };
        Self { saved: Mutex::new(vec![kept]), ..Self::default() }
    }

    pub(super) fn newest(&self) -> Option<String> {
        let saved = self.saved.lock().expect("not poisoned");
        saved.last().map(|kept| kept.token.expose_secret().to_owned())
    }
}

#[async_trait]
impl RefreshTokenVault for MemoryVault {
    async fn load(&self) -> Result<Option<KeptToken>, String> {
        Ok(self.saved.lock().expect("not poisoned").last().cloned())
    }

    async fn save(&self, token: &KeptToken) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("the disk is full".to_owned());
        }
        self.saved.lock().expect("not poisoned").push(token.clone());
        Ok(())
    }
}
