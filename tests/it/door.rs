//! The webhook door against everything that is not a genuine event.

use cosell_sync::domain::id::ReferralId;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Setup, World};

/// A delivery by hand.
struct Delivery {
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Delivery {
    /// A genuine one.
    fn of(world: &World, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let headers = world.sandbox.partner_center.signed(&body);
        Self { url: world.webhook_url(), headers, body }
    }

    fn genuine(world: &World, id: &ReferralId) -> Self {
        Self::of(world, world.sandbox.partner_center.event_body("referral-updated", id))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    async fn send(&self) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut request = client.post(&self.url).body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send().await.expect("an answer").status().as_u16()
    }
}

/// A world in which nobody but the door speaks to Partner Center.
async fn quiet_world() -> World {
    Setup::new().without_webhooks().reconcile_secs(3600).start().await
}

/// What the store has accepted, and how often Partner Center was asked for a referral.
async fn seen(world: &World) -> (u64, usize) {
    let ledger = world.store().ledger().await.expect("the ledger");
    let accepted = ledger.iter().map(|line| line.accepted).sum();
    let asked = world.sandbox.partner_center.request_log();
    (accepted, asked.iter().filter(|request| request.path.contains("/engagements/")).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_genuine_events_of_ours_is_kept_or_fetched() {
    let world = quiet_world().await;
    let id = world.seed(json!({}));
    let genuine = || Delivery::genuine(&world, &id);
    let mut changed = genuine();
    changed.body[10] ^= 1;
    let mut elsewhere = genuine();
    elsewhere.url = elsewhere.url.replace("contoso", "fabrikam");
    let mut deeper = genuine();
    deeper.url = format!("{}/secret", deeper.url);
    let unknown_system = |name: &str| {
        let mut delivery = genuine();
        delivery.url = delivery.url.replace("partner-center", name);
        delivery
    };
    let long = "x".repeat(70_000);
    let foreign = "http://127.0.0.1:1/cert/pcnotifications-dispatch.microsoft.com.cer";
    let path = format!("{}x", world.sandbox.partner_center.certificate_url());
    let array = "[1, 2]";
    let table: Vec<(u16, Delivery, &str)> = vec![
        (401, changed, "one byte changed"),
        (401, genuine().with("x-ms-certificate-url", foreign), "a host that is not pinned"),
        (401, genuine().with("x-ms-certificate-url", &path), "a path that is not pinned"),
        (401, genuine().with("x-ms-signature", "Signature AAAA"), "a made-up signature"),
        (400, genuine().without("x-ms-certificate-url"), "no certificate"),
        (400, genuine().without("x-ms-signature-algorithm"), "no algorithm"),
        (404, elsewhere, "an account that is not configured"),
        (404, deeper, "a path secret that nobody asked for"),
        (404, unknown_system("salesforce"), "a source without an entrance"),
        (415, genuine().with("content-type", "text/plain"), "no JSON"),
        (415, genuine().with("content-encoding", "gzip"), "compressed"),
        (413, Delivery::of(&world, long), "more than 64 KiB"),
        (400, Delivery::of(&world, "signed junk"), "signed, but no JSON"),
        (400, Delivery::of(&world, array), "signed, but no object"),
        (400, Delivery::of(&world, r#"{"EventName": 5}"#), "signed, without the names"),
        (
            200,
            Delivery::of(&world, world.sandbox.partner_center.event_body("invoice-ready", &id)),
            "an event of another kind",
        ),
    ];
    let before = seen(&world).await;
    for (status, delivery, why) in table {
        assert_eq!(delivery.send().await, status, "{why}");
        assert_eq!(seen(&world).await, before, "nothing stored, nothing fetched: {why}");
    }
    let log = world.sandbox.partner_center.request_log();
    assert!(!log.iter().any(|it| it.path.ends_with(".cerx")), "no address of a sender's choice");
    let unsigned =
        Delivery::genuine(&world, &id).without("x-ms-signature").without("authorization");
    let status = unsigned.send().await;
    assert!(status == 400 || status == 401, "unsigned: {status}");
    world.two_polls().await;
    assert_eq!(seen(&world).await, before);
    assert!(world.dynamics(&id).is_none() && world.sales(&id).is_none());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_id_is_a_dead_letter_and_a_replay_is_one_read() {
    let world = quiet_world().await;
    let id = world.seed(json!({}));
    let body = world.sandbox.partner_center.event_body("referral-created", &id);
    let nameless = body.replace(id.as_str(), "not-an-id");
    assert_eq!(Delivery::of(&world, nameless).send().await, 200, "valid, but it names no referral");
    world.until_held("names no referral").await;

    let read = |world: &World| {
        let path = format!("/referrals/{}", id.as_str());
        let log = world.sandbox.partner_center.request_log();
        log.iter().filter(|it| it.method == "GET" && it.path.ends_with(&path)).count()
    };
    let genuine = Delivery::of(&world, body);
    assert_eq!(genuine.send().await, 200);
    world.arrived(&id).await;
    let reads = read(&world);
    for _ in 0..50 {
        assert_eq!(genuine.send().await, 200, "a replay");
    }
    world.two_polls().await;
    assert_eq!(read(&world), reads, "the same bytes are never fetched for again");
    world.finish_with(&["names no referral"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_sent_header_is_closed_and_others_are_served_meanwhile() {
    let world = quiet_world().await;
    let mut stream =
        TcpStream::connect(world.app().public_address).await.expect("the door is open");
    stream
        .write_all(b"POST /webhooks/partner-center/contoso HTTP/1.1\r\nHost: x\r\nX-")
        .await
        .expect("sent");
    let id = world.seed(json!({}));
    assert_eq!(Delivery::genuine(&world, &id).send().await, 200, "others are served meanwhile");
    let mut rest = Vec::new();
    let closed = async {
        // An answer such as 408 may come first; the end of the stream must.
        let _ = stream.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), closed)
        .await
        .expect("the door closes a half-sent header by its own deadline");
    world.arrived(&id).await;
    world.finish().await;
}

/// What the door answers to raw bytes, until it closes the connection: its status lines.
async fn raw(world: &World, head: &str, body: &[u8]) -> Vec<String> {
    let mut stream =
        TcpStream::connect(world.app().public_address).await.expect("the door is open");
    // The door may close while we still send: what it answered is what counts.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(30), reading)
        .await
        .expect("the door closes the connection");
    let lines = String::from_utf8_lossy(&answer).into_owned();
    lines.lines().filter(|line| line.starts_with("HTTP/1.1 ")).map(str::to_owned).collect()
}

/// A proxy in front may read the same bytes in another way: whatever can be read in two ways is
/// refused and ends the connection, so that no second request hides behind the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_framing_is_refused_and_closed() {
    let world = quiet_world().await;
    let id = world.seed(json!({}));
    let genuine = Delivery::genuine(&world, &id);
    let mut head = "POST /webhooks/partner-center/contoso HTTP/1.1\r\nHost: x\r\n".to_owned();
    for (name, value) in &genuine.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = genuine.body.len();
    let many = (0..1000).map(|at| format!("X-{at}: 1\r\n")).collect::<String>();
    let long = format!("Content-Length: {length}\r\nX-Long: {}\r\n", "x".repeat(1024 * 1024));
    let table = [
        // Read as chunks, which the body is not.
        (413, format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), "both"),
        (400, format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), "two lengths"),
        (400, format!("Content-Length: {length}\r\n X-Folded: 1\r\n"), "a folded line"),
        (400, format!("Content-Length: {length}\r\nX-A: 1\rX-B: 2\r\n"), "a bare CR"),
        (400, "Content-Length: -1\r\n".to_owned(), "no length"),
        (400, "Transfer-Encoding: gzip\r\n".to_owned(), "an encoding without an end"),
        (431, many, "1,000 headers"),
        (431, long, "a header of 1 MiB"),
    ];
    let before = seen(&world).await;
    for (status, extra, why) in table {
        let answers = raw(&world, &format!("{head}{extra}\r\n"), &genuine.body).await;
        assert_eq!(answers.len(), 1, "{why}: {answers:?}");
        assert!(answers[0].starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {answers:?}");
        assert_eq!(seen(&world).await, before, "nothing stored, nothing fetched: {why}");
    }
    let hidden = format!("0\r\n\r\n{head}Content-Length: {length}\r\n\r\n");
    let body = [hidden.as_bytes(), genuine.body.as_slice()].concat();
    let both =
        format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n", body.len());
    let answers = raw(&world, &both, &body).await;
    assert_eq!(answers.len(), 1, "no second request in the rest of the first: {answers:?}");
    assert_eq!(seen(&world).await, before, "nothing stored, nothing fetched");
    world.finish().await;
}
