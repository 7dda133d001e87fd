//! The live schema of a table, for `doctor`, `check` and mapping previews.

use std::collections::HashMap;

use futures_util::try_join;
use serde_json::Value as Json;

use super::Dynamics365;
use super::client::{rows, text};
use super::metadata::{Attribute, Table, definition, label};
use super::select::Selection;
use crate::connect::crm::{FieldSchema, TableSchema};
use crate::connect::error::ConnectError;
use crate::domain::id::RecordKind;

/// What the typed definitions add to a column.
#[derive(Debug, Clone, Default)]
struct Details {
    max_length: Option<u32>,
    precision: Option<u32>,
    format: String,
    options: Vec<(String, String)>,
}

impl Dynamics365 {
    /// The schema of any table.
    pub(super) async fn schema(&self, name: &str) -> Result<TableSchema, ConnectError> {
        let table = self.metadata.recent(&self.client, name).await?;
        let details = self.details(name).await?;
        let fields = table
            .attributes
            .values()
            .filter(|attribute| attribute.readable)
            .map(|attribute| field(&table, attribute, details.get(&attribute.name)))
            .collect();
        Ok(TableSchema {
            table: table.name.clone(),
            fields,
            keys: table.attributes.keys().filter(|column| table.has_key(column)).cloned().collect(),
            tracks_changes: table.tracks_changes,
            related: None,
        })
    }

    /// Those paths of more than one step that lead to no column that we may read. Columns of the table
    /// itself are told by its schema.
    pub(super) async fn unreadable_paths(
        &self,
        kind: RecordKind,
        paths: &[String],
    ) -> Result<Vec<String>, ConnectError> {
        let table = self.metadata.table(&self.client, kind.as_str()).await?;
        let mut unreadable = Vec::new();
        for path in paths.iter().filter(|path| path.contains('.')) {
            let only = std::iter::once(path.as_str());
            match Selection::new(&self.client, &self.metadata, &table, only).await {
                Ok(_) => {}
                Err(ConnectError::Rejected(_) | ConnectError::NotFound(_)) => {
                    unreadable.push(path.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unreadable)
    }

    async fn details(&self, table: &str) -> Result<HashMap<String, Details>, ConnectError> {
        const OPTIONS: &str = "$select=LogicalName&$expand=OptionSet($select=Options)";
        let base = definition(table)?;
        let typed = async |kind: &str, query: &str| {
            let cast = format!("Microsoft.Dynamics.CRM.{kind}AttributeMetadata");
            self.client.get(&format!("{base}/Attributes/{cast}?{query}")).await
        };
        let (strings, memos, money, decimals) = try_join!(
            typed("String", "$select=LogicalName,MaxLength,FormatName"),
            typed("Memo", "$select=LogicalName,MaxLength"),
            typed("Money", "$select=LogicalName,Precision"),
            typed("Decimal", "$select=LogicalName,Precision"),
        )?;
        let (dates, picklists, states, statuses) = try_join!(
            typed("DateTime", "$select=LogicalName,Format"),
            typed("Picklist", OPTIONS),
            typed("State", OPTIONS),
            typed("Status", OPTIONS),
        )?;
        let mut all = HashMap::new();
        for answer in [strings, memos, money, decimals, dates, picklists, states, statuses] {
            for json in rows(&answer)? {
                all.insert(text(json, "LogicalName").to_owned(), details(json));
            }
        }
        Ok(all)
    }
}

fn details(json: &Json) -> Details {
    let number = |name: &str| {
        json.get(name).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok())
    };
    let format = json.pointer("/FormatName/Value").or_else(|| json.get("Format"));
    let options = json.pointer("/OptionSet/Options").and_then(Json::as_array);
    Details {
        max_length: number("MaxLength"),
        precision: number("Precision"),
        format: format.and_then(Json::as_str).unwrap_or_default().to_owned(),
        options: options
            .into_iter()
            .flatten()
            .filter_map(|option| {
                let code = option.get("Value")?.as_i64()?.to_string();
                Some((code, option.get("Label").map(label).unwrap_or_default()))
            })
            .collect(),
    }
}

fn field(table: &Table, attribute: &Attribute, details: Option<&Details>) -> FieldSchema {
    let details = details.cloned().unwrap_or_default();
    FieldSchema {
        name: attribute.name.clone(),
        label: attribute.label.clone(),
        kind: kind(&attribute.kind, &details.format).to_owned(),
        max_length: details.max_length,
        precision: details.precision,
        creatable: attribute.creatable,
        updatable: attribute.updatable,
        required: attribute.required,
        options: details.options,
        targets: if attribute.is_lookup() {
            table.navigations(attribute).into_iter().map(|way| way.target).collect()
        } else {
            Vec::new()
        },
    }
}

/// The seam's word for a column type.
fn kind(attribute_type: &str, format: &str) -> &'static str {
    match (attribute_type, format) {
        ("String", "Url" | "URL") => "url",
        ("String", _) => "text",
        ("Memo", _) => "long_text",
        ("Money", _) => "money",
        ("Decimal", _) => "decimal",
        ("Integer" | "BigInt", _) => "integer",
        ("Boolean", _) => "boolean",
        ("DateTime", "DateOnly") => "date",
        ("DateTime", _) => "instant",
        ("Picklist" | "State" | "Status", _) => "option",
        ("Lookup" | "Customer" | "Owner", _) => "lookup",
        ("Uniqueidentifier", _) => "id",
        _ => "other",
    }
}
