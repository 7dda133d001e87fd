//! One plan for a whole deal: what goes to Partner Center, what to each CRM, and why.

mod clash;
mod fields;
mod finish;
mod parked;
mod sharing;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use clash::{drop_overtaken, one_sender, settle_clashes};

use super::sentence::{self, Line};
use super::stage::{self, StageMove, Stages};
use super::view::{RecordView, Situation};
use crate::domain::deal::{Conflict, Link, Parked, StageAgreement, Standing, Target, Values};
use crate::domain::hold::Hold;
use crate::domain::id::CrmName;
use crate::domain::record::Fields;
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// The code of the hold of a link whose field was changed on both sides and that a person decides.
pub const BOTH_CHANGED: &str = "both_changed";

/// What is to be done so that all sides agree. Empty when they do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plan {
    /// The one PATCH of our referral.
    pub partner_center: Option<ReferralWrite>,
    /// Ask Microsoft for help: its referral is to be made, as this CRM's record says.
    pub invite: Option<CrmName>,
    /// Writes to the CRMs, made after the PATCH has been confirmed.
    pub crms: Vec<RecordWrite>,
    /// Links with what both sides agree on once everything above is done.
    pub links: Vec<LinkOutcome>,
    /// Links that wait for a person.
    pub holds: Vec<(CrmName, Hold)>,
    /// Something is due by itself at this time.
    pub wait: Option<Timestamp>,
}

impl Plan {
    /// Whether nothing is to be written anywhere.
    #[must_use]
    pub fn writes_nothing(&self) -> bool {
        self.partner_center.is_none() && self.invite.is_none() && self.crms.is_empty()
    }

    /// What becomes of a link if nothing of the plan is carried out: only what both sides hold
    /// already is agreed on, and nobody was told anything.
    #[must_use]
    pub fn without_writes(&self, outcome: &LinkOutcome) -> LinkOutcome {
        let mut kept = outcome.clone();
        if self.writes_nothing() {
            return kept;
        }
        let of_crms = self.crms.iter().map(|write| &write.values);
        let of_referral = self.partner_center.iter().flat_map(|write| write.values.values());
        let written: Vec<&Values> = of_crms.chain(of_referral).collect();
        kept.settled.retain(|field| !written.iter().any(|values| values.contains_key(field)));
        let by_crm = self.crms.iter().any(|write| write.stage.is_some());
        if by_crm || self.partner_center.iter().any(|write| write.stage.is_some()) {
            kept.stage = None;
        }
        kept.told.clear();
        kept.conflicts.clear();
        kept
    }
}

/// The one PATCH of our referral.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ReferralWrite {
    /// Canonical values, each set to be converted by the mapping of its CRM.
    pub values: BTreeMap<CrmName, Values>,
    /// The stage to move to.
    pub stage: Option<Stage>,
    /// The reason that goes with a decline or a loss.
    pub reason: Option<String>,
    /// Let Microsoft's sellers see the deal. Cannot be undone.
    pub share: bool,
    /// The primary CRM's record id.
    pub external_reference: Option<String>,
    /// Values of the referral that lose by this.
    pub conflicts: Vec<Conflict>,
    /// The CRMs whose records asked for any of it.
    pub asked_by: Vec<CrmName>,
}

impl ReferralWrite {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.stage.is_none()
            && !self.share
            && self.external_reference.is_none()
    }
}

/// One write to a CRM record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordWrite {
    /// The CRM.
    pub crm: CrmName,
    /// Canonical values to set.
    pub values: Values,
    /// The stage to bring the record into.
    pub stage: Option<Stage>,
    /// Control fields to set.
    pub control: Fields,
    /// Values of the record that lose by this.
    pub conflicts: Vec<Conflict>,
    /// Sentences for the seller about what was done elsewhere or is said only once, oldest first:
    /// told sooner or later, also if this write does not land.
    pub lines: Vec<Line>,
    /// Sentences for the seller about this very write: gone if it does not land.
    pub about_this: Vec<Line>,
    /// The word for the record's status field.
    pub standing: Standing,
    /// The record shows another word, and nothing else need be written.
    pub standing_is_due: bool,
}

impl RecordWrite {
    fn new(crm: CrmName) -> Self {
        Self {
            crm,
            values: Values::new(),
            stage: None,
            control: Fields::new(),
            conflicts: Vec::new(),
            lines: Vec::new(),
            about_this: Vec::new(),
            standing: Standing::InSync,
            standing_is_due: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.stage.is_none()
            && self.control.is_empty()
            && self.lines.is_empty()
            && self.about_this.is_empty()
            && !self.standing_is_due
    }
}

/// What becomes of one link's base once the plan is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkOutcome {
    /// The CRM.
    pub crm: CrmName,
    /// Fields whose base becomes whatever both sides hold afterwards.
    pub settled: Vec<String>,
    /// The stages' base afterwards; `None` leaves it. Where the record's stage is written, the
    /// stage in which it is found afterwards takes the place of the one named here.
    pub stage: Option<StageAgreement>,
    /// Sentences not to be repeated.
    pub told: Vec<String>,
    /// Sentences that were told before and are as true as they were.
    pub still_true: Vec<String>,
    /// Fields that rest.
    pub parked: Vec<Parked>,
    /// Values that lost without any write, for the local trail.
    pub conflicts: Vec<Conflict>,
}

/// Plans everything for one deal.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut drafts: Vec<Draft<'_>> = in_order(situation)
        .into_iter()
        .filter_map(|view| Some(Draft::new(situation, view, situation.deal.link(view.crm())?)))
        .collect();
    // Once one seller accepts, what the others edited goes along.
    let accepts = |draft: &Draft<'_>| draft.stage_move == StageMove::ToPartnerCenter(Stage::Active);
    let accepted = drafts.iter().any(accepts);
    for draft in &mut drafts {
        draft.fill(accepted);
    }
    let mut plan = Plan::default();
    settle_clashes(&mut drafts);
    one_sender(&mut drafts);
    let mut write = ReferralWrite::default();
    for draft in &mut drafts {
        draft.sharing(&mut write, &mut plan.invite);
        draft.send(&mut write);
    }
    drop_overtaken(&mut drafts, &write);
    if let Some(reference) = external_reference(situation) {
        write.external_reference = Some(reference);
    }
    for draft in drafts {
        draft.finish(&mut plan);
    }
    plan.partner_center = (!write.is_empty()).then_some(write);
    plan
}

/// The primary CRM first: it wins between two CRMs.
fn in_order<'a, 'b>(situation: &'b Situation<'a>) -> Vec<&'b RecordView<'a>> {
    let mut views: Vec<&RecordView<'a>> = situation.records.iter().collect();
    views.sort_by_key(|view| view.crm() != situation.settings.primary_crm);
    views
}

/// The primary record's id, if the referral does not hold it yet and may still be edited.
fn external_reference(situation: &Situation<'_>) -> Option<String> {
    let primary =
        situation.records.iter().find(|view| view.crm() == situation.settings.primary_crm)?;
    let id = primary.record.key.id.as_str();
    let holds = situation.referral.text("externalReferenceId");
    let known = holds.is_none_or(|holds| {
        let ours = situation.deal.links.iter().flat_map(Link::records);
        ours.into_iter().any(|record| record.id.as_str() == holds)
    });
    let state = situation.referral.state();
    (known && holds != Some(id) && !state.is_terminal()).then(|| id.to_owned())
}

/// The plan of one link while it is being made.
struct Draft<'a> {
    situation: &'a Situation<'a>,
    view: &'a RecordView<'a>,
    link: &'a Link,
    referral_stage: Option<Stage>,
    stage_move: StageMove,
    /// The move to Partner Center is part of this plan; another CRM's may be instead.
    stage_sent: bool,
    /// The deal is accepted, or will be by this plan.
    accepted: bool,
    to_crm: Values,
    to_partner_center: Values,
    settled: Vec<String>,
    losses: Vec<Conflict>,
    referral_losses: Vec<Conflict>,
    control: Fields,
    lines: Vec<Line>,
    about_this: Vec<Line>,
    told: Vec<String>,
    still_true: Vec<String>,
    parked: Vec<Parked>,
    hold: Option<Hold>,
}

impl<'a> Draft<'a> {
    fn new(situation: &'a Situation<'a>, view: &'a RecordView<'a>, link: &'a Link) -> Self {
        let referral_stage = Stage::of(&situation.referral.state());
        let mut draft = Self {
            situation,
            view,
            link,
            referral_stage,
            stage_move: StageMove::Still,
            stage_sent: false,
            accepted: referral_stage == Some(Stage::Active),
            to_crm: Values::new(),
            to_partner_center: Values::new(),
            settled: Vec::new(),
            losses: Vec::new(),
            referral_losses: Vec::new(),
            control: Fields::new(),
            lines: Vec::new(),
            about_this: Vec::new(),
            told: Vec::new(),
            still_true: Vec::new(),
            parked: Vec::new(),
            hold: None,
        };
        draft.stage();
        draft
    }

    /// Everything but the stage.
    fn fill(&mut self, accepted: bool) {
        self.accepted |= accepted;
        self.fields();
        self.identity();
        self.microsoft();
    }

    fn stage(&mut self) {
        let (Some(referral), Some(record)) = (self.referral_stage, self.view.stage) else {
            if self.referral_stage.is_none() {
                let state = self.situation.referral.state();
                let line = sentence::unknown_state(&state);
                self.tell_once("state", &state.to_string(), line);
            }
            return;
        };
        let stages = Stages {
            base: self.link.base_stage,
            referral,
            record,
            created: self.situation.referral.created(),
        };
        let early = self.situation.settings.won_before_72h;
        self.stage_move = stage::decide(&stages, early, self.situation.now);
        if let StageMove::ToPartnerCenter(to) = self.stage_move {
            let next = to.referral_state();
            let legal = next.is_some_and(|next| self.situation.referral.state().may_become(&next));
            if !legal {
                self.stage_move = StageMove::Still;
                let line = sentence::not_possible(to, referral);
                let both = format!("{}:{}", referral.as_str(), to.as_str());
                self.tell_once("stage", &both, line);
            }
        }
        match self.stage_move {
            StageMove::EndedApart => self.lose_stage(referral, record, "final"),
            // After a restore nobody knows whether the record's stage is newer than the base.
            StageMove::ToCrm(to) if self.link.stage_doubtful => {
                self.lose_stage(to, record, "restored");
            }
            _ => {}
        }
    }

    fn lose_stage(&mut self, kept: Stage, lost: Stage, policy: &str) {
        self.losses.push(Conflict {
            field: "stage".to_owned(),
            winner: Target::PartnerCenter,
            kept: Value::text(kept.as_str()),
            loser: Target::Crm(self.view.crm()),
            lost: Value::text(lost.as_str()),
            policy: policy.to_owned(),
        });
    }

    /// Whether the record has ended by a closing action: such rows are read-only.
    fn record_is_sealed(&self) -> bool {
        self.view.is_sealed()
    }

    /// Restores an overwritten Referral Identifier and fills the link for people.
    fn identity(&mut self) {
        if self.record_is_sealed() {
            return;
        }
        let id = self.situation.referral.id();
        let control = self.view.control;
        let held = self.view.control_text(Some(&control.referral_id));
        if !held.eq_ignore_ascii_case(id.as_str()) {
            self.control.insert(control.referral_id.clone(), Json::String(id.to_string()));
            if !self.link.base.is_empty()
                && self.link.version.is_some()
                && self.link.pending.is_empty()
            {
                self.about_this.push(sentence::identifier_restored());
            }
        }
        if let (Some(field), Some(link)) =
            (&control.link, sentence::link(control, self.situation.referral))
            && self.view.control_text(Some(field)) != link
        {
            self.control.insert(field.clone(), Json::String(link));
        }
    }

    /// What Microsoft's own record says: its number and its answer.
    fn microsoft(&mut self) {
        let Some(microsoft) = &self.situation.deal.microsoft else { return };
        if self.record_is_sealed() {
            return;
        }
        let own = self.situation.referral.text("trackingInfo.microsoftMsxId");
        let number = own.or(microsoft.number.as_deref());
        if let (Some(field), Some(number)) = (&self.view.control.microsoft_id, number)
            && self.view.control_text(Some(field)) != number
        {
            self.control.insert(field.clone(), Json::String(number.to_owned()));
        }
        if let Some(stage) = Stage::of(&microsoft.state).filter(|stage| *stage != Stage::OnHold) {
            let line = sentence::microsoft_answered(stage, number);
            self.tell_once("microsoft", stage.as_str(), line);
        }
    }

    /// Notes something about the record for later, without a sentence.
    fn remember(&mut self, key: &str) {
        let key = sentence::key(key);
        if !self.link.told.contains(&key) && !self.told.contains(&key) {
            self.told.push(key);
        }
    }

    fn remembers(&self, key: &str) -> bool {
        self.link.told.contains(&sentence::key(key))
    }

    /// Says something to the seller once for each detail of a topic, until another one takes its
    /// place.
    fn tell_once(&mut self, topic: &str, detail: &str, line: Line) {
        let key = sentence::topic_key(topic, detail);
        if self.link.told.contains(&key) {
            self.still_true.push(key);
        } else if !self.told.contains(&key) && !self.record_is_sealed() {
            self.lines.push(line);
            self.told.push(key);
        }
    }
}

#[cfg(test)]
mod tests;
