//! Sessions and refresh tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest;

use crate::connect::salesforce::sandbox::options::SandboxOptions;
use crate::domain::time::Timestamp;

struct Session {
    user: String,
    ends: Timestamp,
}

/// The live sessions by token, and the one refresh token that is good.
pub(crate) struct Sessions {
    live: BTreeMap<String, Session>,
    life: Duration,
    slides: bool,
    rotates: bool,
    refresh_token: String,
    made: u64,
}

impl Sessions {
    pub(crate) fn new(options: &SandboxOptions) -> Self {
        Self {
            live: BTreeMap::new(),
            life: options.session_life,
            slides: options.session_slides,
            rotates: options.rotate_refresh_tokens,
            refresh_token: options.refresh_token.clone(),
            made: 0,
        }
    }

    /// A new session: 15 characters of the organisation id, `!`, token characters.
    pub(crate) fn open(&mut self, organization: &str, user: &str, now: Timestamp) -> String {
        let short = organization.get(..15).unwrap_or(organization);
        let token = format!("{short}!AQ0A{}", self.unguessed("session"));
        let session = Session { user: user.to_owned(), ends: now.plus(self.life) };
        self.live.insert(token.clone(), session);
        token
    }

    /// The user of a live session; using it may start its life again.
    pub(crate) fn user(&mut self, token: &str, now: Timestamp) -> Option<String> {
        let session = self.live.get_mut(token).filter(|session| now < session.ends)?;
        if self.slides {
            session.ends = now.plus(self.life);
        }
        Some(session.user.clone())
    }

    /// When the session ends, if it is live.
    pub(crate) fn ends(&self, token: &str, now: Timestamp) -> Option<Timestamp> {
        self.live.get(token).map(|session| session.ends).filter(|ends| now < *ends)
    }

    /// Ends one session.
    pub(crate) fn close(&mut self, token: &str) {
        self.live.remove(token);
    }

    /// Ends every session.
    pub(crate) fn close_all(&mut self) {
        self.live.clear();
    }

    /// Uses a refresh token. `None` if it is not the good one; otherwise the new one, if the
    /// organisation rotates them.
    pub(crate) fn refresh(&mut self, token: &str) -> Option<Option<String>> {
        if token != self.refresh_token {
            return None;
        }
        if !self.rotates {
            return Some(None);
        }
        self.refresh_token = format!("5Aep{}", self.unguessed("refresh"));
        Some(Some(self.refresh_token.clone()))
    }

    /// Characters that differ each time. The emulator listens on loopback and guards nothing, so
    /// they repeat from run to run on purpose.
    fn unguessed(&mut self, what: &str) -> String {
        self.made += 1;
        let hash = digest::digest(&digest::SHA256, format!("{what} {}", self.made).as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
