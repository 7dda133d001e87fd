//! A notice: a durable hint that something about one deal may have changed.
//!
//! A notice carries no values. Whoever works on it reads both sides afresh, so notices may be lost,
//! doubled, late or out of order without harm.

use serde::{Deserialize, Serialize};

use super::id::{AccountName, DealId, NoticeId, RecordKey, ReferralId};
use super::time::Timestamp;

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A referral at Partner Center, ours or another party's.
    Referral(ReferralId),
    /// A record in a CRM.
    Record(RecordKey),
    /// A deal we know, for work we gave ourselves: a retry, a catch-up, a bookkeeping write.
    Deal(DealId),
    /// Something genuine from which no id could be taken, with the reason: a person looks at it.
    Unusable(String),
}

/// Who told us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A webhook of Partner Center.
    PartnerCenterWebhook,
    /// The reconciling list of Partner Center.
    PartnerCenterFeed,
    /// The change feed of Dynamics 365, or its webhook.
    Dynamics365,
    /// The change feed of Salesforce, or its outbound message or change event.
    Salesforce,
    /// The nightly comparison, or a backfill.
    Reconcile,
    /// A person, through the console or the command line.
    Operator,
    /// The daemon itself.
    Daemon,
}

impl Source {
    /// The word used in metrics, output and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerCenterWebhook => "partner_center_webhook",
            Self::PartnerCenterFeed => "partner_center_feed",
            Self::Dynamics365 => "dynamics365",
            Self::Salesforce => "salesforce",
            Self::Reconcile => "reconcile",
            Self::Operator => "operator",
            Self::Daemon => "daemon",
        }
    }
}

/// A notice before the inbox has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNotice {
    /// The account it belongs to.
    pub account: AccountName,
    /// Who told us.
    pub source: Source,
    /// What it is about.
    pub subject: Subject,
    /// What happened, in the source's own word (`referral-updated`), for tracing only.
    pub event: String,
    /// Two notices with one key are the same notice; the second is not taken again. `None`: never
    /// the same.
    pub dedupe: Option<String>,
    /// Not to be worked on before.
    pub due: Timestamp,
}

/// A notice in the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its place in the inbox.
    pub id: NoticeId,
    /// What was told.
    #[serde(flatten)]
    pub notice: NewNotice,
    /// When it became durable.
    pub received: Timestamp,
    /// Tries so far that failed.
    pub attempts: u32,
}

/// How a notice ended. Counted in the ledger as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The deal was brought in step, or already was.
    Applied,
    /// A later notice of the same deal covered it.
    Superseded,
    /// Nothing to do, for a stated reason.
    Ignored,
}
