//! Reading and writing single rows.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Dynamics365;
use super::batch;
use super::body::{Body, Occasion, Writer};
use super::client::{Request, made_id, rows};
use super::merged::{MOST_MERGES, WITH_MERGES, can_be_merged, only_survivors, survivor};
use super::metadata::Table;
use super::odata::{guid, is_key_value, literal, refuse, text_literal};
use super::select::{Selection, columns, names};
use super::wire::{self, Condition};
use crate::connect::crm::{Row, Search};
use crate::connect::error::ConnectError;
use crate::domain::id::{RecordId, RecordKind};
use crate::domain::record::{Fields, Record, Shape, Version};

/// Read with every record.
pub(super) const ALWAYS: &[&str] = &["modifiedon"];

impl Dynamics365 {
    /// The table behind `kind` and how to read `shape` of it.
    pub(super) async fn plan(
        &self,
        kind: RecordKind,
        shape: &Shape,
    ) -> Result<(Arc<Table>, Selection), ConnectError> {
        let table =
            self.metadata.table_with(&self.client, kind.as_str(), columns(names(shape))).await?;
        let selection = Selection::new(&self.client, &self.metadata, &table, names(shape)).await?;
        Ok((table, selection))
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer { client: &self.client, metadata: &self.metadata, lookups: &self.lookups }
    }

    /// One record. For a lead that was merged into another the answer is the surviving one, under
    /// its own id.
    pub(super) async fn fetch_record(
        &self,
        kind: RecordKind,
        id: &RecordId,
        shape: &Shape,
    ) -> Result<Option<Record>, ConnectError> {
        let (table, selection) = self.plan(kind, shape).await?;
        let always = if can_be_merged(&table) { WITH_MERGES } else { ALWAYS };
        let mut id = id.clone();
        for _ in 0..MOST_MERGES {
            let address = format!("{}?{}", row_address(&table, &id)?, selection.query(always));
            let Some(row) = self.client.find(&address).await? else { return Ok(None) };
            match survivor(&row) {
                Some(survivor) => id = survivor,
                None => return selection.record(kind, &table, &row).map(Some),
            }
        }
        Err(ConnectError::Broken(format!("{id} was merged again and again, without an end")))
    }

    pub(super) async fn find_records(
        &self,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Result<Vec<Record>, ConnectError> {
        let (table, selection) = self.plan(kind, shape).await?;
        let field = &table.attribute(&shape.referral_field)?.name;
        let always = if can_be_merged(&table) { WITH_MERGES } else { ALWAYS };
        let address = format!(
            "{}?{}&$filter={field}%20eq%20{}&$top=10",
            table.set,
            selection.query(always),
            text_literal(referral_id)
        );
        let json = self.client.get(&address).await?;
        let mut found: Vec<Record> = Vec::new();
        for row in rows(&json)? {
            let record = match survivor(row) {
                Some(id) => self.fetch_record(kind, &id, shape).await?,
                None => Some(selection.record(kind, &table, row)?),
            };
            // A row that is gone and the one that survived it are one record.
            found.extend(record.filter(|one| found.iter().all(|known| known.key != one.key)));
        }
        Ok(found)
    }

    pub(super) async fn search_rows(&self, search: &Search) -> Result<Vec<Row>, ConnectError> {
        let compared = search.equals.iter().map(|(name, _)| name.as_str());
        let wanted = search.fields.iter().map(String::as_str);
        let all = columns(compared.chain(wanted.clone()));
        let table = self.metadata.table_with(&self.client, &search.table, all).await?;
        let selection = Selection::new(&self.client, &self.metadata, &table, wanted).await?;
        let mut conditions = Vec::new();
        for (name, value) in &search.equals {
            let attribute = table.attribute(name)?;
            let literal = literal(&attribute.kind, value).ok_or_else(|| {
                refuse(&[name], format!("`{name}` cannot be compared with the value given"))
            })?;
            conditions.push(format!("{}%20eq%20{literal}", attribute.wire_name()));
        }
        if conditions.is_empty() {
            return Err(refuse(&[], "a search needs a field to compare"));
        }
        let address = format!(
            "{}?{}&$filter={}{}&$top={}",
            table.set,
            selection.query(&[&table.id]),
            conditions.join("%20and%20"),
            only_survivors(&table),
            search.limit.clamp(1, 5000)
        );
        let json = self.client.get(&address).await?;
        rows(&json)?
            .iter()
            .map(|row| {
                let id = row.get(&table.id).and_then(Json::as_str).and_then(guid);
                let id = id.ok_or_else(|| {
                    ConnectError::Broken(format!("a row of {} without its id", table.name))
                })?;
                Ok(Row { id: RecordId::new(id), fields: selection.fields(row) })
            })
            .collect()
    }

    pub(super) async fn create_other(
        &self,
        table: &str,
        fields: &Fields,
    ) -> Result<RecordId, ConnectError> {
        let sent = columns(fields.keys().map(String::as_str));
        let table = self.metadata.table_with(&self.client, table, sent).await?;
        let body = self.writer().body(&table, Occasion::Create, fields).await?;
        let json = Json::Object(body.json.clone());
        let request = Request::write("POST", self.client.url(&table.set)?, &json).tagged();
        let answer = self
            .client
            .send(&request)
            .await
            .map_err(|error| self.write_failed(error, &body, fields))?;
        made_id(&answer).map(RecordId::new).ok_or_else(|| {
            ConnectError::Unknown(format!("a row of {} was made, its id was not told", table.name))
        })
    }

    pub(super) async fn create_record(
        &self,
        kind: RecordKind,
        referral_id: &str,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let (table, selection) = self.plan(kind, shape).await?;
        let key = shape.referral_field.as_str();
        self.check_key(&table, key, referral_id).await?;
        // The platform demands that the key's column is in the address only.
        let mut fields = fields.clone();
        fields.remove(key);
        let body = self.writer().body(&table, Occasion::Create, &fields).await?;
        let address = format!("{}({key}={})", table.set, text_literal(referral_id));
        let row = self
            .write_row(&selection, &address, Condition::IfNoneMatch, &body)
            .await
            .map_err(|error| self.write_failed(error, &body, &fields))?;
        landed(selection.record(kind, &table, &row))
    }

    /// Refuses a create where nothing would keep two of them apart.
    async fn check_key(
        &self,
        table: &Table,
        key: &str,
        referral_id: &str,
    ) -> Result<(), ConnectError> {
        if !is_key_value(referral_id) {
            return Err(refuse(&[key], "the referral id cannot be the value of a key"));
        }
        table.attribute(key)?;
        if table.has_key(key) || self.metadata.recent(&self.client, &table.name).await?.has_key(key)
        {
            return Ok(());
        }
        let message = format!(
            "the alternate key on `{key}` of {} is missing or its index is not active, so a \
             repeated create would make a second row: run `cosell-sync provision` and wait until \
             the key is active",
            table.name
        );
        Err(refuse(&[key], message))
    }

    pub(super) async fn update_record(
        &self,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let kind = record.key.kind;
        if fields.is_empty() {
            return self.unchanged(record, expect, shape).await;
        }
        let (table, selection) = self.plan(kind, shape).await?;
        let sent = columns(fields.keys().map(String::as_str));
        let table = self.metadata.table_with(&self.client, &table.name, sent).await?;
        let body = self.writer().body(&table, Occasion::Update, fields).await?;
        let address = row_address(&table, &record.key.id)?;
        let write = || {
            let condition = Condition::IfMatch(expect.0.clone());
            self.write_row(&selection, &address, condition, &body)
        };
        let key = shape.referral_field.as_str();
        let row = match (write().await, fields.get(key).and_then(Json::as_str)) {
            (Err(ConnectError::Exists(taken)), Some(value)) if can_be_merged(&table) => {
                self.release_key(&table, (key, value), &record.key.id, taken).await?;
                write().await
            }
            (written, _) => written,
        };
        let row = row.map_err(|error| self.write_failed(error, &body, fields))?;
        landed(selection.record(kind, &table, &row))
    }

    /// Nothing to write: the record as it is, if it is still at `expect`.
    async fn unchanged(
        &self,
        record: &Record,
        expect: &Version,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let now = self.fetch_record(record.key.kind, &record.key.id, shape).await?;
        match now {
            Some(now) if now.version == *expect => Ok(now),
            _ => Err(ConnectError::Stale),
        }
    }

    /// Writes one row by PATCH and returns it as it is afterwards. Columns of related rows are not
    /// part of a PATCH's answer, so where they are wanted a read follows in the same request.
    async fn write_row(
        &self,
        selection: &Selection,
        address: &str,
        condition: Condition,
        body: &Body,
    ) -> Result<Json, ConnectError> {
        let json = Json::Object(body.json.clone());
        if selection.has_related() {
            let write =
                Request::write("PATCH", self.client.url(address)?, &json).on(condition).tagged();
            let read = self.client.url(&format!("{address}?{}", selection.query(ALWAYS)))?;
            let read = Request::get(read);
            return batch::write_then_read(&self.client, &*self.randomness, &[write], &read).await;
        }
        let url = self.client.url(&format!("{address}?{}", selection.plain(ALWAYS)))?;
        let request = Request::write("PATCH", url, &json)
            .on(condition)
            .prefer("return=representation")
            .tagged();
        let answer = self.client.send(&request).await?;
        wire::exact_json(&answer.body).ok_or_else(|| {
            ConnectError::Unknown("the change was made, but not shown afterwards".to_owned())
        })
    }

    /// After a failed write: what was looked up for it may be the cause, and the vendor's words may
    /// name a field.
    pub(super) fn write_failed(
        &self,
        error: ConnectError,
        body: &Body,
        fields: &Fields,
    ) -> ConnectError {
        if matches!(error, ConnectError::Rejected(_) | ConnectError::NotFound(_)) {
            self.lookups.forget(&body.sought);
        }
        wire::name_fields(error, fields.keys().map(String::as_str))
    }
}

/// The address of a row.
pub(super) fn row_address(table: &Table, id: &RecordId) -> Result<String, ConnectError> {
    let id = guid(id.as_str())
        .ok_or_else(|| refuse(&[], format!("`{id}` is not the id of a Dynamics 365 row")))?;
    Ok(format!("{}({id})", table.set))
}

/// The answer to a write that surely landed: if it breaks the contract, the outcome has to be read.
pub(super) fn landed(record: Result<Record, ConnectError>) -> Result<Record, ConnectError> {
    record.map_err(|error| match error {
        ConnectError::Broken(what) => ConnectError::Unknown(what),
        other => other,
    })
}
