//! One call after transport: what came in, what goes out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Fields;
use crate::connect::salesforce::sandbox::rows::Writer;

/// One call of the data API, alone or inside a composite.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// `v66.0`.
    pub(crate) version: String,
    /// Decoded path segments after the version.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// Whose session it is.
    pub(crate) user: String,
}

impl Call {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A query parameter's value.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// `/services/data/v66.0`.
    pub(crate) fn root(&self) -> String {
        format!("/services/data/{}", self.version)
    }

    /// The number of the version, for example 66.
    pub(crate) fn release(&self) -> u32 {
        let number = self.version.trim_start_matches('v').split('.').next();
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The body as an object.
    ///
    /// # Errors
    ///
    /// `JSON_PARSER_ERROR` if it is none.
    pub(crate) fn fields(&self) -> Result<&Fields, Failure> {
        let message = "The HTTP entity body is required, and must be a JSON object";
        self.body.as_object().ok_or_else(|| Failure::body(message))
    }

    /// Who writes, with the wishes in the headers.
    pub(crate) fn writer(&self) -> Writer {
        let assign = self.header("sforce-auto-assign");
        let duplicates = self.header("sforce-duplicate-rule-header").unwrap_or_default();
        let wish = duplicates.to_lowercase().replace(' ', "");
        Writer {
            user: self.user.clone(),
            client: true,
            assign: !assign.is_some_and(|value| value.eq_ignore_ascii_case("false")),
            allow_duplicates: wish.split(';').any(|part| part == "allowsave=true"),
        }
    }
}

/// What an answer carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    None,
    Json(Value),
    Text(&'static str, String),
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
}

impl Answer {
    /// JSON with a status.
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), content: Content::Json(body) }
    }

    /// A status and nothing else.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::None }
    }

    /// Text of another type.
    pub(crate) fn text(status: u16, kind: &'static str, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), content: Content::Text(kind, body.into()) }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body for the result of a composite call.
    pub(crate) fn into_value(self) -> Value {
        match self.content {
            Content::None => Value::Null,
            Content::Json(value) => value,
            Content::Text(_, text) => json!(text),
        }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self::json(failure.status, failure.body_json())
    }
}
