//! What is wrong with a configuration, where, and how to fix it.

use std::fmt;

use super::secret::NO_SECRET_HERE;

/// One error: a sentence, then where, then the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    what: String,
    fix: String,
}

impl ConfigError {
    /// The file cannot be read.
    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        Self {
            place: file.to_owned(),
            what: format!("the configuration cannot be read: {error}"),
            fix: "name an existing file with --config; config.example.toml is a start".to_owned(),
        }
    }

    /// An error that no single line is to blame for.
    pub(super) fn plain(file: &str, what: &str, fix: &str) -> Self {
        Self { place: file.to_owned(), what: what.to_owned(), fix: fix.to_owned() }
    }

    /// An error that TOML found at a place of `text`.
    pub(super) fn in_file(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let place = match error.span() {
            Some(span) => {
                let before = text.get(..span.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
                format!("{file}:{line}:{column}")
            }
            None => file.to_owned(),
        };
        let (what, fix) = explain(error.message());
        Self { place, what, fix }
    }

    /// An error that an environment variable caused.
    pub(super) fn in_environment(variable: &str, error: &toml::de::Error) -> Self {
        let (what, fix) = explain(error.message());
        Self { place: format!("environment variable {variable}"), what, fix }
    }

    /// A secret that cannot be had.
    pub(super) fn secret(place: String, what: String, fix: &str) -> Self {
        Self { place, what, fix: fix.to_owned() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.place, self.what, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// How serde's messages end where a whole number was expected.
const WHOLE: [&str; 2] = ["expected u64", "expected u32"];

/// Turns serde's message into a sentence and a fix, with the nearest valid name.
fn explain(message: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((wrong, valid))) =
        (message.starts_with("unknown field"), quoted.split_first())
    {
        let nearest = valid.iter().max_by(|left, right| {
            strsim::jaro_winkler(wrong, left).total_cmp(&strsim::jaro_winkler(wrong, right))
        });
        let fix = match nearest {
            Some(nearest) if strsim::jaro_winkler(wrong, nearest) > 0.7 => {
                format!("did you mean `{nearest}`?")
            }
            _ => format!("valid here: {}", valid.join(", ")),
        };
        return (format!("`{wrong}` is not a setting"), fix);
    }
    if let Some((what, fix)) = NO_SECRET_HERE.split_once("; ").filter(|_| message == NO_SECRET_HERE)
    {
        return (what.to_owned(), fix.to_owned());
    }
    if let (true, Some(missing)) = (message.starts_with("missing field"), quoted.first()) {
        return (
            format!("`{missing}` is missing"),
            "add it; config.example.toml shows how".to_owned(),
        );
    }
    if message.starts_with("invalid ") && WHOLE.iter().any(|kind| message.ends_with(kind)) {
        return (
            "a whole number is expected, such as 30".to_owned(),
            "write it without quotation marks and without a unit".to_owned(),
        );
    }
    (
        message.lines().next().unwrap_or(message).to_owned(),
        "config.example.toml shows the expected form".to_owned(),
    )
}
