//! A new mapping that keeps a value in another field of the record.

use std::collections::BTreeMap;

use super::attempt::ReadRecord;
use crate::domain::deal::Deal;
use crate::mapping::Mapping;
use crate::mapping::rule::Direction;

/// Forgets what both sides agreed on for values whose field is another one than before: an empty
/// field that a mapping has just named must not look like one that a seller emptied.
pub(super) fn heed(deal: &mut Deal, records: &[ReadRecord]) {
    for read in records {
        let Some(link) = deal.link_mut(read.record.key.crm) else { continue };
        let now = of(&read.mapping);
        let before = std::mem::replace(&mut link.columns, now);
        let now = &link.columns;
        link.base.retain(|field, _| match (before.get(field), now.get(field)) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        });
    }
}

/// The record's field of every value that travels both ways.
pub(super) fn of(mapping: &Mapping) -> BTreeMap<String, String> {
    let both = mapping.fields().iter().filter(|rule| rule.direction == Direction::Both);
    both.filter_map(|rule| Some((rule.name.clone(), rule.crm.clone()?))).collect()
}
