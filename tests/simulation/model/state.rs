//! The state of the model, and what people and time do to it.

use cosell_sync::domain::stage::Stage;

use super::{Action, Off, Scope};

/// Fields of a deal.
pub(super) const FIELDS: usize = 2;

/// Values that people wrote and that are followed at the same time, at most; number 0 is what stood
/// there from the start.
const MOST_VALUES: usize = 12;

/// What one side holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Side {
    pub(super) values: [u8; FIELDS],
    pub(super) stage: Stage,
    /// It was written in the running second.
    pub(super) now: bool,
}

/// What a try read of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Read {
    pub(super) side: Side,
    /// A conditional write would still be taken.
    pub(super) fresh: bool,
}

/// What a plan writes to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Send {
    pub(super) values: [Option<u8>; FIELDS],
    pub(super) stage: Option<Stage>,
    /// Values of that side that lose by it.
    pub(super) losers: [Option<u8>; FIELDS],
}

impl Send {
    pub(super) fn is_empty(&self) -> bool {
        self.values == [None; FIELDS] && self.stage.is_none()
    }
}

/// A write that was begun, as it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    pub(super) to_partner: bool,
    pub(super) create: bool,
    pub(super) sent: Send,
    /// The side has changed since it was read for this write.
    pub(super) moved: bool,
    /// The record carries the token of this write.
    pub(super) token: bool,
}

/// Where the link is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tie {
    None,
    Live,
    Tombstone,
}

/// What both sides agreed on, as it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    pub(super) tie: Tie,
    /// By field: what Partner Center held, and what the record held.
    pub(super) base: [Option<(u8, u8)>; FIELDS],
    pub(super) stage: Option<(Stage, Stage)>,
    pub(super) promise: Option<Promise>,
}

/// How far a try has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Try {
    /// None runs.
    Idle,
    /// The referral was read.
    HasPartner(Read),
    /// Both sides were read, and what a lost write came to was decided.
    HasBoth(Read, Read),
    /// The PATCH is promised.
    ToPartner(Read, Read, Send, Send),
    /// The PATCH took effect.
    AtPartner(Read, Read, Send, Send),
    /// The write to the record is promised.
    ToCrm(Read, Read, Send),
    /// The write to the record took effect.
    AtCrm(Read, Send),
    /// The creation of the record is promised.
    Create(Read),
    /// The record was made.
    Created(Read),
}

/// What is known of one value that a person wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Written {
    pub(super) by_partner: bool,
    /// Somebody saw it and overwrote it.
    pub(super) seen: bool,
    /// A conflict names it as lost.
    pub(super) named: bool,
}

/// Everything that decides how a schedule goes on, and whether it is right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(super) partner: Side,
    pub(super) crm: Option<Side>,
    pub(super) durable: Durable,
    pub(super) tries: [Try; 2],
    /// Something happened since the last try began.
    pub(super) news: bool,
    /// Records made for the referral.
    pub(super) made: u8,
    pub(super) written: [Written; MOST_VALUES],
    pub(super) values: u8,
    stamps: bool,
    edits: u8,
    crashes: u8,
    deletions: u8,
    seconds: u8,
}

impl State {
    pub(super) fn new(scope: &Scope) -> Self {
        let side = Side { values: [0; FIELDS], stage: Stage::OnHold, now: false };
        let on_hold = (Stage::OnHold, Stage::OnHold);
        let arrives = scope.arrives;
        let durable = Durable {
            tie: if arrives { Tie::None } else { Tie::Live },
            base: [(!arrives).then_some((0, 0)); FIELDS],
            stage: (!arrives).then_some(on_hold),
            promise: None,
        };
        Self {
            partner: side,
            crm: (!arrives).then_some(side),
            durable,
            tries: [Try::Idle; 2],
            news: arrives,
            made: u8::from(!arrives),
            written: [Written::default(); MOST_VALUES],
            values: 1,
            stamps: scope.stamps,
            edits: scope.edits,
            crashes: scope.crashes,
            deletions: scope.deletions,
            seconds: scope.seconds,
        }
    }

    /// Everything that can happen next; nothing if the schedule is over.
    pub(super) fn actions(&self, scope: &Scope) -> Vec<Action> {
        let mut actions = Vec::with_capacity(12);
        let tries = if scope.off == Off::Serial { 2 } else { 1 };
        for at in 0..tries {
            let idle = self.tries[at] == Try::Idle;
            if !idle || self.news {
                actions.push(Action::Step(at));
            }
            if !idle && self.crashes > 0 {
                actions.push(Action::Crash(at));
            }
        }
        if self.edits > 0 {
            for field in 0..FIELDS {
                if !self.partner.stage.is_closed() {
                    actions.push(Action::Edit(true, field));
                }
                if self.crm.is_some() {
                    actions.push(Action::Edit(false, field));
                }
            }
            if !self.partner.stage.is_closed() {
                actions.push(Action::Move(true));
            }
            if self.crm.is_some_and(|side| !side.stage.is_closed()) {
                actions.push(Action::Move(false));
            }
        }
        if self.deletions > 0 && self.durable.tie == Tie::Live && self.crm.is_some() {
            actions.push(Action::Delete);
        }
        let busy = actions.iter().any(|action| matches!(action, Action::Step(_)));
        if self.seconds > 0 && busy && self.crm.is_some_and(|side| side.now) {
            actions.push(Action::Second);
        }
        actions
    }

    /// Whether no try runs and nothing has happened since the last one began.
    pub(super) fn rests(&self) -> bool {
        !self.news && self.tries == [Try::Idle; 2]
    }

    /// What people, time and death do.
    pub(super) fn happen(&mut self, action: Action) {
        match action {
            Action::Step(_) => {}
            Action::Crash(at) => {
                self.crashes -= 1;
                self.news = true;
                self.tries[at] = Try::Idle;
            }
            Action::Edit(at_partner, field) => {
                self.edits -= 1;
                self.news = true;
                let value = self.values;
                self.values += 1;
                self.written[usize::from(value)] =
                    Written { by_partner: at_partner, ..Written::default() };
                let Some(side) = self.side_mut(at_partner) else { return };
                let saw = std::mem::replace(&mut side.values[field], value);
                self.written[usize::from(saw)].seen = true;
                self.touched(at_partner);
            }
            Action::Move(at_partner) => {
                self.edits -= 1;
                self.news = true;
                let Some(side) = self.side_mut(at_partner) else { return };
                side.stage = if side.stage == Stage::OnHold { Stage::Active } else { Stage::Won };
                self.touched(at_partner);
            }
            Action::Delete => {
                self.deletions -= 1;
                self.news = true;
                self.crm = None;
                // What stood in a record that its owner deleted is nobody's loss.
                for written in &mut self.written {
                    written.seen |= !written.by_partner;
                }
                self.stale(false);
            }
            Action::Second => {
                self.seconds -= 1;
                self.second();
            }
        }
    }

    /// The running second is over.
    pub(super) fn second(&mut self) {
        if let Some(side) = &mut self.crm {
            side.now = false;
        }
        for read in self.reads_of(false) {
            read.side.now = false;
        }
    }

    pub(super) fn side_mut(&mut self, at_partner: bool) -> Option<&mut Side> {
        if at_partner { Some(&mut self.partner) } else { self.crm.as_mut() }
    }

    /// A side was written: what was read of it is old, unless its stamp cannot tell.
    pub(super) fn touched(&mut self, at_partner: bool) {
        let stamps = self.stamps;
        for read in self.reads_of(at_partner) {
            read.fresh &= stamps && read.side.now;
        }
        if let Some(side) = self.side_mut(at_partner) {
            side.now = stamps && !at_partner;
        }
        self.promise_moved(at_partner);
    }

    fn stale(&mut self, at_partner: bool) {
        self.reads_of(at_partner).for_each(|read| read.fresh = false);
        self.promise_moved(at_partner);
    }

    fn promise_moved(&mut self, at_partner: bool) {
        if let Some(promise) = &mut self.durable.promise {
            promise.moved |= promise.to_partner == at_partner;
        }
    }

    /// What the running tries have read of one side.
    fn reads_of(&mut self, at_partner: bool) -> impl Iterator<Item = &mut Read> {
        self.tries.iter_mut().filter_map(move |try_| match try_ {
            Try::Idle => None,
            Try::HasPartner(partner) | Try::Create(partner) | Try::Created(partner) => {
                at_partner.then_some(partner)
            }
            Try::HasBoth(partner, crm)
            | Try::ToPartner(partner, crm, ..)
            | Try::AtPartner(partner, crm, ..)
            | Try::ToCrm(partner, crm, _) => Some(if at_partner { partner } else { crm }),
            Try::AtCrm(partner, _) => at_partner.then_some(partner),
        })
    }
}

/// Gives the values that are still anywhere the smallest numbers, in the order of their places: states
/// that differ only in which values were written go on alike.
pub(super) fn renumber(state: &mut State) -> Result<(), String> {
    let mut numbers = [0u8; MOST_VALUES];
    let mut next = 1u8;
    state.each_value(&mut |value: &mut u8| {
        if *value != 0 && numbers[usize::from(*value)] == 0 {
            numbers[usize::from(*value)] = next;
            next += 1;
        }
        *value = numbers[usize::from(*value)];
    });
    let mut written = [Written::default(); MOST_VALUES];
    let known = state.written.iter().zip(numbers).take(usize::from(state.values)).skip(1);
    for (what, number) in known {
        match usize::from(number) {
            0 if what.seen || what.named => {}
            0 => return Err(format!("I2: {what:?} is nowhere any more")),
            number => written[number] = *what,
        }
    }
    state.written = written;
    state.values = next;
    Ok(())
}

impl State {
    /// Every place that holds the number of a value.
    fn each_value(&mut self, visit: &mut impl FnMut(&mut u8)) {
        self.partner.values.iter_mut().for_each(&mut *visit);
        if let Some(side) = &mut self.crm {
            side.values.iter_mut().for_each(&mut *visit);
        }
        for (there, here) in self.durable.base.iter_mut().flatten() {
            visit(there);
            visit(here);
        }
        if let Some(promise) = &mut self.durable.promise {
            promise.sent.each_value(visit);
        }
        for try_ in &mut self.tries {
            match try_ {
                Try::Idle => {}
                Try::HasPartner(read) | Try::Create(read) | Try::Created(read) => {
                    read.side.values.iter_mut().for_each(&mut *visit);
                }
                Try::HasBoth(there, here) => {
                    there.side.values.iter_mut().for_each(&mut *visit);
                    here.side.values.iter_mut().for_each(&mut *visit);
                }
                Try::ToPartner(there, here, to_there, to_here)
                | Try::AtPartner(there, here, to_there, to_here) => {
                    there.side.values.iter_mut().for_each(&mut *visit);
                    here.side.values.iter_mut().for_each(&mut *visit);
                    to_there.each_value(visit);
                    to_here.each_value(visit);
                }
                Try::ToCrm(there, here, to_here) => {
                    there.side.values.iter_mut().for_each(&mut *visit);
                    here.side.values.iter_mut().for_each(&mut *visit);
                    to_here.each_value(visit);
                }
                Try::AtCrm(there, to_here) => {
                    there.side.values.iter_mut().for_each(&mut *visit);
                    to_here.each_value(visit);
                }
            }
        }
    }
}

impl Send {
    fn each_value(&mut self, visit: &mut impl FnMut(&mut u8)) {
        self.values.iter_mut().flatten().for_each(&mut *visit);
        self.losers.iter_mut().flatten().for_each(&mut *visit);
    }
}
