//! `shadow`: what shadow mode planned, and what became of it.

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, list, number,
    print_json, query, table, text,
};

/// What shadow mode planned.
#[derive(Debug, Subcommand)]
pub(super) enum Shadow {
    /// Compare the newest plans with what the systems hold now
    Report(Report),
}

/// Compare the newest plans with what the systems hold now.
#[derive(Debug, Args)]
pub(super) struct Report {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Most deals to compare, up to 500; each is read from its systems
    #[arg(long, default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..=500))]
    limit: usize,
    /// Only what came out otherwise than planned
    #[arg(long)]
    differing: bool,
    #[command(flatten)]
    json: JsonArgument,
}

impl Shadow {
    /// Prints it; exit code 1 if anything came out otherwise than planned.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let Self::Report(asked) = self;
        let reach = Reach::find(&asked.config.load_for(&asked.account)?).await?;
        let limit = asked.limit.to_string();
        let of = query(&[
            ("account", asked.account.account.as_deref()),
            ("limit", Some(limit.as_str())),
        ]);
        let report = reach.get(&format!("shadow/report{of}")).await?;
        let differs = number(&report, "/differs");
        let outcome = if differs == 0 { Outcome::Fine } else { Outcome::Problem };
        if asked.json.json {
            print_json(out, &report)?;
            return Ok(outcome);
        }
        let shown = |line: &&Json| !asked.differing || text(line, "/outcome") == "differs";
        let rows: Vec<Vec<String>> =
            list(&report, "/items").iter().filter(shown).map(row).collect();
        table::print(out, &["DEAL", "SYSTEM", "FIELD", "PLANNED", "NOW", "OUTCOME"], &rows)?;
        writeln!(
            out,
            "{} as planned, {differs} otherwise, {} not yet; {} records would still be made.",
            number(&report, "/as_planned"),
            number(&report, "/not_yet"),
            number(&report, "/to_create")
        )?;
        Ok(outcome)
    }
}

fn row(line: &Json) -> Vec<String> {
    let word = |name: &str| text(line, name).replace('_', " ");
    vec![
        text(line, "/deal").to_owned(),
        word("/system"),
        text(line, "/field").to_owned(),
        super::why::value(&line["planned"]),
        super::why::value(&line["held"]),
        word("/outcome"),
    ]
}
