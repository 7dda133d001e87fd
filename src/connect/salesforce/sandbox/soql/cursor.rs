//! Results that are handed out page by page.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::id::Ids;
use crate::domain::time::Timestamp;

/// How long a cursor lives.
const LIFE: Duration = Duration::from_secs(2 * 24 * 3600);

#[derive(Debug)]
struct Cursor {
    records: Vec<Value>,
    page: usize,
    opened: Timestamp,
}

/// The open cursors by id.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: BTreeMap<String, Cursor>,
}

impl Cursors {
    /// The first page of `records`; the rest waits under a new cursor.
    pub(crate) fn first_page(
        &mut self,
        records: Vec<Value>,
        page: usize,
        root: &str,
        ids: &mut Ids,
        now: Timestamp,
    ) -> Value {
        let id = ids.make("01g");
        let cursor = Cursor { records, page: page.max(1), opened: now };
        let answer = cursor.page_at(0, &format!("{root}/query/{id}"));
        if answer["done"] == json!(false) {
            self.open.insert(id, cursor);
        }
        answer
    }

    /// The page behind the last path segment of a `nextRecordsUrl`.
    ///
    /// # Errors
    ///
    /// `INVALID_QUERY_LOCATOR` if the cursor is unknown, stale or past its end.
    pub(crate) fn page(&self, locator: &str, root: &str, now: Timestamp) -> Result<Value, Failure> {
        let invalid = || Failure::new("INVALID_QUERY_LOCATOR", "invalid query locator");
        let (id, at) = locator.split_once('-').ok_or_else(invalid)?;
        let at: usize = at.parse().map_err(|_| invalid())?;
        let cursor = self.open.get(id).ok_or_else(invalid)?;
        if now.since(cursor.opened) >= LIFE || at >= cursor.records.len() {
            return Err(invalid());
        }
        Ok(cursor.page_at(at, &format!("{root}/query/{id}")))
    }

    /// Ends every cursor.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}

impl Cursor {
    fn page_at(&self, at: usize, url: &str) -> Value {
        let end = (at + self.page).min(self.records.len());
        let done = end == self.records.len();
        let records = self.records.get(at..end).unwrap_or_default();
        let mut answer =
            json!({ "totalSize": self.records.len(), "done": done, "records": records });
        if !done {
            answer["nextRecordsUrl"] = json!(format!("{url}-{end}"));
        }
        answer
    }
}
