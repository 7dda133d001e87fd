//! Outbound messages: SOAP posts that say a row has changed.

use std::collections::VecDeque;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::soap::escape;
use super::{SalesforceSandbox, id};
use crate::domain::time::Timestamp;

/// Most notifications in one message.
const MOST: usize = 100;
/// Longest wait between two tries, and how long a message is kept.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);
const KEPT: Duration = Duration::from_secs(24 * 3600);
const FIRST_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
struct Pending {
    notification: String,
    object: String,
    record: String,
    queued: Timestamp,
    due: Timestamp,
    tries: u32,
}

/// What one round of sending did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Acknowledged, and done with.
    pub acknowledged: usize,
    /// Refused or unreachable, to be tried again.
    pub waiting: usize,
    /// Given up after 24 hours.
    pub dropped: usize,
}

/// The outbound messages of one organisation to one address.
///
/// At least once, the newest values at sending time, waits that double up to two hours, dropped
/// after 24 hours. Deletions are never sent.
pub struct OutboundMessages {
    sandbox: SalesforceSandbox,
    url: String,
    fields: Vec<String>,
    pending: VecDeque<Pending>,
}

impl OutboundMessages {
    /// Messages to `url` that carry `fields` beside the id.
    #[must_use]
    pub fn new(sandbox: SalesforceSandbox, url: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { sandbox, url: url.to_owned(), fields, pending: VecDeque::new() }
    }

    /// Queues a message about a row.
    pub fn queue(&mut self, object: &str, record: &str) {
        let Some(record) = id::normal(record) else { return };
        let (notification, now) = self.sandbox.with(|org| (org.ids.make("04l"), org.now()));
        let object = object.to_owned();
        self.pending.push_back(Pending {
            notification,
            object,
            record,
            queued: now,
            due: now,
            tries: 0,
        });
    }

    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Sends everything that is due by the emulated clock, one post for each object.
    pub async fn deliver(&mut self) -> Delivery {
        let now = self.sandbox.with(|org| org.now());
        let before = self.pending.len();
        self.pending.retain(|message| now.since(message.queued) < KEPT);
        let mut done = Delivery { dropped: before - self.pending.len(), ..Delivery::default() };
        for object in ["Opportunity", "Lead", "Account", "Contact"] {
            let due: Vec<Pending> = self
                .pending
                .iter()
                .filter(|message| message.object == object && message.due <= now)
                .take(MOST)
                .cloned()
                .collect();
            if due.is_empty() {
                continue;
            }
            let sent =
                |message: &Pending| due.iter().any(|one| one.notification == message.notification);
            if self.post(&self.envelope(object, &due)).await {
                self.pending.retain(|message| !sent(message));
                done.acknowledged += due.len();
                continue;
            }
            for message in self.pending.iter_mut().filter(|message| sent(message)) {
                message.due =
                    now.plus((FIRST_WAIT * (1 << message.tries.min(10))).min(LONGEST_WAIT));
                message.tries += 1;
            }
        }
        done.waiting = self.pending.len();
        done
    }

    async fn post(&self, body: &str) -> bool {
        // The client insists on a TLS provider even for plain http; the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let request = client
            .post(&self.url)
            .header("Content-Type", "text/xml;charset=UTF-8")
            .header("SOAPAction", "\"\"")
            .timeout(Duration::from_secs(60))
            .body(body.to_owned());
        let Ok(answer) = request.send().await else { return false };
        let good = answer.status().as_u16() == 200;
        let Ok(text) = answer.text().await else { return false };
        good && acknowledged(&text)
    }

    fn envelope(&self, object: &str, due: &[Pending]) -> String {
        let notifications: String = due.iter().map(|one| self.notification(object, one)).collect();
        let organization = self.sandbox.organization_id();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
             xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
             <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\">\
             <OrganizationId>{organization}</OrganizationId><ActionId>04k5g0000000001AAA</ActionId>\
             <SessionId xsi:nil=\"true\"/><EnterpriseUrl>{0}/services/Soap/c/66.0</EnterpriseUrl>\
             <PartnerUrl>{0}/services/Soap/u/66.0</PartnerUrl>{notifications}</notifications>\
             </soapenv:Body></soapenv:Envelope>",
            "https://contoso.my.salesforce.com"
        )
    }

    fn notification(&self, object: &str, one: &Pending) -> String {
        let row = self.sandbox.row(object, &one.record).unwrap_or_default();
        let fields: String = self
            .fields
            .iter()
            .filter(|field| !row[field.as_str()].is_null())
            .map(|field| {
                let value = &row[field.as_str()];
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("<sf:{field}>{}</sf:{field}>", escape(&text))
            })
            .collect();
        format!(
            "<Notification><Id>{}</Id><sObject xsi:type=\"sf:{object}\" \
             xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\"><sf:Id>{}</sf:Id>{fields}</sObject>\
             </Notification>",
            one.notification, one.record
        )
    }
}

/// Whether the answer holds `<Ack>true</Ack>`.
fn acknowledged(text: &str) -> bool {
    let mut reader = Reader::from_str(text);
    let mut inside = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => inside = start.local_name().as_ref() == "Ack",
            Ok(Event::Text(value)) if inside => {
                return value.trim() == "true";
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}
