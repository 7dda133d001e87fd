//! Which status reasons belong to which state, cached: customers add their own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::client::{Client, rows, text};
use super::metadata::{RECHECK, definition, is_younger};
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// `(state, status)` of one table, and when they were read.
type Known = (Vec<(i64, i64)>, Timestamp);

/// The status reasons seen so far, by table.
#[derive(Debug)]
pub(super) struct Statuses {
    tables: Mutex<HashMap<String, Known>>,
    age: Duration,
}

impl Statuses {
    /// An empty cache that believes what it read for `age`.
    pub(super) fn new(age: Duration) -> Self {
        Self { tables: Mutex::new(HashMap::new()), age }
    }

    /// The status reasons of a table's state. Read afresh if `sought` is not among them, in case it
    /// is new.
    pub(super) async fn of_state(
        &self,
        client: &Client,
        (table, state): (&str, i64),
        sought: i64,
    ) -> Result<Vec<i64>, ConnectError> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        if let Some((pairs, read_at)) = known {
            let age = if pairs.contains(&(state, sought)) { self.age } else { RECHECK };
            if is_younger(read_at, client.now(), age) {
                return Ok(of(&pairs, state));
            }
        }
        let (now, pairs) = (client.now(), read(client, table).await?);
        let valid = of(&pairs, state);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(table.to_owned(), (pairs, now));
        Ok(valid)
    }
}

fn of(pairs: &[(i64, i64)], state: i64) -> Vec<i64> {
    pairs.iter().filter(|(of, _)| *of == state).map(|(_, status)| *status).collect()
}

async fn read(client: &Client, table: &str) -> Result<Vec<(i64, i64)>, ConnectError> {
    let address = format!(
        "{}/Attributes/Microsoft.Dynamics.CRM.StatusAttributeMetadata?$select=LogicalName\
         &$expand=OptionSet($select=Options)",
        definition(table)?
    );
    let json = client.get(&address).await?;
    Ok(rows(&json)?
        .iter()
        .filter(|attribute| text(attribute, "LogicalName") == "statuscode")
        .filter_map(|attribute| attribute.pointer("/OptionSet/Options")?.as_array())
        .flatten()
        .filter_map(|option| {
            let number = |name: &str| option.get(name).and_then(Json::as_i64);
            Some((number("State")?, number("Value")?))
        })
        .collect())
}
