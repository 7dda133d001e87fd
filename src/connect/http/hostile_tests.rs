//! Answers that no honest server gives: each call ends, takes a bounded part of memory, goes nowhere
//! else, and a write that may have landed is not taken for one that has not.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Answer, Call, Http, HttpSettings};
use crate::connect::error::ConnectError;
use crate::domain::clock::Clock;
use crate::domain::time::Timestamp;

/// Most that the client takes here.
const CAP: usize = 1 << 20;

struct StillClock;

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    async fn sleep(&self, _duration: Duration) {}
}

/// What a server does once it has sent the beginning of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It closes the connection.
    Close,
    /// It says nothing more, and stays.
    Hang,
    /// It goes on with this for as long as anybody listens.
    Repeat(&'static str),
}

/// Serves one connection.
async fn serve_one(listener: TcpListener, begin: Vec<u8>, then: Then) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await.expect("a request"));
    }
    // A client that has heard enough hangs up, whenever it likes.
    let mut listens = stream.write_all(&begin).await.is_ok();
    match then {
        Then::Close => {}
        Then::Hang => drop(stream.read_to_end(&mut asked).await),
        Then::Repeat(more) => {
            while listens {
                listens = stream.write_all(more.as_bytes()).await.is_ok();
            }
        }
    }
}

/// What becomes of a call to such a server.
async fn ask(
    begin: &[u8],
    then: Then,
    call: fn(&'static str, url::Url) -> Call,
) -> Result<Answer, ConnectError> {
    let settings = HttpSettings {
        // Nobody waits for it but those who hang.
        timeout: Duration::from_secs(if then == Then::Hang { 2 } else { 60 }),
        body_bytes: CAP,
        ..HttpSettings::default()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}/").parse().expect("an address");
    let server = tokio::spawn(serve_one(listener, begin.to_vec(), then));
    let http = Http::new(&settings, Arc::new(StillClock)).expect("a client");
    let outcome = http.send(call("GET", url)).await;
    drop(http);
    server.await.expect("no panic");
    outcome
}

/// What becomes of a read and of a write.
async fn asked(begin: &[u8], then: Then) -> [Result<Answer, ConnectError>; 2] {
    let (read, write) =
        futures_util::join!(ask(begin, then, Call::read), ask(begin, then, Call::write));
    [read, write]
}

fn class(outcome: &Result<Answer, ConnectError>) -> &'static str {
    match outcome {
        Ok(_) => "an answer",
        Err(ConnectError::Unavailable(_)) => "Unavailable",
        Err(ConnectError::Unknown(_)) => "Unknown",
        Err(ConnectError::Broken(_)) => "Broken",
        Err(_) => "another error",
    }
}

/// So many zeros, packed: a thousandth of their size.
fn packed(bytes: usize) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 16];
    for _ in 0..bytes >> 16 {
        packed.write_all(&zeros).expect("packed");
    }
    packed.finish().expect("packed")
}

#[tokio::test]
async fn whatever_a_server_does_a_call_ends_as_what_it_is() {
    let bomb = packed(16 << 20);
    assert!(bomb.len() < CAP / 4, "it is small on the wire");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    let bomb = [head.into_bytes(), bomb].concat();
    let lost = ["Unavailable", "Unknown"];
    // Which client the answer came to decides what a body without an end means for a write.
    let broken = ["Broken", "Broken"];
    let chunk = "4\r\nabcd\r\n";
    let table: [(&[u8], Then, [&str; 2], &str); 11] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            Then::Close,
            ["an answer"; 2],
            "an honest one",
        ),
        (&bomb, Then::Close, broken, "a packed body that is endless unpacked"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Then::Repeat(chunk),
            broken,
            "a body without an end",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n",
            Then::Repeat("abcd"),
            broken,
            "a length beyond all measure",
        ),
        (
            b"HTTP/1.1 200 OK\r\n",
            Then::Repeat("x-more: and more\r\n"),
            lost,
            "headers without an end",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
            Then::Hang,
            lost,
            "a body that stops on its way",
        ),
        (b"", Then::Hang, lost, "no word at all"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Then::Close, lost, "a body cut off"),
        (b"", Then::Close, lost, "hung up on"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Then::Close, lost, "another protocol"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnone",
            Then::Close,
            lost,
            "packed, it says, but is not",
        ),
    ];
    for (begin, then, expected, why) in table {
        let outcomes = asked(begin, then).await;
        assert_eq!(outcomes.each_ref().map(class), expected, "{why}: {outcomes:?}");
    }
}

/// A token goes to the address that it was meant for, and nowhere else.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    elsewhere.set_nonblocking(true).expect("set");
    let address = elsewhere.local_addr().expect("an address");
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let begin = format!(
            "HTTP/1.1 {status}\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n"
        );
        for outcome in asked(begin.as_bytes(), Then::Close).await {
            let told = outcome.expect("an answer").status.to_string();
            assert!(status.starts_with(&told), "{status}: {told}");
        }
    }
    let nobody = elsewhere.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}
