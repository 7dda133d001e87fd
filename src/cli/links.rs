//! `links`: deals and their records.

use clap::Args;
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, list, print_json, query,
    text,
};
use crate::cli::table;

/// Deals, their state and the records they are linked to.
#[derive(Debug, Args)]
pub(super) struct Links {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Only deals that wait for a person
    #[arg(long)]
    held: bool,
    /// Most deals to show
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    json: JsonArgument,
}

impl Links {
    /// Prints them.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
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
