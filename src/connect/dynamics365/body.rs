//! Flat fields into the body of a write: columns, bindings, lookups by attribute.

use serde_json::{Map, Value as Json};

use super::client::Client;
use super::lookup::{Lookups, Sought};
use super::metadata::{Attribute, Metadata, Table};
use super::odata::{guid, refuse};
use crate::connect::error::ConnectError;
use crate::domain::record::{Fields, Reference};

/// Whether the row is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Create,
    Update,
}

/// The body of a write, and what was looked up for it.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) json: Map<String, Json>,
    pub(super) sought: Vec<Sought>,
}

/// Builds bodies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) metadata: &'a Metadata,
    pub(super) lookups: &'a Lookups,
}

impl Writer<'_> {
    /// The body that sets `fields`. A field that does not exist or cannot be written is refused,
    /// because the platform would silently ignore the latter.
    pub(super) async fn body(
        &self,
        table: &Table,
        occasion: Occasion,
        fields: &Fields,
    ) -> Result<Body, ConnectError> {
        let mut body = Body::default();
        for (name, value) in fields {
            let column = name.split('.').next().unwrap_or(name);
            if column != name
                && !table.attributes.contains_key(column)
                && self.metadata.child(self.client, &table.name, column).await?.is_some()
            {
                let message = format!(
                    "`{name}` is read from many rows and cannot be written: give its row of the \
                     mapping `direction = \"to_partner_center\"`"
                );
                return Err(refuse(&[name], message));
            }
            let attribute = writable(table, column, name, occasion)?;
            match name.split_once('.') {
                Some((_, rest)) => {
                    self.by_attribute(table, attribute, (name, rest), value, &mut body).await?;
                }
                None if attribute.is_lookup() => {
                    self.reference(table, attribute, value, &mut body).await?;
                }
                None => {
                    body.json.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(body)
    }

    /// A lookup given as table and id, or null.
    async fn reference(
        &self,
        table: &Table,
        attribute: &Attribute,
        value: &Json,
        body: &mut Body,
    ) -> Result<(), ConnectError> {
        if value.is_null() {
            return clear(table, attribute, body);
        }
        let name = attribute.name.as_str();
        let reference = serde_json::from_value::<Reference>(value.clone())
            .ok()
            .and_then(|reference| Some((guid(reference.id.as_str())?, reference.table)));
        let Some((id, target)) = reference else {
            return Err(refuse(&[name], format!("`{name}` needs a table and the id of a row")));
        };
        self.bind(table, attribute, (&target, &id), name, body).await
    }

    /// A lookup given by a column of the row it is to point to.
    async fn by_attribute(
        &self,
        table: &Table,
        attribute: &Attribute,
        (path, column): (&str, &str),
        value: &Json,
        body: &mut Body,
    ) -> Result<(), ConnectError> {
        if !attribute.is_lookup() || column.contains('.') {
            return Err(refuse(&[path], format!("`{path}` cannot be written")));
        }
        let text = match value {
            Json::Null => return clear(table, attribute, body),
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return Err(refuse(&[path], format!("`{path}` cannot be looked up by {value}"))),
        };
        let mut found = None;
        for way in table.navigations(attribute) {
            let target =
                self.metadata.table_with(self.client, &way.target, std::iter::once(column)).await?;
            if !target.attributes.contains_key(column) {
                continue;
            }
            let sought = Sought::new(&way.target, column, &text);
            body.sought.push(sought.clone());
            if let Some(id) = self.lookups.find(self.client, &target, &sought, path).await? {
                if found.is_some() {
                    return Err(refuse(&[path], format!("several rows have {column} `{text}`")));
                }
                found = Some((way.target, id));
            }
        }
        let Some((target, id)) = found else {
            let message = format!("no row for `{path}` has the value `{text}`");
            return Err(refuse(&[path], message));
        };
        self.bind(table, attribute, (&target, &id), path, body).await
    }

    async fn bind(
        &self,
        table: &Table,
        attribute: &Attribute,
        (target, id): (&str, &str),
        path: &str,
        body: &mut Body,
    ) -> Result<(), ConnectError> {
        let way = table.way_to(attribute, target).ok_or_else(|| {
            refuse(&[path], format!("`{}` cannot point to a row of {target}", attribute.name))
        })?;
        let set = &self.metadata.table(self.client, target).await?.set;
        body.json.insert(format!("{way}@odata.bind"), Json::String(format!("/{set}({id})")));
        Ok(())
    }
}

fn writable<'a>(
    table: &'a Table,
    column: &str,
    path: &str,
    occasion: Occasion,
) -> Result<&'a Attribute, ConnectError> {
    let attribute = table.attribute(column)?;
    let (may, when) = match occasion {
        Occasion::Create => (attribute.creatable, "created"),
        Occasion::Update => (attribute.updatable, "changed"),
    };
    if may {
        return Ok(attribute);
    }
    let message =
        format!("the column `{column}` of {} cannot be set when a row is {when}", table.name);
    Err(refuse(&[path], message))
}

/// Empties a lookup by any of its ways: there is one value behind them all.
fn clear(table: &Table, attribute: &Attribute, body: &mut Body) -> Result<(), ConnectError> {
    let ways = table.navigations(attribute);
    let way = ways.first().ok_or_else(|| {
        let name = &attribute.name;
        refuse(&[name], format!("no table that `{name}` points to is known"))
    })?;
    body.json.insert(format!("{}@odata.bind", way.name), Json::Null);
    Ok(())
}
