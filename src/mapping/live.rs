//! Rows against what a CRM tells of its own fields: their types, lengths and values.

use serde_json::Value as Json;

use super::codec::Step;
use super::compiled::{Mapping, Row, code};
use super::knowledge::Holds;
use super::problem::nearest;
use super::rule::{FieldKind, FieldRule, StageRule};

/// Most values that are named where none is like the one that is missing.
const MOST_VALUES: usize = 6;

/// What a CRM tells of one field.
#[derive(Debug, Clone, Copy)]
pub struct LiveField<'s> {
    /// The seam's word for its type; an unknown one is not compared.
    pub kind: &'s str,
    /// Longest text in characters, where it is told.
    pub max_length: Option<u32>,
    /// Values that can be chosen, as `(code, label)`; empty where they are not told.
    pub options: &'s [(String, String)],
}

/// Something in a mapping file that the CRM's own field does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What, as a sentence that begins with the place in the mapping file.
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// Whether a value that is written can be refused because of it.
    pub serious: bool,
}

impl Mapping {
    /// What in the mapping does not fit the live fields, in the order of the file. Of a field that
    /// `find` does not know nothing is said.
    pub fn mismatches<'s>(&self, find: impl Fn(&str) -> Option<LiveField<'s>>) -> Vec<Mismatch> {
        let mut found = Vec::new();
        for (rule, row) in self.rules.iter().zip(&self.rows) {
            let Some(name) = rule.crm.as_deref() else { continue };
            let Some(live) = find(name) else { continue };
            found.extend(of_type(rule, row, name, live));
            found.extend(of_length(rule, row, name, live));
            found.extend(of_words(rule, row, name, live));
        }
        for rule in &self.stages {
            let fields = rule.when.iter().map(|(name, value)| (name, value, false));
            let written = rule.write.iter().map(|(name, value)| (name, value, true));
            for (name, value, written) in fields.chain(written) {
                let Some(live) = find(name) else { continue };
                found.extend(of_stage(rule, name, value, written, live));
            }
        }
        found
    }

    /// The longest text in characters that rows let through to a field of the record; `None` where
    /// no row says.
    #[must_use]
    pub fn longest(&self, field: &str) -> Option<usize> {
        let rows = self.rules.iter().zip(&self.rows);
        let own =
            rows.filter(|(rule, _)| rule.crm.as_deref() == Some(field) && rule.direction.to_crm());
        own.filter_map(|(_, row)| limit(row)).map(|(_, length)| length).max()
    }
}

/// The step that keeps texts short, and how long they may be.
fn limit(row: &Row) -> Option<(&'static str, usize)> {
    row.converter.steps.iter().find_map(|step| match step {
        Step::Max(length) => Some(("max", *length)),
        Step::Limit(length) => Some(("limit", *length)),
        _ => None,
    })
}

/// What a field of a live type holds; `None` for types that rows are not compared with.
fn held(kind: &str) -> Option<Holds> {
    Some(match kind {
        "text" | "long_text" | "url" => Holds::Text,
        "money" => Holds::Money,
        "decimal" => Holds::Decimal,
        "integer" => Holds::Integer,
        "boolean" => Holds::Boolean,
        "date" => Holds::Date,
        "instant" => Holds::Instant,
        "option" => Holds::Option,
        "lookup" => Holds::Lookup,
        _ => return None,
    })
}

fn words(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Money => "money",
        FieldKind::Decimal => "decimal",
        FieldKind::Integer => "integer",
        FieldKind::Boolean => "boolean",
        FieldKind::Date => "date",
        FieldKind::Instant => "instant",
        FieldKind::Option => "option",
        FieldKind::List => "list",
    }
}

/// Whether values of the row can go where they go. What is only read as text can be anything, and a
/// date can be read of an instant.
fn fits(rule: &FieldRule, row: &Row, holds: Holds) -> bool {
    let has = |wanted: fn(&Step) -> bool| row.converter.steps.iter().any(wanted);
    let reads = !rule.direction.to_crm();
    match (rule.kind, holds) {
        (FieldKind::Text, _) | (_, Holds::Lookup) if reads => true,
        (FieldKind::Date, Holds::Instant) => reads && has(|step| matches!(step, Step::Date(_))),
        (FieldKind::List, Holds::Text | Holds::Option) => {
            has(|step| matches!(step, Step::Split(_)))
        }
        // Salesforce has whole numbers only as numbers without digits after the point.
        (FieldKind::Integer, Holds::Decimal | Holds::Money)
        | (FieldKind::Option, Holds::Integer) => true,
        // The words of a table are of their own type.
        (_, Holds::Lookup) => false,
        (kind, holds) => has(|step| matches!(step, Step::Lookup(_))) || holds.fits(kind),
    }
}

fn of_type(rule: &FieldRule, row: &Row, name: &str, live: LiveField<'_>) -> Option<Mismatch> {
    let holds = held(live.kind).filter(|holds| !fits(rule, row, *holds))?;
    let (place, kind) = (&rule.place, words(rule.kind));
    Some(Mismatch {
        what: format!(
            "{place}: {name} holds {}, which a row of type {kind} does not fit.",
            holds.words()
        ),
        fix: match holds {
            Holds::Lookup => "Name a field of the row that it points to, or use [[related]].",
            _ => "Give the row another `type`, or another field of the CRM.",
        }
        .to_owned(),
        serious: true,
    })
}

fn of_length(rule: &FieldRule, row: &Row, name: &str, live: LiveField<'_>) -> Option<Mismatch> {
    let told = live.max_length.filter(|_| held(live.kind) == Some(Holds::Text));
    let longest = usize::try_from(told?).ok().filter(|_| rule.direction.to_crm())?;
    let (step, length) = limit(row).filter(|(_, length)| *length > longest)?;
    Some(Mismatch {
        what: format!(
            "{}: {name} holds {longest} characters, and the row lets {length} through.",
            rule.place
        ),
        fix: format!("Write `{step}:{longest}`, or make the field longer in the CRM."),
        serious: true,
    })
}

fn of_words(rule: &FieldRule, row: &Row, name: &str, live: LiveField<'_>) -> Vec<Mismatch> {
    let tables = row.converter.steps.iter().filter_map(|step| match step {
        Step::Lookup(lookup) => Some(lookup),
        _ => None,
    });
    let mut found: Vec<Mismatch> = Vec::new();
    for table in tables {
        let lacking = table.pairs.iter().filter(|(_, word)| is_lacking(word, live));
        for (_, word) in lacking {
            let one = Mismatch {
                what: format!(
                    "{}: {name} has no value {word}, which `lookup.{}` names.",
                    rule.place, table.name
                ),
                fix: way_out(word, live),
                serious: rule.direction.to_crm(),
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

fn of_stage(
    rule: &StageRule,
    name: &str,
    value: &Json,
    written: bool,
    live: LiveField<'_>,
) -> Vec<Mismatch> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let key = if written { "write" } else { "when" };
    let lacking = values.iter().filter(|word| is_lacking(word, live));
    lacking
        .map(|word| Mismatch {
            what: format!(
                "{}: {name} has no value {word}, which `{key}` of this stage names.",
                rule.place
            ),
            fix: way_out(word, live),
            serious: written,
        })
        .collect()
}

/// Whether a value cannot be chosen. Of a field whose values are not told nothing is known.
fn is_lacking(word: &Json, live: LiveField<'_>) -> bool {
    let named = word.is_number() || word.as_str().is_some_and(|text| !text.trim().is_empty());
    let word = code(word);
    named
        && held(live.kind) == Some(Holds::Option)
        && !live.options.is_empty()
        && !live.options.iter().any(|(code, _)| *code == word)
}

/// The value that may be meant, or those that there are.
fn way_out(word: &Json, live: LiveField<'_>) -> String {
    let shown = |(code, label): &(String, String)| match code == label || label.is_empty() {
        true => format!("`{code}`"),
        false => format!("`{code}` ({label})"),
    };
    let word = code(word);
    let names = live.options.iter().flat_map(|(code, label)| [code.as_str(), label.as_str()]);
    let near = nearest(&word, names.filter(|name| !name.is_empty()));
    let near = near.and_then(|near| {
        live.options.iter().find(|(code, label)| code.as_str() == near || label.as_str() == near)
    });
    let known = match near {
        Some(option) => format!("did you mean {}?", shown(option)),
        None => {
            let mut known: Vec<String> = live.options.iter().take(MOST_VALUES).map(shown).collect();
            if live.options.len() > MOST_VALUES {
                known.push("...".to_owned());
            }
            format!("it has {}.", known.join(", "))
        }
    };
    format!("Correct the mapping file, or add the value in the CRM; {known}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{LiveField, Mapping};
    use crate::mapping::MappingFolder;

    const FILE: &str = r#"
extends = "salesforce-opportunity.toml"

[lookup.size]
rows = [["small", "Small"], ["middle", "Medium sized"], ["large", 3]]

[[field]]
referral = "customerProfile.size"
crm = "Size__c"
type = "text"
codec = ["lookup:size"]
direction = "to_crm"

[[field]]
referral = "campaignId"
crm = "Campaign__c"
type = "text"
codec = ["max:100"]
direction = "to_crm"
"#;

    fn mapping() -> Mapping {
        let texts = BTreeMap::from([("contoso.toml".to_owned(), FILE.to_owned())]);
        let compiled = MappingFolder::of("here", &texts).compile();
        compiled.unwrap_or_else(|problems| panic!("{problems}")).remove(0)
    }

    /// What is said with one live field.
    fn said(name: &str, live: LiveField<'_>) -> Vec<(String, bool)> {
        let found = mapping().mismatches(|wanted| (wanted == name).then_some(live));
        found.into_iter().map(|one| (format!("{} {}", one.what, one.fix), one.serious)).collect()
    }

    fn options(codes: &[&str]) -> Vec<(String, String)> {
        codes.iter().map(|code| ((*code).to_owned(), (*code).to_owned())).collect()
    }

    #[test]
    fn types_and_lengths_are_compared_where_they_are_told() {
        let table = [
            (
                "Campaign__c",
                "text",
                Some(40),
                "holds 40 characters, and the row lets 100 through",
                "cut too late",
            ),
            ("Campaign__c", "text", Some(100), "", "just as long"),
            ("Campaign__c", "text", None, "", "no length is told"),
            (
                "Campaign__c",
                "decimal",
                Some(18),
                "holds a number, which a row of type text",
                "text for a number",
            ),
            (
                "Campaign__c",
                "lookup",
                None,
                "holds a lookup, which a row of type text",
                "text for a pointer",
            ),
            ("Campaign__c", "other", Some(3), "", "a type that nothing is known of"),
            ("Campaign__c", "option", Some(3), "", "an option is as long as its code"),
            (
                "Amount",
                "text",
                Some(255),
                "holds text, which a row of type money",
                "an amount for text",
            ),
            ("Amount", "money", None, "", "an amount"),
            (
                "CloseDate",
                "instant",
                None,
                "holds an instant, which a row of type date",
                "a date is written",
            ),
            ("CloseDate", "date", None, "", "a date"),
            ("Size__c", "integer", None, "", "the words of a table are of any type"),
        ];
        for (name, kind, max_length, expected, why) in table {
            let said = said(name, LiveField { kind, max_length, options: &[] });
            match expected {
                "" => assert!(said.is_empty(), "{why}: {said:?}"),
                expected => {
                    assert!(!said.is_empty(), "{why}");
                    for (words, serious) in said {
                        assert!(words.contains(&format!("{name} {expected}")), "{why}: {words}");
                        assert!(words.contains(".toml:") && serious, "{why}: {words}");
                    }
                }
            }
        }
    }

    #[test]
    fn words_of_tables_and_stages_that_no_one_can_choose_are_named() {
        let known = options(&["Small", "Medium", "3"]);
        let live = LiveField { kind: "option", max_length: Some(255), options: &known };
        let size = said("Size__c", live);
        assert_eq!(size.len(), 1, "one word of three: {size:?}");
        for part in ["contoso.toml:7: ", "Size__c has no value \"Medium sized\"", "`lookup.size`"] {
            assert!(size[0].0.contains(part), "{part}: {size:?}");
        }
        assert!(size[0].0.ends_with("did you mean `Medium`?") && size[0].1, "{size:?}");
        let untold = LiveField { options: &[], ..live };
        assert!(said("Size__c", untold).is_empty(), "no value is told");

        let known = options(&["Qualification", "Closed Won", "Closed-Lost", "Negotiation"]);
        let stages = said("StageName", LiveField { options: &known, ..live });
        let of = |key: &str| {
            let named = stages.iter().filter(|(words, _)| words.contains(&format!("`{key}`")));
            named.cloned().collect::<Vec<_>>()
        };
        let (when, write) = (of("when"), of("write"));
        assert_eq!(when.len(), 1, "Prospecting is looked for: {stages:?}");
        assert!(!when[0].1, "which nothing is refused for");
        assert!(write.iter().all(|(_, serious)| *serious), "{write:?}");
        let lost = write.iter().find(|(words, _)| words.contains("\"Closed Lost\""));
        let lost = &lost.expect("a stage that cannot be written").0;
        assert!(lost.contains("salesforce-opportunity.toml:"), "{lost}");
        assert!(lost.ends_with("did you mean `Closed-Lost`?"), "{lost}");
    }
}
