//! What tests plug into the middle of a write.

use std::collections::VecDeque;

use super::org::{Fields, Org};

/// Runs once, before a client's write looks at the row.
pub type BeforeWrite = Box<dyn FnOnce(&mut Org) + Send>;
/// Changes a row while it is being saved, as a before-save trigger does.
pub type Trigger = Box<dyn FnMut(&mut Fields) + Send>;
/// Says what is wrong with a row and with which field, as a validation rule does.
pub type Rule = Box<dyn Fn(&Fields) -> Option<(String, String)> + Send>;

/// An alert or block on rows that share a value.
#[derive(Debug, Clone)]
pub struct DuplicateRule {
    /// Object that is guarded.
    pub object: String,
    /// Field whose value must not repeat.
    pub field: String,
    /// Whether the save is refused even when the client asks to save anyway.
    pub block: bool,
}

/// Everything plugged in.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) before_write: VecDeque<BeforeWrite>,
    pub(crate) triggers: Vec<(String, Trigger)>,
    pub(crate) rules: Vec<(String, Rule)>,
    pub(crate) duplicates: Vec<DuplicateRule>,
}

impl Org {
    /// Runs the hook that waits for a client's write, if there is one.
    pub(crate) fn about_to_write(&mut self) {
        let Some(hook) = self.hooks.before_write.pop_front() else { return };
        // What a person does meanwhile is not part of the client's transaction.
        let open = self.pause();
        hook(self);
        self.resume(open);
    }
}
