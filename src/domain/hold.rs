//! Why a deal waits for a person.

use serde::{Deserialize, Serialize};

/// A reason to hold a deal, told so that a person can act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Stable code for machines, for example `account_ambiguous`.
    pub code: String,
    /// What happened, to which field or record, in plain words.
    pub reason: String,
    /// The one next step.
    pub fix: String,
    /// Request and answer that show it, without secrets and personal data.
    pub evidence: Option<String>,
}

impl Hold {
    /// A hold without evidence.
    pub fn new(code: &str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), fix: fix.into(), evidence: None }
    }

    /// The same hold, with evidence.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }
}
