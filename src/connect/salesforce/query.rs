//! Queries, and many reads of single records as one query.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::client::{Client, Moment, Request};
use super::combine::Batch;
use super::soql;
use crate::connect::error::{ConnectError, Refusal};
use crate::domain::time::Timestamp;

/// Most batches of one query: 2,000 rows each at best, 200 at worst.
const MOST_BATCHES: usize = 100;

/// Most ids in one query.
const MOST_IDS: usize = 200;

/// Longest query, in bytes before encoding; the whole address may have 16,384.
const LONGEST: usize = 8_000;

/// One batch of a query.
pub(super) struct RowBatch {
    /// Its rows.
    pub(super) rows: Vec<Json>,
    /// Where the next batch is.
    pub(super) next: Option<String>,
    /// When.
    pub(super) moment: Moment,
}

impl Client {
    /// All rows of a query, with the moment of the first batch.
    ///
    /// A locator that died on the way restarts the query once.
    pub(super) async fn query(&self, soql: &str) -> Result<(Vec<Json>, Moment), ConnectError> {
        let first = Request::get(soql::path(&self.data(""), "query", soql));
        match self.all_batches(&first).await? {
            Some(rows) => Ok(rows),
            None => self.all_batches(&first).await?.ok_or_else(dead_locator),
        }
    }

    /// All rows of a query in the background, those among them that only the recycle bin knows.
    pub(super) async fn query_all(&self, soql: &str) -> Result<(Vec<Json>, Moment), ConnectError> {
        let path = soql::path(&self.data(""), "queryAll", soql);
        self.all_batches(&Request::get(path).in_background()).await?.ok_or_else(dead_locator)
    }

    /// All rows of a query of the metadata tables.
    pub(super) async fn tooling_query(&self, soql: &str) -> Result<Vec<Json>, ConnectError> {
        let path = soql::path(&self.data("/tooling"), "query", soql);
        self.all_batches(&Request::get(path)).await?.map(|(rows, _)| rows).ok_or_else(dead_locator)
    }

    /// All rows; `None` if the locator died on the way.
    async fn all_batches(
        &self,
        first: &Request,
    ) -> Result<Option<(Vec<Json>, Moment)>, ConnectError> {
        let first = self.batch(first).await?;
        let (mut rows, moment, mut next) = (first.rows, first.moment, first.next);
        for _ in 0..MOST_BATCHES {
            let Some(path) = next else {
                self.complete_lists(&mut rows).await?;
                return Ok(Some((rows, moment)));
            };
            let reply = self.send(&Request::get(path)).await?;
            if reply.has_code(self, "INVALID_QUERY_LOCATOR") {
                return Ok(None);
            }
            let (json, moment) = self.success(&reply)?;
            let batch = read_batch(json, moment, &self.data("/"))?;
            rows.extend(batch.rows);
            next = batch.next;
        }
        Err(ConnectError::Broken("a query that does not end".to_owned()))
    }

    /// One batch.
    pub(super) async fn batch(&self, request: &Request) -> Result<RowBatch, ConnectError> {
        let (json, moment) = self.json(request).await?;
        read_batch(json, moment, &self.data("/"))
    }
}

fn dead_locator() -> ConnectError {
    ConnectError::Unavailable("the locator of a query died".to_owned())
}

/// Reads the body of a query's answer. The next batch must be on this host, below the data path.
pub(super) fn read_batch(
    mut json: Json,
    moment: Moment,
    data_path: &str,
) -> Result<RowBatch, ConnectError> {
    let rows = match json.get_mut("records").map(Json::take) {
        Some(Json::Array(rows)) => rows,
        _ => return Err(ConnectError::Broken("a query without records".to_owned())),
    };
    let next = match json.get("nextRecordsUrl").and_then(Json::as_str) {
        Some(path) if path.starts_with(data_path) && !path.contains("..") => Some(path.to_owned()),
        Some(_) => return Err(ConnectError::Broken("a next batch that lies elsewhere".to_owned())),
        None if json.get("done").and_then(Json::as_bool) == Some(true) => None,
        None => {
            return Err(ConnectError::Broken("a query that is neither done nor goes on".into()));
        }
    };
    Ok(RowBatch { rows, next, moment })
}

/// A read of the rows whose `key` field holds `value`.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// The table.
    pub(super) table: String,
    /// The field list, which includes `key`.
    pub(super) select: String,
    /// `Id`, or the referral field.
    pub(super) key: String,
    /// What it must hold.
    pub(super) value: String,
}

impl Read {
    /// Whether one query can answer both.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        self.table == other.table && self.select == other.select && self.key == other.key
    }

    /// The query for several reads that go together.
    pub(super) fn soql(reads: &[&Self]) -> Option<String> {
        let first = reads.first()?;
        let values = soql::list(reads.iter().map(|read| read.value.as_str()));
        Some(format!(
            "SELECT {} FROM {} WHERE {} IN {values}",
            first.select, first.table, first.key
        ))
    }

    /// The rows that answer this read.
    pub(super) fn rows(&self, rows: &[Json]) -> Vec<Json> {
        let holds = |row: &&Json| {
            let held = row.get(&self.key).and_then(Json::as_str);
            match self.key.as_str() {
                "Id" => held.and_then(soql::long_id).as_deref() == Some(self.value.as_str()),
                _ => held.is_some_and(|held| held.eq_ignore_ascii_case(&self.value)),
            }
        };
        rows.iter().filter(holds).cloned().collect()
    }
}

/// Whether a shared question may have been refused for one of its values. What all have in common,
/// the table and its fields, is refused by name.
fn is_about_a_value(refusal: &Refusal, questions: &[Read]) -> bool {
    questions.len() > 1 && !matches!(refusal.code.as_str(), "INVALID_FIELD" | "INVALID_TYPE")
}

/// Combines reads of one table and field list.
pub(super) struct ReadBatch {
    client: Arc<Client>,
}

impl ReadBatch {
    /// With the calls of `client`.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Batch for ReadBatch {
    type Question = Read;
    type Answer = (Vec<Json>, Moment);
    const FULL: usize = MOST_IDS;
    const FLIGHTS: usize = 4;

    fn fits(&self, taken: &[Read], next: &Read) -> bool {
        let values: usize = taken.iter().chain([next]).map(|read| read.value.len() + 4).sum();
        taken.len() < MOST_IDS
            && values + next.select.len() < LONGEST
            && taken.first().is_some_and(|first| first.goes_with(next))
    }

    async fn run(&self, questions: &[Read]) -> Vec<Result<Self::Answer, ConnectError>> {
        let reads: Vec<&Read> = questions.iter().collect();
        let Some(soql) = Read::soql(&reads) else {
            return Vec::new();
        };
        match self.client.query(&soql).await {
            Ok((rows, moment)) => {
                questions.iter().map(|read| Ok((read.rows(&rows), moment))).collect()
            }
            // One value, such as the id of another tool, can make the whole question unreadable. Each
            // half asks by itself, so that it costs few calls and does not hold up the others.
            Err(ConnectError::Rejected(refusal)) if is_about_a_value(&refusal, questions) => {
                let (some, others) = questions.split_at(questions.len() / 2);
                let mut answers = self.run(some).await;
                answers.extend(self.run(others).await);
                answers
            }
            Err(error) => questions.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn now(&self) -> Timestamp {
        self.client.now()
    }

    async fn gather(&self, wait: Duration) {
        self.client.gather(wait).await;
    }

    fn lost() -> ConnectError {
        ConnectError::Unavailable("the read was given up".to_owned())
    }
}
