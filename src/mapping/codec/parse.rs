//! Reading a step as it is written in a file: `date:Europe/Berlin`, `split:;`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lookup, Step, Zone};
use crate::mapping::problem::nearest;

/// The names of all steps.
const STEPS: [&str; 9] =
    ["date", "html_text", "limit", "lookup", "max", "one_line", "split", "trim", "upper"];

/// Reads one step. The error is a message and, where there is one, a way out.
pub(crate) fn parse_step(
    text: &str,
    lookups: &BTreeMap<String, Arc<Lookup>>,
) -> Result<Step, (String, Option<String>)> {
    let (name, argument) = match text.split_once(':') {
        Some((name, argument)) => (name.trim(), Some(argument)),
        None => (text.trim(), None),
    };
    match name {
        "trim" => without_argument(name, argument, Step::Trim),
        "upper" => without_argument(name, argument, Step::Upper),
        "one_line" => without_argument(name, argument, Step::OneLine),
        "html_text" => without_argument(name, argument, Step::HtmlText),
        "date" => date(argument),
        "split" => split(argument),
        "max" => length(name, argument).map(Step::Max),
        "limit" => length(name, argument).map(Step::Limit),
        "lookup" => lookup(argument, lookups),
        _ => {
            let near = nearest(name, STEPS).map_or_else(
                || format!("known steps: {}", STEPS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            Err((format!("unknown codec step `{name}`"), Some(near)))
        }
    }
}

type Parsed<T> = Result<T, (String, Option<String>)>;

fn without_argument(name: &str, argument: Option<&str>, step: Step) -> Parsed<Step> {
    match argument {
        None => Ok(step),
        Some(_) => Err((format!("`{name}` takes no argument"), Some(format!("write `{name}`")))),
    }
}

fn date(argument: Option<&str>) -> Parsed<Step> {
    let Some(zone) = argument.map(str::trim) else { return Ok(Step::Date(Zone(None))) };
    if zone == "UTC" {
        return Ok(Step::Date(Zone(None)));
    }
    if jiff::tz::TimeZone::get(zone).is_err() {
        let message = format!("unknown time zone `{zone}`");
        return Err((message, Some("use a name such as `Europe/Berlin`".to_owned())));
    }
    Ok(Step::Date(Zone(Some(zone.to_owned()))))
}

fn split(argument: Option<&str>) -> Parsed<Step> {
    let mut letters = argument.unwrap_or_default().chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if !letter.is_alphanumeric() && !letter.is_whitespace() => {
            Ok(Step::Split(letter))
        }
        _ => Err((
            "`split` needs one separator that is no letter, digit or space".to_owned(),
            Some("write `split:;`".to_owned()),
        )),
    }
}

fn length(name: &str, argument: Option<&str>) -> Parsed<usize> {
    match argument.and_then(|text| text.trim().parse().ok()) {
        Some(length) if (1..=1_000_000).contains(&length) => Ok(length),
        _ => Err((
            format!("`{name}` needs a length between 1 and 1000000"),
            Some(format!("write `{name}:2000`")),
        )),
    }
}

fn lookup(argument: Option<&str>, lookups: &BTreeMap<String, Arc<Lookup>>) -> Parsed<Step> {
    let name = argument.unwrap_or_default().trim();
    if let Some(lookup) = lookups.get(name) {
        return Ok(Step::Lookup(Arc::clone(lookup)));
    }
    let near = nearest(name, lookups.keys().map(String::as_str)).map_or_else(
        || "add a `[lookup.NAME]` table and name it here".to_owned(),
        |near| format!("did you mean `lookup:{near}`?"),
    );
    Err((format!("there is no `[lookup.{name}]`"), Some(near)))
}
