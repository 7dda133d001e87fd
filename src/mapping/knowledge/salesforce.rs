//! Fields of Salesforce Sales Cloud (reference 3.1 and 3.2).

use super::Holds::{Boolean, Date, Decimal, Instant, Integer, Lookup, Money, Option, Text};
use super::{Column, column, read_only};

/// Relationships that a dotted field may follow, with the object behind each.
pub(super) const RELATED: &[(&str, &str)] =
    &[("Account", "Account"), ("Contact", "Contact"), ("Owner", "User")];

/// Ways to the rows below an opportunity, with the object behind each. Their values are read as one
/// text.
pub(super) const LISTS: &[(&str, &str)] = &[
    ("OpportunityContactRoles", "OpportunityContactRole"),
    ("OpportunityLineItems", "OpportunityLineItem"),
    ("OpportunityTeamMembers", "OpportunityTeamMember"),
];

/// `Opportunity`.
pub(super) const OPPORTUNITY: &[Column] = &[
    read_only("Id", Text),
    column("Name", Text, 120),
    column("StageName", Option, 255),
    column("CloseDate", Date, 0),
    column("Amount", Money, 0),
    column("Probability", Decimal, 0),
    column("ForecastCategoryName", Option, 40),
    read_only("IsClosed", Boolean),
    read_only("IsWon", Boolean),
    read_only("ExpectedRevenue", Money),
    column("AccountId", Lookup, 0),
    column("CampaignId", Lookup, 0),
    column("OwnerId", Lookup, 0),
    column("Pricebook2Id", Lookup, 0),
    Column { name: "ContactId", holds: Lookup, length: 0, create: true, update: false },
    column("Description", Text, 32_000),
    column("NextStep", Text, 255),
    column("Type", Option, 255),
    column("LeadSource", Option, 255),
    column("CurrencyIsoCode", Option, 3),
    column("RecordTypeId", Lookup, 0),
    read_only("HasOpportunityLineItem", Boolean),
    read_only("CreatedDate", Instant),
    read_only("LastModifiedDate", Instant),
    read_only("SystemModstamp", Instant),
];

/// `Lead`.
pub(super) const LEAD: &[Column] = &[
    read_only("Id", Text),
    read_only("Name", Text),
    column("LastName", Text, 80),
    column("FirstName", Text, 40),
    column("Company", Text, 255),
    column("Status", Option, 255),
    column("Title", Text, 128),
    column("Email", Text, 80),
    column("Phone", Text, 40),
    column("MobilePhone", Text, 40),
    column("Fax", Text, 40),
    column("Website", Text, 255),
    column("Street", Text, 255),
    column("City", Text, 40),
    column("State", Text, 80),
    column("StateCode", Option, 10),
    column("PostalCode", Text, 20),
    column("Country", Text, 80),
    column("CountryCode", Option, 10),
    column("CurrencyIsoCode", Option, 3),
    column("Description", Text, 32_000),
    column("LeadSource", Option, 255),
    column("Industry", Option, 255),
    column("Rating", Option, 255),
    column("AnnualRevenue", Money, 0),
    column("NumberOfEmployees", Integer, 0),
    column("OwnerId", Lookup, 0),
    read_only("IsConverted", Boolean),
    read_only("ConvertedDate", Date),
    read_only("ConvertedAccountId", Lookup),
    read_only("ConvertedContactId", Lookup),
    read_only("ConvertedOpportunityId", Lookup),
    read_only("CreatedDate", Instant),
    read_only("LastModifiedDate", Instant),
    read_only("SystemModstamp", Instant),
];

const ACCOUNT: &[Column] = &[
    read_only("Id", Text),
    column("Name", Text, 255),
    column("Phone", Text, 40),
    column("Website", Text, 255),
    column("BillingStreet", Text, 255),
    column("BillingCity", Text, 40),
    column("BillingState", Text, 80),
    column("BillingStateCode", Option, 10),
    column("BillingPostalCode", Text, 20),
    column("BillingCountry", Text, 80),
    column("BillingCountryCode", Option, 10),
    column("NumberOfEmployees", Integer, 0),
];

const CONTACT: &[Column] = &[
    read_only("Id", Text),
    column("FirstName", Text, 40),
    column("LastName", Text, 80),
    column("Email", Text, 80),
    column("Phone", Text, 40),
    column("Title", Text, 128),
    column("AccountId", Lookup, 0),
];

const USER: &[Column] = &[
    read_only("Id", Text),
    read_only("FirstName", Text),
    read_only("LastName", Text),
    read_only("Name", Text),
    read_only("Email", Text),
    read_only("Phone", Text),
    read_only("MobilePhone", Text),
    read_only("Title", Text),
];

const CONTACT_ROLE: &[Column] =
    &[read_only("Role", Text), read_only("Contact.Email", Text), read_only("Contact.Name", Text)];

const LINE_ITEM: &[Column] = &[
    read_only("Name", Text),
    read_only("Description", Text),
    read_only("Product2.Name", Text),
    read_only("Product2.ProductCode", Text),
];

const TEAM_MEMBER: &[Column] = &[
    read_only("TeamMemberRole", Text),
    read_only("User.Email", Text),
    read_only("User.Name", Text),
];

/// The fields of another object.
pub(super) fn table(name: &str) -> &'static [Column] {
    match name {
        "Account" => ACCOUNT,
        "Contact" => CONTACT,
        "User" => USER,
        "OpportunityContactRole" => CONTACT_ROLE,
        "OpportunityLineItem" => LINE_ITEM,
        "OpportunityTeamMember" => TEAM_MEMBER,
        _ => &[],
    }
}
