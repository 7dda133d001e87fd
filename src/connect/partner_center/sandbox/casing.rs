//! Takes input in any casing, as the service binds it, and stores it in camel case.

use serde_json::{Map, Value as Json};

/// Every property of a referral and its parts (reference 3.2, 3.3, 7.1).
const KNOWN: &[&str] = &[
    "additionalRequirements",
    "address",
    "addressLine1",
    "addressLine2",
    "assistanceRequestCode",
    "attachServices",
    "attributes",
    "azureCertifiedDevice",
    "callToAction",
    "campaignId",
    "city",
    "closingDateTime",
    "consent",
    "consentToContact",
    "consentToMicrosoftToContactSpecificPartners",
    "consentToShareReferralWithMicrosoftSellers",
    "consentToToShareInfoWithOthers",
    "contactPreference",
    "contract",
    "country",
    "currency",
    "customerAction",
    "customerLicenseAgreementNumber",
    "customerProfile",
    "customerRequestedContact",
    "dealValue",
    "details",
    "deviceCategory",
    "disableNotifications",
    "email",
    "endDateTime",
    "engagementId",
    "externalReferenceId",
    "favorite",
    "firstName",
    "id",
    "ids",
    "incentiveLevel",
    "industries",
    "inviteContext",
    "invitedBy",
    "invitedMpnId",
    "iot",
    "isDeployedOnAzure",
    "isMarketplaceTransacted",
    "lastName",
    "locale",
    "marketplaceTransactionDateTime",
    "marketplaceTransactionDetails",
    "mpnId",
    "name",
    "notes",
    "offers",
    "organizationId",
    "organizationName",
    "phoneNumber",
    "postalCode",
    "price",
    "pricingModel",
    "primaryDeploymentOn",
    "products",
    "profileType",
    "publisherName",
    "qualification",
    "quantity",
    "referralProgram",
    "referralSource",
    "region",
    "registrations",
    "requirements",
    "salesPlays",
    "salesStage",
    "services",
    "signDateTime",
    "siliconType",
    "size",
    "solutionDetails",
    "solutionType",
    "solutions",
    "startDateTime",
    "state",
    "status",
    "statusReason",
    "substatus",
    "target",
    "team",
    "term",
    "title",
    "type",
    "value",
];

/// The camel-case spelling of a property; `None` if a referral has no such property.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// Brings all property names to camel case. Properties that no referral has are left out, as a
/// typed binder leaves them out.
pub(super) fn bind(json: Json) -> Json {
    match json {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| Some((canonical(&name)?.to_owned(), bind(value))))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(bind).collect()),
        other => other,
    }
}

/// Lays `patch` over `base`: objects are merged, everything else is replaced.
pub(super) fn lay_over(base: &mut Map<String, Json>, patch: Map<String, Json>) {
    for (name, value) in patch {
        match (base.get_mut(&name), value) {
            (Some(Json::Object(inner)), Json::Object(patch)) => lay_over(inner, patch),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

/// The value of the property `name`, in any casing, of the object `json`.
pub(super) fn lookup<'json>(json: &'json Json, name: &str) -> Option<&'json Json> {
    json.as_object()?
        .iter()
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}
