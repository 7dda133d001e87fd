//! `webhook`: the one registration of a partner tenant.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, list, print_json, query,
    table, text,
};

/// The webhook registration.
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Show who holds the registration
    Show(Common),
    /// Register our address
    Register(Register),
    /// Ask Partner Center for a test event
    Test(Common),
}

/// Arguments of all of them.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    #[command(flatten)]
    json: JsonArgument,
}

/// Arguments of `register`.
#[derive(Debug, Args)]
pub(super) struct Register {
    #[command(flatten)]
    common: Common,
    /// Replace another tool's address; that tool then gets no events
    #[arg(long)]
    take_over: bool,
}

impl Webhook {
    /// Asks, registers or tests.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        match self {
            Self::Show(common) => {
                let reach = Reach::find(&common.config.load_for(&common.account)?).await?;
                let account = query(&[("account", common.account.account.as_deref())]);
                let view = reach.get(&format!("webhook{account}")).await?;
                print(out, &view, common.json.json)
            }
            Self::Register(Register { common, take_over }) => {
                let reach = Reach::find(&common.config.load_for(&common.account)?).await?;
                let body = json!({ "account": common.account.account, "take_over": take_over });
                let view = reach.post("webhook/register", &body).await?;
                print(out, &view, common.json.json)
            }
            Self::Test(common) => test(common, out).await,
        }
    }
}

fn print(out: &mut dyn Out, view: &Json, json: bool) -> Result<Outcome, CliError> {
    let ours = text(view, "/owner") == "ours";
    let outcome = if ours { Outcome::Fine } else { Outcome::Problem };
    if json {
        print_json(out, view)?;
        return Ok(outcome);
    }
    let nobody = |text: &str| if text.is_empty() { "nobody".to_owned() } else { text.to_owned() };
    let events: Vec<&str> = list(view, "/events").iter().filter_map(Json::as_str).collect();
    table::paragraph(out, "Registration  ", text(view, "/owner"))?;
    table::paragraph(out, "Events go to  ", &nobody(text(view, "/url")))?;
    table::paragraph(out, "Our address   ", text(view, "/wanted"))?;
    table::paragraph(out, "Events        ", &events.join(", "))?;
    let fix = text(view, "/fix");
    if !fix.is_empty() {
        table::paragraph(out, "-> ", fix)?;
    }
    Ok(outcome)
}

async fn test(common: Common, out: &mut dyn Out) -> Result<Outcome, CliError> {
    let reach = Reach::find(&common.config.load_for(&common.account)?).await?;
    let body = json!({ "account": common.account.account });
    let result = reach.post("webhook/test", &body).await?;
    let completed = text(&result, "/status").eq_ignore_ascii_case("completed");
    let outcome = if completed { Outcome::Fine } else { Outcome::Problem };
    if common.json.json {
        print_json(out, &result)?;
        return Ok(outcome);
    }
    writeln!(out, "Test event {}: {}", text(&result, "/correlation_id"), text(&result, "/status"))?;
    for attempt in list(&result, "/attempts").iter().filter_map(Json::as_str) {
        table::paragraph(out, "  ", attempt)?;
    }
    Ok(outcome)
}
