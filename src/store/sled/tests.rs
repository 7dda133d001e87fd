//! What only the store on disk can get wrong: its lock, its marker, its files, its failures.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::writer::Sync;
use super::{SledStore, directory, restore};
use crate::domain::audit::{AuditKind, NewEntry};
use crate::domain::deal::Deal;
use crate::domain::id::{AccountName, DealId, ReferralId};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::domain::time::Timestamp;
use crate::store::engine::keys::{self, Table};
use crate::store::engine::trail::Kept;
use crate::store::engine::{Change, Rows, codec};
use crate::store::{Commit, Store, StoreError};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(path: &Path) -> SledStore {
    SledStore::open(path).expect("opens")
}

fn notice(number: u32) -> NewNotice {
    NewNotice {
        account: AccountName::new("contoso"),
        source: Source::PartnerCenterWebhook,
        subject: Subject::Referral(ReferralId::new(format!("referral-{number}"))),
        event: "referral-updated".to_owned(),
        dedupe: None,
        due: Timestamp::from_millis(0),
    }
}

fn entry(summary: &str) -> NewEntry {
    NewEntry {
        at: Timestamp::from_millis(0),
        account: AccountName::new("contoso"),
        deal: Some(DealId::new("d1")),
        kind: AuditKind::Wrote,
        actor: "daemon".to_owned(),
        summary: summary.to_owned(),
        cause: None,
        fields: Vec::new(),
        request_ids: Vec::new(),
        duration_ms: None,
    }
}

async fn put(store: &SledStore, number: u32) -> Result<usize, StoreError> {
    let notices = vec![notice(number)];
    store.enqueue(notices, Vec::new(), Vec::new(), Timestamp::from_millis(1)).await
}

/// Changes rows of a closed store behind its back.
fn tamper(path: &Path, changes: Change) {
    let (rows, mut sync) = directory::open_rows(path).expect("opens");
    rows.apply(changes).expect("applied");
    sync().expect("synced");
}

fn bodies(path: &Path) -> usize {
    fs::read_dir(path.join("bodies")).expect("a folder").count()
}

#[test]
fn one_process_at_a_time() {
    let folder = folder();
    let store = open(folder.path());
    assert!(matches!(SledStore::open(folder.path()), Err(StoreError::Locked(_))));
    drop(store);
    open(folder.path());
}

#[tokio::test]
async fn an_empty_or_older_store_is_refused() {
    let folder = folder();
    let store = open(folder.path());
    put(&store, 1).await.expect("durable");
    drop(store);
    let older = folder.path().join("older");
    copy(&folder.path().join("data"), &older);
    let store = open(folder.path());
    put(&store, 2).await.expect("durable");
    drop(store);

    let data = folder.path().join("data");
    fs::remove_dir_all(&data).expect("removed");
    let refused = SledStore::open(folder.path()).expect_err("empty");
    assert!(matches!(refused, StoreError::BehindMarker { found: 0, expected: 3, .. }), "{refused}");
    fs::remove_dir_all(&data).expect("removed");
    fs::rename(&older, &data).expect("put back");
    let refused = SledStore::open(folder.path()).expect_err("older");
    assert!(matches!(refused, StoreError::BehindMarker { found: 2, expected: 3, .. }), "{refused}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

#[test]
fn another_stores_marker_is_refused() {
    let (one, other) = (folder(), folder());
    drop(open(one.path()));
    drop(open(other.path()));
    fs::copy(one.path().join("marker"), other.path().join("marker")).expect("copied");
    let refused = SledStore::open(other.path()).expect_err("not the same");
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}

#[tokio::test]
async fn the_marker_never_leads_and_is_exact_after_closing() {
    let folder = folder();
    let marked = || {
        let promise = super::marker::read(folder.path()).expect("readable").expect("there");
        promise.sequence
    };
    let store = open(folder.path());
    assert_eq!(marked(), 1, "the store itself");
    for number in 0..300 {
        put(&store, number).await.expect("durable");
        let sequence = u64::from(number) + 2;
        assert!(marked() <= sequence, "it leads: {} of {sequence}", marked());
    }
    assert!(marked() >= 129, "it lags by no more than promised");
    drop(store);
    assert_eq!(marked(), 301);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = folder();
    drop(open(folder.path()));
    let newer = codec::encode(&99u32).expect("a number");
    tamper(folder.path(), Change::from([(keys::meta("schema"), Some(newer))]));
    let refused = SledStore::open(folder.path()).expect_err("newer");
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: 1 }), "{refused}");
}

#[tokio::test]
async fn an_unfinished_snapshot_of_sled_does_not_stop_it() {
    let folder = folder();
    let store = open(folder.path());
    put(&store, 1).await.expect("durable");
    drop(store);
    fs::write(folder.path().join("data/snap.00000000FFFFFFFF.generating"), b"").expect("written");
    let store = open(folder.path());
    assert_eq!(store.waiting(9).await.expect("a list").len(), 1);
}

#[tokio::test]
async fn a_failed_sync_fails_every_waiter_and_everything_after() {
    let folder = folder();
    let broken = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let (switch, counter) = (Arc::clone(&broken), Arc::clone(&calls));
    let wrap = move |mut sync: Sync| -> Sync {
        Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            if switch.load(Ordering::SeqCst) {
                return Err(io::Error::other("the disk is gone"));
            }
            sync()
        })
    };
    let store = SledStore::open_with(folder.path(), wrap).expect("opens");
    put(&store, 1).await.expect("durable");
    broken.store(true, Ordering::SeqCst);
    let waiters = futures_util::future::join_all((2..20).map(|number| put(&store, number))).await;
    assert!(waiters.iter().all(|waiter| matches!(waiter, Err(StoreError::Failed(_)))));
    let tried = calls.load(Ordering::SeqCst);
    broken.store(false, Ordering::SeqCst);
    assert!(matches!(put(&store, 20).await, Err(StoreError::Failed(_))), "for good");
    assert!(matches!(store.ledger().await, Err(StoreError::Failed(_))), "also for readers");
    assert!(store.health().await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), tried, "a failed sync is never repeated");
}

#[tokio::test]
async fn a_batch_costs_one_sync() {
    let folder = folder();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let wrap = move |mut sync: Sync| -> Sync {
        Box::new(move || {
            // The first sync is the new store's own; the second waits until all the rest has come.
            if counter.fetch_add(1, Ordering::SeqCst) == 1 {
                let gate = gate.lock().expect("one writer");
                gate.recv().map_err(io::Error::other)?;
            }
            sync()
        })
    };
    let store = Arc::new(SledStore::open_with(folder.path(), wrap).expect("opens"));
    let all: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { put(&store, number).await })
        })
        .collect();
    // On a runtime of one thread every task has asked once before this one goes on.
    tokio::task::yield_now().await;
    open.send(()).expect("the writer waits");
    for task in all {
        task.await.expect("no panic").expect("durable");
    }
    assert!(
        calls.load(Ordering::SeqCst) <= 4,
        "{} syncs for 200 callers",
        calls.load(Ordering::SeqCst)
    );
}

#[tokio::test]
async fn a_large_value_has_a_file_as_long_as_it_is_needed() {
    let folder = folder();
    let large = vec![7; 200_000];
    let store = open(folder.path());
    store.keep_note("small", Some(vec![1; 1000])).await.expect("durable");
    assert_eq!(bodies(folder.path()), 0);
    store.keep_note("a", Some(large.clone())).await.expect("durable");
    store.keep_note("b", Some(large.clone())).await.expect("durable");
    assert_eq!(bodies(folder.path()), 1, "named by its hash");
    store.keep_note("a", None).await.expect("durable");
    assert_eq!(store.note("b").await.expect("a note"), Some(large.clone()));
    drop(store);
    fs::write(folder.path().join("bodies/left.partial"), b"x").expect("written");
    fs::write(folder.path().join("bodies").join("0".repeat(64)), b"x").expect("written");
    let store = open(folder.path());
    assert_eq!(bodies(folder.path()), 1, "what a crash left is removed");
    assert_eq!(store.note("b").await.expect("a note"), Some(large));
    store.keep_note("b", Some(vec![1])).await.expect("durable");
    assert_eq!(bodies(folder.path()), 0, "and so is what nothing names");
}

#[tokio::test]
async fn an_altered_file_of_a_large_value_is_noticed() {
    let folder = folder();
    let store = open(folder.path());
    store.keep_note("a", Some(vec![7; 200_000])).await.expect("durable");
    let file = fs::read_dir(folder.path().join("bodies")).expect("a folder").next();
    fs::write(file.expect("one").expect("readable").path(), b"x").expect("written");
    assert!(matches!(store.note("a").await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn every_alteration_of_the_trail_is_found() {
    type Alter = fn(&mut Kept) -> bool;
    let table: [(Alter, &str); 5] = [
        (|_| false, "an entry removed"),
        (
            |kept| {
                kept.hash = "0".repeat(64);
                true
            },
            "another hash",
        ),
        (
            |kept| {
                kept.digest = "0".repeat(64);
                true
            },
            "another digest",
        ),
        (
            |kept| {
                kept.personal = None;
                true
            },
            "erased without a record",
        ),
        (
            |kept| {
                kept.personal = None;
                kept.erased_by = Some(3);
                true
            },
            "a record that is none",
        ),
    ];
    for (alter, why) in table {
        let folder = folder();
        let store = open(folder.path());
        let entries = vec![entry("one"), entry("two"), entry("three")];
        let at = Timestamp::from_millis(1);
        store.enqueue(Vec::new(), Vec::new(), entries, at).await.expect("durable");
        drop(store);
        let key = keys::numbered(Table::Trail, 2);
        let (rows, _) = directory::open_rows(folder.path()).expect("opens");
        let mut kept: Kept = (&rows as &dyn Rows).load(&key).expect("readable").expect("there");
        drop(rows);
        let value = alter(&mut kept).then(|| codec::encode(&kept).expect("JSON"));
        tamper(folder.path(), Change::from([(key, value)]));
        let walked = open(folder.path()).verify_audit().await.expect("a walk");
        assert_eq!(walked.broken_at, Some(2), "{why}");
    }
}

#[tokio::test]
async fn a_trail_that_lost_its_end_is_found() {
    let folder = folder();
    let store = open(folder.path());
    let entries = vec![entry("one"), entry("two")];
    let at = Timestamp::from_millis(1);
    store.enqueue(Vec::new(), Vec::new(), entries, at).await.expect("durable");
    drop(store);
    tamper(folder.path(), Change::from([(keys::numbered(Table::Trail, 2), None)]));
    let walked = open(folder.path()).verify_audit().await.expect("a walk");
    assert_eq!((walked.entries, walked.broken_at), (1, Some(2)));
}

fn lines(path: &Path) -> String {
    let file = fs::File::open(path).expect("a file");
    io::read_to_string(flate2::read::GzDecoder::new(file)).expect("text")
}

#[tokio::test]
async fn a_store_comes_back_from_its_export() {
    let (source, target) = (folder(), folder());
    let store = open(source.path());
    for number in 0..40 {
        put(&store, number).await.expect("durable");
    }
    store.claim(Timestamp::from_millis(5), 3).await.expect("claims");
    store.keep_note("large", Some(vec![9; 100_000])).await.expect("durable");
    let at = Timestamp::from_millis(1);
    store.enqueue(Vec::new(), Vec::new(), vec![entry("one")], at).await.expect("durable");
    let first = source.path().join("first.gz");
    store.export(&first).await.expect("an export");
    drop(open(target.path()));

    let rows = restore(&first, target.path()).expect("restored");
    assert_eq!(rows + 2, lines(&first).lines().count() as u64);
    assert!(target.path().join("replaced-1/data").exists(), "the old store is kept aside");
    let restored = open(target.path());
    let second = target.path().join("second.gz");
    restored.export(&second).await.expect("an export");
    assert_eq!(lines(&second), lines(&first));
    assert_eq!(put(&restored, 99).await.expect("durable"), 1, "and it takes writes");
    drop(restored);
    assert_eq!(open(target.path()).verify_audit().await.expect("a walk").broken_at, None);
}

#[tokio::test]
async fn what_a_backup_remembers_of_a_deal_is_marked_as_old() {
    let (source, target) = (folder(), folder());
    let store = open(source.path());
    let json = serde_json::json!({
        "id": "d1", "account": "contoso", "links": [{
            "record": { "crm": "salesforce", "kind": "opportunity", "id": "006000000000000001" },
            "state": { "is": "live" }, "standing": "in_sync",
            "base": { "name": { "referral": { "value": { "type": "null" } }, "record": { "value": { "type": "null" } } } },
        }],
        "intents": [], "created": "2026-09-01T00:00:00Z", "changed": "2026-09-01T00:00:00Z",
    });
    let deal: Deal = serde_json::from_value(json).expect("a deal");
    let commit = Commit { deal: Some(deal.clone()), ..Commit::default() };
    store.commit(commit).await.expect("durable");
    let export = source.path().join("export.gz");
    store.export(&export).await.expect("an export");
    drop(store);
    restore(&export, target.path()).expect("restored");
    let id = DealId::new("d1");
    let restored = open(target.path()).deal(&id).await.expect("a deal").expect("there");
    assert!(restored.links[0].base["name"].doubtful && restored.links[0].standing.is_none());
    let kept = open(source.path()).deal(&id).await.expect("a deal");
    assert_eq!(kept, Some(deal), "the store itself is as it was");
}

/// Rows large and small are changed, added and removed while a snapshot is read both ways round.
#[tokio::test]
async fn a_snapshot_stands_still_while_the_writer_goes_on() {
    let folder = folder();
    let store = open(folder.path());
    let name = |number: usize| format!("note {number:04}");
    for number in (0..1200).step_by(2) {
        store.keep_note(&name(number), Some(vec![1])).await.expect("durable");
    }
    store.keep_note(&name(600), Some(vec![1; 100_000])).await.expect("durable");
    let rows = store.shared.rows.clone();
    let all = |rows: &dyn Rows, backwards| -> Vec<_> {
        rows.range(&[0], &[Table::Body as u8], backwards).collect::<Result<_, _>>().expect("read")
    };
    let before = all(&rows, false);
    let snapshot = super::snapshot::Snapshot::begin(&rows);
    let mut reading = snapshot.range(&[0], &[Table::Body as u8], false);
    let mut read = vec![reading.next().expect("a row").expect("readable")];
    for number in 0..1200 {
        let value = (number % 3 != 0).then(|| vec![2]);
        store.keep_note(&name(number), value).await.expect("durable");
    }
    read.extend(reading.by_ref().map(|row| row.expect("readable")));
    drop(reading);
    assert!(read == before, "as it was");
    let mut backwards = all(&snapshot, true);
    backwards.reverse();
    assert!(backwards == before, "from the last to the first");
    let key = keys::meta("sequence");
    assert_ne!(snapshot.get(&key).expect("a row"), rows.get(&key).expect("a row"));
    drop(snapshot);
    assert!(all(&super::snapshot::Snapshot::begin(&rows), false) == all(&rows, false), "the next");
}

#[tokio::test]
async fn the_trail_is_whole_while_it_grows() {
    let folder = folder();
    let store = Arc::new(open(folder.path()));
    let writer = Arc::clone(&store);
    let at = Timestamp::from_millis(1);
    let writing = tokio::spawn(async move {
        for _ in 0..300 {
            let entries = vec![entry("one"), entry("two")];
            writer.enqueue(Vec::new(), Vec::new(), entries, at).await.expect("durable");
        }
    });
    loop {
        let walked = store.verify_audit().await.expect("a walk");
        assert_eq!(walked.broken_at, None, "after {} entries", walked.entries);
        if walked.entries == 600 {
            break;
        }
    }
    writing.await.expect("no panic");
}

#[tokio::test]
async fn a_store_behind_its_marker_can_be_restored() {
    let folder = folder();
    let store = open(folder.path());
    put(&store, 1).await.expect("durable");
    let export = folder.path().join("export.gz");
    store.export(&export).await.expect("an export");
    put(&store, 2).await.expect("durable");
    drop(store);
    fs::remove_dir_all(folder.path().join("data")).expect("removed");
    assert!(SledStore::open(folder.path()).is_err());
    restore(&export, folder.path()).expect("restored");
    assert_eq!(open(folder.path()).waiting(9).await.expect("a list").len(), 1);
}

#[tokio::test]
async fn an_export_that_is_not_whole_changes_nothing() {
    let folder = folder();
    let store = open(folder.path());
    put(&store, 1).await.expect("durable");
    let export = folder.path().join("export.gz");
    store.export(&export).await.expect("an export");
    assert!(matches!(restore(&export, folder.path()), Err(StoreError::Locked(_))), "still open");
    drop(store);
    let whole = fs::read(&export).expect("a file");
    let text = lines(&export);
    let short: Vec<_> = text.lines().filter(|line| !line.contains("rows")).collect();
    let missing: Vec<_> = text.lines().enumerate().filter(|(at, _)| *at != 2).collect();
    let missing: Vec<_> = missing.into_iter().map(|(_, line)| line).collect();
    let table = [
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (zipped(&short.join("\n")), "without its end"),
        (zipped(&missing.join("\n")), "without a row"),
        (zipped("{}"), "something else"),
        (Vec::new(), "empty"),
    ];
    for (bytes, why) in table {
        fs::write(&export, bytes).expect("written");
        let refused = restore(&export, folder.path());
        assert!(matches!(refused, Err(StoreError::Damaged(_))), "{why}: {refused:?}");
        assert_eq!(open(folder.path()).waiting(9).await.expect("a list").len(), 1, "{why}");
    }
}

fn zipped(text: &str) -> Vec<u8> {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut zip, text.as_bytes()).expect("in memory");
    zip.finish().expect("in memory")
}
