//! `run`: the daemon.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, ConfigArgument, Outcome};
use crate::app::App;
use crate::telemetry;

/// Run the daemon until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgument,
    /// Log as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

impl Run {
    /// Runs until a signal comes or the store fails.
    pub(super) async fn run(self) -> Result<Outcome, CliError> {
        let config = self.config.load()?;
        telemetry::start_logging(self.log_json, "info");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let app = App::start(&config).await?;
        tracing::info!(
            public = %app.public_address,
            admin = %app.admin_address,
            accounts = app.accounts.len(),
            "Started"
        );
        let outcome = tokio::select! {
            _ = terminate.recv() => Outcome::Fine,
            _ = interrupt.recv() => Outcome::Fine,
            () = app.failed() => Outcome::Problem,
        };
        tracing::info!("Stopping");
        app.stop().await;
        tracing::info!("Stopped");
        Ok(outcome)
    }
}
