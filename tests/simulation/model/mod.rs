//! The small model of the algorithm: one deal with two fields and a stage on two sides. Between any two
//! steps of the daemon a person may edit or delete, the process may die or an answer get lost, and a
//! second may pass. The decisions are the product's own pure code (`merge::field`, `merge::stage`,
//! `merge::settle`).
//!
//! It is exhausted, not sampled: [`explore::every_schedule`] follows every possible order of everything
//! within a [`Scope`]. A schedule is one complete sequence of actions until everything rests with no
//! edit left. Schedules that lead to the same state go on alike, so each state is worked out once; the
//! number of schedules is counted over that graph, each distinct sequence exactly once.
//! [`explore::walk`] adds random schedules with many more edits than can be exhausted.

mod explore;
mod state;
mod steps;

/// A defence that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    /// All defences are on.
    Nothing,
    /// Writes are not conditional on the version read.
    Version,
    /// Records do not carry the token of the write.
    Token,
    /// The intent does not name the values that lose.
    Losers,
    /// No intent is stored before a write.
    Intent,
    /// What both sides agreed on is not remembered.
    Base,
    /// A stamp of the running second is taken as proof.
    WaitRule,
    /// A record cannot be found by its referral, and its key is not unique.
    UniqueKey,
    /// No intent is stored before a create.
    CreateIntent,
    /// A deleted record is forgotten.
    Tombstone,
    /// Two tries of one deal run at once.
    Serial,
}

/// How much may happen in a schedule, and to what.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// Edits of people on either side, moves of the stage included.
    edits: u8,
    /// Deaths of the process, and lost answers.
    crashes: u8,
    /// Deletions of the record.
    deletions: u8,
    /// Seconds that pass by themselves.
    seconds: u8,
    /// The referral has just arrived: the record is still to be made.
    arrives: bool,
    /// The record's version is a stamp of whole seconds, as in Salesforce; else an etag.
    stamps: bool,
    /// The defence that is switched off.
    off: Off,
}

/// A deal that is in step, with an etag for each version.
const IN_STEP: Scope = Scope {
    edits: 4,
    crashes: 2,
    deletions: 0,
    seconds: 0,
    arrives: false,
    stamps: false,
    off: Off::Nothing,
};

/// The same with stamps of whole seconds and the wait rule.
const WITH_STAMPS: Scope = Scope { seconds: 2, stamps: true, ..IN_STEP };

/// A referral arrives, its record is made, and may be deleted.
const ARRIVING: Scope = Scope { edits: 3, deletions: 1, arrives: true, ..IN_STEP };

/// What a schedule can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A try makes its next step.
    Step(usize),
    /// The process of a try dies, or the answer to its last call is lost.
    Crash(usize),
    /// Somebody changes a field; `true` at Partner Center.
    Edit(bool, usize),
    /// Somebody moves the stage on; `true` at Partner Center.
    Move(bool),
    /// Somebody deletes the record.
    Delete,
    /// A second passes.
    Second,
}

#[cfg(test)]
mod tests {
    use super::explore::{every_schedule, one_by_one, walk};
    use super::{ARRIVING, IN_STEP, Off, Scope, WITH_STAMPS};
    use crate::setting;

    /// Follows every schedule of a scope and returns how many there are.
    fn exhausted(scope: &Scope) -> u128 {
        let of = |name: &str, usual: u8| {
            u8::try_from(setting(name, usual.into())).expect("a small number")
        };
        let scope = Scope {
            edits: of("COSELL_SYNC_MODEL_EDITS", scope.edits),
            crashes: of("COSELL_SYNC_MODEL_CRASHES", scope.crashes),
            ..*scope
        };
        let explored = every_schedule(&scope).unwrap_or_else(|found| panic!("{found}"));
        crate::say(&format!("{explored} in {scope:?}"));
        explored.schedules
    }

    /// The least number of schedules that each of the three scopes has to hold.
    const FIVE_MILLION: u128 = 5_000_000;

    #[test]
    fn no_schedule_breaks_a_deal_in_step() {
        assert!(exhausted(&IN_STEP) > FIVE_MILLION);
    }

    #[test]
    fn no_schedule_breaks_a_deal_with_stamps_of_whole_seconds() {
        assert!(exhausted(&WITH_STAMPS) > FIVE_MILLION);
    }

    #[test]
    fn no_schedule_breaks_a_deal_that_arrives() {
        assert!(exhausted(&ARRIVING) > FIVE_MILLION);
        let stamps = Scope { edits: 2, seconds: 1, stamps: true, ..ARRIVING };
        assert!(exhausted(&stamps) > FIVE_MILLION);
    }

    /// What is counted is what would be walked: working each state out once changes nothing.
    #[test]
    fn the_count_of_schedules_is_that_of_all_of_them_walked_one_by_one() {
        for scope in [IN_STEP, WITH_STAMPS, ARRIVING] {
            let scope = Scope { edits: 1, crashes: 1, ..scope };
            let explored = every_schedule(&scope).unwrap_or_else(|found| panic!("{found}"));
            assert_eq!(explored.schedules, one_by_one(&scope), "{scope:?}");
        }
    }

    #[test]
    fn long_random_schedules_break_nothing() {
        for scope in [IN_STEP, WITH_STAMPS, ARRIVING] {
            let scope = Scope { edits: 9, crashes: 5, seconds: scope.seconds * 2, ..scope };
            for seed in 1..=setting("COSELL_SYNC_MODEL_WALKS", 20_000) {
                if let Err(found) = walk(seed, &scope) {
                    panic!("seed {seed}: {found}");
                }
            }
        }
    }

    #[test]
    fn every_defence_that_is_switched_off_is_missed() {
        let table = [
            (Off::Version, IN_STEP, "an edit is overwritten unseen"),
            (Off::Token, IN_STEP, "a write that landed is taken for one that did not"),
            (Off::Losers, IN_STEP, "what lost is named nowhere after a lost answer"),
            (Off::Intent, IN_STEP, "nobody knows what was written"),
            (Off::Base, IN_STEP, "nobody knows who changed what"),
            (Off::WaitRule, WITH_STAMPS, "two edits of one second look alike"),
            (Off::UniqueKey, ARRIVING, "a second record is made"),
            (Off::CreateIntent, ARRIVING, "a record of our own looks like somebody's edit"),
            (Off::Tombstone, ARRIVING, "a deleted record comes back"),
            (Off::Serial, IN_STEP, "two tries undo each other's work"),
        ];
        for (off, scope, why) in table {
            match every_schedule(&Scope { off, ..scope }) {
                Ok(_) => panic!("{off:?} switched off breaks nothing, but {why}"),
                Err(found) => crate::say(&format!("{off:?}: {found}")),
            }
        }
    }
}
