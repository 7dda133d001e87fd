//! How a deal stands, shown to its sellers outside of an ordinary write: held, paused, waiting.
//!
//! Such a write carries no values. It goes by an intent like every other, so that a crash beside it
//! never says a thing twice.

use serde_json::Value as Json;

use super::attempt::{Attempt, ReadRecord};
use super::write::is_closed_for_good;
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Intent, IntentAction, LinkState, Standing, Target, Values};
use crate::domain::id::CrmName;
use crate::domain::record::{Fields, Version};
use crate::domain::referral::Referral;
use crate::domain::stage::Stage;
use crate::merge::sentence::{self, Line};
use crate::merge::settle;
use crate::merge::view::standing_value;
use crate::store::StoreError;

impl Attempt<'_> {
    /// One bookkeeping write: the record's status and, with everything not yet told, a line.
    pub(super) async fn book(
        &mut self,
        deal: &mut Deal,
        read: &mut ReadRecord,
        what: (Standing, Option<Line>),
        summary: &str,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        self.book_with(deal, read, what, (Fields::new(), summary)).await
    }

    /// The same, with `more` fields that no value of the deal goes through.
    pub(super) async fn book_with(
        &mut self,
        deal: &mut Deal,
        read: &mut ReadRecord,
        (word, line): (Standing, Option<Line>),
        (more, summary): (Fields, &str),
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let crm = read.record.key.crm;
        let Some(part) = self.account.part(crm) else { return Ok(Ok(())) };
        let token = self.promise_booking(deal, read, line.as_ref());
        self.keep(deal).await?;
        let pending = deal.link(crm).map(|link| link.pending.clone()).unwrap_or_default();
        let lines: Vec<Line> = pending.into_iter().map(Line).collect();
        let mut fields = self.bookkeeping(read, &lines, word, Some(&token));
        fields.extend(more);
        let expect = read.record.version.clone();
        let answer = part.crm.update(&read.record, &expect, &fields, read.mapping.shape()).await;
        part.breaker.learn(&answer, self.around.clock.now());
        let known = !matches!(answer, Err(ConnectError::Unknown(_)));
        if known {
            deal.intents.retain(|intent| intent.token != token);
        }
        match answer {
            Ok(record) => {
                read.record = record;
                if let Some(link) = deal.link_mut(crm) {
                    link.pending.clear();
                    link.standing = Some(word);
                }
                let summary = format!("Wrote {summary} to {}.", crm.title());
                self.entry(Some(deal), AuditKind::Wrote, crm.as_str(), summary);
                Ok(Ok(()))
            }
            Err(fault) => {
                if let (true, Some(link)) = (known, deal.link_mut(crm)) {
                    link.pending.retain(|told| line.as_ref().is_none_or(|line| line.0 != *told));
                }
                Ok(Err(fault))
            }
        }
    }

    /// Records the intent of a bookkeeping write, and returns its token.
    fn promise_booking(&self, deal: &mut Deal, read: &ReadRecord, line: Option<&Line>) -> String {
        let crm = read.record.key.crm;
        let (target, expect) = (Target::Crm(crm), &read.record.version);
        let token = self.promise_other(deal, target, IntentAction::Update, expect);
        if let (Some(line), Some(link)) = (line, deal.link_mut(crm)) {
            link.tell(line.0.clone());
        }
        token
    }

    /// Records the intent of a write without values, and returns its token.
    pub(super) fn promise_other(
        &self,
        deal: &mut Deal,
        target: Target,
        action: IntentAction,
        expect: &Version,
    ) -> String {
        let token = self.around.randomness.guid();
        deal.intents.push(Intent {
            token: token.clone(),
            target,
            action,
            expect: Some(expect.clone()),
            sent: Values::new(),
            columns: std::collections::BTreeMap::new(),
            stage: None,
            losers: Vec::new(),
            from: Vec::new(),
            lines: Vec::new(),
            doubtful: false,
            at: self.around.clock.now(),
        });
        token
    }

    /// Tells the sellers of held links why, each once. A record that refuses even that is left
    /// alone; the reason stands in the dead-letter list all the same.
    pub(super) async fn tell_held(
        &mut self,
        deal: &mut Deal,
        records: &mut [ReadRecord],
    ) -> Result<(), StoreError> {
        for read in records.iter_mut() {
            let crm = read.record.key.crm;
            if is_closed_for_good(read) || has_intent(deal, crm) {
                continue;
            }
            let Some(link) = deal.link(crm) else { continue };
            let Some(hold) = link.hold.clone() else { continue };
            let key = sentence::topic_key("hold", &hold.reason);
            if link.told.contains(&key) {
                continue;
            }
            let line = Line(format!("Not synced: {}", hold.reason));
            let what = (Standing::NeedsAttention, Some(line));
            let told = self.book(deal, read, what, "the reason of the hold").await?;
            if matches!(told, Ok(()) | Err(ConnectError::Unknown(_)))
                && let Some(link) = deal.link_mut(crm)
            {
                settle::remember_told(link, &[key], &[]);
            }
        }
        Ok(())
    }

    /// Shows a seller that the link rests because the box was un-ticked, once.
    pub(super) async fn show_paused(
        &mut self,
        deal: &mut Deal,
        referral: &Referral,
        mut read: ReadRecord,
    ) -> Result<Result<(), ConnectError>, StoreError> {
        let crm = read.record.key.crm;
        let own = |intent: &Intent| {
            let update = matches!(intent.action, IntentAction::Update | IntentAction::Close);
            intent.target == Target::Crm(crm) && update
        };
        for intent in deal.intents.extract_if(.., |intent| own(intent)).collect::<Vec<_>>() {
            self.recover_record(deal, &intent, referral, &read);
        }
        let known = deal.link(crm).is_none_or(|link| link.standing == Some(Standing::Paused));
        let ended = referral.state().is_terminal() || is_closed_for_good(&read);
        if known || ended || self.account.behaviour.shadow {
            return Ok(Ok(()));
        }
        let what = (Standing::Paused, Some(sentence::paused()));
        let shown = self.book(deal, &mut read, what, "that syncing is paused").await?;
        if let (Err(ConnectError::Rejected(_)), Some(link)) = (&shown, deal.link_mut(crm)) {
            // A record that takes no note rests all the same.
            link.standing = Some(Standing::Paused);
            return Ok(Ok(()));
        }
        Ok(shown)
    }

    /// Shows the sellers of a deal whose try has failed how it stands, in those CRMs that answer.
    pub(super) async fn show_failing(
        &mut self,
        deal: &mut Deal,
        failed: Target,
        word: Standing,
    ) -> Result<(), StoreError> {
        let ended = deal.referral_state.as_ref().and_then(Stage::of).is_some_and(Stage::is_closed);
        if self.account.behaviour.shadow || ended || deal.referral_id.is_none() {
            return Ok(());
        }
        for part in &self.account.crms {
            let crm = part.name();
            let due = deal.link(crm).filter(|link| {
                let held = link.hold.is_some() && word == Standing::Waiting;
                link.state == LinkState::Live && link.standing != Some(word) && !held
            });
            let Some(key) = due.map(|link| link.record.clone()) else { continue };
            let Some(mapping) = part.mapping(key.kind) else { continue };
            let busy = failed == Target::Crm(crm) || has_intent(deal, crm);
            if busy || mapping.control().status.is_none() || !part.is_answering() {
                continue;
            }
            let read = part.crm.fetch(key.kind, &key.id, mapping.shape()).await;
            let Ok(Some(record)) = read else { continue };
            let mut read = ReadRecord { record, mapping };
            let control = read.mapping.control();
            let ticked = read.record.fields.get(&control.sync).and_then(Json::as_bool);
            if ticked == Some(true) && !is_closed_for_good(&read) {
                // The try has failed already; what fails here is shown by the next one.
                let _ = self.book(deal, &mut read, (word, None), "how the deal stands").await?;
            }
        }
        Ok(())
    }
}

/// Whether a write to a CRM is under way whose outcome is not known yet.
fn has_intent(deal: &Deal, crm: CrmName) -> bool {
    deal.intents.iter().any(|intent| intent.target == Target::Crm(crm))
}

/// The word that a record's status field shows.
pub(super) fn shown(read: &ReadRecord) -> Option<Standing> {
    let control = read.mapping.control();
    let held = read.record.fields.get(control.status.as_ref()?)?;
    Standing::ALL.into_iter().find(|word| standing_value(control, *word) == *held)
}
