//! Errors as the platform answers them: an array of `{message, errorCode, fields?}`.

use serde_json::{Map, Value, json};

/// One refused call.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) more: Map<String, Value>,
}

impl Failure {
    /// A failure with the HTTP status that belongs to `code`.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let status = status_of(code);
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            fields: None,
            more: Map::new(),
        }
    }

    /// A failure of a save, which names the fields at fault.
    #[must_use]
    pub fn row(code: &str, message: impl Into<String>, fields: &[&str]) -> Self {
        let mut failure = Self::new(code, message);
        failure.fields = Some(fields.iter().map(|field| (*field).to_owned()).collect());
        failure
    }

    /// The same failure under another HTTP status.
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The resource or row does not exist.
    pub(crate) fn not_found() -> Self {
        Self::new("NOT_FOUND", "The requested resource does not exist")
    }

    /// The body could not be read.
    pub(crate) fn body(message: impl Into<String>) -> Self {
        Self::new("JSON_PARSER_ERROR", message)
    }

    /// A method that the resource does not know.
    pub(crate) fn method(method: &str, allowed: &str) -> Self {
        let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
        Self::new("METHOD_NOT_ALLOWED", message)
    }

    /// The array that is the body of the answer.
    #[must_use]
    pub fn body_json(&self) -> Value {
        let mut one = self.more.clone();
        one.insert("message".into(), json!(self.message));
        one.insert("errorCode".into(), json!(self.code));
        if let Some(fields) = &self.fields {
            one.insert("fields".into(), json!(fields));
        }
        json!([one])
    }

    /// The form inside the results of a collection call, where the code is called `statusCode`.
    pub(crate) fn row_json(&self) -> Value {
        let mut one = self.more.clone();
        one.insert("message".into(), json!(self.message));
        one.insert("statusCode".into(), json!(self.code));
        one.insert("fields".into(), json!(self.fields.clone().unwrap_or_default()));
        Value::Object(one)
    }
}

/// The HTTP status of an error code; row-level codes are 400.
fn status_of(code: &str) -> u16 {
    match code {
        "INVALID_SESSION_ID" => 401,
        "REQUEST_LIMIT_EXCEEDED"
        | "API_DISABLED_FOR_ORG"
        | "API_CURRENTLY_DISABLED"
        | "ORG_IN_MAINTENANCE" => 403,
        "NOT_FOUND" | "ENTITY_IS_DELETED" | "UNSUPPORTED_API_VERSION" => 404,
        "METHOD_NOT_ALLOWED" => 405,
        "GONE" => 410,
        "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE" | "MATCH_PRECONDITION_FAILED" => 412,
        "URI_TOO_LONG" => 414,
        "UNSUPPORTED_MEDIA_TYPE" => 415,
        "UNKNOWN_EXCEPTION" => 500,
        "NOT_IMPLEMENTED" => 501,
        "SERVER_UNAVAILABLE" => 503,
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn every_code_has_its_status() {
        let table = [
            ("INVALID_SESSION_ID", 401, "log in again"),
            ("REQUEST_LIMIT_EXCEEDED", 403, "the quota is not a 429"),
            ("API_DISABLED_FOR_ORG", 403, "the edition has no API"),
            ("NOT_FOUND", 404, "REST only"),
            ("ENTITY_IS_DELETED", 404, "in the recycle bin"),
            ("METHOD_NOT_ALLOWED", 405, "PATCH on a type"),
            ("GONE", 410, "retired version"),
            ("UNABLE_TO_LOCK_ROW", 400, "a lock is a row-level code"),
            ("INSUFFICIENT_ACCESS_OR_READONLY", 400, "client fixtures say 400"),
            ("SERVER_UNAVAILABLE", 503, "overload"),
        ];
        for (code, status, why) in table {
            assert_eq!(Failure::new(code, "").status, status, "{code}: {why}");
        }
    }
}
