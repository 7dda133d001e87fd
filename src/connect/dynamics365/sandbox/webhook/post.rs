//! Sends one webhook call. Receivers are on loopback, so plain HTTP over one connection is enough,
//! and an address that came from data can reach nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::WebhookCall;

/// How long the platform waits for an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends the call once, and once more after 502, 503 or 504. Any other failure is final.
pub(in super::super) async fn post(call: &WebhookCall) -> Result<(), String> {
    match attempt(call).await? {
        502..=504 => match attempt(call).await? {
            200..=299 => Ok(()),
            status => Err(format!("The web hook call failed with status {status}.")),
        },
        200..=299 => Ok(()),
        status => Err(format!("The web hook call failed with status {status}.")),
    }
}

async fn attempt(call: &WebhookCall) -> Result<u16, String> {
    let exchange = tokio::time::timeout(LIMIT, exchange(call)).await;
    exchange.map_err(|_| "The web hook call timed out.".to_owned())?
}

async fn exchange(call: &WebhookCall) -> Result<u16, String> {
    let url = url::Url::parse(&call.url).map_err(|error| error.to_string())?;
    let host = match url.host() {
        Some(url::Host::Ipv4(address)) if address.is_loopback() => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) if address.is_loopback() => IpAddr::V6(address),
        Some(url::Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return Err("The sandbox sends web hooks to loopback addresses only.".to_owned()),
    };
    if url.scheme() != "http" {
        return Err("The sandbox sends web hooks over plain HTTP only.".to_owned());
    }
    let port = url.port_or_known_default().unwrap_or(80);
    let failed = |error: std::io::Error| format!("The web hook call failed: {error}");
    let mut stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    stream.write_all(request(call, &url, port).as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    let mut buffer = [0_u8; 1024];
    while !head.contains(&b'\n') {
        let read = stream.read(&mut buffer).await.map_err(failed)?;
        if read == 0 {
            return Err("The receiver closed the connection without an answer.".to_owned());
        }
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| "The receiver did not answer with HTTP.".to_owned())
}

fn request(call: &WebhookCall, url: &url::Url, port: u16) -> String {
    let target =
        url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path()));
    let host = url.host_str().unwrap_or_default();
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n",
        call.body.len()
    );
    for (name, value) in &call.headers {
        let clean = |text: &str| text.replace(['\r', '\n'], " ");
        request.push_str(&format!("{}: {}\r\n", clean(name), clean(value)));
    }
    request.push_str("\r\n");
    request.push_str(&call.body);
    request
}
