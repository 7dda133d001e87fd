//! Ties a deal to another record because an administrator says so: what can be seen at once is
//! refused at once, the rest is done in the lane of the deal.

use super::alert;
use super::parts::Parts;
use super::slot::outside;
use crate::admin::operations::OperationError;
use crate::connect::error::ConnectError;
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::deal::Deal;
use crate::domain::id::RecordKey;
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::store::DealKey;
use crate::sync::account::Account;
use crate::sync::relink;

/// Queues it.
pub(super) async fn ask(
    parts: &Parts,
    account: &Account,
    deal: &Deal,
    record: &RecordKey,
    who: &str,
) -> Result<(), OperationError> {
    guard(parts, account, deal, record).await?;
    let now = parts.around.clock.now();
    let notice = NewNotice {
        account: account.name.clone(),
        source: Source::Operator,
        subject: Subject::Deal(deal.id.clone()),
        event: relink::event(record),
        dedupe: None,
        due: now,
    };
    let summary = format!("Asked to tie the deal to {record}.");
    let entry = NewEntry {
        deal: Some(deal.id.clone()),
        ..alert::entry(parts, &account.name, AuditKind::Operated, who, summary)
    };
    parts.around.store.enqueue(vec![notice], Vec::new(), vec![entry], now).await?;
    parts.wake.notify_one();
    Ok(())
}

async fn guard(
    parts: &Parts,
    account: &Account,
    deal: &Deal,
    record: &RecordKey,
) -> Result<(), OperationError> {
    let refused = |what: String, fix: &str| OperationError::Refused { what, fix: fix.to_owned() };
    if account.behaviour.shadow {
        let what = "In shadow mode nothing is written, so no deal is tied anew.".to_owned();
        return Err(refused(what, "Set sync.shadow to false first."));
    }
    if deal.referral_id.is_none() {
        let what = "The deal has no referral yet.".to_owned();
        return Err(refused(what, "Wait until it is shared."));
    }
    let part = account.part(record.crm);
    let mapped = part.and_then(|part| Some((part, part.mapping(record.kind)?)));
    let Some((part, mapping)) = mapped else {
        let what = format!("No mapping of {} is for {record}.", account.name);
        return Err(refused(what, "Name a record of a CRM that is configured."));
    };
    let taken = account_deal(parts, account, record).await?;
    if let Some(other) = taken.filter(|other| other.id != deal.id) {
        let what = format!("{record} belongs to the deal {} already.", other.id);
        return Err(refused(what, "Tie that deal to another record first."));
    }
    let read = part.crm.fetch(record.kind, &record.id, mapping.shape()).await;
    let read = match read {
        // What is not even an id is no record.
        Err(ConnectError::Rejected(_) | ConnectError::NotFound(_)) => None,
        other => other.map_err(|fault| outside(part.name().title(), &fault))?,
    };
    if read.is_none() {
        return Err(OperationError::NotFound {
            what: format!("There is no {record}."),
            fix: "Check the id, and that we may see the record.".to_owned(),
        });
    }
    Ok(())
}

async fn account_deal(
    parts: &Parts,
    account: &Account,
    record: &RecordKey,
) -> Result<Option<Deal>, OperationError> {
    let key = DealKey::Record(record.clone());
    Ok(parts.around.store.deal_by(&account.name, &key).await?)
}
