//! Reaches the admin routes: those of the daemon if it runs, else the same routes in this process.

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
        if let Some(daemon) = Self::daemon(config).await? {
            return Ok(daemon);
        }
        let store = app::open_store(config).await.map_err(|error| match error {
            app::AppError::Store(StoreError::Locked(path)) => CliError::Failed(format!(
                "the store at {path} is in use, but no daemon answers at {}; set admin.token and \
                 admin.listen as the running daemon has them",
                config.admin.listen
            )),
            other => other.into(),
        })?;
        let parts = Parts::build(config, app::surroundings(store), false)?;
        Ok(Self::Here(InProcess::new(&Arc::new(parts))))
    }

    /// The daemon, if it answers.
    async fn daemon(config: &Config) -> Result<Option<Self>, CliError> {
        let Some(token) = app::admin_token(config)? else { return Ok(None) };
        let base = base(config)?;
        let settings =
            HttpSettings { timeout: PATIENCE, body_bytes: MOST_BYTES, ..HttpSettings::default() };
        let (clock, _) = app::ordinary();
        let http = Http::new(&settings, clock).map_err(CliError::Failed)?;
        let health = base.join("healthz").map_err(|error| CliError::BadUse(error.to_string()))?;
        if http.send(Call::read("GET", health)).await.is_err() {
            return Ok(None);
        }
        Ok(Some(Self::Daemon { http: Box::new(http), base, token }))
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
                let answer = http.send(call).await.map_err(no_answer)?;
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

/// The status that the daemon's `/healthz` answers; no token is needed.
pub(super) async fn health(config: &Config) -> Result<Result<u16, ConnectError>, CliError> {
    let url = base(config)?
        .join("healthz")
        .map_err(|error| CliError::BadUse(format!("admin.listen: {error}")))?;
    let settings = HttpSettings { timeout: HEALTH_PATIENCE, ..HttpSettings::default() };
    let (clock, _) = app::ordinary();
    let http = Http::new(&settings, clock).map_err(CliError::Failed)?;
    Ok(http.send(Call::read("GET", url)).await.map(|answer| answer.status))
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
        (detail, fix) => format!("{detail}\n{fix}"),
    };
    match status {
        400 | 401 => CliError::BadUse(said),
        _ => CliError::Failed(said),
    }
}
