//! The part of the control interface about Partner Center: Microsoft's side, the sign-in, the
//! webhook slot and its deliveries, and every setting of the emulator.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{DONE, Done, Fields, Refused, Sent};
use super::{Sandbox, Shared, found, made};
use crate::connect::partner_center::sandbox::{
    DeliveryFaults, InvitationAnswer, Options, SignInFailure,
};
use crate::domain::id::{EngagementId, ReferralId};

pub(super) fn routes() -> Router<Arc<Sandbox>> {
    let slot = get(slot).put(take_slot).delete(clear_slot);
    Router::new()
        .route("/partner-center/referrals", get(referrals).post(seed_incoming))
        .route("/partner-center/referrals/{id}", get(referral).patch(edit_as_microsoft))
        .route("/partner-center/referrals/{id}/registration", post(review))
        .route("/partner-center/deals", post(seed_own))
        .route("/partner-center/deals/{id}", patch(edit_as_person))
        .route("/partner-center/engagements/{id}/answer", post(answer))
        .route("/partner-center/slot", slot)
        .route("/partner-center/deliveries", get(deliveries).put(set_deliveries))
        .route("/partner-center/sign-in", get(sign_in).put(fail_sign_in))
        .route("/partner-center/sign-in/revoke", post(revoke))
        .route("/partner-center/sign-in/forget", post(forget))
        .route("/partner-center/sign-in/consent", post(consent))
        .route("/partner-center/sign-in/device", post(approve_device))
        .route("/partner-center/options", get(options).patch(change_options))
        .route("/partner-center/throttle", post(throttle))
        .route("/partner-center/requests", get(requests))
}

async fn referrals(State(sandbox): Shared) -> Json<Value> {
    Json(sandbox.partner_center.referrals().into())
}

async fn referral(State(sandbox): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    found(sandbox.partner_center.referral(&ReferralId::new(id)))
}

/// A body of fields that referrals have; a misspelt one would change nothing that anybody sees.
fn of_a_referral(sandbox: &Sandbox, body: Fields) -> Result<Value, Refused> {
    let body = Value::Object(body);
    match sandbox.partner_center.unknown_field(&body) {
        None => Ok(body),
        Some(field) => Err(Refused::misspelt(format!(
            "`{}` is no field of a referral; there are {}",
            field.path,
            field.known.join(", ")
        ))),
    }
}

async fn seed_incoming(
    State(sandbox): Shared,
    Sent(body): Sent<Fields>,
) -> Result<Json<Value>, Refused> {
    let body = of_a_referral(&sandbox, body)?;
    Ok(made(&sandbox.partner_center.seed_incoming(body)))
}

async fn seed_own(
    State(sandbox): Shared,
    Sent(body): Sent<Fields>,
) -> Result<Json<Value>, Refused> {
    let body = of_a_referral(&sandbox, body)?;
    Ok(made(&sandbox.partner_center.seed_own(body)))
}

async fn edit_as_microsoft(
    State(sandbox): Shared,
    Path(id): Path<String>,
    Sent(body): Sent<Fields>,
) -> Done {
    let body = of_a_referral(&sandbox, body)?;
    sandbox.partner_center.edit_as_microsoft(&ReferralId::new(id), body)?;
    DONE
}

async fn edit_as_person(
    State(sandbox): Shared,
    Path(id): Path<String>,
    Sent(body): Sent<Fields>,
) -> Done {
    let body = of_a_referral(&sandbox, body)?;
    sandbox.partner_center.edit_as_person(&ReferralId::new(id), body)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    answer: InvitationAnswer,
}

async fn answer(State(sandbox): Shared, Path(id): Path<String>, Sent(body): Sent<Answer>) -> Done {
    sandbox.partner_center.answer_invitation(&EngagementId::new(id), body.answer)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    status: String,
    reason: Option<String>,
}

async fn review(State(sandbox): Shared, Path(id): Path<String>, Sent(body): Sent<Review>) -> Done {
    let (id, reason) = (ReferralId::new(id), body.reason.as_deref());
    sandbox.partner_center.review_registration(&id, &body.status, reason)?;
    DONE
}

async fn slot(State(sandbox): Shared) -> Result<Json<Value>, Refused> {
    found(sandbox.partner_center.slot())
}

async fn take_slot(State(sandbox): Shared, Sent(body): Sent<Fields>) -> Done {
    sandbox.partner_center.set_slot(&body.into())?;
    DONE
}

async fn clear_slot(State(sandbox): Shared) -> Done {
    sandbox.partner_center.clear_slot();
    DONE
}

async fn deliveries(State(sandbox): Shared) -> Json<Value> {
    let emulator = &sandbox.partner_center;
    Json(json!({
        "faults": emulator.delivery_faults(),
        "waiting": emulator.pending_events(),
        "given_up": emulator.parked_events(),
    }))
}

async fn set_deliveries(State(sandbox): Shared, Sent(faults): Sent<DeliveryFaults>) -> Done {
    sandbox.partner_center.set_delivery_faults(faults);
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    failure: Option<SignInFailure>,
}

async fn sign_in(State(sandbox): Shared) -> Json<Value> {
    let causes = SignInFailure::ALL;
    Json(json!({ "failure": sandbox.partner_center.sign_in_failure(), "causes": causes }))
}

async fn fail_sign_in(State(sandbox): Shared, Sent(body): Sent<Failing>) -> Done {
    sandbox.partner_center.fail_sign_in(body.failure);
    DONE
}

async fn revoke(State(sandbox): Shared, Sent(body): Sent<Failing>) -> Done {
    let cause = body.failure.unwrap_or(SignInFailure::Revoked);
    sandbox.partner_center.revoke_refresh_tokens(cause);
    DONE
}

async fn forget(State(sandbox): Shared) -> Done {
    sandbox.partner_center.forget_access_tokens();
    DONE
}

async fn consent(State(sandbox): Shared) -> Json<Value> {
    Json(json!({ "refresh_token": sandbox.partner_center.refresh_token() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    user_code: String,
}

async fn approve_device(State(sandbox): Shared, Sent(body): Sent<Device>) -> Done {
    match sandbox.partner_center.approve_device_code(&body.user_code) {
        true => DONE,
        false => Err(Refused::missing("No sign-in waits with this code.")),
    }
}

async fn options(State(sandbox): Shared) -> Json<Options> {
    Json(sandbox.partner_center.options())
}

async fn change_options(State(sandbox): Shared, Sent(body): Sent<Value>) -> Done {
    sandbox.partner_center.change_options(body)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Throttling {
    #[serde(default)]
    path: String,
    times: u32,
    wait_secs: u64,
}

async fn throttle(State(sandbox): Shared, Sent(body): Sent<Throttling>) -> Done {
    let wait = Duration::from_secs(body.wait_secs);
    sandbox.partner_center.throttle(&body.path, body.times, wait);
    DONE
}

async fn requests(State(sandbox): Shared) -> Json<Value> {
    Json(json!(sandbox.partner_center.request_log()))
}
