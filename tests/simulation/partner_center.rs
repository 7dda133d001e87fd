//! Partner Center as its reference describes it, at the level of the trait.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cosell_sync::connect::error::{ConnectError, Refusal};
use cosell_sync::connect::partner_center_seam::{
    MpnProfile, PartnerCenter, PartnerProbe, ReferralPage, ValidationResult, WebhookSlot,
};
use cosell_sync::domain::deal::Target;
use cosell_sync::domain::id::{EngagementId, ReferralId};
use cosell_sync::domain::record::{Fields, Version};
use cosell_sync::domain::referral::{Referral, ReferralState, Status, Substatus, is_patchable};
use cosell_sync::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::mutants::Bug;
use crate::tally::Mishap;
use crate::world::{OURS, Shared, StoredReferral, Webhook, World, Write};

/// The fake.
pub(crate) struct FakePartnerCenter(pub(crate) Shared);

/// The field that names the record of a referral we made.
const EXTERNAL: &str = "externalReferenceId";

/// Lists show changes of the last so many milliseconds again.
const OVERLAP: i64 = 10_000;

/// What Partner Center answers for a stored referral.
pub(crate) fn shown(stored: &StoredReferral) -> Referral {
    let mut fields = stored.fields.clone();
    fields["updatedDateTime"] = json!(Timestamp::from_millis(stored.updated).to_string());
    fields["eTag"] = json!(format!("\"{}\"", stored.version));
    Referral::from_json(fields).expect("a referral")
}

/// Notes a change of a referral: version, stamp, webhook.
pub(crate) fn touch(world: &mut World, id: &str, event: &str) {
    let now = world.partner_now();
    let mut ours = true;
    if let Some(stored) = world.referrals.get_mut(id) {
        stored.version += 1;
        stored.updated = now.max(stored.updated + 1);
        ours = stored.fields["organizationId"] == OURS;
    }
    let event = if ours { event.to_owned() } else { format!("related-{event}") };
    let copies = if world.dice.permille(250) { 0 } else { 1 + world.dice.below(2) };
    match copies {
        0 => world.met(Mishap::WebhookLost),
        2 => world.met(Mishap::WebhookDoubled),
        _ => {}
    }
    world.journal.sent += 1;
    let webhook =
        Webhook { referral: id.to_owned(), event, number: world.journal.sent, sent: world.now };
    world.webhooks.extend(std::iter::repeat_n(webhook, copies));
}

/// A new referral of somebody, and its id.
pub(crate) fn insert(world: &mut World, mut fields: Json) -> String {
    let number = world.next();
    let id = format!("11111111-2222-4333-8444-{number:012}");
    fields["id"] = json!(id);
    if fields["engagementId"].is_null() {
        fields["engagementId"] = json!(format!("eeeeeeee-2222-4333-8444-{number:012}"));
    }
    let now = world.partner_now();
    fields["createdDateTime"] = json!(Timestamp::from_millis(now).to_string());
    fields["unmapped"] = json!(format!("keep-{number}"));
    world
        .referrals
        .insert(id.clone(), StoredReferral { fields, created: now, updated: now, version: 0 });
    touch(world, &id, "referral-created");
    id
}

fn state(fields: &Json) -> ReferralState {
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    ReferralState::new(Status::parse(&text("status")), Substatus::parse(&text("substatus")))
}

/// Whether lists show a referral yet.
fn listed(world: &World, stored: &StoredReferral) -> bool {
    stored.created + world.chaos.lag <= world.partner_now()
}

/// Whether the list by modification shows the newest change of a referral yet.
fn change_listed(world: &World, stored: &StoredReferral) -> bool {
    stored.updated + world.chaos.lag <= world.partner_now()
}

pub(crate) fn put(at: &mut Json, path: &str, value: Json) {
    match path.split_once('.') {
        Some((step, rest)) => put(&mut at[step], rest, value),
        None => at[path] = value,
    }
}

fn refused(code: &str, message: String) -> ConnectError {
    ConnectError::Rejected(Refusal {
        status: 400,
        code: code.to_owned(),
        message,
        ..Refusal::default()
    })
}

impl FakePartnerCenter {
    fn apply(
        world: &mut World,
        id: &ReferralId,
        expect: &Version,
        changes: &BTreeMap<String, Json>,
    ) -> Result<Referral, ConnectError> {
        let lax = world.has(Bug::PartnerCenterIgnoresVersion);
        let Some(stored) = world.referrals.get(id.as_str()).cloned() else {
            return Err(ConnectError::NotFound(Refusal::default()));
        };
        if !lax && format!("\"{}\"", stored.version) != expect.0 {
            world.met(Mishap::Overtaken);
            return Err(ConnectError::Stale);
        }
        if let Some(path) = changes.keys().find(|path| !is_patchable(path)) {
            world.broken("I12", format!("patched {path}"));
            return Err(refused("frozen", path.clone()));
        }
        if stored.fields["organizationId"] != OURS {
            world.broken("own", "Microsoft's own record was written");
            return Err(refused("foreign", id.to_string()));
        }
        let before = state(&stored.fields);
        let mut fields = stored.fields.clone();
        for (path, value) in changes {
            put(&mut fields, path, value.clone());
        }
        let after = state(&fields);
        let moved = after != before;
        if before.is_terminal() || moved && !before.may_become(&after) {
            world.broken("I20", format!("{before} to {after}"));
            return Err(refused("transition", format!("{before} to {after}")));
        }
        if before.status == Status::New && changes.contains_key("details.dealValue") && !moved {
            world.broken("I13", "values sent before the deal was accepted");
        }
        if fields == stored.fields {
            world.broken("I12", format!("a PATCH that changes nothing: {changes:?}"));
        }
        world.note(format!("write partner_center {id} {changes:?}"));
        world.referrals.entry(id.to_string()).and_modify(|stored| stored.fields = fields);
        world.journal.writes.push(Write {
            target: Target::PartnerCenter,
            object: id.to_string(),
            what: format!("{:?}", changes.keys().collect::<Vec<_>>()),
        });
        touch(world, id.as_str(), "referral-updated");
        Ok(shown(&world.referrals[id.as_str()]))
    }

    fn make(world: &mut World, body: &Fields) -> Referral {
        let mut fields = Json::Object(body.clone());
        let invitation = body.contains_key("inviteContext");
        if invitation {
            fields["organizationId"] = json!("msft");
            fields["status"] = json!("New");
            fields["substatus"] = json!("Pending");
        } else {
            fields["organizationId"] = json!(OURS);
            fields["status"] = json!("Active");
            fields["substatus"] = json!("Accepted");
        }
        let key = if invitation { "engagementId" } else { EXTERNAL };
        let what = fields[key].as_str().unwrap_or_default().to_owned();
        let id = insert(world, fields);
        world.note(format!("write partner_center create {id} for {what}"));
        world.journal.made.push((key.to_owned(), what));
        world.journal.writes.push(Write {
            target: Target::PartnerCenter,
            object: id.clone(),
            what: "create".to_owned(),
        });
        shown(&world.referrals[&id])
    }

    async fn list(
        &self,
        call: &str,
        wanted: impl Fn(&StoredReferral) -> bool + Send,
    ) -> Result<Vec<Referral>, ConnectError> {
        let outcome = self.0.begin(call, false).await?;
        let found = {
            let world = self.0.lock();
            let all = world.referrals.values();
            all.filter(|stored| listed(&world, stored) && wanted(stored)).map(shown).collect()
        };
        self.0.end(outcome, found).await
    }
}

#[async_trait]
impl PartnerCenter for FakePartnerCenter {
    async fn probe(&self) -> Result<PartnerProbe, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn referral(&self, id: &ReferralId) -> Result<Option<Referral>, ConnectError> {
        let outcome = self.0.begin("referral", false).await?;
        self.0.healthy(id.as_str())?;
        let found = self.0.lock().referrals.get(id.as_str()).map(shown);
        self.0.end(outcome, found).await
    }

    async fn engagement(&self, id: &EngagementId) -> Result<Vec<Referral>, ConnectError> {
        let id = id.to_string();
        self.list("engagement", move |stored| stored.fields["engagementId"] == json!(id)).await
    }

    async fn find_by_external_reference(
        &self,
        record_id: &str,
        _since: Timestamp,
    ) -> Result<Vec<Referral>, ConnectError> {
        let blind = self.0.lock().has(Bug::NoLookBeforeCreate);
        let id = record_id.to_owned();
        self.list("find", move |stored| !blind && stored.fields["externalReferenceId"] == json!(id))
            .await
    }

    async fn create(&self, body: &Fields) -> Result<Referral, ConnectError> {
        let key = if body.contains_key("inviteContext") { "engagementId" } else { EXTERNAL };
        let made_for = body.get(key).and_then(Json::as_str).unwrap_or_default();
        let _under_way = self.0.write_begins(made_for);
        let outcome = self.0.begin("create referral", true).await?;
        let made = Self::make(&mut self.0.lock(), body);
        self.0.end(outcome, made).await
    }

    async fn patch(
        &self,
        id: &ReferralId,
        expect: &Version,
        changes: &BTreeMap<String, Json>,
    ) -> Result<Referral, ConnectError> {
        let _under_way = self.0.write_begins(id.as_str());
        let outcome = self.0.begin("patch", true).await?;
        self.0.healthy(id.as_str())?;
        Self::apply(&mut self.0.lock(), id, expect, changes)?;
        // Where the answer has no body the referral is read back, and somebody may have edited it in
        // between.
        self.0.moment().await;
        let answer = shown(&self.0.lock().referrals[id.as_str()]);
        self.0.end(outcome, answer).await
    }

    async fn register_deal(
        &self,
        _id: &ReferralId,
        _expect: &Version,
        _operations: &[Json],
    ) -> Result<Referral, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn changes(&self, cursor: Option<&str>) -> Result<ReferralPage, ConnectError> {
        let outcome = self.0.begin("list referrals", false).await?;
        let page = {
            let mut world = self.0.lock();
            if world.referrals.values().any(|stored| !change_listed(&world, stored)) {
                world.met(Mishap::ListLags);
            }
            let from: i64 = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            let mut found: Vec<&StoredReferral> = world
                .referrals
                .values()
                .filter(|stored| change_listed(&world, stored) && stored.updated >= from - OVERLAP)
                .collect();
            found.sort_by_key(|stored| stored.updated);
            let more = found.len() > 3 && found[2].updated > from;
            if more {
                found.truncate(3);
            }
            let reached = found.last().map_or(from, |stored| stored.updated.max(from));
            ReferralPage {
                referrals: found.into_iter().map(shown).collect(),
                cursor: reached.to_string(),
                more,
            }
        };
        self.0.end(outcome, page).await
    }

    async fn webhook_slot(&self) -> Result<Option<WebhookSlot>, ConnectError> {
        Ok(None)
    }

    async fn write_webhook_slot(
        &self,
        slot: &WebhookSlot,
        _seen: Option<&str>,
    ) -> Result<WebhookSlot, ConnectError> {
        Ok(slot.clone())
    }

    async fn send_validation_event(&self) -> Result<String, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn validation_result(&self, _id: &str) -> Result<ValidationResult, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn mpn_profile(&self, _id: Option<&str>) -> Result<Option<MpnProfile>, ConnectError> {
        Ok(None)
    }
}
