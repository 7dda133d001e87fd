//! Kills the real daemon with SIGKILL at every step of the story, starts it again, and expects the
//! same final state on all three sides.
//!
//! The emulators live in this process, the daemon is the real program with its real store. A round
//! kills it a fixed time after somebody acted; the last round keeps it down while they act, so that
//! deliveries fail and the feeds must find what was missed.
#![allow(clippy::disallowed_methods, reason = "a real process has to be waited for")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use cosell_sync::sandbox::story::{Memory, Step, steps};
use cosell_sync::sandbox::{Addresses, Sandbox};
use cosell_sync::store::sled::SledStore;
use cosell_sync::store::{AuditQuery, Store};
use serde_json::json;
use tokio::time::Instant;

/// A step that has not come to its end within this time has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the daemon is killed after somebody acted.
#[derive(Debug, Clone, Copy)]
enum Kill {
    After(Duration),
    /// Before anybody acts; started again afterwards.
    Before,
}

struct Daemon {
    config: PathBuf,
    child: Child,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_cosell-sync"))
            .args(["run", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        Self { config: config.to_owned(), child }
    }

    /// SIGKILL: nothing of the process gets to say a last word.
    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    fn start_again(&mut self) {
        *self = Self::start(&self.config.clone());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address below the range from which the system takes ports for connections, so that
/// nobody else gets it while the daemon is down.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 15_000).expect("small");
    loop {
        let port = 12_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Whether all sides agree within the patience.
async fn agree(step: &Step, sandbox: &Sandbox, memory: &Memory) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if (step.agreed)(sandbox, memory).is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    false
}

/// What the store remembers, for whoever has to find out why a round failed.
async fn report(store: &Path, sandbox: &Sandbox) -> String {
    let opened = SledStore::open(store).expect("the store opens");
    let query = AuditQuery { limit: 40, ..AuditQuery::default() };
    let trail = opened.audit(&query).await.expect("a trail");
    let trail: Vec<String> = trail
        .iter()
        .rev()
        .map(|entry| format!("{} {}", entry.entry.at, entry.entry.summary))
        .collect();
    let letters = opened.dead_letters(None, 10).await.expect("dead letters");
    let waiting = opened.waiting(10).await.expect("notices");
    let deals = opened.deals(None, None, 10).await.expect("deals");
    format!(
        "{}\n{letters:#?}\n{waiting:#?}\n{deals:#?}\n{:#?}\n{:#?}\n{:#?}",
        trail.join("\n"),
        sandbox.partner_center.referrals(),
        sandbox.dynamics365.rows("opportunity"),
        sandbox.salesforce.rows("Opportunity"),
    )
}

async fn play(kill: Kill) {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
    let (public, admin) = (free_address(), free_address());
    sandbox.write_files(folder.path(), public, admin).expect("written");
    let slot = json!({
        "WebhookUrl": format!("http://{public}/webhooks/partner-center/contoso"),
        "WebhookEvents": ["referral-created", "referral-updated", "related-referral-created", "related-referral-updated"],
        "SignatureTokenToMsSignatureHeader": true,
    });
    sandbox.partner_center.set_slot(&slot).expect("registered");
    let mut daemon = Daemon::start(&folder.path().join("cosell-sync.toml"));
    let mut memory = Memory::default();
    for step in steps() {
        if let Kill::Before = kill {
            daemon.kill();
        }
        (step.act)(&sandbox, &mut memory).expect(step.title);
        if let Kill::After(wait) = kill {
            tokio::time::sleep(wait).await;
            daemon.kill();
        }
        daemon.start_again();
        if !agree(&step, &sandbox, &memory).await {
            daemon.kill();
            let report = report(&folder.path().join("store"), &sandbox).await;
            panic!("{kill:?}: not in step: {}\n{report}", step.title);
        }
    }
    daemon.kill();
    let opened = SledStore::open(&folder.path().join("store")).expect("the store opens");
    for line in opened.ledger().await.expect("a ledger") {
        assert!(line.balances(), "{kill:?}: {line:?}");
        assert_eq!(line.held, 0, "{kill:?}: {line:?}");
    }
    let trail = opened.verify_audit().await.expect("walked");
    assert_eq!(trail.broken_at, None, "{kill:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_step_changes_nothing_in_the_end() {
    let waits = [0, 15, 60, 250, 900];
    let mut rounds: Vec<Kill> =
        waits.into_iter().map(|millis| Kill::After(Duration::from_millis(millis))).collect();
    rounds.push(Kill::Before);
    let played = rounds.into_iter().map(|kill| tokio::spawn(play(kill)));
    for round in played.collect::<Vec<_>>() {
        round.await.expect("a round held");
    }
}
