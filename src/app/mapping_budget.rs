//! The write budget of a changed mapping: before it is used, linked deals tell how many records would
//! be written differently. Above `sync.mapping_budget` nothing changes until a person confirms it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::alert;
use super::live_diff::{linked, pairs, spread};
use super::mapping_start::Begun;
use super::mapping_versions::{Files, newest, version};
use super::mappings::folder;
use super::parts::Parts;
use super::schema::{Unfit, current, fitted};
use super::slot::outside;
use crate::admin::operations::OperationError;
use crate::connect::error::ConnectError;
use crate::domain::deal::{Deal, Link};
use crate::domain::id::{CrmName, DealId, RecordKind};
use crate::mapping::{DiffReport, Mapping, MappingFolder, diff as compare};
use crate::store::StoreError;
use crate::sync::account::{Account, CrmPart};
use crate::sync::stages::reads_otherwise;

/// Deals of each kind of record that are compared; the rest is estimated from them.
const SAMPLES: usize = 50;
/// Deals counted at a time.
const AT_ONCE: usize = 500;

/// Why changed files are not used.
pub(super) enum NotUsed {
    /// They are bad.
    Refused(String),
    /// They wait until somebody confirms them.
    Waiting(String, Files),
    /// What they would write cannot be told now, or the live schema does not allow them; it is asked
    /// again, though not at once.
    Untold(String, Files),
}

impl From<String> for NotUsed {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<StoreError> for NotUsed {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Refuses files that would write more records differently than the budget allows. `ready` are the
/// new mappings as the live schemas allow them, `new` as the files say them: a field that the CRM
/// does not have yet counts too, since its row begins to write once the field is made.
pub(super) async fn weigh(
    parts: &Parts,
    account: &Account,
    files: &Files,
    new: &[Arc<Mapping>],
    ready: &[(&CrmPart, Vec<Arc<Mapping>>)],
) -> Result<(), NotUsed> {
    let before = newest(parts.around.store.as_ref(), &account.name).await?;
    let Some(budget) = budget(parts, account).filter(|_| before.is_some_and(|old| old != *files))
    else {
        return Ok(());
    };
    if !exceeds(parts, account, budget).await? {
        return Ok(());
    }
    let way_out = way_out(parts, account, files);
    if parts.started.is_none() {
        let why =
            format!("no daemon runs that could compare the files with linked deals; {way_out}");
        return Err(NotUsed::Refused(why));
    }
    let (mut expected, mut lines) = (0, Vec::new());
    for (part, fitted) in ready {
        for mapping in fitted {
            let told = of_kind(parts, account, part, mapping, new).await;
            let told = told.map_err(|error| unknown(&error, &way_out, files))?;
            expected += told.0;
            lines.extend(told.1);
        }
    }
    if expected <= budget {
        return Ok(());
    }
    let why = format!(
        "they would write about {expected} records differently, and sync.mapping_budget allows \
         {budget} without a person's word ({}); {way_out}",
        lines.join("; "),
    );
    Err(NotUsed::Waiting(why, files.clone()))
}

/// How many records of one kind would be written differently, and a line about it.
async fn of_kind(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    ready: &Arc<Mapping>,
    new: &[Arc<Mapping>],
) -> Result<(usize, Option<String>), OperationError> {
    let (crm, kind) = (part.name(), ready.kind());
    let is_meant = |mapping: &&Arc<Mapping>| mapping.crm() == crm && mapping.kind() == kind;
    let whole = parts.mappings.whole(&account.name, crm);
    let (Some(old), Some(new)) = (whole.iter().find(is_meant), new.iter().find(is_meant)) else {
        // Nothing of this kind was written before; its deals are linked by what follows.
        return Ok((0, None));
    };
    if old.version() == new.version() {
        return Ok((0, None));
    }
    answering(parts, account, part)?;
    let in_use = readable(part, kind).await?.unwrap_or_else(|| Arc::clone(ready));
    let deals = linked(parts, account, crm, kind).await?;
    let samples = pairs(account, part, &in_use, ready, spread(&deals, SAMPLES)).await?;
    let report = compare(old, new, samples.into_iter());
    let restaged = read_otherwise(&deals, new);
    let expected = estimate(&report, deals.len()).max(restaged);
    let line = (expected > 0).then(|| {
        let fields: Vec<&str> = report.by_field.keys().map(String::as_str).collect();
        let stages = match restaged {
            0 => String::new(),
            many => format!("; {many} read in another stage"),
        };
        format!(
            "{kind} of {}: {} of {} compared, {} linked; {}{stages}",
            crm.title(),
            report.changed,
            report.samples,
            deals.len(),
            fields.join(", "),
        )
    });
    Ok((expected, line))
}

/// The records whose stage `mapping` reads as another one than was agreed on.
fn read_otherwise(deals: &[Deal], mapping: &Mapping) -> usize {
    let own = |link: &&Link| link.record.crm == mapping.crm() && link.record.kind == mapping.kind();
    let links = deals.iter().flat_map(|deal| &deal.links).filter(own);
    links.filter(|link| !link.is_cut() && reads_otherwise(link, mapping)).count()
}

/// The records of an account whose stage the mappings in use read as another one than was agreed on:
/// nothing is sent for them, and the trail of each will say so.
pub(super) async fn restaged(parts: &Parts, account: &Account) -> Result<usize, StoreError> {
    let mappings: Vec<Arc<Mapping>> = account.crms.iter().flat_map(current).collect();
    let (mut records, mut after) = (0, None::<DealId>);
    loop {
        let store = &parts.around.store;
        let deals = store.deals(Some(&account.name), after.as_ref(), AT_ONCE).await?;
        records += mappings.iter().map(|mapping| read_otherwise(&deals, mapping)).sum::<usize>();
        match deals.last() {
            Some(last) if deals.len() == AT_ONCE => after = Some(last.id.clone()),
            _ => return Ok(records),
        }
    }
}

/// The share of the samples, over all. Where none could be compared, all of them.
fn estimate(report: &DiffReport, linked: usize) -> usize {
    (report.changed * linked).checked_div(report.samples).map_or(linked, |share| {
        let rest = report.changed * linked % report.samples;
        share + usize::from(rest > 0)
    })
}

fn unknown(error: &OperationError, way_out: &str, files: &Files) -> NotUsed {
    let error = error.to_string();
    let why = format!(
        "how many records they would write differently cannot be told now: {}; it is tried again \
         every few minutes; {way_out}",
        error.trim_end_matches('.'),
    );
    NotUsed::Untold(why, files.clone())
}

/// Fails while Partner Center or the CRM is known not to answer: no deal is read then.
fn answering(parts: &Parts, account: &Account, part: &CrmPart) -> Result<(), OperationError> {
    let now = parts.around.clock.now();
    for (system, breaker) in
        [("Partner Center", &account.breaker), (part.name().title(), &part.breaker)]
    {
        if let Some(wait) = breaker.wait(now) {
            return Err(outside(system, &ConnectError::Throttled(wait)));
        }
    }
    Ok(())
}

/// The mapping in use as the live schema allows it: one that was taken up at the start is not fitted
/// yet. `None` if nothing of it can be read.
async fn readable(
    part: &CrmPart,
    kind: RecordKind,
) -> Result<Option<Arc<Mapping>>, OperationError> {
    match fitted(part, part.mapping(kind).into_iter().collect()).await {
        Ok(fitted) => Ok(fitted.into_iter().next()),
        Err(Unfit::Lacking(_)) => Ok(None),
        Err(Unfit::Unreachable(fault)) => Err(outside(part.name().title(), &fault)),
    }
}

fn way_out(parts: &Parts, account: &Account, files: &Files) -> String {
    let folder = folder(parts, &account.name).unwrap_or_default();
    // Whoever reads this may stand in another folder than the daemon.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    format!(
        "see what would change with `{}`, then use them with `{}`",
        parts.command(&account.name, &format!("mapping diff {}", folder.display())),
        parts.command(&account.name, &format!("mapping reload --confirm {}", version(files))),
    )
}

/// The budget of an account; `None` where nothing is written at all.
fn budget(parts: &Parts, account: &Account) -> Option<usize> {
    let settings = parts.settings(&account.name).filter(|_| !account.behaviour.shadow)?;
    usize::try_from(settings.sync.mapping_budget).ok()
}

/// Whether more records are linked than `budget`: with fewer, no change can exceed it.
async fn exceeds(parts: &Parts, account: &Account, budget: usize) -> Result<bool, StoreError> {
    Ok(records(parts, account, budget).await? > budget)
}

/// How many records are linked, counted until there are more than `enough`.
async fn records(parts: &Parts, account: &Account, enough: usize) -> Result<usize, StoreError> {
    let (mut records, mut after) = (0, None::<DealId>);
    loop {
        let store = &parts.around.store;
        let deals = store.deals(Some(&account.name), after.as_ref(), AT_ONCE).await?;
        records += deals.iter().map(|deal| deal.links.len()).sum::<usize>();
        match deals.last() {
            Some(last) if deals.len() == AT_ONCE && records <= enough => {
                after = Some(last.id.clone());
            }
            _ => return Ok(records),
        }
    }
}

/// At the start: files that were changed while the daemon was stopped are used like those that are
/// changed while it runs, so the ones before stay in use until they were compared. Where another
/// kind of record is mapped than before, the start itself is the person's word.
pub(super) async fn begin(parts: &Parts) -> Result<(), StoreError> {
    for account in &parts.accounts {
        let Some(before) = newest(parts.around.store.as_ref(), &account.name).await? else {
            continue;
        };
        let Some(budget) = budget(parts, account) else { continue };
        if before == parts.mappings.files(&account.name) || !exceeds(parts, account, budget).await?
        {
            continue;
        }
        let Ok(old) = MappingFolder::of("the version before", &before).compile() else {
            incomparable(parts, account, &before).await?;
            continue;
        };
        let configured = |mapping: &Arc<Mapping>| account.part(mapping.crm()).is_some();
        let old: Vec<_> = old.into_iter().map(Arc::new).filter(configured).collect();
        let new: Vec<Arc<Mapping>> = account.crms.iter().flat_map(current).collect();
        if kinds(&old) != kinds(&new) {
            continue;
        }
        tracing::info!(account = %account.name, "The mapping files were changed; they are compared first");
        account.name_mappings(&version(&before));
        for part in &account.crms {
            let own = old.iter().filter(|mapping| mapping.crm() == part.name());
            part.replace_mappings(own.cloned().collect());
        }
        let begun = Begun { files: before, whole: old, rejected: None };
        parts.mappings.begin_with(&account.name, begun);
    }
    Ok(())
}

/// Tells that nobody could say what the files on the disk write differently.
async fn incomparable(parts: &Parts, account: &Account, before: &Files) -> Result<(), StoreError> {
    let linked = records(parts, account, usize::MAX).await?;
    let (old, new) = (version(before), version(&parts.mappings.files(&account.name)));
    let line = format!(
        "The mapping files are version {new} now. Version {old}, which was in use before, does not \
         compile with this program, so the two cannot be compared, and sync.mapping_budget could not \
         be kept; {linked} records are linked. See what deals become with `{}`.",
        parts.command(&account.name, "mapping preview"),
    );
    alert::raise(parts, &account.name, &line).await;
    Ok(())
}

fn kinds(mappings: &[Arc<Mapping>]) -> BTreeSet<(CrmName, RecordKind)> {
    mappings.iter().map(|mapping| (mapping.crm(), mapping.kind())).collect()
}

#[cfg(test)]
mod tests {
    use super::estimate;
    use crate::mapping::DiffReport;

    #[test]
    fn samples_speak_for_all() {
        let table = [
            (50, 0, 100_000, 0, "nothing differs"),
            (50, 50, 100_000, 100_000, "everything differs"),
            (50, 1, 100_000, 2_000, "one in fifty"),
            (3, 1, 10, 4, "rounded up"),
            (0, 0, 7, 7, "none could be compared"),
            (0, 0, 0, 0, "none is linked"),
        ];
        for (samples, changed, linked, expected, why) in table {
            let report = DiffReport { samples, changed, ..DiffReport::default() };
            assert_eq!(estimate(&report, linked), expected, "{why}");
        }
    }
}
