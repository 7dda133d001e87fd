//! Lookups in a write: a reference by id, or a related row named by one of its fields.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use super::client::Client;
use super::describe::{Field, Table};
use super::{soql, wire};
use crate::connect::error::ConnectError;
use crate::domain::record::{Fields, Reference};

/// Most rows remembered.
const REMEMBERED: usize = 5000;

type Key = (String, String, String);

/// Rows found by a field, remembered.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<HashMap<Key, String>>);

impl Lookups {
    /// The body of a write: unknown fields are refused, lookups become ids.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Rejected`] for a field that cannot be written as given; whatever a query for
    /// a related row reports.
    pub(super) async fn body(
        &self,
        client: &Client,
        table: &Table,
        fields: &Fields,
    ) -> Result<Map<String, Json>, ConnectError> {
        let mut body = Map::new();
        for (path, value) in fields {
            match path.split_once('.') {
                None => {
                    let field = table.field(path).ok_or_else(|| unwritable(path, "is unknown"))?;
                    body.insert(field.name.clone(), plain(field, value)?);
                }
                Some(_) if table.list(path).is_some() => {
                    let what = "belongs to rows below the record, which are not written: give the \
                                row direction = \"to_partner_center\"";
                    return Err(unwritable(path, what));
                }
                Some((relation, attribute)) => {
                    let field =
                        table.relation(relation).ok_or_else(|| unwritable(path, "is unknown"))?;
                    let id = self.related(client, field, path, attribute, value).await?;
                    body.insert(field.name.clone(), id);
                }
            }
        }
        Ok(body)
    }

    async fn related(
        &self,
        client: &Client,
        field: &Field,
        path: &str,
        attribute: &str,
        value: &Json,
    ) -> Result<Json, ConnectError> {
        let text = match value {
            Json::Null => return Ok(Json::Null),
            Json::String(text) => text.as_str(),
            _ => return Err(unwritable(path, "takes text")),
        };
        let target = target(field).ok_or_else(|| unwritable(path, "points nowhere"))?;
        let key = (target.to_owned(), attribute.to_owned(), text.to_lowercase());
        if let Some(id) = self.remembered(&key) {
            return Ok(Json::String(id));
        }
        let id = find(client, target, path, attribute, text).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, id.clone());
        Ok(Json::String(id))
    }

    fn remembered(&self, key: &Key) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Forgets everything, after a lookup was refused: the row may be gone.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The table a lookup by text goes to: a person rather than a queue.
fn target(field: &Field) -> Option<&str> {
    let targets = field.reference_to.as_deref()?;
    targets.iter().find(|table| *table == "User").or(targets.first()).map(String::as_str)
}

async fn find(
    client: &Client,
    target: &str,
    path: &str,
    attribute: &str,
    text: &str,
) -> Result<String, ConnectError> {
    if !soql::is_name(target) || !soql::is_name(attribute) {
        return Err(unwritable(path, "cannot be looked up"));
    }
    let active = if target == "User" { " AND IsActive = TRUE" } else { "" };
    let soql =
        format!("SELECT Id FROM {target} WHERE {attribute} = {}{active} LIMIT 2", soql::text(text));
    let (rows, _) = client.query(&soql).await?;
    match rows.as_slice() {
        [row] => Ok(super::convert::id(row)?.as_str().to_owned()),
        [] => Err(unwritable(path, &format!("names no {target} that exists"))),
        _ => Err(unwritable(path, &format!("names more than one {target}"))),
    }
}

/// A value as the wire wants it.
fn plain(field: &Field, value: &Json) -> Result<Json, ConnectError> {
    match value {
        Json::Object(_) if field.kind == "reference" => {
            let reference: Reference = serde_json::from_value(value.clone())
                .map_err(|_| unwritable(&field.name, "takes a reference"))?;
            soql::long_id(reference.id.as_str())
                .map(Json::String)
                .ok_or_else(|| unwritable(&field.name, "takes an id"))
        }
        Json::Array(items) if field.kind == "multipicklist" => {
            let codes: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            Ok(Json::String(codes.join(";")))
        }
        Json::Object(_) | Json::Array(_) => Err(unwritable(&field.name, "takes one plain value")),
        plain => Ok(plain.clone()),
    }
}

fn unwritable(path: &str, what: &str) -> ConnectError {
    wire::refused_here("", format!("`{path}` {what}"), path)
}
