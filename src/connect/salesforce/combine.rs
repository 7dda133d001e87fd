//! Sends questions that wait at the same time as one call.
//!
//! A question at rest flies at once, alone; whatever arrives while it is in the air goes together
//! with the next flight. Right after a shared flight, when its passengers are about to ask again,
//! the next one waits for them a moment. In a burst that only trickles in, because another system
//! lets through so many calls a second and no more, a flight waits for about as many as fit: as
//! long as the last of that number took to come, and no longer than others do come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

use crate::connect::error::ConnectError;
use crate::domain::time::Timestamp;

/// So many questions in [`SPAN`] are a burst, and so many are waited for.
const BURST: usize = 24;
/// So many that come as fast are the beginning of one.
const FEW: usize = 8;
/// Longer than the longest wait: a burst that trickles in a little slower is still one, and without
/// any wait each of its questions would fly alone.
const SPAN: Duration = Duration::from_secs(15);
/// Nobody waits longer for others. In the slowest burst ten questions come in this time: a change,
/// which is a read and a write, then costs a fifth of a call, however slowly the machine works.
const LONGEST_WAIT: Duration = Duration::from_millis(6_500);
/// A wait ends when nobody has come for as long as so many more should have: nobody is left who could.
const MISSED: u32 = 6;
/// How long the passengers of a shared flight take to ask again: the time of a few conversions.
const MOMENT: Duration = Duration::from_millis(2);

/// What is sent together, and how.
#[async_trait]
pub(super) trait Batch: Send + Sync + 'static {
    /// One question.
    type Question: Send + Sync + 'static;
    /// Its answer.
    type Answer: Send + 'static;

    /// How many questions start a flight at once: the one that waits for others, else a further one.
    const FULL: usize;
    /// Most flights at once.
    const FLIGHTS: usize;

    /// Whether `next` may travel with `taken`, which is not empty.
    fn fits(&self, taken: &[Self::Question], next: &Self::Question) -> bool;

    /// Asks; the answers are in the order of the questions.
    async fn run(&self, questions: &[Self::Question]) -> Vec<Result<Self::Answer, ConnectError>>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Waits for more passengers.
    async fn gather(&self, wait: Duration);

    /// What a question gets whose flight ended without an answer.
    fn lost() -> ConnectError;
}

type Sender<B> = oneshot::Sender<Result<<B as Batch>::Answer, ConnectError>>;
/// Questions that travel together, and who asked them.
type Load<B> = (Vec<<B as Batch>::Question>, Vec<Sender<B>>);

struct Waiting<B: Batch> {
    queue: VecDeque<(B::Question, Sender<B>)>,
    flights: usize,
    /// Whether one of the flights waits for more passengers.
    gathers: bool,
    /// When the newest questions came, at most [`BURST`] of them.
    came: VecDeque<Timestamp>,
}

/// How many shared the last flight of any of the combiners that know this.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<AtomicUsize>);

struct Shared<B: Batch> {
    batch: B,
    crowd: Crowd,
    waiting: Mutex<Waiting<B>>,
    /// Tells the flight that gathers that it is full.
    full: Notify,
}

/// Combines the questions of many callers.
pub(super) struct Combiner<B: Batch>(Arc<Shared<B>>);

impl<B: Batch> Combiner<B> {
    /// Nothing is in the air yet.
    pub(super) fn new(batch: B, crowd: Crowd) -> Self {
        let waiting =
            Waiting { queue: VecDeque::new(), flights: 0, gathers: false, came: VecDeque::new() };
        let waiting = Mutex::new(waiting);
        Self(Arc::new(Shared { batch, crowd, waiting, full: Notify::new() }))
    }

    /// Asks, together with others if others wait.
    pub(super) async fn ask(&self, question: B::Question) -> Result<B::Answer, ConnectError> {
        let (sender, receiver) = oneshot::channel();
        if let Some(start) = self.0.enqueue(question, sender) {
            // A task of its own: a caller that gives up must not take the others' flight down.
            tokio::spawn(fly(Flight(self.0.clone()), start));
        }
        receiver.await.unwrap_or_else(|_| Err(B::lost()))
    }
}

impl<B: Batch> Shared<B> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting<B>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a new flight must start, and how.
    fn enqueue(&self, question: B::Question, sender: Sender<B>) -> Option<Start> {
        let now = self.batch.now();
        let mut waiting = self.lock();
        waiting.queue.push_back((question, sender));
        waiting.came.push_back(now);
        if waiting.came.len() > BURST {
            waiting.came.pop_front();
        }
        let is_full = waiting.queue.len() >= B::FULL;
        if is_full && waiting.gathers {
            waiting.gathers = false;
            self.full.notify_waiters();
            return None;
        }
        let start = if waiting.flights == 0 {
            Start::Waiting
        } else if is_full && waiting.flights < B::FLIGHTS {
            Start::Full
        } else {
            return None;
        };
        waiting.flights += 1;
        Some(start)
    }

    /// How long the next flight waits for others.
    fn patience(&self) -> Duration {
        let now = self.batch.now();
        let waiting = self.lock();
        let burst = [BURST, FEW].into_iter().find_map(|count| {
            let first = waiting.came.get(waiting.came.len().checked_sub(count)?)?;
            // As long as a whole burst takes at this pace.
            let whole = now.since(*first) * intervals(BURST) / intervals(count);
            (whole <= SPAN).then(|| whole.min(LONGEST_WAIT))
        });
        let shared = self.crowd.0.load(Ordering::Relaxed) > 1;
        burst.unwrap_or_default().max(if shared { MOMENT } else { Duration::ZERO })
    }

    /// Waits for more passengers, or until the flight is full. One flight at a time does so; another
    /// leaves its passengers to that one and lands, which is told by `false`.
    async fn gather(&self) -> bool {
        let patience = self.patience();
        let mut full = std::pin::pin!(self.full.notified());
        {
            let mut waiting = self.lock();
            if waiting.gathers {
                waiting.flights -= 1;
                return false;
            }
            if patience.is_zero() || waiting.queue.len() >= B::FULL {
                return true;
            }
            waiting.gathers = true;
            full.as_mut().enable();
        }
        tokio::select! {
            () = self.others(patience) => self.lock().gathers = false,
            () = full => {}
        }
        true
    }

    /// Waits as long as others come, at most `patience`.
    async fn others(&self, patience: Duration) {
        let pause = (patience * MISSED / intervals(BURST)).max(MOMENT);
        let end = self.batch.now().plus(patience);
        let mut before = 0;
        loop {
            let now = self.batch.now();
            let waiting = self.lock().queue.len();
            if now >= end || waiting == before {
                return;
            }
            before = waiting;
            self.batch.gather(pause.min(end.since(now))).await;
        }
    }

    /// The next load: the oldest question and all that fit with it. Questions whose caller has gone
    /// are left out. `None` lands the flight.
    fn load(&self) -> Option<Load<B>> {
        let mut waiting = self.lock();
        let (mut questions, mut senders) = (Vec::new(), Vec::new());
        let mut left = VecDeque::with_capacity(waiting.queue.len());
        for (question, sender) in std::mem::take(&mut waiting.queue) {
            if sender.is_closed() {
                continue;
            }
            if questions.is_empty() || self.batch.fits(&questions, &question) {
                questions.push(question);
                senders.push(sender);
            } else {
                left.push_back((question, sender));
            }
        }
        waiting.queue = left;
        if questions.is_empty() {
            waiting.flights -= 1;
            return None;
        }
        Some((questions, senders))
    }
}

/// The times between so many questions.
fn intervals(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(1).max(1)
}

/// Counted as in the air until it has landed; a panic lands it too.
struct Flight<B: Batch>(Arc<Shared<B>>);

impl<B: Batch> Drop for Flight<B> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().flights -= 1;
        }
    }
}

/// Why a flight starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// None is in the air: it waits for others as long as is worth it.
    Waiting,
    /// So many wait that it starts at once.
    Full,
}

async fn fly<B: Batch>(flight: Flight<B>, mut start: Start) {
    loop {
        // Whoever is ready to ask in this very moment gets on board.
        tokio::task::yield_now().await;
        if start == Start::Waiting && !flight.0.gather().await {
            return;
        }
        start = Start::Waiting;
        let Some((questions, senders)) = flight.0.load() else {
            return;
        };
        let mut answers = flight.0.batch.run(&questions).await.into_iter();
        flight.0.crowd.0.store(questions.len(), Ordering::Relaxed);
        for sender in senders {
            // A caller that has gone needs no answer.
            let _ = sender.send(answers.next().unwrap_or_else(|| Err(B::lost())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use async_trait::async_trait;

    use super::{BURST, Batch, Combiner, Crowd, FEW};
    use crate::connect::error::ConnectError;
    use crate::domain::time::Timestamp;

    /// Doubles numbers; odd and even ones never travel together.
    struct Doubling(Arc<AtomicUsize>);

    #[async_trait]
    impl Batch for Doubling {
        type Question = u32;
        type Answer = u32;
        const FULL: usize = 10;
        const FLIGHTS: usize = 2;

        fn fits(&self, taken: &[u32], next: &u32) -> bool {
            taken.len() < 10 && taken[0] % 2 == next % 2
        }

        async fn run(&self, questions: &[u32]) -> Vec<Result<u32, ConnectError>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            questions.iter().map(|number| Ok(number * 2)).collect()
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        async fn gather(&self, _wait: Duration) {
            tokio::task::yield_now().await;
        }

        fn lost() -> ConnectError {
            ConnectError::Unavailable("lost".to_owned())
        }
    }

    #[tokio::test]
    async fn many_askers_share_few_flights_and_get_their_own_answers() {
        let flights = Arc::new(AtomicUsize::new(0));
        let combiner = Arc::new(Combiner::new(Doubling(flights.clone()), Crowd::default()));
        let asked = (0..100u32).map(|number| {
            let combiner = combiner.clone();
            async move { (number, combiner.ask(number).await) }
        });
        for (number, answer) in futures_util::future::join_all(asked).await {
            assert_eq!(answer.expect("an answer"), number * 2);
        }
        let flown = flights.load(Ordering::SeqCst);
        assert!((10..=12).contains(&flown), "{flown} flights for 100 questions of two kinds");
        assert_eq!(combiner.ask(7).await.expect("an answer"), 14, "at rest it flies alone");
    }

    /// Notes how many travel together, on a clock that the test moves.
    struct Noting {
        millis: Arc<AtomicI64>,
        loads: Arc<Mutex<Vec<usize>>>,
    }

    #[async_trait]
    impl Batch for Noting {
        type Question = ();
        type Answer = ();
        const FULL: usize = 200;
        const FLIGHTS: usize = 4;

        fn fits(&self, _taken: &[()], _next: &()) -> bool {
            true
        }

        async fn run(&self, questions: &[()]) -> Vec<Result<(), ConnectError>> {
            self.loads.lock().expect("the loads").push(questions.len());
            questions.iter().map(|()| Ok(())).collect()
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
        }

        async fn gather(&self, wait: Duration) {
            let end = self.now().plus(wait);
            while self.now() < end {
                tokio::task::yield_now().await;
            }
        }

        fn lost() -> ConnectError {
            ConnectError::Unavailable("lost".to_owned())
        }
    }

    /// Loads of 240 questions that come one by one, so many milliseconds apart.
    async fn trickle(apart: i64) -> Vec<usize> {
        let (millis, loads) = (Arc::<AtomicI64>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let batch = Noting { millis: millis.clone(), loads: loads.clone() };
        let combiner = Arc::new(Combiner::new(batch, Crowd::default()));
        let mut asked = Vec::new();
        for _ in 0..240 {
            let combiner = combiner.clone();
            asked.push(tokio::spawn(async move { combiner.ask(()).await }));
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            millis.fetch_add(apart, Ordering::SeqCst);
        }
        millis.fetch_add(60_000, Ordering::SeqCst);
        for answer in asked {
            answer.await.expect("no panic").expect("an answer");
        }
        let loads = loads.lock().expect("the loads").clone();
        assert_eq!(loads.iter().sum::<usize>(), 240);
        loads
    }

    /// Callers that each ask again once they are answered never fill a flight, and need not wait
    /// long, even where questions came so slowly before that a burst would be waited for.
    #[tokio::test]
    async fn nobody_waits_for_others_that_cannot_come() {
        let (millis, loads) = (Arc::<AtomicI64>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let batch = Noting { millis: millis.clone(), loads: loads.clone() };
        let combiner = Arc::new(Combiner::new(batch, Crowd::default()));
        let ticking = async {
            loop {
                tokio::task::yield_now().await;
                millis.fetch_add(1, Ordering::SeqCst);
            }
        };
        let asked = async {
            ask_slowly(&combiner, &millis).await;
            let start = millis.load(Ordering::SeqCst);
            let callers: Vec<_> = (0..16).map(|_| combiner.clone()).collect();
            let asked = callers.into_iter().map(|combiner| async move {
                for _ in 0..10 {
                    combiner.ask(()).await.expect("an answer");
                }
            });
            futures_util::future::join_all(asked).await;
            millis.load(Ordering::SeqCst) - start
        };
        let took = tokio::select! {
            took = asked => took,
            () = ticking => unreachable!("it never ends"),
        };
        assert!(loads.lock().expect("the loads").iter().any(|load| *load >= 16), "they share");
        assert!(took < 4_000, "ten rounds of sixteen took {took} ms on the clock of the test");
    }

    /// So many questions, 600 ms apart, that a burst is expected, and all of them answered.
    async fn ask_slowly(combiner: &Arc<Combiner<Noting>>, millis: &AtomicI64) {
        let mut asked = Vec::new();
        for _ in 0..BURST {
            let combiner = combiner.clone();
            asked.push(tokio::spawn(async move { combiner.ask(()).await }));
            let next = millis.load(Ordering::SeqCst) + 600;
            while millis.load(Ordering::SeqCst) < next {
                tokio::task::yield_now().await;
            }
        }
        for answer in asked {
            answer.await.expect("no panic").expect("an answer");
        }
    }

    #[tokio::test]
    async fn whatever_counts_as_a_burst_shares_its_calls() {
        for (apart, most, why) in [
            (50, FEW + 12, "as fast as Partner Center answers"),
            (150, FEW + 12, "three calls to Partner Center each"),
            (400, FEW + 16, "a machine that is busy"),
            (650, FEW + 24, "the slowest burst: its first questions fly alone"),
            (700, 240, "no burst: each flies alone, at once"),
        ] {
            let flights = trickle(apart).await.len();
            let least = if apart == 700 { 240 } else { 1 };
            assert!((least..=most).contains(&flights), "{apart} ms: {flights} flights: {why}");
        }
    }
}
