//! What stands between us and the service, or comes from it broken: races for the webhook slot,
//! tokens that die, answers of proxies, wrong clocks, endless waits, huge bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::connect::partner_center::sandbox::PartnerCenterSandbox;
use cosell_sync::connect::partner_center_seam::{PartnerCenter, WebhookSlot};
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use serde_json::{Value as Json, json};

use crate::{World, change, deal, ids};

const SLOT: &str = "/webhooks/v1/registration";

/// Does something at the emulator before the call `number` (from 0) of those with `method` whose path
/// ends in `path`.
fn before(
    (method, path, number): (&'static str, &'static str, usize),
    act: impl Fn(&PartnerCenterSandbox) + Send + Sync + 'static,
) -> impl FnOnce(&PartnerCenterSandbox, Router) -> Router {
    let (act, seen) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    move |sandbox, router| {
        let sandbox = sandbox.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let hit = request.method().as_str() == method && request.uri().path().ends_with(path);
            if hit && seen.fetch_add(1, Ordering::SeqCst) == number {
                act(&sandbox);
            }
            next.run(request)
        }))
    }
}

/// Answers 200 with `body` instead of working.
fn instead(body: String, content_type: &str) -> FaultEffect {
    FaultEffect::Answer {
        status: 200,
        retry_after: None,
        content_type: content_type.to_owned(),
        body,
    }
}

fn page() -> FaultEffect {
    instead("<html><body>Sign in to the network</body></html>".to_owned(), "text/html")
}

fn take(sandbox: &PartnerCenterSandbox) {
    let url = "https://connector.fabrikam.example/theirs?code=hidden";
    let slot = json!({ "WebhookUrl": url, "WebhookEvents": ["invoice-ready"] });
    sandbox.set_slot(&slot).expect("taken by another tool");
}

/// Another tool writes the one registration at every point of our look, write, look.
#[tokio::test]
async fn a_registration_written_at_the_same_time_is_told() {
    let table = [
        (("GET", SLOT, 0), false, false, "before we looked"),
        (("POST", SLOT, 0), false, false, "between our look and our POST: 409"),
        (("GET", SLOT, 1), false, false, "between our POST and the second look"),
        (("GET", SLOT, 1), true, false, "between our PUT and the second look"),
        // Nothing at the service guards a PUT, and it answers with what was sent: whoever writes
        // last has it. The other tool sees it with its next look, as we would.
        (("PUT", SLOT, 0), true, true, "between our look and our PUT"),
    ];
    for (at, registered, ours, why) in table {
        let world = World::behind(|_| (), before(at, take)).await;
        let url = format!("{}/ours", world.serving.url());
        let events = vec!["referral-updated".to_owned()];
        let wanted = WebhookSlot {
            url: url.clone(),
            events: events.clone(),
            signature_in_ms_header: true,
            last_modified: None,
        };
        if registered {
            let slot = json!({ "WebhookUrl": url, "WebhookEvents": events });
            world.sandbox.set_slot(&slot).expect("registered");
        }
        let answer = world.client.write_webhook_slot(&wanted, None).await;
        let holds = world.sandbox.slot().expect("a registration")["WebhookUrl"].clone();
        match answer {
            Ok(slot) => assert!(ours && slot.url == url && holds == url.as_str(), "{why}: {holds}"),
            Err(ConnectError::Exists(refusal)) => {
                assert!(!ours && holds.to_string().contains("/theirs"), "{why}: {holds}");
                assert!(refusal.message.contains("/theirs"), "{why}: {refusal}");
                assert!(!refusal.message.contains("hidden"), "{why}: {refusal}");
            }
            Err(other) => panic!("{why}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_registration_that_goes_away_before_our_put_is_made() {
    let empty = before(("PUT", SLOT, 0), PartnerCenterSandbox::clear_slot);
    let world = World::behind(|_| (), empty).await;
    let url = format!("{}/ours", world.serving.url());
    let slot = json!({ "WebhookUrl": url, "WebhookEvents": ["referral-updated"] });
    world.sandbox.set_slot(&slot).expect("registered");
    let wanted = world.client.webhook_slot().await.expect("read").expect("there");
    let made = world.client.write_webhook_slot(&wanted, None).await.expect("made");
    assert_eq!(made.url, url);
}

#[tokio::test]
async fn a_token_that_dies_within_a_list_is_renewed_and_nothing_is_skipped() {
    for renewed in [1, 2, 3] {
        let kill =
            before(("GET", "/referrals", renewed), PartnerCenterSandbox::forget_access_tokens);
        let world = World::behind(|options| options.page_size = 2, kill).await;
        let mut made = std::collections::BTreeSet::new();
        for number in 0..8 {
            made.insert(world.deal(&format!("crm-{number}")).await.id());
            world.clock.advance(Duration::from_secs(1));
        }
        let (all, _) = world.sweep(None).await;
        assert_eq!(ids(&all), made, "dead before page {renewed}");
    }
    let kill = before(("GET", "/referrals", 1), PartnerCenterSandbox::forget_access_tokens);
    let world = World::behind(|options| options.page_size = 1, kill).await;
    let own = world.client.create(&deal("crm-1")).await.expect("created");
    let mut invitation = own.fields().clone();
    for name in ["id", "eTag", "links"] {
        invitation.remove(name);
    }
    invitation.insert("type".to_owned(), json!("Shared"));
    invitation
        .insert("target".to_owned(), json!([{"type": "BusinessProfileLocation", "id": "msft"}]));
    invitation
        .insert("inviteContext".to_owned(), json!({"assistanceRequestCode": "GeneralOrOther"}));
    world.client.create(&invitation).await.expect("invited");
    let engagement = own.engagement_id().expect("an engagement");
    let both = world.client.engagement(&engagement).await.expect("both");
    assert_eq!(both.len(), 2, "the second page came with a new token");
}

/// A portal of a network, or a proxy, answers 200 to everything.
#[tokio::test]
async fn a_page_with_200_is_never_taken_for_the_service() {
    let world = World::behind(|_| (), |_, router| router).await;
    let made = world.deal("crm-1").await;
    let (id, version) = (made.id(), made.version().expect("a version"));
    let all = Fault { method: None, times: 1000, ..Fault::once("GET", "/", page()) };
    world.sandbox.faults().add(all);
    let client = &world.client;
    let slot = WebhookSlot {
        url: "https://sync.contoso.example/hook".to_owned(),
        events: Vec::new(),
        signature_in_ms_header: true,
        last_modified: None,
    };
    let is_broken = |error: &ConnectError| matches!(error, ConnectError::Broken(_));
    let is_unknown = |error: &ConnectError| matches!(error, ConnectError::Unknown(_));
    let read = client.referral(&id).await.expect_err("a read");
    assert!(is_broken(&read), "{read}");
    let list = client.changes(None).await.expect_err("a list");
    assert!(is_broken(&list), "{list}");
    let engagement = made.engagement_id().expect("an engagement");
    let list = client.engagement(&engagement).await.expect_err("an engagement");
    assert!(is_broken(&list), "{list}");
    let create = client.create(&deal("crm-2")).await.expect_err("a create");
    assert!(is_unknown(&create), "looked for before it is made again: {create}");
    let patch = client.patch(&id, &version, &change("details.notes", json!("x"))).await;
    assert!(patch.as_ref().is_err_and(is_unknown), "{patch:?}");
    let read = client.webhook_slot().await;
    assert!(read.as_ref().is_err_and(is_broken), "{read:?}");
    let write = client.write_webhook_slot(&slot, None).await;
    assert!(write.as_ref().is_err_and(is_broken), "{write:?}");
    let profile = client.mpn_profile(None).await;
    assert!(profile.as_ref().is_err_and(is_broken), "{profile:?}");
    let test = client.send_validation_event().await;
    assert!(test.as_ref().is_err_and(is_broken), "{test:?}");
}

/// The service never saw the change, and a read afterwards works: it must not be taken for written.
#[tokio::test]
async fn a_page_in_answer_to_a_change_proves_nothing() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    let (id, version) = (made.id(), made.version().expect("a version"));
    for body in [page(), instead("{}".to_owned(), "application/json")] {
        world.sandbox.faults().add(Fault::once("PATCH", "/", body));
        let change = change("details.notes", json!("x"));
        let patch = world.client.patch(&id, &version, &change).await;
        assert!(matches!(patch, Err(ConnectError::Unknown(_))), "{patch:?}");
    }
    let held = world.client.referral(&id).await.expect("a read").expect("the referral");
    assert_eq!(held.version(), Some(version), "nothing was changed");
}

/// The registration was written, and what follows is no answer of the service: not told as ours.
#[tokio::test]
async fn a_page_in_answer_to_a_registration_proves_nothing() {
    let world = World::new(|_| ()).await;
    let slot = WebhookSlot {
        url: format!("{}/ours", world.serving.url()),
        events: vec!["referral-updated".to_owned()],
        signature_in_ms_header: true,
        last_modified: None,
    };
    world.sandbox.faults().add(Fault::once("POST", SLOT, page()));
    world.sandbox.faults().add(Fault { skip: 1, ..Fault::once("GET", SLOT, page()) });
    let written = world.client.write_webhook_slot(&slot, None).await;
    assert!(matches!(written, Err(ConnectError::Broken(_))), "{written:?}");
    let written = world.client.write_webhook_slot(&slot, None).await;
    assert_eq!(written.expect("registered").url, slot.url, "and then it works");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let world =
        World::with(|_| (), |settings| settings.http.body_bytes = 64 << 10, |_, router| router)
            .await;
    let made = world.deal("crm-1").await;
    let version = made.version().expect("a version");
    let huge = || instead("[".repeat(1 << 20), "application/json");
    world.sandbox.faults().add(Fault::once("GET", "/referrals", huge()));
    let read = world.client.changes(None).await;
    assert!(matches!(read, Err(ConnectError::Broken(_))), "{read:?}");
    world.sandbox.faults().add(Fault::once("PATCH", "/referrals/", huge()));
    let write = change("details.notes", json!("x"));
    let write = world.client.patch(&made.id(), &version, &write).await;
    assert!(matches!(write, Err(ConnectError::Unknown(_))), "it may have landed: {write:?}");
    let deep = instead("[".repeat(60_000), "application/json");
    world.sandbox.faults().add(Fault::once("GET", "/referrals", deep));
    let read = world.client.changes(None).await;
    assert!(matches!(read, Err(ConnectError::Broken(_))), "nested without an end: {read:?}");
    world.client.changes(None).await.expect("and then it works");
}

#[tokio::test]
async fn an_item_that_is_nothing_does_not_stop_the_feed() {
    let world = World::new(|_| ()).await;
    let made = world.deal("crm-1").await;
    for nothing in [Json::Null, json!({}), json!({ "id": "no id", "eTag": "\"1\"" })] {
        let items = json!({ "value": [nothing, made.fields(), nothing] }).to_string();
        let items = instead(items, "application/json");
        world.sandbox.faults().add(Fault::once("GET", "/referrals", items.clone()));
        let page = world.client.changes(None).await.expect("a page");
        assert_eq!(page.referrals.len(), 1, "{nothing}");
        world.sandbox.faults().add(Fault::once("GET", "/referrals", items));
        let since = world.clock.now().minus(Duration::from_secs(60));
        let found = world.client.find_by_external_reference("crm-1", since).await;
        let hole = matches!(found, Err(ConnectError::Broken(_)));
        assert_eq!(hole, !nothing.is_null(), "a hole may be the one looked for: {found:?}");
    }
}

#[tokio::test]
async fn a_wait_of_years_holds_up_for_a_quarter_of_an_hour() {
    for wait in ["315360000", "18446744073709551615", "Wed, 01 Sep 2038 10:00:00 GMT"] {
        let world = World::new(|_| ()).await;
        let effect = FaultEffect::Answer {
            status: 429,
            retry_after: Some(wait.to_owned()),
            content_type: "application/json".to_owned(),
            body: json!({"statusCode": 429, "message": "Try again."}).to_string(),
        };
        world.sandbox.faults().add(Fault::once("GET", "/referrals", effect));
        let error = world.client.changes(None).await.expect_err(wait);
        let quarter = Duration::from_secs(15 * 60);
        assert!(matches!(error, ConnectError::Throttled(left) if left == quarter), "{error}");
        world.clock.advance(Duration::from_secs(14 * 60));
        let error = world.client.changes(None).await.expect_err(wait);
        assert!(matches!(error, ConnectError::Throttled(_)), "{error}");
        world.clock.advance(Duration::from_secs(61));
        world.client.changes(None).await.expect("the gate is open");
    }
}

/// The `Date` of a gateway whose clock is wrong must not move the watermark past changes.
#[tokio::test]
async fn a_date_that_is_ahead_or_behind_loses_no_change() {
    for (date, why) in [
        ("Wed, 02 Sep 2026 09:00:00 GMT", "23 hours ahead"),
        ("Tue, 01 Sep 2026 10:30:00 GMT", "half an hour ahead"),
        ("Mon, 31 Aug 2026 09:00:00 GMT", "a day behind"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "never set"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "the end of days"),
        ("yesterday", "no date"),
    ] {
        let dated = move |_: &PartnerCenterSandbox, router: Router| {
            router.layer(from_fn(move |request: Request, next: Next| async move {
                let mut answer = next.run(request).await;
                answer.headers_mut().insert(header::DATE, HeaderValue::from_static(date));
                answer
            }))
        };
        let world = World::behind(|_| (), dated).await;
        let made = world.deal("crm-1").await;
        let (_, cursor) = world.sweep(None).await;
        world.clock.advance(Duration::from_secs(20 * 60));
        let notes = json!({ "details": { "notes": "new" } });
        world.sandbox.edit_as_microsoft(&made.id(), notes).expect("edited");
        world.clock.advance(Duration::from_secs(60));
        let (seen, _) = world.sweep(Some(&cursor)).await;
        let seen = seen.iter().find(|referral| referral.id() == made.id());
        assert_eq!(seen.and_then(|it| it.text("details.notes")), Some("new"), "{why}");
    }
}
