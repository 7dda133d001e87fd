//! The report of shadow mode: what was planned, beside what the systems hold now.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::Parts;
use super::slot::outside;
use crate::admin::operations::{OperationError, ShadowLine, ShadowReport};
use crate::connect::error::ConnectError;
use crate::domain::audit::{AuditEntry, AuditKind, FieldChange};
use crate::domain::deal::{Deal, Values};
use crate::domain::id::DealId;
use crate::domain::stage::Stage;
use crate::domain::value::Value;
use crate::store::{AuditQuery, StoreError};
use crate::sync::account::{Account, CrmPart};

/// Entries read at once, and how many times.
const AT_ONCE: usize = 1000;
const MOST_PAGES: usize = 100;

/// The newest plan for each system and field of a deal.
type Plans = BTreeMap<(String, String), FieldChange>;

/// Compares the newest plans of at most `limit` deals with what both sides hold now.
pub(super) async fn report(
    parts: &Parts,
    account: &Account,
    limit: usize,
) -> Result<ShadowReport, OperationError> {
    let (planned, creations) = plans(parts, account).await?;
    let mut report = ShadowReport {
        account: account.name.clone(),
        deals: planned.len() as u64,
        as_planned: 0,
        differs: 0,
        not_yet: 0,
        to_create: 0,
        items: Vec::new(),
    };
    for (deal, system) in creations {
        let made =
            parts.around.store.deal(&deal).await?.is_some_and(|deal| {
                deal.links.iter().any(|link| link.record.crm.as_str() == system)
            });
        report.to_create += u64::from(!made);
    }
    for (id, plans) in planned.into_iter().take(limit) {
        let Some(deal) = parts.around.store.deal(&id).await? else { continue };
        let held = held(account, &deal).await?;
        for ((system, field), change) in plans {
            let now = held.get(&system).and_then(|values| values.get(&field));
            let outcome = outcome(&change, now);
            match outcome {
                "as_planned" => report.as_planned += 1,
                "differs" => report.differs += 1,
                _ => report.not_yet += 1,
            }
            report.items.push(ShadowLine {
                deal: id.clone(),
                system,
                field,
                planned: change.after,
                held: now.cloned().unwrap_or_default(),
                outcome: outcome.to_owned(),
            });
        }
    }
    Ok(report)
}

/// What became of one planned value.
fn outcome(change: &FieldChange, now: Option<&Value>) -> &'static str {
    match now {
        Some(now) if *now == change.after => "as_planned",
        Some(now) if *now != change.before => "differs",
        _ => "not_yet",
    }
}

/// The newest plans by deal, and the records that would have been made.
async fn plans(
    parts: &Parts,
    account: &Account,
) -> Result<(BTreeMap<DealId, Plans>, BTreeSet<(DealId, String)>), StoreError> {
    let (mut planned, mut creations) = (BTreeMap::<DealId, Plans>::new(), BTreeSet::new());
    let mut query = AuditQuery {
        account: Some(account.name.clone()),
        kind: Some(AuditKind::WouldWrite),
        limit: AT_ONCE,
        ..AuditQuery::default()
    };
    for _ in 0..MOST_PAGES {
        let page = parts.around.store.audit(&query).await?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.number);
        for AuditEntry { entry, .. } in page {
            let Some(deal) = entry.deal else { continue };
            if entry.summary.starts_with("Would create") {
                creations.insert((deal, entry.actor));
                continue;
            }
            let plans = planned.entry(deal).or_default();
            for change in entry.fields {
                plans.entry((entry.actor.clone(), change.field.clone())).or_insert(change);
            }
        }
    }
    Ok((planned, creations))
}

/// What each system holds of a deal now, by its name.
async fn held(account: &Account, deal: &Deal) -> Result<BTreeMap<String, Values>, OperationError> {
    let mut held: BTreeMap<String, Values> = BTreeMap::new();
    let referral = match &deal.referral_id {
        Some(id) => account.partner_center.referral(id).await,
        None => return Ok(held),
    };
    let referral = referral.map_err(|fault| outside("Partner Center", &fault))?;
    for link in &deal.links {
        let Some(part) = account.part(link.record.crm) else { continue };
        let Some(mapping) = part.mapping(link.record.kind) else { continue };
        if let Some(referral) = &referral {
            let there = held.entry("partner_center".to_owned()).or_default();
            there.extend(mapping.read_referral(referral).values);
            let stage = Stage::of(&referral.state());
            there.extend(stage.map(|stage| ("stage".to_owned(), Value::text(stage.as_str()))));
        }
        let record = fetch(part, deal, link.record.crm.as_str()).await;
        let record = record.map_err(|fault| outside(part.name().title(), &fault))?;
        let Some(record) = record else { continue };
        let mut here = mapping.read_record(&record.fields).values;
        let stage = mapping.stage_of(&record.fields);
        here.extend(stage.map(|stage| ("stage".to_owned(), Value::text(stage.as_str()))));
        held.insert(part.name().as_str().to_owned(), here);
    }
    Ok(held)
}

async fn fetch(
    part: &CrmPart,
    deal: &Deal,
    system: &str,
) -> Result<Option<crate::domain::record::Record>, ConnectError> {
    let link = deal.links.iter().find(|link| link.record.crm.as_str() == system);
    let Some(key) = link.map(|link| &link.record) else { return Ok(None) };
    let Some(mapping) = part.mapping(key.kind) else { return Ok(None) };
    part.crm.fetch(key.kind, &key.id, mapping.shape()).await
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use crate::domain::audit::FieldChange;
    use crate::domain::value::Value;

    #[test]
    fn a_plan_is_judged_by_what_is_held_now() {
        let (before, after) = (Value::Integer(1), Value::Integer(2));
        let change = FieldChange { field: "value".to_owned(), before, after };
        let table = [
            (Some(Value::Integer(2)), "as_planned", "somebody wrote just that"),
            (Some(Value::Integer(3)), "differs", "somebody wrote something else"),
            (Some(Value::Integer(1)), "not_yet", "nothing has happened"),
            (None, "not_yet", "it cannot be read"),
        ];
        for (now, expected, why) in table {
            assert_eq!(outcome(&change, now.as_ref()), expected, "{why}");
        }
    }
}
