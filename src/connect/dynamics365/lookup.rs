//! Finds the row a lookup is to point to by one of its columns, and remembers it for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::client::{Client, rows};
use super::merged::only_survivors;
use super::metadata::{Table, is_younger};
use super::odata::{guid, literal, refuse};
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// A row that is sought by the value of one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sought {
    table: String,
    column: String,
    /// Lower case, as the platform compares without case.
    value: String,
}

impl Sought {
    /// A row of `table` whose `column` is `value`.
    pub(super) fn new(table: &str, column: &str, value: &str) -> Self {
        Self {
            table: table.to_owned(),
            column: column.to_owned(),
            value: value.trim().to_lowercase(),
        }
    }
}

/// Rows found so far.
#[derive(Debug)]
pub(super) struct Lookups {
    found: Mutex<HashMap<Sought, (String, Timestamp)>>,
    age: Duration,
}

/// The column of users that says they may not sign in.
const DISABLED: &str = "isdisabled";

/// More than any environment's currencies and sellers; beyond it, everything is forgotten.
const MOST: usize = 10_000;

impl Lookups {
    /// An empty memory that believes what it found for `age`.
    pub(super) fn new(age: Duration) -> Self {
        Self { found: Mutex::new(HashMap::new()), age }
    }

    /// Forgets what was found, after a write with it failed.
    pub(super) fn forget(&self, sought: &[Sought]) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for one in sought {
            found.remove(one);
        }
    }

    /// The id of the row; `None` if there is none, refused if there are several. Not finding one is
    /// never remembered, so that a row made a minute later is found.
    pub(super) async fn find(
        &self,
        client: &Client,
        table: &Table,
        sought: &Sought,
        path: &str,
    ) -> Result<Option<String>, ConnectError> {
        let now = client.now();
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(sought).cloned();
        if let Some((id, at)) = known
            && is_younger(at, now, self.age)
        {
            return Ok(Some(id));
        }
        let Some(id) = search(client, table, sought, path).await? else { return Ok(None) };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MOST {
            found.clear();
        }
        found.insert(sought.clone(), (id.clone(), now));
        Ok(Some(id))
    }
}

async fn search(
    client: &Client,
    table: &Table,
    sought: &Sought,
    path: &str,
) -> Result<Option<String>, ConnectError> {
    let attribute = table.attribute(&sought.column)?;
    let (column, value) = (&sought.column, &sought.value);
    let literal = literal(&attribute.kind, value)
        .ok_or_else(|| refuse(&[path], format!("`{value}` is not a value of {column}")))?;
    // Nobody is made the owner of a deal after they left.
    let able = if table.attributes.contains_key(DISABLED) {
        format!("%20and%20{DISABLED}%20eq%20false")
    } else {
        String::new()
    };
    let address = format!(
        "{}?$select={}&$filter={}%20eq%20{literal}{able}{}&$top=2",
        table.set,
        table.id,
        attribute.wire_name(),
        only_survivors(table)
    );
    let json = client.get(&address).await?;
    match rows(&json)?.as_slice() {
        [] => Ok(None),
        [row] => {
            row.get(&table.id).and_then(Json::as_str).and_then(guid).map(Some).ok_or_else(|| {
                ConnectError::Broken(format!("a row of {} without its id", table.name))
            })
        }
        _ => {
            Err(refuse(&[path], format!("several rows of {} have {column} `{value}`", table.name)))
        }
    }
}
