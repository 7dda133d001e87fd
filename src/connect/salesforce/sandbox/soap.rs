//! The one SOAP call that has no REST form: `convertLead`.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::failure::Failure;
use super::http::Answer;
use super::org::Org;
use super::rows::Conversion;

/// Most leads in one call.
const MOST: usize = 100;
const XML: &str = "text/xml;charset=UTF-8";

/// What the envelope asks for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    session: String,
    operation: String,
    leads: Vec<Conversion>,
}

/// Answers `POST /services/Soap/u/XX.0` (partner) and `/c/XX.0` (enterprise).
pub(crate) fn answer(org: &mut Org, path: &str, body: &str) -> Answer {
    let space = if path.starts_with("c/") { "enterprise" } else { "partner" };
    let Some(asked) = read(body) else {
        return fault("soapenv:Client", "the envelope could not be read");
    };
    let now = org.now();
    let Some(user) = org.sessions.user(&asked.session, now) else {
        let message =
            "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session";
        return fault("sf:INVALID_SESSION_ID", message);
    };
    if asked.operation != "convertLead" || asked.leads.len() > MOST {
        let message = format!("No operation available for request {}", asked.operation);
        return fault("sf:INVALID_OPERATION", &message);
    }
    if !org.usage.take(1, now) {
        let message = "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.";
        return fault("sf:REQUEST_LIMIT_EXCEEDED", message);
    }
    org.about_to_write();
    let results: String =
        asked.leads.iter().map(|lead| result(lead, org.convert(lead, &user, true))).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns=\"urn:{space}.soap.sforce.com\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <convertLeadResponse>{results}</convertLeadResponse></soapenv:Body></soapenv:Envelope>"
    );
    Answer::text(200, XML, body)
}

fn result(lead: &Conversion, outcome: Result<super::rows::Converted, Failure>) -> String {
    let optional = |name: &str, value: Option<&String>| match value {
        Some(value) => format!("<{name}>{}</{name}>", escape(value)),
        None => format!("<{name} xsi:nil=\"true\"/>"),
    };
    match outcome {
        Ok(made) => format!(
            "<result><accountId>{}</accountId><contactId>{}</contactId><leadId>{}</leadId>{}\
             <success>true</success></result>",
            made.account,
            made.contact,
            made.lead,
            optional("opportunityId", made.opportunity.as_ref()),
        ),
        Err(failure) => format!(
            "<result>{}{}<errors><message>{}</message><statusCode>{}</statusCode></errors>\
             <leadId>{}</leadId>{}<success>false</success></result>",
            optional("accountId", None),
            optional("contactId", None),
            escape(&failure.message),
            escape(&failure.code),
            escape(&lead.lead),
            optional("opportunityId", None),
        ),
    }
}

fn fault(code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:sf=\"urn:fault.partner.soap.sforce.com\"><soapenv:Body><soapenv:Fault>\
         <faultcode>{}</faultcode><faultstring>{}</faultstring></soapenv:Fault></soapenv:Body>\
         </soapenv:Envelope>",
        escape(code),
        escape(message)
    );
    Answer::text(500, XML, body)
}

/// `text` for the inside of an element.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

fn read(body: &str) -> Option<Asked> {
    let mut reader = Reader::from_str(body);
    let mut asked = Asked::default();
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                if path.last().is_some_and(|parent| parent == "Body") {
                    asked.operation.clone_from(&name);
                }
                if name == "leadConverts" || name == "LeadConvert" {
                    asked.leads.push(Conversion::default());
                }
                path.push(name);
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::GeneralRef(entity) => text.push_str(&resolve(&entity)?),
            Event::CData(piece) => text.push_str(&piece),
            Event::End(_) => {
                let name = path.pop()?;
                take(&mut asked, &name, text.trim());
                text.clear();
            }
            // A document type could define entities; real callers never send one.
            Event::DocType(_) => return None,
            Event::Eof => return path.is_empty().then_some(asked),
            _ => {}
        }
    }
}

fn resolve(entity: &str) -> Option<String> {
    quick_xml::escape::unescape(&format!("&{entity};")).ok().map(std::borrow::Cow::into_owned)
}

fn take(asked: &mut Asked, name: &str, value: &str) {
    if name == "sessionId" {
        value.clone_into(&mut asked.session);
    }
    let Some(lead) = asked.leads.last_mut() else { return };
    let filled = || Some(value.to_owned()).filter(|value| !value.is_empty());
    match name {
        "leadId" => value.clone_into(&mut lead.lead),
        "convertedStatus" => value.clone_into(&mut lead.status),
        "accountId" => lead.account = filled(),
        "contactId" => lead.contact = filled(),
        "opportunityName" => lead.opportunity_name = filled(),
        "ownerId" => lead.owner = filled(),
        "doNotCreateOpportunity" => lead.no_opportunity = value == "true",
        _ => {}
    }
}
