//! A small model: two fields and a stage on two sides, with the product's own pure decisions between
//! them, and a user edit, a crash or a lost answer possible between any two steps. Small enough for
//! millions of schedules.

use std::collections::BTreeMap;
use std::time::Duration;

use cosell_sync::domain::deal::{
    Agreement, Conflict, Intent, IntentAction, Link, LinkState, Stage, StageAgreement, Target,
    Values,
};
use cosell_sync::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use cosell_sync::domain::record::Version;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::{Direction, FieldKind, FieldRule, Policy};
use cosell_sync::merge::field::{Sides, Stamps, Verdict, agree, decide};
use cosell_sync::merge::settle::{landed_by_token, landed_by_value, settle_landed};
use cosell_sync::merge::stage::{self, StageMove, Stages};
use cosell_sync::merge::view::WonEarly;

use crate::dice::Dice;

const CRM: CrmName = CrmName::Dynamics365;
const NAMES: [&str; 2] = ["value", "notes"];

/// A defence that is switched off in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    Nothing,
    Version,
    Token,
    Losers,
    Intent,
    Base,
}

#[derive(Debug, Clone)]
struct Side {
    values: Values,
    stage: Stage,
    version: u64,
    token: String,
}

struct Model {
    dice: Dice,
    off: Off,
    partner: Side,
    crm: Side,
    /// What is durable.
    link: Link,
    intent: Option<Intent>,
    conflicts: Vec<Conflict>,
    /// Side, field, value, what was there before.
    edits: Vec<(bool, String, Value, Value)>,
    next: i64,
    calm: bool,
    writes: u32,
}

/// What the merge of both fields comes to.
struct Merged {
    to_partner: Values,
    to_crm: Values,
    lost_there: Vec<Conflict>,
    lost_here: Vec<Conflict>,
}

/// The process died, or a call failed: the try is over.
struct Cut;

fn rule(name: &str, conflict: Policy) -> FieldRule {
    FieldRule {
        name: name.to_owned(),
        label: name.to_owned(),
        referral: Some(name.to_owned()),
        crm: Some(name.to_owned()),
        kind: FieldKind::Integer,
        direction: Direction::Both,
        on_create: true,
        on_update: true,
        conflict,
        group: None,
        required: false,
        place: "model".to_owned(),
    }
}

fn begin(seed: u64, off: Off) -> Model {
    let values: Values = NAMES.iter().map(|name| ((*name).to_owned(), Value::Integer(0))).collect();
    let side = Side { values, stage: Stage::OnHold, version: 1, token: String::new() };
    let mut base: BTreeMap<String, Agreement> = BTreeMap::new();
    for name in NAMES {
        agree(&mut base, name, &Value::Integer(0), &Value::Integer(0));
    }
    let key = RecordKey { crm: CRM, kind: RecordKind::Opportunity, id: RecordId::new("r") };
    let link = Link {
        record: key,
        state: LinkState::Live,
        version: None,
        base,
        base_stage: Some(StageAgreement { referral: Stage::OnHold, record: Stage::OnHold }),
        hold: None,
        told: Vec::new(),
        columns: std::collections::BTreeMap::new(),
        parked: Vec::new(),
        standing: None,
        pending: Vec::new(),
    };
    Model {
        dice: Dice::new(seed),
        off,
        partner: side.clone(),
        crm: side,
        link,
        intent: None,
        conflicts: Vec::new(),
        edits: Vec::new(),
        next: 0,
        calm: false,
        writes: 0,
    }
}

impl Model {
    /// Between two steps a person may edit, and the process may die.
    fn step(&mut self) -> Result<(), Cut> {
        if self.calm {
            return Ok(());
        }
        if self.dice.permille(180) {
            self.edit();
        }
        if self.dice.permille(60) { Err(Cut) } else { Ok(()) }
    }

    fn edit(&mut self) {
        let at_partner = self.dice.below(2) == 0;
        let die = self.dice.below(12);
        self.next += 1;
        let value = Value::Integer(self.next);
        let side = if at_partner { &mut self.partner } else { &mut self.crm };
        side.version += 1;
        match die {
            0 if side.stage == Stage::OnHold => side.stage = Stage::Active,
            1 if side.stage == Stage::Active => side.stage = Stage::Won,
            _ => {
                let name = NAMES[die % 2];
                let saw = side.values.insert(name.to_owned(), value.clone()).unwrap_or_default();
                self.edits.push((at_partner, name.to_owned(), value, saw));
            }
        }
    }

    /// One try, as the worker makes it.
    fn attempt(&mut self) -> Result<(), Cut> {
        self.step()?;
        let partner = self.partner.clone();
        self.step()?;
        let crm = self.crm.clone();
        self.recover(&partner, &crm);
        self.step()?;
        let mut link = self.link.clone();
        let Merged { mut to_partner, to_crm, mut lost_there, lost_here } =
            self.merge(&mut link, &partner, &crm);
        let stages = Stages {
            base: link.base_stage,
            referral: partner.stage,
            record: crm.stage,
            created: None,
        };
        let moved = stage::decide(&stages, WonEarly::Send, Timestamp::from_millis(0));
        let (mut stage_there, mut stage_here) = (None, None);
        match moved {
            StageMove::ToPartnerCenter(stage) => stage_there = Some(stage),
            StageMove::ToCrm(stage) => stage_here = Some(stage),
            StageMove::Agreed | StageMove::EndedApart => {
                link.base_stage =
                    Some(StageAgreement { referral: partner.stage, record: crm.stage });
            }
            StageMove::Still | StageMove::WaitUntil(_) => {}
        }
        if partner.stage.is_closed() {
            to_partner.clear();
            lost_there.clear();
        }
        if !to_partner.is_empty() || stage_there.is_some() {
            self.write_partner(&mut link, &partner, &crm, to_partner, stage_there, lost_there)?;
        }
        if !to_crm.is_empty() || stage_here.is_some() {
            self.write_crm(&mut link, &partner, &crm, to_crm, stage_here, lost_here)?;
        }
        self.link = link;
        self.intent = None;
        Ok(())
    }

    /// Decides both fields.
    fn merge(&self, link: &mut Link, partner: &Side, crm: &Side) -> Merged {
        let (mut to_partner, mut to_crm) = (Values::new(), Values::new());
        let (mut lost_there, mut lost_here) = (Vec::new(), Vec::new());
        let rules = [rule(NAMES[0], Policy::Crm), rule(NAMES[1], Policy::PartnerCenter)];
        for rule in &rules {
            let (there, here) = (&partner.values[&rule.name], &crm.values[&rule.name]);
            let base = link.base.get(&rule.name).filter(|_| self.off != Off::Base).cloned();
            let sides = Sides { rule, base: base.as_ref(), referral: there, record: here };
            let stamps = Stamps {
                referral: None,
                record: Timestamp::from_millis(0),
                margin: Duration::ZERO,
            };
            let loss = |winner, kept: &Value, loser, lost: &Value| Conflict {
                field: rule.name.clone(),
                winner,
                kept: kept.clone(),
                loser,
                lost: lost.clone(),
                policy: "model".to_owned(),
            };
            let verdict = decide(&[sides], stamps).remove(0);
            if verdict == Verdict::PartnerCenterWins {
                lost_here.push(loss(Target::PartnerCenter, there, Target::Crm(CRM), here));
            }
            if verdict == Verdict::CrmWins {
                lost_there.push(loss(Target::Crm(CRM), here, Target::PartnerCenter, there));
            }
            match verdict {
                Verdict::ToCrm | Verdict::PartnerCenterWins => {
                    to_crm.insert(rule.name.clone(), there.clone());
                }
                Verdict::ToPartnerCenter | Verdict::CrmWins => {
                    to_partner.insert(rule.name.clone(), here.clone());
                }
                Verdict::Agreed => agree(&mut link.base, &rule.name, there, here),
                Verdict::Still | Verdict::Ask => {}
            }
        }
        Merged { to_partner, to_crm, lost_there, lost_here }
    }

    fn intent(
        &mut self,
        target: Target,
        version: u64,
        sent: &Values,
        stage: Option<Stage>,
        losers: &[Conflict],
    ) -> String {
        self.next += 1;
        let token = format!("token-{}", self.next);
        let losers = if self.off == Off::Losers { Vec::new() } else { losers.to_vec() };
        let intent = Intent {
            token: token.clone(),
            target,
            action: IntentAction::Update,
            expect: Some(Version(version.to_string())),
            sent: sent.clone(),
            stage,
            losers,
            from: vec![CRM],
            lines: Vec::new(),
            at: Timestamp::from_millis(0),
        };
        self.intent = (self.off != Off::Intent).then_some(intent);
        token
    }

    fn write_partner(
        &mut self,
        link: &mut Link,
        read: &Side,
        crm: &Side,
        sent: Values,
        stage: Option<Stage>,
        losers: Vec<Conflict>,
    ) -> Result<(), Cut> {
        self.link = link.clone();
        self.intent(Target::PartnerCenter, read.version, &sent, stage, &losers);
        self.step()?;
        if self.off != Off::Version && self.partner.version != read.version {
            self.intent = None;
            return Err(Cut);
        }
        self.writes += 1;
        self.partner.version += 1;
        self.partner.values.extend(sent.clone());
        self.partner.stage = stage.unwrap_or(self.partner.stage);
        // The answer may be lost, or the process die before it has noted it.
        self.step()?;
        for (name, value) in &sent {
            agree(&mut link.base, name, value, value);
        }
        if let Some(sent) = stage {
            let further = sent == Stage::Active && crm.stage == Stage::Won;
            let base = link.base_stage.map_or(Stage::OnHold, |base| base.record);
            let record = if further { base } else { crm.stage };
            link.base_stage = Some(StageAgreement { referral: sent, record });
        }
        self.conflicts.extend(losers);
        self.link = link.clone();
        self.intent = None;
        Ok(())
    }

    fn write_crm(
        &mut self,
        link: &mut Link,
        partner: &Side,
        read: &Side,
        sent: Values,
        stage: Option<Stage>,
        losers: Vec<Conflict>,
    ) -> Result<(), Cut> {
        self.link = link.clone();
        let token = self.intent(Target::Crm(CRM), read.version, &sent, stage, &losers);
        self.step()?;
        if self.off != Off::Version && self.crm.version != read.version {
            self.intent = None;
            return Err(Cut);
        }
        self.writes += 1;
        self.crm.version += 1;
        self.crm.values.extend(sent.clone());
        self.crm.stage = stage.unwrap_or(self.crm.stage);
        if self.off != Off::Token {
            self.crm.token = token;
        }
        self.step()?;
        for (name, value) in &sent {
            agree(&mut link.base, name, value, value);
        }
        if let Some(stage) = stage {
            link.base_stage = Some(StageAgreement { referral: partner.stage, record: stage });
        }
        self.conflicts.extend(losers);
        Ok(())
    }

    /// What landed moves the base, what did not is planned anew.
    fn recover(&mut self, partner: &Side, crm: &Side) {
        let Some(intent) = self.intent.take() else { return };
        let moved = |side: &Side| intent.expect != Some(Version(side.version.to_string()));
        match intent.target {
            Target::PartnerCenter => {
                let there = &partner.values;
                let landed = landed_by_value(
                    &intent,
                    &self.link,
                    there,
                    Some(partner.stage),
                    moved(partner),
                );
                if landed {
                    settle_landed(&mut self.link, &intent.sent, &intent.sent, there, true);
                    let base = self.link.base_stage.map_or(Stage::OnHold, |base| base.record);
                    if let Some(sent) = intent.stage.filter(|_| base != crm.stage) {
                        let further = sent == Stage::Active && crm.stage == Stage::Won;
                        let record = if further { base } else { crm.stage };
                        self.link.base_stage = Some(StageAgreement { referral: sent, record });
                    }
                    self.conflicts.extend(intent.losers);
                } else {
                    let gone = |loss: &Conflict| moved(partner) && there[&loss.field] != loss.lost;
                    self.conflicts.extend(intent.losers.iter().filter(|loss| gone(loss)).cloned());
                }
            }
            Target::Crm(_) => {
                if landed_by_token(&intent, &crm.token) {
                    settle_landed(&mut self.link, &intent.sent, &intent.sent, &crm.values, false);
                    if let Some(stage) = intent.stage {
                        self.link.base_stage =
                            Some(StageAgreement { referral: stage, record: stage });
                    }
                    self.conflicts.extend(intent.losers);
                }
            }
        }
    }

    fn broken(&self) -> Option<String> {
        if !self.partner.stage.is_closed() {
            for name in NAMES {
                let (there, here) = (&self.partner.values[name], &self.crm.values[name]);
                if there != here {
                    return Some(format!("{name} differs: {there} and {here}"));
                }
            }
            if self.crm.stage.is_closed() || self.crm.stage != self.partner.stage {
                return Some(format!("{:?} and {:?}", self.partner.stage, self.crm.stage));
            }
        } else if !self.crm.stage.is_closed() {
            return Some("closed on one side only".to_owned());
        }
        for (at, (at_partner, name, value, _)) in self.edits.iter().enumerate() {
            let seen =
                self.edits[at..].iter().any(|(_, other, _, saw)| other == name && saw == value);
            let held = [&self.partner, &self.crm].iter().any(|side| side.values[name] == *value);
            let named = self.conflicts.iter().filter(|loss| loss.lost == *value).count();
            if named > 1 || (named == 0 && !seen && !held) {
                return Some(format!(
                    "{name} = {value} (partner: {at_partner}) named {named} times"
                ));
            }
        }
        self.conflicts
            .iter()
            .find(|loss| {
                !self
                    .edits
                    .iter()
                    .any(|(_, name, value, _)| *name == loss.field && *value == loss.lost)
            })
            .map(|loss| format!("invented {loss:?}"))
    }
}

/// One schedule; what it broke.
pub(crate) fn schedule(seed: u64, off: Off) -> Option<String> {
    let mut model = begin(seed, off);
    for _ in 0..4 {
        model.edit();
        let _ = model.attempt();
    }
    model.calm = true;
    for round in 0.. {
        let before = model.writes;
        let _ = model.attempt();
        if model.writes == before && round > 1 {
            break;
        }
        if round > 20 {
            return Some("never comes to rest".to_owned());
        }
    }
    model.broken()
}
