//! Rows that people merged: the surviving row stands in for the one that is gone.
//!
//! The platform keeps the row that is gone, closed, with all that it held, and names its survivor in
//! it. Opportunities cannot be merged; leads, accounts and contacts can.

use serde_json::{Value as Json, json};

use super::Dynamics365;
use super::client::{Request, rows, text};
use super::metadata::Table;
use super::odata::{guid, refuse, text_literal};
use super::records::row_address;
use super::wire::Condition;
use crate::connect::error::{ConnectError, Refusal};
use crate::domain::id::RecordId;

/// Whether a row is gone.
const MERGED: &str = "merged";
/// The lookup to the row that survived.
const MASTER: &str = "masterid";
/// Read to tell rows that are gone.
pub(super) const WITH_MERGES: &[&str] = &["modifiedon", "merged", "_masterid_value"];
/// Longest way from a row to the one that survived all merges.
pub(super) const MOST_MERGES: usize = 10;

/// Whether rows of the table can be merged, so that [`WITH_MERGES`] can be read.
pub(super) fn can_be_merged(table: &Table) -> bool {
    [MERGED, MASTER].iter().all(|name| table.attributes.get(*name).is_some_and(|it| it.readable))
}

/// A condition that leaves out the rows that are gone; empty where there can be none.
pub(super) fn only_survivors(table: &Table) -> &'static str {
    if can_be_merged(table) {
        "%20and%20(merged%20eq%20false%20or%20merged%20eq%20null)"
    } else {
        ""
    }
}

/// The row that survived this one, if it is gone.
pub(super) fn survivor(row: &Json) -> Option<RecordId> {
    let merged = row.get(MERGED).and_then(Json::as_bool).unwrap_or(false);
    let master = guid(text(row, "_masterid_value")).filter(|_| merged);
    master.map(RecordId::new)
}

impl Dynamics365 {
    /// Takes the value of a unique column from the row that was merged into `survivor`, which holds
    /// it still. `taken` is the refusal of the survivor's own write, and the answer where another row
    /// holds the value.
    pub(super) async fn release_key(
        &self,
        table: &Table,
        (key, value): (&str, &str),
        survivor_id: &RecordId,
        taken: Refusal,
    ) -> Result<(), ConnectError> {
        let address = format!(
            "{}?$select={},{}&$filter={key}%20eq%20{}&$top=2",
            table.set,
            table.id,
            WITH_MERGES.join(","),
            text_literal(value)
        );
        let json = self.client.get(&address).await?;
        let mut gone = None;
        for row in rows(&json)? {
            let Some(next) = survivor(row) else { continue };
            if self.last_survivor(table, next).await? == *survivor_id {
                gone = Some(row);
            }
        }
        let Some(id) = gone.and_then(|row| guid(text(row, &table.id))) else {
            return Err(ConnectError::Exists(taken));
        };
        let version = gone.map(|row| text(row, "@odata.etag").to_owned()).unwrap_or_default();
        let url = self.client.url(&format!("{}({id})", table.set))?;
        let request = Request::write("PATCH", url, &json!({ key: null }))
            .on(Condition::IfMatch(version))
            .tagged();
        match self.client.send(&request).await {
            Ok(_) => Ok(()),
            Err(ConnectError::Rejected(refusal)) => {
                let message = format!(
                    "the {} {id} that was merged into this one still holds the referral id and is \
                     closed ({refusal}): reactivate it, empty its Referral Identifier, close it \
                     again, then let this be tried again",
                    table.name
                );
                Err(refuse(&[key], message))
            }
            Err(error) => Err(error),
        }
    }

    /// The row at the end of all merges that `id` took part in.
    async fn last_survivor(&self, table: &Table, id: RecordId) -> Result<RecordId, ConnectError> {
        let mut id = id;
        for _ in 0..MOST_MERGES {
            let select = WITH_MERGES.join(",");
            let address = format!("{}?$select={select}", row_address(table, &id)?);
            let row = self.client.find(&address).await?;
            match row.as_ref().and_then(survivor) {
                Some(next) => id = next,
                None => break,
            }
        }
        Ok(id)
    }
}
