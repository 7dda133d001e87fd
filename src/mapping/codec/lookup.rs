//! Tables of pairs: the referral's word and the record's.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Fault, shown};

/// One `[lookup.NAME]` table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup {
    /// Its name.
    pub(crate) name: String,
    /// Referral word to record word.
    forth: HashMap<String, Json>,
    /// Record word to referral word.
    back: HashMap<String, Json>,
    /// Record words that several rows share and no `reverse` row settles.
    pub(crate) ambiguous: Vec<String>,
    /// Referral words that several rows have.
    pub(crate) repeated: Vec<String>,
    /// Pairs in the order of the file.
    pub(crate) pairs: Vec<(Json, Json)>,
    /// What becomes of a word that is in no row.
    pub(crate) on_unknown: OnUnknown,
}

/// What becomes of a word that is in no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnUnknown {
    /// The field is parked for a person.
    #[default]
    Refuse,
    /// The word goes over as it is.
    Pass,
    /// Nothing goes over.
    Empty,
}

impl Lookup {
    /// A table of `pairs`; `reverse` settles record words that several pairs share.
    pub(crate) fn new(
        name: &str,
        pairs: Vec<(Json, Json)>,
        reverse: &[(Json, Json)],
        on_unknown: OnUnknown,
    ) -> Self {
        let mut lookup = Self { name: name.to_owned(), on_unknown, ..Self::default() };
        for (record, referral) in reverse {
            lookup.back.insert(key(record), referral.clone());
        }
        for (referral, record) in &pairs {
            if lookup.forth.insert(key(referral), record.clone()).is_some() {
                lookup.repeated.push(shown(referral));
            }
            let settled = reverse.iter().any(|(back, _)| key(back) == key(record));
            if settled {
                continue;
            }
            if lookup.back.insert(key(record), referral.clone()).is_some() {
                lookup.ambiguous.push(shown(record));
            }
        }
        lookup.pairs = pairs;
        lookup
    }

    /// The record's word for the referral's.
    pub(crate) fn to_record(&self, word: &Json) -> Result<Json, Fault> {
        self.find(&self.forth, &self.back, word, "referral")
    }

    /// The referral's word for the record's.
    pub(crate) fn to_referral(&self, word: &Json) -> Result<Json, Fault> {
        self.find(&self.back, &self.forth, word, "record")
    }

    fn find(
        &self,
        words: &HashMap<String, Json>,
        others: &HashMap<String, Json>,
        word: &Json,
        side: &str,
    ) -> Result<Json, Fault> {
        if word.is_null() || word.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(Json::Null);
        }
        match (words.get(&key(word)), self.on_unknown) {
            (Some(found), _) => Ok(found.clone()),
            // A word that passes must not be taken for one of the table's words on its way back.
            (None, OnUnknown::Pass) if !others.contains_key(&key(word)) => Ok(word.clone()),
            (None, OnUnknown::Empty) => Ok(Json::Null),
            (None, OnUnknown::Refuse | OnUnknown::Pass) => Err(Fault::new(
                format!(
                    "the {side} holds {}, which is in no row of `lookup.{}`",
                    shown(word),
                    self.name
                ),
                format!("add a row for it to `[lookup.{}]` in the mapping file", self.name),
            )),
        }
    }
}

/// Words are compared by their text, so that `727000001` and `"727000001"` are one option.
fn key(word: &Json) -> String {
    match word {
        Json::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}
