//! The command line: one file for each subcommand.
//!
//! * Owns: arguments, output, exit codes (0 ok, 1 problem found, 2 bad use).
//! * May use: `app`, `config`, `mapping`, `store`, the admin client. Never a vendor.
//! * A command that needs the store of a running daemon goes through its admin interface; if none
//!   runs, it opens the store itself and asks the same routes, see [`client::Reach`].
#![allow(clippy::missing_errors_doc, reason = "every command fails with a `CliError`")]

mod audit;
mod backfill;
mod backup;
mod check;
mod client;
mod dead_letters;
#[cfg(feature = "sandbox")]
pub mod demo;
mod doctor;
mod health;
mod links;
mod login;
mod mapping;
mod provision;
mod reconcile;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod service;
mod shadow;
mod status;
mod table;
mod webhook;
mod why;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::Value as Json;

use crate::config::{Config, PREFIX};
use crate::store::StoreError;

/// Keeps Microsoft co-sell referrals in step with Dynamics 365 and Salesforce.
#[derive(Debug, Parser)]
#[command(name = "cosell-sync", version, term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a short story on emulators of all three systems
    #[cfg(feature = "sandbox")]
    Demo(demo::Demo),
    /// Serve emulators of all three systems to try mappings on
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxCommand),
    /// Run the daemon until it is stopped
    Run(run::Run),
    /// Check configuration and mappings offline
    Check(check::Check),
    /// Check the live systems and say how to repair them
    Doctor(doctor::Doctor),
    /// Show, and with --apply make, what the CRMs lack
    Provision(provision::Provision),
    /// Sign in to Partner Center once
    Login(login::Login),
    /// The webhook registration of the partner tenant
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Mapping files: what is in use, tests, history
    #[command(subcommand)]
    Mapping(mapping::Mapping),
    /// How everything is doing, in one screen
    Status(status::Status),
    /// Whether the daemon is alive, for containers: exit code 0 or 1
    Health(health::Health),
    /// Deals and the records they are linked to
    Links(links::Links),
    /// Why a deal is as it is
    Why(why::Why),
    /// The audit trail
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What waits for a person
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Load everything for the first time
    Backfill(backfill::Backfill),
    /// What shadow mode planned, and what became of it
    #[command(subcommand)]
    Shadow(shadow::Shadow),
    /// Compare every deal now
    Reconcile(reconcile::Reconcile),
    /// Write everything that must survive to a file
    Backup(backup::Backup),
    /// Rebuild the store from a backup, or from the three systems
    Restore(backup::Restore),
    /// Print a unit for systemd
    Service(service::Service),
}

/// The configuration where none is named.
const USUAL_CONFIG: &str = "cosell-sync.toml";

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "COSELL_SYNC_CONFIG",
        default_value = USUAL_CONFIG
    )]
    config: PathBuf,
}

impl ConfigArgument {
    /// Reads it, with the environment on top.
    fn load(&self) -> Result<Config, CliError> {
        Config::load(&self.config, environment()?.into_iter())
            .map_err(|error| CliError::BadUse(error.to_string()))
    }

    /// As [`ConfigArgument::load`]; the account that was named must be in it.
    fn load_for(&self, account: &AccountArgument) -> Result<Config, CliError> {
        let config = self.load()?;
        account.check(&config)?;
        Ok(config)
    }
}

/// The variables that override settings. Others may hold anything.
fn environment() -> Result<Vec<(String, String)>, CliError> {
    let own = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX));
    own.map(|(name, value)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (name, _) => {
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            Err(CliError::BadUse(format!(
                "environment variable {name}: this is not text; write name and value in UTF-8"
            )))
        }
    })
    .collect()
}

/// Prints as JSON?
#[derive(Debug, Args)]
struct JsonArgument {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which account?
#[derive(Debug, Args)]
struct AccountArgument {
    /// The account, where there are several
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

impl AccountArgument {
    /// Refuses a name that the configuration does not have.
    fn check(&self, config: &Config) -> Result<(), CliError> {
        let Some(name) =
            self.account.as_deref().filter(|name| !config.accounts.contains_key(*name))
        else {
            return Ok(());
        };
        let known: Vec<&str> = config.accounts.keys().map(String::as_str).collect();
        let close = |known: &&&str| strsim::jaro_winkler(name, known) > 0.7;
        let fix = match known.iter().filter(close).max_by(|left, right| {
            strsim::jaro_winkler(name, left).total_cmp(&strsim::jaro_winkler(name, right))
        }) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("name one of {}", known.join(", ")),
        };
        Err(CliError::BadUse(format!("--account: there is no account `{name}`; {fix}")))
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// As it should be: exit code 0.
    Fine,
    /// It looked, and found a problem: exit code 1.
    Problem,
}

/// Why a command could not do it.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Arguments or configuration are wrong: exit code 2.
    #[error("{0}")]
    BadUse(String),
    /// Something else failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The terminal or the pipe.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl From<crate::app::AppError> for CliError {
    fn from(error: crate::app::AppError) -> Self {
        use crate::app::AppError;
        match error {
            AppError::Settings(_) | AppError::Mappings(_) => Self::BadUse(error.to_string()),
            AppError::Store(StoreError::Locked(path)) => Self::Failed(in_use(&path)),
            AppError::Listen { what, address, error }
                if error.kind() == io::ErrorKind::AddrInUse =>
            {
                Self::Failed(format!(
                    "{what} {address} cannot be opened: another program listens there; stop that \
                     one, or set another address ({})",
                    if what.contains("admin") { "admin.listen" } else { "server.listen" }
                ))
            }
            AppError::Store(_) | AppError::Listen { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// Who holds a store, and the way out.
fn in_use(path: &str) -> String {
    let holder = holder(path);
    format!(
        "the store at {path} is in use by {holder}: a daemon that runs, or another command; stop it \
         first, or set another store.path"
    )
}

/// Whoever has a store open.
fn holder(path: &str) -> String {
    match crate::app::store_holder(std::path::Path::new(path)) {
        Some(id) => format!("process {id}"),
        None => "another process".to_owned(),
    }
}

impl Cli {
    /// Runs the command and tells the exit code of the process.
    pub async fn run(self) -> ExitCode {
        let mut out = io::stdout();
        let ended = self.command.run(&mut out).await.and_then(|outcome| {
            out.flush()?;
            Ok(outcome)
        });
        match ended {
            Ok(Outcome::Fine) => ExitCode::SUCCESS,
            Ok(Outcome::Problem) => ExitCode::from(1),
            // Whoever reads has had enough, as `head` does.
            Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            Err(error) => {
                let code = if matches!(error, CliError::BadUse(_)) { 2 } else { 1 };
                // Nothing is left to tell it to if this fails.
                let _ = writeln!(io::stderr(), "{error}");
                ExitCode::from(code)
            }
        }
    }
}

impl Command {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Demo(command) => {
                crate::telemetry::start_logging(false, "warn");
                told(command.run(out).await)
            }
            #[cfg(feature = "sandbox")]
            Self::Sandbox(command) => {
                crate::telemetry::start_logging(false, "warn");
                told(command.run(out).await)
            }
            Self::Run(command) => command.run().await,
            Self::Check(command) => command.run(out),
            Self::Doctor(command) => command.run(out).await,
            Self::Provision(command) => command.run(out).await,
            Self::Login(command) => command.run(out).await,
            Self::Webhook(command) => command.run(out).await,
            Self::Mapping(command) => command.run(out).await,
            Self::Status(command) => command.run(out).await,
            Self::Health(command) => command.run(out).await,
            Self::Links(command) => command.run(out).await,
            Self::Why(command) => command.run(out).await,
            Self::Audit(command) => command.run(out).await,
            Self::DeadLetters(command) => command.run(out).await,
            Self::Backfill(command) => command.run(out).await,
            Self::Shadow(command) => command.run(out).await,
            Self::Reconcile(command) => command.run(out).await,
            Self::Backup(command) => command.run(out).await,
            Self::Restore(command) => command.run(out).await,
            Self::Service(command) => command.run(out),
        }
    }
}

/// How a command that tells its story itself has ended.
#[cfg(feature = "sandbox")]
fn told(ended: Result<u8, String>) -> Result<Outcome, CliError> {
    match ended {
        Ok(0) => Ok(Outcome::Fine),
        Ok(_) => Ok(Outcome::Problem),
        Err(error) => Err(CliError::Failed(error)),
    }
}

/// Where output goes: standard output, or a buffer in tests.
trait Out: Write + Send {}
impl<T: Write + Send> Out for T {}

/// Prints JSON for programs, in a readable form.
fn print_json(out: &mut dyn Out, json: &Json) -> Result<Outcome, CliError> {
    let text = serde_json::to_string_pretty(json).unwrap_or_default();
    writeln!(out, "{text}")?;
    Ok(Outcome::Fine)
}

/// The text at a path such as `/hold/code`; empty if there is none.
fn text<'j>(json: &'j Json, pointer: &str) -> &'j str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// The list at a path; empty if there is none.
fn list<'j>(json: &'j Json, pointer: &str) -> &'j [Json] {
    json.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The number at a path; 0 if there is none.
fn number(json: &Json, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Json::as_u64).unwrap_or(0)
}

/// A moment to the minute, as it stands in tables: `2026-11-22 14:03Z`.
fn minute(stamp: &str) -> String {
    match stamp.get(..16) {
        Some(start) => format!("{}Z", start.replace('T', " ")),
        None => stamp.to_owned(),
    }
}

/// `1 deal`, `2 deals`.
fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A query string of those pairs that have a value.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// One segment of a path, whatever stands in it.
fn segment(text: &str) -> String {
    // A form writes a space as a plus sign, a path does not.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Asks once before something that cannot be taken back. A script says `--yes`.
fn confirmed(question: &str, yes: bool) -> Result<(), CliError> {
    use std::io::IsTerminal;
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::BadUse(format!("{question} Add --yes to do it.")));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(CliError::Failed("Nothing was done.".to_owned()))
}
