//! What the tests of the store share: both implementations behind one handle, and small values.

#![allow(dead_code, reason = "each test binary uses its own part")]

use cosell_sync::domain::audit::{AuditKind, NewEntry};
use cosell_sync::domain::deal::{Deal, Link, LinkState};
use cosell_sync::domain::id::{
    AccountName, CrmName, DealId, NoticeId, RecordId, RecordKey, RecordKind, ReferralId,
};
use cosell_sync::domain::notice::{NewNotice, Source, Subject};
use cosell_sync::domain::time::Timestamp;
use cosell_sync::store::memory::MemoryStore;
use cosell_sync::store::sled::SledStore;
use cosell_sync::store::{Claim, Commit, Ending, Fate, Store};

/// A store that can be restarted.
pub(crate) enum Subjected {
    Memory(MemoryStore),
    Sled(Option<SledStore>, tempfile::TempDir),
}

impl Subjected {
    /// One of each implementation, empty.
    pub(crate) fn all() -> Vec<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let sled = SledStore::open(folder.path()).expect("a new store");
        vec![Self::Memory(MemoryStore::new()), Self::Sled(Some(sled), folder)]
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::Memory(store) => store,
            Self::Sled(store, _) => store.as_ref().expect("open"),
        }
    }

    /// As after the end of the process.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Memory(store) => store.restart(),
            Self::Sled(store, folder) => {
                *store = None;
                *store = Some(SledStore::open(folder.path()).expect("opens again"));
            }
        }
    }
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + secs * 1000)
}

pub(crate) fn contoso() -> AccountName {
    AccountName::new("contoso")
}

pub(crate) fn referral(number: u32) -> ReferralId {
    ReferralId::new(format!("11111111-2222-4333-8444-{number:012}"))
}

pub(crate) fn record(number: u32) -> RecordKey {
    RecordKey {
        crm: CrmName::Dynamics365,
        kind: RecordKind::Opportunity,
        id: RecordId::new(format!("aaaaaaaa-2222-4333-8444-{number:012}")),
    }
}

/// A notice that is due at once and never the same as another.
pub(crate) fn notice(subject: Subject) -> NewNotice {
    NewNotice {
        account: contoso(),
        source: Source::PartnerCenterWebhook,
        subject,
        event: "referral-updated".to_owned(),
        dedupe: None,
        due: at(0),
    }
}

pub(crate) fn about_referral(number: u32) -> NewNotice {
    notice(Subject::Referral(referral(number)))
}

pub(crate) fn about_record(number: u32) -> NewNotice {
    NewNotice { source: Source::Dynamics365, ..notice(Subject::Record(record(number))) }
}

pub(crate) fn known_as(dedupe: &str, notice: NewNotice) -> NewNotice {
    NewNotice { dedupe: Some(dedupe.to_owned()), ..notice }
}

pub(crate) fn deal(name: &str, referral_id: Option<u32>, records: &[u32]) -> Deal {
    Deal {
        id: DealId::new(name),
        account: contoso(),
        referral_id: referral_id.map(referral),
        engagement_id: None,
        microsoft: None,
        microsoft_referral_id: None,
        referral_version: None,
        referral_state: None,
        links: records.iter().map(|number| link(*number)).collect(),
        intents: Vec::new(),
        created: at(0),
        changed: at(0),
    }
}

fn link(number: u32) -> Link {
    Link {
        record: record(number),
        state: LinkState::Live,
        version: None,
        base: Default::default(),
        base_stage: None,
        stage_doubtful: false,
        stage_seen: None,
        hold: None,
        told: Vec::new(),
        columns: std::collections::BTreeMap::new(),
        former: std::collections::BTreeMap::new(),
        lead: None,
        parked: Vec::new(),
        standing: None,
        pending: Vec::new(),
    }
}

pub(crate) fn entry(deal: Option<&str>, summary: &str) -> NewEntry {
    NewEntry {
        at: at(1),
        account: contoso(),
        deal: deal.map(DealId::new),
        kind: AuditKind::Wrote,
        actor: "daemon".to_owned(),
        summary: summary.to_owned(),
        cause: Some("notice 1".to_owned()),
        fields: Vec::new(),
        request_ids: vec!["request-1".to_owned()],
        duration_ms: Some(12),
    }
}

/// Ends everything that was claimed in one way.
pub(crate) fn ending(claim: &Claim, fate: Fate) -> Commit {
    let notices: Vec<NoticeId> = claim.notices.iter().map(|notice| notice.id.clone()).collect();
    Commit {
        ending: Some(Ending { lane: claim.lane.clone(), notices, fate }),
        now: Some(at(10)),
        ..Commit::default()
    }
}

/// Checks that every accepted notice is accounted for, and that the counts say how many wait.
pub(crate) async fn assert_balanced(store: &dyn Store) {
    let ledger = store.ledger().await.expect("a ledger");
    for line in &ledger {
        assert!(line.balances(), "{line:?}");
    }
    let waiting = store.waiting(usize::MAX).await.expect("a list").len();
    let held = store.dead_letters(None, usize::MAX).await.expect("a list").len();
    let counted: (u64, u64) =
        ledger.iter().fold((0, 0), |sum, line| (sum.0 + line.waiting, sum.1 + line.held));
    assert_eq!(counted, (waiting as u64, held as u64));
}
