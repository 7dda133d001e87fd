//! `backup` and `restore`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::Reach;
use super::{
    CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, number, print_json, text,
};
use crate::app::{self, AppError};
use crate::config::Config;
use crate::store::StoreError;

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

/// Rebuild the store from a backup, or from the three systems; the daemon must be stopped.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE", required_unless_present = "rebuild")]
    file: Option<PathBuf>,
    /// Compare everything with the three systems at the next start. Without FILE the store begins
    /// empty, and deals are found again by the ids that their records carry
    #[arg(long)]
    rebuild: bool,
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
        let shown = path.display();
        let question = match &self.file {
            Some(_) => format!("The store at {shown} is replaced."),
            None => format!(
                "The store at {shown} begins empty: its audit trail, what waits and what is held stay \
                 in the old one only."
            ),
        };
        confirmed(&question, self.yes)?;
        if self.rebuild {
            // Found before anything is moved: what keeps the daemon from starting keeps us too.
            app::rehearse(&config)?;
        }
        match &self.file {
            Some(file) => restore(&config, file, out).await?,
            None => {
                if let Some(kept) = app::set_store_aside(&config).await? {
                    writeln!(out, "The former store is kept in {}", kept.display())?;
                }
            }
        }
        if self.rebuild {
            self.read_all(&config, out).await?;
        }
        Ok(Outcome::Fine)
    }

    /// Queues that everything is read from the three systems.
    async fn read_all(&self, config: &Config, out: &mut dyn Out) -> Result<(), CliError> {
        let reach = Reach::find(config).await?;
        if self.file.is_some() {
            reach.post("reconcile", &json!({})).await?;
            writeln!(out, "Every deal is compared with the three systems when the daemon runs.")?;
            return Ok(());
        }
        for (name, account) in &config.accounts {
            reach.post("backfill", &json!({ "account": name })).await?;
            if account.partner_center.refresh_token.is_none() {
                writeln!(out, "{name}: the sign-in is gone; repeat it with `cosell-sync login`.")?;
            }
        }
        writeln!(
            out,
            "Everything is read when the daemon runs; see `backfill --progress`. To see first what it \
             would write, set sync.shadow = true before."
        )?;
        Ok(())
    }
}

/// Rebuilds the store from a backup.
async fn restore(config: &Config, file: &Path, out: &mut dyn Out) -> Result<(), CliError> {
    let path = config.path(&config.store.path);
    let before = replaced(&path);
    let rows = app::restore_store(config, file).await.map_err(|error| {
        let from = file.display();
        match error {
            locked @ AppError::Store(StoreError::Locked(_)) => locked.into(),
            AppError::Store(StoreError::Damaged(why)) => CliError::Failed(format!(
                "{from} is no whole backup of this program: {why}\nNothing was changed. Name a file \
                 that `cosell-sync backup` wrote."
            )),
            _ if !file.exists() => CliError::BadUse(format!(
                "there is no file {from}; name one that `cosell-sync backup` wrote"
            )),
            other => other.into(),
        }
    })?;
    writeln!(out, "{rows} rows restored to {}", path.display())?;
    for kept in replaced(&path).difference(&before) {
        writeln!(out, "The former store is kept in {}", kept.display())?;
    }
    Ok(())
}

/// What restores kept of former stores.
fn replaced(path: &Path) -> BTreeSet<PathBuf> {
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    let kept = inside.filter(|one| one.file_name().to_string_lossy().starts_with("replaced"));
    kept.map(|one| one.path()).collect()
}
