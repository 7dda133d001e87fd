//! `audit`: the local trail.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, list, minute,
    number, print_json, query, table, text,
};
use crate::domain::time::Timestamp;

/// The kinds of entries.
const KINDS: [&str; 15] = [
    "received",
    "fetched",
    "merged",
    "wrote",
    "refused",
    "retried",
    "held",
    "resumed",
    "conflict",
    "linked",
    "configured",
    "would_write",
    "operated",
    "redacted",
    "alerted",
];

/// The audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List entries, newest first
    List(List),
    /// Write all entries that fit as JSON Lines or CSV
    Export(Export),
    /// Prove that the chain of hashes is unbroken
    Verify(Verify),
    /// Erase personal data about a deal; cannot be undone
    Redact(Redact),
}

/// Which entries.
#[derive(Debug, Args)]
pub(super) struct Filter {
    #[command(flatten)]
    account: AccountArgument,
    /// Only of this deal: id of a referral, a record or a deal
    #[arg(long, value_name = "ID")]
    deal: Option<String>,
    /// Only of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(KINDS), hide_possible_values = true)]
    kind: Option<String>,
    /// Only from this moment on, for example 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<String>,
    /// Only before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
}

/// Refuses what is no moment, before anything is asked.
fn moment(text: &str) -> Result<String, String> {
    match Timestamp::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("no moment; write it as in 2026-11-22T00:00:00Z".to_owned()),
    }
}

impl Filter {
    fn query(&self, more: &[(&str, Option<&str>)]) -> String {
        let mut pairs = vec![
            ("account", self.account.account.as_deref()),
            ("deal", self.deal.as_deref()),
            ("kind", self.kind.as_deref()),
            ("from", self.from.as_deref()),
            ("until", self.until.as_deref()),
        ];
        pairs.extend_from_slice(more);
        query(&pairs)
    }
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Most entries to show, up to 500
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..=500))]
    limit: usize,
    /// Only entries with a smaller number: the next page
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values
    Csv,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// The form
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write to a new file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgument,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// Arguments of `redact`.
#[derive(Debug, Args)]
pub(super) struct Redact {
    /// Id of a referral, a record or a deal
    #[arg(value_name = "ID")]
    deal: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Audit {
    /// Lists, exports, verifies or redacts.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        match self {
            Self::List(list) => list.run(out).await,
            Self::Export(export) => export.run(out).await,
            Self::Verify(verify) => verify.run(out).await,
            Self::Redact(redact) => redact.run(out).await,
        }
    }
}

impl List {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.filter.account)?).await?;
        let (limit, before) = (self.limit.to_string(), self.before.map(|at| at.to_string()));
        let query = self.filter.query(&[("limit", Some(&limit)), ("before", before.as_deref())]);
        let page = reach.get(&format!("audit{query}")).await?;
        if self.json.json {
            return print_json(out, &page);
        }
        let rows: Vec<Vec<String>> = list(&page, "/items")
            .iter()
            .map(|entry| {
                vec![
                    number(entry, "/number").to_string(),
                    minute(text(entry, "/at")),
                    text(entry, "/kind").to_owned(),
                    text(entry, "/summary").to_owned(),
                ]
            })
            .collect();
        table::print(out, &["NUMBER", "TIME", "KIND", "WHAT"], &rows)?;
        if let Some(next) = page["next"].as_u64() {
            writeln!(out, "\nOlder entries: --before {next}")?;
        }
        Ok(Outcome::Fine)
    }
}

impl Export {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.filter.account)?).await?;
        let format = match self.format {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        };
        let query = self.filter.query(&[("format", Some(format))]);
        let bytes = reach.text(&format!("audit/export{query}")).await?;
        match &self.output {
            None => out.write_all(&bytes)?,
            Some(path) => {
                let new = std::fs::File::create_new(path);
                let mut file = new.map_err(|error| {
                    CliError::Failed(format!("{} cannot be made: {error}", path.display()))
                })?;
                std::io::Write::write_all(&mut file, &bytes)?;
                file.sync_all()?;
            }
        }
        Ok(Outcome::Fine)
    }
}

impl Verify {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let result = reach.post("audit/verify", &json!({})).await?;
        let broken = result["broken_at"].as_u64();
        let outcome = if broken.is_none() { Outcome::Fine } else { Outcome::Problem };
        if self.json.json {
            print_json(out, &result)?;
            return Ok(outcome);
        }
        let entries = number(&result, "/entries");
        match broken {
            None => writeln!(out, "The chain is unbroken: {entries} entries.")?,
            Some(at) => writeln!(out, "The chain is broken at entry {at} (of {entries}).")?,
        }
        writeln!(out, "Last hash {}", text(&result, "/head"))?;
        Ok(outcome)
    }
}

impl Redact {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        confirmed("Values and sentences about this deal are erased for good.", self.yes)?;
        let reach = Reach::find(&self.config.load()?).await?;
        let result = reach.post("audit/redact", &json!({ "deal": self.deal })).await?;
        if self.json.json {
            return print_json(out, &result);
        }
        let entries = number(&result, "/redacted");
        writeln!(out, "Erased what {entries} entries said of deal {}.", text(&result, "/deal"))?;
        Ok(Outcome::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::KINDS;
    use crate::domain::audit::AuditKind;

    #[test]
    fn every_kind_of_entry_can_be_asked_for() {
        let told = serde_json::from_str::<AuditKind>("\"none\"").expect_err("no kind").to_string();
        let known: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
        assert_eq!(known[1..], KINDS, "the kinds that entries have: {told}");
    }
}
