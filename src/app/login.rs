//! The one-time consent of a person at Partner Center, for the command line.

use std::sync::Arc;
use std::time::Duration;

use super::{AppError, account_name, surroundings, systems};
use crate::config::Config;
use crate::connect::error::ConnectError;
use crate::connect::partner_center;
use crate::connect::partner_center::login::{CodeLogin, DeviceLogin, DevicePoll, Login};
use crate::domain::secret::SecretString;
use crate::store::memory::MemoryStore;
use crate::sync::account::Surroundings;

/// A completed sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The refresh token to keep.
    pub refresh_token: SecretString,
    /// Whether the user passed multi-factor authentication; `None` if it cannot be told.
    pub mfa: Option<bool>,
    /// Who signed in, where that is told.
    pub user: Option<String>,
}

impl From<Login> for SignedIn {
    fn from(login: Login) -> Self {
        Self { refresh_token: login.refresh_token, mfa: login.mfa, user: login.user }
    }
}

/// Signs a person in to the partner tenant of one account. Keeps nothing.
pub struct SignIn {
    client: Arc<partner_center::Client>,
    around: Surroundings,
}

/// A sign-in by device code that was begun.
pub struct Device(DeviceLogin);

impl Device {
    /// What to type in.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.user_code
    }

    /// Where.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.verification_url
    }
}

/// A sign-in in the browser that was begun.
pub struct Browser(CodeLogin);

impl Browser {
    /// Where the person signs in.
    #[must_use]
    pub fn address(&self) -> &str {
        self.0.url.as_str()
    }
}

impl SignIn {
    /// Prepares a sign-in for an account.
    ///
    /// # Errors
    ///
    /// [`AppError::Settings`] if the account is not configured or cannot be.
    pub fn new(config: &Config, account: &str) -> Result<Self, AppError> {
        let settings = config.accounts.get(account).ok_or_else(|| {
            AppError::Settings(format!("there is no account `{account}`; name one of the file"))
        })?;
        // A vault of its own that keeps nothing: the daemon's may be in use.
        let around = surroundings(Arc::new(MemoryStore::new()));
        let name = account_name(account);
        let client =
            systems::partner_center_client(config, &name, &settings.partner_center, &around)?;
        Ok(Self { client, around })
    }

    /// Begins a sign-in by device code.
    ///
    /// # Errors
    ///
    /// A sentence of what went wrong.
    pub async fn begin_device(&self) -> Result<Device, String> {
        self.client.begin_device_login().await.map(Device).map_err(sentence)
    }

    /// Waits until the person has entered the code.
    ///
    /// # Errors
    ///
    /// A sentence, if the person refused or the code has died.
    pub async fn finish_device(&self, device: &Device) -> Result<SignedIn, String> {
        let mut wait: Duration = device.0.interval;
        loop {
            self.around.clock.sleep(wait).await;
            match self.client.poll_device_login(&device.0).await.map_err(sentence)? {
                DevicePoll::Done(login) => return Ok(login.into()),
                DevicePoll::Pending(next) => wait = next,
            }
        }
    }

    /// Begins a sign-in in the browser; `redirect` is the loopback address that is listened on.
    ///
    /// # Errors
    ///
    /// A sentence of what went wrong.
    pub fn begin_browser(&self, redirect: &str) -> Result<Browser, String> {
        self.client.begin_code_login(redirect).map(Browser)
    }

    /// Completes a sign-in with the query string of the redirect.
    ///
    /// # Errors
    ///
    /// A sentence, if the person refused or the redirect is not of this sign-in.
    pub async fn finish_browser(&self, browser: &Browser, query: &str) -> Result<SignedIn, String> {
        let code = browser.0.code(query)?;
        let login = self.client.redeem(&browser.0, &code).await.map_err(sentence)?;
        Ok(login.into())
    }
}

fn sentence(fault: ConnectError) -> String {
    fault.to_string()
}
