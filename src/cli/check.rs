//! `check`: configuration and mappings, offline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::{CliError, JsonArgument, Out, Outcome, print_json};
use crate::config::{Config, ConfigError};
use crate::mapping::{CaseReport, MappingFolder, run_cases};

/// Check configuration and mappings offline; every case of the mappings is run.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration file, with the mappings it names
    #[arg(long, value_name = "FILE", env = "COSELL_SYNC_CONFIG")]
    config: Option<PathBuf>,
    /// A folder of mapping files
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArgument,
}

/// What became of one folder.
struct Folder {
    path: PathBuf,
    problems: Vec<String>,
    warnings: Vec<String>,
    json: Json,
    mappings: usize,
    cases: usize,
    uncovered: usize,
}

impl Check {
    /// Checks and prints every problem.
    pub(super) fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        if self.config.is_none() && self.mappings.is_none() {
            return Err(CliError::BadUse(
                "nothing to check; name --config FILE, --mappings DIR or both".to_owned(),
            ));
        }
        let mut folders: BTreeSet<PathBuf> = self.mappings.iter().cloned().collect();
        let mut wrong = None;
        if let Some(file) = &self.config {
            match Config::load(file, std::env::vars()) {
                Ok(config) => {
                    let named = config.accounts.values().map(|own| config.path(&own.sync.mappings));
                    folders.extend(named);
                    if !self.json.json {
                        writeln!(out, "{}: ok", file.display())?;
                    }
                }
                Err(error) => wrong = Some(error),
            }
        }
        let folders: Vec<Folder> = folders.iter().map(|path| check(path)).collect();
        let good = folders.iter().all(|folder| folder.problems.is_empty());
        if self.json.json {
            let all: Vec<&Json> = folders.iter().map(|folder| &folder.json).collect();
            let problems = wrong.as_ref().map(ConfigError::problems).unwrap_or_default();
            let json = json!({
                "ok": good && wrong.is_none(), "config": self.config, "problems": problems,
                "mappings": all,
            });
            print_json(out, &json)?;
        } else {
            folders.iter().try_for_each(|folder| folder.print(out))?;
        }
        match wrong {
            Some(error) => Err(CliError::BadUse(error.to_string())),
            None if good => Ok(Outcome::Fine),
            None => Ok(Outcome::Problem),
        }
    }
}

impl Folder {
    fn print(&self, out: &mut dyn Out) -> Result<(), CliError> {
        for problem in &self.problems {
            writeln!(out, "{problem}\n")?;
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}\n")?;
        }
        let path = self.path.display();
        if self.problems.is_empty() {
            let (mappings, cases) = (self.mappings, self.cases);
            writeln!(out, "{path}: ok ({mappings} mappings, {cases} cases hold)")?;
        } else {
            writeln!(out, "{path}: {}", super::count(self.problems.len() as u64, "problem"))?;
        }
        if self.uncovered > 0 {
            let rows = super::count(self.uncovered as u64, "row");
            writeln!(out, "{rows} not shown by any case; `mapping test` lists them")?;
        }
        Ok(())
    }
}

/// Compiles a folder and runs its cases.
fn check(path: &Path) -> Folder {
    let mut folder = Folder {
        path: path.to_owned(),
        problems: Vec::new(),
        warnings: Vec::new(),
        json: Json::Null,
        mappings: 0,
        cases: 0,
        uncovered: 0,
    };
    let read = MappingFolder::read(path);
    folder.warnings = read.as_ref().map(|read| read.warnings().to_vec()).unwrap_or_default();
    match read.and_then(|read| read.compile()) {
        Err(problems) => {
            folder.problems = problems.0.iter().map(ToString::to_string).collect();
            folder.json = json!({
                "folder": path, "problems": problems, "warnings": folder.warnings, "files": [],
            });
        }
        Ok(mappings) => {
            let mut files = Vec::new();
            for mapping in &mappings {
                let report = run_cases(mapping);
                folder.cases += report.outcomes.len();
                folder.uncovered += report.uncovered.len();
                folder.problems.extend(failures(&report));
                files.push(json!({ "file": mapping.file(), "cases": report }));
            }
            folder.mappings = mappings.len();
            folder.json = json!({
                "folder": path, "problems": [], "warnings": folder.warnings, "files": files,
            });
        }
    }
    folder
}

/// What does not hold, each with its place.
pub(super) fn failures(report: &CaseReport) -> Vec<String> {
    let problems = report.outcomes.iter().flat_map(|outcome| &outcome.problems);
    problems.map(ToString::to_string).collect()
}
