//! `health`: whether the daemon of a configuration answers; for containers and scripts.

use clap::Args;

use super::client::{self, Health as Answer};
use super::{CliError, ConfigArgument, Out, Outcome};

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
            Ok(Answer::Alive) => {
                writeln!(out, "The daemon at {listen} is alive.")?;
                Ok(Outcome::Fine)
            }
            Ok(Answer::Other(status)) => {
                writeln!(
                    out,
                    "What answers {status} at {listen} is not this program, or another version of it."
                )?;
                Ok(Outcome::Problem)
            }
            Err(fault) => {
                writeln!(out, "No daemon answers at {listen}: {fault}.")?;
                Ok(Outcome::Problem)
            }
        }
    }
}
