//! What the merge looks at: each side of a deal, converted, with what it must know besides.

use std::time::Duration;

use serde::Serialize;

use crate::domain::deal::{Deal, Standing};
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::Record;
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::mapping::rule::{Control, FieldRule, SideValues, StageRule};

/// What an account's settings say about merging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The CRM whose record id goes into `externalReferenceId` and that wins between two CRMs.
    pub primary_crm: CrmName,
    /// What happens to a deal won within 72 hours of its creation.
    pub won_before_72h: WonEarly,
    /// Two modification stamps closer together than this cannot tell which is newer.
    pub newest_margin: Duration,
    /// Time zone of the sentences to sellers; nothing else depends on it.
    pub time_zone: String,
}

/// What happens to a deal won within 72 hours of its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum WonEarly {
    /// Sent at once, with a warning that deal registration may be refused.
    Send,
    /// Sent when the 72 hours are over.
    Wait,
}

/// One CRM's side of a deal, next to the referral as that CRM's mapping reads it.
#[derive(Debug, Clone)]
pub struct RecordView<'a> {
    /// The record as read.
    pub record: &'a Record,
    /// Its canonical values.
    pub record_values: SideValues,
    /// The referral's canonical values, read by the same mapping.
    pub referral_values: SideValues,
    /// The record's stage; `None` if no rule fits.
    pub stage: Option<Stage>,
    /// The mapping, to see what fits the other side.
    pub mapping: &'a Mapping,
    /// Rules of the mapping.
    pub fields: &'a [FieldRule],
    /// Control fields of the mapping.
    pub control: &'a Control,
    /// Stages of the mapping.
    pub stages: &'a [StageRule],
}

impl RecordView<'_> {
    /// The CRM.
    #[must_use]
    pub fn crm(&self) -> CrmName {
        self.record.key.crm
    }

    /// Opportunity or lead.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.record.key.kind
    }

    /// Whether the seller's check box is ticked.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.record.fields.get(&self.control.sync).and_then(serde_json::Value::as_bool)
            == Some(true)
    }

    /// Whether the record has ended and takes no more writes: an opportunity ended by a closing
    /// action, and every lead that is over.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        let Some(stage) = self.stage else { return false };
        if self.kind() == RecordKind::Lead {
            return stage.ends_a_lead();
        }
        stage.is_closed()
            && self.stages.iter().any(|rule| rule.stage == stage && rule.close.is_some())
    }

    /// The text of a control field; empty if the field is not mapped or holds nothing.
    #[must_use]
    pub fn control_text(&self, field: Option<&String>) -> &str {
        field
            .and_then(|name| self.record.fields.get(name))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    }

    /// What the record's status field holds for a word; `None` if the field is not mapped.
    #[must_use]
    pub fn standing_value(&self, word: Standing) -> Option<serde_json::Value> {
        self.control.status.as_ref()?;
        Some(standing_value(self.control, word))
    }

    /// The assistance code that the record asks for; `None` if no help is asked, `Some(Err)` with
    /// the value if it is not in the mapping's table.
    #[must_use]
    pub fn help(&self) -> Option<Result<&str, String>> {
        let value = self.record.fields.get(self.control.help.as_ref()?)?;
        let text = match value {
            serde_json::Value::String(text) if !text.is_empty() => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let code = self.control.help_codes.iter().find(|(label, _)| *label == text);
        Some(code.map(|(_, code)| code.as_str()).ok_or(text))
    }

    /// Whether the record says explicitly that Microsoft's sellers may see the deal. `None`: no
    /// field, or no value.
    #[must_use]
    pub fn visible(&self) -> Option<bool> {
        self.record.fields.get(self.control.visibility.as_ref()?)?.as_bool()
    }
}

/// What a status field holds for a word: the mapping's value, or the word itself.
#[must_use]
pub fn standing_value(control: &Control, word: Standing) -> serde_json::Value {
    let value = control.status_values.iter().find(|(name, _)| name == word.as_str());
    let plain = || serde_json::Value::String(word.as_str().replace('_', " "));
    value.map_or_else(plain, |(_, value)| value.clone())
}

/// Everything that one plan is made from.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// What is remembered of the deal.
    pub deal: &'a Deal,
    /// Our referral as read.
    pub referral: &'a Referral,
    /// Each CRM that is live and not held.
    pub records: Vec<RecordView<'a>>,
    /// The account's settings.
    pub settings: &'a Settings,
    /// The time now; only deadlines look at it.
    pub now: Timestamp,
}
