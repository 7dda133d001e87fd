//! `reconcile`: compare everything now.

use clap::Args;
use serde_json::json;

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, count, number,
    print_json,
};

/// Compare every deal now, and list Partner Center from the start.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Reconcile {
    /// Queues it; the daemon does it.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let queued = reach.post("reconcile", &json!({ "account": self.account.account })).await?;
        if self.json.json {
            return print_json(out, &queued);
        }
        let deals = count(number(&queued, "/deals"), "deal");
        let when = if reach.is_daemon() { "now" } else { "when the daemon runs" };
        writeln!(out, "{deals} will be compared {when}.")?;
        Ok(Outcome::Fine)
    }
}
