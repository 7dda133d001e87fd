//! The laws of the store, run against every implementation.

#[path = "store_support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::hold::Hold;
use cosell_sync::domain::id::{DealId, EngagementId, NoticeId};
use cosell_sync::domain::notice::{Done, NewNotice, Source, Subject};
use cosell_sync::domain::time::Timestamp;
use cosell_sync::store::{
    AuditQuery, Claim, Commit, CursorMove, DealKey, Fate, Release, Store, StoreError,
};
use support::{
    Subjected, about_record, about_referral, assert_balanced, at, contoso, deal, ending, entry,
    known_as, notice, record, referral,
};

/// Runs a law against each implementation, and checks the ledger and the trail afterwards.
async fn law(check: impl AsyncFn(&mut Subjected)) {
    for mut subjected in Subjected::all() {
        check(&mut subjected).await;
        assert_balanced(subjected.store()).await;
        let walked = subjected.store().verify_audit().await.expect("a walk");
        assert_eq!(walked.broken_at, None);
    }
}

async fn put(store: &dyn Store, notices: Vec<NewNotice>) -> usize {
    store.enqueue(notices, Vec::new(), Vec::new(), at(0)).await.expect("durable")
}

async fn claim(store: &dyn Store, now: Timestamp) -> Vec<Claim> {
    store.claim(now, 100).await.expect("claims")
}

async fn claim_one(store: &dyn Store, now: Timestamp) -> Claim {
    let mut claims = claim(store, now).await;
    assert_eq!(claims.len(), 1, "exactly one lane is ready");
    claims.remove(0)
}

async fn keep(store: &dyn Store, deal: cosell_sync::domain::deal::Deal) {
    let commit = Commit { deal: Some(deal), ..Commit::default() };
    store.commit(commit).await.expect("durable");
}

fn ids(claim: &Claim) -> Vec<&str> {
    claim.notices.iter().map(|notice| notice.id.as_str()).collect()
}

fn held() -> Fate {
    Fate::Held(Hold::new("account_ambiguous", "two accounts fit", "choose one"))
}

fn retry(secs: i64, counts: bool) -> Fate {
    Fate::Retry { at: at(secs), counts, reason: "busy".to_owned() }
}

#[tokio::test]
async fn a_notice_with_a_known_key_is_not_taken_again() {
    law(async |subjected| {
        let twice = vec![known_as("a", about_referral(1)), known_as("a", about_referral(1))];
        assert_eq!(put(subjected.store(), twice.clone()).await, 1, "within one call");
        subjected.restart();
        assert_eq!(put(subjected.store(), twice).await, 0, "after a restart");
        let other = NewNotice {
            account: cosell_sync::domain::id::AccountName::new("fabrikam"),
            ..known_as("a", about_referral(1))
        };
        assert_eq!(put(subjected.store(), vec![other]).await, 1, "another account");
        let claims = claim(subjected.store(), at(0)).await;
        subjected.store().commit(ending(&claims[0], Fate::Done(Done::Applied))).await.expect("ok");
        let again = vec![known_as("a", about_referral(1))];
        assert_eq!(put(subjected.store(), again).await, 0, "also when it is done");
    })
    .await;
}

#[tokio::test]
async fn a_key_is_remembered_for_thirty_days() {
    law(async |subjected| {
        let day = 24 * 3600;
        let table = [
            (0, 1, "new"),
            (30 * day - 1, 0, "a second before the time is up"),
            (30 * day, 1, "the time is up"),
            (31 * day, 0, "and counts from then on"),
            (61 * day, 1, "until it is up again"),
        ];
        for (secs, fresh, why) in table {
            let notices = vec![known_as("a", about_referral(1))];
            let store = subjected.store();
            let taken = store.enqueue(notices, Vec::new(), Vec::new(), at(secs)).await;
            assert_eq!(taken.expect("durable"), fresh, "{why}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_enqueued_survives_a_restart_with_its_cursor_and_entries() {
    law(async |subjected| {
        let moved = |cursor: Option<&str>| CursorMove {
            account: contoso(),
            feed: "dynamics365/opportunity".to_owned(),
            cursor: cursor.map(str::to_owned),
        };
        let entries = vec![entry(None, "received")];
        let (notices, cursors) = (vec![about_record(1)], vec![moved(Some("delta-7"))]);
        subjected.store().enqueue(notices, cursors, entries, at(3)).await.expect("durable");
        subjected.restart();
        let store = subjected.store();
        let cursor = store.cursor(&contoso(), "dynamics365/opportunity").await.expect("a cursor");
        assert_eq!(cursor.as_deref(), Some("delta-7"));
        assert_eq!(store.cursor(&contoso(), "dynamics365").await.expect("none"), None);
        let waiting = store.waiting(10).await.expect("a list");
        assert_eq!((waiting.len(), waiting[0].received, waiting[0].attempts), (1, at(3), 0));
        assert_eq!(store.verify_audit().await.expect("a walk").entries, 1);
        store.enqueue(Vec::new(), vec![moved(None)], Vec::new(), at(4)).await.expect("durable");
        let cursor = store.cursor(&contoso(), "dynamics365/opportunity").await.expect("none");
        assert_eq!(cursor, None, "forgotten");
    })
    .await;
}

#[tokio::test]
async fn all_notices_of_one_deal_are_one_try() {
    law(async |subjected| {
        let store = subjected.store();
        let theirs = cosell_sync::domain::deal::Deal {
            microsoft_referral_id: Some(referral(8)),
            ..deal("d1", Some(1), &[1])
        };
        keep(store, theirs).await;
        let late = NewNotice { due: at(500), ..notice(Subject::Deal(DealId::new("d1"))) };
        let of_deal = vec![about_referral(1), about_record(1), about_referral(8), late];
        assert_eq!(put(store, of_deal).await, 4);
        put(store, vec![about_referral(2), about_record(2)]).await;
        let claims = claim(store, at(0)).await;
        assert_eq!(claims.len(), 3, "one deal, and two subjects nobody knows");
        assert_eq!(claims[0].lane.subject, Subject::Deal(DealId::new("d1")));
        assert_eq!(claims[0].notices.len(), 4, "also the one that is not due yet");
        assert!(claims[0].notices.is_sorted_by_key(|notice| &notice.id), "oldest first");
        assert_eq!(claims[0].deal.as_ref().map(|deal| deal.id.as_str()), Some("d1"));
        assert!(claims[1].deal.is_none() && claims[2].deal.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_lane_is_claimed_by_one_at_a_time() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![about_referral(1), about_referral(2)]).await;
        let first = store.claim(at(0), 1).await.expect("claims");
        let second = store.claim(at(0), 1).await.expect("claims");
        assert_eq!((first.len(), second.len()), (1, 1), "the limit holds");
        assert_ne!(first[0].lane, second[0].lane);
        put(store, vec![about_referral(1)]).await;
        assert_eq!(claim(store, at(0)).await, Vec::new(), "a later notice waits for the try");
        assert_eq!(store.next_due().await.expect("a moment"), None, "nobody waits unclaimed");
        store.give_back(&first[0].lane).await.expect("given back");
        assert_eq!(store.next_due().await.expect("a moment"), Some(at(0)));
        assert_eq!(claim_one(store, at(0)).await.notices.len(), 2, "untouched, with the later one");
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_was_not_committed_comes_back_after_a_restart() {
    law(async |subjected| {
        put(subjected.store(), vec![about_referral(1)]).await;
        let before = claim_one(subjected.store(), at(0)).await;
        subjected.restart();
        assert_eq!(claim_one(subjected.store(), at(0)).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_lane_stays_one_when_its_deal_becomes_known_during_the_try() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![about_record(1)]).await;
        let first = claim_one(store, at(0)).await;
        keep(store, deal("d1", Some(1), &[1])).await;
        put(store, vec![about_referral(1), about_record(1)]).await;
        assert_eq!(claim(store, at(0)).await, Vec::new(), "the try goes on");
        store.commit(ending(&first, Fate::Done(Done::Applied))).await.expect("durable");
        let next = claim_one(store, at(0)).await;
        assert_eq!((next.notices.len(), next.deal.is_some()), (2, true));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_claimed_before_it_is_due() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![NewNotice { due: at(60), ..about_referral(1) }]).await;
        assert_eq!(claim(store, at(59)).await, Vec::new());
        assert_eq!(store.next_due().await.expect("a moment"), Some(at(60)));
        put(store, vec![NewNotice { due: at(30), ..about_referral(1) }]).await;
        assert_eq!(store.next_due().await.expect("a moment"), Some(at(30)));
        assert_eq!(claim_one(store, at(30)).await.notices.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_person_need_not_wait_for_the_next_retry() {
    law(async |subjected| {
        let store = subjected.store();
        keep(store, deal("d1", Some(1), &[1])).await;
        put(store, vec![about_referral(1)]).await;
        let first = claim_one(store, at(0)).await;
        store.commit(ending(&first, retry(90, false))).await.expect("durable");
        put(store, vec![about_record(1)]).await;
        assert_eq!(claim(store, at(10)).await, Vec::new(), "a change waits for the retry");
        let asked = NewNotice { source: Source::Operator, ..about_referral(1) };
        put(store, vec![asked]).await;
        assert_eq!(claim_one(store, at(10)).await.notices.len(), 3, "a person does not");
    })
    .await;
}

#[tokio::test]
async fn done_counts_the_newest_so_and_the_others_as_superseded() {
    for (done, expected) in
        [(Done::Applied, (1, 2, 0)), (Done::Ignored, (0, 2, 1)), (Done::Superseded, (0, 3, 0))]
    {
        law(async |subjected| {
            let store = subjected.store();
            put(store, vec![about_referral(1), about_referral(1), about_referral(1)]).await;
            let claimed = claim_one(store, at(0)).await;
            put(store, vec![about_referral(1)]).await;
            store.commit(ending(&claimed, Fate::Done(done))).await.expect("durable");
            let line = store.ledger().await.expect("a ledger")[0];
            assert_eq!((line.applied, line.superseded, line.ignored), expected, "{done:?}");
            assert_eq!((line.accepted, line.waiting), (4, 1), "the later one stays");
            store.commit(ending(&claimed, Fate::Done(done))).await.expect("durable");
            assert_eq!(
                store.ledger().await.expect("a ledger")[0],
                line,
                "told twice, counted once"
            );
            assert_eq!(claim_one(store, at(0)).await.notices.len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn a_retry_makes_the_whole_lane_wait() {
    law(async |subjected| {
        put(subjected.store(), vec![about_referral(1)]).await;
        let claimed = claim_one(subjected.store(), at(0)).await;
        subjected.store().commit(ending(&claimed, retry(90, true))).await.expect("durable");
        subjected.restart();
        let store = subjected.store();
        put(store, vec![about_referral(1)]).await;
        assert_eq!(claim(store, at(89)).await, Vec::new(), "also for the later notice");
        assert_eq!(store.next_due().await.expect("a moment"), Some(at(90)));
        let again = claim_one(store, at(90)).await;
        let attempts: Vec<_> = again.notices.iter().map(|notice| notice.attempts).collect();
        assert_eq!(attempts, [1, 0], "only what was tried has used up a try");
        store.commit(ending(&again, retry(95, false))).await.expect("durable");
        let again = claim_one(store, at(95)).await;
        let attempts: Vec<_> = again.notices.iter().map(|notice| notice.attempts).collect();
        assert_eq!(attempts, [1, 0], "a wait that was asked for uses up none");
        store.commit(ending(&again, Fate::Done(Done::Applied))).await.expect("durable");
        put(store, vec![about_referral(1)]).await;
        assert_eq!(claim_one(store, at(0)).await.notices.len(), 1, "nothing waits any longer");
    })
    .await;
}

#[tokio::test]
async fn a_retry_still_counts_when_the_deal_becomes_known() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![about_record(1)]).await;
        let claimed = claim_one(store, at(0)).await;
        store.commit(ending(&claimed, retry(90, true))).await.expect("durable");
        put(store, vec![about_referral(1)]).await;
        keep(store, deal("d1", Some(1), &[1])).await;
        assert_eq!(claim(store, at(89)).await, Vec::new(), "the record's wait is the deal's");
        let claimed = claim_one(store, at(90)).await;
        assert_eq!(claimed.notices.len(), 2);
        keep(store, deal("d1", Some(1), &[])).await;
        store.commit(ending(&claimed, Fate::Done(Done::Applied))).await.expect("durable");
        assert_eq!(store.next_due().await.expect("a moment"), None);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_waits_for_a_person() {
    for (release, left, ignored) in [(Release::Retry, 1, 0), (Release::Discard, 0, 1)] {
        law(async |subjected| {
            let store = subjected.store();
            keep(store, deal("d1", Some(1), &[1])).await;
            put(store, vec![about_referral(1), about_record(1), about_referral(2)]).await;
            let claims = claim(store, at(0)).await;
            store.commit(ending(&claims[0], held())).await.expect("durable");
            let letters = store.dead_letters(Some(&contoso()), 10).await.expect("a list");
            assert_eq!(letters.len(), 1, "one dead letter for the lane");
            let letter = &letters[0];
            assert_eq!(letter.notice.id.as_str(), ids(&claims[0])[1], "the newest");
            assert_eq!((letter.held, letter.hold.code.as_str()), (at(10), "account_ambiguous"));
            subjected.restart();
            let store = subjected.store();
            let others = claim_one(store, at(99)).await;
            assert_eq!(others.lane, claims[1].lane, "a held deal stops no other");
            store.commit(ending(&others, Fate::Done(Done::Applied))).await.expect("durable");
            assert_eq!(store.next_due().await.expect("a moment"), None);
            assert_balanced(store).await;
            let id = &letter.notice.id;
            assert!(store.release(id, release, entry(None, "released")).await.expect("durable"));
            assert!(!store.release(id, release, entry(None, "twice")).await.expect("no change"));
            assert_eq!(store.dead_letter(id).await.expect("none"), None);
            assert_eq!(claim(store, at(99)).await.len(), left, "{release:?}");
            let counted: u64 = store.ledger().await.expect("lines").iter().map(|l| l.ignored).sum();
            assert_eq!(counted, ignored);
            let told = store.audit(&AuditQuery { limit: 9, ..AuditQuery::default() }).await;
            assert_eq!(told.expect("entries").len(), 1, "only what happened is told");
        })
        .await;
    }
}

#[tokio::test]
async fn a_dead_letter_does_not_stop_its_lane_and_ends_with_a_later_try() {
    let retry = Fate::Retry { at: at(5), counts: true, reason: "busy".to_owned() };
    let done = Fate::Done(Done::Applied);
    let table = [
        (retry, 1, 0, "a try that is to be repeated decides nothing"),
        (done, 0, 1, "the later change was the repair"),
        (held(), 1, 1, "the same hold is told anew, once"),
    ];
    for (fate, letters_left, superseded, why) in table {
        law(async |subjected| {
            let store = subjected.store();
            put(store, vec![about_record(1)]).await;
            let claimed = claim_one(store, at(0)).await;
            store.commit(ending(&claimed, held())).await.expect("durable");
            subjected.restart();
            let store = subjected.store();
            // The record's dead letter follows it into the deal.
            keep(store, deal("d1", Some(1), &[1])).await;
            put(store, vec![about_referral(1)]).await;
            let later = claim_one(store, at(9)).await;
            store.commit(ending(&later, fate.clone())).await.expect("durable");
            let letters = store.dead_letters(None, 10).await.expect("a list");
            assert_eq!(letters.len(), letters_left, "{why}");
            let lines = store.ledger().await.expect("lines");
            assert_eq!(lines.iter().map(|line| line.superseded).sum::<u64>(), superseded, "{why}");
            assert_balanced(store).await;
        })
        .await;
    }
}

#[tokio::test]
async fn the_dead_letter_of_another_lane_stays() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![about_record(1), about_referral(2)]).await;
        let claims = claim(store, at(0)).await;
        store.commit(ending(&claims[0], held())).await.expect("durable");
        store.commit(ending(&claims[1], Fate::Done(Done::Applied))).await.expect("durable");
        assert_eq!(store.dead_letters(None, 10).await.expect("a list").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_released_notice_starts_with_a_clean_count() {
    law(async |subjected| {
        let store = subjected.store();
        put(store, vec![about_referral(1)]).await;
        let claimed = claim_one(store, at(0)).await;
        store.commit(ending(&claimed, retry(5, true))).await.expect("durable");
        let claimed = claim_one(store, at(5)).await;
        store.commit(ending(&claimed, held())).await.expect("durable");
        let id = &claimed.notices[0].id;
        store.release(id, Release::Retry, entry(None, "retry")).await.expect("durable");
        let again = claim_one(store, at(5)).await;
        assert_eq!((&again.notices[0].id, again.notices[0].attempts), (id, 0));
        let unknown = store.release(&NoticeId::new("7"), Release::Retry, entry(None, "no")).await;
        assert!(!unknown.expect("no such notice"));
    })
    .await;
}

#[tokio::test]
async fn a_deal_is_found_by_everything_it_holds_and_nothing_it_held() {
    law(async |subjected| {
        let first = cosell_sync::domain::deal::Deal {
            engagement_id: Some(EngagementId::new("e1")),
            microsoft_referral_id: Some(referral(8)),
            ..deal("d1", Some(1), &[1, 2])
        };
        keep(subjected.store(), first.clone()).await;
        subjected.restart();
        let store = subjected.store();
        let by = async |key: DealKey| {
            store
                .deal_by(&contoso(), &key)
                .await
                .expect("a look-up")
                .map(|deal| deal.id.to_string())
        };
        let d1 = Some("d1".to_owned());
        assert_eq!(by(DealKey::Referral(referral(1))).await, d1, "own referral");
        assert_eq!(by(DealKey::Referral(referral(8))).await, d1, "Microsoft's referral");
        assert_eq!(by(DealKey::Record(record(2))).await, d1, "a record");
        assert_eq!(by(DealKey::Engagement(EngagementId::new("e1"))).await, d1, "the engagement");
        keep(store, deal("d1", Some(1), &[2])).await;
        assert_eq!(by(DealKey::Record(record(1))).await, None, "a record that was unlinked");
        assert_eq!(by(DealKey::Referral(referral(8))).await, None, "no longer Microsoft's");
        keep(store, deal("d2", None, &[2])).await;
        keep(store, deal("d1", Some(1), &[])).await;
        let d2 = Some("d2".to_owned());
        assert_eq!(by(DealKey::Record(record(2))).await, d2, "it went to another deal before");
        let other = cosell_sync::domain::id::AccountName::new("fabrikam");
        let found = store.deal_by(&other, &DealKey::Referral(referral(1))).await;
        assert_eq!(found.expect("a look-up"), None, "another account's eyes");
    })
    .await;
}

#[tokio::test]
async fn deals_are_listed_page_by_page() {
    law(async |subjected| {
        let store = subjected.store();
        for name in ["d3", "d1", "d2", "d10"] {
            keep(store, deal(name, None, &[])).await;
        }
        let foreign = cosell_sync::domain::id::AccountName::new("fabrikam");
        let theirs = cosell_sync::domain::deal::Deal { account: foreign, ..deal("d15", None, &[]) };
        keep(store, theirs).await;
        let page = async |account, after: Option<&str>, limit| -> Vec<String> {
            let after = after.map(DealId::new);
            let found = store.deals(account, after.as_ref(), limit).await.expect("a page");
            found.into_iter().map(|deal| deal.id.to_string()).collect()
        };
        let account = contoso();
        assert_eq!(page(Some(&account), None, 2).await, ["d1", "d10"]);
        assert_eq!(page(Some(&account), Some("d10"), 2).await, ["d2", "d3"]);
        assert_eq!(page(Some(&account), Some("d3"), 2).await, Vec::<String>::new());
        assert_eq!(page(None, Some("d1"), 9).await, ["d10", "d15", "d2", "d3"]);
    })
    .await;
}

#[tokio::test]
async fn an_intent_is_durable_and_the_try_goes_on() {
    law(async |subjected| {
        put(subjected.store(), vec![about_record(1)]).await;
        let claimed = claim_one(subjected.store(), at(0)).await;
        let begun = Commit {
            deal: Some(deal("d1", None, &[1])),
            notices: vec![NewNotice { due: at(100), ..notice(Subject::Deal(DealId::new("d1"))) }],
            entries: vec![entry(Some("d1"), "begun")],
            now: Some(at(1)),
            ..Commit::default()
        };
        subjected.store().commit(begun).await.expect("durable");
        assert_eq!(claim(subjected.store(), at(100)).await, Vec::new(), "still claimed");
        subjected.restart();
        let again = claim_one(subjected.store(), at(1)).await;
        assert_eq!(again.deal.map(|deal| deal.id), Some(DealId::new("d1")));
        assert_eq!((again.notices.len(), &again.notices[0]), (2, &claimed.notices[0]));
    })
    .await;
}

#[tokio::test]
async fn the_trail_is_numbered_chained_and_found() {
    law(async |subjected| {
        let entries = (1..=6).map(|number| cosell_sync::domain::audit::NewEntry {
            at: at(number),
            kind: if number == 4 { AuditKind::Held } else { AuditKind::Wrote },
            ..entry((number % 2 == 0).then_some("d1"), &format!("entry {number}"))
        });
        let store = subjected.store();
        store.enqueue(Vec::new(), Vec::new(), entries.collect(), at(9)).await.expect("durable");
        subjected.restart();
        let store = subjected.store();
        let numbers = async |query: AuditQuery| -> Vec<u64> {
            let found = store.audit(&query).await.expect("entries");
            found.into_iter().map(|entry| entry.number).collect()
        };
        let all = AuditQuery { limit: 10, ..AuditQuery::default() };
        let d1 = Some(DealId::new("d1"));
        let foreign = Some(cosell_sync::domain::id::AccountName::new("fabrikam"));
        let table = [
            (all.clone(), vec![6, 5, 4, 3, 2, 1], "everything, newest first"),
            (AuditQuery { limit: 2, ..all.clone() }, vec![6, 5], "a page"),
            (AuditQuery { before: Some(5), limit: 2, ..all.clone() }, vec![4, 3], "the next"),
            (AuditQuery { deal: d1.clone(), ..all.clone() }, vec![6, 4, 2], "one deal"),
            (AuditQuery { deal: d1, before: Some(6), ..all.clone() }, vec![4, 2], "its next page"),
            (AuditQuery { kind: Some(AuditKind::Held), ..all.clone() }, vec![4], "one kind"),
            (
                AuditQuery { from: Some(at(2)), until: Some(at(4)), ..all.clone() },
                vec![3, 2],
                "a span, its end not included",
            ),
            (AuditQuery { account: foreign, ..all.clone() }, vec![], "another account"),
        ];
        for (query, expected, why) in table {
            assert_eq!(numbers(query).await, expected, "{why}");
        }
        let newest = store.audit(&all).await.expect("entries").remove(0);
        let walked = store.verify_audit().await.expect("a walk");
        assert_eq!((walked.entries, walked.head), (6, newest.hash));
        assert_eq!(newest.entry.summary, "entry 6");
    })
    .await;
}

/// Every byte of every file below a folder.
fn bytes_below(folder: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let more = if path.is_dir() { Ok(bytes_below(&path)) } else { std::fs::read(&path) };
        bytes.extend(more.expect("a file"));
    }
    bytes
}

#[tokio::test]
async fn erasing_a_deal_keeps_the_chain_whole() {
    law(async |subjected| {
        let store = subjected.store();
        let entries =
            vec![entry(Some("d1"), "Jane"), entry(Some("d2"), "kept"), entry(Some("d1"), "Joe")];
        store.enqueue(Vec::new(), Vec::new(), entries, at(1)).await.expect("durable");
        let record = entry(None, "erased on request");
        let deal = DealId::new("d1");
        assert_eq!(store.redact_audit(&deal, record.clone()).await.expect("durable"), 2);
        assert_eq!(store.redact_audit(&deal, record).await.expect("durable"), 0, "nothing is left");
        subjected.restart();
        let store = subjected.store();
        let query = AuditQuery { limit: 10, ..AuditQuery::default() };
        let told = store.audit(&query).await.expect("entries");
        let told: Vec<_> = told.iter().rev().map(|entry| entry.entry.summary.as_str()).collect();
        let record = "erased on request";
        assert_eq!(told, ["[erased]", "kept", "[erased]", record, record]);
        let walked = store.verify_audit().await.expect("a walk");
        assert_eq!((walked.entries, walked.broken_at), (5, None));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("export.gz");
        store.export(&path).await.expect("an export");
        let file = std::fs::File::open(&path).expect("a file");
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).expect("text");
        assert!(text.contains("kept") && !text.contains("Jane"), "gone from exports too");
        let anew = folder.path().join("anew");
        cosell_sync::store::sled::restore(&path, &anew).expect("restored");
        let bytes = bytes_below(&anew);
        let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(holds("kept"), "the bytes on the disk can be read");
        assert!(!holds("Jane") && !holds("Joe"), "and not one of a restored store tells of it");
    })
    .await;
}

#[tokio::test]
async fn notes_are_kept_replaced_and_removed() {
    law(async |subjected| {
        let store = subjected.store();
        let bytes = vec![0, 159, 146, 150];
        for name in ["token/contoso", "token/fabrikam", "tokens"] {
            store.keep_note(name, Some(bytes.clone())).await.expect("durable");
        }
        store.keep_note("token/fabrikam", Some(vec![7; 100_000])).await.expect("durable");
        store.keep_note("tokens", None).await.expect("durable");
        store.keep_note("begun", Some(vec![1])).await.expect("durable");
        let forget = vec!["begun".to_owned(), "never there".to_owned()];
        store.commit(Commit { forget, ..Commit::default() }).await.expect("durable");
        subjected.restart();
        let store = subjected.store();
        assert_eq!(store.note("begun").await.expect("none"), None, "gone with the commit");
        assert_eq!(store.note("token/contoso").await.expect("a note"), Some(bytes.clone()));
        assert_eq!(store.note("tokens").await.expect("none"), None);
        let notes = store.notes("token/").await.expect("notes");
        let large = ("token/fabrikam".to_owned(), vec![7; 100_000]);
        assert_eq!(notes, [("token/contoso".to_owned(), bytes), large]);
    })
    .await;
}

#[tokio::test]
async fn many_callers_at_once_are_all_acknowledged_once() {
    for subjected in Subjected::all() {
        let store = subjected.store();
        let calls = (0..500u32).map(|number| async move {
            let unique = known_as(&format!("key {}", number % 400), about_referral(number % 50));
            put(store, vec![unique]).await
        });
        let fresh: usize = futures_util::future::join_all(calls).await.into_iter().sum();
        assert_eq!(fresh, 400, "100 were told twice");
        let waiting = store.waiting(usize::MAX).await.expect("a list");
        let ids: BTreeSet<_> = waiting.iter().map(|notice| notice.id.clone()).collect();
        assert_eq!((waiting.len(), ids.len()), (400, 400));
        assert_eq!(store.claim(at(0), 100).await.expect("claims").len(), 50);
        assert_balanced(store).await;
    }
}

#[tokio::test]
async fn both_stores_export_the_same() {
    let mut exports = Vec::new();
    for mut subjected in Subjected::all() {
        let store = subjected.store();
        keep(store, deal("d1", Some(1), &[1])).await;
        put(store, vec![known_as("a", about_referral(1)), about_record(2)]).await;
        let claims = claim(store, at(0)).await;
        store.commit(ending(&claims[0], held())).await.expect("durable");
        store.commit(ending(&claims[1], retry(50, true))).await.expect("durable");
        subjected.restart();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("export.gz");
        let lines = subjected.store().export(&path).await.expect("an export");
        let file = std::fs::File::open(&path).expect("a file");
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).expect("text");
        assert_eq!(text.lines().count() as u64, lines);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else");
        let id_of_store =
            |line: &&str| !line.contains(r#""store""#) && !line.contains("0173746f7265");
        exports.push(text.lines().filter(id_of_store).map(str::to_owned).collect::<Vec<_>>());
    }
    assert!(exports[0].len() > 15, "rows of every kind");
    assert_eq!(exports[0], exports[1]);
}

#[tokio::test]
async fn a_healthy_store_says_so() {
    law(async |subjected| {
        let health: Result<(), StoreError> = subjected.store().health().await;
        assert!(health.is_ok());
    })
    .await;
}
