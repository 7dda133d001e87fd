//! Values: one byte that names the layout, then JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;

/// The layout this program writes. A newer one is refused, never guessed at.
pub(crate) const LAYOUT: u8 = 1;

/// The bytes of a value.
///
/// # Errors
///
/// [`StoreError::Damaged`] if the value has no JSON form.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![LAYOUT];
    serde_json::to_writer(&mut bytes, value).map_err(|error| damaged("a new value", &error))?;
    Ok(bytes)
}

/// The value in `bytes`.
///
/// # Errors
///
/// [`StoreError::Damaged`] if they are not a value of the known layout.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json(bytes)?).map_err(|error| damaged("a row", &error))
}

/// The JSON of a value.
///
/// # Errors
///
/// [`StoreError::Damaged`] if the layout is not known.
pub(crate) fn json(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        Some((&LAYOUT, json)) => Ok(json),
        Some((layout, _)) => Err(StoreError::Damaged(format!("layout {layout} is not known"))),
        None => Err(StoreError::Damaged("a value is empty".to_owned())),
    }
}

/// Names where and in which way a value is damaged, without quoting it.
fn damaged(what: &str, error: &serde_json::Error) -> StoreError {
    let place = (error.line(), error.column());
    StoreError::Damaged(format!("{what}: {:?} at {place:?}", error.classify()))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn values_come_back_and_nothing_else_is_read() {
        let bytes = encode("Contoso").expect("text has a JSON form");
        assert_eq!(decode::<String>(&bytes).expect("the same layout"), "Contoso");
        let table: [(&[u8], &str); 4] = [
            (b"", "empty"),
            (b"\x02\"Contoso\"", "a newer layout"),
            (b"\x01\"Cont", "cut off"),
            (b"\x0112", "another type"),
        ];
        for (bytes, why) in table {
            assert!(decode::<String>(bytes).is_err(), "{why}");
        }
    }

    #[test]
    fn a_message_never_quotes_the_value() {
        let bytes = encode("seller@contoso.example").expect("text has a JSON form");
        let error = decode::<u32>(&bytes).expect_err("not a number").to_string();
        assert!(!error.contains("contoso"), "{error}");
    }
}
