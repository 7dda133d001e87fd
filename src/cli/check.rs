//! `check`: configuration and mappings, offline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::{CliError, JsonArgument, Out, Outcome, print_json};
use crate::app;
use crate::config::{Config, ConfigError, ConfigProblem};
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
    /// Do not look at the secrets and certificates that the configuration names: they are on another
    /// machine
    #[arg(long)]
    without_files: bool,
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
    pub(super) fn run(mut self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let usual = PathBuf::from(super::USUAL_CONFIG);
        if self.config.is_none() && self.mappings.is_none() && usual.exists() {
            self.config = Some(usual);
        }
        if self.config.is_none() && self.mappings.is_none() {
            return Err(CliError::BadUse(
                "nothing to check; name --config FILE, --mappings DIR or both".to_owned(),
            ));
        }
        let mut folders: BTreeSet<PathBuf> = self.mappings.iter().cloned().collect();
        let mut settings = Settings::default();
        if let Some(file) = &self.config {
            settings = self.settings(file)?;
            folders.extend(settings.config.iter().flat_map(|config| {
                config.accounts.values().map(|own| config.path(&own.sync.mappings))
            }));
        }
        let folders: Vec<Folder> = folders.iter().map(|path| check(path)).collect();
        let good = folders.iter().all(|folder| folder.problems.is_empty());
        if good && !self.without_files {
            settings.rehearse(self.config.as_deref());
        }
        let wrong = !settings.problems.is_empty();
        if self.json.json {
            let all: Vec<&Json> = folders.iter().map(|folder| &folder.json).collect();
            let json = json!({
                "ok": good && !wrong, "config": self.config, "problems": settings.problems,
                "warnings": settings.warnings, "mappings": all,
            });
            print_json(out, &json)?;
        } else {
            self.print(&settings, out)?;
            folders.iter().try_for_each(|folder| folder.print(out))?;
        }
        if wrong {
            let reports: Vec<String> =
                settings.problems.iter().map(ConfigProblem::report).collect();
            return Err(CliError::BadUse(reports.join("\n")));
        }
        Ok(if good { Outcome::Fine } else { Outcome::Problem })
    }

    fn settings(&self, file: &Path) -> Result<Settings, CliError> {
        let environment = super::environment()?.into_iter();
        let read = if self.without_files {
            Config::load(file, environment).map(|config| (config, Vec::new()))
        } else {
            Config::examine(file, environment, app::usable)
        };
        Ok(match read {
            Ok((config, warnings)) => {
                Settings { config: Some(config), warnings, problems: Vec::new() }
            }
            Err(error) => Settings::wrong(&error),
        })
    }

    fn print(&self, settings: &Settings, out: &mut dyn Out) -> Result<(), CliError> {
        for warning in &settings.warnings {
            writeln!(out, "warning: {}\n", warning.report())?;
        }
        if let (Some(file), true) = (&self.config, settings.problems.is_empty()) {
            let left_out = if self.without_files {
                " (secrets and certificates were not looked at)"
            } else {
                ""
            };
            writeln!(out, "{}: ok{left_out}", file.display())?;
        }
        Ok(())
    }
}

/// What became of the configuration.
#[derive(Default)]
struct Settings {
    config: Option<Config>,
    problems: Vec<ConfigProblem>,
    warnings: Vec<ConfigProblem>,
}

impl Settings {
    fn wrong(error: &ConfigError) -> Self {
        Self { problems: error.problems().to_vec(), ..Self::default() }
    }

    /// Adds what only shows where everything is put together.
    fn rehearse(&mut self, file: Option<&Path>) {
        let config = self.config.as_ref().filter(|config| !config.lacks_variables());
        let Some(Err(error)) = config.map(app::rehearse) else { return };
        self.problems.push(ConfigProblem {
            place: file.map(|file| file.display().to_string()).unwrap_or_default(),
            excerpt: None,
            what: error.to_string(),
            fix: "`run` would end with it".to_owned(),
        });
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
