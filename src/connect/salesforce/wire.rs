//! Error bodies and what they mean: by code first, by status second, by message only to unwrap a
//! row lock that a trigger or flow wrapped up. Source: the error table of the REST guide and the
//! status codes of the partner WSDL.

use std::time::Duration;

use serde_json::Value as Json;

use super::limits::QUOTA_WAIT;
use crate::connect::error::{ConnectError, Refusal, without_personal_data};
use crate::connect::http::Purpose;

/// One error of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WireError {
    /// `errorCode`, or `statusCode` inside collections.
    pub(super) code: String,
    /// For people; may quote data.
    pub(super) message: String,
    /// Fields it is about.
    pub(super) fields: Vec<String>,
}

/// What an answer that is no success was about.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What the call was for.
    pub(super) purpose: Purpose,
    /// HTTP status of the call or of its part of a composite.
    pub(super) status: u16,
    /// The errors found in the body; empty for a body that is not theirs (HTML, nothing).
    pub(super) errors: Vec<WireError>,
    /// Whether the quota still has room, where the answer told: then a refusal for the limit is
    /// about calls at the same time.
    pub(super) quota_left: Option<bool>,
    /// The wait the answer asked for, if any.
    pub(super) retry_after: Option<Duration>,
}

/// Reads the errors of a body: an array of objects, or one object at the sign-in addresses.
pub(super) fn errors(body: &Json) -> Vec<WireError> {
    match body {
        Json::Array(items) => items.iter().filter_map(one_error).collect(),
        Json::Object(_) => one_error(body).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn one_error(item: &Json) -> Option<WireError> {
    let word = |name: &str| item.get(name).and_then(Json::as_str);
    let code = word("errorCode").or(word("statusCode")).or(word("error"))?;
    let message = word("message").or(word("error_description")).unwrap_or_default();
    let fields = item.get("fields").and_then(Json::as_array);
    Some(WireError {
        code: code.to_owned(),
        message: message.to_owned(),
        fields: fields
            .map(|fields| fields.iter().filter_map(Json::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

/// A refusal of our own, before anything was sent.
pub(super) fn refused_here(code: &str, message: impl Into<String>, field: &str) -> ConnectError {
    ConnectError::Rejected(Refusal {
        status: 0,
        code: code.to_owned(),
        message: message.into(),
        fields: if field.is_empty() { Vec::new() } else { vec![field.to_owned()] },
        request_id: None,
    })
}

impl Failure {
    /// The class of the failure.
    pub(super) fn class(&self) -> ConnectError {
        let Some(first) = self.errors.first() else {
            return self.class_of_status();
        };
        let code = first.code.as_str();
        match code {
            "REQUEST_LIMIT_EXCEEDED" => ConnectError::Throttled(self.limit_wait(first)),
            "TXN_SECURITY_METERING_ERROR" => ConnectError::Throttled(Duration::from_secs(60)),
            "ENTITY_IS_DELETED" | "NOT_FOUND" => ConnectError::NotFound(self.refusal()),
            "DUPLICATE_VALUE" => ConnectError::Exists(self.refusal()),
            "UNABLE_TO_LOCK_ROW" => locked(),
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" | "CANNOT_EXECUTE_FLOW_TRIGGER"
                if first.message.contains("UNABLE_TO_LOCK_ROW") =>
            {
                locked()
            }
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
            | "ORG_IN_MAINTENANCE"
            | "QUERY_TIMEOUT"
            | "INVALID_QUERY_LOCATOR"
            | "PROCESSING_HALTED"
            | "ALL_OR_NONE_OPERATION_ROLLED_BACK" => {
                ConnectError::Unavailable(format!("Salesforce answered {code}"))
            }
            "SERVER_UNAVAILABLE"
            | "UNKNOWN_EXCEPTION"
            | "ServerError"
            | "REQUEST_RUNNING_TOO_LONG" => self.maybe_done(code),
            "INVALID_REPLICATION_DATE" | "EXCEEDED_ID_LIMIT" => ConnectError::CursorExpired,
            _ => self.class_of_operator_code(code),
        }
    }

    /// Codes at which every call would fail until the admin acts; everything else goes by status.
    fn class_of_operator_code(&self, code: &str) -> ConnectError {
        let sentence = match code {
            "INVALID_SESSION_ID" => "the session was refused twice; is the user still active?",
            "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => {
                "the organisation or the user has no API access; its edition needs the API and the \
                 user the permission API Enabled"
            }
            "UNSUPPORTED_API_VERSION" | "GONE" => {
                "the API version is not served any more; set a newer api_version"
            }
            "ORG_LOCKED" => "the organisation is locked; ask Salesforce support",
            "INVALID_LOGIN" => "the user may not sign in; is it frozen or its password expired?",
            _ if self.status == 412 => return ConnectError::Stale,
            _ if self.status >= 500 || matches!(self.status, 401 | 420 | 429) => {
                return self.class_of_status();
            }
            _ => return ConnectError::Rejected(self.refusal()),
        };
        ConnectError::Unauthorized(format!("{code}: {sentence}"))
    }

    fn class_of_status(&self) -> ConnectError {
        match self.status {
            401 => ConnectError::Unauthorized("Salesforce refused the session".to_owned()),
            // The page of a gateway says nothing of a row or a table.
            404 => self.maybe_done("404"),
            410 => ConnectError::Unauthorized(
                "the API version is not served any more; set a newer api_version".to_owned(),
            ),
            412 => ConnectError::Stale,
            420 | 429 => {
                ConnectError::Throttled(self.retry_after.unwrap_or(Duration::from_secs(60)))
            }
            409 => ConnectError::Unavailable("Salesforce answered 409".to_owned()),
            400..=499 => ConnectError::Rejected(self.refusal()),
            500..=599 => match self.retry_after {
                Some(wait) if self.purpose == Purpose::Read => ConnectError::Throttled(wait),
                _ => self.maybe_done(&self.status.to_string()),
            },
            _ => self.broken(),
        }
    }

    fn broken(&self) -> ConnectError {
        let text = format!("Salesforce answered {} without what was promised", self.status);
        match self.purpose {
            Purpose::Read => ConnectError::Broken(text),
            Purpose::Write => ConnectError::Unknown(text),
        }
    }

    fn maybe_done(&self, what: &str) -> ConnectError {
        let text = format!("Salesforce answered {what}");
        match self.purpose {
            Purpose::Read => ConnectError::Unavailable(text),
            Purpose::Write => ConnectError::Unknown(text),
        }
    }

    fn limit_wait(&self, error: &WireError) -> Duration {
        let at_once = self.quota_left.unwrap_or(error.message.contains("Concurrent"));
        if at_once { Duration::from_secs(60) } else { QUOTA_WAIT }
    }

    /// The evidence, with the fix where Salesforce's own words do not say it.
    pub(super) fn refusal(&self) -> Refusal {
        let first = self.errors.first().cloned().unwrap_or_default();
        let mut message = without_data(&first);
        if let Some(fix) = fix(&first.code) {
            message =
                if message.is_empty() { fix.to_owned() } else { format!("{message} ({fix})") };
        }
        let mut fields: Vec<String> = Vec::new();
        for field in self.errors.iter().flat_map(|error| &error.fields) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
        Refusal {
            status: self.status,
            code: first.code,
            message: message.chars().take(500).collect(),
            fields,
            request_id: None,
        }
    }
}

fn locked() -> ConnectError {
    ConnectError::Unavailable("the record is locked by another change".to_owned())
}

/// What a person must do, for codes whose message does not say it.
fn fix(code: &str) -> Option<&'static str> {
    Some(match code {
        "ENTITY_IS_LOCKED" => {
            "an approval process holds the record; finish or recall the approval, then retry"
        }
        "INSUFFICIENT_ACCESS_OR_READONLY"
        | "INSUFFICIENT_ACCESS"
        | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => {
            "share the record with the integration user or grant it the right to edit"
        }
        "CANNOT_UPDATE_CONVERTED_LEAD" => "the lead was converted; its opportunity goes on",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" => {
            "add the value to the picklist or correct the mapping"
        }
        "INACTIVE_OWNER_OR_USER" => "give the record an active owner",
        "STORAGE_LIMIT_EXCEEDED" => "the organisation's storage is full; free some, then retry",
        "DUPLICATES_DETECTED" => {
            "a duplicate rule holds it back; merge the duplicates or allow saving in the settings"
        }
        _ => return None,
    })
}

/// The vendor's message without the values it quotes where it is known to quote them.
fn without_data(error: &WireError) -> String {
    match error.code.as_str() {
        "STRING_TOO_LONG" => {
            let field = error.message.split(':').next().unwrap_or_default();
            let limit = error.message.rfind("(max length").map(|at| &error.message[at..]);
            format!("{field}: data value too large {}", limit.unwrap_or_default()).trim().to_owned()
        }
        "INVALID_EMAIL_ADDRESS" => "not a valid e-mail address".to_owned(),
        _ => without_personal_data(&error.message),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
