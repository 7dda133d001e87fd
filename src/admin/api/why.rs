//! `/why`: the chain of causes for one deal, in plain words.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::super::extract::Asked;
use super::super::operations::ParkedField;
use super::super::{Admin, Problem};
use super::deals::MOST_WAITING;
use super::view::{DealLine, Waiting, is_deadline};
use crate::domain::audit::AuditEntry;
use crate::domain::deal::Deal;
use crate::domain::id::{CrmName, DealId, RecordId, RecordKey, RecordKind, ReferralId};
use crate::domain::notice::Subject;
use crate::store::{AuditQuery, DealKey};

/// Entries told, at most.
const MOST_ENTRIES: usize = 200;
/// Entries searched at once for an id that no deal has, and how many times.
const AT_ONCE: usize = 1000;
const MOST_PAGES: usize = 50;
/// No id of the three systems is shorter.
const SHORTEST_ID: usize = 15;

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
    let story = match &deal {
        Some(deal) => story_of(&admin, deal).await?,
        None => mentions(&admin, id).await?,
    };
    let unheard_of = queued.is_empty() && held.is_empty() && deadlines.is_empty();
    if deal.is_none() && unheard_of && story.is_empty() {
        return Err(Problem::not_found(
            format!("Nothing is known of `{id}`."),
            "Give the id of a referral, of a record, or of a deal as `links` shows them.",
        ));
    }
    let waiting = Waiting::of(&waiting, &letters, now);
    let summary = deal.as_ref().map(|deal| DealLine::of(deal, &waiting));
    let parked = deal.as_ref().map(|deal| left_out(&admin, deal)).unwrap_or_default();
    Ok(Json(json!({
        "summary": summary,
        "story": story,
        "waiting": queued,
        "deadlines": deadlines,
        "held": held,
        "parked": parked,
    })))
}

/// The rows that are left out for every record of a kind that the deal has; not those that may lack
/// their field.
fn left_out(admin: &Admin, deal: &Deal) -> Vec<ParkedField> {
    let parked = admin.operations.parked(&deal.account).into_iter();
    let concerns = |field: &ParkedField| {
        let of = |key: &RecordKey| (key.crm, key.kind) == (field.crm, field.kind);
        !field.row.optional && deal.links.iter().any(|link| of(&link.record))
    };
    parked.filter(concerns).collect()
}

/// What happened to a deal, oldest first.
async fn story_of(admin: &Admin, deal: &Deal) -> Result<Vec<AuditEntry>, Problem> {
    let deal = Some(deal.id.clone());
    let query = AuditQuery { deal, limit: MOST_ENTRIES, ..AuditQuery::default() };
    let mut story = admin.store.audit(&query).await?;
    story.reverse();
    Ok(story)
}

/// The newest entries without a deal that name `id`, oldest first: why it was ignored, for example.
async fn mentions(admin: &Admin, id: &str) -> Result<Vec<AuditEntry>, Problem> {
    let id = id.rsplit('/').next().unwrap_or(id);
    let mut story = Vec::new();
    // An ordinary word is no id, and would be found everywhere.
    if id.len() < SHORTEST_ID || !id.contains(|letter: char| letter.is_ascii_digit()) {
        return Ok(story);
    }
    let mut query = AuditQuery { limit: AT_ONCE, ..AuditQuery::default() };
    for _ in 0..MOST_PAGES {
        let page = admin.store.audit(&query).await?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.number);
        story.extend(
            page.into_iter()
                .filter(|one| one.entry.deal.is_none() && names(&one.entry.summary, id)),
        );
        if story.len() >= MOST_ENTRIES {
            break;
        }
    }
    story.truncate(MOST_ENTRIES);
    story.reverse();
    Ok(story)
}

/// Whether a sentence names an id as a word of its own.
fn names(sentence: &str, id: &str) -> bool {
    let mut words = sentence.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    words.any(|word| word.eq_ignore_ascii_case(id))
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
