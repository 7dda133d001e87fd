//! What the store remembers of one deal: who is linked to whom, and what both sides last agreed on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::sha256;
use super::hold::Hold;
use super::id::{AccountName, CrmName, DealId, EngagementId, RecordKey, ReferralId};
use super::record::{Fields, Version};
use super::referral::ReferralState;
use super::stage::Stage;
use super::time::Timestamp;
use super::value::Value;

/// Canonical values by canonical field name.
///
/// The canonical name of a field is its dotted path in the referral; a row of a mapping without a
/// referral end is named by its CRM field.
pub type Values = BTreeMap<String, Value>;

/// One deal: a referral and its record in each CRM.
///
/// All work on one deal is done one try after another; this is all that a try needs to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deal {
    /// Our own id of it.
    pub id: DealId,
    /// The account it belongs to.
    pub account: AccountName,
    /// Our referral; `None` while it is being created from a CRM.
    pub referral_id: Option<ReferralId>,
    /// The engagement, once known.
    pub engagement_id: Option<EngagementId>,
    /// Microsoft's own referral in the engagement, read and never written.
    pub microsoft_referral_id: Option<ReferralId>,
    /// What Microsoft's own referral said when it was last read.
    #[serde(default)]
    pub microsoft: Option<MicrosoftRecord>,
    /// The referral's version at the last try.
    pub referral_version: Option<Version>,
    /// The referral's state at the last try.
    pub referral_state: Option<ReferralState>,
    /// One link for each CRM the deal is in.
    pub links: Vec<Link>,
    /// Writes that were begun and whose outcome is not yet recorded.
    pub intents: Vec<Intent>,
    /// When the deal was first seen.
    pub created: Timestamp,
    /// When this was last changed.
    pub changed: Timestamp,
}

impl Deal {
    /// The link into `crm`, if the deal is there.
    #[must_use]
    pub fn link(&self, crm: CrmName) -> Option<&Link> {
        self.links.iter().find(|link| link.record.crm == crm)
    }

    /// The link into `crm`, to change it.
    pub fn link_mut(&mut self, crm: CrmName) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.record.crm == crm)
    }

    /// Marks everything that is remembered of both sides as old: the deal comes from a backup. The
    /// next comparison looks at it, whatever versions it finds.
    pub fn doubt(&mut self) {
        self.referral_version = None;
        self.intents.iter_mut().for_each(|intent| intent.doubtful = true);
        for link in &mut self.links {
            let former = link.former.values_mut().flat_map(|columns| columns.values_mut());
            link.base.values_mut().chain(former).for_each(|agreed| agreed.doubtful = true);
            link.stage_doubtful = true;
            link.version = None;
            // What the record shows now, nobody here has written.
            link.standing = None;
        }
    }

    /// The hold of any link, if one waits for a person.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.links.iter().find_map(|link| link.hold.as_ref())
    }

    /// Whether a link or a field of one waits for a person.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        self.links.iter().any(|link| link.hold.is_some() || !link.parked.is_empty())
    }

    /// What is to be said of the first record that cannot be read any more, and the way out; `None`
    /// if none is lost, or if the deal has ended and nothing is to be done.
    #[must_use]
    pub fn lost_record(&self) -> Option<String> {
        if self.referral_state.as_ref().and_then(Stage::of).is_some_and(Stage::is_closed) {
            return None;
        }
        self.links.iter().find_map(|link| match &link.state {
            LinkState::Tombstone { reason } => {
                let (crm, id) = (link.record.crm.title(), &link.record.id);
                Some(format!(
                    "Record {id} in {crm} is out of step: {reason}. Restore it or give us access, \
                     then run `cosell-sync reconcile`; or close the referral in Partner Center."
                ))
            }
            _ => None,
        })
    }
}

/// The tie between a deal and its record in one CRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The record.
    pub record: RecordKey,
    /// Where the link is in its own life.
    pub state: LinkState,
    /// The record's version at the last try.
    pub version: Option<Version>,
    /// What both sides last agreed on, field by field.
    pub base: BTreeMap<String, Agreement>,
    /// The stages both sides last agreed on.
    pub base_stage: Option<StageAgreement>,
    /// The stages come from a backup: see [`Agreement::doubtful`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stage_doubtful: bool,
    /// Why this link waits for a person.
    pub hold: Option<Hold>,
    /// Keys of sentences the seller was already told and that are not to be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Sentences for the seller that are not in the record yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// The record's field behind each value of the base: where a mapping names another one now, what
    /// that holds is no edit of anybody's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// What both sides agreed on when a mapping left a field of the record for another one, by value
    /// and field: the mapping may come back to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, BTreeMap<String, Agreement>>,
    /// The lead that became this record: it is the same deal under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<RecordKey>,
    /// Fields that rest while everything else is kept in step: what one side holds cannot be read,
    /// or the other side cannot take it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Parked>,
    /// What the record's status field was last told; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// What the record held when its stage was agreed on last; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_seen: Option<StageSeen>,
}

impl Link {
    /// Agrees on the stages. What the record held before says nothing about another stage of it.
    pub fn agree_on_stages(&mut self, agreed: StageAgreement) {
        if self.base_stage.is_none_or(|before| before.record != agreed.record) {
            self.stage_seen = None;
        }
        self.base_stage = Some(agreed);
    }

    /// The record, and the lead that it was before.
    pub fn records(&self) -> impl Iterator<Item = &RecordKey> {
        std::iter::once(&self.record).chain(&self.lead)
    }

    /// Has the seller told of something with the next write. What waits to be told already is not
    /// told a second time: a try that was cut off plans the same sentence again.
    pub fn tell(&mut self, line: String) {
        if !self.pending.contains(&line) {
            self.pending.push(line);
        }
    }

    /// Whether the record is gone, or the tie was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self.state, LinkState::Tombstone { .. })
    }
}

/// What Microsoft's own referral in the engagement said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicrosoftRecord {
    /// Its id.
    pub id: ReferralId,
    /// Its state.
    pub state: ReferralState,
    /// Microsoft's own number of the deal.
    pub number: Option<String>,
    /// The kind of help that was asked for.
    pub help: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// A field that rests, with what a person is to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Canonical field name.
    pub field: String,
    /// What is wrong with which value, in plain words.
    pub reason: String,
    /// The one next step.
    pub fix: String,
    /// The value that a system refused, and which one: it is not sent again before one of them
    /// changes. `None` where the value does not fit by the mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<(Target, Remembered)>,
}

/// The word for people in the record's status field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing is to be done.
    InSync,
    /// Something is on its way.
    Waiting,
    /// A person must act.
    NeedsAttention,
    /// The seller un-ticked *Sync with Partner Center*.
    Paused,
    /// The deal has ended at Partner Center.
    Closed,
}

impl Standing {
    /// Every word.
    pub const ALL: [Self; 5] =
        [Self::InSync, Self::Waiting, Self::NeedsAttention, Self::Paused, Self::Closed];

    /// The word used in mapping files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Waiting => "waiting",
            Self::NeedsAttention => "needs_attention",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// Where a link is in its own life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum LinkState {
    /// Kept in step.
    Live,
    /// The seller un-ticked *Sync with Partner Center*.
    Paused,
    /// The record is gone or the link was cut; never recreated unasked.
    Tombstone {
        /// Why, for people.
        reason: String,
    },
}

/// What both sides held when they last agreed on a field: each side's own canonical value, since a
/// system may trim, round or cut what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// What Partner Center held.
    pub referral: Remembered,
    /// What the CRM held.
    pub record: Remembered,
    /// It came from a backup, and both sides may have agreed on something else since: what is
    /// overwritten because of it is named. Gone as soon as they agree again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
}

/// The stages both sides were in when they last agreed. They differ where a CRM has no stage of its
/// own for what happened at Partner Center (an expired referral is a lost opportunity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageAgreement {
    /// At Partner Center.
    pub referral: Stage,
    /// In the CRM.
    pub record: Stage,
}

/// What a record held in the fields that tell its stage when both sides agreed on it. A changed mapping
/// that reads just these in another stage has moved nothing: only what the record holds otherwise since
/// is an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSeen {
    /// The fields, as the record held them.
    pub fields: Fields,
    /// How that became the stage agreed on.
    pub since: StageSince,
}

/// How a record came to the stage that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageSince {
    /// It was moved there, and stands there.
    Moved,
    /// A changed mapping reads it so; nobody chose this stage.
    Reread,
    /// It was moved on since, and what follows from that is still to be done.
    Left,
}

/// A value kept for comparison. Long text is kept as its SHA-256 only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// The value itself.
    Value(Value),
    /// Lower-case hex SHA-256 of a text longer than 256 bytes.
    Digest(String),
}

impl Remembered {
    /// Keeps `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) if text.len() > 256 => Self::Digest(sha256(text.as_bytes())),
            other => Self::Value(other.clone()),
        }
    }

    /// Whether `value` is what was kept.
    #[must_use]
    pub fn is(&self, value: &Value) -> bool {
        *self == Self::of(value)
    }

    /// The value, or nothing if only its digest was kept.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Digest(_) => None,
        }
    }
}

/// Which system a write goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Partner Center.
    PartnerCenter,
    /// A CRM.
    Crm(CrmName),
}

impl Target {
    /// The word used in audit and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerCenter => "partner_center",
            Self::Crm(crm) => crm.as_str(),
        }
    }
}

/// A write that was begun: durable before the first byte is sent, gone with the commit that records
/// its outcome. After a crash or a lost answer it tells what was meant and which values lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its id; written to the record as the sync token in the same write, where there is a field.
    pub token: String,
    /// Where the write goes.
    pub target: Target,
    /// What it does.
    pub action: IntentAction,
    /// The version the write was conditional on; `None` for a create.
    pub expect: Option<Version>,
    /// The canonical values sent. For a record that is being made, null is a value that was left out.
    pub sent: Values,
    /// For a record that is being made: its field behind each value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// The stage sent.
    pub stage: Option<Stage>,
    /// Values that lose by this write.
    pub losers: Vec<Conflict>,
    /// For a write to Partner Center: the CRMs whose values were sent, or whose record is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<CrmName>,
    /// What the sellers are to be told once it has landed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<(CrmName, String)>,
    /// It comes from a backup: what it sent may have been changed, and agreed on, many times since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
    /// When it was begun.
    pub at: Timestamp,
}

/// What an intent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentAction {
    /// Makes the record or the own referral.
    Create,
    /// Makes Microsoft's referral in the engagement.
    Invite,
    /// Changes fields, and the stage where that is a field.
    Update,
    /// A closing action (`WinOpportunity`, `LoseOpportunity`).
    Close,
    /// Turns a lead into an opportunity.
    Qualify,
    /// Registers the won deal with Microsoft.
    Register,
}

/// One field that both sides had changed: which value stays, which one lost, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Canonical field name; `stage` for the stage.
    pub field: String,
    /// The side whose value stays.
    pub winner: Target,
    /// The value that stays.
    pub kept: Value,
    /// The side whose value lost.
    pub loser: Target,
    /// The value that lost.
    pub lost: Value,
    /// The policy that decided, as in the mapping file.
    pub policy: String,
}

#[cfg(test)]
mod tests {
    use super::{Remembered, Value};

    #[test]
    fn long_text_is_kept_as_a_digest_and_still_compared() {
        let long = Value::text(&"x".repeat(300));
        let other = Value::text(&"y".repeat(300));
        let kept = Remembered::of(&long);
        assert!(matches!(kept, Remembered::Digest(_)));
        assert!(kept.is(&long));
        assert!(!kept.is(&other));
    }
}
