//! Which columns to read, and how an answer's row becomes flat fields.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::client::Client;
use super::metadata::{Attribute, Metadata, Navigation, Table};
use super::odata::{guid, refuse};
use crate::connect::error::ConnectError;
use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use crate::domain::record::{Fields, Record, Shape, Version};
use crate::domain::time::Timestamp;

/// One flat field and where an answer holds it.
#[derive(Debug, Clone)]
struct Output {
    name: String,
    /// Columns of the row itself have no ways; a field of a related row has one for each table that
    /// the lookup may point to.
    ways: Vec<String>,
    column: String,
    kind: String,
    /// Whether the way leads to many rows, whose values make one text.
    many: bool,
}

/// Between the values of many rows; a mapping takes them apart with `split:;`.
const SEPARATOR: &str = ";";

/// The columns of one read.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    outputs: Vec<Output>,
}

const OWNER_COLUMN: &str = "ownerid";
const OWNING_USER: &str = "owninguser";

/// The most tables one dotted path may lead to.
const MOST_TARGETS: usize = 5;

impl Selection {
    /// Works out how to read `names` of `table`; an unknown name is refused.
    pub(super) async fn new(
        client: &Client,
        metadata: &Metadata,
        table: &Table,
        names: impl Iterator<Item = &str>,
    ) -> Result<Self, ConnectError> {
        let mut outputs: Vec<Output> = Vec::new();
        for name in names {
            if name.is_empty() || outputs.iter().any(|output| output.name == name) {
                continue;
            }
            outputs.push(match name.split_once('.') {
                None => own(table, name)?,
                Some((head, rest)) => {
                    let path = (name, head, rest);
                    match lines(client, metadata, table, path).await? {
                        Some(lines) => lines,
                        None => related(client, metadata, table, path).await?,
                    }
                }
            });
        }
        Ok(Self { outputs })
    }

    /// Whether fields of related rows are among them.
    pub(super) fn has_related(&self) -> bool {
        self.outputs.iter().any(|output| !output.ways.is_empty())
    }

    /// `$select=...` without related rows; `extra` columns are read too.
    pub(super) fn plain(&self, extra: &[&str]) -> String {
        let mut columns: Vec<&str> = extra.to_vec();
        for output in self.outputs.iter().filter(|output| output.ways.is_empty()) {
            if !columns.contains(&output.column.as_str()) {
                columns.push(&output.column);
            }
        }
        format!("$select={}", columns.join(","))
    }

    /// `$select=...&$expand=...`.
    pub(super) fn query(&self, extra: &[&str]) -> String {
        let mut expands: Vec<(&str, Vec<&str>)> = Vec::new();
        for output in &self.outputs {
            for way in &output.ways {
                match expands.iter_mut().find(|(name, _)| name == way) {
                    Some((_, columns)) if columns.contains(&output.column.as_str()) => {}
                    Some((_, columns)) => columns.push(&output.column),
                    None => expands.push((way, vec![&output.column])),
                }
            }
        }
        let select = self.plain(extra);
        if expands.is_empty() {
            return select;
        }
        let expands: Vec<String> = expands
            .into_iter()
            .map(|(way, columns)| format!("{way}($select={})", columns.join(",")))
            .collect();
        format!("{select}&$expand={}", expands.join(","))
    }

    /// The flat fields of a row. Fields of related rows are left out where the answer does not hold
    /// the related row at all, as in a change feed.
    pub(super) fn fields(&self, row: &Json) -> Fields {
        let mut fields = Fields::new();
        for output in &self.outputs {
            if output.ways.is_empty() {
                let value = row.get(&output.column);
                fields.insert(output.name.clone(), normal(&output.kind, value));
                continue;
            }
            let answered: Vec<&Json> = output.ways.iter().filter_map(|way| row.get(way)).collect();
            if answered.is_empty() {
                continue;
            }
            if output.many {
                fields.insert(output.name.clone(), joined(&answered, output));
                continue;
            }
            let value = answered.iter().find_map(|related| related.get(&output.column));
            fields.insert(output.name.clone(), normal(&output.kind, value));
        }
        fields
    }

    /// A row as a record. Without an etag no write could be made conditional: broken.
    pub(super) fn record(
        &self,
        kind: RecordKind,
        table: &Table,
        row: &Json,
    ) -> Result<Record, ConnectError> {
        let text = |name: &str| row.get(name).and_then(Json::as_str);
        let id = text(&table.id).and_then(guid).ok_or_else(|| {
            ConnectError::Broken(format!("a row of {} without its id", table.name))
        })?;
        let version = text("@odata.etag")
            .filter(|etag| !etag.is_empty() && etag.len() <= 1024)
            .ok_or_else(|| ConnectError::Broken(format!("the {} {id} has no etag", table.name)))?;
        let modified = text("modifiedon").and_then(Timestamp::parse).ok_or_else(|| {
            ConnectError::Broken(format!("the {} {id} has no modifiedon", table.name))
        })?;
        let many = self.outputs.iter().filter(|output| output.many).flat_map(|output| &output.ways);
        let mut cut = many.filter(|way| row.get(format!("{way}@odata.nextLink")).is_some());
        if let Some(way) = cut.next() {
            let what = format!("the {} {id} has more {way} than one answer holds", table.name);
            return Err(ConnectError::Broken(what));
        }
        Ok(Record {
            key: RecordKey { crm: CrmName::Dynamics365, kind, id: RecordId::new(id) },
            version: Version(version.to_owned()),
            modified,
            fields: self.fields(row),
        })
    }
}

/// The names a shape asks for: its fields and the control fields.
pub(super) fn names(shape: &Shape) -> impl Iterator<Item = &str> {
    let controls = [shape.referral_field.as_str(), shape.sync_field.as_str()];
    shape.fields.iter().map(String::as_str).chain(controls).chain(shape.token_field.as_deref())
}

/// The columns of the table itself that `names` touch: the first step of each path.
pub(super) fn columns<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    names.filter(|name| !name.is_empty() && !name.contains('.'))
}

fn own(table: &Table, name: &str) -> Result<Output, ConnectError> {
    let attribute = readable(table, name, name)?;
    Ok(Output {
        name: name.to_owned(),
        ways: Vec::new(),
        column: attribute.wire_name(),
        kind: attribute.kind.clone(),
        many: false,
    })
}

/// A field of the rows that point back to this one, such as the lines of an opportunity; `None` if
/// the path does not begin with such a way.
async fn lines(
    client: &Client,
    metadata: &Metadata,
    table: &Table,
    (path, head, rest): (&str, &str, &str),
) -> Result<Option<Output>, ConnectError> {
    if table.attributes.contains_key(head) || table.navigation(head).is_some() {
        return Ok(None);
    }
    let Some(child) = metadata.child(client, &table.name, head).await? else { return Ok(None) };
    let child = metadata.table_with(client, &child, std::iter::once(rest)).await?;
    let attribute = readable(&child, rest, path)?;
    if !matches!(attribute.kind.as_str(), "String" | "Memo") {
        return Err(refuse(&[path], format!("`{path}` holds no text, so it makes no list")));
    }
    Ok(Some(Output {
        name: path.to_owned(),
        ways: vec![head.to_owned()],
        column: attribute.wire_name(),
        kind: attribute.kind.clone(),
        many: true,
    }))
}

/// The texts of many rows as one, each once, in an order that does not depend on the answer's.
fn joined(answered: &[&Json], output: &Output) -> Json {
    let rows = answered.iter().filter_map(|rows| rows.as_array()).flatten();
    let texts = rows.filter_map(|row| row.get(&output.column)?.as_str()).map(str::trim);
    let texts: BTreeSet<&str> = texts.filter(|text| !text.is_empty()).collect();
    if texts.is_empty() {
        return Json::Null;
    }
    Json::String(texts.into_iter().collect::<Vec<_>>().join(SEPARATOR))
}

fn readable<'a>(table: &'a Table, name: &str, path: &str) -> Result<&'a Attribute, ConnectError> {
    let attribute = table.attribute(name)?;
    if attribute.readable {
        Ok(attribute)
    } else {
        let message = format!("the column `{name}` of {} cannot be read", table.name);
        Err(refuse(&[path], message))
    }
}

async fn related(
    client: &Client,
    metadata: &Metadata,
    table: &Table,
    (path, head, rest): (&str, &str, &str),
) -> Result<Output, ConnectError> {
    if rest.contains('.') {
        return Err(refuse(&[path], format!("`{path}` goes further than one related row")));
    }
    let mut found: Option<Output> = None;
    for way in ways(table, path, head)? {
        let target = metadata.table_with(client, &way.target, std::iter::once(rest)).await?;
        let Ok(attribute) = readable(&target, rest, path) else { continue };
        let output = found.get_or_insert_with(|| Output {
            name: path.to_owned(),
            ways: Vec::new(),
            column: attribute.wire_name(),
            kind: attribute.kind.clone(),
            many: false,
        });
        output.ways.push(way.name);
    }
    found.ok_or_else(|| {
        refuse(&[path], format!("no table that `{head}` points to has a column `{rest}`"))
    })
}

/// The ways that a path's first step stands for.
fn ways(table: &Table, path: &str, head: &str) -> Result<Vec<Navigation>, ConnectError> {
    let owner = table.attributes.get(OWNER_COLUMN).is_some_and(|column| column.kind == "Owner");
    // An owner's columns are read from the user; a record owned by a team has none.
    if owner && matches!(head, OWNER_COLUMN | OWNING_USER) {
        return Ok(vec![Navigation {
            attribute: OWNER_COLUMN.to_owned(),
            target: "systemuser".to_owned(),
            name: OWNING_USER.to_owned(),
        }]);
    }
    if let Some(way) = table.navigation(head)
        && !table.attributes.contains_key(head)
    {
        return Ok(vec![way.clone()]);
    }
    let attribute = table.attribute(head)?;
    if !attribute.is_lookup() {
        return Err(refuse(&[path], format!("the column `{head}` does not point to a row")));
    }
    let ways = table.navigations(attribute);
    if ways.len() > MOST_TARGETS {
        return Err(refuse(&[path], format!("`{head}` points to too many tables")));
    }
    Ok(ways)
}

/// A value in the form all connectors share: ids in lower case, empty text as null.
fn normal(kind: &str, value: Option<&Json>) -> Json {
    match value {
        Some(Json::String(text)) if text.is_empty() => Json::Null,
        Some(Json::String(text))
            if matches!(kind, "Lookup" | "Customer" | "Owner" | "Uniqueidentifier") =>
        {
            Json::String(text.to_ascii_lowercase())
        }
        Some(Json::String(text)) if kind == "DateTime" => Json::String(date_or_instant(text)),
        Some(value) => value.clone(),
        None => Json::Null,
    }
}

/// A date stays as it is; an instant gets the one spelling with `Z`.
fn date_or_instant(text: &str) -> String {
    if text.len() > 10 && !text.ends_with('Z') {
        Timestamp::parse(text).map_or_else(|| text.to_owned(), |instant| instant.to_string())
    } else {
        text.to_owned()
    }
}
