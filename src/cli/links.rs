//! `links`: deals and their records.

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, list,
    print_json, query, segment, text,
};
use crate::cli::table;

/// Deals, their state and the records they are linked to.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Links {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Only deals that wait for a person
    #[arg(long)]
    held: bool,
    /// Most deals to show
    #[arg(long, default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    limit: usize,
    #[command(flatten)]
    json: JsonArgument,
}

/// What is done to one link.
#[derive(Debug, Subcommand)]
enum Act {
    /// Tie a deal to another record of the same CRM
    Relink(Relink),
}

/// Tie a deal to another record of the same CRM: the record of today loses the
/// Referral Identifier and the check box, nothing is deleted.
#[derive(Debug, Args)]
struct Relink {
    #[command(flatten)]
    config: ConfigArgument,
    /// The deal: its id, or that of its referral or record
    deal: String,
    /// The record, as `links` shows it: salesforce/opportunity/006...
    record: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    json: JsonArgument,
}

impl Relink {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        confirmed(&format!("{} is tied to {}.", self.deal, self.record), self.yes)?;
        let path = format!("deals/{}/relink", segment(&self.deal));
        let asked = reach.post(&path, &json!({ "record": self.record })).await?;
        if self.json.json {
            return print_json(out, &asked);
        }
        let when = if reach.is_daemon() { "now" } else { "when the daemon runs" };
        writeln!(out, "The deal is tied to {} {when}; see `why {}`.", self.record, self.deal)?;
        Ok(Outcome::Fine)
    }
}

impl Links {
    /// Prints them.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        if let Some(Act::Relink(command)) = self.act {
            return command.run(out).await;
        }
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let mut deals: Vec<Json> = Vec::new();
        let mut next: Option<String> = None;
        while deals.len() < self.limit {
            let limit = (self.limit - deals.len()).min(500).to_string();
            let asked = query(&[
                ("account", self.account.account.as_deref()),
                ("held", self.held.then_some("true")),
                ("after", next.as_deref()),
                ("limit", Some(&limit)),
            ]);
            let page = reach.get(&format!("deals{asked}")).await?;
            deals.extend(list(&page, "/items").iter().cloned());
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        if self.json.json {
            return print_json(out, &json!({ "items": deals, "next": next }));
        }
        for deal in &deals {
            print(out, deal)?;
        }
        let more = if next.is_some() { ", there are more (--limit)" } else { "" };
        writeln!(out, "{}{more}", super::count(deals.len() as u64, "deal"))?;
        Ok(Outcome::Fine)
    }
}

/// One deal: a line, then its ids.
fn print(out: &mut dyn Out, deal: &Json) -> Result<(), CliError> {
    let name = match text(deal, "/name") {
        "" => "(no name yet)",
        name => name,
    };
    table::paragraph(out, &format!("{:16}", text(deal, "/state")), name)?;
    table::paragraph(out, "  deal          ", text(deal, "/id"))?;
    let referral = text(deal, "/referral_id");
    if !referral.is_empty() {
        table::paragraph(out, "  referral      ", referral)?;
    }
    let alert = text(deal, "/alert");
    if !alert.is_empty() {
        table::paragraph(out, "  alert         ", alert)?;
    }
    for link in list(deal, "/links") {
        let record =
            format!("{}/{}/{}", text(link, "/crm"), text(link, "/kind"), text(link, "/record"));
        table::paragraph(out, "  record        ", &record)?;
        let reason = text(link, "/hold/reason");
        if !reason.is_empty() {
            table::paragraph(out, "  held          ", reason)?;
            table::paragraph(out, "  next step     ", text(link, "/hold/fix"))?;
        }
        for field in list(link, "/parked") {
            let rests = format!("{}: {}", text(field, "/field"), text(field, "/reason"));
            table::paragraph(out, "  rests         ", &rests)?;
            table::paragraph(out, "  next step     ", text(field, "/fix"))?;
        }
    }
    Ok(())
}
