//! Access tokens: one refresh for many waiters, well before they expire.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;
use url::Url;

use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token, opaque.
    pub secret: SecretString,
    /// When to get the next one, well before this one dies.
    pub renew_at: Timestamp,
    /// Where calls go, for a system that tells it with the token.
    pub instance: Option<Url>,
    /// Tells this token from the next one.
    pub serial: u64,
}

/// Signs in.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// Gets a new token. Called by one waiter at a time. `serial` is to be the token's serial.
    async fn sign_in(&self, serial: u64) -> Result<Token, ConnectError>;

    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Keeps the token of one principal and audience.
#[derive(Debug)]
pub struct TokenCache<S> {
    source: S,
    kept: Mutex<(u64, Option<Token>)>,
}

/// When to renew a token that was received at `now` and lives for `lifetime`: five minutes before it
/// dies, or at half its life if that is shorter.
#[must_use]
pub fn renew_at(now: Timestamp, lifetime: Duration) -> Timestamp {
    let margin = Duration::from_secs(5 * 60).min(lifetime / 2);
    now.plus(lifetime - margin)
}

impl<S: TokenSource> TokenCache<S> {
    /// An empty cache.
    pub fn new(source: S) -> Self {
        Self { source, kept: Mutex::new((0, None)) }
    }

    /// The token source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A token that is good for at least a while; signs in if there is none.
    ///
    /// # Errors
    ///
    /// Whatever signing in reports.
    pub async fn token(&self) -> Result<Token, ConnectError> {
        let mut kept = self.kept.lock().await;
        if let Some(token) = &kept.1
            && self.source.now() < token.renew_at
        {
            return Ok(token.clone());
        }
        let serial = kept.0 + 1;
        let token = self.source.sign_in(serial).await?;
        *kept = (serial, Some(token.clone()));
        Ok(token)
    }

    /// Forgets `token` after a 401, unless a newer one is already kept.
    pub async fn refused(&self, token: &Token) {
        let mut kept = self.kept.lock().await;
        if kept.1.as_ref().is_some_and(|newest| newest.serial == token.serial) {
            kept.1 = None;
        }
    }

    /// Forgets whatever is kept, so that the next call signs in afresh.
    pub async fn forget(&self) {
        self.kept.lock().await.1 = None;
    }
}
