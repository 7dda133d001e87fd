//! Deals, and everything they are looked up by.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::keys::{self, Key, Table};
use super::rows::Row;
use super::{Rows, Work, codec};
use crate::domain::deal::Deal;
use crate::domain::id::{AccountName, DealId, EngagementId, RecordKey, ReferralId};
use crate::domain::notice::Subject;
use crate::store::{DealKey, Lane, StoreError};

/// What a deal is looked up by. Reading only this of a stored deal costs a fraction of reading it whole.
#[derive(Debug, Deserialize)]
pub(crate) struct Names {
    id: DealId,
    pub(crate) account: AccountName,
    referral_id: Option<ReferralId>,
    engagement_id: Option<EngagementId>,
    microsoft_referral_id: Option<ReferralId>,
    links: Vec<Records>,
}

/// The records of one link.
#[derive(Debug, Deserialize)]
struct Records {
    record: RecordKey,
    lead: Option<RecordKey>,
}

impl Names {
    fn of(deal: &Deal) -> Self {
        let records = deal.links.iter();
        let records =
            records.map(|link| Records { record: link.record.clone(), lead: link.lead.clone() });
        Self {
            id: deal.id.clone(),
            account: deal.account.clone(),
            referral_id: deal.referral_id.clone(),
            engagement_id: deal.engagement_id.clone(),
            microsoft_referral_id: deal.microsoft_referral_id.clone(),
            links: records.collect(),
        }
    }

    /// Every subject that a notice about this deal may have.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        let referrals = self.referral_id.iter().chain(&self.microsoft_referral_id);
        let records =
            self.links.iter().flat_map(|link| [&link.record].into_iter().chain(&link.lead));
        std::iter::once(Subject::Deal(self.id.clone()))
            .chain(referrals.cloned().map(Subject::Referral))
            .chain(records.cloned().map(Subject::Record))
    }

    /// The keys of every index row of the deal.
    fn index_keys(&self) -> BTreeSet<Vec<u8>> {
        let of_subject = |subject| match subject {
            Subject::Referral(id) => Some(index_key(&self.account, &DealKey::Referral(id))),
            Subject::Record(key) => Some(index_key(&self.account, &DealKey::Record(key))),
            Subject::Deal(id) => Some(keys::account_deal(&self.account, id.as_str())),
            Subject::Unusable(_) => None,
        };
        let engagement = self.engagement_id.clone().map(DealKey::Engagement);
        let engagement = engagement.map(|key| index_key(&self.account, &key));
        self.subjects().filter_map(of_subject).chain(engagement).collect()
    }
}

/// Stores a deal in place of what was stored of it; subjects that move go to `touched`.
///
/// A record, referral or engagement that another deal held until now belongs to this one.
pub(crate) fn put(
    work: &mut Work<'_>,
    deal: &Deal,
    touched: &mut BTreeSet<Lane>,
) -> Result<(), StoreError> {
    let (old, new) = (names(work.rows(), &deal.id)?, Names::of(deal));
    let before = old.as_ref().map(Names::index_keys).unwrap_or_default();
    let after = new.index_keys();
    for key in before.difference(&after) {
        if work.load::<DealId>(key)?.as_ref() == Some(&deal.id) {
            work.remove(key.clone());
        }
    }
    let mut moved = before != after;
    for key in &after {
        let holder = work.load::<DealId>(key)?;
        if holder.as_ref() == Some(&deal.id) {
            continue;
        }
        moved = true;
        // The deal that loses it may now be free of a hold, or no longer wait.
        touched.extend(
            holder.map(|holder| Lane {
                account: deal.account.clone(),
                subject: Subject::Deal(holder),
            }),
        );
        work.put(key.clone(), &deal.id)?;
    }
    if moved {
        for names in old.iter().chain([&new]) {
            let lane = |subject| Lane { account: names.account.clone(), subject };
            touched.extend(names.subjects().map(lane));
        }
    }
    work.put(keys::deal(&deal.id), deal)
}

/// A row of an export; what it remembers of a deal is marked as old.
pub(crate) fn doubted((key, value): Row) -> Result<Row, StoreError> {
    if key.first() != Some(&(Table::Deal as u8)) {
        return Ok((key, value));
    }
    let mut deal: Deal = codec::decode(&value)?;
    deal.doubt();
    Ok((key, codec::encode(&deal)?))
}

/// One deal.
pub(crate) fn load(rows: &dyn Rows, id: &DealId) -> Result<Option<Deal>, StoreError> {
    rows.load(&keys::deal(id))
}

/// What one deal is looked up by.
pub(crate) fn names(rows: &dyn Rows, id: &DealId) -> Result<Option<Names>, StoreError> {
    rows.load(&keys::deal(id))
}

/// The deal that holds `key`.
pub(crate) fn find(
    rows: &dyn Rows,
    account: &AccountName,
    key: &DealKey,
) -> Result<Option<Deal>, StoreError> {
    match rows.load(&index_key(account, key))? {
        Some(id) => load(rows, &id),
        None => Ok(None),
    }
}

/// The id of the deal that a subject belongs to.
pub(crate) fn holder(
    rows: &dyn Rows,
    account: &AccountName,
    subject: &Subject,
) -> Result<Option<DealId>, StoreError> {
    let key = match subject {
        Subject::Deal(id) => keys::account_deal(account, id.as_str()),
        Subject::Referral(id) => index_key(account, &DealKey::Referral(id.clone())),
        Subject::Record(key) => index_key(account, &DealKey::Record(key.clone())),
        Subject::Unusable(_) => return Ok(None),
    };
    rows.load(&key)
}

/// The first `limit` deals after `after` by id, of one account or of all.
pub(crate) fn list(
    rows: &dyn Rows,
    account: Option<&AccountName>,
    after: Option<&DealId>,
    limit: usize,
) -> Result<Vec<Deal>, StoreError> {
    let prefix = match account {
        Some(account) => keys::account_deal(account, ""),
        None => Key::of(Table::Deal).bytes(),
    };
    let mut from = prefix.clone();
    if let Some(after) = after {
        from.extend_from_slice(after.as_str().as_bytes());
        from.push(0);
    }
    let found = rows.range(&from, &keys::end_of(&prefix), false).take(limit);
    if account.is_none() {
        return found.map(|row| codec::decode(&row?.1)).collect();
    }
    let deals = found.map(|row| load(rows, &codec::decode(&row?.1)?));
    deals.filter_map(Result::transpose).collect()
}

/// The key of one index row.
fn index_key(account: &AccountName, key: &DealKey) -> Vec<u8> {
    let index = Key::of(Table::DealIndex).text(account.as_str());
    match key {
        DealKey::Referral(id) => index.tail(&[1]).text(id.as_str()),
        DealKey::Record(record) => index
            .tail(&[2])
            .text(record.crm.as_str())
            .text(record.kind.as_str())
            .text(record.id.as_str()),
        DealKey::Engagement(id) => index.tail(&[3]).text(id.as_str()),
    }
    .bytes()
}
