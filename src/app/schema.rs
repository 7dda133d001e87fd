//! Compares the mappings with the live schema: rows whose field a CRM does not have, or does not let
//! us write, are parked; the others flow. Without the few fields that nothing works without, nothing
//! is read at all.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alert;
use super::parts::Parts;
use super::refused;
use crate::connect::crm::TableSchema;
use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::mapping::registration::RegistrationRule;
use crate::mapping::rule::ParkedRow;
use crate::sync::account::{Account, CrmPart};
use crate::sync::feeds::Feed;

/// How long to wait before a CRM that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long to wait before a CRM that lacks what nothing works without is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How often a CRM is looked at again while rows are parked.
const LOOK_FOR_PARKED: Duration = Duration::from_secs(600);

/// Why mappings cannot be used with a CRM.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Its schema cannot be read now.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    /// It lacks what nothing works without.
    #[error("{0}")]
    Lacking(String),
}

impl From<Unfit> for ConnectError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Unreachable(fault) => fault,
            Unfit::Lacking(why) => Self::Broken(why),
        }
    }
}

/// Asks every CRM of an account until it has answered, then lets its feeds begin.
pub(super) async fn refine(parts: Arc<Parts>, account: Arc<Account>, stop: CancellationToken) {
    for part in &account.crms {
        while !stop.is_cancelled() {
            let wait = match fit(&parts, &account, part).await {
                Ok(_) => break,
                Err(Unfit::Unreachable(fault)) => {
                    tracing::warn!("The schema of {} cannot be read yet: {fault}", part.name());
                    AGAIN
                }
                Err(Unfit::Lacking(_)) => LOOK_AGAIN,
            };
            tokio::select! {
                () = parts.around.clock.sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
        hint(&parts, &account, part);
    }
}

/// Fits the mapping files in use to what the part's CRM has now, and lets its feeds begin. Says
/// whether other rows are parked than before. Files that were taken into use during a slow look at
/// the CRM are fitted instead: what was in use before must not come back.
async fn fit(parts: &Parts, account: &Account, part: &CrmPart) -> Result<bool, Unfit> {
    loop {
        let whole = parts.mappings.whole(&account.name, part.name());
        let fitted = fitted(part, whole.clone()).await;
        let _turn = parts.mappings.turn.lock().await;
        if !are_same(&whole, &parts.mappings.whole(&account.name, part.name())) {
            continue;
        }
        match fitted {
            Ok(fitted) => {
                let changed = use_fitted(parts, account, part, fitted).await;
                parts.mappings.lacks_nothing(&account.name, part.name());
                part.be_ready();
                return Ok(changed);
            }
            Err(Unfit::Lacking(why)) => {
                parts.mappings.lacks(&account.name, part.name(), &why);
                return Err(Unfit::Lacking(why));
            }
            Err(unreachable) => return Err(unreachable),
        }
    }
}

fn are_same(before: &[Arc<Mapping>], now: &[Arc<Mapping>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(old, new)| Arc::ptr_eq(old, new))
}

/// Takes fitted mappings into use, and tells which rows are parked that were not. Where that has
/// changed, what the CRM refused before is tried again. Returns whether it has.
pub(super) async fn use_fitted(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    fitted: Vec<Arc<Mapping>>,
) -> bool {
    let before = parts.mappings.told(&account.name, part.name());
    let now: Vec<ParkedRow> = parked(&fitted).cloned().collect();
    let changed = !parked(&current(part)).map(field_of).eq(now.iter().map(field_of));
    let is_first = parts.mappings.looked(&account.name, part.name()).is_none();
    part.replace_mappings(fitted);
    for row in now.iter().filter(|row| !row.optional && !before.contains(row)) {
        let ParkedRow { label, reason, fix, place, .. } = row;
        let line = format!("\"{label}\" ({place}) is not kept in step: {reason}; {fix}.");
        alert::raise(parts, &account.name, &line).await;
    }
    for row in now.iter().filter(|row| row.optional && !before.contains(row)) {
        tracing::info!("{}: {} is not kept in step: {}", account.name, row.label, row.reason);
    }
    for row in before.iter().filter(|row| !row.optional && !now.contains(row)) {
        tracing::info!("{}: {} is kept in step again", account.name, row.label);
    }
    parts.mappings.tell(&account.name, part.name(), now, parts.around.clock.now());
    if changed
        && !is_first
        && let Err(error) = refused::try_again(parts, account).await
    {
        tracing::error!("What was refused could not be tried again: {error}");
    }
    changed
}

/// Which field a row is about, wherever the row stands.
fn field_of(row: &ParkedRow) -> (&str, &str) {
    (&row.field, &row.crm_field)
}

/// Looks at the CRMs of an account again: at once where a feed fails, since a field may be gone, and
/// now and then while rows are parked, since their fields may be there now.
pub(super) async fn look_again(parts: &Parts, account: &Account) {
    let now = parts.around.clock.now();
    // A CRM that is down or asks us to wait is not asked.
    for part in account.crms.iter().filter(|part| part.pass(now).is_ok()) {
        let is_mapped = !parts.mappings.whole(&account.name, part.name()).is_empty();
        if !is_mapped || !is_due(parts, account, part, now) {
            continue;
        }
        // Where the CRM cannot be asked, the feed tells what is wrong.
        if let Ok(true) = fit(parts, account, part).await {
            hint(parts, account, part);
        }
    }
}

fn is_due(parts: &Parts, account: &Account, part: &CrmPart, now: Timestamp) -> bool {
    let failing = of_part(parts, account, part).any(|poller| poller.health().fault.is_some());
    let parked = parked(&current(part)).next().is_some();
    let looked = parts.mappings.looked(&account.name, part.name());
    failing || (parked && looked.is_none_or(|at| now.since(at) >= LOOK_FOR_PARKED))
}

fn of_part<'p>(
    parts: &'p Parts,
    account: &'p Account,
    part: &'p CrmPart,
) -> impl Iterator<Item = &'p Arc<crate::sync::feeds::Poller>> {
    parts
        .pollers_of(&account.name)
        .filter(|poller| matches!(poller.feed(), Feed::Crm(crm, _) if crm == part.name()))
}

fn hint(parts: &Parts, account: &Account, part: &CrmPart) {
    of_part(parts, account, part).for_each(|poller| poller.hint());
}

/// The mappings that a part uses now.
pub(super) fn current(part: &CrmPart) -> Vec<Arc<Mapping>> {
    part.kinds().into_iter().filter_map(|kind| part.mapping(kind)).collect()
}

/// The rows that some mappings leave out.
pub(super) fn parked(mappings: &[Arc<Mapping>]) -> impl Iterator<Item = &ParkedRow> {
    mappings.iter().flat_map(|mapping| mapping.parked())
}

/// Mappings as the live schema of the part's CRM allows them.
pub(super) async fn fitted(
    part: &CrmPart,
    wanted: Vec<Arc<Mapping>>,
) -> Result<Vec<Arc<Mapping>>, Unfit> {
    let mut mappings = Vec::new();
    for mapping in wanted {
        let schema = part.crm.describe(mapping.kind()).await?;
        let lacking = mapping.indispensable_fields().into_iter();
        let lacking: Vec<&str> = lacking.filter(|field| !is_there(&schema, field)).collect();
        if !lacking.is_empty() {
            return Err(Unfit::Lacking(format!(
                "{}: the {} of {} has no {}, and nothing of it can be kept in step without; run \
                 `cosell-sync provision --apply`, or correct the name in the mapping file",
                mapping.file(),
                mapping.kind(),
                part.name().title(),
                lacking.join(", "),
            )));
        }
        let unreadable = part.crm.unreadable(mapping.kind(), &mapping.shape().fields).await?;
        mappings.push(fit_to(mapping, &schema, &unreadable));
    }
    Ok(mappings)
}

/// The mapping without what the table does not have, or does not let us read or write.
fn fit_to(mapping: Arc<Mapping>, schema: &TableSchema, unreadable: &[String]) -> Arc<Mapping> {
    let written = mapping.fields().iter().filter(|rule| rule.direction.to_crm());
    let written = written.filter_map(|rule| rule.crm.as_ref());
    let registration = mapping.registration().into_iter().flat_map(RegistrationRule::fields);
    let named = mapping.shape().fields.iter().chain(written).chain(registration);
    let named = named.chain(mapping.control().optional());
    let missing = named.filter(|field| !is_there(schema, field) || unreadable.contains(field));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let may_write = |field: &str, create: bool| {
        find(schema, field).is_none_or(|live| {
            let allowed = if create { live.creatable } else { live.updatable };
            allowed || live.kind == "lookup"
        })
    };
    let may_point =
        |field: &str| find(schema, field).is_some_and(|live| live.creatable || live.updatable);
    let fitted = mapping.without(&missing).where_writable(may_write).where_pointable(may_point);
    if missing.is_empty() && fitted.parked().is_empty() { mapping } else { Arc::new(fitted) }
}

/// Whether a table has a field. Of a dotted one only the first step is looked at, and that only where
/// the CRM tells all of them.
pub(super) fn is_there(schema: &TableSchema, field: &str) -> bool {
    match field.split_once('.') {
        None => find(schema, field).is_some(),
        Some((step, _)) => schema
            .related
            .as_ref()
            .is_none_or(|known| known.iter().any(|name| name.eq_ignore_ascii_case(step))),
    }
}

fn find<'s>(schema: &'s TableSchema, field: &str) -> Option<&'s crate::connect::crm::FieldSchema> {
    schema.fields.iter().find(|live| live.name.eq_ignore_ascii_case(field))
}
