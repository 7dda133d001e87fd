//! `kill -9` under load: everything that was acknowledged is there when the store opens again.
//!
//! The test runs itself as the process to be killed: a child that writes as fast as it can and
//! prints each key once the store has acknowledged it.

#[path = "store_support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cosell_sync::domain::notice::Done;
use cosell_sync::store::sled::SledStore;
use cosell_sync::store::{Fate, Store};
use support::{about_referral, assert_balanced, at, ending, entry, known_as};

/// Names the directory in which a child is to write.
const CHILD: &str = "COSELL_SYNC_TEST_CRASH_DIRECTORY";

/// How often the child is killed.
const ROUNDS: u32 = 20;

/// Concurrent callers in the child.
const CALLERS: u32 = 16;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(path) = std::env::var_os(CHILD) {
        write_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        // Spread over a few batches; where in a batch the kill lands is up to the machine.
        let lines = 1 + (round as usize * 7919) % 400;
        let fresh = run_and_kill(folder.path(), lines);
        assert!(fresh.len() >= lines, "round {round}: the child wrote");
        acknowledged.extend(fresh);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(check(folder.path(), &acknowledged, round));
    }
}

/// Runs a child until it has acknowledged this many keys, kills it, and returns all it told.
fn run_and_kill(path: &Path, lines: usize) -> Vec<String> {
    let program = std::env::current_exe().expect("this test");
    let mut child = Command::new(program)
        .args(["--exact", "what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut told = Vec::new();
    let key = |line: String| line.strip_prefix("ack ").map(str::to_owned);
    while told.len() < lines {
        let line = output.next().expect("the child is alive").expect("text");
        told.extend(key(line));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    // A last line without its end was being written when the child was killed; what it stood for
    // was acknowledged all the same, but its text may be cut.
    told.extend(output.map_while(Result::ok).filter_map(key).filter(|key| key.ends_with('.')));
    told
}

/// Every acknowledged key is known, the counts balance and the trail is whole.
async fn check(path: &Path, acknowledged: &BTreeSet<String>, round: u32) {
    let store = SledStore::open(path).expect("opens again");
    assert_balanced(&store).await;
    assert_eq!(store.verify_audit().await.expect("a walk").broken_at, None, "round {round}");
    let before = store.waiting(usize::MAX).await.expect("a list").len();
    let again = acknowledged.iter().map(|key| known_as(key, about_referral(1))).collect();
    let fresh = store.enqueue(again, Vec::new(), Vec::new(), at(1)).await.expect("durable");
    assert_eq!(fresh, 0, "round {round}: acknowledged and lost");
    assert_eq!(store.waiting(usize::MAX).await.expect("a list").len(), before);
    let accepted: u64 = store.ledger().await.expect("lines").iter().map(|line| line.accepted).sum();
    assert!(accepted >= acknowledged.len() as u64, "round {round}");
}

/// The child: enqueues and works off until it is killed.
fn write_until_killed(path: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    let store = Arc::new(SledStore::open(path).expect("opens"));
    let process = std::process::id();
    for caller in 0..CALLERS {
        let store = Arc::clone(&store);
        runtime.spawn(async move {
            for number in 0u64.. {
                let key = format!("{process}-{caller}-{number}.");
                let notice = known_as(&key, about_referral(caller));
                let entries = vec![entry(Some("d1"), &key)];
                store.enqueue(vec![notice], Vec::new(), entries, at(1)).await.expect("durable");
                acknowledge(&key);
            }
        });
    }
    runtime.block_on(async {
        loop {
            for claim in store.claim(at(2), 4).await.expect("claims") {
                store.commit(ending(&claim, Fate::Done(Done::Applied))).await.expect("durable");
            }
        }
    })
}

/// Tells the parent in one piece.
fn acknowledge(key: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {key}").and_then(|()| out.flush()).expect("the parent listens");
}
