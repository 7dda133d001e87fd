//! Cursors of feeds and small named values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Key, Table};
use super::{Rows, Work, codec};
use crate::domain::id::AccountName;
use crate::store::{CursorMove, StoreError};

/// Moves a cursor, or forgets it.
pub(crate) fn move_cursor(work: &mut Work<'_>, cursor: &CursorMove) -> Result<(), StoreError> {
    let key = cursor_key(&cursor.account, &cursor.feed);
    if let Some(position) = &cursor.cursor {
        return work.put(key, position);
    }
    work.remove(key);
    Ok(())
}

/// Where a feed stands.
pub(crate) fn cursor(
    rows: &dyn Rows,
    account: &AccountName,
    feed: &str,
) -> Result<Option<String>, StoreError> {
    rows.load(&cursor_key(account, feed))
}

/// Stores a named value, or removes it.
pub(crate) fn keep_note(
    work: &mut Work<'_>,
    name: &str,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    match value {
        Some(value) => work.put(note_key(name), &STANDARD.encode(value)),
        None => {
            work.remove(note_key(name));
            Ok(())
        }
    }
}

/// A named value.
pub(crate) fn note(rows: &dyn Rows, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    rows.get(&note_key(name))?.map(|bytes| note_value(&bytes)).transpose()
}

/// Names and values whose name begins with `prefix`, by name.
pub(crate) fn notes(rows: &dyn Rows, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let found = rows.under(&note_key(prefix)).map(|row| {
        let (key, value) = row?;
        let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        Ok((name, note_value(&value)?))
    });
    found.collect()
}

fn note_value(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let text: String = codec::decode(bytes)?;
    STANDARD.decode(text).map_err(|_| StoreError::Damaged("a note is not base64".to_owned()))
}

fn note_key(name: &str) -> Vec<u8> {
    Key::of(Table::Note).tail(name.as_bytes()).bytes()
}

fn cursor_key(account: &AccountName, feed: &str) -> Vec<u8> {
    Key::of(Table::Cursor).text(account.as_str()).text(feed).bytes()
}
