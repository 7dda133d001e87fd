//! Turning a lead into an opportunity: the one thing REST cannot do.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use serde_json::Value as Json;

use super::wire;
use super::{Salesforce, soql};
use crate::connect::error::{ConnectError, Refusal};
use crate::domain::id::RecordId;
use crate::domain::record::Record;
use crate::domain::secret::{ExposeSecret, SecretString};

/// Longest answer taken apart, in bytes.
const LONGEST: usize = 256 << 10;

/// What a conversion answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Converted {
    success: bool,
    opportunity: Option<String>,
    /// `statusCode` of the row, or the code of a fault.
    code: Option<String>,
    message: Option<String>,
}

impl Salesforce {
    /// Converts a lead and returns its opportunity; `None` where that is not permitted.
    pub(super) async fn convert_lead(
        &self,
        lead: &Record,
        status: &str,
    ) -> Result<Option<RecordId>, ConnectError> {
        let Some(id) = soql::long_id(lead.key.id.as_str()) else {
            return Err(wire::refused_here("MALFORMED_ID", "that is no lead", "Id"));
        };
        if let Some(done) = self.converted(&id).await? {
            return Ok(done);
        }
        let status = self.convert_status(status).await?;
        let version = &self.client.settings().api_version;
        let path = format!("/services/Soap/u/{version}");
        let envelope = |session: &SecretString| envelope(session, &id, &status);
        let mut answer = self.client.soap(&path, "convertLead", &envelope).await?;
        let mut converted = parse(&answer.answer.body)?;
        if converted.code.as_deref() == Some("INVALID_SESSION_ID") {
            self.client.forget_session().await;
            answer = self.client.soap(&path, "convertLead", &envelope).await?;
            converted = parse(&answer.answer.body)?;
        }
        if converted.success {
            return match converted.opportunity.as_deref().and_then(soql::long_id) {
                Some(id) => Ok(Some(RecordId::new(id))),
                None => Ok(self.converted(&id).await?.flatten()),
            };
        }
        self.not_converted(&id, answer.answer.status, converted).await
    }

    async fn not_converted(
        &self,
        id: &str,
        status: u16,
        converted: Converted,
    ) -> Result<Option<RecordId>, ConnectError> {
        let code = converted.code.unwrap_or_default();
        match code.as_str() {
            // A session that REST takes and SOAP does not is one that SOAP never takes.
            "INVALID_SESSION_ID"
            | "INSUFFICIENT_ACCESS"
            | "INSUFFICIENT_ACCESS_OR_READONLY"
            | "API_DISABLED_FOR_ORG"
            | "API_CURRENTLY_DISABLED"
            | "UNSUPPORTED_CLIENT"
            | "FUNCTIONALITY_NOT_ENABLED"
            | "OPERATION_TOO_LARGE" => Ok(None),
            "CANNOT_UPDATE_CONVERTED_LEAD" => Ok(self.converted(id).await?.flatten()),
            "" if matches!(status, 403 | 404 | 405 | 501) => Ok(None),
            "" if status >= 500 => {
                Err(ConnectError::Unknown(format!("convertLead answered {status}")))
            }
            "" => Err(ConnectError::Broken(format!("convertLead answered {status}"))),
            "UNABLE_TO_LOCK_ROW" => {
                Err(ConnectError::Unavailable("the lead is locked by another change".to_owned()))
            }
            _ => Err(ConnectError::Rejected(Refusal {
                status,
                code,
                message: converted.message.unwrap_or_default().chars().take(500).collect(),
                fields: Vec::new(),
                request_id: None,
            })),
        }
    }

    /// `Some` if the lead is converted already; inside, its opportunity if it got one.
    async fn converted(&self, id: &str) -> Result<Option<Option<RecordId>>, ConnectError> {
        let soql = format!(
            "SELECT Id, IsConverted, ConvertedOpportunityId FROM Lead WHERE Id = {}",
            soql::text(id)
        );
        let (rows, _) = self.client.query(&soql).await?;
        let Some(row) = rows.first() else {
            return Err(ConnectError::NotFound(Refusal {
                code: "ENTITY_IS_DELETED".to_owned(),
                message: "the lead is not there any more".to_owned(),
                ..Refusal::default()
            }));
        };
        if row.get("IsConverted").and_then(Json::as_bool) != Some(true) {
            return Ok(None);
        }
        let opportunity = row.get("ConvertedOpportunityId").and_then(Json::as_str);
        Ok(Some(opportunity.and_then(soql::long_id).map(RecordId::new)))
    }

    /// The status of a converted lead: the mapping's, the setting's, or the organisation's own.
    async fn convert_status(&self, status: &str) -> Result<String, ConnectError> {
        if !status.is_empty() {
            return Ok(status.to_owned());
        }
        if let Some(status) = &self.client.settings().convert_status {
            return Ok(status.clone());
        }
        let soql = "SELECT ApiName FROM LeadStatus WHERE IsConverted = TRUE LIMIT 1";
        let (rows, _) = self.client.query(soql).await?;
        let name = rows.first().and_then(|row| row.get("ApiName")).and_then(Json::as_str);
        name.map(str::to_owned).ok_or_else(|| {
            wire::refused_here("", "no lead status means converted; set `convert_status`", "Status")
        })
    }
}

fn envelope(session: &SecretString, lead: &str, status: &str) -> String {
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" "#,
            r#"xmlns:urn="urn:partner.soap.sforce.com">"#,
            "<soapenv:Header><urn:SessionHeader><urn:sessionId>{session}</urn:sessionId>",
            "</urn:SessionHeader></soapenv:Header><soapenv:Body><urn:convertLead>",
            "<urn:leadConverts><urn:convertedStatus>{status}</urn:convertedStatus>",
            "<urn:doNotCreateOpportunity>false</urn:doNotCreateOpportunity>",
            "<urn:leadId>{lead}</urn:leadId>",
            "<urn:overwriteLeadSource>false</urn:overwriteLeadSource>",
            "<urn:sendNotificationEmail>false</urn:sendNotificationEmail>",
            "</urn:leadConverts></urn:convertLead></soapenv:Body></soapenv:Envelope>",
        ),
        session = escape(session.expose_secret()),
        status = escape(status),
        lead = escape(lead),
    )
}

/// Takes the answer apart by local names. An answer that is not XML says nothing.
fn parse(body: &[u8]) -> Result<Converted, ConnectError> {
    let mut converted = Converted::default();
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(converted);
    };
    if text.len() > LONGEST {
        return Err(ConnectError::Unknown("convertLead answered at great length".to_owned()));
    }
    let mut reader = Reader::from_str(text);
    let mut element = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                element = start.local_name().as_ref().to_owned();
            }
            Ok(Event::Text(found)) => {
                note(&mut converted, &element, &found);
            }
            Ok(Event::End(_)) => element.clear(),
            Ok(Event::Eof) | Err(_) => return Ok(converted),
            Ok(_) => {}
        }
    }
}

fn note(converted: &mut Converted, element: &str, found: &str) {
    let value = found.trim().to_owned();
    if value.is_empty() {
        return;
    }
    match element {
        "success" => converted.success = value == "true",
        "opportunityId" => converted.opportunity = Some(value),
        "statusCode" | "exceptionCode" => converted.code = Some(value),
        "faultcode" if converted.code.is_none() => {
            converted.code = value.rsplit(':').next().map(str::to_owned);
        }
        // Comes in pieces, because entities stand between them.
        "message" | "faultstring" | "exceptionMessage" => {
            converted.message.get_or_insert_default().push_str(found);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Converted, envelope, parse};

    #[test]
    fn answers_of_a_conversion_are_read() {
        let done = "<soapenv:Envelope xmlns:soapenv='s'><soapenv:Body><convertLeadResponse><result>\
             <leadId>00Q000000000001AAA</leadId><opportunityId>006000000000001AAA</opportunityId>\
             <success>true</success></result></convertLeadResponse></soapenv:Body></soapenv:Envelope>";
        let fault = "<s:Envelope xmlns:s='s'><s:Body><s:Fault><faultcode>sf:INVALID_SESSION_ID\
             </faultcode><faultstring>INVALID_SESSION_ID: expired</faultstring></s:Fault></s:Body>\
             </s:Envelope>";
        let table = [
            (done, true, Some("006000000000001AAA"), None, "converted"),
            (fault, false, None, Some("INVALID_SESSION_ID"), "a fault"),
            ("<html><body>busy</body></html>", false, None, None, "not SOAP"),
            ("no xml at all", false, None, None, "not XML"),
        ];
        for (body, success, opportunity, code, why) in table {
            let Converted { success: was, opportunity: id, code: told, .. } =
                parse(body.as_bytes()).expect("parsed");
            assert_eq!(
                (was, id.as_deref(), told.as_deref()),
                (success, opportunity, code),
                "{why}"
            );
        }
    }

    #[test]
    fn values_cannot_break_out_of_the_envelope() {
        let text = envelope(&"a<b".to_owned().into(), "00Q000000000001AAA", "Closed & </urn:x>");
        assert!(text.contains("a&lt;b") && text.contains("Closed &amp; &lt;/urn:x&gt;"), "{text}");
    }
}
