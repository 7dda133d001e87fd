//! Puts the part of one link into the plan of the deal.

use super::{Draft, LinkOutcome, Plan, RecordWrite, ReferralWrite};
use crate::domain::deal::{Link, StageAgreement, Standing};
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::mapping::rule::FieldRule;
use crate::merge::sentence::{self, Line};
use crate::merge::stage::{self, StageMove};
use crate::merge::view::RecordView;

impl Draft<'_> {
    /// Puts this link's part into the PATCH.
    pub(super) fn send(&mut self, write: &mut ReferralWrite) {
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

    pub(super) fn finish(mut self, plan: &mut Plan) {
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
                self.tell_once("won_early", "", sentence::won_waits(at, zone));
                None
            }
            _ => None,
        };
        let base_stage = self.base_stage();
        let sealed = self.record_is_sealed();
        let mut write = RecordWrite::new(crm);
        write.standing = self.standing();
        write.standing_is_due = !sealed && self.shows_another(write.standing);
        write.values = self.to_crm;
        write.stage = stage;
        write.control = self.control;
        if !sealed {
            write.lines = self.lines;
            write.about_this = self.about_this;
        }
        let mut unwritten = self.losses;
        if !write.is_empty() || (!sealed && !self.link.pending.is_empty()) {
            if !sealed {
                write.lines.extend(resting_rows(self.view, self.link, &mut self.told));
            }
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
            still_true: self.still_true,
            parked: self.parked,
            conflicts: unwritten,
        });
    }

    /// The word for the record's status field once the plan is done.
    fn standing(&self) -> Standing {
        let referral = self.situation.referral.state();
        if self.hold.is_some() {
            Standing::NeedsAttention
        } else if referral.is_terminal() {
            Standing::Closed
        } else if !self.parked.is_empty() {
            Standing::NeedsAttention
        } else if matches!(self.stage_move, StageMove::WaitUntil(_)) {
            Standing::Waiting
        } else {
            Standing::InSync
        }
    }

    /// Whether the status field is still to be told this word. It was told at most once: what a
    /// person writes over it stays until the word is another one.
    fn shows_another(&self, word: Standing) -> bool {
        self.link.standing != Some(word)
            && self.view.standing_value(word).is_some_and(|wanted| {
                let field = self.view.control.status.as_ref();
                field.and_then(|field| self.view.record.fields.get(field)) != Some(&wanted)
            })
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
                // The win is still to follow: what is agreed on is any other stage than that.
                Some(StageAgreement { referral: Stage::Active, record: Stage::OnHold })
            }
            StageMove::ToPartnerCenter(stage) => Some(StageAgreement { referral: stage, record }),
            // What an old memory says is where both are: it is certain again.
            StageMove::Still if self.link.stage_doubtful => self.link.base_stage,
            StageMove::Still | StageMove::WaitUntil(_) => None,
        }
    }
}

/// What a seller is told, once and beside something else, of the rows that the record's CRM has no
/// field for: nothing is written for their sake alone.
fn resting_rows(view: &RecordView<'_>, link: &Link, told: &mut Vec<String>) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in view.mapping.parked().iter().filter(|row| !row.optional) {
        let key = sentence::topic_key(&format!("row:{}", row.field), &row.reason);
        if !link.told.contains(&key) && !told.contains(&key) {
            lines.push(sentence::row_rests(&row.label, &row.reason));
            told.push(key);
        }
    }
    lines
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
