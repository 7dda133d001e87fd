//! Alternate keys: finding a row by one and keeping it unique.

use serde_json::Value as Json;

use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{AlternateKey, KeyIndex, Table};
use crate::connect::dynamics365::sandbox::state::{Row, State};

use super::body::target_of;

impl State {
    /// The row that an alternate key addresses. A key whose index is not ready does not exist.
    pub(in super::super) fn find_by_key(
        &self,
        table: &Table,
        pairs: &[(String, String)],
    ) -> Result<Option<String>, Problem> {
        let names: Vec<String> = pairs.iter().map(|(name, _)| column_name(name)).collect();
        let known = table.keys.iter().any(|key| {
            key.index == KeyIndex::Active
                && key.columns.len() == names.len()
                && key.columns.iter().all(|column| names.contains(column))
        });
        if !known {
            let message = format!(
                "The key in the request URI is not valid for resource \
                 'Microsoft.Dynamics.CRM.{}'. Ensure that the names and number of key properties \
                 match the declared or alternate key properties.",
                table.logical
            );
            return Err(Problem::query(message));
        }
        let found = self.data.rows(&table.logical).find(|row| {
            pairs.iter().all(|(name, value)| {
                key_text(row, &column_name(name))
                    .is_some_and(|held| held.eq_ignore_ascii_case(value))
            })
        });
        Ok(found.map(|row| row.id.clone()))
    }

    /// Refuses `row` if another row holds the same values under an active key. Rows with a null in
    /// the key do not collide.
    pub(super) fn check_unique(&self, table: &Table, row: &Row) -> Result<(), Problem> {
        for key in table.keys.iter().filter(|key| key.index == KeyIndex::Active) {
            if let Some(other) = self.twin(table, key, row) {
                return Err(Problem::duplicate_key(&key.schema_name, &key.columns, &other));
            }
        }
        Ok(())
    }

    /// Another row with the same values in all columns of `key`.
    pub(in super::super) fn twin(
        &self,
        table: &Table,
        key: &AlternateKey,
        row: &Row,
    ) -> Option<String> {
        let mine: Vec<String> =
            key.columns.iter().map(|column| key_text(row, column)).collect::<Option<_>>()?;
        let same = |other: &&std::sync::Arc<Row>| {
            other.id != row.id
                && key.columns.iter().zip(&mine).all(|(column, value)| {
                    key_text(other, column).is_some_and(|held| held.eq_ignore_ascii_case(value))
                })
        };
        self.data.rows(&table.logical).find(same).map(|other| other.id.clone())
    }
}

fn column_name(name: &str) -> String {
    let lookup = name.strip_prefix('_').and_then(|rest| rest.strip_suffix("_value"));
    lookup.unwrap_or(name).to_owned()
}

fn key_text(row: &Row, column: &str) -> Option<String> {
    match row.values.get(column)? {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        object @ Json::Object(_) => target_of(object).map(|(_, id)| id.to_owned()),
        other => Some(other.to_string()),
    }
}
