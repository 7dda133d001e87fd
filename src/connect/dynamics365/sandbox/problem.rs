//! Refusals, each with the error code and the HTTP status that the reference gives for it.

use super::call::Answer;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// HTTP status.
    pub(super) status: u16,
    /// Error code in hexadecimal; empty on some old paths.
    pub(super) code: &'static str,
    /// Text for people.
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// OData query or address that cannot be understood.
    pub(super) fn query(message: impl Into<String>) -> Self {
        Self::new(400, "0x80060888", message)
    }

    /// A body that does not fit the table.
    pub(super) fn payload(set: &str, inner: &str) -> Self {
        let message = format!(
            "Error identified in Payload provided by the user for Entity :'{set}' ----> \
             InnerException : Microsoft.OData.ODataException: {inner}"
        );
        Self::new(400, "0x80048d19", message)
    }

    /// A property that the type does not declare.
    pub(super) fn undeclared(set: &str, property: &str) -> Self {
        let inner = format!(
            "An undeclared property '{property}' which only has property annotations in the \
             payload but no property value was found in the payload."
        );
        Self::payload(set, &inner)
    }

    pub(super) fn unknown_property(table: &str, property: &str) -> Self {
        Self::query(format!(
            "Could not find a property named '{property}' on type 'Microsoft.Dynamics.CRM.{table}'."
        ))
    }

    pub(super) fn no_row(table: &str, id: &str) -> Self {
        let message = format!("Entity '{table}' With Id = {id} Does Not Exist");
        Self::new(404, "0x80040217", message)
    }

    pub(super) fn no_row_by_key(table: &str) -> Self {
        let message =
            format!("A record with the specified key values does not exist in {table} entity");
        Self::new(404, "0x80060891", message)
    }

    pub(super) fn no_segment(name: &str) -> Self {
        let message = format!("Resource not found for the segment '{name}'.");
        Self::new(404, "0x8006088a", message)
    }

    pub(super) fn version_mismatch() -> Self {
        let message =
            "The version of the existing record doesn't match the RowVersion property provided.";
        Self::new(412, "0x80060882", message)
    }

    pub(super) fn exists() -> Self {
        Self::new(412, "0x80040237", "A record with matching key values already exists.")
    }

    pub(super) fn duplicate_key(key: &str, columns: &[String], existing: &str) -> Self {
        let columns = columns.join(", ");
        let message = format!(
            "Entity Key {key} violated. A record with the same value for {columns} already exists. \
             A duplicate record cannot be created. <Record Id=\"{existing}\" />"
        );
        Self::new(412, "0x80060892", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "0x80040203", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "The requested resource does not support this http method.";
        Self::new(405, "0x80060888", message)
    }

    /// What this emulator does not play.
    pub(super) fn not_emulated(what: &str) -> Self {
        Self::new(501, "0x80040315", format!("The sandbox does not emulate {what}."))
    }

    /// The answer on the wire.
    pub(super) fn answer(&self) -> Answer {
        let body = serde_json::json!({"error": {"code": self.code, "message": self.message}});
        Answer::json(self.status, body.to_string())
    }
}
