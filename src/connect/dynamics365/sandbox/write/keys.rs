//! Alternate keys: finding a row by one and keeping it unique.

use std::sync::Arc;

use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{AlternateKey, KeyIndex, Table};
use crate::connect::dynamics365::sandbox::state::State;

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
        let wanted: Vec<(String, String)> =
            names.into_iter().zip(pairs.iter().map(|(_, value)| value.to_lowercase())).collect();
        let Some((first, value)) = wanted.first() else { return Ok(None) };
        let found = self.data.rows_with(&table.logical, first, value).find(|row| {
            wanted.iter().all(|(name, value)| row.key_text(name).as_ref() == Some(value))
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
            key.columns.iter().map(|column| row.key_text(column)).collect::<Option<_>>()?;
        let same = |other: &&Arc<Row>| {
            let theirs = || key.columns.iter().map(|column| other.key_text(column));
            other.id != row.id && theirs().eq(mine.iter().cloned().map(Some))
        };
        let (column, value) = (key.columns.first()?, mine.first()?);
        let mut candidates = self.data.rows_with(&table.logical, column, value);
        candidates.find(same).map(|other| other.id.clone())
    }
}

fn column_name(name: &str) -> String {
    let lookup = name.strip_prefix('_').and_then(|rest| rest.strip_suffix("_value"));
    lookup.unwrap_or(name).to_owned()
}
