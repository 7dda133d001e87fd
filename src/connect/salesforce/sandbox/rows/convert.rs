//! Turns a lead into account, contact and opportunity.

use serde_json::{Value, json};

use super::{Writer, check};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::options::LEAD_STATUSES;
use crate::connect::salesforce::sandbox::org::{Fields, Org};

/// What a conversion is asked to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Conversion {
    pub(crate) lead: String,
    pub(crate) status: String,
    pub(crate) account: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) opportunity_name: Option<String>,
    pub(crate) no_opportunity: bool,
}

/// What it made, by id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Converted {
    pub(crate) lead: String,
    pub(crate) account: String,
    pub(crate) contact: String,
    pub(crate) opportunity: Option<String>,
}

impl Org {
    /// Converts one lead, all or nothing.
    ///
    /// # Errors
    ///
    /// If the lead is missing or converted, the status does not mean *converted*, or a row that
    /// would be made is refused.
    pub(crate) fn convert(
        &mut self,
        asked: &Conversion,
        user: &str,
        client: bool,
    ) -> Result<Converted, Failure> {
        self.begin();
        let outcome = self.convert_now(asked, user, client);
        self.end(outcome.is_ok());
        outcome
    }

    fn convert_now(
        &mut self,
        asked: &Conversion,
        user: &str,
        client: bool,
    ) -> Result<Converted, Failure> {
        let (id, row) = self.live("Lead", &asked.lead)?;
        let mut lead = row.clone();
        check::locks(self, "Lead", &id, &lead.fields)?;
        if client && !self.is_permitted("ConvertLeads") {
            let message = "insufficient access rights on object id";
            return Err(Failure::row("INSUFFICIENT_ACCESS_OR_READONLY", message, &[]));
        }
        if !LEAD_STATUSES.iter().any(|(name, converted)| *converted && *name == asked.status) {
            let message = format!("invalid convertedStatus: {}", asked.status);
            return Err(Failure::row("INVALID_STATUS", message, &[]));
        }
        let by = Writer { client, ..Writer::person(user) };
        let owner = asked.owner.clone().map_or(lead.fields["OwnerId"].clone(), Value::String);
        let account = match &asked.account {
            Some(account) => self.live("Account", account)?.0,
            None => self.create("Account", &account_of(&lead.fields, &owner), &by)?,
        };
        let contact = match &asked.contact {
            Some(contact) => self.live("Contact", contact)?.0,
            None => self.create("Contact", &contact_of(&lead.fields, &owner, &account), &by)?,
        };
        let opportunity = if asked.no_opportunity {
            None
        } else {
            let fields = self.opportunity_of(&lead.fields, asked, &owner, &account);
            Some(self.create("Opportunity", &fields, &Writer::person(user))?)
        };
        if let Some(opportunity) = &opportunity {
            self.add_primary_role(opportunity, &contact, &by);
        }
        let mut set = |name: &str, value: Value| lead.fields.insert(name.to_owned(), value);
        set("IsConverted", json!(true));
        set("Status", json!(asked.status));
        set("ConvertedDate", json!(self.now().date().to_string()));
        set("ConvertedAccountId", json!(account));
        set("ConvertedContactId", json!(contact));
        set("ConvertedOpportunityId", json!(opportunity));
        self.touch(&mut lead.fields, user);
        self.put("Lead", &id, Some(lead));
        Ok(Converted { lead: id, account, contact, opportunity })
    }

    /// Custom lead fields carry over only where the admin has mapped them.
    fn opportunity_of(
        &self,
        lead: &Fields,
        asked: &Conversion,
        owner: &Value,
        account: &str,
    ) -> Fields {
        let company = lead["Company"].as_str().unwrap_or_default();
        let name = asked.opportunity_name.clone().unwrap_or_else(|| format!("{company}-"));
        let stage = self.options.stages.first().map_or("", |stage| stage.name.as_str());
        let mut fields = picked(json!({
            "Name": name, "StageName": stage, "CloseDate": self.quarter_end(),
            "AccountId": account, "OwnerId": owner, "LeadSource": lead["LeadSource"],
        }));
        for (from, to) in &self.lead_mapping {
            if let Some(value) = lead.get(from) {
                fields.insert(to.clone(), value.clone());
            }
        }
        fields
    }

    /// Last day of the running quarter, the close date of a new deal.
    fn quarter_end(&self) -> String {
        let today = self.now().date().to_string();
        let year = today.get(..4).unwrap_or("2026");
        let month: u32 = today.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
        let end = ["03-31", "06-30", "09-30", "12-31"][(month.clamp(1, 12) as usize - 1) / 3];
        format!("{year}-{end}")
    }
}

fn account_of(lead: &Fields, owner: &Value) -> Fields {
    picked(json!({
        "Name": lead["Company"], "OwnerId": owner, "Phone": lead["Phone"],
        "Website": lead["Website"], "Industry": lead["Industry"], "BillingStreet": lead["Street"],
        "BillingCity": lead["City"], "BillingState": lead["State"],
        "BillingPostalCode": lead["PostalCode"], "BillingCountry": lead["Country"],
    }))
}

fn contact_of(lead: &Fields, owner: &Value, account: &str) -> Fields {
    picked(json!({
        "LastName": lead["LastName"], "FirstName": lead["FirstName"], "AccountId": account,
        "OwnerId": owner, "Title": lead["Title"], "Email": lead["Email"], "Phone": lead["Phone"],
        "MobilePhone": lead["MobilePhone"],
    }))
}

fn picked(values: Value) -> Fields {
    match values {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
