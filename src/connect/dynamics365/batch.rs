//! `$batch`: one change set, then one read, in one request.
//!
//! Deals are not written together: `CreateMultiple` and its like carry no version for each row, so
//! that an edit of a seller could be overwritten, and each part of a batch counts as a request of the
//! daily entitlement all the same. What is saved here is the second way to the server, for writes
//! that must land together and be read back.

use bytes::Bytes;
use serde_json::Value as Json;

use super::client::{Client, Request};
use super::wire::{self, Failure};
use crate::connect::error::ConnectError;
use crate::connect::http::{Purpose, retry_after};
use crate::domain::clock::Randomness;

/// Does `writes` all or nothing, then `read`, and returns what was read.
///
/// # Errors
///
/// As for a single write. If the writes landed and the read failed, [`ConnectError::Unknown`]: the
/// caller reads again.
pub(super) async fn write_then_read(
    client: &Client,
    randomness: &dyn Randomness,
    writes: &[Request],
    read: &Request,
) -> Result<Json, ConnectError> {
    let request = request(client, randomness, writes, read)?;
    let answer = client.exchange(&request).await?;
    let parts = answer
        .header("content-type")
        .and_then(boundary)
        .and_then(|boundary| Some(parse(std::str::from_utf8(&answer.body).ok()?, &boundary)));
    let Some(parts) = parts else {
        return Err(if answer.is_success() {
            ConnectError::Unknown("the answer to a batch cannot be read".to_owned())
        } else {
            client.failed(&request, &answer)
        });
    };
    let bad = parts.iter().position(|part| !(200..300).contains(&part.status));
    match bad {
        Some(at) if at < writes.len() => Err(failed(client, writes, &parts[at])),
        None if parts.len() == writes.len() + 1 => parts
            .last()
            .and_then(|part| wire::exact_json(part.body.as_bytes()))
            .ok_or_else(|| ConnectError::Unknown(NOT_READ_BACK.to_owned())),
        _ => Err(ConnectError::Unknown(NOT_READ_BACK.to_owned())),
    }
}

const NOT_READ_BACK: &str = "the change was made, but the record could not be read back";

fn failed(client: &Client, writes: &[Request], part: &Part) -> ConnectError {
    let header = |name: &str| {
        let found = part.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    let failure = Failure {
        status: part.status,
        body: part.body.clone().into_bytes(),
        wait: header("retry-after").and_then(|value| retry_after(value, client.now())),
        request_id: header("req_id").map(str::to_owned),
    };
    // One error stands for the whole change set; only its first write is conditional.
    let condition = writes.first().map_or(&wire::Condition::None, |write| &write.condition);
    client.sort(Purpose::Write, condition, &failure)
}

fn request(
    client: &Client,
    randomness: &dyn Randomness,
    writes: &[Request],
    read: &Request,
) -> Result<Request, ConnectError> {
    let outer = format!("batch_{}", randomness.guid());
    let inner = format!("changeset_{}", randomness.guid());
    let mut body = format!("--{outer}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n");
    for (at, write) in writes.iter().enumerate() {
        body.push_str(&format!("--{inner}\r\n"));
        push(&mut body, write, Some(at + 1));
    }
    body.push_str(&format!("--{inner}--\r\n\r\n--{outer}\r\n"));
    push(&mut body, read, None);
    body.push_str(&format!("--{outer}--\r\n"));
    let content_type = format!("multipart/mixed; boundary={outer}");
    Ok(Request {
        method: "POST",
        purpose: Purpose::Write,
        body: Some((content_type, Bytes::from(body))),
        operations: writes.len() as u64 + 1,
        ..Request::get(client.url("$batch")?)
    })
}

fn push(out: &mut String, request: &Request, content_id: Option<usize>) {
    out.push_str("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
    if let Some(id) = content_id {
        out.push_str(&format!("Content-ID: {id}\r\n"));
    }
    out.push_str(&format!("\r\n{} {} HTTP/1.1\r\n", request.method, request.url));
    out.push_str("Accept: application/json\r\n");
    for (name, value) in request.own_headers() {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    match &request.body {
        Some((content_type, body)) => {
            out.push_str(&format!("Content-Type: {content_type}\r\n\r\n"));
            out.push_str(&String::from_utf8_lossy(body));
            out.push_str("\r\n");
        }
        None => out.push_str("\r\n"),
    }
}

/// One answer inside a batch.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The boundary of a multipart content type.
fn boundary(content_type: &str) -> Option<String> {
    let mut pieces = content_type.split(';').map(str::trim);
    if !pieces.next()?.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let value = pieces.find_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The answers of a batch in their order, those of change sets included. Takes CRLF and LF.
fn parse(text: &str, boundary: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for section in sections(text, boundary) {
        let Some((headers, rest)) = head(section) else { continue };
        let content_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.as_str())
            .unwrap_or_default();
        if let Some(inner) = self::boundary(content_type) {
            parts.extend(parse(rest, &inner));
        } else if let Some(part) = answer(rest) {
            parts.push(part);
        }
    }
    parts
}

/// The texts between lines that begin with the boundary.
fn sections<'a>(text: &'a str, boundary: &str) -> Vec<&'a str> {
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    let (mut start, mut at) = (None, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end().trim_end_matches("--") == delimiter {
            if let Some(start) = start {
                found.extend(text.get(start..at));
            }
            start = Some(at + line.len());
        }
        at += line.len();
    }
    found
}

/// Headers up to the blank line, and the rest.
fn head(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut headers = Vec::new();
    let mut rest = text;
    loop {
        let (line, after) = rest.split_once('\n')?;
        rest = after;
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            return Some((headers, rest));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

fn answer(text: &str) -> Option<Part> {
    let (line, rest) = text.trim_start().split_once('\n')?;
    let status = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let (headers, body) = head(rest).unwrap_or_default();
    Some(Part { status, headers, body: body.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{boundary, parse};

    const ANSWER: &str = "--batchresponse_1\r\n\
        Content-Type: multipart/mixed; boundary=\"changesetresponse_2\"\r\n\r\n\
        --changesetresponse_2\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n\r\n\
        --changesetresponse_2\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\r\n--changesetresponse_2--\r\n\
        --batchresponse_1\r\nContent-Type: application/http\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\
        {\"name\":\"--batchresponse_1 in a text\"}\r\n--batchresponse_1--\r\n";

    #[test]
    fn answers_are_found_in_order_with_either_line_end() {
        for text in [ANSWER.to_owned(), ANSWER.replace("\r\n", "\n")] {
            let parts = parse(&text, "batchresponse_1");
            let statuses: Vec<u16> = parts.iter().map(|part| part.status).collect();
            assert_eq!(statuses, [204, 204, 200]);
            assert_eq!(parts[2].body, "{\"name\":\"--batchresponse_1 in a text\"}");
        }
    }

    #[test]
    fn only_multipart_has_a_boundary() {
        let table = [
            ("multipart/mixed; boundary=batchresponse_1", Some("batchresponse_1")),
            ("multipart/mixed;boundary=\"a b\"", Some("a b")),
            ("application/json; boundary=x", None),
            ("multipart/mixed", None),
        ];
        for (content_type, expected) in table {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
    }
}
