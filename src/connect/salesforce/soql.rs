//! SOQL text and record ids: the only place where data becomes part of a query.

use crate::connect::http::address;
use crate::domain::time::Timestamp;

/// A quoted text literal. A backslash goes before `'`, `"` and `\`; line ends and tabs have escapes.
/// Source: the literal rules of the SOQL reference; doubling the quote is wrong in SOQL.
#[must_use]
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for letter in value.chars() {
        match letter {
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// A moment as a literal, which is never quoted.
#[must_use]
pub(super) fn instant(at: Timestamp) -> String {
    at.to_string()
}

/// `(a, b)` of quoted literals.
#[must_use]
pub(super) fn list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    format!("({})", values.map(text).collect::<Vec<_>>().join(", "))
}

/// Whether `name` may stand in a query as a field: letters, digits and underscores, in parts joined
/// by dots. Anything else could be query text.
#[must_use]
pub(super) fn is_path(name: &str) -> bool {
    !name.is_empty() && name.split('.').all(is_name)
}

/// Whether `name` is one API name.
#[must_use]
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 120
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The address of a query under `resource` (`query` or `queryAll`).
#[must_use]
pub(super) fn path(data_path: &str, resource: &str, soql: &str) -> String {
    format!("{data_path}/{resource}?q={}", address::encode(soql))
}

/// An id in its long form of 18 characters, made from 15 or 18; `None` if it is not an id.
///
/// The last three characters say which of the others are capital letters, five at a time.
#[must_use]
pub(super) fn long_id(id: &str) -> Option<String> {
    if !matches!(id.len(), 15 | 18) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    if id.len() == 18 {
        return Some(id.to_owned());
    }
    let mut long = id.to_owned();
    for group in id.as_bytes().chunks(5) {
        let capitals = group
            .iter()
            .enumerate()
            .filter(|(_, byte)| byte.is_ascii_uppercase())
            .fold(0usize, |bits, (at, _)| bits | (1 << at));
        long.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[capitals]));
    }
    Some(long)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_path, list, long_id, text};

    /// Reads a literal as Salesforce does; `None` if it ends early or late.
    fn read(literal: &str) -> Option<String> {
        let inner = literal.strip_prefix('\'')?;
        let mut letters = inner.chars();
        let mut out = String::new();
        loop {
            match letters.next()? {
                '\'' => break,
                '\\' => out.push(match letters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    same @ ('\'' | '"' | '\\') => same,
                    _ => return None,
                }),
                other => out.push(other),
            }
        }
        letters.next().is_none().then_some(out)
    }

    proptest! {
        /// Whatever is quoted is read back as one literal with the same text: nothing escapes.
        #[test]
        fn no_text_escapes_its_quotes(value in "(?s)[a'\"\\\\\n\r\t%_ é;-]{0,24}|.{0,24}") {
            prop_assert_eq!(read(&text(&value)), Some(value));
        }
    }

    #[test]
    fn only_names_may_stand_bare_in_a_query() {
        let table = [
            ("Name", true, "a field"),
            ("Account.Name", true, "a field of a parent"),
            ("Microsoft__Sync__c", true, "a packaged field"),
            ("", false, "nothing"),
            ("Name FROM User", false, "a space"),
            ("Name,Id", false, "two fields"),
            ("Account..Name", false, "an empty part"),
            ("1Name", false, "a digit first"),
            ("COUNT()", false, "a function"),
        ];
        for (name, good, why) in table {
            assert_eq!(is_path(name), good, "{name}: {why}");
        }
        assert_eq!(list(["a", "b'"].into_iter()), r"('a', 'b\'')");
    }

    #[test]
    fn short_ids_get_their_check_letters() {
        let table = [
            ("001D000000IqhSL", Some("001D000000IqhSLIAZ"), "the example of the manuals"),
            ("00DD0000000JxY1", Some("00DD0000000JxY1MAK"), "an organisation"),
            ("006000000000001AAA", Some("006000000000001AAA"), "long already"),
            ("00600000000000", None, "14 characters"),
            ("11111111-2222-4333-8444-555555555555", None, "a GUID"),
            ("00600000000000'", None, "a quote"),
        ];
        for (id, expected, why) in table {
            assert_eq!(long_id(id).as_deref(), expected, "{id}: {why}");
        }
    }
}
