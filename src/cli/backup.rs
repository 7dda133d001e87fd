//! `backup` and `restore`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::client::Reach;
use super::{
    CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, number, print_json, text,
};

/// Write everything that must survive to a new file, while the daemon runs.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The new file, on the daemon's machine
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// Rebuild the store from a backup; the daemon must be stopped.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArgument,
}

impl Backup {
    /// Writes it.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let path = std::path::absolute(&self.file)?;
        let result = reach.post("backup", &json!({ "path": path })).await?;
        if self.json.json {
            return print_json(out, &result);
        }
        writeln!(out, "{} lines in {}", number(&result, "/lines"), text(&result, "/path"))?;
        Ok(Outcome::Fine)
    }
}

impl Restore {
    /// Rebuilds it. What was there before is kept beside it.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let config = self.config.load()?;
        let path = config.path(&config.store.path);
        confirmed(&format!("The store at {} is replaced.", path.display()), self.yes)?;
        let rows = crate::app::restore_store(&config, &self.file).await?;
        writeln!(out, "{rows} rows restored to {}", path.display())?;
        writeln!(out, "The former store is kept beside it as replaced-N.")?;
        Ok(Outcome::Fine)
    }
}
