//! Reaches the admin routes: those of the daemon if it runs, else the same routes in this process.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use url::Url;

use super::CliError;
use crate::app::{self, InProcess, Parts};
use crate::config::Config;
use crate::connect::error::ConnectError;
use crate::connect::http::{Call, Http, HttpSettings};
use crate::domain::secret::SecretString;
use crate::store::StoreError;

/// Longest answer taken, in bytes.
const MOST_BYTES: usize = 1 << 30;
/// How long is waited without a word.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// How long an answer of `/healthz` may take.
const HEALTH_PATIENCE: Duration = Duration::from_secs(4);
/// The daemon checks live systems while a command waits.
const PATIENCE: Duration = Duration::from_secs(600);

/// A way to the admin routes.
pub(super) enum Reach {
    /// The running daemon.
    Daemon {
        /// The client.
        http: Box<Http>,
        /// Its address.
        base: Url,
        /// The admin token.
        token: SecretString,
    },
    /// No daemon runs: the store is open in this process.
    Here(InProcess),
}

impl Reach {
    /// Finds the daemon of a configuration, or opens its store.
    pub(super) async fn find(config: &Config) -> Result<Self, CliError> {
        let answer = health(config).await?;
        let listen = config.admin.listen;
        if matches!(answer, Ok(Health::Alive)) && !is_free(config) {
            // Without a token the store decides; whoever has it open is told below.
            if let Some(token) = app::admin_token(config)? {
                let settings = HttpSettings {
                    timeout: PATIENCE,
                    body_bytes: MOST_BYTES,
                    ..HttpSettings::default()
                };
                return Ok(Self::Daemon {
                    http: Box::new(http(&settings)?),
                    base: base(config)?,
                    token,
                });
            }
        }
        let opened = app::open_store(config).await;
        let store = match opened {
            Err(app::AppError::Store(StoreError::Locked(path))) => {
                let holder = super::holder(&path);
                return Err(CliError::Failed(format!(
                    "the store at {path} is in use by {holder}, but {}; {}",
                    told(&answer, listen),
                    way_out(&answer)
                )));
            }
            opened => opened?,
        };
        if answer.is_ok() {
            // Nobody had the store open, so this is another installation, or no cosell-sync at all.
            let note = format!("Note: what answers at {listen} is not the daemon of this store.");
            writeln!(io::stderr(), "{note}")?;
        }
        let parts = Parts::build(config, app::surroundings(store), false).await?;
        Ok(Self::Here(InProcess::new(&Arc::new(parts))))
    }

    /// Whether the daemon answered.
    #[must_use]
    pub(super) fn is_daemon(&self) -> bool {
        matches!(self, Self::Daemon { .. })
    }

    /// Reads JSON below `/api/v1/`.
    pub(super) async fn get(&self, path: &str) -> Result<Json, CliError> {
        parse(&self.bytes("GET", path, None).await?)
    }

    /// Sends JSON to a route below `/api/v1/`.
    pub(super) async fn post(&self, path: &str, body: &Json) -> Result<Json, CliError> {
        parse(&self.bytes("POST", path, Some(body)).await?)
    }

    /// Reads text below `/api/v1/`.
    pub(super) async fn text(&self, path: &str) -> Result<Bytes, CliError> {
        self.bytes("GET", path, None).await
    }

    async fn bytes(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Bytes, CliError> {
        let (status, bytes) = match self {
            Self::Daemon { http, base, token } => {
                let url = base.join("api/v1/").and_then(|base| base.join(path));
                let url = url.map_err(|error| CliError::BadUse(error.to_string()))?;
                let mut call = Call::write(method, url).bearer(token);
                if let Some(body) = body {
                    call = call.json(body);
                }
                let answer = patiently(base, http.send(call)).await.map_err(no_answer)?;
                if answer.status == 401 {
                    return Err(wrong_token(base));
                }
                (answer.status, answer.body)
            }
            Self::Here(routes) => routes.ask(method, path, body).await.map_err(CliError::Failed)?,
        };
        if (200..300).contains(&status) { Ok(bytes) } else { Err(refused(status, &bytes)) }
    }
}

/// The admin listener of a configuration. One that listens everywhere is asked on loopback.
fn base(config: &Config) -> Result<Url, CliError> {
    let mut listen = config.admin.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Url::parse(&format!("http://{listen}/"))
        .map_err(|error| CliError::BadUse(format!("admin.listen: {error}")))
}

/// What answers `/healthz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// This program, and it is well.
    Alive,
    /// Something else, or an older version: its status.
    Other(u16),
}

/// Who answers `/healthz` of a configuration; no token is sent.
pub(super) async fn health(config: &Config) -> Result<Result<Health, ConnectError>, CliError> {
    let base = base(config)?;
    let url =
        base.join("healthz").map_err(|error| CliError::BadUse(format!("admin.listen: {error}")))?;
    let http = http(&HttpSettings { timeout: HEALTH_PATIENCE, ..HttpSettings::default() })?;
    let answer = patiently(&base, http.send(Call::read("GET", url))).await;
    Ok(answer.map(|answer| {
        let ours = answer.status == 200 && answer.header("server") == Some("cosell-sync");
        if ours { Health::Alive } else { Health::Other(answer.status) }
    }))
}

fn http(settings: &HttpSettings) -> Result<Http, CliError> {
    let (clock, _) = app::ordinary();
    Http::new(settings, clock).map_err(CliError::Failed)
}

/// Says on standard error what is waited for, if it takes long.
async fn patiently<T>(base: &Url, work: impl Future<Output = T>) -> T {
    let (clock, _) = app::ordinary();
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = clock.sleep(SILENT_FOR) => {}
    }
    // That nobody can be told changes nothing about the work.
    let _ = writeln!(io::stderr(), "Waiting for the daemon at {base} ...");
    work.await
}

/// Whether it is certain that no daemon has the store of this configuration open.
fn is_free(config: &Config) -> bool {
    app::store_is_free(&config.path(&config.store.path))
}

fn told(answer: &Result<Health, ConnectError>, listen: SocketAddr) -> String {
    match answer {
        Ok(Health::Alive) => {
            format!("the daemon at {listen} cannot be asked: admin.token is not set")
        }
        Ok(Health::Other(_)) => format!("what answers at {listen} is another program"),
        Err(fault) => format!("no daemon answers at {listen} ({fault})"),
    }
}

fn way_out(answer: &Result<Health, ConnectError>) -> &'static str {
    match answer {
        Ok(_) => "set admin.token and admin.listen as the running daemon has them",
        Err(_) => {
            "set admin.listen as the running daemon has it; if it has, the daemon hangs: see its log \
             and start it again"
        }
    }
}

fn wrong_token(base: &Url) -> CliError {
    CliError::BadUse(format!(
        "the daemon at {base} refuses the admin token of this configuration; use the configuration \
         that it was started with, or start it again if admin.token was changed"
    ))
}

fn no_answer(fault: ConnectError) -> CliError {
    CliError::Failed(format!("the daemon did not answer: {fault}"))
}

fn parse(bytes: &Bytes) -> Result<Json, CliError> {
    serde_json::from_slice(bytes)
        .map_err(|error| CliError::Failed(format!("the answer cannot be read: {error}")))
}

/// A problem document as one sentence and its fix.
fn refused(status: u16, bytes: &Bytes) -> CliError {
    let problem: Json = serde_json::from_slice(bytes).unwrap_or_default();
    let said = match (super::text(&problem, "/detail"), super::text(&problem, "/fix")) {
        ("", _) => format!("the daemon answered {status}"),
        // The way out there is for programs.
        (detail, _) if status == 400 => detail.to_owned(),
        (detail, fix) => format!("{detail}\n{fix}"),
    };
    match status {
        400 | 401 => CliError::BadUse(said),
        _ => CliError::Failed(said),
    }
}
