//! Environment variables on top of the file: `COSELL_SYNC__SECTION__KEY=value`.

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError};

const PREFIX: &str = "COSELL_SYNC__";

/// The overriding variables, in the order of their names.
pub(super) fn overrides(
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> =
        environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    found.sort();
    found
}

/// Reads the file with the variables on top. An error names the variable that brought it.
pub(super) fn apply(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
) -> Result<Config, ConfigError> {
    let mut table: Table =
        toml::from_str(text).map_err(|error| ConfigError::in_file(file, text, &error))?;
    let mut last_good = Config::deserialize(Value::Table(table.clone()));
    for (name, value) in overrides {
        put(&mut table, name, value);
        let read = Config::deserialize(Value::Table(table.clone()));
        if let (Err(error), Ok(_)) = (&read, &last_good) {
            return Err(ConfigError::in_environment(name, error));
        }
        last_good = read;
    }
    match last_good {
        Ok(config) => Ok(config),
        // The file itself is wrong: say so with its line.
        Err(error) => match toml::from_str::<Config>(text) {
            Err(in_file) => Err(ConfigError::in_file(file, text, &in_file)),
            Ok(_) => Err(ConfigError::in_environment("COSELL_SYNC__*", &error)),
        },
    }
}

/// Sets one value, making tables on the way. A value that is TOML is read as such, else as text.
fn put(table: &mut Table, name: &str, value: &str) {
    let path: Vec<String> =
        name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
    let Some((key, tables)) = path.split_last() else { return };
    let mut at = table;
    for step in tables {
        let entry = at.entry(step.clone()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Value::Table(next) = entry else { return };
        at = next;
    }
    let read = toml::from_str::<Table>(&format!("value = {value}")).ok();
    let read = read.and_then(|mut read| read.remove("value"));
    at.insert(key.clone(), read.unwrap_or_else(|| Value::String(value.to_owned())));
}
