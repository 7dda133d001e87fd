//! `health`: whether the daemon of a configuration answers; for containers and scripts.

use clap::Args;

use super::{CliError, ConfigArgument, Out, Outcome, client};

/// Ask the running daemon whether it is alive; exit code 0 if so, else 1.
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    config: ConfigArgument,
}

impl Health {
    /// Prints one line; a problem if the daemon does not answer as it should.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let config = self.config.load()?;
        let listen = config.admin.listen;
        match client::health(&config).await? {
            Ok(200) => {
                writeln!(out, "The daemon at {listen} is alive.")?;
                Ok(Outcome::Fine)
            }
            Ok(status) => {
                writeln!(out, "The daemon at {listen} answered {status}.")?;
                Ok(Outcome::Problem)
            }
            Err(fault) => {
                writeln!(out, "No daemon answers at {listen}: {fault}.")?;
                Ok(Outcome::Problem)
            }
        }
    }
}
