//! What one set of mapping files would write differently from another, over live deals; nothing is
//! written.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::live::refused;
use super::mapping_versions::find;
use super::parts::Parts;
use super::schema::fitted;
use super::slot::outside;
use crate::admin::operations::{MappingDiff, OperationError};
use crate::domain::deal::Deal;
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::mapping::{DiffReport, Mapping, MappingFolder, diff as compare};
use crate::sync::account::{Account, CrmPart};

/// Deals looked through for samples, at most.
const MOST_DEALS: usize = 100_000;

/// What the files in use are called.
pub(super) const IN_USE: &str = "in-use";

/// What the `new` files would write differently from the `old` ones, over at most `samples` linked
/// deals of each kind. Either is a folder, a version of the history, or `in-use`.
pub(super) async fn diff(
    parts: &Parts,
    account: &Account,
    old: &str,
    new: &str,
    samples: usize,
) -> Result<Vec<MappingDiff>, OperationError> {
    let (old, new) =
        match (compiled(parts, account, old).await, compiled(parts, account, new).await) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(first), Ok(_)) | (Ok(_), Err(first)) => return Err(first),
            // Whoever has two bad sets is told of both at once.
            (Err(first), Err(second)) => return Err(both(first, second)),
        };
    let mut reports = Vec::new();
    for part in &account.crms {
        let own = |all: &[Arc<Mapping>]| -> Vec<Arc<Mapping>> {
            all.iter().filter(|mapping| mapping.crm() == part.name()).cloned().collect()
        };
        let old = fitted(part, own(&old)).await.map_err(|unfit| refused(part, unfit))?;
        let new = fitted(part, own(&new)).await.map_err(|unfit| refused(part, unfit))?;
        let kinds: BTreeSet<RecordKind> =
            old.iter().chain(&new).map(|mapping| mapping.kind()).collect();
        for kind in kinds {
            let of = |all: &[Arc<Mapping>]| all.iter().find(|one| one.kind() == kind).cloned();
            reports.push(of_kind(parts, account, part, (of(&old), of(&new)), kind, samples).await?);
        }
    }
    Ok(reports)
}

/// What differs for one kind of record.
async fn of_kind(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    (old, new): (Option<Arc<Mapping>>, Option<Arc<Mapping>>),
    kind: RecordKind,
    samples: usize,
) -> Result<MappingDiff, OperationError> {
    let crm = part.name();
    let (Some(old), Some(new)) = (&old, &new) else {
        let note = if old.is_some() {
            "the new files do not map it: its deals would no longer be kept in step"
        } else {
            "the old files do not map it: its deals would be read for the first time"
        };
        let report = DiffReport::default();
        return Ok(MappingDiff { crm, kind, linked: 0, note: Some(note.to_owned()), report });
    };
    let deals = linked(parts, account, crm, kind).await?;
    let pairs = pairs(account, part, old, new, spread(&deals, samples)).await?;
    let report = compare(old, new, pairs.into_iter());
    Ok(MappingDiff { crm, kind, linked: deals.len(), note: None, report })
}

/// The compiled files of a folder, of a version, or those in use.
async fn compiled(
    parts: &Parts,
    account: &Account,
    which: &str,
) -> Result<Vec<Arc<Mapping>>, OperationError> {
    let folder = Path::new(which);
    let read = if which == IN_USE {
        Ok(MappingFolder::of("in use", &parts.mappings.files(&account.name)))
    } else if folder.is_absolute() {
        MappingFolder::read(folder)
    } else {
        let kept = find(parts, &account.name, which).await?;
        Ok(MappingFolder::of(&format!("version {which}"), &kept.files))
    };
    let compiled = read.and_then(|read| read.compile()).map_err(|problems| {
        let count = problems.0.len();
        let what = if count == 1 { "a problem".to_owned() } else { format!("{count} problems") };
        OperationError::Refused {
            what: format!("The files of {which} have {what}.\n\n{problems}\n"),
            fix: "Correct them; nothing was compared.".to_owned(),
        }
    })?;
    Ok(compiled.into_iter().map(Arc::new).collect())
}

fn both(first: OperationError, second: OperationError) -> OperationError {
    match (first, second) {
        (
            OperationError::Refused { what: one, fix },
            OperationError::Refused { what: other, .. },
        ) if one != other => OperationError::Refused { what: format!("{one}\n{other}"), fix },
        (first, _) => first,
    }
}

/// At most `samples` deals, taken evenly from all.
pub(super) fn spread(deals: &[Deal], samples: usize) -> impl Iterator<Item = &Deal> {
    let count = samples.min(deals.len());
    (0..count).map(move |at| &deals[at * deals.len() / count])
}

/// Both sides of deals, read with the fields of both mappings.
pub(super) async fn pairs<'d>(
    account: &Account,
    part: &CrmPart,
    old: &Mapping,
    new: &Mapping,
    deals: impl Iterator<Item = &'d Deal>,
) -> Result<Vec<(Referral, Fields)>, OperationError> {
    let mut shape = new.shape().clone();
    for field in &old.shape().fields {
        if !shape.fields.contains(field) {
            shape.fields.push(field.clone());
        }
    }
    let mut pairs = Vec::new();
    for deal in deals {
        let (Some(id), Some(link)) = (&deal.referral_id, deal.link(part.name())) else { continue };
        let referral = account.partner_center.referral(id).await;
        let referral = referral.map_err(|fault| outside("Partner Center", &fault))?;
        let record = part.crm.fetch(link.record.kind, &link.record.id, &shape).await;
        let record = record.map_err(|fault| outside(part.name().title(), &fault))?;
        pairs.extend(referral.zip(record.map(|record| record.fields)));
    }
    Ok(pairs)
}

/// The deals of an account that have a referral and a record of this kind.
pub(super) async fn linked(
    parts: &Parts,
    account: &Account,
    crm: CrmName,
    kind: RecordKind,
) -> Result<Vec<Deal>, OperationError> {
    let deals = parts.around.store.deals(Some(&account.name), None, MOST_DEALS).await?;
    let fits = |deal: &Deal| {
        deal.referral_id.is_some() && deal.link(crm).is_some_and(|link| link.record.kind == kind)
    };
    Ok(deals.into_iter().filter(fits).collect())
}
