//! `provision`: what the CRMs lack.

use clap::Args;
use serde_json::json;

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, list, print_json, table,
    text,
};

/// Show what the CRMs lack for the mappings; with --apply, make it.
#[derive(Debug, Args)]
pub(super) struct Provision {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Make what is missing
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    json: JsonArgument,
}

impl Provision {
    /// Plans, or makes, and prints each step.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let body = json!({ "account": self.account.account, "apply": self.apply });
        let answer = reach.post("provision", &body).await?;
        if self.json.json {
            return print_json(out, &answer);
        }
        let steps = list(&answer, "/steps");
        let rows: Vec<Vec<String>> = steps
            .iter()
            .map(|step| {
                let place = format!("{}/{}", text(step, "/account"), text(step, "/crm"));
                vec![text(step, "/outcome").to_owned(), place, text(step, "/what").to_owned()]
            })
            .collect();
        table::print(out, &["OUTCOME", "WHERE", "WHAT"], &rows)?;
        let wanted = steps.iter().filter(|step| text(step, "/outcome") == "would create").count();
        if wanted > 0 {
            writeln!(out, "\nNothing was changed. Make these with `provision --apply`.")?;
        }
        Ok(Outcome::Fine)
    }
}
