//! Outbound messages: SOAP notices, taken as hints only. They are not signed; the door checks the
//! secret in the path, this checks that they come from our organisation. Nothing they say is used
//! but ids: the session and the addresses they carry are never looked at.

use async_trait::async_trait;
use bytes::Bytes;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use ring::digest::{SHA256, digest};

use super::{Salesforce, soql};
use crate::connect::webhook::{Delivery, Hint, Refused, WebhookSource};
use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};

const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Deepest nesting taken.
const DEEPEST: usize = 12;
/// Most notifications of one message, as documented.
const MOST: usize = 100;
/// Most events of one message: ids and the few fields an admin selects.
const MOST_EVENTS: usize = 100_000;
/// Longest message, in bytes.
const LONGEST: usize = 1 << 20;

/// What Salesforce wants to hear; anything else is sent again.
const ACKNOWLEDGED: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>"#,
    r#"<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>"#,
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>",
);

/// The ids of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    organization: String,
    /// Table and id of each notification; the id is empty if there was none.
    records: Vec<(String, String)>,
}

#[async_trait]
impl WebhookSource for Salesforce {
    async fn accept(
        &self,
        _headers: &[(String, String)],
        _query: Option<&str>,
        body: &Bytes,
    ) -> Result<Delivery, Refused> {
        let message = parse(body).map_err(Refused::NotAnEvent)?;
        let ours = self
            .client
            .identity()
            .await
            .map_err(|error| Refused::CannotVerify(format!("our organisation: {error}")))?;
        if soql::long_id(&message.organization).as_deref() != Some(&ours.organization_id) {
            return Err(Refused::NotAuthentic("it comes from another organisation".to_owned()));
        }
        let print = digest(&SHA256, body);
        Ok(Delivery {
            hints: message.records.iter().map(|(table, id)| hint(table, id)).collect(),
            fingerprint: print.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            answer: Some(("text/xml; charset=utf-8".to_owned(), ACKNOWLEDGED.to_owned())),
        })
    }
}

fn hint(table: &str, id: &str) -> Hint {
    let event: String = format!("outbound-message {table}").chars().take(64).collect();
    let kind = match table {
        "Opportunity" => RecordKind::Opportunity,
        "Lead" => RecordKind::Lead,
        _ => return Hint::Unused { event },
    };
    match soql::long_id(id) {
        Some(id) => {
            let key = RecordKey { crm: CrmName::Salesforce, kind, id: RecordId::new(id) };
            Hint::Record { key, event }
        }
        None => Hint::Unusable { event, reason: "the record has no usable id".to_owned() },
    }
}

/// Reads a message. No entity is expanded, no document type is taken, everything is bounded.
fn parse(body: &[u8]) -> Result<Message, String> {
    if body.len() > LONGEST {
        return Err("it is too long".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = NsReader::from_str(text);
    let mut state = State::default();
    for _ in 0..MOST_EVENTS {
        match reader.read_resolved_event().map_err(|error| format!("it is not XML: {error}"))? {
            (namespace, Event::Start(start)) => {
                let outbound = is_in(&namespace, OUTBOUND);
                state.open(&reader, outbound, &start)?;
            }
            (_, Event::Text(text)) => {
                state.text(text.trim());
            }
            (_, Event::End(_)) => state.close(),
            (_, Event::DocType(_)) => return Err("it has a document type".to_owned()),
            (_, Event::Eof) => return state.finish(),
            _ => {}
        }
    }
    Err("it does not end".to_owned())
}

fn is_in(namespace: &ResolveResult<'_>, wanted: &str) -> bool {
    matches!(namespace, ResolveResult::Bound(bound) if bound.as_ref() == wanted)
}

#[derive(Default)]
struct State {
    path: Vec<String>,
    seen: bool,
    message: Message,
}

impl State {
    fn open(
        &mut self,
        reader: &NsReader<&[u8]>,
        outbound: bool,
        start: &BytesStart<'_>,
    ) -> Result<(), String> {
        if self.path.len() >= DEEPEST {
            return Err("it is nested too deep".to_owned());
        }
        let name = start.local_name().as_ref().to_owned();
        self.seen |= outbound && name == "notifications";
        if outbound && name == "Notification" {
            if self.message.records.len() >= MOST {
                return Err("it has too many notifications".to_owned());
            }
            self.message.records.push((String::new(), String::new()));
        }
        if outbound
            && name == "sObject"
            && let Some(record) = self.message.records.last_mut()
        {
            record.0 = table(reader, start).unwrap_or_default();
        }
        self.path.push(name);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let mut inner = self.path.iter().rev().map(String::as_str);
        match (inner.next(), inner.next()) {
            (Some("OrganizationId"), Some("notifications")) => {
                text.clone_into(&mut self.message.organization);
            }
            (Some("Id"), Some("sObject")) => {
                if let Some(record) = self.message.records.last_mut() {
                    text.clone_into(&mut record.1);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        self.path.pop();
    }

    fn finish(self) -> Result<Message, String> {
        if !self.path.is_empty() {
            return Err("it is cut off".to_owned());
        }
        if !self.seen || self.message.organization.is_empty() || self.message.records.is_empty() {
            return Err("it is not an outbound message".to_owned());
        }
        Ok(self.message)
    }
}

/// `Opportunity` of `xsi:type="sf:Opportunity"`.
fn table(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Option<String> {
    for attribute in start.attributes().flatten() {
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        if local.as_ref() == "type" && is_in(&namespace, SCHEMA_INSTANCE) {
            return attribute.value.rsplit(':').next().map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Message, hint, parse};
    use crate::connect::webhook::Hint;

    fn envelope(notifications: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
              xmlns:xsd="http://www.w3.org/2001/XMLSchema"
              xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
            <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
              <OrganizationId>00DD0000000JxY1MAK</OrganizationId><ActionId>04kD00000000001</ActionId>
              <SessionId xsi:nil="true"/><EnterpriseUrl>https://evil.example/c</EnterpriseUrl>
              {notifications}</notifications></soapenv:Body></soapenv:Envelope>"#
        )
    }

    fn notification(table: &str, id: &str) -> String {
        format!(
            r#"<Notification><Id>04lD00000000001</Id><sObject xsi:type="sf:{table}"
               xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>{id}</sf:Id>
               <sf:Name>Contoso &amp; Fabrikam</sf:Name></sObject></Notification>"#
        )
    }

    #[test]
    fn ids_are_taken_and_nothing_else() {
        let body = envelope(
            &(notification("Opportunity", "006000000000001") + &notification("Lead", "x")),
        );
        let message = parse(body.as_bytes()).expect("a message");
        assert_eq!(
            message,
            Message {
                organization: "00DD0000000JxY1MAK".to_owned(),
                records: vec![
                    ("Opportunity".to_owned(), "006000000000001".to_owned()),
                    ("Lead".to_owned(), "x".to_owned()),
                ],
            }
        );
        assert!(matches!(hint("Opportunity", "006000000000001"), Hint::Record { key, .. }
            if key.id.as_str() == "006000000000001AAA"));
        assert!(matches!(hint("Lead", "x"), Hint::Unusable { .. }));
        assert!(matches!(hint("Case", "500000000000001"), Hint::Unused { .. }));
    }

    #[test]
    fn everything_else_is_no_event() {
        let good = envelope(&notification("Opportunity", "006000000000001"));
        let bomb = format!("<!DOCTYPE x [<!ENTITY a \"aaaa\">]>{good}");
        let deep = "<a>".repeat(50) + &"</a>".repeat(50);
        let many = envelope(&notification("Lead", "00Q000000000001").repeat(101));
        let table = [
            (good.replace("outbound\"", "other\""), "another namespace"),
            (bomb, "a document type"),
            (deep, "deep nesting"),
            (many, "more than a hundred"),
            (good.replace("</soapenv:Envelope>", ""), "cut off"),
            (envelope(""), "no notification"),
            ("{}".to_owned(), "JSON"),
            (String::new(), "nothing"),
        ];
        for (body, why) in table {
            assert!(parse(body.as_bytes()).is_err(), "{why}");
        }
    }
}
