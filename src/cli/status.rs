//! `status`: one screen.

use clap::Args;
use serde_json::Value as Json;

use super::client::Reach;
use super::{
    CliError, ConfigArgument, JsonArgument, Out, Outcome, count, list, number, print_json, table,
    text,
};

/// How everything is doing: what needs you first.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Status {
    /// Prints it; a problem if something needs a person, or no daemon runs.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let status = reach.get("status").await?;
        let alerts = list(&status, "/alerts");
        let needs = number(&status, "/needs_you");
        let fine = needs == 0 && alerts.is_empty() && reach.is_daemon();
        let outcome = if fine { Outcome::Fine } else { Outcome::Problem };
        if self.json.json {
            print_json(out, &status)?;
            return Ok(outcome);
        }
        if fine {
            writeln!(out, "Nothing needs you.")?;
        }
        if !reach.is_daemon() {
            table::paragraph(
                out,
                "NEEDS YOU  ",
                "The daemon does not run: nothing is kept in step. Start it; what follows is what its \
                 store holds.",
            )?;
        }
        if needs > 0 {
            let held = count(needs, "deal or event");
            let text = format!("{held} held. See `cosell-sync dead-letters list`.");
            table::paragraph(
                out,
                "NEEDS YOU  ",
                &text.replace("deal or events", "deals or events"),
            )?;
        }
        for alert in alerts.iter().filter_map(Json::as_str) {
            table::paragraph(out, "NEEDS YOU  ", alert)?;
        }
        list(&status, "/accounts").iter().try_for_each(|account| print_account(out, account))?;
        writeln!(out)?;
        print_ledger(out, list(&status, "/ledger"))?;
        Ok(outcome)
    }
}

fn print_account(out: &mut dyn Out, account: &Json) -> Result<(), CliError> {
    let shadow = account["shadow"].as_bool() == Some(true);
    let mode = if shadow { " (shadow: nothing is written)" } else { "" };
    writeln!(out, "\n{}{mode}", text(account, "/name"))?;
    let mut rows = Vec::new();
    for system in list(account, "/systems") {
        let mut state = text(system, "/state").to_owned();
        let wait = number(system, "/retry_in_secs");
        if wait > 0 {
            state.push_str(&format!(", next call in {wait} s"));
        }
        rows.push(vec!["system".to_owned(), text(system, "/name").to_owned(), state]);
    }
    for feed in list(account, "/feeds") {
        let lag = feed["lag_secs"].as_u64();
        let read = lag.map_or("not read yet".to_owned(), |lag| format!("read {lag} s ago"));
        let fault = text(feed, "/fault");
        let state = if fault.is_empty() { read } else { format!("{read}; failing: {fault}") };
        rows.push(vec!["feed".to_owned(), text(feed, "/name").to_owned(), state]);
    }
    let webhook = match text(account, "/webhook/owner") {
        "" => "not looked at".to_owned(),
        owner => owner.to_owned(),
    };
    rows.push(vec!["webhook".to_owned(), "registration".to_owned(), webhook]);
    let days = account["credential_days_left"].as_u64();
    let days = days.map_or("not known".to_owned(), |days| format!("{} left", count(days, "day")));
    rows.push(vec!["sign-in".to_owned(), "partner_center".to_owned(), days]);
    let rejected = !text(account, "/mappings/rejected").is_empty();
    let files = if rejected { "; the files on the disk are refused" } else { "" };
    let parked = match parked_rows(account) {
        (0, 0) => String::new(),
        (0, rows) => format!("; {} without a field in the CRM", count(rows, "optional row")),
        (rows, _) => format!("; {} parked, `mapping reload` says why", count(rows, "row")),
    };
    let version = format!("version {}{files}{parked}", text(account, "/mappings/version"));
    rows.push(vec!["mappings".to_owned(), "files".to_owned(), version]);
    Ok(table::print(out, &["WHAT", "NAME", "STATE"], &rows)?)
}

/// How many rows are left out: those that nobody expected, and optional ones.
fn parked_rows(account: &Json) -> (u64, u64) {
    let rows = list(account, "/mappings/parked");
    let optional = rows.iter().filter(|row| row["optional"] == true).count() as u64;
    (rows.len() as u64 - optional, optional)
}

fn print_ledger(out: &mut dyn Out, ledger: &[Json]) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = ledger
        .iter()
        .map(|line| {
            let done = ["/applied", "/superseded", "/ignored"].map(|part| number(line, part));
            let cells = [
                number(line, "/accepted"),
                done.iter().sum(),
                number(line, "/waiting"),
                number(line, "/held"),
            ];
            let numbers = cells.iter().map(|cell| format!("{cell:>8}"));
            std::iter::once(text(line, "/source").to_owned()).chain(numbers).collect()
        })
        .collect();
    let head = ["SOURCE", "ACCEPTED", "    DONE", " WAITING", "    HELD"];
    Ok(table::print(out, &head, &rows)?)
}
