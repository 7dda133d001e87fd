//! Dotted paths into a referral: `details.dealValue`, `team.0.email`.

use serde_json::{Map, Value as Json};

use crate::domain::referral::Referral;

/// A parsed path. A step of digits takes that item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferralPath {
    /// Path up to a list index, or the whole path: the part that is written as one value.
    pub(crate) root: String,
    /// The steps of [`ReferralPath::root`].
    steps: Vec<String>,
    /// Index and the steps below it, if the path goes into a list.
    pub(crate) inside: Option<(usize, Vec<String>)>,
}

impl ReferralPath {
    /// Splits `path` at its first list index.
    pub(crate) fn parse(path: &str) -> Self {
        let steps: Vec<&str> = path.split('.').collect();
        let index = steps
            .iter()
            .position(|step| !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()));
        let owned = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect();
        let end = index.unwrap_or(steps.len());
        let inside = index.map(|at| {
            let number = steps[at].parse().unwrap_or(usize::MAX);
            (number, owned(&steps[at + 1..]))
        });
        Self { root: steps[..end].join("."), steps: owned(&steps[..end]), inside }
    }

    /// The value in `referral`; `None` if any step is missing.
    pub(crate) fn get<'r>(&self, referral: &'r Referral) -> Option<&'r Json> {
        let (first, rest) = self.steps.split_first()?;
        let root = referral.fields().get(first)?;
        let root = rest.iter().try_fold(root, |at, step| at.get(step))?;
        let Some((index, steps)) = &self.inside else { return Some(root) };
        steps.iter().try_fold(root.get(*index)?, |at, step| at.get(step))
    }

    /// Puts `value` into `root`, the value of [`ReferralPath::root`], making what is missing on the
    /// way. Only for a path into a list.
    pub(crate) fn set_inside(&self, root: &mut Json, value: Json) {
        let Some((index, steps)) = &self.inside else {
            *root = value;
            return;
        };
        if !root.is_array() {
            *root = Json::Array(Vec::new());
        }
        let Some(items) = root.as_array_mut() else { return };
        while items.len() <= *index {
            items.push(Json::Object(Map::new()));
        }
        let mut at = &mut items[*index];
        for step in steps {
            if !at.is_object() {
                *at = Json::Object(Map::new());
            }
            at = &mut at[step.as_str()];
        }
        *at = value;
    }
}

/// The path with list indexes taken out, as the knowledge table names it: `team.email`.
pub(crate) fn without_index(path: &str) -> String {
    let steps = path.split('.').filter(|step| !step.bytes().all(|byte| byte.is_ascii_digit()));
    steps.collect::<Vec<_>>().join(".")
}

/// The largest index a path may name: Partner Center allows 50 members and solutions.
pub(crate) const LARGEST_INDEX: usize = 49;
