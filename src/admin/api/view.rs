//! A deal as people see it.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::deal::{Deal, Link, LinkState, Parked};
use crate::domain::hold::Hold;
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::notice::{Notice, Source, Subject};
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::store::DeadLetter;

/// One line of the list of deals.
#[derive(Debug, Serialize)]
pub(super) struct DealLine {
    id: String,
    account: String,
    /// `in sync`, `waiting`, `needs attention`, `paused`, `closed`.
    state: &'static str,
    /// Why it needs attention, where a record of it is lost.
    alert: Option<String>,
    name: Option<String>,
    stage: Option<&'static str>,
    referral_id: Option<String>,
    engagement_id: Option<String>,
    links: Vec<LinkLine>,
    changed: Timestamp,
}

#[derive(Debug, Serialize)]
struct LinkLine {
    crm: CrmName,
    kind: RecordKind,
    record: String,
    state: LinkState,
    hold: Option<Hold>,
    /// Fields that rest, each with what to do about it.
    parked: Vec<Parked>,
}

/// What waits in the inbox and what is held, to tell *waiting* and *needs attention* from *in sync*.
#[derive(Default)]
pub(super) struct Waiting {
    waits: BTreeSet<(String, Subject)>,
    held: BTreeSet<(String, Subject)>,
}

impl Waiting {
    /// From the notices that wait and those that are held. A deadline that the daemon watches is no
    /// work that waits.
    pub(super) fn of(waiting: &[Notice], held: &[DeadLetter], now: Timestamp) -> Self {
        let key =
            |notice: &Notice| (notice.notice.account.to_string(), notice.notice.subject.clone());
        Self {
            waits: waiting.iter().filter(|one| !is_deadline(one, now)).map(key).collect(),
            held: held.iter().map(|letter| key(&letter.notice)).collect(),
        }
    }

    /// Whether a notice about the deal is held: a record that could not be made has no link to show it.
    pub(super) fn holds(&self, deal: &Deal) -> bool {
        names(&self.held, deal)
    }

    fn has(&self, deal: &Deal) -> bool {
        names(&self.waits, deal)
    }
}

fn names(all: &BTreeSet<(String, Subject)>, deal: &Deal) -> bool {
    let account = deal.account.to_string();
    let own = deal.referral_id.iter().chain(&deal.microsoft_referral_id);
    let referrals = own.map(|id| Subject::Referral(id.clone()));
    let records = deal.links.iter().map(|link| Subject::Record(link.record.clone()));
    let mut subjects =
        referrals.chain(records).chain(std::iter::once(Subject::Deal(deal.id.clone())));
    subjects.any(|subject| all.contains(&(account.clone(), subject)))
}

/// Whether a notice only wakes the daemon at a later moment, for example before a referral expires.
pub(super) fn is_deadline(notice: &Notice, now: Timestamp) -> bool {
    notice.notice.source == Source::Daemon && notice.attempts == 0 && notice.notice.due > now
}

impl DealLine {
    /// The line of `deal`.
    pub(super) fn of(deal: &Deal, waiting: &Waiting) -> Self {
        let stage = deal.referral_state.as_ref().and_then(Stage::of);
        let name = deal.links.iter().find_map(|link| {
            let agreed = link.base.get("name")?;
            agreed.referral.value().or(agreed.record.value())?.as_text().map(str::to_owned)
        });
        let links = deal.links.iter().map(|link| LinkLine {
            crm: link.record.crm,
            kind: link.record.kind,
            record: link.record.id.to_string(),
            state: link.state.clone(),
            hold: link.hold.clone(),
            parked: link.parked.clone(),
        });
        Self {
            id: deal.id.to_string(),
            account: deal.account.to_string(),
            state: state(deal, stage, waiting),
            alert: deal.lost_record(),
            name,
            stage: stage.map(Stage::as_str),
            referral_id: deal.referral_id.as_ref().map(ToString::to_string),
            engagement_id: deal.engagement_id.as_ref().map(ToString::to_string),
            links: links.collect(),
            changed: deal.changed,
        }
    }
}

/// The word for people.
pub(super) fn state(deal: &Deal, stage: Option<Stage>, waiting: &Waiting) -> &'static str {
    let paused = |link: &Link| link.state == LinkState::Paused;
    if deal.hold().is_some() || waiting.holds(deal) {
        "needs attention"
    } else if waiting.has(deal) || !deal.intents.is_empty() {
        "waiting"
    } else if stage.is_some_and(Stage::is_closed) {
        "closed"
    } else if deal.links.iter().any(|link| link.is_cut() || !link.parked.is_empty()) {
        "needs attention"
    } else if !deal.links.is_empty() && deal.links.iter().all(paused) {
        "paused"
    } else {
        "in sync"
    }
}

#[cfg(test)]
mod tests {
    use super::{DealLine, Waiting};
    use crate::domain::deal::{Deal, Link, LinkState};
    use crate::domain::id::{AccountName, CrmName, DealId, RecordId, RecordKey, RecordKind};
    use crate::domain::referral::{ReferralState, Status, Substatus};
    use crate::domain::time::Timestamp;

    fn deal(crms: [LinkState; 2], state: (Status, Substatus)) -> Deal {
        let record = |crm| RecordKey {
            crm,
            kind: RecordKind::Opportunity,
            id: RecordId::new("0061x00000AbCdE"),
        };
        let names = [CrmName::Dynamics365, CrmName::Salesforce];
        let links = names.into_iter().zip(crms).map(|(crm, state)| Link {
            record: record(crm),
            state,
            version: None,
            columns: std::collections::BTreeMap::new(),
            former: std::collections::BTreeMap::new(),
            lead: None,
            parked: Vec::new(),
            standing: None,
            base: std::collections::BTreeMap::new(),
            base_stage: None,
            stage_doubtful: false,
            stage_seen: None,
            hold: None,
            told: Vec::new(),
            pending: Vec::new(),
        });
        Deal {
            id: DealId::new("11111111-2222-4333-8444-555555555555"),
            account: AccountName::new("contoso"),
            referral_id: None,
            engagement_id: None,
            microsoft_referral_id: None,
            microsoft: None,
            referral_version: None,
            referral_state: Some(ReferralState::new(state.0, state.1)),
            links: links.collect(),
            intents: Vec::new(),
            created: Timestamp::from_millis(0),
            changed: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_lost_record_is_never_called_healthy() {
        let lost = || LinkState::Tombstone { reason: "the record was deleted".to_owned() };
        let open = || (Status::Active, Substatus::Accepted);
        let ended = || (Status::Closed, Substatus::Lost);
        let table = [
            ([LinkState::Live, LinkState::Live], open(), "in sync", false, "both are there"),
            ([LinkState::Live, lost()], open(), "needs attention", true, "one of two is lost"),
            ([lost(), lost()], open(), "needs attention", true, "open without any record"),
            ([LinkState::Live, lost()], ended(), "closed", false, "nothing is to be done"),
            ([LinkState::Paused, LinkState::Paused], open(), "paused", false, "un-ticked"),
        ];
        for (links, state, word, alert, why) in table {
            let deal = deal(links, state);
            let none = Waiting::default();
            let line = DealLine::of(&deal, &none);
            assert_eq!((line.state, line.alert.is_some()), (word, alert), "{why}");
        }
    }
}
