//! Rows, with an index for alternate keys and a log that undoes a failed change set.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::state::stable_guid;
use super::webhook::WebhookCall;
use super::write::target_of;

/// One row. Values are kept by logical name; a lookup is `{"table": …, "id": …}`.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Primary key, lower case.
    pub(super) id: String,
    /// Row version: the number in the ETag, in `versionnumber` and in delta tokens.
    pub(super) version: u64,
    /// Values without nulls.
    pub(super) values: Map<String, Json>,
}

impl Row {
    /// A value as the text of a key, without case; `None` for null.
    pub(super) fn key_text(&self, column: &str) -> Option<String> {
        match self.values.get(column)? {
            Json::String(text) => Some(text.to_lowercase()),
            Json::Null => None,
            object @ Json::Object(_) => target_of(object).map(|(_, id)| id.to_owned()),
            other => Some(other.to_string()),
        }
    }
}

/// A row that is gone.
#[derive(Debug, Clone)]
pub(super) struct Tombstone {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) version: u64,
}

/// The ids of the rows that hold a value, by value.
type Index = HashMap<String, BTreeSet<String>>;

/// Everything that a failed change set must leave as it was.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// The organisation-wide row version.
    pub(super) version: u64,
    rows: BTreeMap<String, BTreeMap<String, Arc<Row>>>,
    /// Indexes by table and column.
    indexes: BTreeMap<String, BTreeMap<String, Index>>,
    /// Rows that are gone, in order of their version.
    pub(super) tombstones: Vec<Tombstone>,
    /// Webhook calls that wait to be sent.
    pub(super) webhooks: VecDeque<WebhookCall>,
    /// What was there before each write that may still be undone: table, id, row.
    undo: Vec<(String, String, Option<Arc<Row>>)>,
    guids: u64,
}

/// How far the lists of [`Data`] had grown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    undo: usize,
    tombstones: usize,
    webhooks: usize,
}

impl Data {
    /// The next row version.
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// A fresh id: repeatable, since it is made from a counter.
    pub(super) fn next_guid(&mut self) -> String {
        self.guids += 1;
        stable_guid("row", &self.guids.to_string())
    }

    /// A row.
    pub(super) fn row(&self, table: &str, id: &str) -> Option<&Arc<Row>> {
        self.rows.get(table)?.get(id)
    }

    /// The rows of a table by id.
    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.get(table).into_iter().flat_map(|rows| rows.values())
    }

    /// The rows whose `column`, which must be indexed, holds `value` as [`Row::key_text`] writes it.
    pub(super) fn rows_with(
        &self,
        table: &str,
        column: &str,
        value: &str,
    ) -> impl Iterator<Item = &Arc<Row>> {
        let index = self.indexes.get(table).and_then(|indexes| indexes.get(column));
        let ids = index.and_then(|index| index.get(value));
        let rows = self.rows.get(table);
        ids.into_iter().flatten().filter_map(move |id| rows?.get(id))
    }

    /// Starts to index a column.
    pub(super) fn add_index(&mut self, table: &str, column: &str) {
        let mut index = Index::new();
        for row in self.rows(table) {
            if let Some(value) = row.key_text(column) {
                index.entry(value).or_default().insert(row.id.clone());
            }
        }
        self.indexes.entry(table.to_owned()).or_default().insert(column.to_owned(), index);
    }

    /// Stores a row under a fresh version.
    pub(super) fn put(&mut self, table: &str, mut row: Row) {
        row.version = self.next_version();
        let id = row.id.clone();
        let before = self.exchange(table, &id, Some(Arc::new(row)));
        self.undo.push((table.to_owned(), id, before));
    }

    /// Removes a row and leaves a tombstone.
    pub(super) fn remove(&mut self, table: &str, id: &str) {
        let before = self.exchange(table, id, None);
        self.undo.push((table.to_owned(), id.to_owned(), before));
        let version = self.next_version();
        self.tombstones.push(Tombstone { table: table.to_owned(), id: id.to_owned(), version });
    }

    /// Puts a row, or nothing, in the place of what was there, and keeps the indexes right.
    fn exchange(&mut self, table: &str, id: &str, row: Option<Arc<Row>>) -> Option<Arc<Row>> {
        let rows = self.rows.entry(table.to_owned()).or_default();
        let before = match &row {
            Some(row) => rows.insert(id.to_owned(), row.clone()),
            None => rows.remove(id),
        };
        for (column, index) in self.indexes.get_mut(table).into_iter().flatten() {
            let value = |row: &Option<Arc<Row>>| row.as_ref().and_then(|row| row.key_text(column));
            if let Some(value) = value(&before)
                && let Some(ids) = index.get_mut(&value)
            {
                ids.remove(id);
                if ids.is_empty() {
                    index.remove(&value);
                }
            }
            if let Some(value) = value(&row) {
                index.entry(value).or_default().insert(id.to_owned());
            }
        }
        before
    }

    /// Remembers where things stand.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            undo: self.undo.len(),
            tombstones: self.tombstones.len(),
            webhooks: self.webhooks.len(),
        }
    }

    /// Undoes everything since `mark`. The version counter never runs backwards, as in the
    /// database that this stands in for.
    pub(super) fn undo_to(&mut self, mark: Mark) {
        while self.undo.len() > mark.undo {
            let Some((table, id, before)) = self.undo.pop() else { break };
            self.exchange(&table, &id, before);
        }
        self.tombstones.truncate(mark.tombstones);
        self.webhooks.truncate(mark.webhooks);
    }

    /// Makes everything so far final.
    pub(super) fn forget_undo(&mut self) {
        self.undo.clear();
    }
}
