//! A record is shared from a CRM: checked, sent to Partner Center once, and linked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::account::CrmPart;
use super::arrive::taken;
use super::attempt::{Attempt, Ended, ReadRecord, link, view};
use super::columns;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{
    Deal, Intent, IntentAction, Link, StageAgreement, Standing, Target, Values,
};
use crate::domain::hold::Hold;
use crate::domain::id::{DealId, RecordKey, RecordKind, ReferralId};
use crate::domain::notice::{Done, Subject};
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::mapping::rule::Occasion;
use crate::merge::field::agree;
use crate::merge::sentence::{self, Line};
use crate::merge::settle;
use crate::merge::share::{self, Consent, Wish};
use crate::store::{Commit, DealKey, StoreError};

/// How far back a referral of ours is looked for before one is created.
const LOOK_BACK: Duration = Duration::from_secs(24 * 60 * 60);

impl Attempt<'_> {
    /// A record that no deal is known for.
    pub(super) async fn offered(
        &mut self,
        key: &RecordKey,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let Some(part) = self.account.part(key.crm) else {
            return Ok((None, Ended::Done(Done::Ignored, "the CRM is not configured")));
        };
        let Some(mapping) = part.mapping(key.kind) else {
            return Ok((None, Ended::Done(Done::Ignored, "this kind of record is not mapped")));
        };
        let read = match self.guarded_fetch(part, key, mapping.shape()).await {
            Ok(Some(record)) => ReadRecord { record, mapping },
            Ok(None) => return Ok((None, Ended::Done(Done::Ignored, "the record does not exist"))),
            Err(fault) => return Ok((None, Ended::Failed(Target::Crm(key.crm), fault))),
        };
        let control = read.mapping.control();
        let carried =
            read.record.fields.get(&control.referral_id).and_then(Json::as_str).unwrap_or_default();
        if let Some(id) = ReferralId::parse(carried.trim()) {
            return self.carries_referral(read, &id).await;
        }
        if !is_ticked(&read) {
            return Ok((None, Ended::Done(Done::Ignored, "the record is not shared")));
        }
        let is_over = read.mapping.stage_of(&read.record.fields).is_some_and(Stage::is_closed);
        if key.kind == RecordKind::Lead && is_over {
            return Ok((None, Ended::Done(Done::Ignored, "the lead is over")));
        }
        if self.account.behaviour.shadow {
            let summary = format!("Would create a referral for {key}.");
            let given = (&values_offered(&read), None);
            self.would_create(None, Target::PartnerCenter, summary, given);
            return Ok((None, Ended::Done(Done::Ignored, "shadow mode")));
        }
        self.share(read).await
    }

    async fn guarded_fetch(
        &self,
        part: &CrmPart,
        key: &RecordKey,
        shape: &crate::domain::record::Shape,
    ) -> Result<Option<crate::domain::record::Record>, ConnectError> {
        part.pass(self.around.clock.now())?;
        let read = part.crm.fetch(key.kind, &key.id, shape).await;
        part.breaker.learn(&read, self.around.clock.now());
        read
    }

    /// A record that carries a referral id already: linked by another tool, or a copy.
    async fn carries_referral(
        &mut self,
        read: ReadRecord,
        id: &ReferralId,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let crm = read.record.key.crm;
        let known =
            self.around.store.deal_by(&self.account.name, &DealKey::Referral(id.clone())).await?;
        match known.as_ref().and_then(|deal| deal.link(crm)) {
            Some(link) if link.record == read.record.key => {
                Ok((None, Ended::Done(Done::Ignored, "the record belongs to a known deal")))
            }
            Some(link) if is_turned_lead(&read, link) => Ok((
                None,
                Ended::Done(Done::Ignored, "the lead has become the opportunity of its deal"),
            )),
            Some(link) => Ok((None, Ended::Held(taken(crm, &link.record.id)))),
            // The deal, or the referral, has a lane of its own: two tries of it must never run at once.
            None => {
                let subject =
                    known.map_or(Subject::Referral(id.clone()), |deal| Subject::Deal(deal.id));
                self.follow_up(subject, "carried", self.around.clock.now());
                Ok((None, Ended::Done(Done::Ignored, "its referral is looked at instead")))
            }
        }
    }

    /// Checks a shared record and begins its deal.
    async fn share(&mut self, mut read: ReadRecord) -> Result<(Option<Deal>, Ended), StoreError> {
        let (body, wish) = match self.body(&read) {
            Ok(prepared) => prepared,
            Err(missing) => return self.not_complete(&mut read, missing).await,
        };
        let missing = share::missing(&body, &wish);
        if !missing.is_empty() {
            return self.not_complete(&mut read, missing).await;
        }
        let now = self.around.clock.now();
        let deal = Deal {
            id: DealId::new(self.around.randomness.guid()),
            account: self.account.name.clone(),
            referral_id: None,
            engagement_id: None,
            microsoft_referral_id: None,
            microsoft: None,
            referral_version: None,
            referral_state: None,
            links: vec![link(&read.record)],
            intents: Vec::new(),
            created: now,
            changed: now,
        };
        let crm = read.record.key.crm;
        self.entry(
            Some(&deal),
            AuditKind::Linked,
            crm.as_str(),
            "A seller shared this deal.".to_owned(),
        );
        self.create_referral(deal, read, &body).await
    }

    /// Records that a referral is about to be made, with the values that go into it.
    async fn promise_referral(
        &mut self,
        deal: &mut Deal,
        read: &ReadRecord,
    ) -> Result<(), StoreError> {
        if let Some(link) = deal.link_mut(read.record.key.crm) {
            link.columns = columns::of(&read.mapping);
        }
        deal.intents.retain(|intent| intent.action != IntentAction::Create);
        deal.intents.push(Intent {
            token: self.around.randomness.guid(),
            target: Target::PartnerCenter,
            action: IntentAction::Create,
            expect: None,
            sent: values_offered(read),
            columns: BTreeMap::new(),
            stage: None,
            losers: Vec::new(),
            from: vec![read.record.key.crm],
            lines: Vec::new(),
            doubtful: false,
            at: self.around.clock.now(),
        });
        self.keep(deal).await
    }

    /// Goes on with a deal whose referral was being created when the try was cut off.
    pub(super) async fn continue_offer(
        &mut self,
        deal: Deal,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let Some(key) = deal.links.first().map(|link| link.record.clone()) else {
            return Ok((
                Some(deal),
                Ended::Done(Done::Ignored, "the deal has neither a referral nor a record"),
            ));
        };
        if self.account.behaviour.shadow {
            return Ok((Some(deal), Ended::Done(Done::Ignored, "shadow mode")));
        }
        let begun = deal.intents.iter().map(|intent| intent.at).max();
        let ready = begun.map(|begun| begun.plus(self.account.behaviour.list_lag));
        if let Some(ready) = ready.filter(|ready| self.around.clock.now() < *ready) {
            return Ok((
                Some(deal),
                Ended::Later(ready, "the referral may not be in the list yet".to_owned()),
            ));
        }
        let Some(part) = self.account.part(key.crm) else {
            return Ok((Some(deal), Ended::Done(Done::Ignored, "the CRM is not configured")));
        };
        let Some(mapping) = part.mapping(key.kind) else {
            return Ok((
                Some(deal),
                Ended::Done(Done::Ignored, "this kind of record is not mapped"),
            ));
        };
        let read = match self.guarded_fetch(part, &key, mapping.shape()).await {
            Ok(Some(record)) => ReadRecord { record, mapping },
            Ok(None) => {
                return self
                    .withdrawn(deal, &key, None, "the record was deleted before it was shared")
                    .await;
            }
            Err(fault) => return Ok((Some(deal), Ended::Failed(Target::Crm(key.crm), fault))),
        };
        if !is_ticked(&read) {
            let why = "the record was un-ticked before it was shared";
            return self.withdrawn(deal, &key, Some(read), why).await;
        }
        let missing = match self.body(&read) {
            Ok((body, wish)) => {
                let missing = share::missing(&body, &wish);
                if missing.is_empty() || !deal.intents.is_empty() {
                    return self.create_referral(deal, read, &body).await;
                }
                missing
            }
            Err(missing) => missing,
        };
        let mut read = read;
        let (_, ended) = self.not_complete(&mut read, missing).await?;
        Ok((Some(deal), ended))
    }

    /// The record was deleted or un-ticked while its referral was being made. If the referral exists
    /// it keeps its link, so that no new record is made for it; if not, the offer ends.
    async fn withdrawn(
        &mut self,
        mut deal: Deal,
        key: &RecordKey,
        read: Option<ReadRecord>,
        why: &'static str,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let there = match self.own_referral(&deal, key.id.as_str()).await {
            Ok(there) => there,
            Err(fault) => return Ok((Some(deal), Ended::Failed(Target::PartnerCenter, fault))),
        };
        let Some(referral) = there else {
            deal.intents.retain(|intent| intent.action != IntentAction::Create);
            deal.links.clear();
            let summary = format!("The offer ended: {why}.");
            self.entry(Some(&deal), AuditKind::Resumed, key.crm.as_str(), summary);
            return Ok((Some(deal), Ended::Done(Done::Ignored, why)));
        };
        match read {
            Some(read) => self.bind(&mut deal, &read, &referral, true),
            None => {
                deal.intents.retain(|intent| intent.action != IntentAction::Create);
                deal.referral_id = Some(referral.id());
                deal.engagement_id = referral.engagement_id();
            }
        }
        let summary = format!("Created the referral {}.", referral.id());
        self.entry(Some(&deal), AuditKind::Wrote, "partner_center", summary);
        self.keep(&mut deal).await?;
        Box::pin(self.bring_in_step(deal)).await
    }

    /// The referral of ours that names a record, if the list shows one.
    async fn own_referral(
        &self,
        deal: &Deal,
        reference: &str,
    ) -> Result<Option<Referral>, ConnectError> {
        let since = deal.created.minus(LOOK_BACK);
        let there = self.account.partner_center.find_by_external_reference(reference, since).await;
        self.account.breaker.learn(&there, self.around.clock.now());
        let ours: Vec<Referral> =
            there?.into_iter().filter(|referral| !referral.is_microsofts()).collect();
        let open = ours.iter().find(|referral| !referral.state().is_terminal()).cloned();
        // One that was just made may have ended already.
        let begun = deal.intents.iter().any(|intent| intent.action == IntentAction::Create);
        Ok(open.or_else(|| ours.into_iter().next().filter(|_| begun)))
    }

    /// Looks for a referral of ours for this record, and creates one only if there is none.
    async fn create_referral(
        &mut self,
        mut deal: Deal,
        read: ReadRecord,
        body: &Fields,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let there = match self.own_referral(&deal, read.record.key.id.as_str()).await {
            Ok(there) => there,
            Err(fault) => return Ok((Some(deal), Ended::Failed(Target::PartnerCenter, fault))),
        };
        let found = there.is_some();
        let referral = match there {
            Some(referral) => referral,
            None => {
                self.promise_referral(&mut deal, &read).await?;
                let answer = self.account.partner_center.create(body).await;
                self.account.breaker.learn(&answer, self.around.clock.now());
                match answer {
                    Ok(referral) => referral,
                    Err(fault) => return self.not_created(deal, read, fault).await,
                }
            }
        };
        let ours = deal.intents.iter().any(|intent| intent.action == IntentAction::Create);
        let (kind, summary) = if ours {
            (AuditKind::Wrote, format!("Created the referral {}.", referral.id()))
        } else {
            (AuditKind::Linked, format!("Linked to the referral {}.", referral.id()))
        };
        self.entry(Some(&deal), kind, "partner_center", summary);
        self.bind(&mut deal, &read, &referral, found);
        self.keep(&mut deal).await?;
        Box::pin(self.bring_in_step(deal)).await
    }

    /// Partner Center refused the deal: the seller is told, and may correct the record.
    async fn not_created(
        &mut self,
        mut deal: Deal,
        read: ReadRecord,
        fault: ConnectError,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        if !matches!(fault, ConnectError::Unknown(_)) {
            deal.intents.retain(|intent| intent.action != IntentAction::Create);
        }
        if !matches!(fault, ConnectError::Rejected(_)) {
            return Ok((Some(deal), Ended::Failed(Target::PartnerCenter, fault)));
        }
        self.hold_link(&mut deal, Target::PartnerCenter, &fault);
        let mut records = [read];
        self.tell_held(&mut deal, &mut records).await?;
        let hold = self
            .hold
            .clone()
            .unwrap_or_else(|| Hold::new("rejected", fault.to_string(), "Correct the record."));
        Ok((Some(deal), Ended::Held(hold)))
    }

    /// The referral exists: base, link fields and the line for the seller. Where it was `found` and
    /// not just made, whatever differs from what was sent was edited since.
    fn bind(&mut self, deal: &mut Deal, read: &ReadRecord, referral: &Referral, found: bool) {
        let seen = view(read, referral);
        let begun = deal.intents.iter().position(|intent| intent.action == IntentAction::Create);
        let begun = begun.map(|at| deal.intents.remove(at));
        deal.referral_id = Some(referral.id());
        deal.engagement_id = referral.engagement_id();
        deal.intents.retain(|intent| intent.action != IntentAction::Create);
        let Some(link) = deal.link_mut(read.record.key.crm) else { return };
        for (field, value) in begun.iter().flat_map(|intent| &intent.sent) {
            let there = seen.referral_values.values.get(field).filter(|_| !found).unwrap_or(value);
            agree(&mut link.base, field, there, value);
        }
        // What Partner Center filled in that the record left empty is no edit of anybody's.
        let referral_stage =
            Stage::of(&referral.state()).filter(|_| !found).unwrap_or(Stage::Active);
        let began = seen.stage.filter(|stage| !stage.is_closed()).unwrap_or(Stage::Active);
        link.agree_on_stages(StageAgreement { referral: referral_stage, record: began });
        begun.iter().for_each(|intent| settle::doubt(link, intent));
        link.tell(sentence::referral_created().0);
    }

    /// The body of the new referral, or what cannot be converted.
    fn body(&self, read: &ReadRecord) -> Result<(Fields, Wish), Vec<String>> {
        let wish = self.wish(read)?;
        let values = values_offered(read);
        let paths: BTreeMap<String, Json> =
            read.mapping.write_referral(&values, None, Occasion::Create).map_err(|problems| {
                problems.iter().map(|problem| problem.fix.clone()).collect::<Vec<_>>()
            })?;
        let reference = read.record.key.id.as_str();
        Ok((share::body(&paths, &wish, &self.account.sharing, reference), wish))
    }

    /// What the record asks for, explicitly.
    fn wish(&self, read: &ReadRecord) -> Result<Wish, Vec<String>> {
        let nothing = Referral::from_json(json!({ "id": "11111111-1111-4111-8111-111111111111" }));
        let Some(nothing) = nothing else { return Err(Vec::new()) };
        let seen = view(read, &nothing);
        let help = match seen.help() {
            None => None,
            Some(Ok(code)) => Some(code.to_owned()),
            Some(Err(value)) => return Err(vec![format!("another kind of help than \"{value}\"")]),
        };
        let consent = match &self.account.sharing.consent {
            Consent::Missing => false,
            Consent::Stated => true,
            Consent::Field(field) => {
                read.record.fields.get(field).and_then(Json::as_bool) == Some(true)
            }
        };
        Ok(Wish { help, visible: seen.visible() == Some(true), consent })
    }

    /// Says everything that is missing at once, unless the record says just that already. There is no
    /// deal yet that could hold an intent: a note does, so that a crash never says it twice and never
    /// leaves it out of the trail.
    async fn not_complete(
        &mut self,
        read: &mut ReadRecord,
        missing: Vec<String>,
    ) -> Result<(Option<Deal>, Ended), StoreError> {
        let line = sentence::missing(&missing);
        let crm = read.record.key.crm;
        let note = format!("offer/{}/{}", self.account.name, read.record.key);
        let store = Arc::clone(&self.around.store);
        let begun = store.note(&note).await?.is_some_and(|note| note == line.0.as_bytes());
        let said = says(read, &line);
        if !said {
            store.keep_note(&note, Some(line.0.clone().into_bytes())).await?;
            if let Err(fault) = self.say_missing(read, &line).await {
                return Ok((None, Ended::Failed(Target::Crm(crm), fault)));
            }
        }
        if !said || begun {
            let told = format!("{}: {}", read.record.key, line.0);
            self.entry(None, AuditKind::Refused, crm.as_str(), told);
            let wrote = format!("Wrote what is missing to {}.", read.record.key);
            self.entry(None, AuditKind::Wrote, crm.as_str(), wrote);
            let entries = std::mem::take(&mut self.entries);
            let now = Some(self.around.clock.now());
            // Both or neither: else a try that is cut off in between tells it twice.
            let forget = vec![note];
            store.commit(Commit { entries, forget, now, ..Commit::default() }).await?;
        }
        Ok((
            None,
            Ended::Done(
                Done::Ignored,
                "the record is not complete; its seller was told what is missing",
            ),
        ))
    }

    async fn say_missing(&self, read: &mut ReadRecord, line: &Line) -> Result<(), ConnectError> {
        let lines = std::slice::from_ref(line);
        let fields = self.bookkeeping(read, lines, Standing::NeedsAttention, None);
        let Some(part) = self.account.part(read.record.key.crm) else { return Ok(()) };
        let expect = read.record.version.clone();
        let answer = part.crm.update(&read.record, &expect, &fields, read.mapping.shape()).await;
        read.record = answer?;
        Ok(())
    }
}

/// Whether the newest entry of the record's audit text says this already.
fn says(read: &ReadRecord, line: &Line) -> bool {
    let audit = read.record.fields.get(&read.mapping.control().audit).and_then(Json::as_str);
    audit.and_then(|audit| audit.lines().next()).is_some_and(|newest| newest.ends_with(&line.0))
}

/// Whether the seller's box is ticked.
fn is_ticked(read: &ReadRecord) -> bool {
    read.record.fields.get(&read.mapping.control().sync).and_then(Json::as_bool) == Some(true)
}

/// Whether a record is a lead that is over and whose deal went on with an opportunity.
fn is_turned_lead(read: &ReadRecord, link: &Link) -> bool {
    let over = read.mapping.stage_of(&read.record.fields) != Some(Stage::OnHold);
    over && read.record.key.kind == RecordKind::Lead && link.record.kind == RecordKind::Opportunity
}

/// The canonical values that a new referral is made from.
fn values_offered(read: &ReadRecord) -> Values {
    let values = read.mapping.read_record(&read.record.fields).values;
    let sent = |name: &String| {
        read.mapping
            .fields()
            .iter()
            .any(|rule| rule.name == *name && rule.on_create && rule.direction.to_partner_center())
    };
    values.into_iter().filter(|(name, value)| sent(name) && !value.is_null()).collect()
}
