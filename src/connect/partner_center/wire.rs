//! How referrals and lists are written on the wire.

use serde_json::Value as Json;
use url::Url;

use crate::connect::error::ConnectError;
use crate::domain::referral::Referral;

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The referrals, in the order of the answer.
    pub(super) referrals: Vec<Referral>,
    /// Every item has its id and its concurrency token. One without an id is left out.
    pub(super) is_whole: bool,
    /// Query of the next page; never the whole link.
    pub(super) next: Option<String>,
}

/// Reads a page of `GET /referrals`.
///
/// `origins` are the addresses under which the service may name itself in links.
pub(super) fn page(origins: &[Url], body: &[u8]) -> Result<Page, ConnectError> {
    let mut json = parse(body)?;
    let Some(Json::Array(items)) = json.get_mut("value").map(Json::take) else {
        return Err(broken("a list without `value`"));
    };
    // An item that is nothing says nothing.
    let items: Vec<Json> = items.into_iter().filter(|item| !item.is_null()).collect();
    let told = items.len();
    let referrals: Vec<Referral> = items.into_iter().filter_map(Referral::from_json).collect();
    let is_whole = referrals.len() == told && referrals.iter().all(|one| one.version().is_some());
    let next = match json.get("@odata.nextLink") {
        None | Some(Json::Null) => None,
        Some(Json::String(link)) if link.is_empty() => None,
        Some(Json::String(link)) => Some(next_query(origins, link)?),
        Some(_) => return Err(broken("a next link that is not text")),
    };
    Ok(Page { referrals, is_whole, next })
}

/// Takes one referral out of its JSON. Without an id or a concurrency token it is broken: nothing
/// could be written to it safely.
pub(super) fn referral(json: Json) -> Result<Referral, ConnectError> {
    let referral =
        Referral::from_json(json).ok_or_else(|| broken("a referral without a usable id"))?;
    if referral.version().is_none() {
        return Err(broken(&format!("referral {} without an eTag", referral.id())));
    }
    Ok(referral)
}

/// Parses JSON so that no number changes: one that a double cannot hold becomes text.
pub(super) fn parse(body: &[u8]) -> Result<Json, ConnectError> {
    let not_json = || broken("a body that is not JSON");
    let text = std::str::from_utf8(body).map_err(|_| not_json())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(&exact_numbers(text)).map_err(|_| not_json())
}

/// Puts numbers of more than 15 digits in quotes, outside of strings.
///
/// Up to 15 significant digits survive a double unchanged; money beyond that would be rounded.
fn exact_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => number_length(rest),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let digits = token.bytes().filter(u8::is_ascii_digit).count();
        if first != '"' && digits > 15 {
            out.push('"');
            out.push_str(token);
            out.push('"');
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn number_length(text: &str) -> usize {
    text.bytes()
        .position(|byte| !(byte.is_ascii_digit() || b"+-.eE".contains(&byte)))
        .unwrap_or(text.len())
}

/// The query of a next link, as it was sent.
///
/// The real service writes links with `http` and a wrong path, so only the query is taken and our own
/// address is kept. A link to another host than the service's is refused.
fn next_query(origins: &[Url], link: &str) -> Result<String, ConnectError> {
    let first = origins.first().ok_or_else(|| broken("a next link to nowhere"))?;
    let url = first.join(link).map_err(|_| broken("a next link that is not an address"))?;
    if !origins.iter().any(|origin| names(origin, &url)) {
        return Err(broken("a next link that leads to another host"));
    }
    match url.query() {
        Some(query) if !query.is_empty() => Ok(query.to_owned()),
        _ => Err(broken("a next link without a query")),
    }
}

/// Whether `url` names the host and port of `origin`; the default ports of both schemes are one.
fn names(origin: &Url, url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host() == origin.host()
        && url.port() == origin.port()
        && url.username().is_empty()
        && url.password().is_none()
}

/// A text literal of a filter, with inner quotes doubled.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn broken(what: &str) -> ConnectError {
    ConnectError::Broken(format!("Partner Center sent {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::{exact_numbers, literal, next_query, page, parse};
    use crate::connect::error::ConnectError;

    fn base() -> [Url; 1] {
        [Url::parse("https://api.partner.microsoft.com/v1.0/engagements/").expect("a url")]
    }

    #[test]
    fn a_next_link_gives_its_query_or_is_refused() {
        let token = "$skiptoken=abc%2Bdef%3D";
        let table = [
            (
                format!("http://api.partner.microsoft.com/v1.0/referrals?{token}"),
                true,
                "as sampled",
            ),
            (format!("https://api.partner.microsoft.com/x?{token}"), true, "https, other path"),
            (format!("https://api.partner.microsoft.com:443/x?{token}"), true, "default port"),
            (format!("https://api.partner.microsoft.com:8443/x?{token}"), false, "another port"),
            (format!("https://evil.example/v1.0/engagements/referrals?{token}"), false, "foreign"),
            (format!("https://api.partner.microsoft.com.evil.example/?{token}"), false, "longer"),
            (
                format!("https://api.partner.microsoft.com@evil.example/?{token}"),
                false,
                "user name",
            ),
            (format!("https://a:b@api.partner.microsoft.com/?{token}"), false, "credentials"),
            (format!("//evil.example/?{token}"), false, "no scheme, another host"),
            (format!("ftp://api.partner.microsoft.com/?{token}"), false, "another scheme"),
            ("https://api.partner.microsoft.com/v1.0/referrals".to_owned(), false, "no query"),
            ("file:///etc/passwd?x".to_owned(), false, "a file"),
            (format!("?{token}"), true, "relative to us"),
        ];
        for (link, good, why) in table {
            let query = next_query(&base(), &link);
            match query {
                Ok(query) => {
                    assert!(good, "{link}: {why}");
                    assert_eq!(query, token, "not encoded again: {why}");
                }
                Err(ConnectError::Broken(_)) => assert!(!good, "{link}: {why}"),
                Err(other) => unreachable!("{other}"),
            }
        }
    }

    #[test]
    fn no_digit_of_an_amount_is_lost() {
        let table = [
            ("12345.67", "12345.67", "fits"),
            ("1234567890123.45", "1234567890123.45", "15 digits fit"),
            ("12345678901234567.89", "\"12345678901234567.89\"", "19 digits do not"),
            ("[1,-2.5e3,9007199254740993]", "[1,-2.5e3,\"9007199254740993\"]", "2^53 + 1"),
            (r#"{"a":"12345678901234567890"}"#, r#"{"a":"12345678901234567890"}"#, "text stays"),
            (r#"{"a\"1":"\\","b":1}"#, r#"{"a\"1":"\\","b":1}"#, "escapes"),
        ];
        for (text, expected, why) in table {
            assert_eq!(exact_numbers(text), expected, "{why}");
        }
        let parsed = parse(br#"{"dealValue":12345.10}"#).expect("JSON");
        assert_eq!(parsed["dealValue"].to_string(), "12345.1");
    }

    #[test]
    fn a_page_that_breaks_the_contract_is_broken() {
        let id = "11111111-2222-4333-8444-555555555555";
        let table = [
            (json!([]), "a list that is an array"),
            (json!({"values": []}), "no value"),
            (json!({"value": {}}), "an object in place of an array"),
            (json!({"value": [], "@odata.nextLink": 5}), "a link that is a number"),
        ];
        for (body, why) in table {
            let read = page(&base(), body.to_string().as_bytes());
            assert!(matches!(read, Err(ConnectError::Broken(_))), "{why}");
        }
        assert!(page(&base(), b"<html>").is_err());
        let good = json!({"value": [null, {"Id": id, "ETag": "\"1\""}], "@odata.nextLink": null});
        let read = page(&base(), good.to_string().as_bytes()).expect("a page");
        assert_eq!(read.referrals.len(), 1, "any case of the first letter, nulls left out");
        assert_eq!((read.next, read.is_whole), (None, true));
        for (item, kept) in [(json!({"id": id}), 1), (json!({"eTag": "\"1\""}), 0)] {
            let body = json!({"value": [item, {"id": id, "eTag": "\"1\""}]}).to_string();
            let read = page(&base(), body.as_bytes()).expect("the rest of the list");
            assert_eq!((read.referrals.len(), read.is_whole), (kept + 1, false), "{item}");
        }
    }

    #[test]
    fn a_quote_cannot_leave_its_literal() {
        assert_eq!(literal("a' or 1 eq 1"), "'a'' or 1 eq 1'");
    }
}
