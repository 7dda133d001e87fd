//! A new mapping that keeps a value in another field of the record.

use std::collections::BTreeMap;

use super::attempt::ReadRecord;
use crate::domain::deal::{Deal, Link};
use crate::domain::record::Fields;
use crate::mapping::Mapping;

/// Heeds the mapping of every record that was read: see [`heed`].
pub(super) fn heed_all(deal: &mut Deal, records: &[ReadRecord]) {
    for read in records {
        if let Some(link) = deal.link_mut(read.record.key.crm) {
            heed(link, &read.record.fields, &read.mapping);
        }
    }
}

/// Puts aside what both sides agreed on for values whose field is another one than before: an empty
/// field that a mapping has just named must not look like one that a seller emptied, nor one that has
/// already been given the referral's value. So it is for values that travel one way, too.
///
/// Where a value comes back to a field that holds just what it held when it was left, nobody has
/// written there: what was agreed on then goes on.
pub(super) fn heed(link: &mut Link, record: &Fields, mapping: &Mapping) {
    let held = mapping.read_record(record).values;
    for (field, column) in of(mapping) {
        let before = link.columns.insert(field.clone(), column.clone());
        let Some(left) = before.filter(|before| *before != column) else { continue };
        let former = link.former.entry(field.clone()).or_default();
        if let Some(agreed) = link.base.remove(&field) {
            former.insert(left, agreed);
        }
        let again = former.remove(&column);
        let untouched =
            again.filter(|agreed| held.get(&field).is_some_and(|now| agreed.record.is(now)));
        link.base.extend(untouched.map(|agreed| (field, agreed)));
    }
    link.former.retain(|_, columns| !columns.is_empty());
}

/// Whether a mapping keeps a value of a link in another field than it was kept in last.
pub(super) fn have_moved(link: &Link, mapping: &Mapping) -> bool {
    !link.columns.is_empty()
        && of(mapping).iter().any(|(field, column)| link.columns.get(field) != Some(column))
}

/// The record's field of every value: of two rows with one name, that of the row it is read by.
pub(super) fn of(mapping: &Mapping) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for rule in mapping.fields() {
        all.entry(rule.name.clone()).or_insert_with(|| rule.crm.clone());
    }
    all.into_iter().filter_map(|(name, column)| Some((name, column?))).collect()
}

/// Those of `values` that a mapping keeps where they were kept when they were written to `columns`.
pub(super) fn unmoved<'v, V>(
    values: impl IntoIterator<Item = (&'v String, V)>,
    columns: &BTreeMap<String, String>,
    mapping: &Mapping,
) -> impl Iterator<Item = (&'v String, V)> {
    let now = of(mapping);
    values.into_iter().filter(move |(field, _)| {
        columns.get(*field).is_none_or(|was| now.get(*field).is_none_or(|now| now == was))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::{heed, of};
    use crate::domain::deal::Link;
    use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
    use crate::domain::record::{Fields, Record, Version};
    use crate::domain::time::Timestamp;
    use crate::domain::value::Value;
    use crate::mapping::Mapping;
    use crate::mapping::MappingFolder;
    use crate::merge::field::{Sides, Stamps, Verdict, agree, decide};
    use crate::sync::attempt::link;

    /// The shipped mapping with a value that only arrives and one that is only sent, in `columns`.
    fn mapping(columns: [&str; 2]) -> Mapping {
        let row = |referral: &str, column: &str, direction: &str| {
            format!(
                "[[field]]\nreferral = \"{referral}\"\ncrm = \"{column}\"\ntype = \"text\"\n\
                 direction = \"{direction}\"\n"
            )
        };
        let head = "extends = \"dynamics365-opportunity.toml\"\ncrm = \"dynamics365\"\n\
                    record = \"opportunity\"\n";
        let text = format!(
            "{head}{}{}",
            row("campaignId", columns[0], "to_crm"),
            row("salesStage", columns[1], "to_partner_center")
        );
        let files = BTreeMap::from([("own.toml".to_owned(), text)]);
        let all = MappingFolder::of("own", &files).compile().expect("a good mapping");
        all.into_iter().next().expect("one mapping")
    }

    fn fields(json: serde_json::Value) -> Fields {
        json.as_object().expect("an object").clone()
    }

    /// What happens to a field whose referral and record hold these.
    fn verdict(
        link: &Link,
        mapping: &Mapping,
        name: &str,
        there: &Value,
        held: &Fields,
    ) -> Verdict {
        let here = &mapping.read_record(held).values[name];
        let rule = mapping.fields().iter().find(|rule| rule.name == name).expect("a row");
        let base = link.base.get(name);
        let sides = Sides { rule, base, referral: there, record: here, cut: false };
        let at = Timestamp::from_millis(0);
        let margin = Duration::ZERO;
        let stamps = Stamps { referral: None, record: at, margin, ended: false };
        decide(&[sides], stamps).remove(0)
    }

    #[test]
    fn a_one_way_row_that_moves_to_another_field_begins_anew_there() {
        let (first, second) = (mapping(["new_a", "new_b"]), mapping(["new_c", "new_d"]));
        let begun = fields(json!({ "new_a": "C-2026", "new_b": "Proposal" }));
        let key = RecordKey {
            crm: CrmName::Dynamics365,
            kind: RecordKind::Opportunity,
            id: RecordId::new("r-1"),
        };
        let (version, modified) = (Version("1".to_owned()), Timestamp::from_millis(0));
        let mut link = link(&Record { key, version, modified, fields: begun.clone() });
        link.columns = of(&first);
        let agreed = [("campaignId", "C-2026"), ("salesStage", "Proposal")];
        for (name, held) in agreed.map(|(name, held)| (name, Value::text(held))) {
            agree(&mut link.base, name, &held, &held);
        }
        let told = |link: &Link, mapping: &Mapping, held: &Fields| {
            agreed.map(|(name, there)| verdict(link, mapping, name, &Value::text(there), held))
        };
        heed(&mut link, &begun, &second);
        let expected = [Verdict::ToCrm, Verdict::Still];
        assert_eq!(told(&link, &second, &begun), expected, "filled; nobody emptied it");
        let typed = fields(json!({ "new_c": "C-2026", "new_d": "Closing" }));
        let expected = [Verdict::Agreed, Verdict::ToPartnerCenter];
        assert_eq!(told(&link, &second, &typed), expected, "what is there is sent");
        heed(&mut link, &begun, &first);
        let expected = [Verdict::Still, Verdict::Still];
        assert_eq!(told(&link, &first, &begun), expected, "back, and nobody wrote there");
    }
}
