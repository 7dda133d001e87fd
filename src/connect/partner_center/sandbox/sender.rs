//! Sends queued events to the registered address (reference 5.3 to 5.5).

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::PartnerCenterSandbox;
use super::signer::LEAF_NAME;
use super::state::State;
use super::webhook::{Event, Slot};

/// An event is tried this often, then parked for good.
const ATTEMPTS: u32 = 10;
/// How long the receiver may take; undocumented.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What one round of deliveries came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// Requests answered with 2xx.
    pub delivered: usize,
    /// Requests answered otherwise, or not at all; their events stay in the queue.
    pub failed: usize,
    /// Events parked in this round, after their tenth failure.
    pub parked: usize,
}

impl PartnerCenterSandbox {
    /// Tries every waiting event once, one after another. Events that fail wait for the next call.
    pub async fn deliver(&self) -> DeliveryReport {
        let mut report = DeliveryReport::default();
        for event in self.due() {
            self.attempt(event, &mut report).await;
        }
        report
    }

    /// Delivers events as they arrive, until the handle is dropped; failed ones are tried again
    /// after `spacing`.
    #[expect(clippy::disallowed_methods, reason = "the emulator's own pace, in real time")]
    pub fn deliver_in_background(&self, spacing: Duration) -> AbortOnDropHandle<()> {
        let sandbox = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let wake = sandbox.lock().webhook.wake.clone();
            loop {
                sandbox.deliver().await;
                if sandbox.pending_events() == 0 {
                    wake.notified().await;
                } else {
                    tokio::time::sleep(spacing).await;
                }
            }
        }))
    }

    /// Takes what is waiting, with duplicates and in the order that the faults ask for.
    fn due(&self) -> Vec<Event> {
        let mut state = self.lock();
        let faults = state.webhook.faults;
        let now = state.now();
        let waiting = std::mem::take(&mut state.webhook.queue);
        let (mut due, early): (Vec<Event>, Vec<Event>) =
            waiting.into_iter().partition(|event| event.due <= now);
        state.webhook.queue.extend(early);
        if faults.reorder {
            due.reverse();
        }
        if faults.duplicate {
            due = due.into_iter().flat_map(|event| [event.clone(), event]).collect();
        }
        due
    }

    async fn attempt(&self, mut event: Event, report: &mut DeliveryReport) {
        let Some(slot) = self.lock().webhook.slot.clone() else { return };
        let answer = self.post(&slot, &event).await;
        event.attempts += 1;
        let delivered = answer.as_ref().is_ok_and(StatusCode::is_success);
        let mut state = self.lock();
        note_validation(&mut state, &event, &answer);
        if delivered {
            report.delivered += 1;
            return;
        }
        report.failed += 1;
        if event.attempts < ATTEMPTS {
            state.webhook.queue.push_back(event);
        } else {
            report.parked += 1;
            state.webhook.parked.push(event);
        }
    }

    /// One request. Only hosts on the list are ever called, since the address came from a caller.
    async fn post(&self, slot: &Slot, event: &Event) -> Result<StatusCode, String> {
        let url = url::Url::parse(&slot.url).map_err(|_| "not an address".to_owned())?;
        let host = url.host_str().unwrap_or_default();
        if !self.lock().options.callback_hosts.iter().any(|allowed| allowed == host) {
            return Err(format!("the host {host} is not one that the emulator may call"));
        }
        let client = self.client()?;
        let mut request = client.post(url).body(event.body.clone());
        for (name, value) in self.signed_for(slot.ms_header, event.body.as_bytes()) {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY))
    }

    /// The client is made at the first delivery, so that an emulator that sends nothing needs none.
    fn client(&self) -> Result<reqwest::Client, String> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// The headers of a genuine delivery of `body`, in the style that the slot asks for.
    #[must_use]
    pub fn signed(&self, body: &[u8]) -> Vec<(String, String)> {
        let ms_header = self.lock().webhook.slot.as_ref().is_some_and(|slot| slot.ms_header);
        self.signed_for(ms_header, body)
    }

    fn signed_for(&self, ms_header: bool, body: &[u8]) -> Vec<(String, String)> {
        let wrong = self.lock().webhook.faults.wrong_signature;
        let signature =
            if wrong { self.signer.sign(b"other bytes") } else { self.signer.sign(body) };
        let header = if ms_header { "x-ms-signature" } else { "authorization" };
        [
            (header, format!("Signature {signature}")),
            ("x-ms-certificate-url", self.certificate_url()),
            ("x-ms-signature-algorithm", "rsa-sha256".to_owned()),
            ("content-type", "application/json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Where the signer's certificate is.
    #[must_use]
    pub fn certificate_url(&self) -> String {
        format!("{}/cert/{LEAF_NAME}.cer", self.lock().base_url)
    }
}

/// One line for each attempt of a validation event.
fn note_validation(state: &mut State, event: &Event, answer: &Result<StatusCode, String>) {
    let stamp = state.stamp().replace('Z', "");
    let Some(validation) =
        event.validation.as_ref().and_then(|id| state.webhook.validations.get_mut(id))
    else {
        return;
    };
    let name = |status: &StatusCode| {
        let reason = status.canonical_reason().unwrap_or("Unknown");
        reason.chars().filter(char::is_ascii_alphabetic).collect::<String>()
    };
    validation.results.push(json!({
        "responseCode": answer.as_ref().map(name).ok(),
        "responseMessage": "",
        "systemError": answer.as_ref().is_err(),
        "dateTimeUtc": stamp,
    }));
    validation.status = match answer {
        Ok(status) if status.is_success() => "completed",
        _ if event.attempts >= ATTEMPTS => "failed",
        _ => "inProgress",
    };
}
