//! The client behind the seam, and what it says about itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::client::Client;
use super::settings::Family;
use crate::connect::error::ConnectError;
use crate::connect::partner_center_seam::{
    MpnProfile, PartnerCenter, PartnerProbe, ReferralPage, ValidationResult, WebhookSlot,
};
use crate::domain::id::{EngagementId, ReferralId};
use crate::domain::record::{Fields, Version};
use crate::domain::referral::Referral;
use crate::domain::time::Timestamp;

#[async_trait]
impl PartnerCenter for Client {
    async fn probe(&self) -> Result<PartnerProbe, ConnectError> {
        let granted = self.principal.sign_in(Family::Referrals).await?;
        self.center.token().await.map_err(|error| match error {
            // The other audience was given: the admin must know which of the two is meant.
            ConnectError::Unauthorized(why) => {
                let audience = &self.settings.webhooks_audience;
                ConnectError::Unauthorized(format!("{why}, for {audience}"))
            }
            other => other,
        })?;
        let (page, answer) = self.read_page("$orderby=updatedDateTime%20desc").await?;
        Ok(PartnerProbe {
            organization_id: own_organization(&page.referrals),
            server_time: answer.date(),
            mfa: granted.mfa,
            refresh_token_days_left: self.principal.days_left().await,
            visible_referrals: page.referrals.len(),
        })
    }

    async fn referral(&self, id: &ReferralId) -> Result<Option<Referral>, ConnectError> {
        self.read_referral(id).await
    }

    async fn engagement(&self, id: &EngagementId) -> Result<Vec<Referral>, ConnectError> {
        self.read_engagement(id).await
    }

    async fn find_by_external_reference(
        &self,
        record_id: &str,
        since: Timestamp,
    ) -> Result<Vec<Referral>, ConnectError> {
        self.read_by_external_reference(record_id, since).await
    }

    async fn create(&self, body: &Fields) -> Result<Referral, ConnectError> {
        self.create_referral(body).await
    }

    async fn patch(
        &self,
        id: &ReferralId,
        expect: &Version,
        changes: &BTreeMap<String, Json>,
    ) -> Result<Referral, ConnectError> {
        self.patch_referral(id, expect, changes).await
    }

    async fn register_deal(
        &self,
        id: &ReferralId,
        expect: &Version,
        operations: &[Json],
    ) -> Result<Referral, ConnectError> {
        self.patch_registration(id, expect, operations).await
    }

    async fn changes(&self, cursor: Option<&str>) -> Result<ReferralPage, ConnectError> {
        self.read_changes(cursor).await
    }

    async fn webhook_slot(&self) -> Result<Option<WebhookSlot>, ConnectError> {
        self.read_slot().await
    }

    async fn write_webhook_slot(
        &self,
        slot: &WebhookSlot,
        seen: Option<&str>,
    ) -> Result<WebhookSlot, ConnectError> {
        self.write_slot(slot, seen).await
    }

    async fn send_validation_event(&self) -> Result<String, ConnectError> {
        self.ask_for_validation().await
    }

    async fn validation_result(
        &self,
        correlation_id: &str,
    ) -> Result<ValidationResult, ConnectError> {
        self.read_validation(correlation_id).await
    }

    async fn mpn_profile(&self, mpn_id: Option<&str>) -> Result<Option<MpnProfile>, ConnectError> {
        self.read_mpn_profile(mpn_id).await
    }
}

/// Our organisation: the one that owns most of what we see, Microsoft's own records aside.
fn own_organization(referrals: &[Referral]) -> Option<String> {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for referral in referrals.iter().filter(|referral| !referral.is_microsofts()) {
        if let Some(owner) = referral.text("organizationId") {
            *owners.entry(owner).or_default() += 1;
        }
    }
    owners.into_iter().max_by_key(|(_, count)| *count).map(|(owner, _)| owner.to_owned())
}
