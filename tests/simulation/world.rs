//! The state of all three systems, the people who work in them, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use cosell_sync::connect::error::{ConnectError, Refusal};
use cosell_sync::domain::clock::Clock;
use cosell_sync::domain::deal::{Remembered, Target};
use cosell_sync::domain::id::{CrmName, RecordKey, RecordKind};
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::Mapping;
use serde_json::Value as Json;

use crate::creation::Plan;
use crate::dice::{Dice, Pause};
use crate::mutants::Bug;
use crate::people;
use crate::tally::{Mishap, Tally};

/// Our organisation at Partner Center.
pub(crate) const OURS: &str = "our-org";

/// One referral as Partner Center keeps it.
#[derive(Debug, Clone)]
pub(crate) struct StoredReferral {
    pub(crate) fields: Json,
    pub(crate) created: i64,
    /// By Partner Center's clock, milliseconds.
    pub(crate) updated: i64,
    pub(crate) version: u64,
}

/// One opportunity or lead as a CRM keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: RecordKind,
    pub(crate) fields: Fields,
    pub(crate) version: u64,
    /// By the CRM's clock, milliseconds.
    pub(crate) modified: i64,
    pub(crate) deleted: bool,
}

/// A CRM.
#[derive(Debug, Default)]
pub(crate) struct CrmState {
    pub(crate) rows: BTreeMap<String, Row>,
    /// Every change in order: id and whether it was a deletion.
    pub(crate) log: Vec<(i64, String, bool)>,
    /// Cursors of an earlier epoch are no longer accepted.
    pub(crate) epoch: u64,
    pub(crate) others: BTreeMap<String, (String, Fields)>,
    /// Leads that were turned into opportunities, and the opportunities.
    pub(crate) turned: BTreeMap<String, String>,
    /// How far its clock is off, milliseconds.
    pub(crate) skew: i64,
}

/// What goes wrong, in parts of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chaos {
    /// Calls that fail.
    pub(crate) fault: u64,
    /// Moments between calls at which a person edits something.
    pub(crate) edit: u64,
    /// Moments at which the process is killed.
    pub(crate) kill: u64,
    /// How long a list lags behind, milliseconds.
    pub(crate) lag: i64,
    /// Writes that find the record changed, in storms.
    pub(crate) storm: u64,
    /// Refusals that a person must clear.
    pub(crate) refusals: bool,
}

/// Something a person wrote.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) side: Target,
    /// Referral or record id.
    pub(crate) object: String,
    pub(crate) field: String,
    pub(crate) value: Value,
    /// What was there before.
    pub(crate) saw: Value,
    /// How many moments had passed: within one nobody else looked.
    pub(crate) moment: u64,
    /// It is what both sides agreed on last, entered again: to a merge nothing has moved.
    pub(crate) agreed: bool,
}

/// An event of Partner Center that is under way to us.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) referral: String,
    pub(crate) event: String,
    /// In which order they were sent.
    pub(crate) number: u64,
    /// When it was sent, milliseconds.
    pub(crate) sent: i64,
}

/// One write of the daemon that took effect.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) target: Target,
    pub(crate) object: String,
    pub(crate) what: String,
}

/// Everything that is needed to judge a run.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) edits: Vec<Edit>,
    /// Edits of people, also of what is not followed value by value.
    pub(crate) acts: u64,
    pub(crate) writes: Vec<Write>,
    pub(crate) faults: u64,
    pub(crate) kills: u64,
    pub(crate) lost_answers: u64,
    /// What went wrong, by its kind.
    pub(crate) met: Tally,
    /// Webhooks that were sent.
    pub(crate) sent: u64,
    /// The deal of each referral and record that a commit named.
    pub(crate) deal_of: BTreeMap<String, String>,
    /// Notices that each source ever had accepted.
    pub(crate) accepted: BTreeMap<&'static str, u64>,
    /// Records made for a referral: the referral's id and the record's.
    pub(crate) created: Vec<(CrmName, RecordKind, String, String)>,
    /// Own referrals made for a record, and Microsoft's made for an engagement.
    pub(crate) made: Vec<(String, String)>,
    /// What a referral or record held in a field when it was agreed on last, by its id and the field.
    pub(crate) agreed: BTreeMap<(String, String), Vec<Remembered>>,
    /// Records that a committed deal was ever linked to.
    pub(crate) linked: BTreeSet<RecordKey>,
    /// Rules that the daemon broke while it ran.
    pub(crate) broken: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// The mapping of each kind of record.
pub(crate) type Mappings = BTreeMap<(CrmName, RecordKind), Arc<Mapping>>;

/// All of it.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: i64,
    pub(crate) referrals: BTreeMap<String, StoredReferral>,
    pub(crate) partner_skew: i64,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) crms: BTreeMap<CrmName, CrmState>,
    pub(crate) mappings: Mappings,
    pub(crate) chaos: Chaos,
    pub(crate) plan: Plan,
    pub(crate) journal: Journal,
    pub(crate) counter: u64,
    /// How many moments have passed.
    pub(crate) moments: u64,
    pub(crate) bug: Option<Bug>,
    /// A referral or record at which every call fails, and how.
    pub(crate) sick: Option<(String, ConnectError)>,
    /// The deals that are being written to.
    pub(crate) under_way: BTreeSet<String>,
    trace: DefaultHasher,
    pub(crate) loud: bool,
}

impl World {
    pub(crate) fn new(seed: u64, mappings: Mappings) -> Self {
        let crms = mappings.keys().map(|(crm, _)| (*crm, CrmState::default())).collect();
        Self {
            dice: Dice::new(seed),
            now: 1_800_000_000_000,
            referrals: BTreeMap::new(),
            partner_skew: 0,
            webhooks: Vec::new(),
            crms,
            mappings,
            chaos: Chaos::default(),
            plan: Plan::default(),
            journal: Journal::default(),
            counter: 0,
            moments: 0,
            bug: None,
            sick: None,
            under_way: BTreeSet::new(),
            trace: DefaultHasher::new(),
            loud: std::env::var_os("COSELL_SYNC_SIMULATION_LOUD").is_some(),
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Counts something that went wrong.
    pub(crate) fn met(&mut self, mishap: Mishap) {
        self.journal.met.count(mishap);
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Adds to the trace, whose hash must be the same for the same seed.
    pub(crate) fn note(&mut self, text: String) {
        self.trace.write(text.as_bytes());
        let line = format!("{:>9} {text}", self.now - 1_800_000_000_000);
        if self.loud {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        self.journal.notes.push(line);
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// The kind of a row; an opportunity if there is none.
    pub(crate) fn kind_of(&self, crm: CrmName, id: &str) -> RecordKind {
        let row = self.crms.get(&crm).and_then(|state| state.rows.get(id));
        row.map_or(RecordKind::Opportunity, |row| row.kind)
    }

    /// The mapping for a row.
    pub(crate) fn mapping_of(&self, crm: CrmName, id: &str) -> &Mapping {
        &self.mappings[&(crm, self.kind_of(crm, id))]
    }

    /// Partner Center's time.
    pub(crate) fn partner_now(&self) -> i64 {
        self.now + self.partner_skew
    }

    /// A CRM's time.
    pub(crate) fn crm_now(&self, crm: CrmName) -> i64 {
        self.now + self.crms.get(&crm).map_or(0, |state| state.skew)
    }

    pub(crate) fn broken(&mut self, rule: &str, what: impl std::fmt::Display) {
        self.note(format!("BROKEN {rule}: {what}"));
        self.journal.broken.push(format!("{rule}: {what}"));
    }
}

/// The world, shared by the fakes.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("not poisoned")
    }

    /// A moment between two steps: time passes, people edit, the process may be killed here.
    pub(crate) async fn moment(&self) {
        {
            let mut world = self.lock();
            world.moments += 1;
            let passed = world.dice.below(40) as i64;
            world.now += passed;
            let rate = world.chaos.edit;
            if rate > 0 && world.dice.permille(rate) {
                world.met(Mishap::EditInBetween);
                people::edit_something(&mut world);
            }
        }
        Pause::default().await;
    }

    /// What becomes of a call, decided before it is made.
    pub(crate) async fn begin(&self, call: &str, is_write: bool) -> Result<Outcome, ConnectError> {
        self.moment().await;
        let mut world = self.lock();
        match world.plan.loses(call) {
            Some(true) => return Ok(Outcome::Lost),
            Some(false) => return Err(ConnectError::Unknown("it never arrived".to_owned())),
            None => {}
        }
        let storm = world.chaos.storm;
        if is_write && storm > 0 && world.dice.permille(storm) {
            world.journal.faults += 1;
            world.met(Mishap::Storm);
            return Err(ConnectError::Stale);
        }
        let rate = world.chaos.fault;
        if rate == 0 || !world.dice.permille(rate) {
            return Ok(Outcome::Answered);
        }
        world.journal.faults += 1;
        let refusals = world.chaos.refusals;
        let kind = world.dice.below(if is_write { 12 } else { 6 });
        let wait = Duration::from_millis(500 + world.dice.below(20_000) as u64);
        let fault = match kind {
            0 | 1 => ConnectError::Unavailable("busy".to_owned()),
            2 | 3 => ConnectError::Throttled(wait),
            4 if refusals => ConnectError::Unauthorized("expired".to_owned()),
            4 | 5 => ConnectError::Broken("not JSON".to_owned()),
            6 => ConnectError::Stale,
            7 => ConnectError::Unknown("reset before it arrived".to_owned()),
            8 if refusals => ConnectError::Rejected(Refusal {
                status: 400,
                code: "injected".to_owned(),
                message: "a rule of the system refused it".to_owned(),
                ..Refusal::default()
            }),
            _ => {
                world.journal.lost_answers += 1;
                world.met(Mishap::AnswerLost);
                world.note(format!("{call}: the answer will be lost"));
                return Ok(Outcome::Lost);
            }
        };
        world.note(format!("{call}: {fault}"));
        world.met(match &fault {
            ConnectError::Unavailable(_) => Mishap::Busy,
            ConnectError::Throttled(_) => Mishap::Throttled,
            ConnectError::Unauthorized(_) => Mishap::Unauthorized,
            ConnectError::Broken(_) => Mishap::Garbled,
            ConnectError::Unknown(_) => Mishap::NeverArrived,
            ConnectError::Rejected(_) => Mishap::Refused,
            _ => Mishap::Storm,
        });
        Err(fault)
    }

    /// The fault of a referral or record at which every call fails.
    pub(crate) fn healthy(&self, object: &str) -> Result<(), ConnectError> {
        match &self.lock().sick {
            Some((sick, fault)) if sick == object => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    /// A write of the deal that a referral or record belongs to begins; it ends when what is
    /// returned is dropped. Two at once break I11.
    pub(crate) fn write_begins(&self, object: &str) -> UnderWay {
        let mut world = self.lock();
        let deal = world.journal.deal_of.get(object).cloned();
        let deal = deal.unwrap_or_else(|| object.to_owned());
        let alone = world.under_way.insert(deal.clone());
        if !alone {
            world.broken("I11", format!("two writes of {deal} are under way at once"));
        }
        UnderWay { world: self.clone(), deal }
    }

    /// The end of a call that took effect.
    pub(crate) async fn end<T>(&self, outcome: Outcome, answer: T) -> Result<T, ConnectError> {
        self.moment().await;
        match outcome {
            Outcome::Answered => Ok(answer),
            Outcome::Lost => Err(ConnectError::Unknown("the connection was reset".to_owned())),
        }
    }
}

/// A write that is under way.
pub(crate) struct UnderWay {
    world: Shared,
    deal: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world.lock().under_way.remove(&self.deal);
    }
}

/// Whether the answer of a call arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Lost,
}

#[async_trait]
impl Clock for Shared {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.lock().now)
    }

    async fn sleep(&self, duration: Duration) {
        self.lock().now += i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Pause::default().await;
    }
}
