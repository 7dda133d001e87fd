//! One simulated installation: the shipped mappings, the worker, the feeds, three fake systems.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::domain::audit::{AuditKind, NewEntry};
use cosell_sync::domain::deal::Deal;
use cosell_sync::domain::id::{AccountName, CrmName, RecordKind, ReferralId};
use cosell_sync::domain::notice::{NewNotice, Source, Subject};
use cosell_sync::domain::time::Timestamp;
use cosell_sync::mapping::load_directory;
use cosell_sync::merge::share::{Consent, Sharing};
use cosell_sync::merge::view::{Settings, WonEarly};
use cosell_sync::store::memory::MemoryStore;
use cosell_sync::store::{DeadLetter, Release, Store};
use cosell_sync::sync::account::{Account, Behaviour, CrmPart, Surroundings};
use cosell_sync::sync::breaker::Breaker;
use cosell_sync::sync::feeds::{Feed, Poller};
use cosell_sync::sync::retry::Policy;
use cosell_sync::sync::worker::Worker;
use tokio::sync::Notify;

use crate::crm::FakeCrm;
use crate::dice::{Dice, SeededRandomness, Task, drive, finish};
use crate::mishaps;
use crate::mutants::Bug;
use crate::partner_center::FakePartnerCenter;
use crate::store::SimStore;
use crate::tally::Mishap;
use crate::world::{Mappings, Shared, World};

/// How an installation is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) crms: Vec<CrmName>,
    pub(crate) shadow: bool,
    pub(crate) won_early: WonEarly,
    pub(crate) bug: Option<Bug>,
    pub(crate) mapped: Mapped,
}

impl Setup {
    /// One installation with these CRMs, the first one primary.
    pub(crate) fn with(crms: &[CrmName]) -> Self {
        Self {
            seed: 1,
            crms: crms.to_vec(),
            shadow: false,
            won_early: WonEarly::Send,
            bug: None,
            mapped: Mapped::Usual,
        }
    }
}

/// The mapping files of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// The shipped ones.
    Usual,
    /// A person decides conflicts of two fields.
    Asking,
    /// The notes are kept in another field of the record.
    Moved,
    /// Every open stage is read as another one.
    Reread,
}

/// The shipped mappings with those of the simulation in their places, compiled once.
pub(crate) fn mappings(of: Mapped) -> &'static Mappings {
    static ALL: [OnceLock<Mappings>; 4] = [const { OnceLock::new() }; 4];
    let (at, own) = match of {
        Mapped::Usual => (0, "usual"),
        Mapped::Asking => (1, "asking"),
        Mapped::Moved => (2, "moved"),
        Mapped::Reread => (3, "reread"),
    };
    ALL[at].get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = [root.join("mappings"), root.join("tests/simulation/mappings").join(own)];
        let load = |folder: PathBuf| {
            load_directory(&folder).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let all = folders.into_iter().flat_map(load);
        all.map(|mapping| ((mapping.crm(), mapping.kind()), Arc::new(mapping))).collect()
    })
}

/// The installation.
pub(crate) struct Sim {
    pub(crate) world: Shared,
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) setup: Setup,
    around: Surroundings,
    account: Arc<Account>,
    worker: Worker,
    pollers: Vec<Poller>,
}

pub(crate) fn contoso() -> AccountName {
    AccountName::new("contoso")
}

impl Sim {
    pub(crate) fn new(setup: &Setup) -> Self {
        let chosen: Mappings = mappings(setup.mapped)
            .iter()
            .filter(|((crm, _), _)| setup.crms.contains(crm))
            .map(|(of, mapping)| (*of, Arc::clone(mapping)))
            .collect();
        let mut world = World::new(setup.seed, chosen);
        world.bug = setup.bug;
        let world = Shared::new(world);
        let memory = Arc::new(MemoryStore::new());
        let around = Surroundings {
            store: Arc::new(SimStore { memory: Arc::clone(&memory), world: world.clone() }),
            clock: Arc::new(world.clone()),
            randomness: Arc::new(SeededRandomness(Mutex::new(Dice::new(setup.seed ^ 0xDAE)))),
        };
        let (account, worker, pollers) = parts(&world, &around, setup);
        Self { world, memory, setup: setup.clone(), around, account, worker, pollers }
    }

    /// As after the end of the process: only the store is left.
    pub(crate) fn restart(&mut self) {
        self.memory.restart();
        let (account, worker, pollers) = parts(&self.world, &self.around, &self.setup);
        (self.account, self.worker, self.pollers) = (account, worker, pollers);
    }

    /// The admin brings other mapping files while the daemon runs.
    pub(crate) fn change_mappings(&self, to: Mapped) {
        let mut world = self.world.lock();
        mishaps::see_all_notes(&mut world);
        mishaps::change_mappings(&mut world, to);
        for part in &self.account.crms {
            let own = world.mappings.iter().filter(|((crm, _), _)| *crm == part.name());
            part.replace_mappings(own.map(|(_, mapping)| Arc::clone(mapping)).collect());
        }
    }

    /// Every feed is read from its start at the next turn.
    pub(crate) fn start_over(&self) {
        self.pollers.iter().for_each(Poller::start_over);
    }

    /// One turn of the daemon: some feeds are read and everything that is due is worked on, all at
    /// the same time. Returns whether it was killed.
    pub(crate) fn turn(&mut self, all_feeds: bool) -> bool {
        let world = self.world.clone();
        let mut tasks: Vec<Task<'_>> = Vec::new();
        for poller in &self.pollers {
            if all_feeds || world.lock().dice.below(3) == 0 {
                tasks.push(Box::pin(async {
                    // A fault of a feed is waited out; the next poll goes on.
                    let _ = poller.poll().await;
                }));
            }
        }
        for _ in 0..2 {
            tasks.push(Box::pin(async {
                self.worker.settle().await.expect("the store works");
            }));
        }
        let killed = drive(
            tasks,
            |many| world.lock().dice.below(many),
            || {
                let mut world = world.lock();
                let planned = world.plan.kills_here();
                let rate = world.chaos.kill;
                let killed = planned || rate > 0 && world.dice.permille(rate);
                if killed && !world.under_way.is_empty() {
                    world.met(Mishap::KilledInWrite);
                }
                let files = world.plan.files_here();
                drop(world);
                files.into_iter().for_each(|to| self.change_mappings(to));
                killed
            },
        );
        if killed {
            let open = self.deals().iter().any(|deal| !deal.intents.is_empty());
            let mut world = self.world.lock();
            world.journal.kills += 1;
            world.met(Mishap::Killed);
            if open {
                world.met(Mishap::KilledWithIntent);
            }
            world.note("killed".to_owned());
            drop(world);
            self.restart();
        }
        killed
    }

    /// Everything that is due is worked on, and no feed is read.
    pub(crate) fn work(&self) {
        finish(self.worker.settle()).expect("the store works");
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, duration: Duration) {
        self.world.lock().now += i64::try_from(duration.as_millis()).expect("short");
    }

    /// Delivers some of the webhooks that are under way, in any order, some of them twice.
    pub(crate) fn deliver(&self, at_most: usize) {
        for _ in 0..at_most {
            let webhook = {
                let mut world = self.world.lock();
                if world.webhooks.is_empty() {
                    return;
                }
                let many = world.webhooks.len();
                let at = world.dice.below(many);
                let webhook = world.webhooks.swap_remove(at);
                if world.webhooks.iter().any(|other| other.number < webhook.number) {
                    world.met(Mishap::WebhookReordered);
                }
                if world.now - webhook.sent > 60_000 {
                    world.met(Mishap::WebhookLate);
                }
                webhook
            };
            self.hand_in(&webhook.referral, &webhook.event);
        }
    }

    /// An event of Partner Center about a referral arrives now.
    pub(crate) fn hand_in(&self, referral: &str, event: &str) {
        let at = self.now();
        let notice = NewNotice {
            account: contoso(),
            source: Source::PartnerCenterWebhook,
            subject: Subject::Referral(ReferralId::new(referral)),
            event: event.to_owned(),
            dedupe: None,
            due: at,
        };
        finish(self.memory.enqueue(vec![notice], Vec::new(), Vec::new(), at)).expect("stored");
    }

    /// Polls and settles until nothing more is written and nothing waits that is due soon. Returns
    /// false if that never happens.
    pub(crate) fn come_to_rest(&mut self) -> bool {
        let mut quiet = 0;
        for _ in 0..80 {
            let before = self.world.lock().journal.writes.len();
            self.turn(true);
            let waiting = finish(self.memory.waiting(1000)).expect("the store works");
            // A deadline may be far away, and a look at Microsoft's answer comes again and again.
            let busy = waiting.iter().any(|notice| notice.notice.event != "deadline");
            let wrote = self.world.lock().journal.writes.len() != before;
            quiet = if wrote || busy { 0 } else { quiet + 1 };
            if quiet == 2 {
                return true;
            }
            self.pass(Duration::from_secs(45));
        }
        false
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.lock().now)
    }

    pub(crate) fn deals(&self) -> Vec<Deal> {
        finish(self.memory.deals(None, None, 1000)).expect("the store works")
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        finish(self.memory.dead_letters(None, 1000)).expect("the store works")
    }

    /// A person releases every dead letter. Returns how many there were.
    pub(crate) fn retry_all(&self) -> usize {
        let letters = self.dead_letters();
        for letter in &letters {
            self.world.lock().met(Mishap::Released);
            let entry = NewEntry {
                at: self.now(),
                account: contoso(),
                deal: None,
                kind: AuditKind::Operated,
                actor: "admin".to_owned(),
                summary: "Retried.".to_owned(),
                cause: None,
                fields: Vec::new(),
                request_ids: Vec::new(),
                duration_ms: None,
            };
            finish(self.memory.release(&letter.notice.id, Release::Retry, entry))
                .expect("released");
        }
        letters.len()
    }
}

fn parts(
    world: &Shared,
    around: &Surroundings,
    setup: &Setup,
) -> (Arc<Account>, Worker, Vec<Poller>) {
    let crms: Vec<CrmPart> = setup
        .crms
        .iter()
        .map(|name| {
            let kinds = [RecordKind::Opportunity, RecordKind::Lead];
            let mapped = kinds.map(|kind| world.lock().mappings[&(*name, kind)].clone());
            let fake: Arc<dyn Crm> = Arc::new(FakeCrm { world: world.clone(), name: *name });
            let part = CrmPart::new(fake, mapped.to_vec());
            part.be_ready();
            part
        })
        .collect();
    let account = Arc::new(Account {
        name: contoso(),
        partner_center: Arc::new(FakePartnerCenter(world.clone())),
        crms,
        settings: Settings {
            primary_crm: setup.crms[0],
            won_before_72h: setup.won_early,
            newest_margin: Duration::from_secs(5),
            time_zone: "Europe/Berlin".to_owned(),
        },
        sharing: Sharing {
            consent: Consent::Stated,
            default_solution: None,
            default_team: Vec::new(),
            marketplace_intent: "HaveNotDecided".to_owned(),
        },
        behaviour: Behaviour { shadow: setup.shadow, ..Behaviour::default() },
        breaker: Breaker::default(),
    });
    let wake = Arc::new(Notify::new());
    let worker = Worker::new(
        around.clone(),
        vec![Arc::clone(&account)],
        Policy::default(),
        2,
        Arc::clone(&wake),
    );
    let mut feeds = vec![Feed::PartnerCenter];
    for crm in &setup.crms {
        feeds.push(Feed::Crm(*crm, RecordKind::Opportunity));
        feeds.push(Feed::Crm(*crm, RecordKind::Lead));
    }
    let pollers = feeds
        .into_iter()
        .map(|feed| {
            let every = Duration::from_secs(30);
            Poller::new(around.clone(), Arc::clone(&account), feed, every, Arc::clone(&wake))
        })
        .collect();
    (account, worker, pollers)
}
