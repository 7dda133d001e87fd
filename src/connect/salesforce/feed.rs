//! The change feed: rows by `SystemModstamp`, deletions by the delete log.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use super::client::Request;
use super::cursor::Cursor;
use super::describe::{Table, WayDown};
use super::validator::fingerprint;
use super::{Salesforce, convert, lists, soql, table_of};
use crate::connect::crm::ChangePage;
use crate::connect::error::ConnectError;
use crate::connect::http::address;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::{Record, Shape};
use crate::domain::time::Timestamp;

/// How far back the delete log reaches. Source: the guide of the get-deleted resource.
const DELETE_LOG: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// Most records in one query of those whose lists have changed.
const MOST_ABOVE: usize = 100;

/// How often changes of mapped lists are looked for.
const LIST_LOOK: Duration = Duration::from_secs(60);

impl Salesforce {
    /// One page of changes after `cursor`.
    pub(super) async fn read_changes(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        shape: &Shape,
    ) -> Result<ChangePage, ConnectError> {
        let organization = self.client.identity().await?.organization_id;
        let mut cursor = match cursor {
            Some(text) => Cursor::read(text, &organization).ok_or(ConnectError::CursorExpired)?,
            None => Cursor::start(&organization),
        };
        let paths = convert::paths(kind, shape);
        let table = self.schemas.table_with(table_of(kind), &paths).await?;
        let (mut changed, mut deleted, more) =
            self.page(kind, &table, &paths, shape, &mut cursor).await?;
        if !more {
            cursor.end();
            deleted.extend(self.delete_log(&table, &mut cursor).await?);
            deleted.sort();
            deleted.dedup();
            let lists = match self.below(kind, &table, &paths, shape, &mut cursor).await {
                // What cannot be asked of a list must not stop the records: the nightly comparison
                // reads the lists too.
                Err(
                    ConnectError::Rejected(_) | ConnectError::NotFound(_) | ConnectError::Broken(_),
                ) => {
                    cursor.lists = Some(self.client.safe_now());
                    Vec::new()
                }
                lists => lists?,
            };
            for record in lists {
                if changed.iter().all(|known| known.key != record.key) {
                    changed.push(record);
                }
            }
        }
        Ok(ChangePage { changed, deleted, cursor: cursor.store(), more })
    }

    /// Rows from where the cursor stands. Rows in the recycle bin come as deletions.
    async fn page(
        &self,
        kind: RecordKind,
        table: &Table,
        paths: &[String],
        shape: &Shape,
        cursor: &mut Cursor,
    ) -> Result<(Vec<Record>, Vec<RecordId>, bool), ConnectError> {
        let most = self.client.settings().page_rows;
        let soql = page_query(table, paths, shape, cursor, most);
        let path = soql::path(&self.client.data(""), "queryAll", &soql);
        let batch = self.client.batch(&Request::get(path).in_background()).await;
        let mut batch = batch.inspect_err(|error| self.doubt_schema(error))?;
        self.client.complete_lists(&mut batch.rows).await?;
        let server = batch
            .moment
            .date
            .ok_or_else(|| ConnectError::Broken("an answer without the server's time".into()))?;
        // The date of a gateway whose clock is ahead must not lead past changes.
        let server = server.min(self.client.now());
        cursor.begin(server.minus(batch.moment.elapsed), self.client.settings().feed_overlap);
        cursor.deleted.get_or_insert(whole_minute(server));
        cursor.lists.get_or_insert(server);
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for row in &batch.rows {
            let record = self.seen(kind, table, paths, row, batch.moment)?;
            let gone = row.get("IsDeleted").and_then(Json::as_bool) == Some(true);
            let print = fingerprint(&record) ^ u64::from(gone);
            if !cursor.pass_row(record.modified, record.key.id.as_str(), print) {
                continue;
            }
            if gone {
                deleted.push(record.key.id);
            } else {
                changed.push(record);
            }
        }
        // The server may cut a batch short; the next page goes on by stamp and id, so that no
        // locator is ever needed.
        let full = u32::try_from(batch.rows.len()).is_ok_and(|rows| rows >= most);
        let more = !batch.rows.is_empty() && (full || batch.next.is_some());
        Ok((changed, deleted, more))
    }

    /// Records with changes in a mapped list, once a minute: such a change need not move the stamp of
    /// the record above it.
    async fn below(
        &self,
        kind: RecordKind,
        table: &Table,
        paths: &[String],
        shape: &Shape,
        cursor: &mut Cursor,
    ) -> Result<Vec<Record>, ConnectError> {
        let Some(known) = cursor.lists else { return Ok(Vec::new()) };
        if self.client.safe_now().since(known) < LIST_LOOK {
            return Ok(Vec::new());
        }
        let from = known.minus(self.client.settings().feed_overlap);
        let mut until = self.client.safe_now();
        let mut above = BTreeSet::new();
        for (way, _) in lists::mapped(table, paths) {
            let child = self.schemas.table(&way.table).await?;
            let (rows, moment) = self.client.query_all(&moved(&child, way, shape, from)).await?;
            if let Some(date) = moment.date {
                until = until.min(date.minus(moment.elapsed));
            }
            let ids = rows.iter().filter_map(|row| row.get(&way.field)).filter_map(Json::as_str);
            above.extend(ids.filter_map(soql::long_id));
        }
        let above: Vec<String> = above.into_iter().collect();
        let mut records = Vec::new();
        for some in above.chunks(MOST_ABOVE) {
            let soql = format!(
                "SELECT {} FROM {} WHERE {} AND IsDeleted = FALSE AND Id IN {}",
                convert::select(table, paths),
                table.name,
                ours("", shape),
                soql::list(some.iter().map(String::as_str))
            );
            let (rows, moment) = self.client.query_all(&soql).await?;
            for row in &rows {
                records.push(self.seen(kind, table, paths, row, moment)?);
            }
        }
        cursor.lists = Some(until.max(known));
        Ok(records)
    }

    /// Deletions that are no longer in the recycle bin, once a minute: the log knows minutes only.
    async fn delete_log(
        &self,
        table: &Table,
        cursor: &mut Cursor,
    ) -> Result<Vec<RecordId>, ConnectError> {
        let Some(start) = cursor.deleted else {
            return Ok(Vec::new());
        };
        let now = self.client.safe_now();
        if now.since(start) > DELETE_LOG {
            return Err(ConnectError::CursorExpired);
        }
        let end = whole_minute(now);
        if end <= start {
            return Ok(Vec::new());
        }
        let window = format!(
            "/sobjects/{}/deleted/?start={}&end={}",
            table.name,
            address::encode(&offset_form(start)),
            address::encode(&offset_form(end))
        );
        let request = Request::get(self.client.data(&window)).in_background();
        let (answer, _) = self.client.json(&request).await?;
        let at = |name: &str| answer.get(name).and_then(Json::as_str).and_then(Timestamp::parse);
        if at("earliestDateAvailable").is_some_and(|earliest| earliest > start) {
            return Err(ConnectError::CursorExpired);
        }
        let covered = at("latestDateCovered").map_or(start, whole_minute);
        cursor.deleted = Some(covered.clamp(start, end));
        let rows = answer.get("deletedRecords").and_then(Json::as_array);
        Ok(rows
            .into_iter()
            .flatten()
            .filter_map(|row| row.get("id").and_then(Json::as_str))
            .filter_map(soql::long_id)
            .map(RecordId::new)
            .collect())
    }
}

/// What concerns us, of the rows at the end of `path`.
fn ours(path: &str, shape: &Shape) -> String {
    format!("({path}{} = TRUE OR {path}{} != NULL)", shape.sync_field, shape.referral_field)
}

/// The rows of a list that were changed since `from`, those among them that are gone: what they
/// belong to. A query of its own, because nothing says that a query within another sees the bin.
fn moved(child: &Table, way: &WayDown, shape: &Shape, from: Timestamp) -> String {
    let relation = child.field(&way.field).and_then(|field| field.relationship_name.as_deref());
    let ours = relation.map(|relation| format!(" AND {}", ours(&format!("{relation}."), shape)));
    format!(
        "SELECT {} FROM {} WHERE SystemModstamp >= {}{}",
        way.field,
        way.table,
        soql::instant(from),
        ours.unwrap_or_default()
    )
}

fn page_query(
    table: &Table,
    paths: &[String],
    shape: &Shape,
    cursor: &Cursor,
    most: u32,
) -> String {
    let ours = ours("", shape);
    let from = match (&cursor.at, cursor.low) {
        (Some((stamp, id)), _) => {
            let stamp = soql::instant(*stamp);
            format!(
                " AND (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {}))",
                soql::text(id)
            )
        }
        (None, Some(low)) => format!(" AND SystemModstamp >= {}", soql::instant(low)),
        (None, None) => String::new(),
    };
    format!(
        "SELECT {}, IsDeleted FROM {} WHERE {ours}{from} ORDER BY SystemModstamp, Id LIMIT {most}",
        convert::select(table, paths),
        table.name
    )
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(60_000) * 60_000)
}

/// `2026-09-01T10:00:00+00:00`, the form of the guide's examples.
fn offset_form(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}+00:00", text.get(..19).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::{offset_form, whole_minute};
    use crate::domain::time::Timestamp;

    #[test]
    fn windows_of_the_delete_log_are_whole_minutes() {
        let at = Timestamp::parse("2026-09-01T10:00:59.999Z").expect("an instant");
        assert_eq!(offset_form(whole_minute(at)), "2026-09-01T10:00:00+00:00");
    }
}
