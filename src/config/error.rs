//! What is wrong with a configuration, where, and how to fix it.

use std::fmt;

use serde::Serialize;

use super::secret::NO_SECRET_HERE;

/// Everything that is wrong: for each problem where, a sentence, then the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<ConfigProblem>,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// File, line and column, or the environment variable.
    pub place: String,
    /// The line, without its value, and a caret under the place; nothing where there is no line.
    #[serde(skip)]
    pub excerpt: Option<String>,
    /// What is wrong. It never repeats a secret.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl ConfigError {
    /// Problems, in their order.
    pub(super) fn of(problems: Vec<ConfigProblem>) -> Self {
        Self { problems }
    }

    /// The file cannot be read.
    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        Self::of(vec![ConfigProblem {
            place: file.to_owned(),
            excerpt: None,
            what: format!("the configuration cannot be read: {error}"),
            fix: "name an existing file with --config; config.example.toml is a start".to_owned(),
        }])
    }

    /// A secret that cannot be had.
    pub(super) fn secret(place: String, what: String, fix: &str) -> Self {
        Self::of(vec![ConfigProblem { place, excerpt: None, what, fix: fix.to_owned() }])
    }

    /// Every problem with its line and a caret under the place, for people.
    #[must_use]
    pub fn report(&self) -> String {
        self.problems.iter().map(ConfigProblem::report).collect::<Vec<_>>().join("\n")
    }

    /// Every problem, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl ConfigProblem {
    /// The problem with its line and a caret under the place, for people.
    #[must_use]
    pub fn report(&self) -> String {
        match &self.excerpt {
            Some(excerpt) => format!("{self}\n{excerpt}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.place, self.what, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// How a suggestion begins; a name in backquotes follows.
pub(super) const DID_YOU_MEAN: &str = "did you mean `";

/// A part of serde's message, and what to tell instead: none of these repeats the value, which may be
/// a secret in the wrong place.
const WRONG_KINDS: [(&[&str], &str, &str); 7] = [
    (
        &["expected u64", "expected u32"],
        "a whole number is expected, such as 30",
        "write it without quotation marks and without a unit",
    ),
    (&["expected a boolean"], "true or false is expected", "write it without quotation marks"),
    (
        &["expected a string", "expected string", "expected path string", "wanted string or table"],
        "text is expected here",
        "put it in quotation marks",
    ),
    (
        &["expected a sequence"],
        "a list is expected",
        "write it in brackets, as in [\"one\", \"two\"]",
    ),
    (
        &["expected struct "],
        "a table is expected",
        "write it as in config.example.toml, with its name in brackets",
    ),
    (
        &[
            "relative URL without a base",
            "empty host",
            "invalid port number",
            "invalid IPv4 address",
            "invalid IPv6 address",
            "invalid international domain name",
            "invalid domain character",
        ],
        "this is no address",
        "write it whole, as in \"https://cosell.example.com\"",
    ),
    (
        &["invalid socket address syntax", "expected socket address"],
        "this is nothing to listen on",
        "write an IP address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"; a name such as \
         localhost is none",
    ),
];

/// Turns serde's message into a sentence and a fix, with the nearest valid name.
pub(super) fn explain(message: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = [("unknown field", "setting"), ("unknown variant", "choice here")];
    let unknown = unknown.iter().find(|(words, _)| message.starts_with(words));
    if let Some(((_, kind), (wrong, valid))) = unknown.zip(quoted.split_first()) {
        let nearest = valid.iter().max_by(|left, right| {
            strsim::jaro_winkler(wrong, left).total_cmp(&strsim::jaro_winkler(wrong, right))
        });
        let fix = match nearest {
            Some(nearest) if strsim::jaro_winkler(wrong, nearest) > 0.7 => {
                format!("{DID_YOU_MEAN}{nearest}`?")
            }
            _ => format!("valid here: {}", valid.join(", ")),
        };
        return (format!("`{wrong}` is not a {kind}"), fix);
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
    let first = message.lines().next().unwrap_or(message);
    for (parts, what, fix) in WRONG_KINDS {
        if parts.iter().any(|part| first.contains(part)) {
            return (what.to_owned(), fix.to_owned());
        }
    }
    if message.starts_with("data did not match any variant") {
        return (
            "this is neither true or false nor the name of a field".to_owned(),
            "write true, or { field = \"the check box that says so\" }".to_owned(),
        );
    }
    (first.to_owned(), "config.example.toml shows the expected form".to_owned())
}
