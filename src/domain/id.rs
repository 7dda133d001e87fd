//! Names and identities, each its own type, so that one can never be passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares a text identity that compares and prints as the text it holds.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The name of an account table in the configuration, for example `contoso`.
    AccountName
}
text_id! {
    /// Partner Center's id of one referral: a lower-case GUID. Make it with [`ReferralId::parse`]
    /// where the text came from outside.
    ReferralId
}
text_id! {
    /// Partner Center's id of an engagement, which groups the referrals of all its parties.
    EngagementId
}
text_id! {
    /// A CRM's id of one record: a lower-case GUID in Dynamics 365, 18 characters in Salesforce.
    RecordId
}
text_id! {
    /// Our own id of a deal, minted when the deal is first seen; never shown to a seller.
    DealId
}
text_id! {
    /// The id of one notice in the inbox: its sequence number, zero-padded, so that text order is
    /// arrival order.
    NoticeId
}

impl ReferralId {
    /// Reads a GUID as Partner Center writes it, in any case, and keeps it in lower case.
    ///
    /// `None` for anything else: braces, another length, other characters, all zeros.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shape = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        let zeros = text.bytes().all(|byte| byte == b'0' || byte == b'-');
        (shape && !zeros).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// One of the CRM systems that a deal can live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrmName {
    /// Microsoft Dynamics 365 Sales, on Dataverse.
    Dynamics365,
    /// Salesforce Sales Cloud.
    Salesforce,
}

impl CrmName {
    /// The name used in configuration, file names, addresses and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dynamics365 => "dynamics365",
            Self::Salesforce => "salesforce",
        }
    }

    /// The name a person uses.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Dynamics365 => "Dynamics 365",
            Self::Salesforce => "Salesforce",
        }
    }
}

impl fmt::Display for CrmName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What kind of CRM record a referral is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A deal a seller works on.
    Opportunity,
    /// A contact that is not yet a deal.
    Lead,
}

impl RecordKind {
    /// The name used in configuration, file names and addresses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opportunity => "opportunity",
            Self::Lead => "lead",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Names one CRM record of one account, whichever CRM it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The CRM it lives in.
    pub crm: CrmName,
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// Its id there.
    pub id: RecordId,
}

impl RecordKey {
    /// The record that `crm/kind/id` names, as its text form does; `None` if it names none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let crms = [CrmName::Dynamics365, CrmName::Salesforce];
        let kinds = [RecordKind::Opportunity, RecordKind::Lead];
        let (crm, kind, id) = (parts.next()?, parts.next()?, parts.next()?.trim());
        let crm = crms.into_iter().find(|known| known.as_str() == crm)?;
        let kind = kinds.into_iter().find(|known| known.as_str() == kind)?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if id.is_empty() || !id.chars().all(plain) {
            return None;
        }
        // Dynamics 365 writes its ids in lower case.
        let id = if crm == CrmName::Dynamics365 { id.to_lowercase() } else { id.to_owned() };
        Some(Self { crm, kind, id: RecordId::new(id) })
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.crm, self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::{RecordKey, ReferralId};

    #[test]
    fn a_record_is_named_by_its_three_parts() {
        let table = [
            ("salesforce/opportunity/0061x00000AbCdE", true, "as `links` shows it"),
            ("dynamics365/lead/af1cb9fc-0466-4315-b666-53cf95da2a94", true, "a lead"),
            ("salesforce/0061x00000AbCdE", false, "no kind"),
            ("hubspot/opportunity/1", false, "no CRM of ours"),
            ("salesforce/opportunity/", false, "no id"),
            ("salesforce/opportunity/1'/../x", false, "no id either"),
        ];
        for (text, known, why) in table {
            let parsed = RecordKey::parse(text);
            assert_eq!(parsed.map(|key| key.to_string()), known.then(|| text.to_owned()), "{why}");
        }
    }

    #[test]
    fn only_a_plain_guid_is_a_referral_id() {
        let table = [
            ("11111111-2222-4333-8444-555555555555", true, "as documented"),
            ("AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE", true, "upper case is normalised"),
            ("{11111111-2222-4333-8444-555555555555}", false, "braces"),
            ("11111111-2222-4333-8444-55555555555", false, "35 characters"),
            ("11111111-2222-4333-8444-5555555555555", false, "37 characters"),
            ("00000000-0000-0000-0000-000000000000", false, "all zeros"),
            ("..%2f..%2fcustomers-aaaaaaaaaaaaaaaa", false, "a path"),
            ("1111111112222-4333-8444-555555555555", false, "a dash at the wrong place"),
        ];
        for (text, good, why) in table {
            assert_eq!(ReferralId::parse(text).is_some(), good, "{text}: {why}");
        }
        let upper =
            ReferralId::parse("AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE").map(|id| id.to_string());
        assert_eq!(upper.as_deref(), Some("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"));
    }
}
