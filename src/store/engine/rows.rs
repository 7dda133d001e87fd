//! Sorted rows of bytes, and one request's changes on top of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::keys;
use crate::store::{Lane, StoreError};

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Rows on their way, in the order asked for.
pub(crate) type RowIter<'a> = Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a>;

/// Changed keys; `None` for a removed one.
pub(crate) type Change = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The lanes that are being worked on. Never stored: after a restart nothing is claimed.
pub(crate) type Claims = BTreeSet<Lane>;

/// Rows, sorted by key.
pub(crate) trait Rows {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows with `from <= key < until`; from the last to the first if `backwards`.
    fn range(&self, from: &[u8], until: &[u8], backwards: bool) -> RowIter<'_>;
}

impl dyn Rows + '_ {
    /// The decoded value of `key`.
    pub(crate) fn load<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(key)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Rows whose key begins with `prefix`.
    pub(crate) fn under(&self, prefix: &[u8]) -> RowIter<'_> {
        self.range(prefix, &keys::end_of(prefix), false)
    }
}

/// Makes the decisions of a finished request about lanes.
pub(crate) fn apply_claims(claims: &mut Claims, claimed: Vec<(Lane, bool)>) {
    for (lane, taken) in claimed {
        if taken {
            claims.insert(lane);
        } else {
            claims.remove(&lane);
        }
    }
}

impl Rows for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get(key).cloned())
    }

    fn range(&self, from: &[u8], until: &[u8], backwards: bool) -> RowIter<'_> {
        let rows = between(self, from, until).map(|(key, value)| Ok((key.clone(), value.clone())));
        if backwards { Box::new(rows.rev()) } else { Box::new(rows) }
    }
}

/// The part of a sorted map with `from <= key < until`.
fn between<'a, V>(
    map: &'a BTreeMap<Vec<u8>, V>,
    from: &[u8],
    until: &[u8],
) -> std::collections::btree_map::Range<'a, Vec<u8>, V> {
    let until = if from <= until { until } else { from };
    map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(until)))
}

/// One request at work: the rows as they would be with its changes.
pub(crate) struct Work<'a> {
    base: &'a dyn Rows,
    claims: &'a Claims,
    /// What is to change in the rows.
    pub(crate) changes: Change,
    /// Lanes to be claimed (`true`) or set free, in this order.
    pub(crate) claimed: Vec<(Lane, bool)>,
}

impl<'a> Work<'a> {
    /// Begins on `base`, where `claims` are taken.
    pub(crate) fn new(base: &'a dyn Rows, claims: &'a Claims) -> Self {
        Self { base, claims, changes: Change::new(), claimed: Vec::new() }
    }

    /// Whether `lane`, named exactly so, is being worked on.
    pub(crate) fn is_claimed(&self, lane: &Lane) -> bool {
        let latest = self.claimed.iter().rev().find(|(other, _)| other == lane);
        latest.map_or_else(|| self.claims.contains(lane), |(_, taken)| *taken)
    }

    /// Stores `value` at `key`.
    pub(crate) fn put<T: Serialize + ?Sized>(
        &mut self,
        key: Vec<u8>,
        value: &T,
    ) -> Result<(), StoreError> {
        self.changes.insert(key, Some(codec::encode(value)?));
        Ok(())
    }

    /// Removes `key`.
    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// The decoded value of `key`.
    pub(crate) fn load<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.rows().load(key)
    }

    /// The rows with the changes so far.
    pub(crate) fn rows(&self) -> &dyn Rows {
        self
    }

    /// Ends the request: what is to change, counted, and which lanes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the count cannot be read.
    pub(crate) fn finish(mut self) -> Result<(Change, Vec<(Lane, bool)>), StoreError> {
        if !self.changes.is_empty() {
            self.next_number("sequence")?;
        }
        Ok((self.changes, self.claimed))
    }

    /// Gives out the next number of a series that begins at 1.
    pub(crate) fn next_number(&mut self, series: &str) -> Result<u64, StoreError> {
        let key = keys::meta(series);
        let number = self.load::<u64>(&key)?.unwrap_or(0) + 1;
        self.put(key, &number)?;
        Ok(number)
    }
}

impl Rows for Work<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.changes.get(key).map_or_else(|| self.base.get(key), |value| Ok(value.clone()))
    }

    fn range(&self, from: &[u8], until: &[u8], backwards: bool) -> RowIter<'_> {
        Box::new(overlaid(
            self.base.range(from, until, backwards),
            &self.changes,
            from,
            until,
            backwards,
        ))
    }
}

/// A changed key and its new value, if it has one.
type Changed<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

/// Rows of a base in which `changes` are made, in the same order.
pub(crate) fn overlaid<'a>(
    base: RowIter<'a>,
    changes: &'a Change,
    from: &[u8],
    until: &[u8],
    backwards: bool,
) -> impl Iterator<Item = Result<Row, StoreError>> + 'a {
    let changed = between(changes, from, until);
    let changed: Box<dyn Iterator<Item = Changed<'a>>> =
        if backwards { Box::new(changed.rev()) } else { Box::new(changed) };
    let (mut base, mut changed) = (base.peekable(), changed.peekable());
    std::iter::from_fn(move || {
        loop {
            let Some((key, _)) = changed.peek() else { return base.next() };
            match base.peek() {
                Some(Err(_)) => return base.next(),
                Some(Ok((other, _))) if other == *key => {
                    base.next();
                }
                Some(Ok((other, _))) if (other < *key) != backwards => return base.next(),
                _ => {}
            }
            if let Some((key, Some(value))) = changed.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Change, Claims, Rows, Work};
    use std::collections::BTreeMap;

    /// Every way one key can stand in the base and in the changes, read both ways round.
    #[test]
    fn changes_are_read_as_if_they_were_made() {
        let row = |key: u8, value: u8| (vec![key], vec![value]);
        let base: BTreeMap<_, _> = [row(1, 10), row(2, 20), row(4, 40), row(9, 90)].into();
        let claims = Claims::new();
        let mut work = Work::new(&base, &claims);
        work.changes = Change::from([
            (vec![0], Some(vec![1])),
            (vec![2], Some(vec![21])),
            (vec![3], None),
            (vec![4], None),
            (vec![5], Some(vec![50])),
            (vec![9], Some(vec![91])),
        ]);
        let read = |backwards| -> Vec<_> {
            work.range(&[1], &[9], backwards).collect::<Result<_, _>>().expect("no error in memory")
        };
        let expected = vec![row(1, 10), row(2, 21), row(5, 50)];
        assert_eq!(read(false), expected);
        assert_eq!(read(true), expected.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(work.range(&[5], &[1], false).count(), 0, "an empty range");
    }
}
