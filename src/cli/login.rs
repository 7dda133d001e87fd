//! `login`: the one-time consent at Partner Center.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Reach;
use super::{AccountArgument, CliError, ConfigArgument, Out, Outcome, table, text};
use crate::app::login::{SignIn, SignedIn};
use crate::config::{Config, SecretSource};
use crate::domain::secret::ExposeSecret;

/// Longest request line of a redirect, in bytes.
const MOST_BYTES: usize = 16 * 1024;

/// Sign in to Partner Center as a user of the partner tenant.
#[derive(Debug, Args)]
pub(super) struct Login {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Sign in in a browser on this machine, without a device code
    #[arg(long)]
    browser: bool,
    /// Port of the redirect address http://localhost:PORT/
    #[arg(long, default_value_t = 8400, requires = "browser")]
    port: u16,
    /// Keep a sign-in that did not pass multi-factor authentication. Partner Center refuses its calls
    /// wherever it enforces it
    #[arg(long)]
    without_mfa: bool,
    /// Sign nobody in: try the client secret, or the certificate with its key, in FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["browser", "port", "without_mfa"])]
    test_secret: Option<PathBuf>,
}

impl Login {
    /// Signs in and keeps the refresh token, sealed.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let config = self.config.load_for(&self.account)?;
        if self.test_secret.is_none() && config.store.encryption_key.is_none() {
            return Err(CliError::BadUse(
                "a refresh token is only kept encrypted; make a key with `openssl rand -hex 32` \
                 and set store.encryption_key"
                    .to_owned(),
            ));
        }
        let account = self.account(&config)?;
        if let Some(file) = &self.test_secret {
            return test_secret(&config, &account, file, out).await;
        }
        let sign_in = SignIn::new(&config, &account)?;
        // Found before the person signs in, so that nothing is lost if it cannot be kept.
        let reach = Reach::find(&config).await?;
        let signed_in = if self.browser {
            in_browser(&sign_in, self.port, out).await
        } else {
            by_device(&sign_in, out).await
        }?;
        if signed_in.mfa == Some(false) && !self.without_mfa {
            writeln!(
                out,
                "The sign-in did not pass multi-factor authentication, and Partner Center refuses the \
                 calls of such a one.\nNothing was kept; the sign-in in use stays. Turn it on for this \
                 user, then sign in again.\nWhere it is not enforced yet, repeat with --without-mfa."
            )?;
            return Ok(Outcome::Problem);
        }
        let body = json!({
            "account": account,
            "refresh_token": signed_in.refresh_token.expose_secret(),
        });
        reach.post("login", &body).await?;
        let user = signed_in.user.as_deref().unwrap_or("a user whose name was not told");
        writeln!(out, "Signed in as {user}. The refresh token is kept, encrypted.")?;
        if signed_in.mfa == Some(false) {
            writeln!(
                out,
                "It did not pass multi-factor authentication: calls are refused as soon as Partner \
                 Center enforces it."
            )?;
        }
        Ok(Outcome::Fine)
    }

    fn account(&self, config: &Config) -> Result<String, CliError> {
        match (&self.account.account, config.accounts.keys().collect::<Vec<_>>().as_slice()) {
            (Some(name), _) => Ok(name.clone()),
            (None, [only]) => Ok((*only).clone()),
            (None, _) => Err(CliError::BadUse("several accounts; name one --account".to_owned())),
        }
    }
}

/// Tries what a file holds at the token endpoint. The secret in use stays in use.
async fn test_secret(
    config: &Config,
    account: &str,
    file: &Path,
    out: &mut dyn Out,
) -> Result<Outcome, CliError> {
    let staged = SecretSource::from_file(file).read("--test-secret", Path::new(""));
    let staged = staged.map_err(|error| CliError::BadUse(error.to_string()))?;
    let body = json!({ "account": account, "credential": staged.expose_secret() });
    let tested = Reach::find(config).await?.post("login/test-secret", &body).await?;
    writeln!(out, "{}", text(&tested, "/what"))?;
    let fix = text(&tested, "/fix");
    if !fix.is_empty() {
        table::paragraph(out, "-> ", fix)?;
    }
    let works = tested["works"].as_bool() == Some(true);
    Ok(if works { Outcome::Fine } else { Outcome::Problem })
}

async fn by_device(sign_in: &SignIn, out: &mut dyn Out) -> Result<SignedIn, CliError> {
    let device = sign_in.begin_device().await.map_err(CliError::Failed)?;
    writeln!(out, "Open {}\nand enter the code {}", device.address(), device.code())?;
    out.flush()?;
    sign_in.finish_device(&device).await.map_err(CliError::Failed)
}

async fn in_browser(sign_in: &SignIn, port: u16, out: &mut dyn Out) -> Result<SignedIn, CliError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        CliError::Failed(format!("port {port} cannot be listened on: {error}; name another --port"))
    })?;
    let port = listener.local_addr()?.port();
    let redirect = format!("http://localhost:{port}/");
    let browser = sign_in.begin_browser(&redirect).map_err(CliError::Failed)?;
    writeln!(out, "Open this address in a browser on this machine:\n{}", browser.address())?;
    out.flush()?;
    loop {
        let query = redirected(&listener).await?;
        // A browser also asks for an icon; only the redirect carries a state.
        if query.contains("state=") {
            return sign_in.finish_browser(&browser, &query).await.map_err(CliError::Failed);
        }
    }
}

/// Answers one request of the browser and returns its query string.
async fn redirected(listener: &TcpListener) -> Result<String, CliError> {
    let (mut stream, _) = listener.accept().await?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while request.len() < MOST_BYTES && !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let text = "You may close this window and go back to the terminal.\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    let request = String::from_utf8_lossy(&request);
    let target = request.split(' ').nth(1).unwrap_or_default();
    Ok(target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default())
}
