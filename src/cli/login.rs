//! `login`: the one-time consent at Partner Center.

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Reach;
use super::{AccountArgument, CliError, ConfigArgument, Out, Outcome};
use crate::app::login::{SignIn, SignedIn};
use crate::config::Config;
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
}

impl Login {
    /// Signs in and keeps the refresh token, sealed.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let config = self.config.load()?;
        if config.store.encryption_key.is_none() {
            return Err(CliError::BadUse(
                "a refresh token is only kept encrypted; make a key with `openssl rand -hex 32` \
                 and set store.encryption_key"
                    .to_owned(),
            ));
        }
        let account = self.account(&config)?;
        let sign_in = SignIn::new(&config, &account)?;
        // Found before the person signs in, so that nothing is lost if it cannot be kept.
        let reach = Reach::find(&config).await?;
        let signed_in = if self.browser {
            in_browser(&sign_in, self.port, out).await
        } else {
            by_device(&sign_in, out).await
        }?;
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
                "The sign-in did not pass multi-factor authentication; calls will be refused.\n\
                 Turn it on for this user, then sign in again."
            )?;
            return Ok(Outcome::Problem);
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
