//! `/composite`: up to 25 calls that may refer to each other's answers, as one API call.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Answer, Call, dispatch};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;

/// Most calls in one composite, and most of them that query or handle collections.
const MOST: usize = 25;
const MOST_HEAVY: usize = 5;
/// Headers that every call inherits from the outer one.
const INHERITED: [&str; 3] = ["accept", "authorization", "content-type"];

/// Answers `POST /composite`.
pub(super) fn answer(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    super::data::only(call, "POST")?;
    let calls = call.body["compositeRequest"].as_array().cloned().unwrap_or_default();
    if calls.is_empty() || calls.len() > MOST {
        let message = format!("The number of subrequests must be between 1 and {MOST}");
        return Err(Failure::new("INVALID_BATCH_SIZE", message));
    }
    let heavy = calls.iter().filter(|call| {
        let url = call["url"].as_str().unwrap_or_default();
        url.contains("/query") || url.contains("/composite/sobjects")
    });
    if heavy.count() > MOST_HEAVY {
        let message = format!("At most {MOST_HEAVY} subrequests may query or handle collections");
        return Err(Failure::new("INVALID_BATCH_SIZE", message));
    }
    let all_or_none = call.body["allOrNone"].as_bool().unwrap_or(false);
    let (results, _) = run(org, call, &calls, all_or_none)?;
    Ok(Answer::json(200, json!({ "compositeResponse": results })))
}

/// Runs the calls one after another; with `all_or_none` one failure undoes them all. The flag says
/// whether all succeeded.
pub(super) fn run(
    org: &mut Org,
    outer: &Call,
    calls: &[Value],
    all_or_none: bool,
) -> Result<(Vec<Value>, bool), Failure> {
    check(calls)?;
    org.begin();
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let mut results = Vec::new();
    let mut failed = Vec::new();
    for one in calls {
        let reference = one["referenceId"].as_str().unwrap_or_default().to_owned();
        let answer = match prepared(outer, one, &answers) {
            Err(_) if !failed.is_empty() => halted(),
            _ if all_or_none && !failed.is_empty() => halted(),
            Err(problem) => {
                org.end(false);
                return Err(problem);
            }
            Ok(call) => dispatch(org, &call),
        };
        if answer.status >= 400 || answer.status == 300 {
            failed.push(reference.clone());
        }
        let headers: Map<String, Value> =
            answer.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let status = answer.status;
        let body = answer.into_value();
        if status < 300 {
            answers.insert(reference.clone(), body.clone());
        }
        results.push(json!({
            "body": body, "httpHeaders": headers, "httpStatusCode": status,
            "referenceId": reference,
        }));
    }
    let good = failed.is_empty();
    org.end(good || !all_or_none);
    if !good && all_or_none {
        for result in &mut results {
            if result["httpStatusCode"].as_u64().is_some_and(|status| status < 300) {
                result["body"] = halted().into_value();
                result["httpStatusCode"] = json!(400);
                result["httpHeaders"] = json!({});
            }
        }
    }
    Ok((results, good))
}

fn halted() -> Answer {
    let message =
        "The transaction was rolled back since another operation in the same transaction failed.";
    Answer::from(Failure::new("PROCESSING_HALTED", message))
}

/// Refuses the whole request for headers that may not be given and for repeated names.
fn check(calls: &[Value]) -> Result<(), Failure> {
    let mut names: Vec<&str> = Vec::new();
    for call in calls {
        let name = call["referenceId"].as_str().unwrap_or_default();
        if name.is_empty() || names.contains(&name) {
            let message = format!("Invalid or repeated reference id '{name}'");
            return Err(Failure::body(message));
        }
        names.push(name);
        let headers = call["httpHeaders"].as_object();
        let bad = headers.into_iter().flat_map(Map::keys).find(|header| {
            INHERITED.iter().any(|inherited| header.eq_ignore_ascii_case(inherited))
        });
        if let Some(header) = bad {
            let message = format!("Header '{header}' is not allowed in a subrequest");
            return Err(Failure::new("INVALID_HTTP_HEADER", message));
        }
    }
    Ok(())
}

/// The call with its references filled in.
fn prepared(outer: &Call, one: &Value, answers: &BTreeMap<String, Value>) -> Result<Call, Failure> {
    let url = fill(one["url"].as_str().unwrap_or_default(), answers)?;
    let url = url.as_str().map_or_else(|| url.to_string(), str::to_owned);
    let method = one["method"].as_str().unwrap_or_default();
    let mut call = inner(outer, method, &url)?;
    if matches!(call.path.as_slice(), [first, rest @ ..]
        if first == "composite" && rest.first().is_none_or(|second| second != "sobjects"))
    {
        let message = "A composite request cannot contain another one".to_owned();
        return Err(Failure::new("INVALID_URL", message));
    }
    call.body = fill_all(&one["body"], answers)?;
    for (name, value) in one["httpHeaders"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        call.headers.insert(name.to_lowercase(), value);
    }
    Ok(call)
}

/// A call for `url`, which begins with `/services/data/vXX.0`, in the session of `outer`. Of the
/// outer headers only the `Sforce-` ones carry over.
pub(super) fn inner(outer: &Call, method: &str, url: &str) -> Result<Call, Failure> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.strip_prefix("/services/data/").ok_or_else(|| {
        Failure::new("INVALID_URL", format!("Subrequest url must begin with /services/data: {url}"))
    })?;
    let (version, segments) = super::transport::segments(path)?;
    let headers = outer
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("sforce-"))
        .map(|(name, value)| (name.clone(), value.clone()));
    Ok(Call {
        method: method.to_uppercase(),
        version,
        path: segments,
        query: super::transport::parameters(query),
        headers: headers.collect(),
        body: Value::Null,
        user: outer.user.clone(),
    })
}

fn fill_all(value: &Value, answers: &BTreeMap<String, Value>) -> Result<Value, Failure> {
    match value {
        Value::String(text) => fill(text, answers),
        Value::Array(items) => {
            let filled: Result<Vec<_>, _> =
                items.iter().map(|item| fill_all(item, answers)).collect();
            Ok(Value::Array(filled?))
        }
        Value::Object(map) => {
            let mut filled = Map::new();
            for (name, value) in map {
                filled.insert(name.clone(), fill_all(value, answers)?);
            }
            Ok(Value::Object(filled))
        }
        other => Ok(other.clone()),
    }
}

/// `text` with every `@{ref.field}` replaced; a text that is one reference keeps the value's type.
fn fill(text: &str, answers: &BTreeMap<String, Value>) -> Result<Value, Failure> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let (inside, tail) = after.split_once('}').ok_or_else(|| unknown(text))?;
        let value = look_up(inside, answers).ok_or_else(|| unknown(inside))?;
        if before.is_empty() && filled.is_empty() && tail.is_empty() {
            return Ok(value.clone());
        }
        filled.push_str(before);
        filled.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        rest = tail;
    }
    filled.push_str(rest);
    Ok(json!(filled))
}

fn unknown(reference: &str) -> Failure {
    Failure::body(format!("Invalid reference specified. No value for {reference} found"))
}

fn look_up<'a>(reference: &str, answers: &'a BTreeMap<String, Value>) -> Option<&'a Value> {
    let (name, path) = reference.split_once('.')?;
    let (name, first) = match name.split_once('[') {
        Some((name, index)) => (name, Some(index.strip_suffix(']')?)),
        None => (name, None),
    };
    let mut here = answers.get(name)?;
    if let Some(index) = first {
        here = here.get(index.parse::<usize>().ok()?)?;
    }
    for step in path.split('.') {
        let (field, indexes) = step.split_once('[').unwrap_or((step, ""));
        here = here.get(field)?;
        for index in indexes.split('[').filter(|index| !index.is_empty()) {
            here = here.get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
        }
    }
    Some(here)
}
