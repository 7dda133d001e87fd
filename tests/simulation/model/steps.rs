//! The steps of one try, as the worker makes them, with the product's own decisions.

use std::sync::OnceLock;
use std::time::Duration;

use cosell_sync::domain::deal::{
    Agreement, Conflict, Intent, IntentAction, Link, LinkState, Remembered, StageAgreement, Target,
    Values,
};
use cosell_sync::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use cosell_sync::domain::record::Version;
use cosell_sync::domain::stage::Stage;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::{Direction, FieldKind, FieldRule, Policy};
use cosell_sync::merge::field::{Sides, Stamps, Verdict, decide};
use cosell_sync::merge::settle::{landed_by_token, landed_by_value, settle_landed};
use cosell_sync::merge::stage::{self, StageMove, Stages};
use cosell_sync::merge::view::WonEarly;

use super::state::{Durable, FIELDS, Promise, Read, Send, Side, State, Tie, Try};
use super::{Off, Scope};

const CRM: CrmName = CrmName::Dynamics365;
const NAMES: [&str; FIELDS] = ["value", "notes"];
const EPOCH: Timestamp = Timestamp::from_millis(0);

/// What both sides' fields come to.
struct Merged {
    durable: Durable,
    to_partner: Send,
    to_crm: Send,
}

/// The two fields: one goes by the CRM, the other by Partner Center.
fn rules() -> &'static [FieldRule; FIELDS] {
    static RULES: OnceLock<[FieldRule; FIELDS]> = OnceLock::new();
    let rule = |name: &str, conflict: Policy| FieldRule {
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
    };
    RULES.get_or_init(|| [rule(NAMES[0], Policy::Crm), rule(NAMES[1], Policy::PartnerCenter)])
}

fn value(number: u8) -> Value {
    Value::Integer(i64::from(number))
}

fn number(value: &Value) -> u8 {
    match value {
        Value::Integer(number) => u8::try_from(*number).expect("small"),
        _ => panic!("the model has numbers only"),
    }
}

fn agreement((there, here): (u8, u8)) -> Agreement {
    Agreement {
        referral: Remembered::Value(value(there)),
        record: Remembered::Value(value(here)),
        doubtful: false,
    }
}

fn named(values: &[Option<u8>; FIELDS]) -> Values {
    let each = NAMES.iter().zip(values);
    each.filter_map(|(name, number)| Some(((*name).to_owned(), value((*number)?)))).collect()
}

/// The link as the product keeps it.
fn link(durable: &Durable) -> Link {
    let base = NAMES.iter().zip(durable.base);
    let stage = durable.stage.map(|(referral, record)| StageAgreement { referral, record });
    Link {
        record: RecordKey { crm: CRM, kind: RecordKind::Opportunity, id: RecordId::new("r") },
        state: LinkState::Live,
        version: None,
        base: base
            .filter_map(|(name, pair)| Some(((*name).to_owned(), agreement(pair?))))
            .collect(),
        base_stage: stage,
        stage_doubtful: false,
        hold: None,
        told: Vec::new(),
        columns: std::collections::BTreeMap::new(),
        former: std::collections::BTreeMap::new(),
        stage_seen: None,
        lead: None,
        parked: Vec::new(),
        standing: None,
        pending: Vec::new(),
    }
}

/// The intent as the product keeps it; its token is `token` and it expects the version `read`.
fn intent(promise: &Promise) -> Intent {
    Intent {
        token: "token".to_owned(),
        target: if promise.to_partner { Target::PartnerCenter } else { Target::Crm(CRM) },
        action: if promise.create { IntentAction::Create } else { IntentAction::Update },
        expect: Some(Version("read".to_owned())),
        sent: named(&promise.sent.values),
        columns: std::collections::BTreeMap::new(),
        stage: promise.sent.stage,
        losers: Vec::<Conflict>::new(),
        from: vec![CRM],
        lines: Vec::new(),
        doubtful: false,
        at: EPOCH,
    }
}

impl State {
    /// One step of a try. `Err` names the rule that it breaks.
    pub(super) fn step(&mut self, at: usize, scope: &Scope) -> Result<(), String> {
        let off = scope.off;
        self.tries[at] = match self.tries[at] {
            Try::Idle => {
                self.news = false;
                Try::HasPartner(Read { side: self.partner, fresh: true })
            }
            Try::HasPartner(partner) => self.read_record(partner, off)?,
            Try::HasBoth(partner, crm) => self.plan(partner, crm, off),
            Try::ToPartner(partner, crm, there, here) => {
                if !partner.fresh && off != Off::Version {
                    self.give_up()
                } else {
                    self.write(true, &there);
                    Try::AtPartner(partner, crm, there, here)
                }
            }
            Try::AtPartner(partner, crm, there, here) => {
                self.settled_at_partner(crm.side.stage, &there);
                self.lose(&there, true)?;
                if here.is_empty() {
                    self.end()
                } else {
                    self.promise(false, false, here, !crm.fresh, off);
                    Try::ToCrm(partner, crm, here)
                }
            }
            Try::ToCrm(partner, crm, here) => {
                if self.crm.is_none() || !crm.fresh && off != Off::Version {
                    self.give_up()
                } else {
                    self.write(false, &here);
                    self.carry_token(off);
                    Try::AtCrm(partner, here)
                }
            }
            Try::AtCrm(partner, here) => {
                self.settled_at_crm(partner.side.stage, &here);
                self.lose(&here, false)?;
                self.end()
            }
            Try::Create(partner) => self.create(partner, off)?,
            Try::Created(partner) => {
                let sent = self.offered(&partner.side);
                self.tie(Some(sent), partner.side.stage, partner.side.stage);
                self.end()
            }
        };
        Ok(())
    }

    fn end(&mut self) -> Try {
        self.durable.promise = None;
        Try::Idle
    }

    /// The side has changed since it was read: everything is read and planned again.
    fn give_up(&mut self) -> Try {
        self.news = true;
        self.end()
    }

    /// Reads the record, waits until its stamp proves something, decides what a lost write came to.
    fn read_record(&mut self, partner: Read, off: Off) -> Result<Try, String> {
        match (self.durable.tie, self.crm) {
            (Tie::Tombstone, _) => return Ok(Try::Idle),
            (Tie::Live, None) => {
                self.recover_at_partner(&partner.side, None)?;
                self.durable.promise = None;
                self.durable.tie = if off == Off::Tombstone { Tie::None } else { Tie::Tombstone };
                self.news = off == Off::Tombstone;
                return Ok(Try::Idle);
            }
            (Tie::None, None) => return Ok(self.begin_create(partner, off)),
            (Tie::None, Some(_)) if off == Off::UniqueKey => {
                return Ok(self.begin_create(partner, off));
            }
            (_, Some(side)) if side.now && off != Off::WaitRule => {
                self.second();
                return Ok(Try::HasPartner(partner));
            }
            (Tie::None, Some(side)) => self.adopt(&partner.side, &side),
            (Tie::Live, Some(side)) => {
                self.recover_at_partner(&partner.side, Some(&side))?;
                self.recover_at_crm(&side)?;
            }
        }
        let side = self.crm.unwrap_or(self.partner);
        Ok(Try::HasBoth(partner, Read { side, fresh: true }))
    }

    fn begin_create(&mut self, partner: Read, off: Off) -> Try {
        let sent = self.offered(&partner.side);
        if off != Off::CreateIntent {
            self.promise(false, true, sent, false, off);
        }
        Try::Create(partner)
    }

    fn offered(&self, side: &Side) -> Send {
        Send { values: side.values.map(Some), stage: Some(side.stage), losers: [None; FIELDS] }
    }

    fn create(&mut self, partner: Read, off: Off) -> Result<Try, String> {
        if self.crm.is_some() && off != Off::UniqueKey {
            self.news = true;
            return Ok(Try::Idle);
        }
        self.made += 1;
        self.news = true;
        if self.made > 1 {
            return Err("I3/I4: a second record was made".to_owned());
        }
        self.crm = Some(partner.side);
        self.touched(false);
        self.carry_token(off);
        Ok(Try::Created(partner))
    }

    /// A record that is there already: what our own creation sent is what both sides agreed on.
    fn adopt(&mut self, partner: &Side, crm: &Side) {
        let promise = self.durable.promise.filter(|promise| promise.create);
        let ours = promise.filter(|promise| landed_by_token(&intent(promise), self.token()));
        let stages = ours.and_then(|promise| promise.sent.stage).map(|stage| (stage, stage));
        let (there, here) = stages.unwrap_or((partner.stage, crm.stage));
        self.tie(ours.map(|promise| promise.sent), there, here);
        self.durable.promise = None;
    }

    fn tie(&mut self, sent: Option<Send>, there: Stage, here: Stage) {
        self.durable.tie = Tie::Live;
        self.durable.base = [None; FIELDS];
        if let Some(sent) = sent {
            self.durable.base = sent.values.map(|value| value.map(|value| (value, value)));
        }
        self.durable.stage = Some((there, here));
    }

    /// What the record holds as token: that of the open promise, or of another write.
    fn token(&self) -> &'static str {
        if self.durable.promise.is_some_and(|promise| promise.token) { "token" } else { "another" }
    }

    fn carry_token(&mut self, off: Off) {
        if let Some(promise) = &mut self.durable.promise {
            promise.token = off != Off::Token;
        }
    }

    fn promise(&mut self, to_partner: bool, create: bool, mut sent: Send, moved: bool, off: Off) {
        if off == Off::Losers {
            sent.losers = [None; FIELDS];
        }
        let promise = Promise { to_partner, create, sent, moved, token: false };
        self.durable.promise = (off != Off::Intent).then_some(promise);
    }

    /// Decides everything, and promises the first write.
    fn plan(&mut self, partner: Read, crm: Read, off: Off) -> Try {
        let Merged { durable, to_partner, to_crm } = self.merge(&partner.side, &crm.side, off);
        self.durable = durable;
        if !to_partner.is_empty() {
            self.promise(true, false, to_partner, !partner.fresh, off);
            return Try::ToPartner(partner, crm, to_partner, to_crm);
        }
        if !to_crm.is_empty() {
            self.promise(false, false, to_crm, !crm.fresh, off);
            return Try::ToCrm(partner, crm, to_crm);
        }
        self.end()
    }

    fn merge(&self, partner: &Side, crm: &Side, off: Off) -> Merged {
        let mut durable = self.durable;
        let (mut to_partner, mut to_crm) = (Send::default(), Send::default());
        let stamps = Stamps { referral: None, record: EPOCH, margin: Duration::ZERO, ended: false };
        for (at, rule) in rules().iter().enumerate() {
            let (there, here) = (partner.values[at], crm.values[at]);
            let base = durable.base[at].filter(|_| off != Off::Base).map(agreement);
            let (referral, record) = (value(there), value(here));
            let (base, cut) = (base.as_ref(), false);
            let sides = Sides { rule, base, referral: &referral, record: &record, cut };
            match decide(&[sides], stamps).remove(0) {
                Verdict::ToCrm => to_crm.values[at] = Some(there),
                Verdict::PartnerCenterWins => {
                    to_crm.values[at] = Some(there);
                    to_crm.losers[at] = Some(here);
                }
                Verdict::ToPartnerCenter => to_partner.values[at] = Some(here),
                Verdict::CrmWins => {
                    to_partner.values[at] = Some(here);
                    to_partner.losers[at] = Some(there);
                }
                Verdict::Agreed => durable.base[at] = Some((there, here)),
                Verdict::Still | Verdict::Ask => {}
            }
        }
        if partner.stage.is_closed() {
            to_partner = Send::default();
        }
        let base = durable.stage.map(|(referral, record)| StageAgreement { referral, record });
        let stages = Stages { base, referral: partner.stage, record: crm.stage, created: None };
        match stage::decide(&stages, WonEarly::Send, EPOCH) {
            StageMove::ToPartnerCenter(stage) => to_partner.stage = Some(stage),
            StageMove::ToCrm(stage) => to_crm.stage = Some(stage),
            StageMove::Agreed | StageMove::EndedApart => {
                durable.stage = Some((partner.stage, crm.stage));
            }
            StageMove::Still | StageMove::WaitUntil(_) => {}
        }
        Merged { durable, to_partner, to_crm }
    }

    /// A write takes effect.
    fn write(&mut self, to_partner: bool, sent: &Send) {
        self.news = true;
        let Some(side) = self.side_mut(to_partner) else { return };
        for (held, sent) in side.values.iter_mut().zip(sent.values) {
            *held = sent.unwrap_or(*held);
        }
        side.stage = sent.stage.unwrap_or(side.stage);
        self.touched(to_partner);
    }

    fn settled_at_partner(&mut self, crm: Stage, sent: &Send) {
        self.agree(sent);
        if let Some(stage) = sent.stage {
            self.stage_sent(stage, crm);
        }
    }

    /// A record that is further on than what was sent follows in the next try.
    fn stage_sent(&mut self, sent: Stage, crm: Stage) {
        let base = self.durable.stage.map_or(Stage::OnHold, |(_, record)| record);
        let further = sent == Stage::Active && crm == Stage::Won;
        self.durable.stage = Some((sent, if further { base } else { crm }));
    }

    fn settled_at_crm(&mut self, partner: Stage, sent: &Send) {
        self.agree(sent);
        if let Some(stage) = sent.stage {
            self.durable.stage = Some((partner, stage));
        }
    }

    fn agree(&mut self, sent: &Send) {
        for (base, sent) in self.durable.base.iter_mut().zip(sent.values) {
            *base = sent.map(|value| (value, value)).or(*base);
        }
    }

    /// Values that lost are named, each once, and only those that somebody wrote there.
    fn lose(&mut self, sent: &Send, at_partner: bool) -> Result<(), String> {
        for lost in sent.losers.into_iter().flatten() {
            let written = &mut self.written[usize::from(lost)];
            if lost == 0 || written.by_partner != at_partner {
                return Err("I5: a conflict names what nobody wrote there".to_owned());
            }
            if std::mem::replace(&mut written.named, true) {
                return Err("I2: a value is named in two conflicts".to_owned());
            }
        }
        Ok(())
    }

    fn recover_at_partner(&mut self, there: &Side, crm: Option<&Side>) -> Result<(), String> {
        let Some(promise) = self.durable.promise.filter(|promise| promise.to_partner) else {
            return Ok(());
        };
        self.durable.promise = None;
        let now = named(&there.values.map(Some));
        let (stage, moved) = (Some(there.stage), promise.moved);
        if !landed_by_value(&intent(&promise), &link(&self.durable), &now, stage, moved) {
            // A value that was to lose and is gone lost, whoever overwrote it.
            let mut gone = promise.sent;
            for (lost, held) in gone.losers.iter_mut().zip(there.values) {
                *lost = lost.filter(|lost| promise.moved && *lost != held);
            }
            return self.lose(&gone, true);
        }
        self.settle_landed(&promise, there, true);
        let base = self.durable.stage.map_or(Stage::OnHold, |(_, record)| record);
        if let (Some(stage), Some(crm)) = (promise.sent.stage, crm)
            && base != crm.stage
        {
            self.stage_sent(stage, crm.stage);
        }
        self.lose(&promise.sent, true)
    }

    fn recover_at_crm(&mut self, here: &Side) -> Result<(), String> {
        let Some(promise) = self.durable.promise else { return Ok(()) };
        let landed = landed_by_token(&intent(&promise), self.token());
        self.durable.promise = None;
        if !landed {
            return Ok(());
        }
        self.settle_landed(&promise, here, false);
        if let Some(stage) = promise.sent.stage {
            self.durable.stage = Some((stage, stage));
        }
        self.lose(&promise.sent, false)
    }

    fn settle_landed(&mut self, promise: &Promise, now: &Side, to_partner: bool) {
        let mut link = link(&self.durable);
        let sent = named(&promise.sent.values);
        settle_landed(&mut link, &sent, &sent, &named(&now.values.map(Some)), to_partner);
        for (at, name) in NAMES.iter().enumerate() {
            let pair = link.base.get(*name);
            self.durable.base[at] = pair.map(|pair| {
                let held = |side: &Remembered| side.value().map(number).expect("a number");
                (held(&pair.referral), held(&pair.record))
            });
        }
    }

    /// What must hold when everything rests; the rule that is broken.
    pub(super) fn broken(&self) -> Option<String> {
        let held = |number: u8| {
            let sides = self.crm.iter().chain([&self.partner]);
            sides.flat_map(|side| side.values).any(|value| value == number)
        };
        for number in 1..self.values {
            let written = self.written[usize::from(number)];
            if !written.seen && !written.named && !held(number) {
                return Some(format!("I2: {written:?} is lost"));
            }
        }
        match self.durable.tie {
            Tie::Tombstone => return None,
            Tie::None => return Some("I1: the referral has no record".to_owned()),
            Tie::Live => {}
        }
        let Some(crm) = &self.crm else { return Some("I1: the record is gone".to_owned()) };
        if self.durable.promise.is_some() {
            return Some("I1: a write is still open".to_owned());
        }
        if self.partner.stage.is_closed() {
            return (!crm.stage.is_closed()).then(|| "I1: closed on one side only".to_owned());
        }
        if crm.stage != self.partner.stage {
            return Some(format!("I1: {:?} and {:?}", self.partner.stage, crm.stage));
        }
        let agreed = (0..FIELDS).all(|at| {
            let pair = (self.partner.values[at], crm.values[at]);
            pair.0 == pair.1 && self.durable.base[at] == Some(pair)
        });
        (!agreed).then(|| "I1/I15: the sides and the base differ".to_owned())
    }
}
