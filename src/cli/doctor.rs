//! `doctor`: the live systems.

use clap::Args;

use super::client::Reach;
use super::{CliError, ConfigArgument, JsonArgument, Out, Outcome, list, print_json, table, text};

/// Check the live systems: credentials, roles, clocks, fields, webhook.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Doctor {
    /// Asks every system and prints findings, what does not work first.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let answer = reach.get("doctor").await?;
        let findings = list(&answer, "/findings");
        let of = |level: &str| -> Vec<_> {
            findings.iter().filter(|finding| text(finding, "/level") == level).collect()
        };
        let outcome = if of("problem").is_empty() { Outcome::Fine } else { Outcome::Problem };
        if self.json.json {
            print_json(out, &answer)?;
            return Ok(outcome);
        }
        for (level, word) in [("problem", "PROBLEM"), ("advice", "ADVICE"), ("ok", "ok")] {
            for finding in of(level) {
                let account = text(finding, "/account");
                let dot = if account.is_empty() { "" } else { "/" };
                let place = format!("{account}{dot}{}", text(finding, "/area"));
                table::paragraph(
                    out,
                    &format!("{word:8}"),
                    &format!("{place}: {}", text(finding, "/what")),
                )?;
                let fix = text(finding, "/fix");
                if !fix.is_empty() {
                    table::paragraph(out, "         -> ", fix)?;
                }
            }
        }
        let problems = super::count(of("problem").len() as u64, "problem");
        let (advice, fine) = (of("advice").len(), of("ok").len());
        writeln!(out, "\n{problems}, {advice} to look at, {fine} ok")?;
        Ok(outcome)
    }
}
