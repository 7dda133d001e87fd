//! `mapping`: what is in use, tests, previews, history.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::client::Reach;
use super::{
    AccountArgument, CliError, ConfigArgument, JsonArgument, Out, Outcome, check, confirmed, count,
    list, minute, number, print_json, query, table, text,
};
use crate::domain::referral::Referral;
use crate::mapping::rule::Occasion;
use crate::mapping::{PreviewInput, PreviewLine, json_schema, load_directory, preview, run_cases};

/// Examples of differences that `diff` shows for each kind of record; the JSON has them all.
const MOST_EXAMPLES: usize = 20;

/// Mapping files.
#[derive(Debug, Subcommand)]
pub(super) enum Mapping {
    /// Show the mappings in use
    Show(Common),
    /// Run every case of the files in a folder, offline
    Test(Test),
    /// Show what a referral or record, live or in a file, would become
    Preview(Preview),
    /// Show what new files would write differently from old ones, over linked deals
    Diff(Diff),
    /// Print the JSON Schema of mapping files, for editors
    Schema,
    /// List the versions that were in use
    History(Common),
    /// Use the files on the disk now; tells why not, if they are bad
    Reload(Reload),
    /// Put the files of an earlier version back
    Rollback(Rollback),
}

/// Arguments of several.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    account: AccountArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Common {
    fn account(&self) -> Option<&str> {
        self.account.account.as_deref()
    }

    /// The folders of mappings that the configuration names, of one account or of all. Without a
    /// configuration, `mappings` here.
    fn folders(&self) -> Result<Vec<PathBuf>, CliError> {
        if self.account().is_none() && !self.config.config.exists() {
            return Ok(vec![PathBuf::from("mappings")]);
        }
        let config = self.config.load_for(&self.account)?;
        let wanted = |(name, _): &(&String, _)| self.account().is_none_or(|own| own == *name);
        let named = config.accounts.iter().filter(wanted);
        let mut folders: Vec<PathBuf> =
            named.map(|(_, account)| config.path(&account.sync.mappings)).collect();
        folders.dedup();
        Ok(folders)
    }
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The folder; those of the configuration if not given
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `preview`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("subject").required(true))]
#[command(
    override_usage = "cosell-sync mapping preview --crm <CRM> [OPTIONS] <one of the subjects>"
)]
pub(super) struct Preview {
    /// The CRM
    #[arg(long, value_parser = ["dynamics365", "salesforce"])]
    crm: String,
    /// The kind of record
    #[arg(long, default_value = "opportunity", value_parser = ["opportunity", "lead"])]
    kind: String,
    /// A referral: what it writes to the CRM
    #[arg(long, value_name = "ID", group = "subject")]
    referral: Option<String>,
    /// A record: what it writes to Partner Center
    #[arg(long, value_name = "ID", group = "subject")]
    record: Option<String>,
    /// A file with a referral as JSON; needs no daemon and no connection
    #[arg(long, value_name = "FILE", group = "subject")]
    referral_file: Option<PathBuf>,
    /// A file with a record as JSON: field names and values
    #[arg(long, value_name = "FILE", group = "subject")]
    record_file: Option<PathBuf>,
    /// Show what is written when the other side is made; by itself so where a live one is not linked
    #[arg(long)]
    new: bool,
    /// The folder of mappings that previews a file; that of the configuration if not given
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(override_usage = "cosell-sync mapping diff [OPTIONS] [OLD] <NEW>")]
pub(super) struct Diff {
    /// A folder, a version of `mapping history`, or in-use; OLD is in-use if left out
    #[arg(value_name = "OLD NEW", num_args = 1..=2, required = true)]
    files: Vec<String>,
    /// Most deals to compare, up to 500, taken evenly from all
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Why the files were changed; the history and the trail keep it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Use this version of the files although it would write more deals than sync.mapping_budget
    #[arg(long, value_name = "VERSION")]
    confirm: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// As `mapping history` lists it
    #[arg(value_name = "VERSION")]
    version: String,
    /// Why; the history and the trail keep it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Mapping {
    /// Does what was asked.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        match self {
            Self::Show(common) => show(&common, out).await,
            Self::Test(asked) => asked.run(out),
            Self::Preview(asked) => asked.run(out).await,
            Self::Diff(asked) => asked.run(out).await,
            Self::Schema => print_json(out, &json_schema()),
            Self::History(common) => history(&common, out).await,
            Self::Reload(asked) => asked.run(out).await,
            Self::Rollback(asked) => asked.run(out).await,
        }
    }
}

async fn show(common: &Common, out: &mut dyn Out) -> Result<Outcome, CliError> {
    let reach = Reach::find(&common.config.load_for(&common.account)?).await?;
    let answer = reach.get("mappings").await?;
    if common.json.json {
        return print_json(out, &answer);
    }
    let wanted = |item: &&Json| common.account().is_none_or(|name| text(item, "/account") == name);
    let rows: Vec<Vec<String>> = list(&answer, "/items")
        .iter()
        .filter(wanted)
        .map(|item| {
            vec![
                text(item, "/account").to_owned(),
                format!("{}/{}", text(item, "/crm"), text(item, "/kind")),
                text(item, "/version").to_owned(),
                number(item, "/fields").to_string(),
                text(item, "/file").to_owned(),
            ]
        })
        .collect();
    table::print(out, &["ACCOUNT", "RECORD", "VERSION", "ROWS", "FILE"], &rows)?;
    Ok(Outcome::Fine)
}

impl Test {
    /// Runs every case of the folders.
    fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let folders = match self.folder {
            Some(folder) => vec![folder],
            None => self.common.folders()?,
        };
        let (mut mappings, mut problems) = (Vec::new(), Vec::new());
        for folder in &folders {
            match load_directory(folder) {
                Ok(loaded) => mappings.extend(loaded),
                Err(found) => problems.extend(found.0),
            }
        }
        let reports: Vec<_> =
            mappings.iter().map(|mapping| (mapping.file(), run_cases(mapping))).collect();
        let good = problems.is_empty() && reports.iter().all(|(_, report)| report.passed());
        let outcome = if good { Outcome::Fine } else { Outcome::Problem };
        if self.common.json.json {
            let files = reports.iter();
            let files: Vec<Json> =
                files.map(|(file, report)| json!({ "file": file, "cases": report })).collect();
            print_json(out, &json!({ "ok": good, "problems": problems, "files": files }))?;
            return Ok(outcome);
        }
        for problem in &problems {
            writeln!(out, "{problem}\n")?;
        }
        for (file, report) in &reports {
            for failure in check::failures(report) {
                writeln!(out, "{failure}\n")?;
            }
            let passed = report.outcomes.iter().filter(|outcome| outcome.passed).count();
            writeln!(out, "{file}: {passed} of {} cases hold", report.outcomes.len())?;
            for row in &report.uncovered {
                writeln!(out, "  not shown by any case: {row}")?;
            }
        }
        Ok(outcome)
    }
}

impl Preview {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let answer = match self.referral_file.as_ref().or(self.record_file.as_ref()) {
            Some(file) => {
                let items = self.of_file(file)?;
                json!({ "occasion": self.occasion_of_file(), "items": items })
            }
            None => self.of_live().await?,
        };
        if self.common.json.json {
            return print_json(out, &answer);
        }
        let made = match self.referral.is_some() || self.referral_file.is_some() {
            true => "record",
            false => "referral",
        };
        match text(&answer, "/occasion") {
            "create" => writeln!(out, "Shown for a {made} that is made from it.\n")?,
            _ => {
                writeln!(out, "Shown for a {made} that is linked; --new shows one that is made.\n")?
            }
        }
        print_preview(&answer, out)
    }

    /// Of a file nothing tells whether it is linked.
    fn occasion_of_file(&self) -> Occasion {
        if self.new { Occasion::Create } else { Occasion::Update }
    }

    /// What a file becomes by the mappings of a folder.
    fn of_file(&self, file: &Path) -> Result<Vec<PreviewLine>, CliError> {
        let bad = |what: String| CliError::BadUse(format!("{}: {what}", file.display()));
        let read = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
        let json: Json = serde_json::from_slice(&read).map_err(|error| bad(error.to_string()))?;
        let folder = match &self.mappings {
            Some(folder) => folder.clone(),
            None => self.folder()?,
        };
        let mappings =
            load_directory(&folder).map_err(|problems| CliError::BadUse(problems.to_string()))?;
        let wanted = |mapping: &&crate::mapping::Mapping| {
            mapping.crm().as_str() == self.crm && mapping.kind().as_str() == self.kind
        };
        let mapping = mappings.iter().find(wanted).ok_or_else(|| {
            let (folder, crm, kind) = (folder.display(), &self.crm, &self.kind);
            CliError::BadUse(format!("{folder} has no mapping for {crm}/{kind}"))
        })?;
        let occasion = self.occasion_of_file();
        if self.referral_file.is_some() {
            let referral = Referral::from_json(json)
                .ok_or_else(|| bad("is no referral: it has no usable `id`".to_owned()))?;
            return Ok(preview(mapping, PreviewInput::Referral(&referral, occasion)));
        }
        let record = json.as_object().ok_or_else(|| bad("is no JSON object".to_owned()))?;
        Ok(preview(mapping, PreviewInput::Record(record, occasion)))
    }

    /// The one folder of mappings that the configuration names.
    fn folder(&self) -> Result<PathBuf, CliError> {
        let mut folders = self.common.folders()?;
        match (folders.pop(), folders.is_empty()) {
            (Some(folder), true) => Ok(folder),
            _ => Err(CliError::BadUse(
                "the accounts have several folders of mappings; name --account or --mappings"
                    .to_owned(),
            )),
        }
    }

    async fn of_live(&self) -> Result<Json, CliError> {
        let reach = Reach::find(&self.common.config.load_for(&self.common.account)?).await?;
        let asked = query(&[
            ("account", self.common.account()),
            ("crm", Some(&self.crm)),
            ("kind", Some(&self.kind)),
            ("referral", self.referral.as_deref()),
            ("record", self.record.as_deref()),
            ("new", self.new.then_some("true")),
        ]);
        reach.get(&format!("mappings/preview{asked}")).await
    }
}

fn print_preview(answer: &Json, out: &mut dyn Out) -> Result<Outcome, CliError> {
    for line in list(answer, "/items") {
        let row = format!("{} ({})", text(line, "/label"), text(line, "/rule"));
        table::paragraph(out, "", &row)?;
        let from = format!("{} = {}", text(line, "/from"), line["source"]);
        table::paragraph(out, "  from  ", &from)?;
        let note = text(line, "/note");
        let to = match &line["target"] {
            Json::Null if !note.is_empty() => format!("{}: {note}", text(line, "/to")),
            target => format!("{} = {target}", text(line, "/to")),
        };
        table::paragraph(out, "  to    ", &to)?;
    }
    writeln!(out, "\nNothing was written.")?;
    Ok(Outcome::Fine)
}

impl Diff {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.common.config.load_for(&self.common.account)?).await?;
        let (old, new) = match self.files.as_slice() {
            [old, new] => (side(old)?, side(new)?),
            new => ("in-use".to_owned(), side(&new.concat())?),
        };
        let account = self.common.account();
        let body = json!({ "account": account, "old": old, "new": new, "limit": self.limit });
        let answer = reach.post("mappings/diff", &body).await?;
        if self.common.json.json {
            return print_json(out, &answer);
        }
        list(&answer, "/items").iter().try_for_each(|item| print_differences(item, out))?;
        Ok(Outcome::Fine)
    }
}

/// What the daemon understands: a folder with its whole path, or the word as it is.
fn side(word: &str) -> Result<String, CliError> {
    if !Path::new(word).is_dir() && !word.contains(std::path::MAIN_SEPARATOR) {
        return Ok(word.to_owned());
    }
    Ok(std::path::absolute(word)?.display().to_string())
}

fn print_differences(item: &Json, out: &mut dyn Out) -> Result<(), CliError> {
    let record = format!("{}/{}", text(item, "/crm"), text(item, "/kind"));
    if let Some(note) = item["note"].as_str() {
        writeln!(out, "{record}: {note}")?;
        return Ok(());
    }
    let (linked, samples) = (number(item, "/linked"), number(item, "/report/samples"));
    let changed = number(item, "/report/changed");
    let deals = count(samples, "deal");
    let all = if samples < linked { format!(" (of {linked})") } else { String::new() };
    writeln!(out, "{record}: {changed} of {deals}{all} would be written differently")?;
    let fields = item.pointer("/report/by_field").and_then(Json::as_object);
    for (field, deals) in fields.into_iter().flatten() {
        writeln!(out, "  {field}: {}", count(deals.as_u64().unwrap_or_default(), "deal"))?;
    }
    let rows: Vec<Vec<String>> = list(item, "/report/lines")
        .iter()
        .take(MOST_EXAMPLES)
        .map(|line| {
            let change = format!("{} -> {}", line["old"], line["new"]);
            let deal = text(line, "/referral").to_owned();
            vec![text(line, "/field").to_owned(), change, deal]
        })
        .collect();
    if !rows.is_empty() {
        table::print(out, &["FIELD", "OLD -> NEW", "REFERRAL"], &rows)?;
    }
    Ok(())
}

async fn history(common: &Common, out: &mut dyn Out) -> Result<Outcome, CliError> {
    let reach = Reach::find(&common.config.load_for(&common.account)?).await?;
    let account = query(&[("account", common.account())]);
    let answer = reach.get(&format!("mappings/history{account}")).await?;
    if common.json.json {
        return print_json(out, &answer);
    }
    for item in list(&answer, "/items") {
        let since = minute(text(item, "/since"));
        let changes = list(item, "/changes");
        let lines = count(changes.len() as u64, "changed line");
        writeln!(out, "{}  {since}  by {}, {lines}", text(item, "/version"), text(item, "/who"))?;
        if let Some(why) = item["why"].as_str() {
            table::paragraph(out, "    why: ", why)?;
        }
        for change in changes.iter().filter_map(Json::as_str) {
            table::paragraph(out, "    ", change)?;
        }
    }
    Ok(Outcome::Fine)
}

impl Reload {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.common.config.load_for(&self.common.account)?).await?;
        let body = json!({
            "account": self.common.account(), "why": self.why, "confirm": self.confirm,
        });
        let state = reach.post("mappings/reload", &body).await?;
        let rejected = text(&state, "/rejected");
        let outcome = if rejected.is_empty() { Outcome::Fine } else { Outcome::Problem };
        if self.common.json.json {
            print_json(out, &state)?;
        } else if rejected.is_empty() {
            writeln!(out, "Version {} is in use.", text(&state, "/version"))?;
            print_parked(&state, out)?;
            print_restaged(&state, out)?;
        } else {
            writeln!(out, "The files are not used; the old ones stay.\n{rejected}")?;
        }
        Ok(outcome)
    }
}

/// The rows that are left out, with the reason.
fn print_parked(state: &Json, out: &mut dyn Out) -> Result<(), CliError> {
    for row in list(state, "/parked") {
        let line = format!(
            "{} ({}) is not kept in step: {}; {}.",
            text(row, "/label"),
            text(row, "/place"),
            text(row, "/reason"),
            text(row, "/fix"),
        );
        table::paragraph(out, "  ", &line)?;
    }
    Ok(())
}

/// How many records are read in another stage.
fn print_restaged(state: &Json, out: &mut dyn Out) -> Result<(), CliError> {
    let records = match state["restaged"].as_u64().unwrap_or_default() {
        0 => return Ok(()),
        1 => "1 record is".to_owned(),
        many => format!("{many} records are"),
    };
    let line = format!(
        "{records} read in another stage than before. Nobody moved a deal by that, so nothing is sent for it; \
         `cosell-sync why ID` says it of each.",
    );
    Ok(table::paragraph(out, "  ", &line)?)
}

impl Rollback {
    async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.common.config.load_for(&self.common.account)?).await?;
        let question = format!("The mapping files are replaced by version {}.", self.version);
        confirmed(&question, self.yes)?;
        let (account, version) = (self.common.account(), &self.version);
        let body = json!({ "account": account, "version": version, "why": self.why });
        let result = reach.post("mappings/rollback", &body).await?;
        if self.common.json.json {
            return print_json(out, &result);
        }
        writeln!(out, "Version {} is back in use.", text(&result, "/version"))?;
        Ok(Outcome::Fine)
    }
}
