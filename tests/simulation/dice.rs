//! Chance from one seed, and futures that stop where a process could be killed.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use cosell_sync::domain::clock::Randomness;

/// A small generator (splitmix64): the same seed gives the same run.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    /// True in `parts` of a thousand.
    pub(crate) fn permille(&mut self, parts: u64) -> bool {
        self.bits() % 1000 < parts
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

/// The daemon's own chance, apart from the world's.
pub(crate) struct SeededRandomness(pub(crate) Mutex<Dice>);

impl Randomness for SeededRandomness {
    fn bits(&self) -> u64 {
        self.0.lock().expect("not poisoned").bits()
    }
}

/// Gives way once: every call of a fake does so before and after it takes effect, and a process can
/// be killed there.
#[derive(Default)]
pub(crate) struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What one turn of the daemon is made of.
pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs tasks in turns chosen by `dice` until all are done, or kills them all where `killed` says
/// so. Returns whether they were killed.
pub(crate) fn drive(
    mut tasks: Vec<Task<'_>>,
    mut choose: impl FnMut(usize) -> usize,
    mut killed: impl FnMut() -> bool,
) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut turns = 0u32;
    while !tasks.is_empty() {
        if killed() {
            return true;
        }
        turns += 1;
        assert!(turns < 2_000_000, "the daemon never comes to rest");
        let at = choose(tasks.len());
        if tasks[at].as_mut().poll(&mut context).is_ready() {
            drop(tasks.swap_remove(at));
        }
    }
    false
}

/// Runs one task to its end.
pub(crate) fn finish<T>(task: impl Future<Output = T>) -> T {
    let mut task = Box::pin(task);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2_000_000 {
        if let Poll::Ready(value) = task.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the daemon never comes to rest");
}
