//! Query options, also inside the parentheses of `$expand`.

use super::filter::{Condition, parse};
use crate::connect::dynamics365::sandbox::problem::Problem;

/// What a query asks for.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Options {
    pub(in super::super) select: Option<Vec<String>>,
    pub(in super::super) filter: Option<Condition>,
    /// Path and whether it is descending.
    pub(in super::super) order: Vec<(Vec<String>, bool)>,
    pub(in super::super) top: Option<usize>,
    pub(in super::super) count: bool,
    pub(in super::super) expand: Vec<(String, Options)>,
    pub(in super::super) skip_token: Option<String>,
    pub(in super::super) delta_token: Option<String>,
    /// Root of the service, for links to the rest of expanded lists.
    pub(in super::super) root: String,
    /// Names of the options that were given.
    pub(in super::super) given: Vec<String>,
}

impl Options {
    /// Reads decoded pairs. Names are case-sensitive; an unknown `$name` is refused.
    pub(in super::super) fn read<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Problem> {
        let mut options = Self::default();
        for (name, value) in pairs {
            options.given.push(name.to_owned());
            match name {
                "$select" => options.select = Some(names(value)),
                "$filter" => options.filter = Some(parse(value)?),
                "$orderby" => options.order = orders(value)?,
                "$top" => options.top = Some(top(value)?),
                "$count" => options.count = value == "true",
                "$expand" => options.expand = expands(value)?,
                "$skiptoken" => options.skip_token = Some(value.to_owned()),
                "$deltatoken" => options.delta_token = Some(value.to_owned()),
                "$skip" => return Err(Problem::query("Skip Clause is not supported in CRM")),
                "$apply" | "fetchXml" | "savedQuery" | "userQuery" => {
                    return Err(Problem::not_emulated(name));
                }
                other if other.starts_with('$') => {
                    let message = format!("The query parameter {other} is not supported.");
                    return Err(Problem::query(message));
                }
                // `tag`, `api-version` and other custom options are not ours to judge.
                _ => {}
            }
        }
        Ok(options)
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn top(text: &str) -> Result<usize, Problem> {
    let message = || Problem::query(format!("Invalid value '{text}' for $top query option found."));
    text.parse().map_err(|_| message())
}

fn orders(text: &str) -> Result<Vec<(Vec<String>, bool)>, Problem> {
    text.split(',')
        .map(|part| {
            let mut words = part.split_whitespace();
            let path = words.next().unwrap_or_default().split('/').map(str::to_owned).collect();
            match words.next() {
                None | Some("asc") => Ok((path, false)),
                Some("desc") => Ok((path, true)),
                Some(_) => Err(Problem::query(format!("Syntax error in $orderby '{text}'."))),
            }
        })
        .collect()
}

fn expands(text: &str) -> Result<Vec<(String, Options)>, Problem> {
    split_top(text, ',')
        .into_iter()
        .map(|part| {
            let part = part.trim();
            let Some((name, rest)) = part.split_once('(') else {
                return Ok((part.to_owned(), Options::default()));
            };
            let inside = rest
                .strip_suffix(')')
                .ok_or_else(|| Problem::query(format!("Syntax error in $expand '{text}'.")))?;
            let pairs = split_top(inside, ';');
            let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            Ok((name.to_owned(), Options::read(pairs.map(|(n, v)| (n.trim(), v)))?))
        })
        .collect()
}

/// Splits at `separator` outside parentheses and quotes.
fn split_top(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut quoted) = (0_u32, false);
    text.split(move |character| {
        match character {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == separator && depth == 0 && !quoted
    })
    .filter(|part| !part.is_empty())
    .collect()
}
