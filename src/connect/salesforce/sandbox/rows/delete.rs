//! Deleting, restoring and merging rows.

use serde_json::json;

use super::{Writer, check};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::stamp;

impl Org {
    /// Moves a row to the recycle bin.
    ///
    /// # Errors
    ///
    /// If it is missing, deleted or locked.
    pub(crate) fn delete(&mut self, name: &str, id: &str, by: &Writer) -> Result<(), Failure> {
        let object = self.schema.object(name).ok_or_else(Failure::not_found)?.name.clone();
        let (id, row) = self.live(&object, id)?;
        if self.approval_locks.contains(&id) {
            check::locks(self, &object, &id, &row.fields)?;
        }
        let mut row = row.clone();
        row.fields.insert("IsDeleted".into(), json!(true));
        self.touch(&mut row.fields, &by.user);
        row.deleted_at = Some(stamp::whole_second(self.now()));
        let fields = row.fields.clone();
        self.put(&object, &id, Some(row));
        self.carry_over(&object, &fields, false, by);
        if by.client {
            self.usage.log.writes += 1;
        }
        Ok(())
    }

    /// Takes a row out of the recycle bin.
    ///
    /// # Errors
    ///
    /// If it is not in there.
    pub(crate) fn restore(&mut self, object: &str, id: &str, by: &Writer) -> Result<(), Failure> {
        let row = self.stored(object, id).filter(|row| row.deleted_at.is_some());
        let mut row = row.cloned().ok_or_else(Failure::not_found)?;
        row.fields.insert("IsDeleted".into(), json!(false));
        row.deleted_at = None;
        self.touch(&mut row.fields, &by.user);
        self.put(object, id, Some(row));
        Ok(())
    }

    /// Merges `loser` into `winner`: the loser is deleted and names its master.
    ///
    /// # Errors
    ///
    /// If one of them is missing or deleted.
    pub(crate) fn merge(
        &mut self,
        object: &str,
        winner: &str,
        loser: &str,
        by: &Writer,
    ) -> Result<(), Failure> {
        let (winner, row) = self.live(object, winner)?;
        let mut kept = row.clone();
        self.delete(object, loser, by)?;
        if let Some(mut row) = self.stored(object, loser).cloned() {
            row.fields.insert("MasterRecordId".into(), json!(winner));
            self.put(object, loser, Some(row));
        }
        self.touch(&mut kept.fields, &by.user);
        self.put(object, &winner, Some(kept));
        Ok(())
    }
}
