//! `backfill`: the first load.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, confirmed, list, number,
    print_json, query, table, text,
};

/// How often progress is asked for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Load everything for the first time: shows what it would find, then asks.
#[derive(Debug, Args)]
pub(super) struct Backfill {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    /// Only show what it would find
    #[arg(long)]
    preview: bool,
    /// Only show how far it is
    #[arg(long, conflicts_with = "preview")]
    progress: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    json: JsonArgument,
}

impl Backfill {
    /// Shows, asks, begins and follows.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load_for(&self.account)?).await?;
        let account = query(&[("account", self.account.account.as_deref())]);
        if self.progress {
            let progress = reach.get(&format!("backfill{account}")).await?;
            return self.print(out, &progress);
        }
        let forecast = reach.get(&format!("backfill/preview{account}")).await?;
        if self.preview && self.json.json {
            return print_json(out, &forecast);
        }
        if !self.json.json {
            print_forecast(out, &forecast)?;
        }
        if self.preview {
            return Ok(Outcome::Fine);
        }
        confirmed("The first load writes to the systems named above.", self.yes)?;
        let body = json!({ "account": self.account.account });
        let mut progress = reach.post("backfill", &body).await?;
        if reach.is_daemon() {
            progress = follow(&reach, &account, progress).await?;
        }
        self.print(out, &progress)
    }

    fn print(&self, out: &mut dyn Out, progress: &Json) -> Result<Outcome, CliError> {
        if self.json.json {
            return print_json(out, progress);
        }
        let done = number(progress, "/feeds_done");
        let (feeds, waiting) = (number(progress, "/feeds"), number(progress, "/waiting"));
        writeln!(out, "{done} of {feeds} feeds read, {waiting} notices wait.")?;
        writeln!(out, "{}", pace(progress))?;
        if progress["finished"].as_bool() == Some(true) {
            writeln!(out, "The first load is finished.")?;
        } else {
            writeln!(out, "It goes on by itself; see `backfill --progress`.")?;
        }
        Ok(Outcome::Fine)
    }
}

/// How fast it goes, and how long it will take.
fn pace(progress: &Json) -> String {
    let (worked, rate) = (number(progress, "/worked"), number(progress, "/a_minute"));
    let left = progress["secs_left"].as_u64().filter(|_| number(progress, "/waiting") > 0);
    let left = left.map(|secs| format!(", about {} min left", secs.div_ceil(60)));
    format!("{worked} worked off, {rate} a minute{}.", left.unwrap_or_default())
}

fn print_forecast(out: &mut dyn Out, forecast: &Json) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = list(forecast, "/feeds")
        .iter()
        .map(|line| {
            let more = line["at_least"].as_bool() == Some(true);
            let sign = if more { "at least " } else { "" };
            let told = |name: &str| format!("{sign}{}", number(line, name));
            vec![text(line, "/feed").to_owned(), told("/seen"), told("/concern"), told("/matched")]
        })
        .collect();
    Ok(table::print(out, &["FEED", "RECORDS", "NOT IN STEP YET", "MATCHED"], &rows)?)
}

/// Shows a bar on a terminal until everything is done. Elsewhere it does not wait.
async fn follow(reach: &Reach, account: &str, mut progress: Json) -> Result<Json, CliError> {
    if !std::io::stderr().is_terminal() {
        return Ok(progress);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    let (clock, _) = crate::app::ordinary();
    while progress["finished"].as_bool() != Some(true) {
        let done = number(&progress, "/feeds_done");
        let (feeds, waiting) = (number(&progress, "/feeds"), number(&progress, "/waiting"));
        let pace = pace(&progress);
        bar.set_message(format!("{done} of {feeds} feeds read, {waiting} notices wait; {pace}"));
        bar.tick();
        clock.sleep(ASK_EVERY).await;
        progress = reach.get(&format!("backfill{account}")).await?;
    }
    bar.finish_and_clear();
    Ok(progress)
}
