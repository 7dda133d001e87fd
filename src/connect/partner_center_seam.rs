//! Partner Center, seen as the place where referrals live.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ConnectError;
use crate::domain::id::{EngagementId, ReferralId};
use crate::domain::record::{Fields, Version};
use crate::domain::referral::Referral;
use crate::domain::time::Timestamp;

/// Partner Center. Laws as for [`super::crm::Crm`]; besides: neither a create nor a list append is
/// ever repeated after [`ConnectError::Unknown`].
#[async_trait]
pub trait PartnerCenter: Send + Sync {
    /// Signs in for both audiences and asks who we are.
    async fn probe(&self) -> Result<PartnerProbe, ConnectError>;

    /// Reads one referral; `None` on 404.
    async fn referral(&self, id: &ReferralId) -> Result<Option<Referral>, ConnectError>;

    /// All referrals of one engagement.
    async fn engagement(&self, id: &EngagementId) -> Result<Vec<Referral>, ConnectError>;

    /// Referrals whose `externalReferenceId` is `record_id`, newest first. Used to look before
    /// creating; where the filter is refused, the newest pages are read and compared here.
    async fn find_by_external_reference(
        &self,
        record_id: &str,
        since: Timestamp,
    ) -> Result<Vec<Referral>, ConnectError>;

    /// Creates a referral from `body` and returns what Partner Center made of it. Not safe to
    /// repeat.
    async fn create(&self, body: &Fields) -> Result<Referral, ConnectError>;

    /// Replaces the values at the given dotted paths in one PATCH, if the referral is still at
    /// `expect`. Returns what it holds afterwards. A path that may not be patched is
    /// [`ConnectError::Rejected`] without a call.
    async fn patch(
        &self,
        id: &ReferralId,
        expect: &Version,
        changes: &BTreeMap<String, Json>,
    ) -> Result<Referral, ConnectError>;

    /// Adds or changes a deal registration, by JSON Patch operations below `/registrations`.
    async fn register_deal(
        &self,
        id: &ReferralId,
        expect: &Version,
        operations: &[Json],
    ) -> Result<Referral, ConnectError>;

    /// Referrals updated since the watermark in `cursor`, one page, oldest first as far as the
    /// service orders them. `None` starts from the beginning.
    async fn changes(&self, cursor: Option<&str>) -> Result<ReferralPage, ConnectError>;

    /// The tenant's webhook registration; `None` if there is none.
    async fn webhook_slot(&self) -> Result<Option<WebhookSlot>, ConnectError>;

    /// Writes the registration: POST if there is none, PUT otherwise. Returns what is registered
    /// afterwards.
    ///
    /// `seen` is the address that was registered when this was decided. Any other one than that or
    /// our own, before or after the write, is [`ConnectError::Exists`]: another tool was faster.
    async fn write_webhook_slot(
        &self,
        slot: &WebhookSlot,
        seen: Option<&str>,
    ) -> Result<WebhookSlot, ConnectError>;

    /// Asks for a test event and returns its correlation id.
    async fn send_validation_event(&self) -> Result<String, ConnectError>;

    /// What became of a test event.
    async fn validation_result(
        &self,
        correlation_id: &str,
    ) -> Result<ValidationResult, ConnectError>;

    /// Looks a PartnerID up; `None` id asks for our own.
    async fn mpn_profile(&self, mpn_id: Option<&str>) -> Result<Option<MpnProfile>, ConnectError>;
}

/// What Partner Center says about itself and us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerProbe {
    /// Our organisation, learned from own referrals; `None` if there are none yet.
    pub organization_id: Option<String>,
    /// The service's clock.
    pub server_time: Option<Timestamp>,
    /// Whether the token carries the MFA claim, where it can be told.
    pub mfa: Option<bool>,
    /// Days until the refresh token dies if it is not used.
    pub refresh_token_days_left: Option<u32>,
    /// How many referrals the list shows on its first page: zero with leads expected hints at a
    /// missing role.
    pub visible_referrals: usize,
}

/// One page of the reconciling feed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferralPage {
    /// The referrals of the page.
    pub referrals: Vec<Referral>,
    /// Where to go on. Opaque.
    pub cursor: String,
    /// Whether another page waits right now.
    pub more: bool,
}

/// The one webhook registration of a partner tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSlot {
    /// Where events go.
    pub url: String,
    /// Names of the registered events.
    pub events: Vec<String>,
    /// Whether signatures arrive in `x-ms-signature` rather than `Authorization`.
    pub signature_in_ms_header: bool,
    /// When it was last changed, as text.
    pub last_modified: Option<String>,
}

/// What became of a test event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationResult {
    /// `completed`, or another word while it is under way.
    pub status: String,
    /// Where it was sent.
    pub callback_url: Option<String>,
    /// One line for each attempt: response code and message.
    pub attempts: Vec<String>,
}

/// A partner location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MpnProfile {
    /// Name of the partner.
    pub partner_name: String,
    /// PartnerID.
    pub mpn_id: String,
}
