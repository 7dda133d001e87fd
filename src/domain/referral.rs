//! A referral, what kind it is, and what may happen to it next.
//!
//! Source of every table here: Partner Center reference, sections 3 and 4.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::id::{EngagementId, ReferralId};
use super::record::{Fields, Version};
use super::time::Timestamp;

/// A referral as Partner Center sent it, with every field it had, known to us or not.
///
/// Keys are brought to camel case on reading; nothing else is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Referral(Fields);

impl Referral {
    /// Takes the JSON object of a referral. `None` if it is not an object or has no valid `id`.
    #[must_use]
    pub fn from_json(json: Json) -> Option<Self> {
        let Json::Object(fields) = camel_case(json) else { return None };
        let referral = Self(fields);
        ReferralId::parse(referral.text("id")?)?;
        Some(referral)
    }

    /// The whole object.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0
    }

    /// The value at a dotted path such as `details.dealValue`; `None` if any step is missing.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Json> {
        let mut steps = path.split('.');
        let mut at = self.0.get(steps.next()?)?;
        for step in steps {
            at = at.get(step)?;
        }
        Some(at)
    }

    /// The text at a dotted path; `None` if it is missing, null, empty or not text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// The referral's id.
    #[must_use]
    pub fn id(&self) -> ReferralId {
        let text = self.text("id").unwrap_or_default();
        ReferralId::parse(text).unwrap_or_else(|| ReferralId::new(text))
    }

    /// The engagement it belongs to.
    #[must_use]
    pub fn engagement_id(&self) -> Option<EngagementId> {
        self.text("engagementId").map(|id| EngagementId::new(id.to_ascii_lowercase()))
    }

    /// The concurrency token, with its inner quotes; `None` if the answer held none, in which case
    /// nothing may be written.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.text("eTag").filter(|tag| tag.len() <= 1024).map(|tag| Version(tag.to_owned()))
    }

    /// When Partner Center says it was last updated.
    #[must_use]
    pub fn updated(&self) -> Option<Timestamp> {
        self.text("updatedDateTime").and_then(Timestamp::parse)
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.text("createdDateTime").and_then(Timestamp::parse)
    }

    /// Status and substatus together.
    #[must_use]
    pub fn state(&self) -> ReferralState {
        ReferralState {
            status: Status::parse(self.text("status").unwrap_or_default()),
            substatus: Substatus::parse(self.text("substatus").unwrap_or_default()),
        }
    }

    /// Whether this record is Microsoft's own in the engagement, by its organisation.
    #[must_use]
    pub fn is_microsofts(&self) -> bool {
        is_microsoft(self.text("organizationId"))
            || self.get("target").and_then(Json::as_array).is_some_and(|targets| {
                targets.iter().any(|target| {
                    target.get("id").and_then(Json::as_str).is_some_and(|id| is_microsoft(Some(id)))
                })
            })
    }

    /// Lead or opportunity, by type, qualification and inviter (reference 4.1).
    #[must_use]
    pub fn class(&self) -> Class {
        let shared = self.text("type").is_some_and(|kind| kind.eq_ignore_ascii_case("Shared"));
        if shared {
            return Class::Opportunity;
        }
        let qualification = self.text("qualification").unwrap_or("None").to_ascii_lowercase();
        let inviter = self.text("inviteContext.invitedBy.organizationId");
        match (qualification.as_str(), inviter) {
            ("direct", inviter) if inviter.is_none() || is_microsoft(inviter) => {
                Class::MarketplaceLead
            }
            ("salesqualified" | "marketingqualified", inviter) if is_microsoft(inviter) => {
                Class::QualifiedLead
            }
            ("direct" | "marketingqualified", _) => Class::QualifiedLead,
            _ => Class::Opportunity,
        }
    }

    /// Private, partner-led or co-sell, from this record alone. Co-sell is only certain with a look
    /// at the engagement: pass whether it holds a referral of Microsoft's.
    #[must_use]
    pub fn deal_kind(&self, microsoft_in_engagement: bool) -> DealKind {
        let shared = self
            .get("consent.consentToShareReferralWithMicrosoftSellers")
            .and_then(Json::as_bool)
            .unwrap_or(false);
        if microsoft_in_engagement {
            DealKind::CoSell
        } else if shared {
            DealKind::PartnerLed
        } else {
            DealKind::Private
        }
    }
}

fn is_microsoft(organization: Option<&str>) -> bool {
    organization.is_some_and(|id| id.eq_ignore_ascii_case("msft"))
}

/// Lower-cases the first letter of every key, all the way down.
fn camel_case(json: Json) -> Json {
    match json {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .map(|(key, value)| {
                    let mut letters = key.chars();
                    let key = letters
                        .next()
                        .map(|first| first.to_ascii_lowercase().to_string() + letters.as_str())
                        .unwrap_or_default();
                    (key, camel_case(value))
                })
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(camel_case).collect()),
        other => other,
    }
}

/// What a referral is, which decides the kind of CRM record it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A customer asked through a marketplace or the partner's profile.
    MarketplaceLead,
    /// A lead that Microsoft qualified and passed on.
    QualifiedLead,
    /// A co-sell opportunity: private, partner-led, co-sell or between partners.
    Opportunity,
}

impl Class {
    /// Whether it is a lead of either sort.
    #[must_use]
    pub fn is_lead(self) -> bool {
        self != Self::Opportunity
    }
}

/// How far a deal is shared with Microsoft. Each step up is a door that closes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DealKind {
    /// Kept to ourselves.
    Private,
    /// Microsoft's sellers may see it.
    PartnerLed,
    /// Microsoft was asked for help.
    CoSell,
}

/// Declares an enumeration of wire words, read without case, with unknown words kept as they came.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that is not in the reference; never mapped to a default.
            Unknown(String),
        }

        impl $name {
            /// Reads the wire word in any case.
            #[must_use]
            pub fn parse(word: &str) -> Self {
                $(if word.eq_ignore_ascii_case(stringify!($variant)) { return Self::$variant; })+
                Self::Unknown(word.to_owned())
            }

            /// The wire word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Unknown(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                Self::parse(&word)
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}

wire_enum! {
    /// Where a referral is in its life (reference 3.4).
    Status {
        /// Not answered yet.
        New,
        /// Accepted and worked on.
        Active,
        /// Ended; final.
        Closed,
    }
}

wire_enum! {
    /// The finer state within a [`Status`] (reference 3.4).
    Substatus {
        /// Sent, not yet seen.
        Pending,
        /// Seen, not yet answered.
        Received,
        /// Accepted.
        Accepted,
        /// Closed with a sale.
        Won,
        /// Closed without a sale.
        Lost,
        /// Refused.
        Declined,
        /// Not answered within 14 days; set by Partner Center only.
        Expired,
        /// Closed as a mistake.
        Error,
    }
}

/// Status and substatus; they only make sense together and are always sent together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReferralState {
    /// New, Active or Closed.
    pub status: Status,
    /// The finer state.
    pub substatus: Substatus,
}

impl ReferralState {
    /// A pair.
    #[must_use]
    pub fn new(status: Status, substatus: Substatus) -> Self {
        Self { status, substatus }
    }

    /// Whether the two words agree (reference 4.2).
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        use Substatus as S;
        matches!(
            (&self.status, &self.substatus),
            (Status::New, S::Pending | S::Received)
                | (Status::Active, S::Accepted)
                | (Status::Closed, S::Won | S::Lost | S::Declined | S::Expired | S::Error)
        )
    }

    /// Whether nothing may be edited any more.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.status == Status::Closed
    }

    /// Whether a partner may move a referral from this state to `next` with one PATCH
    /// (reference 4.2). Staying where it is counts as allowed, except that nothing leaves Closed.
    #[must_use]
    pub fn may_become(&self, next: &Self) -> bool {
        if !next.is_consistent() || self.is_terminal() || next.substatus == Substatus::Expired {
            return false;
        }
        match (&self.status, &next.status) {
            (Status::New, Status::New | Status::Active) => true,
            (Status::New, Status::Closed) => {
                matches!(next.substatus, Substatus::Declined | Substatus::Error)
            }
            (Status::Active, Status::Active) => true,
            (Status::Active, Status::Closed) => {
                matches!(next.substatus, Substatus::Won | Substatus::Lost | Substatus::Error)
            }
            _ => false,
        }
    }
}

impl fmt::Display for ReferralState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.status.as_str(), self.substatus.as_str())
    }
}

/// The JSON Patch paths that a client may send (reference 2.5), as dotted paths. A path not listed
/// here is refused before it reaches the wire.
pub const PATCHABLE: &[&str] = &[
    "campaignId",
    "consent.consentToShareReferralWithMicrosoftSellers",
    "customerProfile.team",
    "details.closingDateTime",
    "details.currency",
    "details.dealValue",
    "details.notes",
    "details.requirements.solutions",
    "externalReferenceId",
    "referralProgram",
    "salesStage",
    "status",
    "statusReason",
    "substatus",
    "team",
];

/// Fields frozen once the referral exists (reference 4.6), as dotted path prefixes.
pub const FROZEN_AFTER_CREATE: &[&str] = &[
    "customerProfile.address",
    "customerProfile.ids",
    "customerProfile.name",
    "consent.consentToContact",
    "consent.consentToToShareInfoWithOthers",
    "engagementId",
    "mpnId",
    "type",
];

/// Fields frozen once the deal was shared with Microsoft (reference 4.6), as dotted path prefixes.
pub const FROZEN_AFTER_SHARE: &[&str] = &["customerProfile.team", "inviteContext"];

/// Whether `path` may be patched at all.
#[must_use]
pub fn is_patchable(path: &str) -> bool {
    PATCHABLE.contains(&path)
}

/// Whether `path` lies in one of the frozen `prefixes`.
#[must_use]
pub fn is_frozen(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests;
