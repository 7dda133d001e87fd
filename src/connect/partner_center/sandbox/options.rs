//! What the emulated Partner Center does where the reference leaves a choice or a fault is wanted.

use serde::{Deserialize, Serialize};

/// Settings of the emulator. [`Options::default`] is what the reference documents or recommends.
///
/// Change them at any time with [`super::PartnerCenterSandbox::set_options`] or
/// [`super::PartnerCenterSandbox::change_options`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Tenant id of the partner.
    pub tenant_id: String,
    /// The application that may sign in.
    pub client_id: String,
    /// Its secret; empty for a public client. A test value, not a secret of anyone's.
    pub client_secret: String,
    /// Its certificate, PEM: an assertion must be signed with its key. Empty takes any signature.
    pub client_certificate: String,
    /// E-mail of the user behind the tokens.
    pub user_email: String,
    /// Our organisation's id, as seen in `organizationId`.
    pub organization_id: String,
    /// Our organisation's name.
    pub organization_name: String,
    /// Our PartnerID.
    pub mpn_id: String,
    /// What the user may see.
    pub role: Role,
    /// Lifetime of an access token, in seconds.
    pub access_token_secs: u64,
    /// Whether consents given from now on are made with MFA (`amr` holds `mfa`).
    pub consent_with_mfa: bool,
    /// Whether user tokens without MFA are refused with 401, code 900421.
    pub mfa_enforced: bool,
    /// After how many polls a device code counts as approved; `None` waits for
    /// [`super::PartnerCenterSandbox::approve_device_code`].
    pub device_approved_after_polls: Option<u32>,
    /// Referrals on one page of the list.
    pub page_size: usize,
    /// How `@odata.nextLink` is written.
    pub next_link: NextLinkStyle,
    /// Refuse `$filter` on `updatedDateTime` with 400.
    pub refuse_updated_filter: bool,
    /// Refuse `$filter` on `externalReferenceId` with 400.
    pub refuse_external_reference_filter: bool,
    /// Take instants in `$filter` only as quoted text.
    pub quoted_datetime_only: bool,
    /// Refuse `$filter` on every property that the reference has no example of (2.3) with 400.
    pub proven_filters_only: bool,
    /// Keep marketplace leads out of list and get, as the reference says (2.3), although it also
    /// tells how to classify them.
    pub hide_marketplace_leads: bool,
    /// Refuse a referral that exists and is not the user's with 403 rather than 404 (2.4).
    pub invisible_is_forbidden: bool,
    /// Write `Incoming` as the direction of own deals too, as seen in payloads (8, number 7).
    pub own_deals_incoming: bool,
    /// Send unknown words in enumerations and fields nobody knows, an empty object for no customer
    /// ids, and no `offers`.
    pub surprises: bool,
    /// Digits in the fraction of timestamps.
    pub fraction: Fraction,
    /// Answer every error with an HTML page instead of JSON.
    pub html_errors: bool,
    /// A referral made from now on answers 404 to this many reads before it is found.
    pub lag_reads: u32,
    /// Which parts a create must have.
    pub create_rules: CreateRules,
    /// Status of a successful create; any 2xx is documented somewhere.
    pub create_status: u16,
    /// Status of the refusal to edit a closed referral: 400, 409 or 422 are expected (4.2).
    pub closed_status: u16,
    /// Whether a decline, a loss and an error need a `statusReason` (4.2 names it with them).
    pub closing_needs_reason: bool,
    /// US dollars for one unit of a currency, for the floors of deal registration.
    pub usd_rates: Vec<(String, f64)>,
    /// Whether Microsoft manages the customers, which deal registration asks for.
    pub managed_customer: bool,
    /// Whether the deals come from solution assessments, which cannot be registered.
    pub solution_assessment: bool,
    /// Ids of the solutions that are Azure IP co-sell eligible; empty means all are.
    pub eligible_solutions: Vec<String>,
    /// What a second invitation to Microsoft in one engagement does.
    pub second_invitation: SecondInvitation,
    /// Whether our record becomes `Shared` when Microsoft is invited.
    pub share_type_on_invitation: bool,
    /// Casing of webhook bodies and of the registration API's answers.
    pub webhook_casing: JsonCasing,
    /// Answer a read of an empty webhook slot with 200 and `null` rather than 404.
    pub empty_slot_as_null: bool,
    /// Answer a validation event with a bare string rather than an object.
    pub bare_correlation_id: bool,
    /// Whether the webhook certificate is issued by an intermediate rather than by the root.
    pub certificate_from_intermediate: bool,
    /// Whether the certificate file is PEM rather than DER; `.cer` may hold either.
    pub certificate_as_pem: bool,
    /// PartnerIDs and names that the profile look-up knows besides our own.
    pub partners: Vec<(String, String)>,
    /// Host names that webhooks may be sent to.
    pub callback_hosts: Vec<String>,
    /// Start of the generator of ids; the same start gives the same ids.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tenant_id: "0f0f0f0f-1111-4222-8333-444444444444".to_owned(),
            client_id: "5a5a5a5a-1111-4222-8333-444444444444".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            client_certificate: String::new(),
            user_email: "cosell.service@contoso.example".to_owned(),
            organization_id: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
            organization_name: "Contoso".to_owned(),
            mpn_id: "1234567".to_owned(),
            role: Role::ReferralsAdmin,
            access_token_secs: 3600,
            consent_with_mfa: true,
            mfa_enforced: false,
            device_approved_after_polls: Some(1),
            page_size: 100,
            next_link: NextLinkStyle::HttpWithWrongPath,
            refuse_updated_filter: false,
            refuse_external_reference_filter: false,
            quoted_datetime_only: false,
            proven_filters_only: true,
            hide_marketplace_leads: false,
            invisible_is_forbidden: false,
            own_deals_incoming: false,
            surprises: false,
            fraction: Fraction::Varied,
            html_errors: false,
            lag_reads: 0,
            create_rules: CreateRules::Practical,
            create_status: 200,
            closed_status: 400,
            closing_needs_reason: false,
            usd_rates: [("USD", 1.0), ("EUR", 1.1), ("GBP", 1.3), ("CHF", 1.1), ("NOK", 0.1)]
                .map(|(currency, rate)| (currency.to_owned(), rate))
                .to_vec(),
            managed_customer: true,
            solution_assessment: false,
            eligible_solutions: Vec::new(),
            second_invitation: SecondInvitation::Conflict,
            share_type_on_invitation: false,
            webhook_casing: JsonCasing::Pascal,
            empty_slot_as_null: false,
            bare_correlation_id: false,
            certificate_from_intermediate: false,
            certificate_as_pem: false,
            partners: vec![("7654321".to_owned(), "Fabrikam".to_owned())],
            callback_hosts: ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned).to_vec(),
            seed: 1,
        }
    }
}

/// The role of the signed-in user (reference 1.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees and edits everything.
    ReferralsAdmin,
    /// Sees all deals of some locations, creates deals there only, and sees no leads.
    LocationAdmin {
        /// PartnerIDs of the locations.
        locations: Vec<String>,
    },
    /// Sees only deals with this e-mail in `team`, and no leads.
    ReferralsUser {
        /// The e-mail that is looked for, in any case.
        email: String,
    },
    /// Business profile or co-sell solution admin: no referrals at all, 403.
    ProfileAdmin,
}

/// How `@odata.nextLink` is written (reference 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextLinkStyle {
    /// As in the documented sample: `http://` and `/v1.0/referrals`.
    HttpWithWrongPath,
    /// `https://` and the path that was asked for.
    Right,
}

/// Digits in the fraction of timestamps (reference 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fraction {
    /// Up to seven, without trailing zeros.
    Varied,
    /// Always this many, 0 to 9.
    Fixed(u8),
}

/// Which parts a create must have (reference 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateRules {
    /// Only `type`, `customerProfile`, `consent` and `details`.
    Documented,
    /// The practical minimum of portal, bulk file and newest sample.
    Practical,
}

/// What a second invitation to Microsoft in one engagement does (reference 4.4: undocumented).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondInvitation {
    /// 409.
    Conflict,
    /// A second record of Microsoft's.
    Duplicate,
}

/// Casing of JSON names in the webhook family (reference 5.1, 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonCasing {
    /// `EventName`: the documentation.
    Pascal,
    /// `eventName`: the swagger file; events then also hold `partnerId`.
    Camel,
    /// One of each in turn.
    Mixed,
}
