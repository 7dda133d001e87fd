//! Random histories of the store against a model that is too small to be wrong.

#[path = "store_support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use cosell_sync::domain::hold::Hold;
use cosell_sync::domain::id::NoticeId;
use cosell_sync::domain::notice::{Done, NewNotice, Subject};
use cosell_sync::store::{Claim, Commit, DealKey, Fate, Release, Store};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use support::{Subjected, about_record, about_referral, at, deal, ending, entry, known_as};

/// One step of a history. Three subjects of each kind, so that they meet all the time.
#[derive(Debug, Clone)]
enum Step {
    Enqueue { referral: bool, number: u32, key: u8, wait: i64 },
    Claim { limit: usize },
    End { which: usize, how: How },
    GiveBack { which: usize },
    Link { deal: u32, referral: u32, record: u32 },
    Release { which: usize, retry: bool },
    Pass { secs: i64 },
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Done,
    Ignored,
    Retry(i64),
    Held,
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        Just(How::Done),
        Just(How::Ignored),
        (0i64..4).prop_map(How::Retry),
        Just(How::Held),
    ];
    prop_oneof![
        6 => (any::<bool>(), 0u32..3, 0u8..40, 0i64..4).prop_map(
            |(referral, number, key, wait)| Step::Enqueue { referral, number, key, wait }
        ),
        4 => (1usize..4).prop_map(|limit| Step::Claim { limit }),
        4 => (any::<usize>(), how).prop_map(|(which, how)| Step::End { which, how }),
        1 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
        2 => (0u32..2, 0u32..3, 0u32..3)
            .prop_map(|(deal, referral, record)| Step::Link { deal, referral, record }),
        2 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, retry)| Step::Release { which, retry }),
        2 => (1i64..3).prop_map(|secs| Step::Pass { secs }),
        1 => Just(Step::Restart),
    ]
}

/// Where every notice that was ever accepted is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Held,
    Done,
}

/// The lane that a notice belongs to: its deal's, or its subject's own.
async fn lane_of(store: &dyn Store, notice: &NewNotice) -> Subject {
    let key = match notice.subject.clone() {
        Subject::Referral(id) => DealKey::Referral(id),
        Subject::Record(key) => DealKey::Record(key),
        other => return other,
    };
    let deal = store.deal_by(&notice.account, &key).await.expect("an answer");
    deal.map_or_else(|| notice.subject.clone(), |deal| Subject::Deal(deal.id))
}

#[derive(Default)]
struct Model {
    places: BTreeMap<NoticeId, Place>,
    keys: BTreeSet<String>,
    working: Vec<Claim>,
    now: i64,
}

impl Model {
    fn ids(&self, place: Place) -> Vec<NoticeId> {
        let here = self.places.iter().filter(|(_, at)| **at == place);
        here.map(|(id, _)| id.clone()).collect()
    }

    fn take(&mut self, which: usize) -> Option<Claim> {
        let count = self.working.len();
        (count > 0).then(|| self.working.remove(which % count))
    }

    /// Applies one step to the model and to the store, and compares what they answer.
    async fn apply(&mut self, subjected: &mut Subjected, step: &Step) {
        match *step {
            Step::Enqueue { referral, number, key, wait } => {
                let notice = if referral { about_referral(number) } else { about_record(number) };
                let key = format!("key {key}");
                let mut notice = known_as(&key, notice);
                notice.due = at(self.now + wait);
                let now = at(self.now);
                let fresh = subjected.store().enqueue(vec![notice], vec![], vec![], now).await;
                assert_eq!(fresh.expect("durable") == 1, self.keys.insert(key));
                for notice in subjected.store().waiting(usize::MAX).await.expect("a list") {
                    self.places.entry(notice.id).or_insert(Place::Waiting);
                }
            }
            Step::Claim { limit } => {
                let claims = subjected.store().claim(at(self.now), limit).await.expect("claims");
                assert!(claims.len() <= limit);
                for claim in claims {
                    self.check(&claim);
                    self.working.push(claim);
                }
            }
            Step::End { which, how } => {
                if let Some(claim) = self.take(which) {
                    self.end(subjected.store(), &claim, how).await;
                }
            }
            Step::GiveBack { which } => {
                if let Some(claim) = self.take(which) {
                    subjected.store().give_back(&claim.lane).await.expect("given back");
                }
            }
            Step::Link { deal: name, referral, record } => {
                // A deal is linked by its own try only; between tries anything may be linked.
                if self.working.is_empty() {
                    let deal = deal(&format!("d{name}"), Some(referral), &[record]);
                    let commit = Commit { deal: Some(deal), ..Commit::default() };
                    subjected.store().commit(commit).await.expect("durable");
                }
            }
            Step::Release { which, retry } => self.release(subjected.store(), which, retry).await,
            Step::Pass { secs } => self.now += secs,
            Step::Restart => {
                subjected.restart();
                self.working.clear();
            }
        }
    }

    /// A claim holds waiting notices that nobody else works on, in order, at least one of them due.
    fn check(&self, claim: &Claim) {
        assert!(claim.notices.iter().any(|notice| notice.notice.due <= at(self.now)));
        assert!(claim.notices.is_sorted_by(|left, right| left.id < right.id));
        for notice in &claim.notices {
            assert_eq!(self.places.get(&notice.id), Some(&Place::Waiting));
            let elsewhere = self.working.iter().flat_map(|other| &other.notices);
            assert!(elsewhere.into_iter().all(|other| other.id != notice.id));
        }
        assert!(self.working.iter().all(|other| other.lane != claim.lane));
    }

    async fn end(&mut self, store: &dyn Store, claim: &Claim, how: How) {
        let hold = Hold::new("code", "reason", "fix");
        let (fate, newest, others) = match how {
            How::Done => (Fate::Done(Done::Applied), Place::Done, Place::Done),
            How::Ignored => (Fate::Done(Done::Ignored), Place::Done, Place::Done),
            How::Held => (Fate::Held(hold), Place::Held, Place::Done),
            How::Retry(secs) => {
                let reason = "busy".to_owned();
                let at = at(self.now + secs);
                (Fate::Retry { at, counts: true, reason }, Place::Waiting, Place::Waiting)
            }
        };
        let ends = !matches!(fate, Fate::Retry { .. });
        let letters = store.dead_letters(None, usize::MAX).await.expect("a list");
        store.commit(ending(claim, fate)).await.expect("durable");
        // A try that came to an end takes the earlier dead letters of its lane along.
        for letter in letters.iter().filter(|_| ends) {
            if lane_of(store, &letter.notice.notice).await == claim.lane.subject {
                self.places.insert(letter.notice.id.clone(), Place::Done);
            }
        }
        for (at, notice) in claim.notices.iter().rev().enumerate() {
            self.places.insert(notice.id.clone(), if at == 0 { newest } else { others });
        }
    }

    async fn release(&mut self, store: &dyn Store, which: usize, retry: bool) {
        let held = self.ids(Place::Held);
        if held.is_empty() {
            return;
        }
        let id = &held[which % held.len()];
        let (release, place) =
            if retry { (Release::Retry, Place::Waiting) } else { (Release::Discard, Place::Done) };
        assert!(store.release(id, release, entry(None, "released")).await.expect("durable"));
        self.places.insert(id.clone(), place);
    }

    /// Every notice is where the model says, and the counts agree.
    async fn compare(&self, store: &dyn Store) {
        let waiting = store.waiting(usize::MAX).await.expect("a list");
        let waiting: Vec<_> = waiting.into_iter().map(|notice| notice.id).collect();
        assert_eq!(waiting, self.ids(Place::Waiting));
        let held = store.dead_letters(None, usize::MAX).await.expect("a list");
        let held: Vec<_> = held.into_iter().map(|letter| letter.notice.id).collect();
        assert_eq!(held, self.ids(Place::Held));
        support::assert_balanced(store).await;
        let lines = store.ledger().await.expect("a ledger");
        let accepted: u64 = lines.iter().map(|line| line.accepted).sum();
        assert_eq!(accepted, self.places.len() as u64);
    }

    /// Ends everything that is left: nothing may be stuck.
    async fn run_dry(&mut self, store: &dyn Store) {
        for claim in std::mem::take(&mut self.working) {
            store.give_back(&claim.lane).await.expect("given back");
        }
        while !self.ids(Place::Held).is_empty() {
            self.release(store, 0, true).await;
        }
        self.now += 1000;
        for claim in store.claim(at(self.now), usize::MAX).await.expect("claims") {
            self.check(&claim);
            self.end(store, &claim, How::Done).await;
        }
        self.compare(store).await;
        assert_eq!(self.ids(Place::Waiting), Vec::new(), "every notice was in some lane");
        assert_eq!(store.next_due().await.expect("nothing"), None);
    }
}

async fn play(mut subjected: Subjected, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        model.apply(&mut subjected, step).await;
        model.compare(subjected.store()).await;
    }
    model.run_dry(subjected.store()).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(300))]
    #[test]
    fn no_notice_is_lost_in_memory(steps in collection::vec(step(), 1..60)) {
        let memory = Subjected::Memory(cosell_sync::store::memory::MemoryStore::new());
        runtime().block_on(play(memory, &steps));
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(12))]
    #[test]
    fn no_notice_is_lost_on_sled(steps in collection::vec(step(), 1..60)) {
        let sled = Subjected::all().remove(1);
        runtime().block_on(play(sled, &steps));
    }
}
