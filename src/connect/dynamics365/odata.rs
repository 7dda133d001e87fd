//! OData texts: literals, keys, addresses. The only place that puts values into an address.

use url::Url;

use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::address;
use crate::domain::id::ReferralId;

/// A string literal as it stands in an address: quotes doubled, then percent-encoded.
///
/// Nothing in `text` can end the literal.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", address::encode(&text.replace('\'', "''")))
}

/// A lower-case GUID, or `None` if `text` is not one. Whatever goes into an address between
/// parentheses has passed this.
pub(super) fn guid(text: &str) -> Option<String> {
    ReferralId::parse(text).map(|id| id.as_str().to_owned())
}

/// A literal of the given attribute type, or `None` if `text` is not a value of that type.
pub(super) fn literal(attribute_type: &str, text: &str) -> Option<String> {
    match attribute_type {
        "String" | "Memo" | "EntityName" => Some(text_literal(text)),
        "Uniqueidentifier" | "Lookup" | "Customer" | "Owner" => guid(text),
        "Integer" | "BigInt" | "Picklist" | "State" | "Status" => {
            text.parse::<i64>().ok().map(|number| number.to_string())
        }
        "Money" | "Decimal" => {
            text.parse::<rust_decimal::Decimal>().ok().map(|number| number.to_string())
        }
        "Boolean" => text.parse::<bool>().ok().map(|flag| flag.to_string()),
        _ => None,
    }
}

/// Whether `name` may stand in an address as the name of a table, column or navigation property.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether `text` can be addressed as the value of an alternate key: some characters break such an
/// address however they are encoded.
pub(super) fn is_key_value(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 400
        && !text.chars().any(|letter| "/<>*%&:\\?+#".contains(letter) || letter.is_control())
}

/// An address below the Web API's root. `rest` is already encoded.
pub(super) fn address(api: &Url, rest: &str) -> Result<Url, ConnectError> {
    api.join(rest).map_err(|_| ConnectError::Broken("an address cannot be built".to_owned()))
}

/// A refusal that we make ourselves, before anything is sent.
pub(super) fn refuse(fields: &[&str], message: impl Into<String>) -> ConnectError {
    ConnectError::Rejected(Refusal {
        message: message.into(),
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
        ..Refusal::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq};
    use url::Url;

    use super::{guid, is_key_value, is_name, literal, text_literal};

    /// What a server does with the value of `$filter`: decode, then read the literal.
    fn read_by_a_server(url: &Url) -> Option<String> {
        let (_, filter) = url.query_pairs().find(|(name, _)| name == "$filter")?;
        let inner = filter.strip_prefix("name eq '")?.strip_suffix('\'')?;
        let mut text = String::new();
        let mut letters = inner.chars();
        while let Some(letter) = letters.next() {
            if letter == '\'' && letters.next() != Some('\'') {
                return None;
            }
            text.push(letter);
        }
        Some(text)
    }

    proptest::proptest! {
        /// Whatever a person typed arrives as it is and cannot end the literal.
        #[test]
        fn a_quoted_text_is_read_back_as_it_was(text in any::<String>()) {
            let url = Url::parse(&format!(
                "https://contoso.crm.dynamics.com/api/data/v9.2/accounts?$filter=name%20eq%20{}&$top=1",
                text_literal(&text)
            )).expect("an address");
            prop_assert_eq!(read_by_a_server(&url), Some(text));
            prop_assert_eq!(url.query_pairs().count(), 2);
        }
    }

    #[test]
    fn only_values_of_the_type_become_literals() {
        let table = [
            ("String", "O'Brien & Co", Some("'O%27%27Brien%20%26%20Co'"), "text is quoted"),
            ("Picklist", "3", Some("3"), "a code"),
            ("Picklist", "3 or 1 eq 1", None, "no way out of the literal"),
            (
                "Lookup",
                "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE",
                Some("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"),
                "lower case",
            ),
            ("Lookup", "aaaaaaaa) or (1 eq 1", None, "not a guid"),
            ("Boolean", "true", Some("true"), "a flag"),
            ("Money", "12.50", Some("12.50"), "an amount"),
            ("Virtual", "x", None, "cannot be compared"),
        ];
        for (kind, text, expected, why) in table {
            assert_eq!(literal(kind, text).as_deref(), expected, "{kind} {text}: {why}");
        }
    }

    #[test]
    fn names_and_keys_are_checked() {
        assert!(is_name("pc_ReferralIdentifier"));
        assert!(!is_name("name desc"));
        assert!(!is_name(""));
        assert!(is_key_value("11111111-2222-4333-8444-555555555555"));
        assert!(!is_key_value("a/b"), "breaks the address even when encoded");
        assert_eq!(guid("11111111-2222-4333-8444-55555555555"), None);
    }
}
