//! One plan for a whole deal: what goes to Partner Center, what to each CRM, and why.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::field::{self, Sides, Stamps, Verdict};
use super::sentence::{self, Line};
use super::stage::{self, StageMove, Stages};
use super::view::{RecordView, Situation};
use crate::domain::deal::{Conflict, Link, Stage, StageAgreement, Target, Values};
use crate::domain::hold::Hold;
use crate::domain::id::CrmName;
use crate::domain::record::Fields;
use crate::domain::referral::{self, DealKind, FROZEN_AFTER_SHARE};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::mapping::rule::FieldRule;

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
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.stage.is_none()
            && self.control.is_empty()
            && self.lines.is_empty()
            && self.about_this.is_empty()
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
        situation.deal.links.iter().any(|link| link.record.id.as_str() == holds)
    });
    let state = situation.referral.state();
    (known && holds != Some(id) && !state.is_terminal()).then(|| id.to_owned())
}

/// Two CRMs that send different values of one field, or of fields that go together: the first, the
/// primary, wins.
fn settle_clashes(drafts: &mut [Draft<'_>]) {
    for later in 1..drafts.len() {
        let (winners, rest) = drafts.split_at_mut(later);
        let Some(draft) = rest.first_mut() else { continue };
        for winner in winners.iter() {
            let names: Vec<String> = draft.to_partner_center.keys().cloned().collect();
            for name in names.into_iter().filter(|name| winner.sends_unit_of(name)) {
                draft.lose_to(winner, &name);
            }
        }
    }
}

/// One PATCH carries the values of one CRM only, the others follow in the next round: so that after a
/// lost answer it is certain whose values went.
fn one_sender(drafts: &mut [Draft<'_>]) {
    let first = drafts.iter().position(|draft| !draft.to_partner_center.is_empty());
    for draft in drafts.iter_mut().skip(first.map_or(usize::MAX, |first| first + 1)) {
        for name in std::mem::take(&mut draft.to_partner_center).into_keys() {
            draft.settled.retain(|settled| *settled != name);
            draft.referral_losses.retain(|loss| loss.field != name);
        }
    }
}

/// A value that is about to be replaced at Partner Center is not carried to the other CRM first.
fn drop_overtaken(drafts: &mut [Draft<'_>], write: &ReferralWrite) {
    for draft in drafts {
        let crm = draft.view.crm();
        for (source, values) in &write.values {
            if *source == crm {
                continue;
            }
            for (name, value) in values {
                if draft.to_crm.get(name).is_some_and(|brought| brought != value) {
                    draft.to_crm.remove(name);
                    draft.settled.retain(|settled| settled != name);
                    draft.losses.retain(|loss| loss.field != *name);
                }
            }
        }
    }
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
                self.tell_once(&format!("state:{state}"), line);
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
                self.tell_once(&format!("stage:{}:{}", referral.as_str(), to.as_str()), line);
            }
        }
        if self.stage_move == StageMove::EndedApart {
            self.losses.push(Conflict {
                field: "stage".to_owned(),
                winner: Target::PartnerCenter,
                kept: Value::text(referral.as_str()),
                loser: Target::Crm(self.view.crm()),
                lost: Value::text(record.as_str()),
                policy: "final".to_owned(),
            });
        }
    }

    fn fields(&mut self) {
        let stamps = Stamps {
            referral: self.situation.referral.updated(),
            record: self.view.record.modified,
            margin: self.situation.settings.newest_margin,
        };
        let rules: Vec<FieldRule> =
            self.view.fields.iter().filter(|rule| rule.on_update).cloned().collect();
        for unit in field::units(&rules) {
            let sides: Vec<Sides<'_>> = unit.iter().filter_map(|rule| self.sides(rule)).collect();
            if sides.len() < unit.len() {
                continue;
            }
            let verdicts = field::decide(&sides, stamps);
            let owned: Vec<(FieldRule, Value, Value, Verdict)> = sides
                .iter()
                .zip(verdicts)
                .map(|(sides, verdict)| {
                    (sides.rule.clone(), sides.referral.clone(), sides.record.clone(), verdict)
                })
                .collect();
            for (rule, referral, record, verdict) in owned {
                self.apply(&rule, referral, record, &verdict);
            }
        }
        self.park();
    }

    /// Both sides of one field; `None` if either could not be read, which parks the field.
    fn sides<'b>(&'b self, rule: &'b FieldRule) -> Option<Sides<'b>> {
        Some(Sides {
            rule,
            base: self.link.base.get(&rule.name),
            referral: self.view.referral_values.values.get(&rule.name)?,
            record: self.view.record_values.values.get(&rule.name)?,
        })
    }

    fn apply(&mut self, rule: &FieldRule, referral: Value, record: Value, verdict: &Verdict) {
        match verdict {
            Verdict::Still => {}
            Verdict::Agreed => self.settled.push(rule.name.clone()),
            Verdict::ToCrm => {
                self.bring(rule, referral);
            }
            Verdict::PartnerCenterWins => {
                if self.bring(rule, referral.clone()) {
                    self.losses.push(self.conflict(rule, Target::PartnerCenter, referral, record));
                }
            }
            Verdict::ToPartnerCenter => {
                self.offer(rule, record);
            }
            Verdict::CrmWins => {
                if self.offer(rule, record.clone()) {
                    let crm = Target::Crm(self.view.crm());
                    self.referral_losses.push(self.conflict(rule, crm, record, referral));
                }
            }
            Verdict::Ask => self.ask(rule, &referral, &record),
        }
    }

    fn conflict(&self, rule: &FieldRule, winner: Target, kept: Value, lost: Value) -> Conflict {
        let crm = Target::Crm(self.view.crm());
        let loser = if winner == crm { Target::PartnerCenter } else { crm };
        let policy = rule.conflict.as_str().to_owned();
        Conflict { field: rule.name.clone(), winner, kept, loser, lost, policy }
    }

    /// Takes a value to the record, unless the record is closed and cannot be written any more, when
    /// it stays in the local trail. Returns whether it will be written.
    fn bring(&mut self, rule: &FieldRule, value: Value) -> bool {
        self.settled.push(rule.name.clone());
        if self.record_is_sealed() {
            return false;
        }
        self.to_crm.insert(rule.name.clone(), value);
        true
    }

    /// Whether the record has ended by a closing action: such rows are read-only.
    fn record_is_sealed(&self) -> bool {
        self.view.is_sealed()
    }

    /// Offers a value to Partner Center. Returns whether it will be sent.
    fn offer(&mut self, rule: &FieldRule, value: Value) -> bool {
        let name = rule.name.clone();
        if self.situation.referral.state().is_terminal() {
            self.settled.push(name);
            if let Some(stage) = self.referral_stage {
                self.tell_once("terminal", sentence::closed_at_microsoft(stage));
            }
            return false;
        }
        if rule.required && value.is_null() {
            self.settled.push(name.clone());
            self.tell_once(&format!("cleared:{name}"), sentence::not_cleared(&rule.label));
            return false;
        }
        if self.is_shared() && referral::is_frozen(&name, FROZEN_AFTER_SHARE) {
            self.settled.push(name.clone());
            self.tell_once(&format!("frozen:{name}"), sentence::frozen(&rule.label));
            return false;
        }
        if !self.accepted {
            return false;
        }
        self.to_partner_center.insert(name.clone(), value);
        self.settled.push(name);
        true
    }

    fn ask(&mut self, rule: &FieldRule, referral: &Value, record: &Value) {
        let reason =
            format!("{} was changed to {record} here and to {referral} at Microsoft.", rule.label);
        let fix = "Enter the value that is to stay on either side, or set both to the same value.";
        self.hold.get_or_insert(Hold::new(BOTH_CHANGED, reason, fix));
        let line = sentence::both_changed(&rule.label, record, referral);
        self.tell_once(&format!("ask:{}:{referral}:{record}", rule.name), line);
    }

    /// A field that could not be read is parked: told, and everything else flows.
    fn park(&mut self) {
        let problems: Vec<_> = self
            .view
            .referral_values
            .problems
            .iter()
            .chain(&self.view.record_values.problems)
            .cloned()
            .collect();
        for problem in problems {
            let key = format!("parked:{}:{}", problem.field, problem.reason);
            self.tell_once(&key, sentence::parked(&problem.reason, &problem.fix));
        }
    }

    /// Whether this draft sends `name`, or a field that goes together with it.
    fn sends_unit_of(&self, name: &str) -> bool {
        let group = |name: &str| {
            let rule = self.view.fields.iter().find(|rule| rule.name == name);
            rule.and_then(|rule| rule.group.as_deref())
        };
        let wanted = group(name);
        self.to_partner_center
            .keys()
            .any(|sent| sent == name || wanted.is_some() && group(sent) == wanted)
    }

    /// Gives up a value that another CRM's record overrules.
    fn lose_to(&mut self, winner: &Draft<'_>, name: &str) {
        let Some(kept) = winner.view.record_values.values.get(name) else { return };
        if self.to_partner_center.get(name) == Some(kept) {
            return;
        }
        let Some(lost) = self.to_partner_center.remove(name) else { return };
        // What Partner Center loses is named by the winner alone.
        self.referral_losses.retain(|loss| loss.field != name);
        if self.record_is_sealed() {
            // Nothing is lost: a closed record keeps what it holds.
            return;
        }
        self.to_crm.insert(name.to_owned(), kept.clone());
        self.losses.push(Conflict {
            field: name.to_owned(),
            winner: Target::Crm(winner.view.crm()),
            kept: kept.clone(),
            loser: Target::Crm(self.view.crm()),
            lost,
            policy: "primary_crm".to_owned(),
        });
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
            self.tell_once(&format!("microsoft:{}", stage.as_str()), line);
        }
    }

    fn is_shared(&self) -> bool {
        let engaged = self.situation.deal.microsoft.is_some();
        self.situation.referral.deal_kind(engaged) > DealKind::Private
    }

    /// Upgrades that the record asks for explicitly, and answers to what cannot be undone.
    fn sharing(&mut self, write: &mut ReferralWrite, invite: &mut Option<CrmName>) {
        if self.referral_stage != Some(Stage::Active) || self.record_is_sealed() {
            return;
        }
        let control = self.view.control;
        let visible = self.view.visible();
        match visible {
            Some(true) if !self.is_shared() => {
                write.share = true;
                write.asked_by.push(self.view.crm());
                self.lines.push(sentence::shared());
            }
            Some(true) => self.remember("was_visible"),
            Some(false) if self.is_shared() => {
                if let Some(field) = &control.visibility {
                    self.control.insert(field.clone(), Json::Bool(true));
                    if self.remembers("was_visible") {
                        self.tell_once("visibility", sentence::sharing_is_final());
                    }
                }
            }
            _ => {}
        }
        match self.view.help() {
            Some(Ok(_)) if self.situation.deal.microsoft.is_some() => {
                self.remember("asked_for_help")
            }
            Some(Ok(_)) if !self.has_customer_contact() => {
                let missing = ["a contact of the customer with an e-mail".to_owned()];
                self.tell_once("help_needs_contact", sentence::missing_for_help(&missing));
            }
            Some(Ok(_)) if self.link.base_stage.is_some() => {
                *invite = invite.or(Some(self.view.crm()));
                if visible == Some(false)
                    && let Some(field) = &control.visibility
                {
                    self.control.insert(field.clone(), Json::Bool(true));
                }
            }
            Some(Err(value)) => {
                let line = sentence::unknown_help(&value);
                self.tell_once(&format!("help:{value}"), line);
            }
            None if self.remembers("asked_for_help") => self.restore_help(),
            None | Some(Ok(_)) => {}
        }
    }

    /// Whether the referral names somebody at the customer, without whom Microsoft takes no request.
    fn has_customer_contact(&self) -> bool {
        let team = self.situation.referral.get("customerProfile.team").and_then(Json::as_array);
        team.is_some_and(|team| {
            let email =
                |member: &Json| member.get("email").and_then(Json::as_str).map(str::to_owned);
            team.iter().filter_map(email).any(|email| email.contains('@'))
        })
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

    /// Help that was asked for cannot be withdrawn: an emptied field is filled again.
    fn restore_help(&mut self) {
        let control = self.view.control;
        let (Some(field), Some(microsoft)) = (&control.help, &self.situation.deal.microsoft) else {
            return;
        };
        let asked = microsoft.help.as_deref().unwrap_or("Unknown");
        let label = control.help_codes.iter().find(|(_, code)| code.eq_ignore_ascii_case(asked));
        if let Some((label, _)) = label {
            let value =
                label.parse::<i64>().map_or_else(|_| Json::from(label.as_str()), Json::from);
            self.control.insert(field.clone(), value);
            self.tell_once("help_is_final", sentence::help_is_final());
        }
    }

    /// Puts this link's part into the PATCH.
    fn send(&mut self, write: &mut ReferralWrite) {
        let crm = self.view.crm();
        let currency = self.view.record_values.values.get("details.currency");
        for (name, value) in &self.to_partner_center {
            let label = label(self.view.fields, name);
            self.lines.push(sentence::sent(label, value, money(self.view.fields, name, currency)));
        }
        for loss in &self.referral_losses {
            let label = label(self.view.fields, &loss.field);
            self.lines.push(sentence::crm_won(label, &loss.kept, &loss.lost));
        }
        if let StageMove::ToPartnerCenter(to) = self.stage_move
            && write.stage.is_none_or(|stage| stage == to)
        {
            self.stage_sent = true;
            write.stage = Some(to);
            write.asked_by.push(crm);
            write.reason = closing_reason(self.view);
            self.lines.push(sentence::stage_sent(to));
            if to == Stage::Won && self.is_early() {
                self.lines.push(sentence::won_early());
            }
        }
        if !self.to_partner_center.is_empty() {
            write.values.insert(crm, self.to_partner_center.clone());
            write.asked_by.push(crm);
        }
        write.conflicts.append(&mut self.referral_losses);
    }

    fn is_early(&self) -> bool {
        let created = self.situation.referral.created();
        created.is_some_and(|created| self.situation.now < created.plus(stage::EARLY))
    }

    fn finish(mut self, plan: &mut Plan) {
        let crm = self.view.crm();
        let mut received = self.received_lines();
        self.about_this.append(&mut received);
        let stage = match self.stage_move {
            StageMove::ToCrm(stage) => {
                self.about_this.push(sentence::stage_received(stage));
                Some(stage)
            }
            StageMove::WaitUntil(at) => {
                plan.wait = Some(plan.wait.map_or(at, |other| other.min(at)));
                let zone = &self.situation.settings.time_zone;
                self.tell_once("won_early", sentence::won_waits(at, zone));
                None
            }
            _ => None,
        };
        let base_stage = self.base_stage();
        let sealed = self.record_is_sealed();
        let mut write = RecordWrite::new(crm);
        write.values = self.to_crm;
        write.stage = stage;
        write.control = self.control;
        if !sealed {
            write.lines = self.lines;
            write.about_this = self.about_this;
        }
        let mut unwritten = self.losses;
        if !write.is_empty() || (!sealed && !self.link.pending.is_empty()) {
            write.conflicts = std::mem::take(&mut unwritten);
            plan.crms.push(write);
        }
        if let Some(hold) = self.hold {
            plan.holds.push((crm, hold));
        }
        plan.links.push(LinkOutcome {
            crm,
            settled: self.settled,
            stage: base_stage,
            told: self.told,
            conflicts: unwritten,
        });
    }

    fn received_lines(&self) -> Vec<Line> {
        let currency = self.view.referral_values.values.get("details.currency");
        let mut lines = Vec::new();
        for (name, value) in &self.to_crm {
            let label = label(self.view.fields, name);
            match self.losses.iter().find(|loss| loss.field == *name) {
                Some(loss) => lines.push(sentence::microsoft_won(label, &loss.lost, value)),
                None => {
                    let currency = money(self.view.fields, name, currency);
                    lines.push(sentence::received(label, value, currency));
                }
            }
        }
        lines
    }

    /// The base of the stages once the plan is done.
    fn base_stage(&self) -> Option<StageAgreement> {
        let (referral, record) = (self.referral_stage?, self.view.stage?);
        match self.stage_move {
            StageMove::Agreed | StageMove::EndedApart => Some(StageAgreement { referral, record }),
            StageMove::ToCrm(stage) => Some(StageAgreement { referral, record: stage }),
            StageMove::ToPartnerCenter(_) if !self.stage_sent => None,
            StageMove::ToPartnerCenter(Stage::Active) if record == Stage::Won => {
                let base = self.link.base_stage.map_or(Stage::OnHold, |base| base.record);
                Some(StageAgreement { referral: Stage::Active, record: base })
            }
            StageMove::ToPartnerCenter(stage) => Some(StageAgreement { referral: stage, record }),
            StageMove::Still | StageMove::WaitUntil(_) => None,
        }
    }

    /// Says something to the seller once for each key.
    fn tell_once(&mut self, key: &str, line: Line) {
        let key = sentence::key(key);
        if !self.link.told.contains(&key) && !self.told.contains(&key) && !self.record_is_sealed() {
            self.lines.push(line);
            self.told.push(key);
        }
    }
}

fn label<'a>(rules: &'a [FieldRule], name: &'a str) -> &'a str {
    rules.iter().find(|rule| rule.name == name).map_or(name, |rule| rule.label.as_str())
}

/// The currency to name beside an amount.
fn money<'a>(rules: &[FieldRule], name: &str, currency: Option<&'a Value>) -> Option<&'a str> {
    let is_money = rules
        .iter()
        .any(|rule| rule.name == name && rule.kind == crate::mapping::rule::FieldKind::Money);
    if is_money { currency.and_then(Value::as_text) } else { None }
}

/// The reason for closing that the record holds, if the mapping carries one.
fn closing_reason(view: &RecordView<'_>) -> Option<String> {
    let value = view.record_values.values.get("statusReason")?;
    value.as_text().map(str::to_owned)
}
