//! `dead-letters`: what waits for a person.

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, count, list,
    minute, number, print_json, query, segment, table, text,
};

/// Why a deal or event may be held.
const CODES: [&str; 8] = [
    "rejected",
    "two_records",
    "both_changed",
    "ping_pong",
    "gave_up",
    "unusable_event",
    "no_account",
    "internal_error",
];

/// What waits for a person.
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List them, oldest first
    List(List),
    /// Show one with reason, evidence and fix
    Show(Show),
    /// Try again: one, several, or all
    Retry(Release),
    /// End as ignored: one, several, or all
    Discard(Release),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    account: AccountArgument,
    /// Only with this code, as docs/runbook.md lists them
    #[arg(long, value_parser = PossibleValuesParser::new(CODES), hide_possible_values = true)]
    code: Option<String>,
    /// Most to show, up to 500
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..=500))]
    limit: usize,
    /// Go on after this one
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// Arguments of `retry` and `discard`.
#[derive(Debug, Args)]
pub(super) struct Release {
    /// Which
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// With --all: only with this code
    #[arg(
        long,
        requires = "all",
        value_parser = PossibleValuesParser::new(CODES),
        hide_possible_values = true
    )]
    code: Option<String>,
    #[command(flatten)]
    account: AccountArgument,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl DeadLetters {
    /// Lists, shows or releases.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        match self {
            Self::List(list) => list.run(out).await,
            Self::Show(show) => show.run(out).await,
            Self::Retry(release) => release.run("retry", out).await,
            Self::Discard(release) => {
                if release.all {
                    confirmed("Every one is ended as ignored.", release.yes)?;
                }
                release.run("discard", out).await
            }
        }
    }
}

impl List {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let limit = self.limit.to_string();
        let asked = query(&[
            ("account", self.account.account.as_deref()),
            ("code", self.code.as_deref()),
            ("after", self.after.as_deref()),
            ("limit", Some(&limit)),
        ]);
        let page = reach.get(&format!("dead-letters{asked}")).await?;
        let items = list(&page, "/items");
        let outcome = if items.is_empty() { Outcome::Fine } else { Outcome::Problem };
        if self.json.json {
            print_json(out, &page)?;
            return Ok(outcome);
        }
        if items.is_empty() {
            writeln!(out, "Nothing needs you.")?;
        }
        for letter in items {
            print(out, letter)?;
        }
        if let Some(next) = page["next"].as_str() {
            writeln!(out, "More: --after {next}")?;
        }
        Ok(outcome)
    }
}

impl Show {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let letter = reach.get(&format!("dead-letters/{}", segment(&self.id))).await?;
        if self.json.json {
            return print_json(out, &letter);
        }
        print(out, &letter)?;
        let evidence = text(&letter, "/hold/evidence");
        if !evidence.is_empty() {
            table::paragraph(out, "  evidence   ", evidence)?;
        }
        let tries = number(&letter, "/notice/attempts");
        writeln!(out, "  told by    {}, {tries} tries", text(&letter, "/notice/source"))?;
        Ok(Outcome::Fine)
    }
}

impl Release {
    async fn run(self, decision: &str, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let body = json!({
            "decision": decision,
            "ids": self.ids,
            "all": self.all,
            "account": self.account.account,
            "code": self.code,
        });
        let result = reach.post("dead-letters/release", &body).await?;
        if self.json.json {
            return print_json(out, &result);
        }
        let released = count(number(&result, "/released"), "dead letter");
        let word = if decision == "retry" { "will be tried again" } else { "ended as ignored" };
        writeln!(out, "{released} {word}.")?;
        Ok(Outcome::Fine)
    }
}

/// One of them: what, why, the next step.
fn print(out: &mut dyn Out, letter: &Json) -> Result<(), CliError> {
    let since = minute(text(letter, "/held"));
    writeln!(out, "{}  {}  {since}", text(letter, "/notice/id"), text(letter, "/hold/code"))?;
    table::paragraph(out, "  about      ", &subject(&letter["notice"]["subject"]))?;
    table::paragraph(out, "  reason     ", text(letter, "/hold/reason"))?;
    table::paragraph(out, "  next step  ", text(letter, "/hold/fix"))?;
    Ok(())
}

/// What a notice is about.
fn subject(json: &Json) -> String {
    let Some((kind, of)) = json.as_object().and_then(|pairs| pairs.iter().next()) else {
        return String::new();
    };
    match of {
        Json::String(id) => format!("{kind} {id}"),
        key => format!("{kind} {}/{}/{}", text(key, "/crm"), text(key, "/kind"), text(key, "/id")),
    }
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn every_code_that_the_runbook_lists_can_be_asked_for() {
        let runbook = include_str!("../../docs/runbook.md");
        let (_, holds) = runbook.split_once("\n## Holds\n").expect("the chapter");
        let (holds, _) = holds.split_once("\n## ").expect("the next chapter");
        let listed = holds.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(listed.collect::<Vec<_>>(), CODES);
    }
}
