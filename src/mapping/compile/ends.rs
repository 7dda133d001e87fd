//! The two ends of a row, and what formulas read in their place.

use super::Ground;
use crate::mapping::formula::Formula;
use crate::mapping::knowledge::{
    self, Holds, Known, ReferralField, is_name, referral_field, referral_names,
};
use crate::mapping::path::{LARGEST_INDEX, ReferralPath, without_index};
use crate::mapping::problem::{Findings, Place, Spot};

/// Compiles a formula; `reads` is the variable it is about, empty for either but not both.
pub(super) fn formula(
    spot: Option<&Spot<String>>,
    reads: &str,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<Formula> {
    let spot = spot?;
    let formula = match Formula::compile(&spot.value) {
        Ok(formula) => formula,
        Err(problems) => {
            for (message, suggestion) in problems {
                match suggestion {
                    Some(suggestion) => findings.add_with(&spot.place, message, suggestion),
                    None => findings.add(&spot.place, message),
                }
            }
            return None;
        }
    };
    let other = if reads == "referral" { "record" } else { "referral" };
    if !reads.is_empty() && formula.reads(other) {
        let message = format!("this formula may read `{reads}` only, not `{other}`");
        findings.add(&spot.place, message);
    }
    if reads.is_empty() && formula.reads("referral") && formula.reads("record") {
        findings.add(&spot.place, "a condition may read `referral` or `record`, not both");
    }
    for path in formula.paths() {
        check_path(path, &spot.place, ground, findings);
    }
    Some(formula)
}

/// Notes a path that neither side has.
fn check_path(path: &str, place: &Place, ground: &Ground<'_>, findings: &mut Findings) {
    if let Some(referral) = path.strip_prefix("referral.") {
        let plain = without_index(referral);
        let inside = |field: &str| {
            field == plain
                || field.strip_prefix(plain.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        if referral_field(&plain).is_none() && !referral_names().any(inside) {
            let message = format!("a referral has no `{plain}`");
            findings.unknown(place, message, &plain, referral_names());
        }
    } else if let Some(record) = path.strip_prefix("record.")
        && matches!(knowledge::record_field(ground.crm, ground.kind, record), Known::Unknown)
    {
        unknown_field(record, place, ground, findings);
    }
}

/// The referral's field at the `referral` end of a row.
pub(super) fn referral_end(spot: &Spot<String>, findings: &mut Findings) -> Option<ReferralField> {
    let path = ReferralPath::parse(&spot.value);
    if path.inside.as_ref().is_some_and(|(index, _)| *index > LARGEST_INDEX) {
        findings.add(&spot.place, format!("a list has at most {} items", LARGEST_INDEX + 1));
    }
    let plain = without_index(&spot.value);
    let field = referral_field(&plain);
    let in_list = field.is_some() && !referral_names().any(|name| name == plain);
    if in_list && path.inside.is_none() {
        let list = plain.rsplit_once('.').map_or("", |(list, _)| list);
        let member = plain.rsplit_once('.').map_or("", |(_, member)| member);
        let message = format!("`{list}` is a list: say which item");
        findings.add_with(&spot.place, message, format!("write `{list}.0.{member}`"));
        return None;
    }
    if field.is_none() {
        let message = format!("a referral has no `{}`", spot.value);
        findings.unknown(&spot.place, message, &plain, referral_names());
    }
    field
}

/// The record's field at the `crm` end of a row.
pub(super) fn record_end(
    spot: &Spot<String>,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<Known> {
    if !spot.value.split('.').all(is_name) {
        let message = format!("`{}` is not the API name of a field", spot.value);
        findings.add_with(&spot.place, message, "use letters, digits and underscores");
        return None;
    }
    match knowledge::record_field(ground.crm, ground.kind, &spot.value) {
        Known::Unknown => {
            unknown_field(&spot.value, &spot.place, ground, findings);
            None
        }
        known => Some(known),
    }
}

/// Notes a field that the record does not have.
pub(super) fn unknown_field(
    field: &str,
    place: &Place,
    ground: &Ground<'_>,
    findings: &mut Findings,
) {
    let names = knowledge::field_names(ground.crm, ground.kind);
    let kind = ground.kind.as_str();
    let message = format!("{} has no standard field `{field}` on {kind}", ground.crm.title());
    findings.unknown(place, message, field, names.iter().map(String::as_str));
}

/// What a known record field holds.
pub(super) fn held(known: Option<Known>) -> Option<Holds> {
    match known {
        Some(Known::Standard(column) | Known::Related { column, .. }) => Some(column.holds),
        _ => None,
    }
}

/// The type to write for a field that holds this.
pub(super) fn suggested(holds: Holds) -> Option<&'static str> {
    Some(match holds {
        Holds::Text => "text",
        Holds::Money => "money",
        Holds::Decimal => "decimal",
        Holds::Integer => "integer",
        Holds::Boolean => "boolean",
        Holds::Date | Holds::Instant => "date",
        Holds::Option => "option",
        Holds::List => "list",
        Holds::Lookup => return None,
    })
}
