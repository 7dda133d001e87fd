//! Steps that convert a value between its two ends, and back.
//!
//! A value starts as JSON on one side, becomes canonical, and ends as JSON on the other. A step works
//! on one of the two ends: `lookup` and `split` on the record's, `date` and `html_text` on the
//! referral's. Each is its own inverse unless [`Step::loses`] says what it loses.

pub(crate) mod convert;
pub(crate) mod currency;
mod html;
mod list;
mod lookup;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

pub(crate) use list::ListShape;
pub(crate) use lookup::{Lookup, OnUnknown};
pub(crate) use number::{decimal_of, json_of};
pub(crate) use parse::parse_step;
pub(crate) use text::cut;

/// One step of a row's `codec`.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The referral holds an instant, the record a date; the date is the one in this zone.
    Date(Zone),
    /// Surrounding white space goes; canonical text never has any, so this only says it aloud.
    Trim,
    /// Upper case on both sides, for codes such as a currency or a country.
    Upper,
    /// Line breaks and runs of white space are one space on both sides.
    OneLine,
    /// The referral's words and the record's, by table.
    Lookup(Arc<Lookup>),
    /// A list in the referral is one text in the record, joined by this separator.
    Split(char),
    /// A longer text is cut at whole words where it is written.
    Max(usize),
    /// A longer text is refused where it is written.
    Limit(usize),
    /// HTML entities of the referral become the characters they stand for.
    HtmlText,
}

/// A time zone by name; `None` is UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) Option<String>);

impl Step {
    /// The name of a step that changes or measures text, which values of other types have none of.
    pub(crate) fn for_text(&self) -> Option<&'static str> {
        match self {
            Self::Trim => Some("trim"),
            Self::Upper => Some("upper"),
            Self::OneLine => Some("one_line"),
            Self::Max(_) => Some("max"),
            Self::Limit(_) => Some("limit"),
            Self::HtmlText => Some("html_text"),
            Self::Date(_) | Self::Lookup(_) | Self::Split(_) => None,
        }
    }

    /// What the step loses on the way to the record and back; `None` if nothing.
    pub(crate) fn loses(&self) -> Option<&'static str> {
        match self {
            Self::Max(_) => Some("what is cut off does not come back"),
            Self::HtmlText => Some("entities do not come back as entities"),
            Self::Lookup(lookup) if lookup.on_unknown == OnUnknown::Empty => {
                Some("a word that is in no row of the lookup becomes nothing")
            }
            Self::Date(_)
            | Self::Trim
            | Self::Upper
            | Self::OneLine
            | Self::Lookup(_)
            | Self::Split(_)
            | Self::Limit(_) => None,
        }
    }
}

/// Why a value could not be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong, with the value.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) fix: String,
}

impl Fault {
    /// A fault with its remedy.
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }
}

/// A value as it is shown in a fault: short, on one line.
pub(crate) fn shown(json: &serde_json::Value) -> String {
    let text = json.to_string();
    if text.chars().count() <= 60 {
        return text;
    }
    let start: String = text.chars().take(57).collect();
    format!("{start}...")
}
