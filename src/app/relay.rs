//! Passes events that are not ours on to the other tool that shares the registration.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::connect::http::{Call, Http, HttpSettings};
use crate::ingress::Relay;
use crate::sync::account::Surroundings;

/// The headers that a receiver needs to check the signature.
const HEADERS: [&str; 5] = [
    "authorization",
    "content-type",
    "x-ms-certificate-url",
    "x-ms-signature",
    "x-ms-signature-algorithm",
];
/// How long the other tool may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends deliveries on to one configured address.
pub(super) struct Onward {
    http: Http,
    url: Url,
}

impl Onward {
    /// Passes on to `url`, which comes from the configuration only.
    pub(super) fn new(url: &Url, around: &Surroundings) -> Result<Self, String> {
        let settings = HttpSettings { timeout: PATIENCE, ..HttpSettings::default() };
        let http = Http::new(&settings, std::sync::Arc::clone(&around.clock))?;
        Ok(Self { http, url: url.clone() })
    }
}

#[async_trait]
impl Relay for Onward {
    async fn pass_on(&self, headers: Vec<(String, String)>, body: Bytes) {
        let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let kind = kind.map_or("application/json", |(_, value)| value.as_str()).to_owned();
        let mut call = Call::write("POST", self.url.clone()).body(&kind, body);
        for name in HEADERS.iter().filter(|name| **name != "content-type") {
            let given = headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
            if let Some((_, value)) = given {
                call = call.header(name, value.clone());
            }
        }
        match self.http.send(call).await {
            Ok(answer) if answer.is_success() => {}
            Ok(answer) => tracing::warn!("The relay answered {}", answer.status),
            Err(fault) => tracing::warn!("An event could not be passed on: {fault}"),
        }
    }
}
