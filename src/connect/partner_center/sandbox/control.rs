//! The hand on the emulator: seeding, edits by people, Microsoft's answers, knobs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::answer::throttled_body;
use super::options::Options;
use super::state::{LoggedRequest, State, Stored};
use super::token::SignInFailure;
use super::webhook::{DeliveryFaults, Slot};
use super::{PartnerCenterSandbox, casing, registration, view};
use crate::connect::sandbox::{Fault, FaultEffect};
use crate::domain::clock::Randomness;
use crate::domain::id::{EngagementId, ReferralId};

/// What Microsoft does with an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationAnswer {
    /// A seller takes it: Active/Accepted, with an opportunity id of theirs.
    Accept,
    /// Closed/Declined.
    Decline,
    /// Closed/Expired.
    Expire,
    /// Closed/Won.
    Won,
    /// Closed/Lost.
    Lost,
}

/// Why the hand could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such referral.
    #[error("there is no such referral")]
    NoSuchReferral,
    /// The portal does not edit closed referrals either.
    #[error("the referral is closed")]
    Closed,
    /// The registration is not valid.
    #[error("the registration is not valid")]
    NotARegistration,
    /// The deal registration is not there, or cannot go to that status from where it is.
    #[error("there is no deal registration that could become that")]
    NoSuchStep,
    /// The settings name one that does not exist, or give one a value it cannot have.
    #[error("the settings are not valid: {0}")]
    NotSettings(String),
}

impl PartnerCenterSandbox {
    /// Puts a referral from Microsoft into our inbox: New/Pending, `invitedBy` Microsoft. `json` is
    /// laid over a complete one, so a test names only what it cares about. Raises
    /// `referral-created`.
    pub fn seed_incoming(&self, json: Json) -> ReferralId {
        let referral = incoming(&self.lock().options);
        self.seed(referral, json)
    }

    /// As [`Self::seed_incoming`], but an open deal of our own: Active/Accepted, `invitedBy` us.
    pub fn seed_own(&self, json: Json) -> ReferralId {
        let mut state = self.lock();
        let mut referral = incoming(&state.options);
        let own = json!({
            "status": "Active", "substatus": "Accepted", "direction": "Outgoing",
            "acceptedDateTime": state.stamp(),
            "inviteContext": {
                "notes": null,
                "invitedBy": {
                    "organizationId": state.options.organization_id,
                    "organizationName": state.options.organization_name,
                },
            },
        });
        drop(state);
        if let Json::Object(own) = own {
            casing::lay_over(&mut referral, own);
        }
        self.seed(referral, json)
    }

    fn seed(&self, mut referral: Map<String, Json>, given: Json) -> ReferralId {
        let mut state = self.lock();
        let given = match given {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        let text = |name: &str| given.get(name).and_then(Json::as_str);
        let id = text("id").and_then(ReferralId::parse);
        let id = id.unwrap_or_else(|| ReferralId::new(state.chance.guid()));
        let engagement = text("engagementId").map(str::to_owned);
        let engagement = engagement.unwrap_or_else(|| state.chance.guid());
        casing::lay_over(&mut referral, given);
        referral.insert("id".to_owned(), json!(id.as_str()));
        referral.insert("engagementId".to_owned(), json!(engagement));
        referral.insert("links".to_owned(), view::links(id.as_str(), &engagement));
        state.insert(referral);
        id
    }

    /// Lays `patch` over the referral, as the service or a seller of Microsoft's may at any time.
    /// One write: new `eTag`, new `updatedDateTime`, one event.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchReferral`].
    pub fn edit_as_microsoft(&self, id: &ReferralId, patch: Json) -> Result<(), ControlError> {
        self.edit(id, patch, false)
    }

    /// Lays `patch` over the referral, as a colleague in the portal does.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchReferral`], or [`ControlError::Closed`].
    pub fn edit_as_person(&self, id: &ReferralId, patch: Json) -> Result<(), ControlError> {
        self.edit(id, patch, true)
    }

    /// The first field in `json` that no referral has, at any depth; `None` if there is none.
    #[must_use]
    pub fn unknown_field(&self, json: &Json) -> Option<UnknownField> {
        unknown_below("", json, &Json::Object(view::empty()))
    }

    fn edit(&self, id: &ReferralId, patch: Json, by_person: bool) -> Result<(), ControlError> {
        let mut state = self.lock();
        let at = state.position(id.as_str()).ok_or(ControlError::NoSuchReferral)?;
        let stored = state.referrals.get(at).ok_or(ControlError::NoSuchReferral)?;
        if by_person && stored.is_closed() {
            return Err(ControlError::Closed);
        }
        let mut json = stored.json.clone();
        if let Json::Object(patch) = patch {
            casing::lay_over(&mut json, patch);
        }
        state.write(at, json);
        Ok(())
    }

    /// Microsoft answers its invitation in an engagement. Raises `related-referral-updated`.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchReferral`] if Microsoft was not invited, [`ControlError::Closed`] if its
    /// record is closed.
    pub fn answer_invitation(
        &self,
        engagement: &EngagementId,
        answer: InvitationAnswer,
    ) -> Result<(), ControlError> {
        let mut state = self.lock();
        let at = state
            .referrals
            .iter()
            .position(|stored| {
                stored.is_microsofts() && stored.text("engagementId") == engagement.as_str()
            })
            .ok_or(ControlError::NoSuchReferral)?;
        if state.referrals.get(at).is_some_and(Stored::is_closed) {
            return Err(ControlError::Closed);
        }
        let (status, substatus) = match answer {
            InvitationAnswer::Accept => ("Active", "Accepted"),
            InvitationAnswer::Decline => ("Closed", "Declined"),
            InvitationAnswer::Expire => ("Closed", "Expired"),
            InvitationAnswer::Won => ("Closed", "Won"),
            InvitationAnswer::Lost => ("Closed", "Lost"),
        };
        let mut patch = json!({ "status": status, "substatus": substatus });
        if answer == InvitationAnswer::Accept {
            let number = state.chance.bits() % 1_000_000_000;
            patch["trackingInfo"] = json!({ "microsoftMsxId": format!("7-{number:09}") });
            patch["team"] = json!([{
                "firstName": "Microsoft", "lastName": "Seller", "phoneNumber": "",
                "email": "seller@microsoft.example", "title": "Account Executive",
                "contactPreference": { "locale": "en-us", "disableNotifications": null },
            }]);
        }
        let mut json =
            state.referrals.get(at).map(|stored| stored.json.clone()).unwrap_or_default();
        if let Json::Object(patch) = patch {
            casing::lay_over(&mut json, patch);
        }
        state.write(at, json);
        Ok(())
    }

    /// Microsoft decides on the newest deal registration of a referral.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchReferral`], or [`ControlError::NoSuchStep`].
    pub fn review_registration(
        &self,
        id: &ReferralId,
        status: &str,
        reason: Option<&str>,
    ) -> Result<(), ControlError> {
        let mut state = self.lock();
        let at = state.position(id.as_str()).ok_or(ControlError::NoSuchReferral)?;
        let stored = state.referrals.get(at).ok_or(ControlError::NoSuchReferral)?;
        let json = registration::reviewed(stored, status, reason, state.now())
            .ok_or(ControlError::NoSuchStep)?;
        state.write(at, json);
        Ok(())
    }

    /// What is stored about one referral.
    #[must_use]
    pub fn referral(&self, id: &ReferralId) -> Option<Json> {
        let state = self.lock();
        let stored = state.referrals.get(state.position(id.as_str())?)?;
        Some(Json::Object(stored.json.clone()))
    }

    /// What is stored, oldest first.
    #[must_use]
    pub fn referrals(&self) -> Vec<Json> {
        let state = self.lock();
        state.referrals.iter().map(|stored| Json::Object(stored.json.clone())).collect()
    }

    /// Every request so far.
    #[must_use]
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.lock().log.clone()
    }

    /// How many creates and patches of referrals succeeded, whether or not the client was told.
    #[must_use]
    pub fn write_count(&self) -> usize {
        let is_write = |request: &&LoggedRequest| {
            request.landed
                && matches!(request.method.as_str(), "POST" | "PATCH")
                && request.path.starts_with("/v1.0/engagements/referrals")
                && (200..300).contains(&request.status)
        };
        self.lock().log.iter().filter(is_write).count()
    }

    /// Changes the settings.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        let mut state = self.lock();
        change(&mut state.options);
        state.apply_webhook_options();
    }

    /// Changes the settings that `changes` names, an object as [`Options`] is written in JSON.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotSettings`]; nothing is changed then.
    pub fn change_options(&self, changes: Json) -> Result<(), ControlError> {
        let refuse = |why: String| ControlError::NotSettings(why);
        let mut state = self.lock();
        let now =
            serde_json::to_value(&state.options).map_err(|error| refuse(error.to_string()))?;
        let (Json::Object(mut settings), Json::Object(changes)) = (now, changes) else {
            return Err(refuse("an object is expected".to_owned()));
        };
        settings.extend(changes);
        state.options = serde_json::from_value(Json::Object(settings))
            .map_err(|error| refuse(error.to_string()))?;
        state.apply_webhook_options();
        Ok(())
    }

    /// The settings as they are.
    #[must_use]
    pub fn options(&self) -> Options {
        self.lock().options.clone()
    }

    /// Applies what is due by the clock: the 14 days to answer. Every request does so too.
    pub fn tick(&self) {
        self.lock().expire();
    }

    /// Every refresh token handed out so far fails with `failure`; a new consent helps.
    pub fn revoke_refresh_tokens(&self, failure: SignInFailure) {
        self.lock().kill_refresh_tokens(failure);
    }

    /// Every sign-in fails with `failure`, until it is taken back with `None`.
    pub fn fail_sign_in(&self, failure: Option<SignInFailure>) {
        self.lock().tokens.failure = failure;
    }

    /// How every sign-in fails, if it does.
    #[must_use]
    pub fn sign_in_failure(&self) -> Option<SignInFailure> {
        self.lock().tokens.failure
    }

    /// A refresh token, as from a consent made in the past.
    #[must_use]
    pub fn refresh_token(&self) -> String {
        let mut state = self.lock();
        let mfa = state.options.consent_with_mfa;
        state.mint_refresh(mfa)
    }

    /// A user's access token for one of the two audiences.
    #[must_use]
    pub fn access_token(&self, audience: &str) -> String {
        let mut state = self.lock();
        let mfa = state.options.consent_with_mfa;
        state.mint_access(audience, mfa, false)
    }

    /// Every access token handed out so far is refused from now on.
    pub fn forget_access_tokens(&self) {
        self.lock().tokens.access.clear();
    }

    /// The user enters a device code. False if there is no such code.
    pub fn approve_device_code(&self, user_code: &str) -> bool {
        let mut state = self.lock();
        let device =
            state.tokens.devices.values_mut().find(|device| device.user_code == user_code.trim());
        device.map(|device| device.approved = true).is_some()
    }

    /// Another tool takes the tenant's one webhook registration.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotARegistration`].
    pub fn set_slot(&self, registration: &Json) -> Result<(), ControlError> {
        let mut state = self.lock();
        let stamp = state.stamp();
        let slot = Slot::parse(registration, stamp).ok_or(ControlError::NotARegistration)?;
        state.webhook.slot = Some(slot);
        Ok(())
    }

    /// Empties the webhook registration, which no call of the service can.
    pub fn clear_slot(&self) {
        self.lock().webhook.slot = None;
    }

    /// The webhook registration as a read shows it.
    #[must_use]
    pub fn slot(&self) -> Option<Json> {
        let state = self.lock();
        state.webhook.slot.as_ref().map(|slot| slot.json(&state))
    }

    /// How deliveries go wrong.
    #[must_use]
    pub fn delivery_faults(&self) -> DeliveryFaults {
        self.lock().webhook.faults
    }

    /// Makes deliveries go wrong, or right again.
    pub fn set_delivery_faults(&self, faults: DeliveryFaults) {
        self.lock().webhook.faults = faults;
    }

    /// Events waiting to be delivered.
    #[must_use]
    pub fn pending_events(&self) -> usize {
        self.lock().webhook.queue.len()
    }

    /// Bodies of the events that were given up.
    #[must_use]
    pub fn parked_events(&self) -> Vec<String> {
        self.lock().webhook.parked.iter().map(|event| event.body.clone()).collect()
    }

    /// The body of an event about a referral, to be posted by hand with [`Self::signed`].
    #[must_use]
    pub fn event_body(&self, name: &str, id: &ReferralId) -> String {
        let mut state = self.lock();
        let stamp = state.stamp();
        state.webhook.body(name, id.as_str(), None, &stamp)
    }

    /// The certificate of the authority to pin, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.signer.root_pem.clone()
    }

    /// The certificate of the intermediate authority, in PEM.
    #[must_use]
    pub fn intermediates_pem(&self) -> String {
        self.signer.intermediate_pem.clone()
    }

    /// The next `times` requests whose path contains `path` are throttled by the gateway.
    pub fn throttle(&self, path: &str, times: u32, wait: Duration) {
        let wait_secs = wait.as_secs();
        self.faults.add(Fault {
            method: None,
            path: path.to_owned(),
            skip: 0,
            times,
            effect: FaultEffect::Answer {
                status: 429,
                retry_after: Some(wait_secs.to_string()),
                content_type: "application/json".to_owned(),
                body: throttled_body(wait_secs).to_string(),
            },
        });
    }
}

impl State {
    /// Hands the settings that the webhook side needs on to it.
    pub(super) fn apply_webhook_options(&mut self) {
        self.webhook.casing = Some(self.options.webhook_casing);
        self.webhook.partner_id = self.options.organization_id.clone();
    }
}

/// A field that no referral has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Its path, as in `details.dealValue`.
    pub path: String,
    /// What there is at its place.
    pub known: Vec<String>,
}

fn unknown_below(above: &str, json: &Json, known: &Json) -> Option<UnknownField> {
    let known = known.as_object().filter(|known| !known.is_empty())?;
    json.as_object()?.iter().find_map(|(name, value)| {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match known.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, below)) => unknown_below(&path, value, below),
            None => Some(UnknownField { path, known: known.keys().cloned().collect() }),
        }
    })
}

/// A complete referral from Microsoft.
fn incoming(options: &Options) -> Map<String, Json> {
    let mut json = view::empty();
    let given = json!({
        "name": "Northwind cloud migration",
        "organizationId": options.organization_id,
        "organizationName": options.organization_name,
        "qualification": "SalesQualified",
        "type": "Shared",
        "mpnId": options.mpn_id,
        "customerProfile": {
            "name": "Northwind Traders", "size": "51to250employees",
            "address": {
                "addressLine1": "1 Main Street", "city": "Oslo", "postalCode": "0150",
                "country": "NO",
            },
            "team": [{
                "firstName": "Nora", "lastName": "Buyer", "phoneNumber": "5550100",
                "email": "buyer@northwind.example", "title": null,
                "contactPreference": { "locale": null, "disableNotifications": true },
            }],
            "ids": [{ "profileType": "External", "id": "1-ABC123" }],
        },
        "consent": {
            "consentToToShareInfoWithOthers": true, "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": true,
        },
        "details": {
            "notes": "Wants to move to the cloud.", "dealValue": 50_000, "currency": "USD",
            "closingDateTime": "2027-03-31T00:00:00Z",
            "requirements": {
                "solutions": [{
                    "id": "SOL-00001-XYZ", "name": "Contoso App", "type": "Name", "price": null,
                    "quantity": null, "currency": null, "publisherName": null,
                    "solutionType": "3P", "closingDateTime": null,
                }],
            },
        },
        "team": [{
            "firstName": "Sam", "lastName": "Seller", "phoneNumber": "5550101",
            "email": "seller@contoso.example", "title": null,
            "contactPreference": { "locale": "en-us", "disableNotifications": null },
        }],
        "inviteContext": {
            "notes": "Please help.", "invitedMpnId": options.mpn_id,
            "invitedBy": { "organizationId": "msft", "organizationName": "Microsoft" },
        },
    });
    if let Json::Object(given) = given {
        casing::lay_over(&mut json, given);
    }
    json
}
