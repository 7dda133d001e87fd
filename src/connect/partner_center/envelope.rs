//! Reads the body of an authentic delivery.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value as Json;

use super::pinned::referral_part;
use crate::connect::webhook::Hint;
use crate::domain::id::ReferralId;

/// Longest name of an event that is kept.
const EVENT_LETTERS: usize = 64;
/// Events about a referral. Others are acknowledged and not used.
const REFERRAL_EVENTS: [&str; 4] = [
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
];

/// The names and values of a JSON object, names in lower case; a name given twice is an error.
struct Envelope(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor).map(Self)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Vec<(String, Json)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeSet::new();
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            let name = name.to_ascii_lowercase();
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name is given twice"));
            }
            fields.push((name, value));
        }
        Ok(fields)
    }
}

/// What an authentic body hints at. The error says why it is no event.
pub(super) fn read(body: &[u8], hosts: &[String]) -> Result<Hint, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let Envelope(fields) =
        serde_json::from_str(text).map_err(|error| format!("the body is not an event: {error}"))?;
    let field = |name: &str| {
        fields.iter().find(|(known, _)| *known == name.to_ascii_lowercase()).map(|(_, value)| value)
    };
    let required = |name: &str| match field(name) {
        Some(Json::String(text)) if !text.is_empty() => Ok(text.as_str()),
        _ => Err(format!("{name} is not text")),
    };
    let name = required("EventName")?;
    let uri = required("ResourceUri")?;
    let event = shown(name);
    if !REFERRAL_EVENTS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(Hint::Unused { event });
    }
    let resource = match field("ResourceName") {
        None | Some(Json::Null) => None,
        Some(Json::String(resource)) => Some(resource),
        Some(_) => return Err("ResourceName is not text".to_owned()),
    };
    if resource.is_some_and(|name| !name.to_ascii_lowercase().ends_with("referral")) {
        let reason = "ResourceName names something other than a referral".to_owned();
        return Ok(Hint::Unusable { event, reason });
    }
    Ok(match referral_part(uri, hosts).as_deref().and_then(ReferralId::parse) {
        Some(id) => Hint::Referral { id, event: event.to_ascii_lowercase() },
        None => Hint::Unusable {
            event,
            reason: "ResourceUri is not the address of a referral".to_owned(),
        },
    })
}

/// The name of an event as it may be shown and stored: short, without control characters.
fn shown(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .take(EVENT_LETTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::connect::webhook::Hint;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn hosts() -> Vec<String> {
        vec!["api.partnercenter.microsoft.com".to_owned()]
    }

    fn uri(id: &str) -> String {
        format!("https://api.partnercenter.microsoft.com/engagements/v1/referrals/{id}")
    }

    /// The kind of the outcome in one word.
    fn outcome(body: &[u8]) -> &'static str {
        match read(body, &hosts()) {
            Ok(Hint::Referral { id, .. }) => {
                assert_eq!(id.as_str(), ID);
                "referral"
            }
            Ok(Hint::Unused { .. }) => "unused",
            Ok(Hint::Unusable { .. }) => "unusable",
            Ok(Hint::Record { .. }) => "record",
            Err(_) => "no event",
        }
    }

    #[test]
    fn every_malformed_body_lands_where_it_belongs() {
        let uri = uri(ID);
        let good = format!(
            r#""EventName":"referral-updated","ResourceUri":"{uri}","ResourceName":"referral""#
        );
        let event = |name: &str| format!(r#"{{"EventName":"{name}","ResourceUri":"{uri}"}}"#);
        let at = |uri: &str| format!(r#"{{"EventName":"referral-updated","ResourceUri":"{uri}"}}"#);
        let table: Vec<(String, &str, &str)> = vec![
            (format!("{{{good}}}"), "referral", "as documented"),
            (String::new(), "no event", "W12: empty"),
            (format!("\u{feff}{{{good}}}"), "referral", "W14: one BOM"),
            (format!("\u{feff}\u{feff}{{{good}}}"), "no event", "W14: two BOMs"),
            ("[".repeat(100_000), "no event", "W15: depth"),
            (format!(r#"{{{good},"x":{}"#, "[".repeat(60_000)), "no event", "W15: depth inside"),
            (format!(r#"{{{good},"EventName":"x"}}"#), "no event", "W16: a name twice"),
            (format!(r#"{{{good},"eventname":"x"}}"#), "no event", "W16: twice in another case"),
            (format!("[{{{good}}}]"), "no event", "W17: an array"),
            (format!(r#"["referral-updated","{uri}"]"#), "no event", "W17: as a tuple"),
            (format!(r#"{{{good},"x":NaN}}"#), "no event", "W18: NaN"),
            (format!(r#"{{{good},"x":1e999}}"#), "no event", "W18: too large a number"),
            (format!("{{{good}}}x"), "no event", "W19: trailing garbage"),
            (format!("{{{good}}}{{{good}}}"), "no event", "W19: two documents"),
            (r#"{"EventName":5,"ResourceUri":"x"}"#.into(), "no event", "W20: a number"),
            (r#"{"EventName":"referral-updated"}"#.into(), "no event", "W20: no ResourceUri"),
            (
                r#"{"EventName":"referral-updated","ResourceUri":null}"#.into(),
                "no event",
                "W20: null",
            ),
            (format!(r#"{{{good},"partnerId":"x","new":[1]}}"#), "referral", "W21: more fields"),
            (
                format!(r#"{{"eventname":"Referral-Updated","RESOURCEURI":"{uri}"}}"#),
                "referral",
                "W22: any case",
            ),
            (event("invoice-ready"), "unused", "W23: another product's"),
            (event("test-created"), "unused", "W24: a test"),
            (event(&"x".repeat(60_000)), "unused", "W25: a long name"),
            (
                format!(r#"{{{}}}"#, good.replace(r#":"referral""#, r#":"test""#)),
                "unusable",
                "W26: names disagree",
            ),
            (
                format!(
                    r#"{{"EventName":"referral-updated","ResourceUri":"{uri}","ResourceName":5}}"#
                ),
                "no event",
                "W26: not text",
            ),
            (at("http://localhost:16722/x"), "unusable", "the sample's address"),
            (at(&uri.to_ascii_uppercase()), "unusable", "X5: the path keeps its case"),
            (at(&super::tests::uri(&format!("{{{ID}}}"))), "unusable", "X5: braces"),
            (at(&super::tests::uri(&ID[1..])), "unusable", "X5: 35 characters"),
            (at(&super::tests::uri(&format!("{ID}0"))), "unusable", "X5: 37 characters"),
            (
                at(&super::tests::uri("00000000-0000-0000-0000-000000000000")),
                "unusable",
                "X5: all zeros",
            ),
            (at(&format!("{uri}\\u0000")), "unusable", "X7: NUL"),
            (at(&format!("{uri}\\n")), "unusable", "X7: line feed"),
            (
                format!(r#"{{{good},"AuditUri":"http://169.254.169.254/"}}"#),
                "referral",
                "X8: never looked at",
            ),
            (event("related-referral-created"), "referral", "X10: by id"),
        ];
        for (body, expected, why) in table {
            assert_eq!(outcome(body.as_bytes()), expected, "{why}");
        }
        assert_eq!(outcome(b"{\"EventName\":\"\xff\"}"), "no event", "W13: not UTF-8");
    }

    #[test]
    fn a_guid_in_upper_case_is_the_same_referral() {
        let id = "AAAAAAAA-2222-4333-8444-55555555555A";
        let body = format!(r#"{{"EventName":"referral-created","ResourceUri":"{}"}}"#, uri(id));
        let hint = read(body.as_bytes(), &hosts()).expect("an event");
        let expected = "aaaaaaaa-2222-4333-8444-55555555555a";
        assert!(matches!(hint, Hint::Referral { id, .. } if id.as_str() == expected));
    }

    #[test]
    fn a_name_cannot_break_a_log_line() {
        let body = r#"{"EventName":"a\nb\u001b[0m","ResourceUri":"x"}"#;
        let hint = read(body.as_bytes(), &hosts()).expect("an event");
        let Hint::Unused { event } = hint else { unreachable!("an unknown event") };
        assert!(!event.contains(['\n', '\u{1b}']));
    }
}
