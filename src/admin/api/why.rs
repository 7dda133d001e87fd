//! `/why`: the chain of causes for one deal, in plain words.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::Asked;
use super::super::{Admin, Problem};
use super::deals::MOST_WAITING;
use super::view::{DealLine, Waiting, is_deadline};
use crate::domain::deal::Deal;
use crate::domain::id::{CrmName, DealId, RecordId, RecordKey, RecordKind, ReferralId};
use crate::domain::notice::Subject;
use crate::store::{AuditQuery, DealKey};

/// Entries told, at most.
const MOST_ENTRIES: usize = 200;

#[derive(Deserialize)]
pub(super) struct Question {
    id: String,
}

/// `GET /why?id=`: a referral, a record or a deal; what happened to it, oldest first, how it stands
/// now and the next step.
pub(super) async fn why(
    State(admin): State<Arc<Admin>>,
    Asked(question): Asked<Question>,
) -> Result<Json<Json_>, Problem> {
    let id = question.id.trim();
    let waiting = admin.store.waiting(MOST_WAITING).await?;
    let letters = admin.store.dead_letters(None, MOST_WAITING).await?;
    let deal = find(&admin, id).await?;
    let concerns = |subject: &Subject| about(subject, id, deal.as_ref());
    let now = admin.clock.now();
    let (deadlines, queued): (Vec<_>, Vec<_>) = waiting
        .iter()
        .filter(|notice| concerns(&notice.notice.subject))
        .cloned()
        .partition(|notice| is_deadline(notice, now));
    let held: Vec<_> =
        letters.iter().filter(|letter| concerns(&letter.notice.notice.subject)).collect();
    if deal.is_none() && queued.is_empty() && held.is_empty() && deadlines.is_empty() {
        return Err(Problem::not_found(
            format!("Nothing is known of `{id}`."),
            "Give the id of a referral, of a record, or of a deal as `links` shows them.",
        ));
    }
    let mut story = Vec::new();
    if let Some(deal) = &deal {
        let query = AuditQuery {
            deal: Some(deal.id.clone()),
            limit: MOST_ENTRIES,
            ..AuditQuery::default()
        };
        story = admin.store.audit(&query).await?;
        story.reverse();
    }
    let waiting = Waiting::of(waiting, now);
    let summary = deal.as_ref().map(|deal| DealLine::of(deal, &waiting));
    Ok(Json(json!({
        "summary": summary,
        "story": story,
        "waiting": queued,
        "deadlines": deadlines,
        "held": held,
    })))
}

/// Whether a notice is about what was asked for.
fn about(subject: &Subject, id: &str, deal: Option<&Deal>) -> bool {
    let same = |text: &str| text.eq_ignore_ascii_case(id);
    match subject {
        Subject::Referral(referral) => {
            same(referral.as_str())
                || deal.is_some_and(|deal| {
                    deal.referral_id.as_ref() == Some(referral)
                        || deal.microsoft_referral_id.as_ref() == Some(referral)
                })
        }
        Subject::Record(key) => {
            same(key.id.as_str())
                || same(&key.to_string())
                || deal.is_some_and(|deal| deal.links.iter().any(|link| link.record == *key))
        }
        Subject::Deal(of) => same(of.as_str()) || deal.is_some_and(|deal| deal.id == *of),
        Subject::Unusable(_) => false,
    }
}

/// The deal that `id` names in any of its ways.
pub(super) async fn find(admin: &Admin, id: &str) -> Result<Option<Deal>, Problem> {
    if let Some(deal) = admin.store.deal(&DealId::new(id)).await? {
        return Ok(Some(deal));
    }
    let mut keys = Vec::new();
    keys.extend(ReferralId::parse(id).map(DealKey::Referral));
    let record = id.rsplit('/').next().unwrap_or(id);
    for crm in [CrmName::Dynamics365, CrmName::Salesforce] {
        let written = if crm == CrmName::Dynamics365 {
            record.to_ascii_lowercase()
        } else {
            record.to_owned()
        };
        for kind in [RecordKind::Opportunity, RecordKind::Lead] {
            let id = RecordId::new(written.clone());
            keys.push(DealKey::Record(RecordKey { crm, kind, id }));
        }
    }
    for account in admin.operations.accounts() {
        for key in &keys {
            if let Some(deal) = admin.store.deal_by(&account, key).await? {
                return Ok(Some(deal));
            }
        }
    }
    Ok(None)
}
