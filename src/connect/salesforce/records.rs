//! Reading and writing single records.

use serde_json::{Map, Value as Json};

use super::client::{Moment, Request};
use super::describe::Table;
use super::query::Read;
use super::validator::{proves, wait_to_prove};
use super::write::{self, Write, Written};
use super::{Salesforce, convert, soql, table_of, wire};
use crate::connect::crm::{Row, Search};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::address;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::{Fields, Record, Shape, Version};
use crate::domain::time::Timestamp;

/// Most reads made to prove a version before giving up for now.
const MOST_PROOFS: usize = 4;

/// Longest way from a row to the one that survived all merges.
const MOST_MERGES: usize = 10;

impl Salesforce {
    /// One record; `None` for an id that is not one of Salesforce's, not there, or deleted. For a
    /// lead that was merged into another the answer is the surviving one, under its own id.
    pub(super) async fn fetch_record(
        &self,
        kind: RecordKind,
        id: &RecordId,
        shape: &Shape,
    ) -> Result<Option<Record>, ConnectError> {
        let Some(id) = soql::long_id(id.as_str()) else {
            return Ok(None);
        };
        let paths = convert::paths(kind, shape);
        // A record that was changed this very second is read once it can be proven, because a write
        // usually follows and would have to read it again.
        if let Some(stamp) = self.validators.young(&id) {
            self.wait_to_prove(stamp).await;
        }
        let mut id = id;
        for _ in 0..=MOST_MERGES {
            let found = self.read(kind, &paths, "Id", id.clone()).await?;
            if let Some((record, _)) = found.into_iter().next() {
                return Ok(Some(record));
            }
            // The surviving row of a merge stands in for the one that is gone.
            let Some(survivor) = self.survivor(kind, &id).await? else {
                return Ok(None);
            };
            id = survivor;
        }
        Err(ConnectError::Broken("merged rows that name one another".to_owned()))
    }

    /// The row into which a row that is gone was merged. Opportunities cannot be merged.
    async fn survivor(&self, kind: RecordKind, id: &str) -> Result<Option<String>, ConnectError> {
        let table = self.schemas.table(table_of(kind)).await?;
        if table.field("MasterRecordId").is_none() {
            return Ok(None);
        }
        let soql =
            format!("SELECT Id, MasterRecordId FROM {} WHERE Id = {}", table.name, soql::text(id));
        let path = soql::path(&self.client.data(""), "queryAll", &soql);
        let batch = self.client.batch(&Request::get(path)).await?;
        let master = batch.rows.first().and_then(|row| row.get("MasterRecordId"));
        Ok(master.and_then(Json::as_str).and_then(soql::long_id))
    }

    /// The records that carry a referral id.
    pub(super) async fn find_records(
        &self,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Result<Vec<Record>, ConnectError> {
        let paths = convert::paths(kind, shape);
        let found = self.read(kind, &paths, &shape.referral_field, referral_id.to_owned()).await?;
        Ok(found.into_iter().map(|(record, _)| record).collect())
    }

    async fn read(
        &self,
        kind: RecordKind,
        paths: &[String],
        key: &str,
        value: String,
    ) -> Result<Vec<(Record, Moment)>, ConnectError> {
        let table = self.schemas.table_with(table_of(kind), paths).await?;
        let read = Read {
            table: table.name.clone(),
            select: convert::select(&table, paths),
            key: table.field(key).map_or_else(|| key.to_owned(), |field| field.name.clone()),
            value,
        };
        let (rows, moment) = self.reads.ask(read).await.inspect_err(|error| {
            self.doubt_schema(error);
        })?;
        rows.iter().map(|row| Ok((self.seen(kind, &table, paths, row, moment)?, moment))).collect()
    }

    /// A record of a row, noted for later writes.
    pub(super) fn seen(
        &self,
        kind: RecordKind,
        table: &Table,
        paths: &[String],
        row: &Json,
        moment: Moment,
    ) -> Result<Record, ConnectError> {
        let record = convert::record(kind, table, paths, row)?;
        self.validators.note(&record, moment);
        Ok(record)
    }

    /// A schema or a remembered lookup that the server contradicts is read again next time.
    pub(super) fn doubt_schema(&self, error: &ConnectError) {
        if let ConnectError::Rejected(refusal) = error {
            match refusal.code.as_str() {
                "INVALID_FIELD" | "INVALID_TYPE" => self.schemas.forget_all(),
                "INVALID_CROSS_REFERENCE_KEY" | "INACTIVE_OWNER_OR_USER" => self.lookups.forget(),
                _ => {}
            }
        }
    }

    /// Changes fields if the record is still as the caller read it.
    pub(super) async fn update_record(
        &self,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let kind = record.key.kind;
        let paths = convert::paths(kind, shape);
        let table = self.schemas.table_with(table_of(kind), &paths).await?;
        let body = self.body(&table, fields).await?;
        self.prove(record, expect).await?;
        let id = soql::long_id(record.key.id.as_str()).ok_or_else(|| {
            wire::refused_here("MALFORMED_ID", "that is no id of Salesforce", "Id")
        })?;
        let write = Write {
            method: "PATCH",
            path: self.client.data(&format!("/sobjects/{}/{id}", table.name)),
            unmodified_since: Some(record_date(expect)?),
            body,
            proof: self.proof(&table, &paths, "Id", &id),
        };
        let written = self.writes.ask(write).await.inspect_err(|error| {
            self.doubt_schema(error);
        })?;
        let row = written.rows.first().ok_or_else(|| ConnectError::NotFound(gone()))?;
        self.seen(kind, &table, &paths, row, written.moment)
    }

    async fn body(
        &self,
        table: &Table,
        fields: &Fields,
    ) -> Result<Map<String, Json>, ConnectError> {
        let paths: Vec<String> = fields.keys().cloned().collect();
        let table = self.schemas.table_with(&table.name, &paths).await?;
        self.lookups.body(&self.client, &table, fields).await
    }

    fn proof(&self, table: &Table, paths: &[String], key: &str, value: &str) -> Read {
        Read {
            table: table.name.clone(),
            select: convert::select(table, paths),
            key: table.field(key).map_or_else(|| key.to_owned(), |field| field.name.clone()),
            value: value.to_owned(),
        }
    }

    /// Makes sure that the version can be told from a later one before it is written against.
    ///
    /// If what the caller holds may have been read in the second of its stamp, the rest of the
    /// second is waited for and the record read once more: same stamp and same values in a later
    /// second prove it, anything else is [`ConnectError::Stale`].
    async fn prove(&self, record: &Record, expect: &Version) -> Result<(), ConnectError> {
        if record.version == *expect && self.validators.is_proven(record) {
            return Ok(());
        }
        let stamp = stamp_of(expect)?;
        let paths: Vec<String> = record.fields.keys().cloned().collect();
        for _ in 0..MOST_PROOFS {
            self.wait_to_prove(stamp).await;
            let id = record.key.id.as_str().to_owned();
            let found = self.read(record.key.kind, &paths, "Id", id).await?;
            let Some((now, moment)) = found.into_iter().next() else {
                return Err(ConnectError::NotFound(gone()));
            };
            if now.version != *expect || now.fields != record.fields {
                return Err(ConnectError::Stale);
            }
            if proves(moment, stamp) {
                return Ok(());
            }
        }
        Err(ConnectError::Unavailable(
            "Salesforce's clock did not pass the record's stamp; no safe write is possible".into(),
        ))
    }

    /// Waits until a read can prove `stamp`.
    async fn wait_to_prove(&self, stamp: Timestamp) {
        let wait = wait_to_prove(stamp, self.client.server_now());
        if !wait.is_zero() {
            self.client.wait(wait).await;
        }
    }

    /// Creates the record of a referral, unless there is one.
    ///
    /// One query, then one write with its proof: an upsert alone would overwrite a record that
    /// somebody else made for the same referral. Where the key is unique the write is an insert,
    /// which a record that was made since the query refuses. Where it is only indexed, nothing
    /// would refuse a second record, so the write is an upsert.
    pub(super) async fn create_record(
        &self,
        kind: RecordKind,
        referral_id: &str,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let paths = convert::paths(kind, shape);
        let table = self.schemas.table_with(table_of(kind), &paths).await?;
        let (key, unique) = external_id(&table, &shape.referral_field)?;
        let mut body = self.body(&table, fields).await?;
        body.remove(&key);
        match self.find_records(kind, referral_id, shape).await?.as_slice() {
            [] => {}
            [one] => return Err(exists(one.key.id.as_str(), 0)),
            several => return Err(ambiguous(several.iter().map(|one| one.key.id.to_string()))),
        }
        let rows = self.client.data(&format!("/sobjects/{}", table.name));
        let (method, path) = if unique {
            body.insert(key.clone(), Json::String(referral_id.to_owned()));
            ("POST", rows)
        } else {
            ("PATCH", format!("{rows}/{key}/{}", address::encode(referral_id)))
        };
        let write = Write {
            method,
            path,
            unmodified_since: None,
            body,
            proof: self.proof(&table, &paths, &key, referral_id),
        };
        let written = self.writes.ask(write).await.inspect_err(|error| {
            self.doubt_schema(error);
        })?;
        self.created(kind, &table, &paths, &written)
    }

    fn created(
        &self,
        kind: RecordKind,
        table: &Table,
        paths: &[String],
        written: &Written,
    ) -> Result<Record, ConnectError> {
        if written.status == 300 {
            let urls = written.body.as_array().map(Vec::as_slice).unwrap_or_default();
            let ids = urls.iter().filter_map(Json::as_str).filter_map(|url| url.rsplit('/').next());
            return Err(ambiguous(ids.map(str::to_owned)));
        }
        match written.rows.as_slice() {
            [row] if written.status == 201 => self.seen(kind, table, paths, row, written.moment),
            [row] => Err(exists(convert::id(row)?.as_str(), written.status)),
            [] => Err(ConnectError::Unknown("created, but it could not be read back".to_owned())),
            rows => Err(ambiguous(
                rows.iter().filter_map(|row| convert::id(row).ok()).map(|id| id.to_string()),
            )),
        }
    }

    /// Rows of another table by exact values.
    pub(super) async fn search_rows(&self, search: &Search) -> Result<Vec<Row>, ConnectError> {
        let mut named: Vec<String> = search.equals.iter().map(|(name, _)| name.clone()).collect();
        named.extend(search.fields.iter().cloned());
        let table = self.schemas.table_with(&search.table, &named).await?;
        let mut conditions = Vec::new();
        for (name, value) in &search.equals {
            conditions.push(format!("{name} = {}", literal(&table, name, value)?));
        }
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let soql = format!(
            "SELECT {} FROM {}{filter} ORDER BY Id LIMIT {}",
            convert::select(&table, &search.fields),
            table.name,
            search.limit
        );
        let (rows, _) = self.client.query(&soql).await?;
        rows.iter()
            .map(|row| {
                let fields = convert::fields(&table, &search.fields, row);
                Ok(Row { id: convert::id(row)?, fields })
            })
            .collect()
    }

    /// Makes a row of another table.
    pub(super) async fn insert_row(
        &self,
        table: &str,
        fields: &Fields,
    ) -> Result<RecordId, ConnectError> {
        let table = self.schemas.table(table).await?;
        let body = self.body(&table, fields).await?;
        let path = self.client.data(&format!("/sobjects/{}", table.name));
        let mut request = Request::write("POST", path, Json::Object(body));
        for (name, value) in write::headers(self.client.settings()) {
            request = request.header(name, value);
        }
        let (answer, _) = self.client.json(&request).await.inspect_err(|error| {
            self.doubt_schema(error);
        })?;
        answer
            .get("id")
            .and_then(Json::as_str)
            .and_then(soql::long_id)
            .map(RecordId::new)
            .ok_or_else(|| ConnectError::Unknown("created, but the answer has no id".to_owned()))
    }
}

/// A search value as a literal of the field's type.
fn literal(table: &Table, name: &str, value: &str) -> Result<String, ConnectError> {
    let kind = table.field(name).map_or("string", |field| field.kind.as_str());
    if value.is_empty() {
        return Ok("NULL".to_owned());
    }
    let bad = || wire::refused_here("INVALID_FIELD", format!("`{name}` cannot equal that"), name);
    match kind {
        "boolean" => match value.to_ascii_lowercase().as_str() {
            "true" => Ok("TRUE".to_owned()),
            "false" => Ok("FALSE".to_owned()),
            _ => Err(bad()),
        },
        "currency" | "double" | "percent" | "int" | "long" => value
            .parse::<rust_decimal::Decimal>()
            .map(|number| number.to_string())
            .map_err(|_| bad()),
        _ => Ok(soql::text(value)),
    }
}

/// The field to upsert by, as Salesforce spells it, and whether it is unique.
fn external_id(table: &Table, name: &str) -> Result<(String, bool), ConnectError> {
    match table.field(name) {
        Some(field) if field.external_id => Ok((field.name.clone(), field.unique)),
        _ => Err(wire::refused_here(
            "NOT_FOUND",
            format!("`{name}` of {} must be an External ID and Unique (`provision`)", table.name),
            name,
        )),
    }
}

fn stamp_of(version: &Version) -> Result<Timestamp, ConnectError> {
    convert::stamp_of(version)
        .ok_or_else(|| wire::refused_here("", "the version is not one of Salesforce's", ""))
}

fn record_date(version: &Version) -> Result<String, ConnectError> {
    Ok(stamp_of(version)?.http_date())
}

fn gone() -> Refusal {
    Refusal {
        status: 404,
        code: "ENTITY_IS_DELETED".to_owned(),
        message: "the record is not there any more".to_owned(),
        fields: Vec::new(),
        request_id: None,
    }
}

fn exists(id: &str, status: u16) -> ConnectError {
    ConnectError::Exists(Refusal {
        status,
        code: "DUPLICATE_VALUE".to_owned(),
        message: format!("record {id} carries the referral id"),
        fields: Vec::new(),
        request_id: None,
    })
}

fn ambiguous(ids: impl Iterator<Item = String>) -> ConnectError {
    ConnectError::Ambiguous(ids.collect())
}
