//! The fields of a referral (reference 3.2 and 3.3).

use super::Holds::{self, Boolean, Decimal, Instant, Integer, List, Option, Text};

/// A field of a referral.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReferralField {
    /// Dotted path, without list indexes.
    pub(crate) path: &'static str,
    /// What it holds.
    pub(crate) holds: Holds,
    /// Whether it may be sent when a referral is made.
    pub(crate) create: bool,
}

const fn sent(path: &'static str, holds: Holds) -> ReferralField {
    ReferralField { path, holds, create: true }
}

const fn read(path: &'static str, holds: Holds) -> ReferralField {
    ReferralField { path, holds, create: false }
}

/// Every field that a row may name.
const REFERRAL: &[ReferralField] = &[
    read("acceptedDateTime", Instant),
    sent("campaignId", Text),
    read("callToAction", Text),
    read("closedDateTime", Instant),
    sent("consent.consentToContact", Boolean),
    sent("consent.consentToShareReferralWithMicrosoftSellers", Boolean),
    sent("consent.consentToToShareInfoWithOthers", Boolean),
    read("createdDateTime", Instant),
    read("createdVia", Text),
    sent("customerProfile.address.addressLine1", Text),
    sent("customerProfile.address.addressLine2", Text),
    sent("customerProfile.address.city", Text),
    sent("customerProfile.address.country", Text),
    sent("customerProfile.address.postalCode", Text),
    sent("customerProfile.address.region", Text),
    sent("customerProfile.address.state", Text),
    sent("customerProfile.ids", List),
    read("customerProfile.isMatchingComplete", Boolean),
    sent("customerProfile.name", Text),
    sent("customerProfile.size", Text),
    sent("customerProfile.team", List),
    read("dealSensitivity", Text),
    sent("details.closingDateTime", Instant),
    sent("details.currency", Text),
    read("details.customerAction", Text),
    read("details.customerRequestedContact", Boolean),
    sent("details.dealValue", Holds::Money),
    read("details.incentiveLevel", Text),
    sent("details.notes", Text),
    sent("details.requirements.additionalRequirements.attributes", List),
    sent("details.requirements.industries", List),
    sent("details.requirements.offers", List),
    sent("details.requirements.products", List),
    sent("details.requirements.salesPlays", List),
    sent("details.requirements.services", List),
    sent("details.requirements.solutions", List),
    read("direction", Option),
    read("eTag", Text),
    read("engagementId", Text),
    read("expirationDateTime", Instant),
    sent("externalReferenceId", Text),
    read("favorite", Boolean),
    read("id", Text),
    sent("inviteContext.assistanceRequestCode", Option),
    read("inviteContext.invitedBy.organizationId", Text),
    read("inviteContext.invitedBy.organizationName", Text),
    sent("inviteContext.invitedMpnId", Text),
    sent("inviteContext.notes", Text),
    read("isSpam", Boolean),
    sent("mpnId", Text),
    sent("name", Text),
    read("organizationId", Text),
    read("organizationName", Text),
    sent("qualification", Option),
    read("quality", Option),
    sent("referralProgram", Text),
    read("referralSource", Text),
    read("registrationStatus", Option),
    read("registrations", List),
    sent("salesStage", Text),
    sent("status", Option),
    sent("statusReason", Text),
    sent("substatus", Option),
    read("tags", List),
    sent("target", List),
    sent("team", List),
    read("trackingInfo.microsoftMsxId", Text),
    read("trackingInfo.microsoftUSFedLeadId", Text),
    read("trackingInfo.microsoftUSFedOpportunityId", Text),
    read("trackingInfo.migratedPSCDealId", Text),
    read("trackingInfo.migratedPSCPartnerDealId", Text),
    sent("type", Option),
    read("updatedDateTime", Instant),
];

/// Members of the items of each list.
pub(crate) const LIST_ITEMS: &[(&str, &[(&str, Holds)])] = &[
    ("customerProfile.ids", &[("id", Text), ("profileType", Option)]),
    ("customerProfile.team", MEMBER),
    ("details.requirements.additionalRequirements.attributes", TAG),
    ("details.requirements.industries", TAG),
    ("details.requirements.offers", TAG),
    ("details.requirements.products", TAG),
    ("details.requirements.salesPlays", TAG),
    ("details.requirements.services", TAG),
    (
        "details.requirements.solutions",
        &[
            ("closingDateTime", Instant),
            ("currency", Text),
            ("id", Text),
            ("name", Text),
            ("price", Decimal),
            ("publisherName", Text),
            ("quantity", Integer),
            ("solutionType", Text),
            ("type", Option),
        ],
    ),
    ("tags", TAG),
    ("target", TAG),
    ("team", MEMBER),
];

const MEMBER: &[(&str, Holds)] = &[
    ("email", Text),
    ("firstName", Text),
    ("lastName", Text),
    ("phoneNumber", Text),
    ("title", Text),
];

const TAG: &[(&str, Holds)] = &[("id", Text), ("name", Text), ("type", Option)];

/// What is at `path`, which names a list item's member without its index (`team.email`).
pub(crate) fn referral_field(path: &str) -> std::option::Option<ReferralField> {
    if let Some(field) = REFERRAL.iter().find(|field| field.path == path) {
        return Some(*field);
    }
    let (list, member) = path.rsplit_once('.')?;
    let (_, members) = LIST_ITEMS.iter().find(|(name, _)| *name == list)?;
    let (_, holds) = members.iter().find(|(name, _)| *name == member)?;
    let list = REFERRAL.iter().find(|field| field.path == list)?;
    Some(ReferralField { holds: *holds, ..*list })
}

/// Every path that could have been meant.
pub(crate) fn referral_names() -> impl Iterator<Item = &'static str> {
    REFERRAL.iter().map(|field| field.path)
}
