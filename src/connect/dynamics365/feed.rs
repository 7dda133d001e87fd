//! The change feed: change tracking, or a poll by `modifiedon` where tracking is off.
//!
//! * A cursor holds the whole link, the environment and a hash of the columns; a link of another
//!   environment is refused, other columns start the feed again.
//! * Records of a page hold plain columns only: the platform refuses `$expand` in a tracked read.
//!   Whoever needs fields of related rows fetches the record.
//! * A poll by `modifiedon` does not see deletions; a full comparison does.
//! * A page that does not arrive twice in a row makes pages smaller. A run of pages keeps its size,
//!   because a link counts pages; a smaller size begins the run again from its start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use url::Url;

use super::Dynamics365;
use super::client::{Request, rows, text};
use super::metadata::Table;
use super::odata::guid;
use super::select::Selection;
use crate::connect::crm::ChangePage;
use crate::connect::error::ConnectError;
use crate::connect::http::address::same_origin;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::{Record, Shape};
use crate::domain::time::Timestamp;

/// Where a feed stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cursor {
    /// Id of the environment's organisation.
    organization: String,
    /// Hash of table and columns.
    shape: String,
    /// How the run of pages began.
    start: Start,
    /// The next page of the run; `None` at its beginning.
    link: Option<String>,
    /// Rows per page in this run.
    size: usize,
    /// Pages of this run so far.
    pages: u32,
    /// Poll by `modifiedon` only: what was seen of late, by id, with version and stamp.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<String, (String, Timestamp)>,
}

/// How a run of pages began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Start {
    /// The first full read with change tracking.
    Full,
    /// A delta link.
    Delta(String),
    /// A poll of rows modified since; `None` reads everything.
    Modified(Option<Timestamp>),
}

/// A run that goes on for longer is a loop.
const MOST_PAGES: u32 = 100_000;
/// Pages are not made smaller than this.
const SMALLEST_PAGE: usize = 50;
/// Versions remembered by a poll.
const MOST_SEEN: usize = 1000;

/// Rows per page, smaller after failures.
#[derive(Debug)]
pub(super) struct PageSize {
    most: usize,
    now: AtomicUsize,
    failures: AtomicUsize,
}

impl PageSize {
    /// Starts at `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(most), failures: AtomicUsize::new(0) }
    }

    fn get(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// A single failure is anything; a second in a row may be the size.
    fn failed(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            let smaller = (self.get() / 2).max(SMALLEST_PAGE.min(self.most));
            self.now.store(smaller, Ordering::Relaxed);
        }
    }

    fn good(&self, run_ended: bool) {
        self.failures.store(0, Ordering::Relaxed);
        if run_ended {
            self.now.store((self.get() * 2).min(self.most), Ordering::Relaxed);
        }
    }
}

impl Dynamics365 {
    pub(super) async fn change_page(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        shape: &Shape,
    ) -> Result<ChangePage, ConnectError> {
        let plain = Shape {
            fields: shape.fields.iter().filter(|name| !name.contains('.')).cloned().collect(),
            ..shape.clone()
        };
        let (table, selection) = self.plan(kind, &plain).await?;
        let select = selection.plain(&["modifiedon"]);
        let cursor = self.resume(&table, cursor, &select).await?;
        let request = self.page_request(&table, &cursor, &select)?;
        let json = self.client.read(&request).await.inspect_err(|error| {
            if matches!(error, ConnectError::Unavailable(_) | ConnectError::Broken(_)) {
                self.page_size.failed();
            }
        })?;
        let page = self.page((kind, &table, &selection), cursor, &request, &json)?;
        self.page_size.good(!page.more);
        Ok(page)
    }

    /// Reads the cursor, or makes the first one.
    async fn resume(
        &self,
        table: &Table,
        cursor: Option<&str>,
        select: &str,
    ) -> Result<Cursor, ConnectError> {
        let organization = self.organization().await?;
        let shape = hash(&table.name, select);
        let size = self.page_size.get();
        let Some(text) = cursor else {
            let start = if table.tracks_changes { Start::Full } else { Start::Modified(None) };
            let seen = BTreeMap::new();
            return Ok(Cursor { organization, shape, start, link: None, size, pages: 0, seen });
        };
        let mut cursor: Cursor =
            serde_json::from_str(text).map_err(|_| ConnectError::CursorExpired)?;
        if cursor.organization != organization {
            return Err(ConnectError::Broken(format!(
                "the feed was read from organization {} and the environment is now {organization}: \
                 if the environment was moved on purpose, start its feeds afresh",
                cursor.organization
            )));
        }
        if cursor.shape != shape {
            return Err(ConnectError::CursorExpired);
        }
        if cursor.size > size || cursor.link.is_none() {
            cursor.link = None;
            cursor.pages = 0;
            cursor.size = size;
        }
        Ok(cursor)
    }

    fn page_request(
        &self,
        table: &Table,
        cursor: &Cursor,
        select: &str,
    ) -> Result<Request, ConnectError> {
        let url = match (&cursor.link, &cursor.start) {
            (Some(link), _) | (None, Start::Delta(link)) => self.own_link(link)?,
            (None, Start::Full) => self.client.url(&format!("{}?{select}", table.set))?,
            (None, Start::Modified(since)) => {
                let filter = since.map_or_else(String::new, |since| {
                    let since = since.minus(self.modified_overlap);
                    format!("&$filter=modifiedon%20ge%20{since}")
                });
                self.client.url(&format!(
                    "{}?{select}{filter}&$orderby=modifiedon%20asc,{}%20asc",
                    table.set, table.id
                ))?
            }
        };
        let request = Request::get(url).prefer(format!("odata.maxpagesize={}", cursor.size));
        Ok(match cursor.start {
            Start::Modified(_) => request,
            Start::Full | Start::Delta(_) => request.prefer("odata.track-changes"),
        })
    }

    /// A link goes nowhere but back to the Web API it came from: the token travels with it.
    fn own_link(&self, link: &str) -> Result<Url, ConnectError> {
        let api = self.client.api();
        match Url::parse(link) {
            Ok(url) if same_origin(api, &url) && url.path().starts_with(api.path()) => Ok(url),
            _ => Err(ConnectError::Broken("a link leads away from the environment".to_owned())),
        }
    }

    fn page(
        &self,
        (kind, table, selection): (RecordKind, &Table, &Selection),
        mut cursor: Cursor,
        request: &Request,
        json: &Json,
    ) -> Result<ChangePage, ConnectError> {
        let mut changed: Vec<Record> = Vec::new();
        let mut deleted = Vec::new();
        for row in rows(json)? {
            match tombstone(row) {
                Some(id) => deleted.push(RecordId::new(id?)),
                None => changed.push(selection.record(kind, table, row)?),
            }
        }
        let link = |name: &str| json.get(name).and_then(Json::as_str);
        let (next, delta) = (link("@odata.nextLink"), link("@odata.deltaLink"));
        if let Start::Modified(_) = cursor.start {
            cursor.remember(&mut changed);
        }
        let more = next.is_some();
        match (next, delta, &cursor.start) {
            (Some(next), _, _) => {
                let url = self.own_link(next)?;
                if url == request.url || cursor.pages >= MOST_PAGES {
                    return Err(ConnectError::Broken(
                        "the pages of the feed do not end".to_owned(),
                    ));
                }
                cursor.link = Some(next.to_owned());
                cursor.pages += 1;
            }
            (None, Some(delta), Start::Full | Start::Delta(_)) => {
                self.own_link(delta)?;
                cursor.begin(Start::Delta(delta.to_owned()));
            }
            (None, _, Start::Modified(_)) => {
                cursor.end_poll(self.modified_overlap, self.client.now());
            }
            (None, None, _) => {
                return Err(ConnectError::Broken(
                    "the feed answered without a link to go on from".to_owned(),
                ));
            }
        }
        let cursor = serde_json::to_string(&cursor)
            .map_err(|error| ConnectError::Broken(format!("the cursor: {error}")))?;
        Ok(ChangePage { changed, deleted, cursor, more })
    }
}

impl Cursor {
    fn begin(&mut self, start: Start) {
        self.start = start;
        self.link = None;
        self.pages = 0;
    }

    /// Takes out what an earlier poll already told, and remembers the rest.
    fn remember(&mut self, changed: &mut Vec<Record>) {
        changed.retain(|record| {
            let id = record.key.id.as_str();
            self.seen.get(id).is_none_or(|(version, _)| *version != record.version.0)
        });
        for record in changed.iter() {
            let value = (record.version.0.clone(), record.modified);
            self.seen.insert(record.key.id.as_str().to_owned(), value);
        }
        // Only the newest can come again in the overlap of the next poll.
        while self.seen.len() > MOST_SEEN {
            let oldest = self.seen.iter().min_by_key(|(_, (_, at))| *at);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.seen.remove(&oldest);
        }
    }

    /// Begins the next poll where this one saw its newest row. A stamp that lies ahead, such as an
    /// import can leave, must not lead past the changes of until then.
    fn end_poll(&mut self, overlap: std::time::Duration, now: Timestamp) {
        let newest = self.seen.values().map(|(_, at)| *at).max();
        let before = match self.start {
            Start::Modified(since) => since,
            Start::Full | Start::Delta(_) => None,
        };
        let since = newest.max(before).map(|since| since.min(now));
        if let Some(since) = since {
            self.seen.retain(|_, (_, at)| *at >= since.minus(overlap));
        }
        self.begin(Start::Modified(since));
    }
}

/// The id of a row that is gone: deleted, or out of our sight.
fn tombstone(row: &Json) -> Option<Result<String, ConnectError>> {
    let gone =
        text(row, "@odata.context").ends_with("$deletedEntity") || row.get("reason").is_some();
    let broken = || ConnectError::Broken("a deleted row without its id".to_owned());
    gone.then(|| guid(text(row, "id")).ok_or_else(broken))
}

fn hash(table: &str, select: &str) -> String {
    let digest = digest(&SHA256, format!("{table}?{select}").as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::PageSize;

    #[test]
    fn a_second_failure_in_a_row_halves_the_page_and_success_brings_it_back() {
        let size = PageSize::new(1000);
        size.failed();
        assert_eq!(size.get(), 1000, "one failure is anything");
        size.failed();
        assert_eq!(size.get(), 500);
        size.good(false);
        assert_eq!(size.get(), 500, "kept for the run");
        size.good(true);
        assert_eq!(size.get(), 1000);
        for _ in 0..40 {
            size.failed();
        }
        assert_eq!(size.get(), 50, "never smaller");
    }
}
