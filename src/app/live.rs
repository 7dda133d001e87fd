//! What mappings make of live deals; nothing is written.

use std::path::Path;
use std::sync::Arc;

use super::parts::Parts;
use super::schema::{current, refined};
use super::slot::outside;
use crate::admin::operations::{MappingDiff, MappingView, OperationError, PreviewSubject};
use crate::domain::deal::Deal;
use crate::domain::id::{RecordId, RecordKind, ReferralId};
use crate::domain::record::Fields;
use crate::domain::referral::Referral;
use crate::mapping::rule::Occasion;
use crate::mapping::{
    DiffReport, Mapping, PreviewInput, PreviewLine, diff as compare, load_directory,
    preview as show,
};
use crate::sync::account::{Account, CrmPart};

/// Deals looked through for samples, at most.
const MOST_DEALS: usize = 5_000;

/// The mappings in use.
pub(super) fn mappings(parts: &Parts) -> Vec<MappingView> {
    let mut views = Vec::new();
    for account in &parts.accounts {
        for part in &account.crms {
            views.extend(current(part).iter().map(|mapping| MappingView {
                account: account.name.clone(),
                crm: part.name(),
                kind: mapping.kind(),
                file: mapping.file().to_owned(),
                version: mapping.version().to_owned(),
                fields: mapping.fields().len(),
            }));
        }
    }
    views
}

fn missing(what: String) -> OperationError {
    OperationError::NotFound { what, fix: "Check the id and the account.".to_owned() }
}

fn part<'a>(account: &'a Account, subject: &PreviewSubject) -> Result<&'a CrmPart, OperationError> {
    let part = account.part(subject.crm);
    part.ok_or_else(|| missing(format!("{} has no {}.", account.name, subject.crm.title())))
}

/// The mapping of a part as the live schema allows it.
async fn fitted(part: &CrmPart, kind: RecordKind) -> Result<Arc<Mapping>, OperationError> {
    let own: Vec<_> = part.mapping(kind).into_iter().collect();
    let own = refined(part, own).await.map_err(|fault| outside(part.name().title(), &fault))?;
    own.into_iter().next().ok_or_else(|| missing(format!("No mapping is for a {kind}.")))
}

/// What one live referral or record becomes on the other side.
pub(super) async fn preview(
    account: &Account,
    subject: &PreviewSubject,
) -> Result<Vec<PreviewLine>, OperationError> {
    let part = part(account, subject)?;
    let mapping = fitted(part, subject.kind).await?;
    if let Some(id) = &subject.referral {
        let referral = referral(account, id).await?;
        return Ok(show(&mapping, PreviewInput::Referral(&referral, Occasion::Update)));
    }
    let id = subject.record.clone().unwrap_or_default();
    let record = part.crm.fetch(subject.kind, &RecordId::new(id.clone()), mapping.shape()).await;
    let record = record.map_err(|fault| outside(part.name().title(), &fault))?;
    let record = record.ok_or_else(|| missing(format!("There is no {} `{id}`.", subject.kind)))?;
    Ok(show(&mapping, PreviewInput::Record(&record.fields, Occasion::Update)))
}

async fn referral(account: &Account, id: &str) -> Result<Referral, OperationError> {
    let parsed = ReferralId::parse(id);
    let parsed = parsed.ok_or_else(|| missing(format!("`{id}` is not a referral id.")))?;
    let referral = account.partner_center.referral(&parsed).await;
    let referral = referral.map_err(|fault| outside("Partner Center", &fault))?;
    referral.ok_or_else(|| missing(format!("There is no referral `{id}`.")))
}

/// What the files of `folder` would write differently, over linked deals.
pub(super) async fn diff(
    parts: &Parts,
    account: &Account,
    folder: &Path,
    samples: usize,
) -> Result<Vec<MappingDiff>, OperationError> {
    let new = match load_directory(folder) {
        Ok(new) => new,
        Err(problems) => {
            let fix = "Correct them; `check --mappings DIR` shows them all.".to_owned();
            let first = problems.0.first().map(|problem| problem.message.clone());
            let what = format!("The new files have problems: {}.", first.unwrap_or_default());
            return Err(OperationError::Refused { what, fix });
        }
    };
    let mut reports = Vec::new();
    for new in new {
        let Some(part) = account.part(new.crm()) else { continue };
        let (crm, kind) = (new.crm(), new.kind());
        let new = refined(part, vec![Arc::new(new)]).await;
        let new = new.map_err(|fault| outside(crm.title(), &fault))?;
        let (Some(new), Ok(old)) = (new.first(), fitted(part, kind).await) else { continue };
        let pairs = pairs(parts, account, part, &old, new, samples).await?;
        let report: DiffReport = compare(&old, new, pairs.into_iter());
        reports.push(MappingDiff { crm, kind, report });
    }
    Ok(reports)
}

/// Both sides of linked deals, read with the fields of both mappings.
async fn pairs(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    old: &Mapping,
    new: &Mapping,
    samples: usize,
) -> Result<Vec<(Referral, Fields)>, OperationError> {
    let mut shape = new.shape().clone();
    for field in &old.shape().fields {
        if !shape.fields.contains(field) {
            shape.fields.push(field.clone());
        }
    }
    let mut pairs = Vec::new();
    for deal in linked(parts, account, part, old.kind()).await? {
        if pairs.len() >= samples {
            break;
        }
        let (Some(id), Some(link)) = (&deal.referral_id, deal.link(part.name())) else { continue };
        let referral = account.partner_center.referral(id).await;
        let referral = referral.map_err(|fault| outside("Partner Center", &fault))?;
        let record = part.crm.fetch(link.record.kind, &link.record.id, &shape).await;
        let record = record.map_err(|fault| outside(part.name().title(), &fault))?;
        pairs.extend(referral.zip(record.map(|record| record.fields)));
    }
    Ok(pairs)
}

async fn linked(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    kind: RecordKind,
) -> Result<Vec<Deal>, OperationError> {
    let deals = parts.around.store.deals(Some(&account.name), None, MOST_DEALS).await?;
    let fits = |deal: &Deal| deal.link(part.name()).is_some_and(|link| link.record.kind == kind);
    Ok(deals.into_iter().filter(fits).collect())
}
