//! Follows every schedule of a scope, or random ones beyond it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::state::{State, renumber};
use super::{Action, Scope};
use crate::dice::Dice;

/// What a whole search came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Explored {
    /// Distinct schedules.
    pub(super) schedules: u128,
    /// Distinct states on them.
    pub(super) states: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} schedules over {} states", self.schedules, self.states)
    }
}

/// A schedule that breaks a rule.
#[derive(Debug)]
pub(super) struct Found {
    /// The rule.
    pub(super) rule: String,
    /// What led to it, in order; kept for the message of a failing test.
    pub(super) schedule: Vec<Action>,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} after {:?}", self.rule, self.schedule)
    }
}

/// Follows every schedule of `scope` and counts them.
pub(super) fn every_schedule(scope: &Scope) -> Result<Explored, Found> {
    let mut search = Search { scope: *scope, known: Known::default() };
    let schedules = search.from(State::new(scope)).map_err(|mut found| {
        found.schedule.reverse();
        found
    })?;
    Ok(Explored { schedules, states: search.known.len() })
}

/// Walks every schedule of a small scope to its end and counts them, knowing nothing of states.
pub(super) fn one_by_one(scope: &Scope) -> u128 {
    let mut open = vec![State::new(scope)];
    let mut schedules = 0;
    while let Some(state) = open.pop() {
        let actions = state.actions(scope);
        schedules += u128::from(actions.is_empty());
        for action in actions {
            open.push(after(&state, action, scope).unwrap_or_else(|rule| panic!("{rule}")));
        }
    }
    schedules
}

/// One random schedule.
pub(super) fn walk(seed: u64, scope: &Scope) -> Result<(), Found> {
    let mut dice = Dice::new(seed);
    let mut state = State::new(scope);
    let mut schedule = Vec::new();
    loop {
        let actions = state.actions(scope);
        let Some(action) = dice.pick(&actions).copied() else { return Ok(()) };
        schedule.push(action);
        match after(&state, action, scope) {
            Ok(next) => state = next,
            Err(rule) => return Err(Found { rule, schedule }),
        }
        if schedule.len() > 2_000 {
            return Err(Found { rule: "I6: never comes to rest".to_owned(), schedule });
        }
    }
}

/// The state after an action, with the smallest numbers. `Err` names the rule that is broken.
fn after(state: &State, action: Action, scope: &Scope) -> Result<State, String> {
    let mut next = state.clone();
    match action {
        Action::Step(at) => next.step(at, scope)?,
        other => next.happen(other),
    }
    if next.rests()
        && let Some(rule) = next.broken()
    {
        return Err(rule);
    }
    renumber(&mut next)?;
    Ok(next)
}

/// A quick hash: millions of states are looked up.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Schedules from each state on; `None` while it is being followed.
type Known = HashMap<State, Option<u128>, BuildHasherDefault<Quick>>;

struct Search {
    scope: Scope,
    known: Known,
}

impl Search {
    fn from(&mut self, state: State) -> Result<u128, Found> {
        let found = |rule: &str| Found { rule: rule.to_owned(), schedule: Vec::new() };
        match self.known.get(&state) {
            Some(Some(schedules)) => return Ok(*schedules),
            Some(None) => return Err(found("I6: never comes to rest")),
            None => {}
        }
        let actions = state.actions(&self.scope);
        if actions.is_empty() {
            self.known.insert(state, Some(1));
            return Ok(1);
        }
        self.known.insert(state.clone(), None);
        let mut schedules = 0;
        for action in actions {
            let next = after(&state, action, &self.scope);
            let followed = next.map_err(|rule| found(&rule)).and_then(|next| self.from(next));
            schedules += followed.map_err(|mut found| {
                found.schedule.push(action);
                found
            })?;
        }
        self.known.insert(state, Some(schedules));
        Ok(schedules)
    }
}
