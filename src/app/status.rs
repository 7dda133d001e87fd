//! How everything is doing, from what is known here: no remote system is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::deadlines;
use super::parts::Parts;
use super::quota::{self, Rest, minute};
use super::secrets::SignInState;
use super::slot;
use crate::admin::operations::{AccountStatus, FeedStatus, OperationError, Status, SystemStatus};
use crate::domain::deal::Deal;
use crate::domain::id::DealId;
use crate::domain::notice::{Notice, Source};
use crate::domain::referral::ReferralState;
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::merge::sentence;
use crate::store::{StoreError, deal_of};
use crate::sync::account::Account;
use crate::sync::breaker::Breaker;
use crate::sync::feeds::FeedHealth;

/// Lost records named one by one, at most; the rest is counted.
const MOST_NAMED: usize = 10;
/// A feed that fails and was not read to its end for so long needs a person.
const UNREAD: Duration = Duration::from_secs(15 * 60);
/// Dead letters looked through, at most.
const MOST_LETTERS: usize = 10_000;
/// Waiting notices looked through, at most: each deal may have a planned one.
const MOST_WAITING: usize = 100_000;
/// Deals read at once.
const AT_ONCE: usize = 500;

/// Gathers it, with an alert for each record that cannot be read any more, and one for fields that
/// rest: every deal is looked at.
pub(super) async fn in_full(parts: &Parts) -> Result<Status, OperationError> {
    let mut status = status(parts).await?;
    status.alerts.extend(lost_records(parts).await?);
    Ok(status)
}

async fn lost_records(parts: &Parts) -> Result<Vec<String>, StoreError> {
    let (mut alerts, mut more, mut after) = (Vec::new(), 0_u32, None);
    let (mut resting, mut due, mut left) = (0_u32, 0_u32, BTreeSet::new());
    let held = held(parts).await?;
    loop {
        let deals = parts.around.store.deals(None, after.as_ref(), AT_ONCE).await?;
        let Some(last) = deals.last() else { break };
        after = Some(last.id.clone());
        for deal in &deals {
            resting += u32::from(deal.links.iter().any(|link| !link.parked.is_empty()));
            due += u32::from(is_due(deal));
            let told = held.as_ref().is_none_or(|held| held.contains(&deal.id));
            left.extend((deal.hold().is_some() && !told).then(|| deal.id.clone()));
            let Some(lost) = deal.lost_record() else { continue };
            if alerts.len() < MOST_NAMED {
                alerts.push(format!("{}: {lost}", deal.account));
            } else {
                more += 1;
            }
        }
    }
    if more > 0 {
        alerts
            .push(format!("{more} more deals have a lost record; `cosell-sync links` names them."));
    }
    if due > 0 {
        let told =
            "its seller was warned in the CRM; `cosell-sync audit list --kind alerted` names it";
        alerts.push(format!("{due} deals wait for an answer whose time ends soon: {told}."));
    }
    let left = untried(parts, left).await?;
    if left > 0 {
        let told =
            "`cosell-sync links --held` names them, `cosell-sync reconcile` tries them again";
        alerts.push(format!(
            "{left} deals are not in step since a dead letter was discarded: {told}."
        ));
    }
    if resting > 0 {
        let told = "`cosell-sync links --held` names them with what to do";
        alerts.push(format!("{resting} deals have a field that is not kept in step: {told}."));
    }
    Ok(alerts)
}

/// The deals that dead letters tell of; `None` if there are too many to say it of every deal.
async fn held(parts: &Parts) -> Result<Option<BTreeSet<DealId>>, StoreError> {
    let store = parts.around.store.as_ref();
    let letters = store.dead_letters(None, MOST_LETTERS).await?;
    if letters.len() == MOST_LETTERS {
        return Ok(None);
    }
    let mut held = BTreeSet::new();
    for letter in letters {
        held.extend(letter.deal(store).await?);
    }
    Ok(Some(held))
}

/// How many of these deals nothing waits for: a hold stays until the try begins that a released dead
/// letter asks for. None where too much waits to say it of every deal.
async fn untried(parts: &Parts, mut deals: BTreeSet<DealId>) -> Result<usize, StoreError> {
    if deals.is_empty() {
        return Ok(0);
    }
    let store = parts.around.store.as_ref();
    let waiting = store.waiting(MOST_WAITING).await?;
    if waiting.len() == MOST_WAITING {
        return Ok(0);
    }
    let now = parts.around.clock.now();
    // A look that the daemon has planned for a later day repairs nothing.
    let is_try =
        |notice: &&Notice| notice.notice.source != Source::Daemon || notice.notice.due <= now;
    for notice in waiting.iter().filter(is_try) {
        if let Some(deal) = deal_of(&notice.notice, store).await? {
            deals.remove(&deal);
        }
    }
    Ok(deals.len())
}

/// Whether a deal, or Microsoft's record of it, is still not answered and its seller was warned.
fn is_due(deal: &Deal) -> bool {
    let waits = |state: &ReferralState| Stage::of(state) == Some(Stage::OnHold);
    let own = deal.referral_state.as_ref().is_some_and(waits);
    let microsofts = deal.microsoft.as_ref().is_some_and(|record| waits(&record.state));
    let warned = |what: &str| {
        let key = sentence::key(&format!("deadline:{what}"));
        deal.links.iter().any(|link| link.told.contains(&key))
    };
    own && (warned("answer") || warned("contact")) || microsofts && warned("microsoft_answer")
}

/// Gathers what the parts know.
pub(super) async fn status(parts: &Parts) -> Result<Status, OperationError> {
    let now = parts.around.clock.now();
    let ledger = parts.around.store.ledger().await?;
    let accounts: Vec<AccountStatus> =
        parts.accounts.iter().map(|account| of_account(parts, account, now)).collect();
    let mut alerts: Vec<String> = accounts.iter().flat_map(alerts_of).collect();
    alerts.extend(accounts.iter().flat_map(|account| unread(account, parts.started, now)));
    for account in &parts.accounts {
        let deadlines = deadlines::near(parts, &account.name);
        alerts.extend(deadlines.into_iter().map(|text| format!("{}: {text}", account.name)));
        let staged = parts.sign_ins.get(&account.name).and_then(SignInState::refused);
        alerts.extend(staged.map(|text| format!("{}: {text}", account.name)));
    }
    for line in ledger.iter().filter(|line| !line.balances()) {
        alerts.push(format!("The ledger of {} does not balance.", line.source.as_str()));
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: parts.started,
        now,
        needs_you: ledger.iter().map(|line| line.held).sum(),
        alerts,
        accounts,
        ledger,
    })
}

fn of_account(parts: &Parts, account: &Account, now: Timestamp) -> AccountStatus {
    let seen = parts.slots.seen(&account.name);
    let mut systems = vec![system("partner_center", (&account.breaker, true), None, now)];
    for part in &account.crms {
        let known = (&part.breaker, part.is_ready());
        let rest = quota::rest(parts, account, part);
        systems.push(system(part.name().as_str(), known, rest, now));
    }
    let feeds = parts.pollers_of(&account.name);
    let feeds = feeds.map(|poller| feed(poller.feed().name(), poller.health(), now));
    let streams = parts.listeners_of(&account.name);
    let streams = streams.map(|listener| feed(listener.name(), listener.health(), now));
    AccountStatus {
        name: account.name.clone(),
        shadow: account.behaviour.shadow,
        systems,
        feeds: feeds.chain(streams).collect(),
        webhook: seen.webhook,
        credential_days_left: seen.days_left,
        mappings: parts.mappings.state(account),
    }
}

fn feed(name: String, health: FeedHealth, now: Timestamp) -> FeedStatus {
    FeedStatus {
        name,
        lag_secs: health.last_success.map(|at| now.since(at).as_secs()),
        last_success: health.last_success,
        fault: health.fault,
        notices: health.notices,
    }
}

/// One system: `ok`, `starting`, `paused` or `refused`.
pub(super) fn system(
    name: &str,
    (breaker, ready): (&Breaker, bool),
    rest: Option<Rest>,
    now: Timestamp,
) -> SystemStatus {
    let wait = breaker.wait(now).map_or(0, |wait| wait.as_secs().max(1));
    // It is asked again with the next call after that, so never at once.
    let resting = rest.as_ref().map_or(0, |rest| rest.until.since(now).as_secs().max(1));
    let refusal = breaker.refusal();
    let state = match (&refusal, wait.max(resting), ready) {
        (Some(_), ..) => "refused",
        (None, 1.., _) => "paused",
        (None, 0, false) => "starting",
        (None, 0, true) => "ok",
    };
    SystemStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        refusal,
        resting_since: rest.as_ref().map(|rest| rest.since),
        rest: rest.map(|rest| rest.told),
        retry_in_secs: wait.max(resting),
    }
}

/// The feeds that could not be read for long, where nothing else says why.
fn unread(status: &AccountStatus, started: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    let told = |feed: &&FeedStatus| {
        let system = feed.name.split('/').next();
        let system = status.systems.iter().find(|known| Some(known.name.as_str()) == system);
        system.is_some_and(|system| system.refusal.is_some() || system.rest.is_some())
    };
    let long = |feed: &&FeedStatus| {
        let since = feed.last_success.or(started);
        since.is_some_and(|at| now.since(at) >= UNREAD)
    };
    let silent = status.feeds.iter().filter(long).filter(|feed| !told(feed));
    let lines = silent.filter_map(|feed| {
        let (name, fault) = (&feed.name, feed.fault.as_deref()?.trim_end_matches('.'));
        let last = feed
            .last_success
            .map_or("since the start".to_owned(), |at| format!("since {}", minute(at)));
        Some(format!(
            "{}: {name} was not read to its end {last}: {fault}. It is tried again and again; see \
             `cosell-sync doctor`.",
            status.name
        ))
    });
    lines.collect()
}

fn alerts_of(account: &AccountStatus) -> Vec<String> {
    let name = &account.name;
    let mut alerts = Vec::new();
    for system in &account.systems {
        if let Some(why) = &system.refusal {
            alerts.push(format!("{name}: {} refuses our credentials: {why}.", system.name));
        }
        alerts.extend(system.rest.iter().map(|rest| format!("{name}: {rest}")));
    }
    alerts.extend(
        account
            .webhook
            .iter()
            .filter_map(|webhook| slot::sentence(webhook).map(|text| format!("{name}: {text}"))),
    );
    if let Some(why) = &account.mappings.rejected {
        let mut lines = why.lines();
        let first = lines.next().unwrap_or_default();
        let place = lines.next().and_then(|line| line.trim_start().strip_prefix("--> "));
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        alerts
            .push(format!("{name}: the mapping files on the disk are not in use: {first}{place}"));
    }
    for parked in account.mappings.parked.iter().filter(|parked| !parked.row.optional) {
        let row = &parked.row;
        alerts.push(format!(
            "{name}: \"{}\" ({}) is not kept in step: {}; {}.",
            row.label, row.place, row.reason, row.fix
        ));
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::operations::MappingState;
    use crate::domain::id::AccountName;

    fn account(feed: FeedStatus, rest: Option<&str>) -> AccountStatus {
        let system = SystemStatus {
            name: "salesforce".to_owned(),
            state: "paused".to_owned(),
            refusal: None,
            rest: rest.map(str::to_owned),
            resting_since: None,
            retry_in_secs: 1,
        };
        AccountStatus {
            name: AccountName::new("contoso"),
            shadow: false,
            systems: vec![system],
            feeds: vec![feed],
            webhook: None,
            credential_days_left: None,
            mappings: MappingState {
                version: String::new(),
                rejected: None,
                parked: Vec::new(),
                restaged: 0,
            },
        }
    }

    #[test]
    fn why_mapping_files_are_not_used_is_told_with_its_place() {
        let feed = FeedStatus {
            name: "salesforce/lead".to_owned(),
            last_success: None,
            lag_secs: None,
            fault: None,
            notices: 0,
        };
        let mut account = account(feed, None);
        let table = [
            ("error: no such field\n  --> own.toml:3:1\n   |\n", "no such field (own.toml:3:1)"),
            ("the files wait for a word", "the files wait for a word"),
        ];
        for (rejected, told) in table {
            account.mappings.rejected = Some(rejected.to_owned());
            let alerts = alerts_of(&account);
            assert!(alerts.iter().any(|alert| alert.ends_with(told)), "{alerts:?}");
        }
    }

    #[test]
    fn a_feed_that_fails_for_long_needs_a_person() {
        let now = Timestamp::parse("2026-06-01T12:00:00Z").expect("an instant");
        let ago = |secs| now.minus(Duration::from_secs(secs));
        let down = Some("the system is down.");
        let quota = Some("the quota is nearly used up");
        let table = [
            (Some(ago(900)), down, None, Some("since 2026-06-01 11:45 UTC"), "for 15 minutes"),
            (Some(ago(899)), down, None, None, "a second less"),
            (Some(ago(9000)), None, None, None, "it does not fail, it is only slow"),
            (None, down, None, Some("since the start"), "never read"),
            (Some(ago(900)), down, quota, None, "the reason is told already"),
        ];
        for (last_success, fault, rest, expected, why) in table {
            let feed = FeedStatus {
                name: "salesforce/opportunity".to_owned(),
                last_success,
                lag_secs: None,
                fault: fault.map(str::to_owned),
                notices: 0,
            };
            let told = unread(&account(feed, rest), Some(ago(3600)), now);
            assert_eq!(told.len(), usize::from(expected.is_some()), "{why}: {told:?}");
            if let (Some(line), Some(words)) = (told.first(), expected) {
                assert!(line.contains(words) && !line.contains(".."), "{why}: {line}");
            }
        }
    }
}
