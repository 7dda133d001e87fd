//! Account, Contact, Opportunity, Lead and the two tables of their states.

use super::Object;
use super::field::{Field, Kind, checkbox, picklist, reference, text};
use crate::connect::salesforce::sandbox::options::SandboxOptions;

const SOURCES: &[&str] = &["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const INDUSTRIES: &[&str] =
    &["Agriculture", "Banking", "Education", "Manufacturing", "Retail", "Technology", "Other"];

/// All objects of this area.
pub(crate) fn objects(options: &SandboxOptions) -> Vec<Object> {
    let mut sales = vec![account(), contact(), opportunity(options), lead()];
    if !options.currencies.is_empty() {
        let codes: Vec<&str> = options.currencies.iter().map(String::as_str).collect();
        for object in &mut sales {
            let mut field = picklist("CurrencyIsoCode", &codes).restricted(true);
            field.length = 3;
            field = field.default_choice(codes[0]);
            object.fields.push(field);
        }
    }
    sales.extend([opportunity_stage(), lead_status()]);
    sales
}

fn currency(name: &str) -> Field {
    Field::new(name, Kind::Currency, 0).digits(18, 2)
}

fn address(prefix: &str) -> Vec<Field> {
    let mut street = Field::new(&format!("{prefix}Street"), Kind::TextArea, 255);
    street.label = format!("{prefix} Street").trim().to_owned();
    vec![
        street,
        text(&format!("{prefix}City"), 40),
        text(&format!("{prefix}State"), 80),
        text(&format!("{prefix}PostalCode"), 20),
        text(&format!("{prefix}Country"), 80),
    ]
}

fn account() -> Object {
    let mut fields = vec![
        text("Name", 255).required(),
        picklist("Type", &["Customer - Direct", "Customer - Channel", "Prospect", "Other"]),
        picklist("Industry", INDUSTRIES),
        reference("OwnerId", "User"),
        reference("ParentId", "Account"),
        reference("MasterRecordId", "Account").read_only(),
        Field::new("Phone", Kind::Phone, 40),
        Field::new("Fax", Kind::Phone, 40),
        Field::new("Website", Kind::Url, 255),
        text("AccountNumber", 40),
        Field::new("NumberOfEmployees", Kind::Int, 0).digits(8, 0),
        currency("AnnualRevenue").digits(18, 0),
        Field::new("Description", Kind::TextArea, 32_000),
    ];
    fields.extend(address("Billing"));
    fields.extend(address("Shipping"));
    Object::new("Account", "Accounts", "001", fields)
}

fn contact() -> Object {
    let mut fields = vec![
        text("LastName", 80).required(),
        text("FirstName", 40),
        text("Name", 121).read_only(),
        reference("AccountId", "Account"),
        reference("OwnerId", "User"),
        reference("MasterRecordId", "Contact").read_only(),
        text("Title", 128),
        text("Department", 80),
        Field::new("Email", Kind::Email, 80),
        Field::new("Phone", Kind::Phone, 40),
        Field::new("MobilePhone", Kind::Phone, 40),
        Field::new("Description", Kind::TextArea, 32_000),
    ];
    fields.extend(address("Mailing"));
    Object::new("Contact", "Contacts", "003", fields)
}

fn opportunity(options: &SandboxOptions) -> Object {
    let stages: Vec<&str> = options.stages.iter().map(|stage| stage.name.as_str()).collect();
    let forecasts = ["Omitted", "Pipeline", "BestCase", "MostLikely", "Forecast", "Closed"];
    let mut contact = reference("ContactId", "Contact");
    contact.updateable = false;
    let fields = vec![
        text("Name", 120).required(),
        picklist("StageName", &stages).required().restricted(options.restricted_stages),
        Field::new("CloseDate", Kind::Date, 0).required(),
        currency("Amount"),
        Field::new("Probability", Kind::Percent, 0).digits(3, 0),
        picklist("ForecastCategory", &forecasts).read_only(),
        picklist("ForecastCategoryName", &forecasts),
        checkbox("IsClosed").read_only(),
        checkbox("IsWon").read_only(),
        currency("ExpectedRevenue").read_only(),
        reference("AccountId", "Account"),
        reference("OwnerId", "User"),
        contact,
        Field::new("Description", Kind::TextArea, 32_000),
        text("NextStep", 255),
        picklist("Type", &["Existing Customer - Upgrade", "New Customer"]),
        picklist("LeadSource", SOURCES),
        checkbox("HasOpportunityLineItem").read_only(),
        Field::new("FiscalYear", Kind::Int, 0).digits(4, 0).read_only(),
        Field::new("FiscalQuarter", Kind::Int, 0).digits(1, 0).read_only(),
        Field::new("LastActivityDate", Kind::Date, 0).read_only(),
    ];
    Object::new("Opportunity", "Opportunities", "006", fields)
}

fn lead() -> Object {
    let statuses = super::super::options::LEAD_STATUSES.map(|status| status.0);
    let mut fields = vec![
        text("LastName", 80).required(),
        text("FirstName", 40),
        text("Name", 121).read_only(),
        text("Company", 255).required(),
        picklist("Status", &statuses).required().default_choice(statuses[0]),
        text("Title", 128),
        Field::new("Email", Kind::Email, 80),
        Field::new("Phone", Kind::Phone, 40),
        Field::new("MobilePhone", Kind::Phone, 40),
        Field::new("Fax", Kind::Phone, 40),
        Field::new("Website", Kind::Url, 255),
        Field::new("Description", Kind::TextArea, 32_000),
        picklist("LeadSource", SOURCES),
        picklist("Industry", INDUSTRIES),
        picklist("Rating", &["Hot", "Warm", "Cold"]),
        currency("AnnualRevenue").digits(18, 0),
        Field::new("NumberOfEmployees", Kind::Int, 0).digits(8, 0),
        reference("OwnerId", "User"),
        reference("MasterRecordId", "Lead").read_only(),
        checkbox("IsConverted").read_only(),
        Field::new("ConvertedDate", Kind::Date, 0).read_only(),
        reference("ConvertedAccountId", "Account").read_only(),
        reference("ConvertedContactId", "Contact").read_only(),
        reference("ConvertedOpportunityId", "Opportunity").read_only(),
        checkbox("IsUnreadByOwner"),
    ];
    fields.extend(address(""));
    Object::new("Lead", "Leads", "00Q", fields)
}

fn opportunity_stage() -> Object {
    let fields = vec![
        text("MasterLabel", 255),
        text("ApiName", 255),
        checkbox("IsActive"),
        Field::new("SortOrder", Kind::Int, 0).digits(9, 0),
        checkbox("IsClosed"),
        checkbox("IsWon"),
        text("ForecastCategory", 40),
        text("ForecastCategoryName", 255),
        Field::new("DefaultProbability", Kind::Percent, 0).digits(3, 0),
        text("Description", 255),
    ];
    Object::new("OpportunityStage", "Opportunity Stages", "01J", fields).read_only()
}

fn lead_status() -> Object {
    let fields = vec![
        text("MasterLabel", 255),
        text("ApiName", 255),
        Field::new("SortOrder", Kind::Int, 0).digits(9, 0),
        checkbox("IsDefault"),
        checkbox("IsConverted"),
    ];
    // Same key prefix family as the stages; the real one is not documented.
    Object::new("LeadStatus", "Lead Statuses", "01K", fields).read_only()
}
