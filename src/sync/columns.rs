//! A new mapping that keeps a value in another field of the record.

use std::collections::BTreeMap;

use super::attempt::ReadRecord;
use crate::domain::deal::{Deal, Link};
use crate::domain::record::Fields;
use crate::mapping::Mapping;
use crate::mapping::rule::Direction;

/// Heeds the mapping of every record that was read: see [`heed`].
pub(super) fn heed_all(deal: &mut Deal, records: &[ReadRecord]) {
    for read in records {
        if let Some(link) = deal.link_mut(read.record.key.crm) {
            heed(link, &read.record.fields, &read.mapping);
        }
    }
}

/// Puts aside what both sides agreed on for values whose field is another one than before: an empty
/// field that a mapping has just named must not look like one that a seller emptied.
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

/// The record's field of every value that travels both ways.
pub(super) fn of(mapping: &Mapping) -> BTreeMap<String, String> {
    let both = mapping.fields().iter().filter(|rule| rule.direction == Direction::Both);
    both.filter_map(|rule| Some((rule.name.clone(), rule.crm.clone()?))).collect()
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
