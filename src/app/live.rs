//! What mappings make of live deals; nothing is written.

use std::sync::Arc;

use super::parts::Parts;
use super::schema::{Unfit, current, fitted as fit};
use super::slot::outside;
use crate::admin::operations::{MappingPreview, MappingView, OperationError, PreviewSubject};
use crate::domain::id::{RecordId, RecordKind, ReferralId};
use crate::domain::referral::Referral;
use crate::mapping::rule::Occasion;
use crate::mapping::{Mapping, PreviewInput, preview as show};
use crate::store::DealKey;
use crate::sync::account::{Account, CrmPart};

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
    let own = fit(part, own).await.map_err(|unfit| refused(part, unfit))?;
    own.into_iter().next().ok_or_else(|| missing(format!("No mapping is for a {kind}.")))
}

/// Why mappings cannot be used with a CRM, for the person who asked.
pub(super) fn refused(part: &CrmPart, unfit: Unfit) -> OperationError {
    match unfit {
        Unfit::Unreachable(fault) => outside(part.name().title(), &fault),
        Unfit::Lacking(what) => OperationError::Refused {
            what,
            fix: "Make the fields with `cosell-sync provision --apply`.".to_owned(),
        },
    }
}

/// What one live referral or record becomes on the other side: that of one that is made where none
/// is linked.
pub(super) async fn preview(
    parts: &Parts,
    account: &Account,
    subject: &PreviewSubject,
) -> Result<MappingPreview, OperationError> {
    let part = part(account, subject)?;
    let mapping = fitted(part, subject.kind).await?;
    if let Some(id) = &subject.referral {
        let referral = referral(account, id).await?;
        let key = DealKey::Referral(referral.id().clone());
        let occasion = occasion(parts, account, subject, &key).await?;
        let items = show(&mapping, PreviewInput::Referral(&referral, occasion));
        return Ok(MappingPreview { occasion, items });
    }
    let id = RecordId::new(subject.record.clone().unwrap_or_default());
    let record = part.crm.fetch(subject.kind, &id, mapping.shape()).await;
    let record = record.map_err(|fault| outside(part.name().title(), &fault))?;
    let record = record.ok_or_else(|| missing(format!("There is no {} `{id}`.", subject.kind)))?;
    let occasion = occasion(parts, account, subject, &DealKey::Record(record.key.clone())).await?;
    let items = show(&mapping, PreviewInput::Record(&record.fields, occasion));
    Ok(MappingPreview { occasion, items })
}

/// Whether the other side of a deal is there to be changed.
async fn occasion(
    parts: &Parts,
    account: &Account,
    subject: &PreviewSubject,
    key: &DealKey,
) -> Result<Occasion, OperationError> {
    if subject.new {
        return Ok(Occasion::Create);
    }
    let deal = parts.around.store.deal_by(&account.name, key).await?;
    let linked = deal.is_some_and(|deal| {
        let link = deal.link(subject.crm);
        deal.referral_id.is_some() && link.is_some_and(|link| link.record.kind == subject.kind)
    });
    Ok(if linked { Occasion::Update } else { Occasion::Create })
}

async fn referral(account: &Account, id: &str) -> Result<Referral, OperationError> {
    let parsed = ReferralId::parse(id);
    let parsed = parsed.ok_or_else(|| missing(format!("`{id}` is not a referral id.")))?;
    let referral = account.partner_center.referral(&parsed).await;
    let referral = referral.map_err(|fault| outside("Partner Center", &fault))?;
    referral.ok_or_else(|| missing(format!("There is no referral `{id}`.")))
}
