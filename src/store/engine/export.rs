//! The whole store as gzip-compressed JSON Lines, and back.
//!
//! The first line says what it is and at which sequence number it was taken; each further line is
//! one row; the last line counts them, so that a file that was cut off is never taken for whole.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::codec::{self, LAYOUT};
use super::identity::{self, SCHEMA};
use super::keys::Table;
use super::rows::{Row, Rows};
use crate::store::StoreError;

/// What the first line calls itself.
const FORMAT: &str = "cosell-sync store export";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Title {
    format: String,
    schema: u32,
    layout: u8,
    store: String,
    sequence: u64,
}

/// One row.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Lower-case hex.
    key: String,
    value: Box<RawValue>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    rows: u64,
}

/// Writes every row to `path`: complete and synced there, or not there at all. The number of lines.
///
/// # Errors
///
/// [`StoreError::Damaged`] for a row that cannot be read; [`StoreError::Failed`] if the file cannot
/// be written.
pub(crate) fn write_file(rows: &dyn Rows, path: &Path) -> Result<u64, StoreError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let file = create_private(partial).map_err(|error| cannot("write", partial, &error))?;
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::default());
    let lines = write_lines(rows, &mut out)?;
    let synced = out.finish().and_then(|out| out.into_inner().map_err(Into::into));
    synced
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(partial, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| cannot("finish", path, &error))?;
    Ok(lines)
}

/// Creates a file that only its owner can read: an export holds personal data.
fn create_private(path: &Path) -> std::io::Result<File> {
    // What an earlier try left behind keeps its permissions when it is opened again.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the directory entry of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes the lines and returns their number.
fn write_lines(rows: &dyn Rows, out: &mut dyn Write) -> Result<u64, StoreError> {
    let identity = identity::identify(rows)?
        .ok_or_else(|| StoreError::Damaged("the store is empty".to_owned()))?;
    let (store, sequence) = (identity.id, identity.sequence);
    let format = FORMAT.to_owned();
    write_line(out, &Title { format, schema: SCHEMA, layout: LAYOUT, store, sequence })?;
    let mut count = 0;
    for row in rows.range(&[0], &[Table::Body as u8], false) {
        let (key, value) = row?;
        let value = serde_json::from_slice(codec::json(&value)?);
        let value = value.map_err(|_| StoreError::Damaged("a row is not JSON".to_owned()))?;
        write_line(out, &Line { key: hex_of(&key), value })?;
        count += 1;
    }
    write_line(out, &End { rows: count })?;
    Ok(count + 2)
}

fn write_line<T: Serialize>(out: &mut dyn Write, line: &T) -> Result<(), StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(format!("export: {error}"));
    serde_json::to_writer(&mut *out, line).map_err(|error| failed(&error))?;
    out.write_all(b"\n").map_err(|error| failed(&error))
}

/// Reads an export and hands every row to `take`, in the order of keys; the number of rows.
///
/// # Errors
///
/// [`StoreError::NewerSchema`] if a newer program wrote it; [`StoreError::Damaged`] if it is not an
/// export or not a whole one, in which case what `take` got must not be used.
pub(crate) fn read_file(
    path: &Path,
    take: &mut dyn FnMut(Row) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let mut lines = BufReader::new(GzDecoder::new(BufReader::new(file))).lines();
    let title: Title = read_line(lines.next(), path)?;
    if title.format != FORMAT {
        return Err(not_whole(path));
    }
    if title.schema > SCHEMA || title.layout > LAYOUT {
        return Err(StoreError::NewerSchema { found: title.schema, known: SCHEMA });
    }
    let mut count = 0;
    loop {
        let text: Box<RawValue> = read_line(lines.next(), path)?;
        let Ok(line) = serde_json::from_str::<Line>(text.get()) else {
            let end: End = serde_json::from_str(text.get()).map_err(|_| not_whole(path))?;
            let whole = end.rows == count && lines.next().is_none();
            return if whole { Ok(count) } else { Err(not_whole(path)) };
        };
        let key = bytes_of(&line.key).ok_or_else(|| not_whole(path))?;
        let mut value = vec![title.layout];
        value.extend_from_slice(line.value.get().as_bytes());
        take((key, value))?;
        count += 1;
    }
}

fn read_line<T: serde::de::DeserializeOwned>(
    line: Option<std::io::Result<String>>,
    path: &Path,
) -> Result<T, StoreError> {
    let line = line.and_then(Result::ok).ok_or_else(|| not_whole(path))?;
    serde_json::from_str(&line).map_err(|_| not_whole(path))
}

fn not_whole(path: &Path) -> StoreError {
    StoreError::Damaged(format!("{} is not a whole export of a store", path.display()))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("cannot {what} {}: {error}", path.display()))
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes_of, hex_of};

    #[cfg(unix)]
    #[test]
    fn an_export_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup.partial");
        std::fs::write(&path, "left behind, readable by others").expect("written");
        let file = super::create_private(&path).expect("a file");
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }

    #[test]
    fn keys_come_back_from_hex() {
        let bytes = [0, 1, 127, 255];
        assert_eq!(bytes_of(&hex_of(&bytes)), Some(bytes.to_vec()));
        for (text, why) in [("0", "half a byte"), ("0g", "not a digit"), ("é1", "not ASCII")] {
            assert_eq!(bytes_of(text), None, "{why}");
        }
    }
}
