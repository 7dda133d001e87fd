//! `/query`, `/queryAll` and their further pages.

use serde_json::{Value, json};

use super::data::only;
use super::{Answer, Call};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::soql::{self, Source};

/// Longest query text.
const LONGEST: usize = 100_000;

/// Runs a query, or with a locator in `rest` hands out its next page.
pub(super) fn answer(
    org: &mut Org,
    call: &Call,
    rest: &[&str],
    tooling: bool,
) -> Result<Answer, Failure> {
    only(call, "HEAD,GET")?;
    let root = if tooling { format!("{}/tooling", call.root()) } else { call.root() };
    let now = org.now();
    org.usage.log.reads += 1;
    match rest {
        [] => {}
        [locator] => return Ok(Answer::json(200, org.cursors.page(locator, &root, now)?)),
        _ => return Err(Failure::not_found()),
    }
    let text = call.parameter("q").unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Failure::new("MALFORMED_QUERY", "A query string has to be specified"));
    }
    if text.len() > LONGEST {
        let message = "SOQL statements cannot be longer than 100000 characters.";
        return Err(Failure::new("QUERY_TOO_COMPLICATED", message));
    }
    let query = soql::parse(text)?;
    let all = call.path.iter().any(|segment| segment == "queryAll");
    let (user, version) = (&call.user, &call.version);
    let source = Source { org, user, tooling, deleted: all, version };
    let (count, records) = soql::run(&source, &query)?;
    if records.is_empty() {
        let body = json!({ "totalSize": count, "done": true, "records": [] });
        return Ok(Answer::json(200, body));
    }
    let page = page_size(org, call);
    let records = records.into_iter().map(|record| cut_lists(org, record, page, &root)).collect();
    let first = org.cursors.first_page(records, page, &root, &mut org.ids, now);
    Ok(Answer::json(200, first))
}

/// A record whose lists of rows below it are no longer than a page; the rest waits.
fn cut_lists(org: &mut Org, mut record: Value, page: usize, root: &str) -> Value {
    let now = org.now();
    for member in record.as_object_mut().into_iter().flat_map(|record| record.values_mut()) {
        let rows = member.get_mut("records").and_then(Value::as_array_mut);
        if let Some(rows) = rows.filter(|rows| rows.len() > page).map(std::mem::take) {
            *member = org.cursors.first_page(rows, page, root, &mut org.ids, now);
        }
    }
    record
}

/// The organisation's page, made smaller by a wish between 200 and 2,000.
fn page_size(org: &Org, call: &Call) -> usize {
    let wish = call.header("sforce-query-options").and_then(|options| {
        let (_, size) = options.split_once('=')?;
        size.trim().parse::<usize>().ok()
    });
    wish.map_or(org.options.page_size, |wish| wish.clamp(200, 2_000).min(org.options.page_size))
}
