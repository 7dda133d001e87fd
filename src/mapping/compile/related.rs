//! The `[[related]]` rows.

use super::Ground;
use crate::mapping::file::RelatedRow;
use crate::mapping::knowledge::{
    Holds, Known, is_custom, record_field, referral_field, referral_names, standard, table_columns,
    tables,
};
use crate::mapping::path::without_index;
use crate::mapping::problem::{Findings, Place, Spot};
use crate::mapping::rule::{Match, RelatedRule};

/// Compiles the rows, in their order.
pub(super) fn compile(
    rows: &[RelatedRow],
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Vec<RelatedRule> {
    let mut rules: Vec<RelatedRule> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        rules.extend(one(row, &names, ground, findings));
        names.extend(row.name.as_ref().map(|name| name.value.clone()));
    }
    rules
}

fn one(
    row: &RelatedRow,
    earlier: &[String],
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<RelatedRule> {
    let name = needed(row.name.as_ref(), "name", &row.place, findings)?;
    let table = needed(row.table.as_ref(), "table", &row.place, findings)?;
    if !tables(ground.crm).contains(&table.value.as_str()) {
        let message = format!("`{}` is not a table that can be looked up", table.value);
        findings.unknown(&table.place, message, &table.value, tables(ground.crm).iter().copied());
        return None;
    }
    if row.fields.is_empty() {
        findings.add(&row.place, "`fields` is missing: the lookups that are to point to the row");
    }
    for field in &row.fields {
        match record_field(ground.crm, ground.kind, &field.value) {
            Known::Custom => {}
            Known::Standard(column) if column.holds == Holds::Lookup && column.create => {}
            _ => findings.add(&field.place, format!("`{}` is not a lookup field", field.value)),
        }
    }
    let mut create = Vec::new();
    for (column, path) in &row.create {
        check_column(column, &table.value, ground, findings);
        let text = path.value.as_str().unwrap_or_default();
        if referral_field(&without_index(text)).is_none() {
            let message = format!("a referral has no `{text}`");
            findings.unknown(&path.place, message, text, referral_names());
        }
        create.push((column.value.clone(), text.to_owned()));
    }
    let mut create_links = Vec::new();
    for (column, target) in &row.create_links {
        let target_name = target.value.as_str().unwrap_or_default();
        if !earlier.iter().any(|name| name == target_name) {
            let message = format!("there is no earlier [[related]] row named `{target_name}`");
            let names = earlier.iter().map(String::as_str);
            findings.unknown(&target.place, message, target_name, names);
        }
        check_column(column, &table.value, ground, findings);
        create_links.push((column.value.clone(), target_name.to_owned()));
    }
    let by = by(row, &create, findings)?;
    Some(RelatedRule {
        name: name.value.clone(),
        fields: row.fields.iter().map(|field| field.value.clone()).collect(),
        table: table.value.clone(),
        by,
        create,
        create_links,
    })
}

fn needed<'s>(
    spot: Option<&'s Spot<String>>,
    key: &str,
    place: &Place,
    findings: &mut Findings,
) -> Option<&'s Spot<String>> {
    if spot.is_none() {
        findings.add(place, format!("`{key}` is missing in the [[related]] row"));
    }
    spot
}

fn check_column(column: &Spot<String>, table: &str, ground: &Ground<'_>, findings: &mut Findings) {
    let columns = table_columns(ground.crm, table);
    if standard(columns, &column.value).is_none() && !is_custom(ground.crm, &column.value) {
        let message = format!("`{table}` has no standard field `{}`", column.value);
        let names = columns.iter().map(|column| column.name);
        findings.unknown(&column.place, message, &column.value, names);
    }
}

/// The columns of `by` with the referral paths that `create` gives them.
fn by(row: &RelatedRow, create: &[(String, String)], findings: &mut Findings) -> Option<Match> {
    let mut pairs = Vec::new();
    for column in &row.by {
        match create.iter().find(|(name, _)| *name == column.value) {
            Some(pair) => pairs.push(pair.clone()),
            None => {
                let message =
                    format!("`by` names `{}`, which `create` does not fill", column.value);
                let names = create.iter().map(|(name, _)| name.as_str());
                findings.unknown(&column.place, message, &column.value, names);
                return None;
            }
        }
    }
    match pairs.as_slice() {
        [field] => Some(Match::Equal { field: field.clone() }),
        [name, postal_code] => {
            Some(Match::NameAndPostalCode { name: name.clone(), postal_code: postal_code.clone() })
        }
        _ => {
            let way = "write by = [\"name\", \"postal code\"] or by = [\"e-mail\"]";
            findings.add_with(&row.place, "`by` needs one or two columns", way);
            None
        }
    }
}
