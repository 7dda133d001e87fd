//! `$batch`: several requests in one, with change sets that succeed or fail as a whole.

use std::collections::BTreeMap;

use crate::connect::dynamics365::sandbox::call::{Answer, Call, ROOT};
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::state::State;

/// The most requests in a batch.
const LIMIT: usize = 1000;

/// One part of a multipart body.
struct Part {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A request inside a batch.
struct Inner {
    content_id: Option<String>,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The answers to one item of a batch.
enum Item {
    Single(Answer),
    ChangeSet(Vec<(String, Answer)>),
}

impl Item {
    fn failure(&self) -> Option<u16> {
        match self {
            Self::Single(answer) if answer.status >= 400 => Some(answer.status),
            _ => None,
        }
    }
}

impl State {
    /// Runs a batch.
    pub(super) fn batch(&mut self, call: &Call) -> Result<Answer, Problem> {
        let boundary = boundary(call.header("content-type").unwrap_or_default())
            .ok_or_else(|| Problem::query("The batch needs a multipart/mixed boundary."))?;
        let parts = parts(&call.body, &boundary)?;
        let goes_on = call.preferences().continue_on_error;
        let mut items = Vec::new();
        let mut requests = 0;
        for part in &parts {
            let kind = header(&part.headers, "content-type").unwrap_or_default();
            let item = if kind.starts_with("multipart/mixed") {
                let inner = self::boundary(kind)
                    .ok_or_else(|| Problem::query("The change set needs a boundary."))?;
                let requests_of_set = self::parts(&part.body, &inner)?;
                requests += requests_of_set.len();
                self.change_set(call, &requests_of_set)
            } else {
                requests += 1;
                let answer = match inner(part) {
                    Ok(inner) => self.run(call, &inner, &BTreeMap::new()),
                    Err(problem) => problem.answer(),
                };
                Item::Single(answer)
            };
            if requests > LIMIT {
                return Err(Problem::query("The batch holds more than 1000 requests."));
            }
            let failure = item.failure();
            items.push(item);
            if failure.is_some() && !goes_on {
                break;
            }
        }
        let failed = items.iter().find_map(Item::failure).filter(|_| !goes_on);
        Ok(self.write_items(&items, failed.unwrap_or(200)))
    }

    /// Runs a change set; the first failure undoes the whole and is its only answer.
    fn change_set(&mut self, outer: &Call, parts: &[Part]) -> Item {
        let mut failure = None;
        let result = self.atomically(|state| {
            let mut answers = Vec::new();
            let mut created = BTreeMap::new();
            for part in parts {
                let inner = inner(part)?;
                if inner.method == "GET" {
                    return Err(Problem::query("A change set cannot hold a GET request."));
                }
                let Some(id) = inner.content_id.clone() else {
                    return Err(Problem::query("Content-ID header not present."));
                };
                let answer = state.run(outer, &inner, &created);
                if answer.status >= 400 {
                    failure = Some(answer);
                    return Err(Problem::query("A request of the change set failed."));
                }
                let made = answer.headers.iter().find(|(name, _)| name == "OData-EntityId");
                if let Some((_, address)) = made {
                    created.insert(id.clone(), address.clone());
                }
                answers.push((id, answer));
            }
            Ok(answers)
        });
        match (result, failure) {
            (Ok(answers), _) => Item::ChangeSet(answers),
            (Err(_), Some(answer)) => Item::Single(answer),
            (Err(problem), None) => Item::Single(problem.answer()),
        }
    }

    fn run(&mut self, outer: &Call, inner: &Inner, created: &BTreeMap<String, String>) -> Answer {
        let answer = match prepare(outer, inner, created) {
            Ok(call) => self.handle(&call),
            Err(problem) => problem.answer(),
        };
        self.log(&inner.method, &inner.target, answer.status);
        answer
    }

    fn write_items(&mut self, items: &[Item], status: u16) -> Answer {
        let boundary = format!("batchresponse_{}", self.data.next_guid());
        let mut body = String::new();
        for item in items {
            body.push_str(&format!("--{boundary}\r\n"));
            match item {
                Item::Single(answer) => write_part(&mut body, None, answer),
                Item::ChangeSet(answers) => {
                    let inner = format!("changesetresponse_{}", self.data.next_guid());
                    body.push_str(&format!(
                        "Content-Type: multipart/mixed; boundary={inner}\r\n\r\n"
                    ));
                    for (id, answer) in answers {
                        body.push_str(&format!("--{inner}\r\n"));
                        write_part(&mut body, Some(id), answer);
                    }
                    body.push_str(&format!("--{inner}--\r\n"));
                }
            }
        }
        body.push_str(&format!("--{boundary}--\r\n"));
        let kind = format!("multipart/mixed; boundary={boundary}");
        Answer { status, headers: vec![("Content-Type".to_owned(), kind)], body: body.into_bytes() }
    }
}

fn write_part(body: &mut String, content_id: Option<&str>, answer: &Answer) {
    body.push_str("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
    if let Some(id) = content_id {
        body.push_str(&format!("Content-ID: {id}\r\n"));
    }
    body.push_str("\r\n");
    body.push_str(&serialise_one(answer));
    body.push_str("\r\n");
}

fn serialise_one(answer: &Answer) -> String {
    let reason = axum::http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&String::from_utf8_lossy(&answer.body));
    text
}

/// Builds the call of an inner request; `$1` stands for what an earlier part created.
fn prepare(
    outer: &Call,
    inner: &Inner,
    created: &BTreeMap<String, String>,
) -> Result<Call, Problem> {
    let target = below_root(&replace_references(&inner.target, created, true)?).to_owned();
    let body = String::from_utf8_lossy(&inner.body).into_owned();
    let body = replace_references(&body, created, false)?;
    let mut headers = inner.headers.clone();
    headers.push(("x-batch-part".to_owned(), "1".to_owned()));
    let mut call = Call {
        method: inner.method.clone(),
        path: Vec::new(),
        raw_path: String::new(),
        query: Vec::new(),
        headers,
        body: body.into_bytes(),
        root: outer.root.clone(),
        user: outer.user.clone(),
    };
    call.address(&target)?;
    if call.path.first().is_some_and(|segment| segment.name == "$batch") {
        return Err(Problem::query("Batches cannot be nested."));
    }
    Ok(call)
}

/// Cuts an absolute address or an absolute path down to what follows the service root.
fn below_root(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| rest.get(at..).unwrap_or("")),
        None => target,
    };
    let below = path.strip_prefix(ROOT).unwrap_or(path);
    if below.starts_with('/') { below } else { path }
}

/// Replaces `$1` at the start of an address, and in `"…@odata.bind": "$1"` and `"@odata.id"`.
fn replace_references(
    text: &str,
    created: &BTreeMap<String, String>,
    is_address: bool,
) -> Result<String, Problem> {
    if is_address {
        let start = text.trim_start_matches('/');
        let Some(rest) = start
            .strip_prefix('$')
            .filter(|rest| rest.starts_with(|character: char| character.is_ascii_digit()))
        else {
            return Ok(text.to_owned());
        };
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric());
        let (id, tail) = rest.split_at(end.unwrap_or(rest.len()));
        let address = created.get(id).ok_or_else(|| unknown_reference(id))?;
        return Ok(format!("{address}{tail}"));
    }
    let Ok(mut body) = serde_json::from_str::<serde_json::Value>(text) else {
        return Ok(text.to_owned());
    };
    replace_in_body(&mut body, created)?;
    Ok(body.to_string())
}

fn replace_in_body(
    body: &mut serde_json::Value,
    created: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let members = match body {
        serde_json::Value::Object(members) => members,
        serde_json::Value::Array(items) => {
            return items.iter_mut().try_for_each(|item| replace_in_body(item, created));
        }
        _ => return Ok(()),
    };
    for (name, value) in members {
        let is_link = name.ends_with("@odata.bind") || name == "@odata.id";
        match value {
            serde_json::Value::String(text) if is_link && text.starts_with(['$', '/']) => {
                let id = text.trim_start_matches('/');
                if let Some(id) = id.strip_prefix('$') {
                    let address = created.get(id).ok_or_else(|| unknown_reference(id))?;
                    address.clone_into(text);
                }
            }
            other => replace_in_body(other, created)?,
        }
    }
    Ok(())
}

fn unknown_reference(id: &str) -> Problem {
    Problem::query(format!("Content-ID Reference: '${id}' does not exist in the batch context."))
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

fn boundary(content_type: &str) -> Option<String> {
    if !content_type.starts_with("multipart/mixed") {
        return None;
    }
    let (_, rest) = content_type.split_once("boundary=")?;
    let value = rest.split(';').next().unwrap_or(rest).trim().trim_matches('"');
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

/// Splits a multipart body. Lines may end in CRLF or in LF alone.
fn parts(body: &[u8], boundary: &str) -> Result<Vec<Part>, Problem> {
    let text = String::from_utf8_lossy(body);
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts = Vec::new();
    let mut current: Option<Vec<&str>> = None;
    for line in text.split('\n') {
        let bare = line.trim_end_matches('\r').trim_end();
        if bare == open || bare == close {
            parts.extend(current.take().map(|lines| part(&lines)));
            if bare == close {
                return Ok(parts);
            }
            current = Some(Vec::new());
        } else if let Some(lines) = &mut current {
            lines.push(line);
        }
    }
    Err(Problem::query("The batch has no closing delimiter."))
}

fn part(lines: &[&str]) -> Part {
    let (headers, body) = head_and_body(lines);
    Part { headers, body: body.join("\n").into_bytes() }
}

fn head_and_body<'a>(lines: &'a [&'a str]) -> (Vec<(String, String)>, &'a [&'a str]) {
    let end = lines.iter().position(|line| line.trim().is_empty()).unwrap_or(lines.len());
    let head = lines.get(..end).unwrap_or_default();
    let headers = head
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    (headers, lines.get(end + 1..).unwrap_or_default())
}

fn inner(part: &Part) -> Result<Inner, Problem> {
    let text = String::from_utf8_lossy(&part.body);
    let lines: Vec<&str> = text.split('\n').collect();
    let start = lines.iter().position(|line| !line.trim().is_empty()).unwrap_or(0);
    let request = lines.get(start).map_or("", |line| line.trim());
    let mut words = request.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(Problem::payload("", "The stream of the part is not readable."));
    };
    let (headers, body) = head_and_body(lines.get(start + 1..).unwrap_or_default());
    let body = body.join("\n").trim_end_matches(['\r', '\n']).as_bytes().to_vec();
    Ok(Inner {
        content_id: header(&part.headers, "content-id").map(str::to_owned),
        method: method.to_ascii_uppercase(),
        target: target.to_owned(),
        headers,
        body,
    })
}
