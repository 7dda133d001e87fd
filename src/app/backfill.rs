//! The first load and the full comparison. Both go through cursors and inbox, so both survive a
//! restart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alert;
use super::parts::Parts;
use super::slot::outside;
use crate::admin::operations::{BackfillProgress, Forecast, ForecastLine, OperationError, Queued};
use crate::connect::error::ConnectError;
use crate::domain::audit::AuditKind;
use crate::domain::id::{AccountName, RecordKey, ReferralId};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::domain::time::Timestamp;
use crate::store::{CursorMove, DealKey, StoreError};
use crate::sync::account::{Account, CrmPart};
use crate::sync::feeds::{Feed, Poller};

/// Deals queued at once.
const AT_ONCE: usize = 500;
/// Pages counted for a forecast.
const MOST_PAGES: usize = 50;

/// When a first load was begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    at: Timestamp,
}

fn note_name(account: &AccountName) -> String {
    format!("backfill/{account}")
}

/// Queues every deal of an account, or of all, and reads every feed from the start: what is shared
/// but not linked is offered again, under the settings of today.
pub(super) async fn reconcile(
    parts: &Parts,
    account: Option<&AccountName>,
    who: &str,
) -> Result<Queued, OperationError> {
    let mut queued = Queued { deals: 0, feeds: 0 };
    for own in parts.accounts.iter().filter(|own| account.is_none_or(|name| own.name == *name)) {
        queued.deals += queue_deals(parts, &own.name).await?;
        for poller in parts.pollers_of(&own.name) {
            from_the_start(parts, poller).await?;
            queued.feeds += 1;
        }
        let summary = format!("A full comparison was begun: {} deals.", queued.deals);
        alert::note(parts, &own.name, AuditKind::Operated, who, summary, None).await?;
    }
    parts.wake.notify_one();
    Ok(queued)
}

async fn queue_deals(parts: &Parts, account: &AccountName) -> Result<u64, StoreError> {
    let store = &parts.around.store;
    let mut queued = 0;
    let mut after = None;
    loop {
        let deals = store.deals(Some(account), after.as_ref(), AT_ONCE).await?;
        let Some(last) = deals.last() else { return Ok(queued) };
        after = Some(last.id.clone());
        let now = parts.around.clock.now();
        let notices = deals.iter().map(|deal| NewNotice {
            account: account.clone(),
            source: Source::Reconcile,
            subject: Subject::Deal(deal.id.clone()),
            event: "reconcile".to_owned(),
            dedupe: None,
            due: now,
        });
        store.enqueue(notices.collect(), Vec::new(), Vec::new(), now).await?;
        queued += deals.len() as u64;
    }
}

/// Forgets where a feed stood: durable at once, and again before its next poll.
async fn from_the_start(parts: &Parts, poller: &Poller) -> Result<(), StoreError> {
    let account = poller.account().name.clone();
    let moved = CursorMove { account, feed: poller.feed().name(), cursor: None };
    let now = parts.around.clock.now();
    parts.around.store.enqueue(Vec::new(), vec![moved], Vec::new(), now).await?;
    poller.start_over();
    Ok(())
}

/// Reads every feed of an account from the start.
pub(super) async fn begin(
    parts: &Parts,
    account: &AccountName,
    who: &str,
) -> Result<BackfillProgress, OperationError> {
    let begun = Begun { at: parts.around.clock.now() };
    let json = serde_json::to_vec(&begun).unwrap_or_default();
    parts.around.store.keep_note(&note_name(account), Some(json)).await?;
    for poller in parts.pollers_of(account) {
        from_the_start(parts, poller).await?;
    }
    let summary = "A first load was begun.".to_owned();
    alert::note(parts, account, AuditKind::Operated, who, summary, None).await?;
    let progress = progress(parts, account).await?;
    progress.ok_or_else(|| StoreError::Damaged(note_name(account)).into())
}

/// How far a first load is.
pub(super) async fn progress(
    parts: &Parts,
    account: &AccountName,
) -> Result<Option<BackfillProgress>, OperationError> {
    let Some(json) = parts.around.store.note(&note_name(account)).await? else { return Ok(None) };
    let begun: Begun = serde_json::from_slice(&json)
        .map_err(|error| StoreError::Damaged(format!("{}: {error}", note_name(account))))?;
    let read = |poller: &&Arc<Poller>| {
        poller.health().last_success.is_some_and(|success| success > begun.at)
    };
    let feeds = parts.pollers_of(account).count() as u64;
    let feeds_done = parts.pollers_of(account).filter(read).count() as u64;
    let ledger = parts.around.store.ledger().await?;
    // What the daemon gave itself are mostly deadlines, days away.
    let others = ledger.iter().filter(|line| line.source != Source::Daemon);
    let waiting = others.map(|line| line.waiting).sum();
    Ok(Some(BackfillProgress {
        started: begun.at,
        feeds_done,
        feeds,
        waiting,
        finished: feeds_done == feeds && waiting == 0,
    }))
}

/// Counts what a first load would find; changes nothing.
pub(super) async fn forecast(parts: &Parts, account: &Account) -> Result<Forecast, OperationError> {
    let mut feeds = vec![referrals(parts, account).await?];
    for part in &account.crms {
        for kind in part.kinds() {
            let line = records(parts, account, part, kind).await;
            let line = line.map_err(|fault| match fault {
                Fault::Connect(fault) => outside(part.name().title(), &fault),
                Fault::Store(error) => error.into(),
            })?;
            feeds.push(line);
        }
    }
    Ok(Forecast { feeds })
}

async fn referrals(parts: &Parts, account: &Account) -> Result<ForecastLine, OperationError> {
    let mut line = empty("partner_center".to_owned());
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = account.partner_center.changes(cursor.as_deref()).await;
        let page = page.map_err(|fault| outside("Partner Center", &fault))?;
        for referral in &page.referrals {
            line.seen += 1;
            line.concern += u64::from(!known_referral(parts, account, &referral.id()).await?);
        }
        if !page.more {
            line.at_least = false;
            break;
        }
        cursor = Some(page.cursor);
    }
    Ok(line)
}

async fn known_referral(
    parts: &Parts,
    account: &Account,
    id: &ReferralId,
) -> Result<bool, StoreError> {
    let key = DealKey::Referral(id.clone());
    Ok(parts.around.store.deal_by(&account.name, &key).await?.is_some())
}

/// Why counting ended.
enum Fault {
    Connect(ConnectError),
    Store(StoreError),
}

async fn records(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    kind: crate::domain::id::RecordKind,
) -> Result<ForecastLine, Fault> {
    let mut line = empty(Feed::Crm(part.name(), kind).name());
    let wanted: Vec<_> = part.mapping(kind).into_iter().collect();
    let mappings =
        super::schema::fitted(part, wanted).await.map_err(|unfit| Fault::Connect(unfit.into()))?;
    let Some(mapping) = mappings.first() else { return Ok(line) };
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = part.crm.changes(kind, cursor.as_deref(), mapping.shape()).await;
        let page = page.map_err(Fault::Connect)?;
        for record in &page.changed {
            line.seen += 1;
            let shared = record.fields.get(&mapping.control().sync) == Some(&true.into());
            let known = known_record(parts, account, &record.key).await.map_err(Fault::Store)?;
            line.concern += u64::from(shared && !known);
        }
        if !page.more {
            line.at_least = false;
            break;
        }
        cursor = Some(page.cursor);
    }
    Ok(line)
}

async fn known_record(
    parts: &Parts,
    account: &Account,
    key: &RecordKey,
) -> Result<bool, StoreError> {
    let key = DealKey::Record(key.clone());
    Ok(parts.around.store.deal_by(&account.name, &key).await?.is_some())
}

fn empty(feed: String) -> ForecastLine {
    ForecastLine { feed, seen: 0, concern: 0, at_least: true }
}
